"""The multiply-add form `clip(floor((M * x + B) / 2**S))`, with exceptions where float32 leaves the line."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl4ml.formats import Codes, Rounding
from rtl4ml.staircase.function import Staircase
from rtl4ml.staircase.shift import reflect, simplest

MAX_SHIFT = 40
LARGEST_MULTIPLIER = (1 << 24) - 1
MAX_EXCEPTIONS = 16
MAX_SLACK = 64


@dataclass(frozen=True, eq=False)
class AffineForm:
    """`y = clip(round((multiplier * x + offset) / 2**shift), low, high)`, but for the listed x.

    Parameters:
        multiplier: int64 (rows,).
        offset: int64 (rows,).
        shift: bits dropped, 0 or more.
        rounding: FLOOR (a half is part of the offset).
        low: lowest code.
        high: highest code.
        exceptions: for each row pairs (x, y).
    """

    multiplier: Codes
    offset: Codes
    shift: int
    rounding: Rounding
    low: int
    high: int
    exceptions: tuple[tuple[tuple[int, int], ...], ...]

    @property
    def rows(self) -> int:
        """1 or the number of channels."""
        return len(self.multiplier)

    def evaluate(self, x: NDArray) -> NDArray:
        """Codes for integers x of shape (..., n)."""
        x = x.astype(np.int64)
        y = np.clip((x * self.multiplier + self.offset) >> self.shift, self.low, self.high)
        for row, pairs in enumerate(self.exceptions):
            channel = slice(None) if self.rows == 1 else slice(row, row + 1)
            for where, code in pairs:
                y[..., channel][x[..., channel] == where] = code
        return y


@dataclass(frozen=True)
class _Points:
    """A line is to be `>= code * 2**S` at lower points and `<= code * 2**S - 1` at upper ones."""

    lower_at: Codes
    lower_code: Codes
    upper_at: Codes
    upper_code: Codes


def _hull(at: Codes, code: Codes, sign: int) -> NDArray[np.intp]:
    """Indices of the upper (sign +1) or lower (-1) convex hull, `at` ascending (Andrew's monotone chain)."""
    chain: list[int] = []
    xs, ys = at.tolist(), (sign * code).tolist()
    for i in range(len(xs)):
        while len(chain) >= 2:
            a, b = chain[-2], chain[-1]
            if (xs[b] - xs[a]) * (ys[i] - ys[a]) - (ys[b] - ys[a]) * (xs[i] - xs[a]) < 0:
                break
            chain.pop()
        chain.append(i)
    return np.array(chain, np.intp)


def _conditions(staircase: Staircase, row: int, low: int, high: int, slack: int = 0) -> _Points:
    """The conditions of a rising row; with slack, each step may come that much later or earlier."""
    where, codes, first = staircase.positions[row], staircase.codes[row], staircase.first[row]
    whole = np.concatenate([[first], codes])
    lower_at, lower_code = where + slack, codes
    upper_at, upper_code = where - 1 - slack, whole[:-1] + 1
    if first > low:
        lower_at, lower_code = np.concatenate([[staircase.low[row]], lower_at]), np.concatenate([[first], lower_code])
    if whole[-1] < high:
        upper_at = np.concatenate([upper_at, [staircase.high[row]]])
        upper_code = np.concatenate([upper_code, [whole[-1] + 1]])
    # Only the hulls can bind: the highest lower points and the lowest upper points.
    order_l, order_u = np.argsort(lower_at, kind="stable"), np.argsort(upper_at, kind="stable")
    lower_at, lower_code, upper_at, upper_code = (
        lower_at[order_l],
        lower_code[order_l],
        upper_at[order_u],
        upper_code[order_u],
    )
    keep_l, keep_u = _hull(lower_at, lower_code, 1), _hull(upper_at, upper_code, -1)
    return _Points(lower_at[keep_l], lower_code[keep_l], upper_at[keep_u], upper_code[keep_u])


def _multiplier_range(points: _Points, shift: int) -> tuple[int, int] | None:
    """All M for which an integer B exists: each pair of a lower and an upper point bounds M on one side."""
    dt = points.upper_at[None, :] - points.lower_at[:, None]
    dk = ((points.upper_code[None, :] - points.lower_code[:, None]) << shift) - 1
    if np.any((dt == 0) & (dk < 0)):
        return None
    right, left = dt > 0, dt < 0
    highest = int((dk[right] // dt[right]).min()) if right.any() else 1 << 62
    lowest = int((-(dk[left] // -dt[left])).max()) if left.any() else 0
    lowest = max(lowest, 0)
    return (lowest, highest) if lowest <= highest else None


def _offset_range(points: _Points, shift: int, multiplier: int) -> tuple[int, int]:
    lowest = int(((points.lower_code << shift) - multiplier * points.lower_at).max()) if len(points.lower_at) else None
    highest = (
        int(((points.upper_code << shift) - 1 - multiplier * points.upper_at).min()) if len(points.upper_at) else None
    )
    if lowest is None:
        assert highest is not None
        return highest, highest
    return lowest, lowest if highest is None else highest


def _smallest_shift(points: _Points, largest: int) -> int | None:
    """A solution at S gives one at S + 1 (double both), so bisection finds the smallest S."""
    if _multiplier_range(points, largest) is None:
        return None
    low, high = -1, largest
    while high - low > 1:
        middle = (low + high) // 2
        if _multiplier_range(points, middle) is None:
            low = middle
        else:
            high = middle
    return high


def _small_multipliers(points: _Points, shift: int) -> tuple[int, int] | None:
    """Those M for which an integer B exists that have no more bits than a multiplier takes."""
    span = _multiplier_range(points, shift)
    if span is None or span[0] > LARGEST_MULTIPLIER:
        return None
    return span[0], min(span[1], LARGEST_MULTIPLIER)


def _largest_shift(rows: list[Staircase]) -> int:
    """The shift up to which the steepest row's multiplier is small enough.

    Args:
        rows: row r of the r-th staircase, which rises.
    """
    largest = MAX_SHIFT
    for row, staircase in enumerate(rows):
        where, codes = staircase.positions[row], staircase.codes[row]
        if len(where) > 1:
            width = int(where[-1] - where[0]) * LARGEST_MULTIPLIER // int(codes[-1] - codes[0])
            largest = min(largest, width.bit_length() - 1)
    return largest


def _crossings(staircase: Staircase, row: int) -> tuple[Codes, Codes]:
    """Where a rising row reaches each of its codes but the lowest, and these codes."""
    whole = np.concatenate([staircase.first[row : row + 1], staircase.codes[row]])
    return np.repeat(staircase.positions[row], np.diff(whole)), np.arange(whole[0] + 1, whole[-1] + 1)


def _moved(at: Codes, code: Codes, m: int, b: Codes, shift: int) -> Codes:
    """How much later than at `at` lines reach the codes, int64 (lines, codes): one line for each offset b."""
    return -(-((code << shift) - b[:, None]) // m) - at


def _row_exceptions(
    staircase: Staircase, row: int, m: int, b: int, shift: int, low: int, high: int
) -> list[tuple[int, int]] | None:
    """Where the line's code is not the row's, or None when that is more than MAX_EXCEPTIONS."""
    at, code = _crossings(staircase, row)
    later = _moved(at, code, m, np.array([b]), shift)[0]
    if np.abs(later).max() > MAX_EXCEPTIONS:
        return None
    found: set[int] = set()
    for where, by in zip(at[later != 0].tolist(), later[later != 0].tolist(), strict=True):
        found.update(range(where, where + by) if by > 0 else range(where + by, where))
    if len(found) > MAX_EXCEPTIONS:
        return None
    inside = np.array(sorted(x for x in found if staircase.low[row] <= x <= staircase.high[row]), np.int64)
    codes = staircase.at(row, inside)
    line = np.clip((inside * m + b) >> shift, low, high)
    pairs = [(int(x), int(y)) for x, y, z in zip(inside, codes, line, strict=True) if y != z]
    # Ends of the domain: nothing outside the steps may differ.
    x, y = staircase.corners(row)
    got = np.clip((x * m + b) >> shift, low, high)
    listed = {p[0] for p in pairs}
    return pairs if all(g == c or int(a) in listed for a, g, c in zip(x, got, y, strict=True)) else None


def _fit_row_with_exceptions(
    staircase: Staircase, row: int, shift: int, low: int, high: int
) -> tuple[int, int, list[tuple[int, int]]] | None:
    """A line for a row with the fewest exceptions among a few: the slack of the steps grows until a line fits."""
    slack = 0
    while slack <= MAX_SLACK:
        points = _conditions(staircase, row, low, high, slack)
        span = _small_multipliers(points, shift)
        if span is not None:
            break
        slack = max(1, slack * 2)
    else:
        return None
    best: tuple[int, int, list[tuple[int, int]]] | None = None
    at, code = _crossings(staircase, row)
    for m in sorted({simplest(*span), *(span[0] + (span[1] - span[0]) * i // 16 for i in range(17))} - {0}):
        lowest, highest = _offset_range(points, shift, m)
        offsets = lowest + (highest - lowest) * np.arange(33) // 32
        b = int(offsets[np.abs(_moved(at, code, m, offsets, shift)).sum(axis=1).argmin()])
        pairs = _row_exceptions(staircase, row, m, b, shift, low, high)
        if pairs is not None and (best is None or len(pairs) < len(best[2])):
            best = (m, b, pairs)
    return best


def fit_affine(staircase: Staircase) -> AffineForm | None:
    """The multiply-add form that equals the staircase on its whole domain, or None.

    The smallest S that serves all channels, then for each channel the multiplier with most trailing zeros, then the
    offset likewise. Channels that no line fits get exceptions, 16 at most. All comparisons are exact integers.
    """
    low, high = staircase.code_low, staircase.code_high
    if (
        staircase.steps == 0
        or not staircase.monotone
        or staircase.low.min() < -(1 << 38)
        or staircase.high.max() >= 1 << 38
        or staircase.steps > 1 << 12
    ):
        return None
    falling = [bool(len(c)) and c[0] < f for f, c in zip(staircase.first, staircase.codes, strict=True)]
    mirrored = reflect(staircase) if any(falling) else staircase
    rows = [mirrored if down else staircase for down in falling]
    points = [_conditions(s, row, low, high) for row, s in enumerate(rows)]
    # Codes times 2**S must stay far from 63 bits.
    largest = min(MAX_SHIFT, 60 - max(abs(low), abs(high)).bit_length())
    shifts = [_smallest_shift(p, largest) for p in points]
    # Exceptions must not cost a coarser line: give such rows a shift at which slack decides, not the grid of M.
    shift = max([s for s in shifts if s is not None], default=0)
    if any(s is None for s in shifts):
        shift = max(shift, min(MAX_SHIFT, 16 + int(np.log2(max(1, staircase.high.max() - staircase.low.min()))) // 2))
    shift = min(shift, _largest_shift(rows))
    multiplier, offset = np.zeros(staircase.rows, np.int64), np.zeros(staircase.rows, np.int64)
    exceptions: list[tuple[tuple[int, int], ...]] = []
    for row, (p, s, rising) in enumerate(zip(points, shifts, rows, strict=True)):
        pairs: list[tuple[int, int]] = []
        if not len(rising.positions[row]):
            m, b = 0, int(rising.first[row]) << shift
        elif s is not None and (span := _small_multipliers(p, shift)) is not None:
            m = simplest(*span)
            b = simplest(*_offset_range(p, shift, m))
        else:
            fitted = _fit_row_with_exceptions(rising, row, shift, low, high)
            if fitted is None:
                return None
            m, b, pairs = fitted
        sign = -1 if falling[row] else 1
        multiplier[row], offset[row] = sign * m, b
        exceptions.append(tuple(sorted((sign * x, y) for x, y in pairs)))
    form = AffineForm(multiplier, offset, shift, Rounding.FLOOR, low, high, tuple(exceptions))
    return form if _equal(form, staircase) else None


def _equal(form: AffineForm, staircase: Staircase) -> bool:
    """Proof by monotony: equal at both ends of every step, at every exception and beside each."""
    for row in range(staircase.rows):
        x, _ = staircase.corners(row)
        listed = np.array([p[0] for p in form.exceptions[row]], np.int64)
        around = np.concatenate([x, listed - 1, listed, listed + 1])
        around = np.unique(around[(around >= staircase.low[row]) & (around <= staircase.high[row])])
        alone = AffineForm(
            form.multiplier[row : row + 1],
            form.offset[row : row + 1],
            form.shift,
            form.rounding,
            form.low,
            form.high,
            (form.exceptions[row],),
        )
        if not np.array_equal(alone.evaluate(around[:, None])[:, 0], staircase.at(row, around)):
            return False
    return True
