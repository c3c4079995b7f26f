"""Affine chains in exact arithmetic: what a chain would be without float32, as pieces of straight lines.

Constants count as the real numbers that their floats are. The one irrational number, the gain of BatchNormalization,
counts as the float64 next to `scale / sqrt(variance + epsilon)`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from rtl4ml.errors import ModelError
from rtl4ml.formats import Reals
from rtl4ml.frontend.kernel_facts import attribute
from rtl4ml.frontend.quantizer import AnyQuantizer, LinearQuantizer, Quantizer
from rtl4ml.frontend.search import MAX_STEPS
from rtl4ml.frontend.values import Step
from rtl4ml.graph import Tensor
from rtl4ml.staircase import Staircase

AFFINE = frozenset(
    {"Add", "Sub", "Mul", "Div", "BatchNormalization", "Relu", "LeakyRelu", "PRelu", "Clip", "Max", "Min", "Abs", "Neg"}
    | {"Identity", "Dropout"}
)
"""Operators that keep a piecewise line a piecewise line; Sub with the operand last too, Div with the operand first."""


@dataclass(frozen=True)
class _Piece:
    """`slope * x + offset` for integers x from `first` to `last`."""

    first: int
    last: int
    slope: Fraction
    offset: Fraction

    def at(self, x: int) -> Fraction:
        return self.slope * x + self.offset


Pieces = list[_Piece]


def staircase(tensor: Tensor, bias: Reals | None, steps: Sequence[Step], quantizer: AnyQuantizer) -> Staircase | None:
    """The chain's function in exact arithmetic; None where an operator is not affine, or the quantizer no plain one.

    Args:
        tensor: where the codes come from; a row for each of its elements.
        bias: () or (rows,) or None.
        steps: parameters () or (rows,).
        quantizer: likewise.

    Raises:
        ModelError: too many steps in all.
    """
    affine = all(s.node.op_type in AFFINE and not (s.node.op_type == "Div" and s.operand == 1) for s in steps)
    if not affine or not isinstance(quantizer, Quantizer | LinearQuantizer):
        return None
    rows = tensor.size
    firsts, positions, codes = [], [], []
    total = 0
    for row in range(rows):
        scale, zero = _number(tensor.format.scale, row), _number(tensor.format.zero_point, row)
        offset = -zero * scale + (0 if bias is None else _number(bias, row))
        pieces = [_Piece(int(tensor.low[row]), int(tensor.high[row]), scale, offset)]
        for step in steps:
            pieces = _apply(pieces, step, row)
        first, changes = _quantized(pieces, quantizer, row, MAX_STEPS - total)
        total += len(changes)
        firsts.append(first)
        positions.append(np.array(list(changes), np.int64))
        codes.append(np.array(list(changes.values()), np.int64))
    return Staircase(tensor.low.copy(), tensor.high.copy(), np.array(firsts, np.int64), tuple(positions), tuple(codes))


def _number(array: np.ndarray, row: int) -> Fraction:
    array = np.asarray(array)
    value = array.reshape(-1)[0 if array.size == 1 else row]
    return Fraction(int(value)) if array.dtype.kind in "iu" else Fraction(float(value))


def _line(pieces: Pieces, gain: Fraction, offset: Fraction) -> Pieces:
    return [_Piece(p.first, p.last, p.slope * gain, p.offset * gain + offset) for p in pieces]


def _bend(pieces: Pieces, at: Fraction, below: Callable[[_Piece], _Piece], above: Callable[[_Piece], _Piece]) -> Pieces:
    """Pieces cut where they pass the value `at`; values up to it and values over it each get their own change."""
    result: Pieces = []
    for piece in pieces:
        parts = [piece]
        if piece.slope:
            crossing = (at - piece.offset) / piece.slope
            # The last x on the first side: a value equal to `at` counts as below.
            last = crossing.__floor__() if piece.slope > 0 else crossing.__ceil__() - 1
            if piece.first <= last < piece.last:
                parts = [
                    _Piece(piece.first, last, piece.slope, piece.offset),
                    _Piece(last + 1, piece.last, piece.slope, piece.offset),
                ]
        result += [(below if part.at(part.first) <= at else above)(part) for part in parts]
    return result


def _keep(piece: _Piece) -> _Piece:
    return piece


def _constant(value: Fraction) -> Callable[[_Piece], _Piece]:
    return lambda piece: _Piece(piece.first, piece.last, Fraction(0), value)


def _scaled(gain: Fraction) -> Callable[[_Piece], _Piece]:
    return lambda piece: _Piece(piece.first, piece.last, piece.slope * gain, piece.offset * gain)


def _apply(pieces: Pieces, step: Step, row: int) -> Pieces:
    kind, zero = step.node.op_type, Fraction(0)
    match kind:
        case "Add" | "Sub" | "Mul" | "Div":
            constant = _number(step.parameters[1 - step.operand], row)
            if kind == "Mul" or kind == "Div":
                return _line(pieces, constant if kind == "Mul" else 1 / constant, zero)
            if step.operand == 1 and kind == "Sub":
                return _line(pieces, Fraction(-1), constant)
            return _line(pieces, Fraction(1), constant if kind == "Add" else -constant)
        case "BatchNormalization":
            return _line(pieces, *_batch_normalization(step, row))
        case "Neg":
            return _line(pieces, Fraction(-1), zero)
        case "Relu":
            return _bend(pieces, zero, _constant(zero), _keep)
        case "Abs":
            return _bend(pieces, zero, _scaled(Fraction(-1)), _keep)
        case "LeakyRelu":
            return _bend(pieces, zero, _scaled(Fraction(attribute(step.node, "alpha", float(np.float32(0.01))))), _keep)
        case "PRelu":
            return _bend(pieces, zero, _scaled(_number(step.parameters[1], row)), _keep)
        case "Max" | "Min":
            limits = [_number(value, row) for value in step.parameters.values()]
            return _limit(pieces, limits if kind == "Max" else [], limits if kind == "Min" else [])
        case "Clip":
            return _limit(pieces, *_clip_limits(step, row))
    return pieces  # Identity, Dropout


def _limit(pieces: Pieces, low: Iterable[Fraction], high: Iterable[Fraction]) -> Pieces:
    for value in low:
        pieces = _bend(pieces, value, _constant(value), _keep)
    for value in high:
        pieces = _bend(pieces, value, _keep, _constant(value))
    return pieces


def _clip_limits(step: Step, row: int) -> tuple[list[Fraction], list[Fraction]]:
    """Limits by input or, in old opsets, by attribute; infinite ones are none."""
    found: tuple[list[Fraction], list[Fraction]] = ([], [])
    named = {a.name: float(a.f) for a in step.node.attribute}
    for position, name in ((1, "min"), (2, "max")):
        value = float(step.parameters[position].reshape(-1)[0]) if position in step.parameters else named.get(name)
        if value is not None and np.isfinite(value):
            found[position - 1].append(Fraction(value))
    return found


def _batch_normalization(step: Step, row: int) -> tuple[Fraction, Fraction]:
    scale, offset, mean, variance = (_number(step.parameters[position], row) for position in range(1, 5))
    epsilon = attribute(step.node, "epsilon", float(np.float32(1e-5)))
    gain = Fraction(float(scale) / float(np.sqrt(float(variance) + epsilon)))
    return gain, offset - mean * gain


def _reaching(mode: str, code: int) -> tuple[Fraction, bool]:
    """The least value that a rounding mode brings to `code` or more, and whether it is itself among them."""
    half = Fraction(2 * code - 1, 2)
    match mode:
        case "FLOOR":
            return Fraction(code), True
        case "CEIL":
            return Fraction(code - 1), False
        case "UP":
            return (Fraction(code - 1), False) if code > 0 else (Fraction(code), True)
        case "DOWN":
            return (Fraction(code), True) if code > 0 else (Fraction(code - 1), False)
        case "HALF_UP":
            return half, code > 0
        case "HALF_DOWN":
            return half, code <= 0
    return half, code % 2 == 0


def _quantized(
    pieces: Pieces, quantizer: Quantizer | LinearQuantizer, row: int, most: int
) -> tuple[int, dict[int, int]]:
    """The code of the first x, and the codes at all x where they change, in order."""
    scale, zero = _number(quantizer.scale, row), _number(quantizer.zero_point, row)
    low, high = quantizer.limits
    if isinstance(quantizer, LinearQuantizer):
        mode, shift = "ROUND", int(zero)
        divided = _line(pieces, 1 / scale, Fraction(0))
    else:
        mode, shift = quantizer.rounding_mode, 0
        divided = _line(pieces, 1 / scale, zero) if quantizer.divides else pieces
    bipolar = isinstance(quantizer, Quantizer) and quantizer.bipolar

    def boundary(code: int) -> tuple[Fraction, bool]:
        return (Fraction(0), True) if bipolar else _reaching(mode, code - shift)

    def code_of(value: Fraction) -> int:
        if bipolar:
            return 1 if value >= 0 else -1
        code = min(max(value.__floor__() + shift, low), high)
        # The floor is right or one too few, whatever the mode; two, for none.
        while code < high and _reached(value, *boundary(code + 1)):
            code += 1
        while code > low and not _reached(value, *boundary(code)):
            code -= 1
        return code

    changes: dict[int, int] = {}
    begin = current = code_of(divided[0].at(divided[0].first))
    for piece in divided:
        start, end = code_of(piece.at(piece.first)), code_of(piece.at(piece.last))
        if start != current:
            changes[piece.first] = current = start
        step = (2 if bipolar else 1) * (1 if end > start else -1)
        steps = abs(end - start) + len(changes)
        if steps > most:
            raise ModelError(
                f"Steps of node {quantizer.node!r} ({quantizer.operator}) must be at most {MAX_STEPS} over all "
                f"channels, not {MAX_STEPS - most + steps} or more: use fewer bits"
            )
        for code in range(start + step, end + step, step) if end != start else ():
            limit, included = boundary(code if step > 0 else code - step)
            crossing = (limit - piece.offset) / piece.slope
            if step > 0:
                position = crossing.__ceil__() if included else crossing.__floor__() + 1
            else:
                position = crossing.__floor__() + 1 if included else crossing.__ceil__()
            changes[position] = current = code
    return begin, changes


def _reached(value: Fraction, limit: Fraction, included: bool) -> bool:
    return value >= limit if included else value > limit
