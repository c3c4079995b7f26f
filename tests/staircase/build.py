"""Staircases from functions, and equality of a form over a whole domain, by enumeration."""

from collections.abc import Callable, Sequence

import numpy as np

from rtl4ml.staircase import Form, Staircase


def staircase_of(functions: Sequence[Callable[[int], int]], low: Sequence[int], high: Sequence[int]) -> Staircase:
    """One row a function, each on its own domain."""
    first, positions, codes = [], [], []
    for function, bottom, top in zip(functions, low, high, strict=True):
        y = np.array([function(x) for x in range(bottom, top + 1)], np.int64)
        steps = np.flatnonzero(np.diff(y))
        first.append(y[0])
        positions.append(steps + bottom + 1)
        codes.append(y[steps + 1])
    return Staircase(np.array(low), np.array(high), np.array(first, np.int64), tuple(positions), tuple(codes))


def everywhere(staircase: Staircase, row: int) -> tuple[np.ndarray, np.ndarray]:
    """The row's whole domain, and its codes there straight from the steps' definition."""
    x = np.arange(staircase.low[row], staircase.high[row] + 1)
    y = np.full(x.shape, staircase.first[row])
    for where, code in zip(staircase.positions[row], staircase.codes[row], strict=True):
        y[x >= where] = code
    return x, y


def differences(form: Form | Staircase, staircase: Staircase) -> int:
    """Points of all domains at which a form, as hardware would evaluate it, is not the staircase."""
    wrong = 0
    for row in range(staircase.rows):
        x, y = everywhere(staircase, row)
        # All channels at once; the others stand somewhere in their own domains.
        batch = np.repeat(staircase.low[None], len(x), axis=0)
        batch[:, row] = x
        got = form.evaluate(batch)[:, row] if form.rows > 1 else form.evaluate(x[:, None])[:, 0]
        wrong += int(np.count_nonzero(np.asarray(got).astype(np.int64) != y))
    return wrong
