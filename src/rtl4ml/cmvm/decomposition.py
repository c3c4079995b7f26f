"""Columns as other columns plus a difference, where the difference has fewer digits than the column.

A minimum spanning tree over the columns, rooted in nothing, with the digits of a difference (or of a sum, for columns
of opposite signs) as its distances (O. Gustafsson, "A difference based adder graph heuristic for multiple constant
multiplication problems", ISCAS 2007; for products with matrices C. Sun et al., "da4ml: distributed arithmetic for
real-time neural networks on FPGAs", arXiv 2507.04535). It grows column by column (Prim), and a column hangs on another
only where the bound on its depth leaves room.
"""

from typing import NamedTuple

import numpy as np

from rtl4ml.cmvm.digits import Integers, digit_counts


class Decomposition(NamedTuple):
    """A matrix as differences of its columns.

    Attributes:
        differences: What each column adds to the one it hangs on, int64 (n, m).
        parents: Number of that column, -1 where there is none, int64 (m,).
        signs: +1 or -1: of that column, int64 (m,).
        order: Columns, parents first.
    """

    differences: Integers
    parents: Integers
    signs: Integers
    order: Integers

    @property
    def is_plain(self) -> bool:
        """Whether every column stands for itself."""
        return bool((self.parents < 0).all())


def plain(matrix: Integers) -> Decomposition:
    """Returns a matrix as it is."""
    columns = matrix.shape[1]
    return Decomposition(matrix, np.full(columns, -1), np.ones(columns, np.int64), np.arange(columns))


def decompose(matrix: Integers, bounds: Integers, penalty: int) -> Decomposition:
    """Chooses differences.

    Args:
        matrix: Integers of shape (n, m).
        bounds: Additions allowed one after the other for each column, int64 (m,).
        penalty: Digits that a difference must have fewer than the column, since a sum of whole columns is wide.
    """
    columns = matrix.shape[1]
    costs = digit_counts(matrix).sum(axis=0)
    parents, signs = np.full(columns, -1), np.ones(columns, np.int64)
    depths = np.zeros(columns, np.int64)
    outside = np.ones(columns, bool)
    order = []
    for _ in range(columns):
        chosen = int(np.where(outside, costs, np.iinfo(np.int64).max).argmin())
        outside[chosen] = False
        order.append(chosen)
        parent = parents[chosen]
        depths[chosen] = _depth(costs[chosen] - (penalty if parent >= 0 else 0) + 1)
        if parent >= 0:
            depths[chosen] = max(depths[chosen], depths[parent]) + 1
        rest = np.flatnonzero(outside & (bounds > depths[chosen]))
        column = matrix[:, chosen : chosen + 1]
        for sign in (1, -1):
            digits = digit_counts(matrix[:, rest] - sign * column).sum(axis=0)
            levels = np.array([_depth(number + 1) for number in digits.tolist()], np.int64)
            better = (levels < bounds[rest]) & (digits + penalty < costs[rest])
            found = rest[better]
            costs[found], parents[found], signs[found] = digits[better] + penalty, chosen, sign
    differences = matrix.copy()
    hanging = np.flatnonzero(parents >= 0)
    differences[:, hanging] -= signs[hanging] * matrix[:, parents[hanging]]
    return Decomposition(differences, parents, signs, np.array(order, np.int64))


def _depth(digits: int) -> int:
    """Returns the additions one after the other that so many digits need."""
    return max(int(digits) - 1, 0).bit_length()
