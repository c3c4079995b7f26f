"""A join of two activations ends at its quantizer: integer factors, and the staircase behind them, proven on all pairs.

Factors are searched for which the quantizer's code is a function of `left * a + right * b` (or `a * b`, or the extreme)
over all pairs of codes. That function is the staircase behind the join. The last resort are factors that number the
pairs: a two-dimensional table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, Format, width_of
from rtl4ml.frontend import common_grid
from rtl4ml.frontend.chain import Chain
from rtl4ml.frontend.common_grid import Grid
from rtl4ml.frontend.lowering import Lowering
from rtl4ml.frontend.pairs import Operand, Pairs, run_pairs
from rtl4ml.frontend.quantizer import AnyQuantizer
from rtl4ml.frontend.selection import select
from rtl4ml.frontend.values import Flow, alike, limits_of
from rtl4ml.graph import Operator, Tensor
from rtl4ml.operators import Add, Extreme, Multiply
from rtl4ml.staircase import Staircase

TABLE_PAIRS = 1 << 12
"""Pairs of codes that a two-dimensional table holds, and steps that a function of the join's integers may have."""

MORE_STEPS = 2
"""So many times the steps of the chain may come of rounding."""


@dataclass(frozen=True, eq=False)
class Join:
    """A join that waits for its quantizer.

    Parameters:
        node: in the file.
        operands: both sides, in the order of the join.
        flows: the same as flows.
        order: the join's layout in the file.
    """

    node: onnx.NodeProto
    operands: tuple[Operand, Operand]
    flows: tuple[Flow, Flow]
    order: Codes

    @property
    def where(self) -> str:
        """For messages."""
        return f"node {self.node.name!r} ({self.node.op_type})"


def sources_of(lowering: Lowering, operands: tuple[Operand, Operand]) -> tuple[str, str]:
    """Tensors whose elements stand in the order of the join."""
    first, second = (
        o.tensor.name if o.elements is None else select(lowering, o.tensor.name, o.elements, o.shape) for o in operands
    )
    return first, second


def names_of(lowering: Lowering, waiting: Join) -> tuple[str, str]:
    """Names of a join's operator and its tensor: new ones for each quantizer that closes it."""
    name, output = waiting.node.name or waiting.node.output[0], waiting.node.output[0]
    used = sum(operator.output.startswith(output) for operator in lowering.operators)
    if any(operator.output == output for operator in lowering.operators):
        return f"{name}_{used + 1}", f"{output}_{used + 1}"
    return name, output


def scales_of(waiting: Join) -> str:
    """Scales of both operands, for messages."""
    return " and ".join(f"{float(operand.scale.reshape(-1)[0]):.8g}" for operand in waiting.operands)


def build(
    kind: str, name: str, inputs: tuple[str, str], output: str, grid: Grid, product: NDArray[np.float64]
) -> Operator:
    """The operator of a join on a grid; `product` is the scale of a product."""
    if kind == "Mul":
        return Multiply(name, inputs, output, product)
    if kind in ("Max", "Min"):
        return Extreme(name, inputs, output, grid.left, grid.right, Format(52, True, grid.scale), kind == "Max")
    right = np.negative(grid.right, out=np.empty_like(grid.right)) if kind == "Sub" else grid.right
    return Add(name, inputs, output, grid.left, right, grid.scale)


def narrowed(built: Operator, tensors: tuple[Tensor, ...]) -> Operator:
    """An extreme on a common grid with no more bits than its codes need; other operators find theirs themselves."""
    if not isinstance(built, Extreme):
        return built
    bits, signed = width_of(*built.infer(tensors).range)
    return replace(built, format=replace(built.format, bits=bits, signed=signed))


