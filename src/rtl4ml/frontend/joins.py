"""Operators with two activations: Add, Sub, Mul, Max, Min.

Where float32 computes the join exactly, or compares codes of one format, the integers are the values and the join is an
operator like any other. Elsewhere it waits for the quantizer behind it, which closes it (`join_closing.py`).
"""

from __future__ import annotations

import numpy as np
import onnx

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, Format
from rtl4ml.frontend import common_grid, elementwise
from rtl4ml.frontend.common_grid import FLOAT32_EXACT
from rtl4ml.frontend.early import require_exact
from rtl4ml.frontend.join_closing import Join, build, narrowed, scales_of, sources_of
from rtl4ml.frontend.lowering import HANDLERS, Lowering, handles
from rtl4ml.frontend.pairs import Operand
from rtl4ml.frontend.products import fold_bias
from rtl4ml.frontend.selection import viewed
from rtl4ml.frontend.values import Flow, alike, is_permutation
from rtl4ml.graph import Operator, Tensor
from rtl4ml.operators import Extreme
from rtl4ml.operators.elementwise import centred

assert elementwise  # its handlers are registered before those here take their place


def _two_flows(lowering: Lowering, node: onnx.NodeProto) -> bool:
    return len(node.input) == 2 and all(isinstance(lowering.value(name, node), Flow) for name in node.input)


_WITH_CONSTANTS = {kind: HANDLERS.get(("", kind)) for kind in ("Add", "Sub", "Mul", "Max", "Min")}


