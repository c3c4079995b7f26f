"""A chain run by the executor's kernels: exactly, on single values; and in bounds, on intervals."""

import functools
from collections.abc import Callable, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, Format, Reals
from rtl4ml.frontend import kernels
from rtl4ml.frontend.kernel_facts import LOSES_NUMBERS, facts, interval
from rtl4ml.frontend.quantizer import AnyQuantizer
from rtl4ml.frontend.values import Step

SCAN_OPSET = 9
"""The first with a Scan that needs no batch."""

PROBES = (1 << 14) + 3
"""Values on which a kernel is compared alone and in company."""

UNKNOWN = 1 << 62
"""Bounds of a code where the values are not all numbers: -UNKNOWN and UNKNOWN."""

Run = Callable[[Reals], Reals]


class ChainKernels:
    """Elementwise steps and a quantizer on tables of codes (m, rows).

    Parameters:
        source: format of the codes, its parameters () or (rows,).
        bias: () or (rows,) or None: added to the real values in the same rounding.
        steps: the elementwise operators.
        quantizer: parameters () or (rows,).
    """

    def __init__(self, source: Format, bias: Reals | None, steps: "StepKernels", quantizer: AnyQuantizer) -> None:
        self._source, self._bias, self._steps, self._quantizer = source, bias, steps, quantizer

    def codes(self, x: Codes) -> Codes:
        """Codes (m, rows) behind the quantizer for codes (m, rows), as each value alone gives them.

        Raises:
            ModelError: a value is no number, naming the node that made it so.
        """
        values = self._steps.values(self._source.real(x, self._bias))
        # Overflow to infinity is what the executor's float32 does too.
        with np.errstate(over="ignore"):
            return self._quantizer.codes(values)

    def bounds(self, low: Codes, high: Codes) -> tuple[Codes, Codes]:
        """Codes between which all those for x in [low, high] lie; arrays (m, rows). UNKNOWN where there are none."""
        ends = self._source.real(low, self._bias), self._source.real(high, self._bias)
        least, most, unknown = self._steps.bounds(np.minimum(*ends), np.maximum(*ends))
        if self._quantizer.limits is None:
            unknown |= ~np.isfinite(least) | ~np.isfinite(most)
        with np.errstate(over="ignore"):
            codes = (
                self._quantizer.codes(np.where(unknown, 0, least)),
                self._quantizer.codes(np.where(unknown, 0, most)),
            )
        return np.where(unknown, -UNKNOWN, np.minimum(*codes)), np.where(unknown, UNKNOWN, np.maximum(*codes))


class StepKernels:
    """Elementwise steps on tables of values (m, rows).

    Parameters:
        steps: parameters () or (rows,).
        rows: distinct functions.
        opset: of the file's standard operators.
    """

    def __init__(self, steps: Sequence[Step], rows: int, opset: int) -> None:
        self._steps, self._rows, self._opset = tuple(steps), rows, opset
        self._facts = [facts(step) for step in steps]

    @property
    def monotone(self) -> bool:
        """Whether every row never rises or never falls, rounding included."""
        return all(known.monotone for known in self._facts)

    def values(self, values: Reals) -> Reals:
        """Results for values (m, rows), as each value alone gives them.

        Raises:
            ModelError: a result is no number, naming the node that made it so.
        """
        for steps, run in self._segments:
            results = run(values)
            if np.isnan(results).any():
                raise self._no_number(values, steps)
            values = results
        return values

    def bounds(self, least: Reals, most: Reals) -> tuple[Reals, Reals, NDArray[np.bool_]]:
        """Values between which the results for [least, most] lie, and where there are none."""
        unknown = np.zeros(least.shape, bool)
        for run, known in zip(self._single, self._facts, strict=True):
            least, most = interval(run, known, least, most)
            unknown |= np.isnan(least) | np.isnan(most)
        return least, most, unknown

    @functools.cached_property
    def _segments(self) -> list[tuple[tuple[Step, ...], Run]]:
        """Steps that run in one session, cut where company matters and where a result may be no number."""
        groups: list[list[Step]] = [[]]
        for step, known in zip(self._steps, self._facts, strict=True):
            if known.alone:
                groups += [[step], []]
            else:
                groups[-1].append(step)
                if step.node.op_type in LOSES_NUMBERS:
                    groups.append([])
        return [(tuple(group), self._run(group)) for group in groups if group]

    @functools.cached_property
    def _single(self) -> list[Run]:
        """Each step on its own."""
        return [self._run([step]) for step in self._steps]

    def _run(self, steps: Sequence[Step]) -> Run:
        if facts(steps[0]).alone:
            return _alone(steps[0].node, self._opset)
        return _together(steps, self._rows, self._opset)

    def _no_number(self, values: Reals, steps: Sequence[Step]) -> ModelError:
        for step in steps:
            results = self._run([step])(values)
            lost = np.isnan(results)
            if lost.any():
                return ModelError(
                    f"Results of node {step.node.name!r} ({step.node.op_type}) must be numbers for all values that "
                    f"reach it, not NaN: {values[lost][0]:g} gives none; quantize or clip its input"
                )
            values = results
        raise AssertionError("one of the steps must lose a number")


