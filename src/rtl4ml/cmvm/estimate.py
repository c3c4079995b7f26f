"""How long the optimiser will take, before it starts."""

import numpy as np
from numpy.typing import ArrayLike

from rtl4ml.cmvm.digits import split_columns
from rtl4ml.cmvm.solve import blocks

_SECONDS_PER_PAIR = 2.5e-6
_SECONDS_PER_DIGIT = 5e-5


def seconds(matrix: ArrayLike) -> float:
    """Returns roughly how long :func:`rtl4ml.cmvm.solve.multiply_matrix` takes for a matrix.

    The search touches every pair of digits in a column of a block a few times. Measured on one core of 2 GHz; a guess
    within a factor of three, meant for asking whether minutes are welcome.

    Args:
        matrix: Integers of shape (n, m).

    Returns:
        Seconds.
    """
    weights = np.asarray(matrix, np.int64)
    columns = split_columns(weights)
    pairs = 0
    digits = 0
    ranges = blocks(columns, weights.shape[0])
    for column in columns:
        counts = np.zeros(weights.shape[0] + 1, np.int64)
        for masks in (column.plus, column.minus):
            for row, mask in masks.items():
                counts[row] += mask.bit_count()
        digits += int(counts.sum())
        pairs += sum(int(counts[first:last].sum()) ** 2 for first, last in ranges) // 2
    return _SECONDS_PER_PAIR * pairs + _SECONDS_PER_DIGIT * digits
