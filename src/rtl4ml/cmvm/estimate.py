"""How long the optimiser will take, before it starts."""

import numpy as np
from numpy.typing import ArrayLike

from rtl4ml.cmvm.digits import signed_masks
from rtl4ml.cmvm.solve import pairs, searches

_SECONDS_PER_PAIR = 2.5e-6
_SECONDS_PER_DIGIT = 4e-5


def seconds(matrix: ArrayLike) -> float:
    """Returns roughly how long :func:`rtl4ml.cmvm.solve.multiply_matrix` takes for a matrix.

    Each search touches every pair of digits in a column of a block a few times. Measured on one core of 2 GHz; a guess
    within a factor of three, meant for asking whether minutes are welcome.

    Args:
        matrix: Integers of shape (n, m).

    Returns:
        Seconds.
    """
    weights = np.asarray(matrix, np.int64)
    plus, minus = signed_masks(weights)
    digits = sum(int(mask).bit_count() for mask in (plus | minus).reshape(-1))
    found = pairs(weights)
    return searches(found) * (_SECONDS_PER_PAIR * found + _SECONDS_PER_DIGIT * digits)