def close(lowering: Lowering, flow: Flow, quantizer: AnyQuantizer) -> tuple[Flow, Staircase]:
    """End a waiting join at a quantizer: the join becomes an operator, and what follows it a staircase.

    Args:
        lowering: the import.
        flow: from the join to the quantizer.
        quantizer: it, its parameters () or (k,) in the order of the join.

    Returns:
        The flow, starting from the operator's output, and the staircase.

    Raises:
        ModelError: no integers give the file's codes for all pairs.
    """
    assert flow.source is not None
    waiting = lowering.joins[flow.source]
    node = waiting.node
    pairs = run_pairs(node.op_type, waiting.operands, flow.steps, quantizer, lowering.opset, waiting.where)
    inputs = sources_of(lowering, waiting.operands)
    tensors = tuple(lowering.tensors[name] for name in inputs)
    name, output = names_of(lowering, waiting)
    best: tuple[Operator, Staircase] | None = None
    for candidate in _candidates(waiting, name, inputs, output, quantizer.code_scale):
        try:
            built = narrowed(candidate, tensors)
            tensor = built.infer(tensors)
        except ModelError:
            continue
        joined = _joined(built, tensors, pairs)
        if not _is_function(joined, pairs.codes):
            continue
        try:
            natural = Chain(tensor, None, flow.steps, quantizer, lowering.opset).staircase()
        except ModelError:
            continue
        if pairs.rows.count % natural.rows:
            continue
        found = _fit(_spread(natural, tensor, pairs), joined, pairs)
        if found is None:
            continue
        if _follows(found, natural):
            best = built, found
            break
        if _steps(found) <= TABLE_PAIRS and (best is None or _steps(found) < _steps(best[1])):
            best = built, found
    if best is not None:
        lowering.append(best[0], waiting.order)
        return replace(flow, tensor=output, source=output), best[1]
    table = _numbered(waiting, name, inputs, output, tensors, pairs)
    if table is not None:
        lowering.append(table[0], waiting.order)
        return replace(flow, tensor=output, source=output), table[1]
    raise ModelError(
        f"Operands of {waiting.where} must have scales that integers of 24 bits can stand for, not "
        f"{scales_of(waiting)}: no sum of integers gives the codes of node {quantizer.node!r} ({quantizer.operator}) "
        f"for all pairs, and a table of all pairs would have more than {TABLE_PAIRS} entries; give both operands the "
        "same scale, or powers of two"
    )


def _candidates(waiting: Join, name: str, inputs: tuple[str, str], output: str, behind: NDArray) -> Iterator[Operator]:
    a, b, behind = alike(*(_slope(operand) for operand in waiting.operands), np.asarray(behind, np.float64))
    kind = waiting.node.op_type
    if kind == "Mul":
        yield Multiply(name, inputs, output, np.abs(a * b))
        return
    for grid in common_grid.approximations(np.abs(a), np.abs(b), behind):
        built = build(kind, name, inputs, output, grid, np.abs(a * b))
        if isinstance(built, Add):
            signs = (np.sign(slope).astype(np.int64) for slope in (a, b))
            built = replace(built, left=built.left * next(signs), right=built.right * next(signs))
        yield built


def _slope(operand: Operand) -> NDArray[np.float64]:
    """About how much a code counts behind the operand's own operators: only a start, the pairs are the proof."""
    slope = operand.scale
    for step in operand.steps:
        if step.node.op_type == "Neg":
            slope = -slope
        elif step.node.op_type in ("Mul", "Div"):
            factor = operand.pick(step.parameters[1 - step.operand]).astype(np.float64)
            factor = np.where(factor == 0, 1.0, factor)
            slope, factor = alike(slope, factor)
            slope = slope * factor if step.node.op_type == "Mul" else slope / factor
    return slope


def _numbered(
    waiting: Join, name: str, inputs: tuple[str, str], output: str, tensors: tuple[Tensor, ...], pairs: Pairs
) -> tuple[Operator, Staircase] | None:
    """A two-dimensional table: factors that give every pair of codes a number of its own; None where too large."""
    (low_a, high_a), (low_b, high_b) = (tensor.range for tensor in tensors)
    row = high_b - low_b + 1
    if (high_a - low_a + 1) * row > TABLE_PAIRS:
        return None
    one = np.ones((), np.int64)
    built = Add(name, inputs, output, one * row, one, np.ones(()))
    tensor = built.infer(tensors)
    count = pairs.rows.count
    low, high = limits_of(tensor.low, tensor.high, count)
    nothing = tuple(np.empty(0, np.int64) for _ in range(count))
    flat = Staircase(low, high, np.zeros(count, np.int64), nothing, nothing)
    found = _fit(flat, _joined(built, tensors, pairs), pairs)
    return None if found is None else (built, found)


