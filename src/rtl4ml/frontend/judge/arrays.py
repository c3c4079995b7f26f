"""Array types of the judges, and the layout of many samples in one array.

The judges run a file at its own batch of 1. Inside, n samples of a tensor whose shape in the file is `shape` are one
array `[n, *shape]`; outside, a leading dimension of 1 is the batch, so that the same samples are `[n, *shape[1:]]`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.int64]


def outside(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a sample's shape as callers see it: without a leading 1, which is the batch."""
    return shape[1:] if shape[:1] == (1,) else shape


def expand(array: Array, rank: int) -> Array:
    """Insert axes of length 1 after the sample axis, until a sample has `rank` dimensions."""
    return array.reshape(array.shape[0], *(1,) * (rank + 1 - array.ndim), *array.shape[1:])


def is_integer(array: Array) -> bool:
    """Whether an array's type is one of integers, the 4-bit ones included, which NumPy itself does not know."""
    return array.dtype.kind in "iu" or array.dtype.name in PACKED


PACKED = {"int4": np.int8, "uint4": np.uint8}
"""Types that onnxruntime neither takes nor gives as arrays, and the wider ones that they cross the border in."""
