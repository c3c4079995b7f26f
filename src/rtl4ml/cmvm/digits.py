"""A constant matrix as signed digits, and the rows that the digits refer to."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rtl4ml.datapath.nodes import range_bits


class Bounds:
    """The ranges of the inputs, and with them the exact range of any linear function of independent inputs."""

    def __init__(self, lows: NDArray[np.int64], highs: NDArray[np.int64]) -> None:
        self._sum = lows + highs
        self._width = highs - lows

    def of(self, coefficients: NDArray[np.int64]) -> tuple[int, int]:
        """Returns the least and the greatest value of ``coefficients @ inputs``."""
        twice_middle = int(coefficients @ self._sum)
        width = int(np.abs(coefficients) @ self._width)
        return (twice_middle - width) >> 1, (twice_middle + width) >> 1


@dataclass(frozen=True)
class Row:
    """An input, or ``rows[lower] + sign * rows[upper] * 2**shift`` of two earlier rows.

    Attributes:
        low: Least value, exactly.
        high: Greatest value, exactly.
        depth: Additions on the longest way from an input.
        coefficients: The row as a linear function of the inputs, shape (inputs,).
        lower: Index of the first row; -1 for an input.
        upper: Index of the second row; -1 for an input.
        shift: Factor of two of the second row, as an exponent.
        sign: +1 or -1, of the second row.
    """

    low: int
    high: int
    depth: int
    coefficients: NDArray[np.int64]
    lower: int = -1
    upper: int = -1
    shift: int = 0
    sign: int = 1

    @cached_property
    def bits(self) -> int:
        """Width of the row's word."""
        return range_bits(self.low, self.high)


@dataclass
class Column:
    """The digits of a column.

    Attributes:
        plus: Row to the bit mask of the powers of two in which it is added.
        minus: Row to the bit mask of the powers in which it is subtracted.
    """

    plus: dict[int, int] = field(default_factory=dict)
    minus: dict[int, int] = field(default_factory=dict)

    def digits(self) -> list[tuple[int, int, int]]:
        """Returns (row, power, sign) of all digits in ascending order."""
        found = []
        for sign, masks in ((1, self.plus), (-1, self.minus)):
            for row, mask in masks.items():
                powers = mask
                while powers:
                    found.append((row, (powers & -powers).bit_length() - 1, sign))
                    powers &= powers - 1
        return sorted(found)

    def load(self, rows: list[Row]) -> int:
        """Returns the sum of ``2**depth`` over the digits: n levels can sum the column if it is at most ``2**n``."""
        return sum(
            mask.bit_count() << rows[row].depth for masks in (self.plus, self.minus) for row, mask in masks.items()
        )


def signed_masks(matrix: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the canonical signed digits of every entry: the masks of the powers added, and of those subtracted."""
    magnitude = np.abs(matrix)
    half = magnitude >> 1
    triple = magnitude + half
    changed = half ^ triple
    plus, minus = triple & changed, half & changed
    return np.where(matrix < 0, minus, plus), np.where(matrix < 0, plus, minus)


def split_columns(matrix: NDArray[np.int64]) -> list[Column]:
    """Returns the digits of a matrix, column by column; the rows are those of the matrix."""
    plus, minus = signed_masks(matrix)
    return [
        Column(
            {int(row): int(plus[row, column]) for row in np.flatnonzero(plus[:, column])},
            {int(row): int(minus[row, column]) for row in np.flatnonzero(minus[:, column])},
        )
        for column in range(matrix.shape[1])
    ]
