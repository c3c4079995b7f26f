"""The staircase itself: a function from integers to integers, one a channel, on a finite domain, as its steps."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, spread

TABLE_ENTRIES = 1 << 22
"""Up to this many entries in all, the reference looks codes up in a table instead of searching the steps."""


@dataclass(frozen=True, eq=False)
class Staircase:
    """An integer function per channel, stored as its steps, which may go up and down.

    `f(x) = first` below `positions[0]`, `codes[i]` from `positions[i]` up to the next position. Element e of a tensor
    has the function of row `e % rows`: rows are elements of a vector, channels of a feature map, or one for all.

    Parameters:
        low: int64 (rows,), lowest x of the domain.
        high: int64 (rows,), highest x of the domain.
        first: int64 (rows,), the code at `low`.
        positions: for each row int64 (steps,), ascending, in (low, high].
        codes: for each row int64 (steps,), the code from that position on.
    """

    low: Codes
    high: Codes
    first: Codes
    positions: tuple[Codes, ...]
    codes: tuple[Codes, ...]

    def __post_init__(self) -> None:
        """Check that the steps of every row are real ones, in order and inside its domain.

        Raises:
            ModelError: those of a row are not.
        """
        for row, (where, what) in enumerate(zip(self.positions, self.codes, strict=True)):
            whole = np.concatenate([self.first[row : row + 1], what])
            if len(where) != len(what) or (
                len(where)
                and not (
                    np.all(np.diff(whole) != 0)
                    and np.all(np.diff(where) > 0)
                    and where[0] > self.low[row]
                    and where[-1] <= self.high[row]
                )
            ):
                raise ModelError(
                    "Steps of a staircase must change the code, ascend and lie in its domain, not be as in channel "
                    f"{row}"
                )

    @property
    def rows(self) -> int:
        """Number of distinct functions: 1 when all channels share one."""
        return len(self.first)

    def whole(self, row: int) -> Codes:
        """Codes of a row in the order of its domain, int64 (steps + 1,)."""
        return np.concatenate([self.first[row : row + 1], self.codes[row]])

    @functools.cached_property
    def monotone(self) -> bool:
        """Whether every row either never falls or never rises."""
        jumps = (np.diff(self.whole(row)) for row in range(self.rows))
        return all(bool(np.all(jump > 0) or np.all(jump < 0)) for jump in jumps)

    @functools.cached_property
    def code_ends(self) -> tuple[Codes, Codes]:
        """Lowest and highest code of each row, int64 (rows,) each."""
        rows = [self.whole(row) for row in range(self.rows)]
        return np.array([r.min() for r in rows], np.int64), np.array([r.max() for r in rows], np.int64)

    def reach(self, low: Codes, high: Codes) -> tuple[Codes, Codes]:
        """Lowest and highest code of each channel on a part of the domain.

        Args:
            low: int64 (k,), lowest x of each channel, k a multiple of the rows or a divisor.
            high: int64 (k,), highest.

        Returns:
            int64 (k,) each, or (rows,) where these are more.
        """
        low, high = (spread(limit, max(limit.size, self.rows)) for limit in (low, high))
        if self.monotone:
            codes = np.sort(self.evaluate(np.stack([low, high])).astype(np.int64), axis=0)
            return codes[0], codes[1]
        lows, highs = np.empty(len(low), np.int64), np.empty(len(low), np.int64)
        for channel, ends in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
            row = channel % self.rows
            first, last = np.searchsorted(self.positions[row], ends, side="right")
            part = self.whole(row)[first : last + 1]
            lows[channel], highs[channel] = part.min(), part.max()
        return lows, highs

    @property
    def code_low(self) -> int:
        """The lowest code of any row."""
        return int(self.code_ends[0].min())

    @property
    def code_high(self) -> int:
        """The highest code of any row."""
        return int(self.code_ends[1].max())

    @property
    def steps(self) -> int:
        """Number of steps of the row that has most."""
        return max((len(p) for p in self.positions), default=0)

    def at(self, row: int, x: Codes) -> Codes:
        """Codes of one row at the integers x, any shape. x must lie in the row's domain."""
        return self.whole(row)[np.searchsorted(self.positions[row], x, side="right")]

    def corners(self, row: int) -> tuple[Codes, Codes]:
        """Both ends of every step and of the domain: where a row is monotone, a monotone function equal here is it."""
        where = self.positions[row]
        x = np.unique(np.concatenate([[self.low[row]], where - 1, where, [self.high[row]]]))
        return x, self.at(row, x)

    @functools.cached_property
    def _table(self) -> tuple[NDArray[np.float32], NDArray[np.int64]] | None:
        """All rows' codes one after the other, and what to add to x to find its code; None when too large."""
        sizes = self.high - self.low + 1
        if sizes.sum() > TABLE_ENTRIES or max(-self.code_low, self.code_high) >= 1 << 24:
            return None
        parts = []
        for row in range(self.rows):
            edges = np.concatenate([[self.low[row]], self.positions[row], [self.high[row] + 1]])
            parts.append(np.repeat(self.whole(row), np.diff(edges)))
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        return np.concatenate(parts).astype(np.float32), starts - self.low

    @functools.cached_property
    def _evaluator(self) -> Callable[[NDArray], NDArray]:
        """The fastest exact way to evaluate; every form has been proven equal to the steps by its fit."""
        from rtl4ml.staircase.forms import fit_constant
        from rtl4ml.staircase.shift import fit_shift

        constant, shift = fit_constant(self), fit_shift(self)
        if constant is not None:
            return constant.evaluate
        if shift is not None:
            largest = int(max(np.abs(self.low).max(), np.abs(self.high).max()))
            return lambda x: shift.evaluate_float(x, largest)
        if self.rows == 1 and self.steps <= 3:
            return self._count_steps
        return self._search if self._table is None else self._look_up

    def _look_up(self, x: NDArray) -> NDArray:
        assert self._table is not None
        table, offset = self._table
        return table[x.astype(np.int64) + offset]

    def _count_steps(self, x: NDArray) -> NDArray:
        y = np.full(x.shape, self.first[0], np.float32)
        previous = self.first[0]
        for where, code in zip(self.positions[0], self.codes[0], strict=True):
            y += (x >= where) * np.float32(code - previous)
            previous = code
        return y

    def _search(self, x: NDArray) -> NDArray:
        if self.rows == 1:
            return self.at(0, x.astype(np.int64))
        y = np.empty(x.shape, np.int64)
        for row in range(self.rows):
            y[..., row] = self.at(row, x[..., row].astype(np.int64))
        return y

    def evaluate(self, x: NDArray) -> NDArray:
        """Codes at integers x, of any dtype; floats come back where they hold the codes exactly.

        Args:
            x: of shape (..., n), n a multiple of the rows.
        """
        if self.rows in (1, x.shape[-1]):
            return self._evaluator(x)
        return self._evaluator(x.reshape(*x.shape[:-1], -1, self.rows)).reshape(x.shape)
