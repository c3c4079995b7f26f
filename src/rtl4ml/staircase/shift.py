"""The shift form: shift, add an offset, round off the low bits, clip. No multiplier; what power-of-two scales give."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl4ml.formats import Codes, Rounding
from rtl4ml.staircase.function import Staircase

MAX_SHIFT = 48
MAX_LEFT_SHIFT = 16
ESTIMATES = 3
NEVER_LOW, NEVER_HIGH = -(1 << 62), 1 << 62


@dataclass(frozen=True, eq=False)
class ShiftForm:
    """`t = sign * x * 2**left + offset; y = clip(round(t / 2**shift), low, high)`.

    Parameters:
        shift: bits dropped, 0 or more.
        left: int64 (rows,), bits appended first: channels whose scales differ by powers of two share one `shift`.
        offset: int64 (rows,).
        sign: +1 or -1.
        rounding: how the dropped bits round.
        low: lowest code.
        high: highest code.
    """

    shift: int
    left: Codes
    offset: Codes
    sign: int
    rounding: Rounding
    low: int
    high: int

    @property
    def rows(self) -> int:
        """1 or the number of channels."""
        return len(self.offset)

    def evaluate(self, x: NDArray) -> NDArray:
        """Codes for integers x of shape (..., n)."""
        t = (x.astype(np.int64) << self.left) * self.sign + self.offset
        return np.clip((t + self._addend(t)) >> self.shift, self.low, self.high)

    def _addend(self, t: Codes) -> Codes | int:
        """What makes a floor of the rounding."""
        if self.shift == 0:
            return 0
        one, half = 1 << self.shift, 1 << (self.shift - 1)
        match self.rounding:
            case Rounding.HALF_EVEN:
                return half - 1 + ((t >> self.shift) & 1)
            case Rounding.HALF_AWAY:
                return half - (t < 0)
            case Rounding.HALF_TOWARD:
                return half - 1 + (t < 0)
            case Rounding.AWAY:
                return (t >= 0) * (one - 1)
            case Rounding.TOWARD:
                return (t < 0) * (one - 1)
            case Rounding.FLOOR:
                return 0

    def evaluate_float(self, x: NDArray, largest: int) -> NDArray:
        """The same in floating point, for integers up to `largest` in magnitude; float32 where that is exact."""
        if self.rounding not in (Rounding.FLOOR, Rounding.HALF_EVEN):
            return self.evaluate(x)
        bound = (largest << int(self.left.max())) + int(np.abs(self.offset).max())
        if bound >= 1 << 53:
            return self.evaluate(x)
        dtype = np.float32 if bound < 1 << 24 and x.dtype == np.float32 else np.float64
        # Powers of two: scaling before the addition loses nothing.
        y = x.astype(dtype, copy=False) * (self.sign * 2.0 ** (self.left - self.shift)).astype(dtype)
        if self.offset.any():
            y += (self.offset * 2.0**-self.shift).astype(dtype)
        (np.rint if self.rounding is Rounding.HALF_EVEN else np.floor)(y, out=y)
        np.maximum(y, dtype(self.low), out=y)
        return np.minimum(y, dtype(self.high), out=y)


def _boundary(code: Codes, shift: int, rounding: Rounding) -> Codes:
    """The lowest t that rounds to `code` or more, int64 of any shape."""
    one = 1 << shift
    half = one >> 1
    if shift == 0:
        return code
    match rounding:
        case Rounding.HALF_EVEN:
            return code * one - half + (code & 1)
        case Rounding.HALF_AWAY:
            return code * one - half + (code <= 0)
        case Rounding.HALF_TOWARD:
            return code * one - half + (code > 0)
        case Rounding.AWAY:
            return np.where(code > 0, (code - 1) * one + 1, code * one)
        case Rounding.TOWARD:
            return np.where(code > 0, code * one, (code - 1) * one + 1)
        case Rounding.FLOOR:
            return code * one


def reflect(staircase: Staircase) -> Staircase:
    """`x -> f(-x)`: turns falling rows into rising ones."""
    first = np.array([c[-1] if len(c) else f for f, c in zip(staircase.first, staircase.codes, strict=True)], np.int64)
    codes = tuple(np.concatenate([[f], c])[:-1][::-1] for f, c in zip(staircase.first, staircase.codes, strict=True))
    return Staircase(-staircase.high, -staircase.low, first, tuple((1 - p)[::-1] for p in staircase.positions), codes)


def _slope_bits(staircase: Staircase, row: int, estimate: int) -> int | None:
    """log2 of the distance of a row's steps (negative: several codes a step); None with fewer than two steps.

    The outer steps may be cut by saturation, half-even steps lie close and far by turns, and rounding away from or
    toward zero has one odd distance there: so the inner steps, the middle of all distances and all steps are asked in
    turn.
    """
    where, codes = staircase.positions[row], staircase.codes[row]
    if len(where) < 2:
        return None
    if estimate == 1:
        return round(np.log2(np.median(np.diff(where) / np.diff(codes))))
    chosen = slice(1, -1) if estimate == 0 and len(where) > 3 else slice(None)
    return round(np.log2((where[chosen][-1] - where[chosen][0]) / (codes[chosen][-1] - codes[chosen][0])))


def simplest(low: int, high: int) -> int:
    """The integer in [low, high] with most trailing zeros: the cheapest constant, the first of equals."""
    if low <= 0 <= high:
        return 0
    for bit in range(max(abs(low), abs(high)).bit_length(), -1, -1):
        candidate = -(-low >> bit) << bit
        if candidate <= high:
            return candidate
    return low


def _row_offset(x: Codes, y: Codes, shift: int, left: int, rounding: Rounding, low: int, high: int) -> int | None:
    """The simplest offset that gives the codes y at the integers x, or None."""
    t = x << left
    above, below = y > low, y < high
    lowest = (_boundary(y[above], shift, rounding) - t[above]).max(initial=NEVER_LOW)
    highest = (_boundary(y[below] + 1, shift, rounding) - 1 - t[below]).min(initial=NEVER_HIGH)
    if lowest > highest:
        return None
    if lowest == NEVER_LOW:
        return int(highest)
    return int(lowest) if highest == NEVER_HIGH else simplest(int(lowest), int(highest))


def _fit(staircase: Staircase, bits: list[int | None], rounding: Rounding, sign: int) -> ShiftForm | None:
    known = Counter(b for b in bits if b is not None)
    usual = known.most_common(1)[0][0]
    shift = max(0, *known)
    low, high = staircase.code_low, staircase.code_high
    left = np.array([shift - (usual if b is None else b) for b in bits], np.int64)
    if shift > MAX_SHIFT or left.max() > MAX_LEFT_SHIFT:
        return None
    offset = np.zeros(staircase.rows, np.int64)
    for row in range(staircase.rows):
        x, y = staircase.corners(row)
        found = _row_offset(x, y, shift, int(left[row]), rounding, low, high)
        if found is None:
            return None
        offset[row] = found
        alone = ShiftForm(shift, left[row : row + 1], offset[row : row + 1], 1, rounding, low, high)
        if not np.array_equal(alone.evaluate(x), y):
            return None
    if np.all(offset == offset[0]) and np.all(left == left[0]):
        offset, left = offset[:1], left[:1]
    return ShiftForm(shift, left, offset, sign, rounding, low, high)


def fit_shift(staircase: Staircase) -> ShiftForm | None:
    """The shift form that equals the staircase on its whole domain, or None.

    The distance of a row's steps gives its shift, and all its steps together its offset; where no row has two steps, no
    shift is evident and thresholds serve as well. The simplest rounding is preferred. The form is monotone, so equality
    at both ends of every step proves it.
    """
    if not staircase.monotone:
        return None
    falling = [bool(len(c)) and c[0] < f for f, c in zip(staircase.first, staircase.codes, strict=True)]
    moving = [bool(len(c)) for c in staircase.codes]
    if any(falling) and falling != moving:
        return None
    sign = -1 if any(falling) else 1
    rising = reflect(staircase) if sign < 0 else staircase
    tried: list[list[int | None]] = []
    for estimate in range(ESTIMATES):
        bits = [_slope_bits(rising, row, estimate) for row in range(rising.rows)]
        if bits in tried or all(b is None for b in bits):
            continue
        tried.append(bits)
        for rounding in Rounding:
            form = _fit(rising, bits, rounding, sign)
            if form is not None:
                return form
    return None
