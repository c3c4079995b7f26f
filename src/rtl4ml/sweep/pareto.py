"""The Pareto front: designs that no other beats in one quantity without losing in another."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def front(costs: ArrayLike) -> NDArray[np.bool_]:
    """Which of the designs are on the front.

    Args:
        costs: (designs, quantities), of each quantity less is better. A design with a NaN is never on the front and
            beats nobody.

    Returns:
        bool (designs,): no other design is at most as costly in every quantity and less in one. Of designs that cost
        the same in everything, all are on it or none.
    """
    table = np.asarray(costs, np.float64)
    if table.size == 0:
        return np.zeros(len(table), np.bool_)
    known = np.array([not np.isnan(row).any() for row in table], np.bool_)
    found = known.copy()
    for index in np.flatnonzero(known):
        others = table[known]
        beats = (others <= table[index]).all(axis=1) & (others < table[index]).any(axis=1)
        found[index] = not beats.any()
    return found


def staircase(x: Sequence[float], y: Sequence[float]) -> tuple[list[float], list[float]]:
    """The corners of a front of two quantities, from left to right, for a line that steps down behind each."""
    corners = sorted(set(zip(x, y, strict=True)))
    return [corner[0] for corner in corners], [corner[1] for corner in corners]
