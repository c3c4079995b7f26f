"""How long the optimiser will take, before it starts."""

import numpy as np
from numpy.typing import ArrayLike

from rtl4ml.cmvm.digits import digit_counts
from rtl4ml.cmvm.search import MAX_TRIES, MAX_WORK, TERNARY_EFFORT, TILE_WORK, WORK_OF_PAIR

_SECONDS_PER_PAIR = 4e-8
_SECONDS_PER_DIGIT = 2e-5
_SECONDS_TO_BUILD_DIGIT = 1e-3


def seconds(matrix: ArrayLike, ternary: bool = False) -> float:
    """Returns roughly how long :func:`rtl4ml.cmvm.solve.multiply_matrix` takes for a matrix.

    Each search touches every pair of digits in a column a few times. Measured on one core of 2 GHz; a guess within a
    factor of three, meant for asking whether minutes are welcome.

    Args:
        matrix: Integers of shape (n, m).
        ternary: Whether sums take three words at a time.

    Returns:
        Seconds.
    """
    counts = digit_counts(np.asarray(matrix, np.int64)).sum(axis=0)
    touched = WORK_OF_PAIR[ternary] * float((counts * counts).sum()) / 2
    touched /= max(1.0, touched / TILE_WORK)
    effort = TERNARY_EFFORT if ternary else 1
    tries = max(1.0, effort * min(MAX_TRIES, MAX_WORK / max(touched, 1.0)))
    return tries * touched * _SECONDS_PER_PAIR + float(counts.sum()) * _SECONDS_PER_DIGIT


def building_seconds(matrix: ArrayLike) -> float:
    """Returns roughly how long datapath, pipeline and Verilog of a matrix take once it is solved.

    Args:
        matrix: Integers of shape (n, m).

    Returns:
        Seconds.
    """
    return float(digit_counts(np.asarray(matrix, np.int64)).sum()) * _SECONDS_TO_BUILD_DIGIT
