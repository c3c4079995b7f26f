"""A constant matrix as signed digits, and the exact ranges of linear functions."""

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


class Bounds:
    """The ranges of the inputs, and with them the exact range of any linear function of independent inputs.

    Attributes:
        middles: Sum of the ends of each range, int64 (inputs,).
        widths: Difference of these ends.
    """

    def __init__(self, lows: Integers, highs: Integers) -> None:
        """Takes the ends of the ranges, int64 (inputs,) each."""
        self.middles = lows + highs
        self.widths = highs - lows

    def of(self, coefficients: Integers) -> tuple[int, int]:
        """Returns the least and the greatest value of ``coefficients @ inputs``."""
        twice_middle = int(coefficients @ self.middles)
        width = int(np.abs(coefficients) @ self.widths)
        return (twice_middle - width) >> 1, (twice_middle + width) >> 1


def signed_masks(matrix: Integers) -> tuple[Integers, Integers]:
    """Returns the canonical signed digits of every entry: the masks of the powers added, and of those subtracted."""
    magnitude = np.abs(matrix)
    half = magnitude >> 1
    triple = magnitude + half
    changed = half ^ triple
    plus, minus = triple & changed, half & changed
    return np.where(matrix < 0, minus, plus), np.where(matrix < 0, plus, minus)


def digit_counts(matrix: Integers) -> Integers:
    """Returns how many canonical signed digits every entry has."""
    plus, minus = signed_masks(matrix)
    return np.bitwise_count(plus | minus).astype(np.int64)
