"""The larger or smaller of two activations, decided on the codes behind the quantizer.

What follows the join keeps the order of values or turns it round, so that the quantizer's code of the larger value is
the larger code, or the smaller one. Each operand therefore gets the whole chain to itself, and codes are compared:
exact for all scales, however wide the operands are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Format, width_of
from rtl4ml.frontend.chain import Chain
from rtl4ml.frontend.chain_kernels import StepKernels
from rtl4ml.frontend.join_closing import names_of, sources_of
from rtl4ml.frontend.lowering import Lowering
from rtl4ml.frontend.pairs import Operand, Rows
from rtl4ml.frontend.quantizer import AnyQuantizer
from rtl4ml.frontend.values import Flow, Step, limits_of, period_of
from rtl4ml.operators import Extreme, Requantize
from rtl4ml.staircase import Staircase

_FAR = 2.0**60
"""A value behind which no quantizer has steps any more; no operator leaves float32 that far out but to infinity."""


def close(lowering: Lowering, flow: Flow, quantizer: AnyQuantizer) -> tuple[Flow, Staircase] | None:
    """End a waiting Max or Min at a quantizer.

    Args:
        lowering: the import.
        flow: from the join to the quantizer.
        quantizer: it, its parameters () or (k,) in the order of the join.

    Returns:
        The flow, starting from the operator's output, and the staircase; None for other joins, where what follows
        keeps no order, and where an operand's function has too many steps.
    """
    assert flow.source is not None
    waiting = lowering.joins[flow.source]
    if waiting.node.op_type not in ("Max", "Min"):
        return None
    name, output = names_of(lowering, waiting)
    after = [*quantizer.parameters, *(p for step in flow.steps for p in step.parameters.values())]
    arrays = [*waiting.operands[0].parameters(), *waiting.operands[1].parameters(), *after]
    count = Rows(period_of(arrays, waiting.operands[0].size, waiting.operands[0].channels))
    steps = [replace(s, parameters={at: count.of(p) for at, p in s.parameters.items()}) for s in flow.steps]
    behind = StepKernels(steps, count.count, lowering.opset)
    if not behind.monotone:
        return None
    falling = _falling(behind, quantizer.moved(count.of), count.count)
    try:
        found = [_function(lowering, operand, flow.steps, quantizer) for operand in waiting.operands]
    except ModelError:
        return None
    # Where the order turns round, codes with the other sign keep it.
    sign = np.where(falling, -1, 1)
    rows = 1 if np.all(sign == sign[0]) and all(f.rows == 1 for f in found) else count.count
    functions = [_turned(f, sign, rows) for f in found]
    bits, signed = width_of(min(f.code_low for f in functions), max(f.code_high for f in functions))
    plain = Format(bits, signed, np.ones(()))
    inputs = []
    for side, function, operand, source in zip(
        ("first", "second"),
        functions,
        waiting.operands,
        sources_of(lowering, waiting.operands),
        strict=True,
    ):
        made = f"{output}_{side}"
        while made in lowering.tensors or made in lowering.names:
            made += "_"
        words = tuple(step.node.op_type for step in (*operand.steps, *flow.steps))
        lowering.append(Requantize(f"{name}_{side}", (source,), made, function, plain, words), waiting.order)
        inputs.append(made)
    one = np.ones((), np.int64)
    largest = waiting.node.op_type == "Max"
    extreme = Extreme(name, (inputs[0], inputs[1]), output, one, one, plain, largest)
    lowering.append(extreme, waiting.order)
    tensor = lowering.tensors[output]
    low, high = limits_of(tensor.low, tensor.high, rows)
    return replace(flow, tensor=output, source=output, steps=()), _line(functions, low, high, sign[:rows])


def _falling(behind: StepKernels, quantizer: AnyQuantizer, rows: int) -> NDArray[np.bool_]:
    """Whether codes fall as values rise, for every row."""
    ends = np.repeat(np.array([[-_FAR], [_FAR]], np.float32), rows, axis=1)
    with np.errstate(all="ignore"):
        codes = quantizer.codes(behind.values(ends))
    falling: NDArray[np.bool_] = codes[0] > codes[1]
    return falling


def _function(lowering: Lowering, operand: Operand, behind: tuple[Step, ...], quantizer: AnyQuantizer) -> Staircase:
    """Codes of one operand, in the order of the join, to codes behind the quantizer."""
    own = operand.tensor
    chosen = replace(own.format, scale=operand.scale, zero_point=operand.pick(own.format.zero_point))
    low, high = operand.limits
    tensor = replace(own, shape=operand.shape, format=chosen, low=low, high=high)
    steps = tuple(replace(s, parameters={at: operand.pick(p) for at, p in s.parameters.items()}) for s in operand.steps)
    bias = None if operand.bias is None else operand.pick(operand.bias)
    return Chain(tensor, bias, (*steps, *behind), quantizer, lowering.opset).staircase()


def _turned(function: Staircase, sign: NDArray, rows: int) -> Staircase:
    """The function with signs, in so many rows."""
    chosen = [row % function.rows for row in range(rows)]
    return Staircase(
        function.low[chosen],
        function.high[chosen],
        function.first[chosen] * sign[:rows],
        tuple(function.positions[row] for row in chosen),
        tuple(function.codes[row] * sign[at] for at, row in enumerate(chosen)),
    )


def _line(functions: list[Staircase], low: NDArray, high: NDArray, sign: NDArray) -> Staircase:
    """Codes of both functions as they are, or with the other sign; there may be gaps between them: bipolar has no 0."""
    rows = range(len(low))
    codes = [np.unique(np.concatenate([[f.first[r], *f.codes[r]] for f in functions])) for r in rows]
    # The lower limits of an extreme are codes of one of them.
    codes = [c[(c >= low[r]) & (c <= high[r])] for r, c in enumerate(codes)]
    return Staircase(
        low,
        high,
        np.array([c[0] for c in codes], np.int64) * sign,
        tuple(c[1:] for c in codes),
        tuple(c[1:] * s for c, s in zip(codes, sign.tolist(), strict=True)),
    )
