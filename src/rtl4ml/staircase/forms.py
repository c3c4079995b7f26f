"""Constant and threshold forms, and what every form has in common."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rtl4ml.formats import Codes
from rtl4ml.staircase.function import Staircase


class Form(Protocol):
    """A way to compute a staircase in hardware, equal to it on its whole domain."""

    @property
    def rows(self) -> int:
        """1 when all channels share the parameters, else the number of channels."""

    def evaluate(self, x: NDArray) -> NDArray:
        """Codes for integers x of shape (..., n)."""


@dataclass(frozen=True, eq=False)
class ConstantForm:
    """Every x gives the same code: `value`, int64 (rows,)."""

    value: Codes

    @property
    def rows(self) -> int:
        """1 or the number of channels."""
        return len(self.value)

    def evaluate(self, x: NDArray) -> NDArray:
        """`value`, broadcast to the shape of x."""
        return np.broadcast_to(self.value, x.shape)


@dataclass(frozen=True, eq=False)
class ThresholdForm:
    """Count the thresholds reached: `y = base + sign * sum_k (x >= thresholds[k])`.

    Parameters:
        thresholds: int64 (rows, levels), ascending; rows with fewer steps are padded with values beyond the domain.
        base: int64 (rows,).
        sign: int64 (rows,), +1 for a rising row, -1 for a falling one.
    """

    thresholds: Codes
    base: Codes
    sign: Codes

    @property
    def rows(self) -> int:
        """1 or the number of channels."""
        return len(self.base)

    @property
    def levels(self) -> int:
        """Thresholds of a row."""
        return self.thresholds.shape[1]

    def evaluate(self, x: NDArray) -> NDArray:
        """Codes for integers x of shape (..., n)."""
        x = x.astype(np.int64)
        count = np.zeros(x.shape, np.int64)
        for level in range(self.levels):
            count += x >= self.thresholds[:, level]
        return self.base + self.sign * count


def fit_constant(staircase: Staircase) -> ConstantForm | None:
    """The constant form, or None where a row has a step."""
    return ConstantForm(staircase.first) if staircase.steps == 0 else None


def fit_thresholds(staircase: Staircase) -> ThresholdForm:
    """The threshold form: there always is one. A step of several codes is as many thresholds at one place."""
    low, high = staircase.code_ends
    levels = int((high - low).max())
    thresholds = np.repeat((staircase.high + 1)[:, None], levels, axis=1)
    sign = np.ones(staircase.rows, np.int64)
    for row, (where, codes) in enumerate(zip(staircase.positions, staircase.codes, strict=True)):
        jumps = np.diff(np.concatenate([staircase.first[row : row + 1], codes]))
        if len(jumps):
            sign[row] = np.sign(jumps[0])
            repeated = np.repeat(where, np.abs(jumps))
            thresholds[row, : len(repeated)] = repeated
    return ThresholdForm(thresholds, staircase.first.copy(), sign)
