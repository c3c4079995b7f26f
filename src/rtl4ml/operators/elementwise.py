"""What operators on two tensors, element by element, have in common."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rtl4ml.formats import Codes, spread
from rtl4ml.graph import Tensor


def alike(*arrays: NDArray) -> list[NDArray]:
    """Periodic arrays of the same element count, repeated to the longest of their periods; each of shape (k,)."""
    longest = max(array.size for array in arrays)
    return [spread(array, longest) for array in arrays]


def centred(tensor: Tensor) -> tuple[Codes, Codes]:
    """Lowest and highest code less the zero point of every element, int64 (k,) each."""
    low, high, zero = alike(tensor.low, tensor.high, tensor.format.zero_point)
    return low - zero, high - zero


def per_element(array: NDArray, x: NDArray) -> NDArray:
    """A periodic array in a shape that broadcasts against codes (N, n)."""
    return array if array.size == 1 else spread(array, x.shape[-1])


def exact_type(bound: int) -> type:
    """The fastest dtype that holds every integer of magnitudes up to `bound`."""
    return np.float32 if bound < 1 << 24 else np.float64 if bound < 1 << 53 else np.int64


def terms(inputs: Sequence[NDArray], tensors: Sequence[Tensor], factors: Sequence[Codes], dtype: type) -> list[NDArray]:
    """`(code - zero_point) * factor` of each input, shape (N, n), in a dtype that holds them."""
    result = []
    for x, tensor, factor in zip(inputs, tensors, factors, strict=True):
        value: NDArray = x.astype(dtype, copy=False)
        if np.any(tensor.format.zero_point):
            value = value - per_element(tensor.format.zero_point, value).astype(dtype)
        result.append(value if np.all(factor == 1) else value * per_element(factor, value).astype(dtype))
    return result


def scaled_limits(tensor: Tensor, factor: Codes) -> tuple[Codes, Codes]:
    """Limits of `(code - zero_point) * factor` of every element, int64 (k,) each."""
    low, high, factor = alike(*centred(tensor), np.asarray(factor))
    ends = np.stack([low * factor, high * factor])
    return ends.min(axis=0), ends.max(axis=0)
