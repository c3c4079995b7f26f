"""Where two staircases on one domain have different codes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl4ml.formats import Codes
from rtl4ml.staircase.function import Staircase


@dataclass(frozen=True, eq=False)
class Difference:
    """Runs of x with one pair of codes each, in ascending order in each row.

    Parameters:
        row: int64 (k,), row of the staircases: the channel; 0 where all channels share one row.
        first: int64 (k,), lowest x of the run.
        last: int64 (k,), highest.
        code: int64 (k,), of the staircase.
        other: int64 (k,), of the other one.
        rows: of the staircases.
    """

    row: Codes
    first: Codes
    last: Codes
    code: Codes
    other: Codes
    rows: int

    @property
    def shared(self) -> bool:
        """Whether all channels share one row."""
        return self.rows == 1

    @property
    def count(self) -> int:
        """Integers x with different codes, over all rows."""
        return int((self.last - self.first + 1).sum())

    def __len__(self) -> int:
        return len(self.row)

    def clipped(self, low: int, high: int) -> "Difference":
        """Where both staircases still differ with their codes limited to [low, high]."""
        code, other = (np.minimum(np.maximum(codes, low), high) for codes in (self.code, self.other))
        kept = code != other
        return Difference(self.row[kept], self.first[kept], self.last[kept], code[kept], other[kept], self.rows)

    def other_codes(self, x: NDArray, y: NDArray) -> Codes:
        """The other staircase's codes where the staircase gave y for x, both of shape (N, n)."""
        result = y.astype(np.int64)
        for row, first, last, other in zip(self.row, self.first, self.last, self.other, strict=True):
            elements = slice(row, None, self.rows)
            inside = (x[:, elements] >= first) & (x[:, elements] <= last)
            result[:, elements][inside] = other
        return result


def difference(staircase: Staircase, other: Staircase) -> Difference:
    """Where `other`, a staircase of the same rows and domain, has other codes."""
    found: list[tuple[int, int, int, int, int]] = []
    for row in range(staircase.rows):
        edges = np.union1d(staircase.positions[row], other.positions[row])
        first = np.concatenate([staircase.low[row : row + 1], edges])
        last = np.concatenate([edges - 1, staircase.high[row : row + 1]])
        code, theirs = staircase.at(row, first), other.at(row, first)
        differs = np.flatnonzero(code != theirs)
        found += [(row, int(first[i]), int(last[i]), int(code[i]), int(theirs[i])) for i in differs]
    table = np.array(found, np.int64).reshape(-1, 5)
    row_of, first, last, code, theirs = table.T.copy()
    return Difference(row_of, first, last, code, theirs, staircase.rows)
