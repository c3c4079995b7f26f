"""Constant, threshold, step and table forms, and what every form has in common."""

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


@dataclass(frozen=True, eq=False)
class StepForm:
    """Find the step that x is on and look its code up: any function of few steps, up and down.

    `y = codes[number of positions reached]`.

    Parameters:
        positions: int64 (rows, levels), ascending; rows with fewer steps are padded with values beyond the domain.
        codes: int64 (rows, levels + 1); padded with the last code.
    """

    positions: Codes
    codes: Codes

    @property
    def rows(self) -> int:
        """1 or the number of channels."""
        return len(self.positions)

    @property
    def levels(self) -> int:
        """Steps of a row."""
        return self.positions.shape[1]

    def evaluate(self, x: NDArray) -> NDArray:
        """Codes for integers x of shape (..., n)."""
        x = x.astype(np.int64)
        y = np.empty(x.shape, np.int64)
        for row in range(self.rows):
            channel = slice(None) if self.rows == 1 else slice(row, row + 1)
            reached = np.searchsorted(self.positions[row], x[..., channel], side="right")
            y[..., channel] = self.codes[row][reached]
        return y


@dataclass(frozen=True, eq=False)
class TableForm:
    """A code for every x of a narrow domain: `y = codes[x - low]`.

    Parameters:
        low: int64 (rows,), lowest x of each row.
        codes: int64 (rows, entries); rows with a smaller domain are padded with their last code.
    """

    low: Codes
    codes: Codes

    @property
    def rows(self) -> int:
        """1 or the number of channels."""
        return len(self.low)

    @property
    def entries(self) -> int:
        """Codes of a row."""
        return self.codes.shape[1]

    def evaluate(self, x: NDArray) -> NDArray:
        """Codes for integers x of shape (..., n); beyond the domain those of its ends."""
        at = np.clip(x.astype(np.int64) - self.low, 0, self.entries - 1)
        return self.codes[np.arange(self.rows) if self.rows > 1 else 0, at]


def fit_constant(staircase: Staircase) -> ConstantForm | None:
    """The constant form, or None where a row has a step."""
    return ConstantForm(staircase.first) if staircase.steps == 0 else None


def fit_thresholds(staircase: Staircase) -> ThresholdForm | None:
    """The threshold form: there is one where all rows are monotone. A step of several codes is as many thresholds."""
    if not staircase.monotone:
        return None
    low, high = staircase.code_ends
    levels = int((high - low).max())
    thresholds = np.repeat((staircase.high + 1)[:, None], levels, axis=1)
    sign = np.ones(staircase.rows, np.int64)
    for row, where in enumerate(staircase.positions):
        jumps = np.diff(staircase.whole(row))
        if len(jumps):
            sign[row] = np.sign(jumps[0])
            repeated = np.repeat(where, np.abs(jumps))
            thresholds[row, : len(repeated)] = repeated
    return ThresholdForm(thresholds, staircase.first.copy(), sign)


def fit_steps(staircase: Staircase) -> StepForm:
    """The step form: there always is one."""
    levels = staircase.steps
    positions = np.repeat((staircase.high + 1)[:, None], levels, axis=1)
    codes = np.empty((staircase.rows, levels + 1), np.int64)
    for row, where in enumerate(staircase.positions):
        whole = staircase.whole(row)
        positions[row, : len(where)] = where
        codes[row, : len(whole)], codes[row, len(whole) :] = whole, whole[-1]
    return StepForm(positions, codes)


def fit_table(staircase: Staircase, entries: int) -> TableForm | None:
    """The table form, or None where a row's domain has more than `entries` integers."""
    sizes = staircase.high - staircase.low + 1
    if sizes.max() > entries:
        return None
    x = staircase.low[:, None] + np.minimum(np.arange(sizes.max()), sizes[:, None] - 1)
    return TableForm(staircase.low.copy(), np.stack([staircase.at(row, points) for row, points in enumerate(x)]))