def _joined(built: Operator, tensors: tuple[Tensor, ...], pairs: Pairs) -> Codes:
    """What an operator makes of all pairs, int64 (m, rows)."""
    rows = pairs.rows
    names = [name for name in ("left", "right") if hasattr(built, name)]
    factors: dict[str, Any] = {name: rows.of(np.asarray(getattr(built, name))) for name in names}
    moved = replace(built, **factors)
    return moved.evaluate([pairs.left, pairs.right], [rows.tensor(t) for t in tensors]).astype(np.int64)


def _is_function(joined: Codes, codes: Codes) -> bool:
    """Whether pairs with one sum want one code: there is no staircase else, and finding that out is cheap."""
    for row in range(joined.shape[1]):
        order = np.argsort(joined[:, row], kind="stable")
        same = np.diff(joined[order, row]) == 0
        if np.any(same & (np.diff(codes[order, row]) != 0)):
            return False
    return True


def _spread(natural: Staircase, tensor: Tensor, pairs: Pairs) -> Staircase:
    """What the chain makes of the join's integers, in as many rows as the pairs have: only the operands may differ."""
    if natural.rows == pairs.rows.count:
        return natural
    lowest, highest = limits_of(tensor.low, tensor.high, pairs.rows.count)
    ends = [(row % natural.rows, *e) for row, e in enumerate(zip(lowest.tolist(), highest.tolist(), strict=True))]
    inside = [(natural.positions[row] > low) & (natural.positions[row] <= high) for row, low, high in ends]
    return Staircase(
        lowest,
        highest,
        np.array([natural.at(row, np.array([low]))[0] for row, low, _ in ends], np.int64),
        tuple(natural.positions[row][chosen] for (row, _, _), chosen in zip(ends, inside, strict=True)),
        tuple(natural.codes[row][chosen] for (row, _, _), chosen in zip(ends, inside, strict=True)),
    )


def _follows(found: Staircase, natural: Staircase) -> bool:
    """Whether a function is the chain's but for its rounding; others number pairs, and take as many steps."""
    monotone = found.monotone or not natural.monotone
    return monotone and _steps(found) <= MORE_STEPS * (1 + _steps(natural))


def _steps(staircase: Staircase) -> int:
    """Of the row that has most."""
    return max(len(positions) for positions in staircase.positions)


def _fit(natural: Staircase, t: Codes, pairs: Pairs) -> Staircase | None:
    """The staircase that gives the codes of all pairs, or None.

    `natural` is what the chain makes of the join's integers `t`; where the pairs say otherwise, they are right.
    """
    if all(np.array_equal(natural.at(row, t[:, row]), pairs.codes[:, row]) for row in range(pairs.rows.count)):
        return natural
    positions, codes, first = [], [], []
    for row in range(pairs.rows.count):
        patched = _patch(natural, row, t[:, row], pairs.codes[:, row])
        if patched is None:
            return None
        first.append(patched[0])
        positions.append(patched[1])
        codes.append(patched[2])
    return Staircase(natural.low, natural.high, np.array(first, np.int64), tuple(positions), tuple(codes))


def _patch(natural: Staircase, row: int, t: Codes, y: Codes) -> tuple[int, Codes, Codes] | None:
    """One row's first code, steps and codes from its pairs; None where two pairs with one sum want two codes."""
    # All elements in one row: one has the lowest code of an operand, another that of the other; their sum, none.
    reached = (t >= natural.low[row]) & (t <= natural.high[row])
    t, y = t[reached], y[reached]
    where, index = np.unique(t, return_index=True)
    wanted = y[index]
    if not np.array_equal(wanted[np.searchsorted(where, t)], y):
        return None
    # A step stands where the natural staircase has it, if that is between the same two sums.
    change = np.flatnonzero(np.diff(wanted))
    positions = where[change + 1]
    for number, at in enumerate(change):
        inside = natural.positions[row]
        inside = inside[(inside > where[at]) & (inside <= where[at + 1])]
        if len(inside) == 1:
            positions[number] = inside[0]
    return int(wanted[0]), positions, wanted[change + 1]