def _together(steps: Sequence[Step], rows: int, opset: int) -> Run:
    """Steps as one session on tables (m, rows); a lone row gets a double.

    Pow takes another way for tensors whose last dimension is 1 than for all others, whose way counts.
    """
    nodes, constants = [], {}
    width = max(rows, 2)
    name = "x"
    for index, step in enumerate(steps):
        inputs = []
        for position in range(len(step.node.input)):
            if position == step.operand:
                inputs.append(name)
            elif position not in step.parameters:
                inputs.append("")
            else:
                parameter = step.parameters[position]
                if step.node.op_type == "BatchNormalization":
                    parameter = np.broadcast_to(parameter, (width,))
                inputs.append(f"c{index}_{position}")
                constants[inputs[-1]] = parameter
        name = f"y{index}"
        node = helper.make_node(step.node.op_type, inputs, [name])
        node.attribute.extend(step.node.attribute)
        nodes.append(node)
    model = kernels.build(nodes, {"x": (onnx.TensorProto.FLOAT, [None, width])}, [name], constants, opset)
    session = kernels.session(model)

    def run(values: Reals) -> Reals:
        if rows == width:
            return session.run([name], {"x": values})[0]
        return session.run([name], {"x": np.repeat(values, width, axis=1)})[0][:, :rows]

    return run


def _alone(node: onnx.NodeProto, opset: int) -> Run:
    """An operator without parameters on arrays of any shape, each value as if it were alone."""
    attributes = tuple(sorted(a.SerializeToString(deterministic=True) for a in node.attribute))
    if not company_matters(node.op_type, attributes, opset):
        bulk = _bulk(node.op_type, attributes, opset)
        return lambda values: bulk(values.reshape(-1)).reshape(values.shape)
    single = _one_by_one(node.op_type, attributes, opset)

    def run(values: Reals) -> Reals:
        # Sorting costs less than running a value twice.
        distinct, where = np.unique(values, return_inverse=True)
        return single(distinct)[where].reshape(values.shape)

    return run


def _node(kind: str, attributes: tuple[bytes, ...]) -> onnx.NodeProto:
    node = helper.make_node(kind, ["x"], ["y"])
    node.attribute.extend(onnx.AttributeProto.FromString(a) for a in attributes)
    return node


@functools.lru_cache(maxsize=64)
def _bulk(kind: str, attributes: tuple[bytes, ...], opset: int) -> Run:
    model = kernels.build([_node(kind, attributes)], {"x": (onnx.TensorProto.FLOAT, [None])}, ["y"], {}, opset)
    session = kernels.session(model)
    return lambda values: session.run(["y"], {"x": values})[0]


@functools.lru_cache(maxsize=64)
def _one_by_one(kind: str, attributes: tuple[bytes, ...], opset: int) -> Run:
    """The kernel on tensors of one element, in a loop of the executor's own: half a microsecond each, not ten."""
    if opset < SCAN_OPSET:
        bulk = _bulk(kind, attributes, opset)
        return lambda values: np.concatenate([bulk(values[i : i + 1]) for i in range(len(values))])
    element = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    body = helper.make_graph([_node(kind, attributes)], "body", element[:1], element[1:])
    scan = helper.make_node("Scan", ["values"], ["results"], body=body, num_scan_inputs=1)
    model = kernels.build([scan], {"values": (onnx.TensorProto.FLOAT, [None, 1])}, ["results"], {}, opset)
    session = kernels.session(model)
    return lambda values: session.run(["results"], {"values": values.reshape(-1, 1)})[0].reshape(-1)


@functools.lru_cache(maxsize=64)
def company_matters(kind: str, attributes: tuple[bytes, ...], opset: int) -> bool:
    """Whether a value's bits depend on what else is in the tensor: found out on values of all usual magnitudes.

    In onnxruntime 1.31 they do for Elu, Selu, Celu, Softplus, Log and Mish, whose vectors of four use other code than
    what is left over, in 5 to 30 % of all values; and in no other operator.
    """
    random = np.random.default_rng(0)
    values = (random.choice([-1, 1], PROBES) * 2.0 ** random.uniform(-12, 6, PROBES)).astype(np.float32)
    together, apart = _bulk(kind, attributes, opset)(values), _one_by_one(kind, attributes, opset)(values)
    numbers = ~(np.isnan(together) & np.isnan(apart))
    return not np.array_equal(together.view(np.int32)[numbers], apart.view(np.int32)[numbers])
