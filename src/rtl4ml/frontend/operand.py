"""The activation that a product takes: codes, or exact affine functions of codes that the product can absorb.

`(x + 1) / 2` on codes of a power-of-two scale is exact in float32: the result lies on a grid of its own, and gain and
offset join the product's weights and bias. Where float32 would round, a product needs a quantizer in front.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import gcd

import numpy as np
import onnx
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, spread
from rtl4ml.frontend.early import require_exact
from rtl4ml.frontend.lowering import Lowering
from rtl4ml.frontend.saturation import clipped, identity
from rtl4ml.frontend.values import Flow, alike, channels_of, limits_of, of_period, period_of
from rtl4ml.graph import Tensor
from rtl4ml.operators import Requantize

_SMALLEST = Fraction(1, 1 << 126)  # of normal float32 numbers
_LARGEST = Fraction(1 << 126)
MAX_GAIN_BITS = 16
"""Gains widen the weights: no more than this."""


@dataclass(frozen=True, eq=False)
class Operand:
    """Values `((code - zero_point) * gain + offset) * scale`, zero point being the tensor's.

    Parameters:
        flow: where it comes from.
        tensor: the graph's tensor of the codes.
        scale: float64 () or (k,), element e of the source at e % k.
        offset: int64 () or (k,), likewise.
        gain: int64 () or (k,), likewise.
    """

    flow: Flow
    tensor: Tensor
    scale: NDArray[np.float64]
    offset: Codes
    gain: Codes


def find(lowering: Lowering, node: onnx.NodeProto) -> Operand:
    """The first input of a product.

    Raises:
        ModelError: it is real-valued.
    """
    return of_flow(lowering, node, hardware_flow(lowering, node))


def hardware_flow(lowering: Lowering, node: onnx.NodeProto, *, exact: bool = True) -> Flow:
    """The first input of a node that only hardware has.

    Args:
        lowering: the import.
        node: that reads it.
        exact: its source has to be right as it stands: see `early.Early`.

    Raises:
        ModelError: it is the file's input, the host's, or a join without a quantizer.
    """
    flow = lowering.flow(node.input[0], node)
    lowering.require_clear(flow, node)
    if flow.source is None:
        raise ModelError(
            f"Input {flow.tensor!r} of the model reaches node {node.name!r} ({node.op_type}) "
            f"without a quantizer: an input format must be given, such as {_suggestion(lowering, flow.tensor)} "
            "(--input-format, or input_format= in Python)"
        )
    if flow.source in lowering.joins:
        raise ModelError(
            f"Input {node.input[0]!r} of node {node.name!r} ({node.op_type}) must be quantized, not the output of "
            f"{lowering.joins[flow.source].where}: put a Quant node in front of it"
        )
    if exact:
        require_exact(lowering, flow, node.input[0], node)
    return _rectified(lowering, flow)


def _rectified(lowering: Lowering, flow: Flow) -> Flow:
    """A flow whose only operator pending is a Relu of codes, as codes: those below that of 0 become it."""
    assert flow.source is not None
    relu = bool(flow.steps) and all(step.node.op_type == "Relu" for step in flow.steps) and flow.bias is None
    tensor = lowering.source(flow)
    zero = tensor.format.zero_point.reshape(-1)
    accumulators = lowering.is_product(flow.source) or flow.source in lowering.early
    if not relu or accumulators or np.any(zero != zero[0]) or tensor.format.bipolar:
        return flow
    name, last = flow.steps[-1].node.output[0], flow.steps[-1].node
    if name not in lowering.tensors:
        floor = clipped(identity(tensor), int(zero[0]), max(int(zero[0]), tensor.range[1]))
        lowering.append(
            Requantize(lowering.new_name(last.name or name), (tensor.name,), name, floor, tensor.format, ("Relu",)),
            lowering.layouts[flow.source],
        )
    return Flow(name, name, flow.order)


def of_flow(lowering: Lowering, node: onnx.NodeProto, flow: Flow) -> Operand:
    """A flow from `hardware_flow`, in any order, as integers.

    Raises:
        ModelError: it is real-valued.
    """
    assert flow.source is not None
    tensor = lowering.tensors[flow.source]
    if not flow.steps and flow.bias is None:
        if flow.source in lowering.unquantized:
            # The scale that its codes are read with keeps them; the judge, which knows quantizers only, is told.
            known = lowering.values.get(flow.tensor)
            known = known if isinstance(known, Flow) and known.source is not None else flow
            scale, size = lowering.source(known).format.scale, lowering.source(known).size
            lowering.grids[flow.tensor] = scale if scale.ndim == 0 else spread(scale, size)[known.order]
        meaning = lowering.source(flow).format
        own, meant = alike(tensor.format.zero_point, meaning.zero_point)
        return Operand(flow, tensor, meaning.scale, own - meant, np.ones((), np.int64))
    affine = None if flow.bias is not None else _affine(lowering.source(flow), flow)
    if affine is None:
        last = flow.steps[-1].node if flow.steps else None
        reason = (
            f"the output of node {last.name!r} ({last.op_type})" if last is not None else "an accumulator with a bias"
        )
        raise ModelError(
            f"Input {node.input[0]!r} of node {node.name!r} ({node.op_type}) must be quantized, not {reason}: put a "
            "Quant node in front of it"
        )
    slope, start, grid = affine
    # Values are start + slope * code on the grid; the operand counts from the tensor's own zero point.
    zero_point = tensor.format.zero_point
    lowering.grids[node.input[0]] = float(grid)
    slope, start, zero_point = alike(slope, start, zero_point)
    return Operand(flow, tensor, np.array(float(grid)), start + slope * zero_point, slope)


def _suggestion(lowering: Lowering, name: str) -> str:
    """Input formats to try: what the file's own annotation says, if it has one."""
    for annotation in lowering.model.graph.quantization_annotation:
        for pair in annotation.quant_parameter_tensor_names:
            if annotation.tensor_name == name and pair.key == "finn_datatype":
                found = re.fullmatch(r"BIPOLAR|(U?INT)(\d+)|BINARY", pair.value)
                if found:
                    words = {"BIPOLAR": "bipolar", "BINARY": "uint<1>"}
                    return f"{words.get(found[0]) or f'{found[1].lower()}<{found[2]}>'}, as the file annotates it"
    return "fixed<16,6> or uint<8>/255"