@handles("Add", "Sub", "Mul", "Max", "Min")
def join(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Two activations meet; with a constant it is an elementwise operator.

    Raises:
        ModelError: an operand exists on the host only, or shapes that do not broadcast.
    """
    if not _two_flows(lowering, node):
        other = _WITH_CONSTANTS[node.op_type]
        if other is None:
            raise ModelError(
                f"Inputs of node {node.name!r} ({node.op_type}) must be two activations, not {len(node.input)} tensors "
                "with constants among them"
            )
        other(lowering, node)
        return
    flows = [lowering.flow(name, node) for name in node.input]
    if all(flow.source is None for flow in flows):
        first, second = flows
        shape = np.broadcast_shapes(first.order.shape, second.order.shape)
        opaque = (*first.opaque, *second.opaque, node)
        lowering.values[node.output[0]] = Flow(
            first.tensor, None, np.arange(int(np.prod(shape))).reshape(shape), opaque=opaque
        )
        return
    _check(lowering, node, flows)
    flows = [viewed(lowering, fold_bias(lowering, flow)) for flow in flows]
    operands, order = _align(lowering, node, flows)
    done = _exact(lowering, node, flows, operands, order)
    if done is None:
        _wait(lowering, node, flows, operands, order)


def _check(lowering: Lowering, node: onnx.NodeProto, flows: list[Flow]) -> None:
    for name, flow in zip(node.input, flows, strict=True):
        lowering.require_clear(flow, node)
        if flow.source is None:
            raise ModelError(
                f"Input {name!r} of node {node.name!r} ({node.op_type}) must be quantized like its other input, not "
                "real: put a Quant node in front of it"
            )
        if flow.source in lowering.joins:
            inner = lowering.joins[flow.source]
            raise ModelError(
                f"Input {name!r} of node {node.name!r} ({node.op_type}) must be quantized, not the output of "
                f"{inner.where}, whose scales float32 does not add exactly: put a Quant node between them"
            )
        require_exact(lowering, flow, name, node)


def _align(lowering: Lowering, node: onnx.NodeProto, flows: list[Flow]) -> tuple[tuple[Operand, Operand], Codes]:
    """Both operands element by element, and the layout of the join: that of an operand which has all its elements."""
    first, second = flows
    try:
        shape = np.broadcast_shapes(first.order.shape, second.order.shape)
    except ValueError as error:
        raise ModelError(
            f"Inputs of node {node.name!r} ({node.op_type}) must have shapes that broadcast, not "
            f"{list(first.order.shape)} and {list(second.order.shape)}"
        ) from error
    size = int(np.prod(shape, dtype=np.int64))
    order, layout = np.arange(size).reshape(shape), shape[1:]
    for flow in flows:
        tensor = lowering.tensors[str(flow.source)]
        if flow.order.size == size == tensor.size and is_permutation(flow.order):
            order, layout = flow.order.reshape(shape), tensor.shape
            break
    operands = []
    for flow in flows:
        tensor = lowering.tensors[str(flow.source)]
        elements: Codes | None = None
        spread = np.broadcast_to(flow.order, shape)
        if tensor.size != size or not np.array_equal(spread, order):
            elements = np.empty(size, np.int64)
            elements[order.reshape(-1)] = spread.reshape(-1)
        operands.append(Operand(tensor, elements, layout, flow.bias, flow.steps))
    return (operands[0], operands[1]), order


def _bounds(operand: Operand) -> Codes:
    """Largest magnitude of each element without its zero point, in the order of the join, (k,)."""
    low, high = centred(operand.tensor)
    return operand.pick(np.maximum(np.abs(low), np.abs(high)))


def _exact(
    lowering: Lowering, node: onnx.NodeProto, flows: list[Flow], operands: tuple[Operand, Operand], order: Codes
) -> Operator | None:
    """Build a join whose integers are its values, or say that there is none."""
    a, b = operands
    if not (a.plain and b.plain):
        return None
    kind, name, output = node.op_type, node.name or node.output[0], node.output[0]
    if kind in ("Max", "Min") and _same_format(a, b):
        # Codes of one format compare like their values, whatever the scale.
        merged = _merged_format(a, b)
        one = np.ones((), np.int64)
        built: Operator = Extreme(name, sources_of(lowering, operands), output, one, one, merged, kind == "Max")
        return _finish(lowering, built, order)
    first, second = alike(a.scale, b.scale)
    grid = common_grid.exact(first, second)
    if grid is None:
        return None
    # Both values in units of the power of two under the grid: float32 is exact while they have 24 bits.
    unit = np.array([float(m) for m in common_grid.dyadic(grid.scale)[0]]).reshape(grid.scale.shape)
    ends = alike(_bounds(a), np.asarray(grid.left), _bounds(b), np.asarray(grid.right), unit)
    left, right = ends[0] * (ends[1] * ends[4]), ends[2] * (ends[3] * ends[4])
    largest = left * right if kind == "Mul" else left + right if kind in ("Add", "Sub") else np.maximum(left, right)
    if max(left.max(), right.max(), largest.max()) >= FLOAT32_EXACT:
        return None
    inputs = sources_of(lowering, operands)
    tensors = tuple(lowering.tensors[name] for name in inputs)
    built = narrowed(build(kind, name, inputs, output, grid, first * second), tensors)
    return _finish(lowering, built, order)


def _finish(lowering: Lowering, built: Operator, order: Codes) -> Operator:
    lowering.append(built, order)
    lowering.unquantized.add(built.output)
    lowering.values[built.output] = Flow(built.output, built.output, order)
    return built


def _same_format(a: Operand, b: Operand) -> bool:
    zeros = [operand.pick(operand.tensor.format.zero_point) for operand in (a, b)]
    return all(bool(np.all(one == other)) for one, other in (alike(a.scale, b.scale), alike(*zeros)))


def _merged_format(a: Operand, b: Operand) -> Format:
    first, second = a.tensor.format, b.tensor.format
    signed = first.signed or second.signed
    bits = max(f.bits + (signed and not f.signed) for f in (first, second))
    narrow = first.narrow and second.narrow and first.bits == second.bits and first.signed == second.signed
    both = first.bipolar and second.bipolar
    return Format(bits, signed, a.scale, a.pick(first.zero_point), narrow=narrow, bipolar=both)


def _wait(
    lowering: Lowering, node: onnx.NodeProto, flows: list[Flow], operands: tuple[Operand, Operand], order: Codes
) -> None:
    """Leave the join to the quantizer behind it; until then a tensor stands in for its output."""
    output = node.output[0]
    lowering.joins[output] = Join(node, operands, (flows[0], flows[1]), order)
    zeros = np.zeros(1, np.int64)
    lowering.tensors[output] = Tensor(output, operands[0].shape, Format(1, False, np.ones(())), zeros, zeros)
    lowering.layouts[output] = order
    lowering.values[output] = Flow(output, output, order)


def require_closed(lowering: Lowering, flow: Flow, name: str) -> None:
    """Refuse an output that is a join still waiting for its quantizer.

    Raises:
        ModelError: it is.
    """
    if flow.source in lowering.joins:
        waiting = lowering.joins[flow.source]
        raise ModelError(
            f"Output {name!r} must be quantized behind {waiting.where}, whose scales {scales_of(waiting)} float32 "
            "does not add exactly: put a Quant node behind it, or use scales that are powers of two"
        )


def drop_waiting(lowering: Lowering) -> None:
    """Forget the tensors that stood in for joins whose operators have other names or none."""
    made = {operator.output for operator in lowering.operators}
    for name in [n for n in lowering.joins if n not in made]:
        del lowering.tensors[name], lowering.layouts[name]