def _unit(*numbers: Fraction) -> Fraction | None:
    """The largest power of two that divides all; None where there is none, 1 for zeros."""
    numbers = tuple(n for n in numbers if n)
    if any(n.denominator & (n.denominator - 1) for n in numbers):
        return None
    return min((Fraction(n.numerator & -n.numerator, n.denominator) for n in numbers), default=Fraction(1))


def _exact(slope: Fraction, start: Fraction, low: int, high: int) -> bool:
    """Whether float32 holds `start + slope * code` for all codes: multiples of a power of two, within 24 bits."""
    unit = _unit(slope, start)
    ends = [abs(start + slope * end) for end in (low, high)]
    return unit is not None and unit >= _SMALLEST and max(ends) <= min(unit * (1 << 24), _LARGEST)


_FUNCTIONS: dict[tuple[str, int], Callable[[Fraction, Fraction, Fraction], tuple[Fraction, Fraction]]] = {
    ("Add", 0): lambda a, b, c: (a, b + c),
    ("Add", 1): lambda a, b, c: (a, b + c),
    ("Sub", 0): lambda a, b, c: (a, b - c),
    ("Sub", 1): lambda a, b, c: (-a, c - b),
    ("Mul", 0): lambda a, b, c: (a * c, b * c),
    ("Mul", 1): lambda a, b, c: (a * c, b * c),
    ("Div", 0): lambda a, b, c: (a / c, b / c),
}
"""Slope and start behind an operator with a constant, by the operand that is not constant."""


def _affine(tensor: Tensor, flow: Flow) -> tuple[Codes, Codes, Fraction] | None:
    """Slope and start as integers on a common grid, source order; None where a step is not affine or float32 rounds."""
    known = [(step.node.op_type, step.operand) in _FUNCTIONS for step in flow.steps]
    constants = [step.parameters[1 - step.operand] for step in flow.steps] if all(known) else []
    arrays: list[NDArray] = [tensor.format.scale, tensor.format.zero_point, *constants]
    if not all(known) or not all(np.all(np.isfinite(a)) for a in arrays):
        return None
    rows = period_of(arrays, tensor.size, channels_of(tensor))
    columns = [np.broadcast_to(of_period(a, rows).reshape(-1), (rows,)).tolist() for a in arrays]
    low, high = limits_of(tensor.low, tensor.high, rows)
    lines = []
    for row, (scale, zero_point, *numbers) in enumerate(zip(*columns, strict=True)):
        reach = int(low[row]), int(high[row])
        slope, start = Fraction(scale), Fraction(scale) * -zero_point
        exact = _exact(slope, start, *reach)
        for step, number in zip(flow.steps, numbers, strict=True):
            if not exact:
                return None
            slope, start = _FUNCTIONS[step.node.op_type, step.operand](slope, start, Fraction(number))
            exact = _exact(slope, start, *reach)
        if not exact:
            return None
        lines.append((slope, start))
    numbers = [n for line in lines for n in line if n]
    denominator = max((n.denominator for n in numbers), default=1)
    grid = Fraction(gcd(*(int(n * denominator) for n in numbers)) or 1, denominator)
    integers = np.array([[int(n / grid) for n in line] for line in lines], np.int64)
    if Fraction(float(np.float32(float(grid)))) != grid or np.abs(integers[:, 0]).max() >= 1 << MAX_GAIN_BITS:
        return None
    return (*(column.reshape(() if rows == 1 else (rows,)) for column in integers.T), grid)
