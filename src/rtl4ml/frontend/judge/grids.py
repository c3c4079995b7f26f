"""Grids: the scales on which tensors lie, and how they are recovered from constants that no quantizer made.

Recovery, in this order (the first that needs 16 bits or fewer):

1. the coarsest power of two of which all values are exact multiples, for the tensor, then for each output channel;
2. the coarsest scale of any kind of which all are exact multiples, for the tensor, then for each channel;
3. the largest float32 scale `s` for which every value is `fl32(k * s)` with an integer `k`, for the tensor, then for
   each channel.
"""

from dataclasses import dataclass

import numpy as np

from rtl4ml.frontend.judge.arrays import Array, FloatArray, IntArray

_LARGEST_CODE = 2**15 - 1
_SMALLEST_CODE = -(2**15)


class NotIntegerError(Exception):
    """A node cannot be computed from integers; the text says why."""


@dataclass(frozen=True)
class Grid:
    """What the codes of a tensor mean: `(code - zero_point) * scale * alpha`, before it is rounded to float32.

    Attributes:
        scale: float64, of the tensor's shape in the file; as a view, where neighbours have the same (`shared`).
        zero_point: int64, of the same shape.
        alpha: Gemm's factor; 1 for everything else.
    """

    scale: FloatArray
    zero_point: IntArray
    alpha: float = 1.0


def shared(array: Array) -> Array:
    """The same array as a view of a small one: each axis along which nothing changes is kept once."""
    small = array
    for axis in range(array.ndim):
        first = small[(slice(None),) * axis + (slice(0, 1),)]
        if small.strides[axis] == 0 or np.array_equal(np.broadcast_to(first, small.shape), small):
            small = first
    return np.broadcast_to(small.copy(), array.shape)


def uniform(array: Array, what: str, first: int = 2) -> Array:
    """One value for all positions along the axes from `first` on, which are kept with a length of 1.

    Raises:
        NotIntegerError: there are several; `what` says of what.
    """
    one = array[(slice(None),) * first + (slice(0, 1),) * (array.ndim - first)]
    if not np.array_equal(np.broadcast_to(one, array.shape), array):
        raise NotIntegerError(f"{what} differ within an image")
    return one


def _power_of_two(values: FloatArray) -> float | None:
    """Coarsest power of two on whose grid all values lie with 16 bits or fewer; 1 if all are 0."""
    if not values.any():
        return 1.0
    mantissas, exponents = np.frexp(values[values != 0])
    whole = (mantissas * 2.0**24).astype(np.int64)  # float32 values: 24 bits
    low_bits = np.frexp((whole & -whole).astype(np.float64))[1] - 1
    scale = 2.0 ** int((exponents - 24 + low_bits).min())
    codes = values / scale
    return scale if codes.max() <= _LARGEST_CODE and codes.min() >= _SMALLEST_CODE else None


def _common_divisor(values: FloatArray) -> float | None:
    """Coarsest scale, a float32 number, of which all values are exact multiples with 16 bits or fewer."""
    magnitudes = np.abs(values[values != 0])
    if magnitudes.max() > magnitudes.min() * -_SMALLEST_CODE:
        return None
    unit = 2.0 ** (int(np.frexp(magnitudes.min())[1]) - 24)
    divisor = np.gcd.reduce((magnitudes / unit).astype(np.int64))  # 24 + 16 bits at most
    codes = values / (divisor * unit)
    return float(divisor * unit) if codes.max() <= _LARGEST_CODE and codes.min() >= _SMALLEST_CODE else None


def _fits(codes: FloatArray, scale: FloatArray, values: FloatArray) -> Array:
    """Whether `fl32(codes * scale) == values`; float64 arguments, the product (at most 40 bits) is exact."""
    return (codes * scale).astype(np.float32) == values


def _largest_scale(values: FloatArray) -> float | None:
    """Largest float32 scale `s` with `values == fl32(k * s)`, `k` integers of 16 bits; None if there is none.

    The smallest magnitude has some code `first`; then the others follow, and every value allows an interval of
    scales. Values and scale are normal float32 numbers here: subnormal ones lie on a power-of-two grid.
    """
    magnitudes = np.unique(np.abs(values[values != 0]))
    limit = -_SMALLEST_CODE if values.max() <= 0 else _LARGEST_CODE
    firsts = np.arange(1, int(limit * magnitudes[0] / magnitudes[-1]) + 2, dtype=np.float64)
    for magnitude in magnitudes[1:9]:  # a few values refuse nearly all candidates
        ratio = firsts * magnitude / magnitudes[0]
        firsts = firsts[np.abs(ratio - np.rint(ratio)) <= ratio * 2.0**-22]
    above = np.nextafter(magnitudes.astype(np.float32), np.float32(np.inf)).astype(np.float64)
    for first in firsts:
        codes = np.rint(first * magnitudes / magnitudes[0])
        # The midpoint to the next float32, divided by the code, is the end of a value's interval (nearly: rounding).
        scale = np.float32(((magnitudes + above) / 2 / codes).min())
        for _ in range(4):  # from just above the interval's end downwards: the first that fits is the largest
            scale = np.nextafter(scale, np.float32(np.inf))
            if not ((codes * np.float64(scale)).astype(np.float32) <= magnitudes).all():
                break
        for _ in range(8):
            if codes.max() <= limit and _fits(codes, np.asarray(scale, np.float64), magnitudes).all():
                return float(scale)
            scale = np.nextafter(scale, np.float32(0))
    return None


def recover(values: Array, axis: int) -> tuple[FloatArray, IntArray] | None:
    """Find the grid of constant float32 values, as the module describes.

    Args:
        values: the constant; float32, finite.
        axis: the axis that a product sums over; channels are the positions along all others.

    Returns:
        Scales (float64, of the shape of `values`) and codes; None where there are none of 16 bits or fewer.
    """
    if not np.isfinite(values).all():
        return None
    exact = np.asarray(values, np.float64)
    columns = np.moveaxis(exact, axis, 0).reshape(exact.shape[axis], -1)
    channels = [columns[:, i] for i in range(columns.shape[1])]
    for find in (_power_of_two, _common_divisor, _largest_scale):
        whole = find(exact.reshape(-1))
        found = [whole] if whole is not None else [find(channel) if channel.any() else 1.0 for channel in channels]
        if all(scale is not None for scale in found):
            rest = tuple(np.delete(exact.shape, axis))
            scales = np.broadcast_to(np.array(found, np.float64), columns.shape[1]).reshape(rest)
            full = np.broadcast_to(np.expand_dims(scales, axis), exact.shape)
            return full, np.rint(exact / full).astype(np.int64)
    return None


def common_scale(scale: FloatArray, axis: int) -> tuple[FloatArray, IntArray] | None:
    """Factor scales that vary along a summed axis.

    Returns:
        The smallest scale along the axis (which is kept, of length 1) and the integers, powers of two, that multiply
        it; None if a ratio is not a power of two, or a scale is not positive and finite.
    """
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        return None
    smallest = scale.min(axis=axis, keepdims=True)
    mantissas, exponents = np.frexp(scale / smallest)
    if not (mantissas == 0.5).all() or exponents.max() > 40:
        return None
    # The quotient of two float32 numbers rounds to a power of two in float64 only if it is one.
    return smallest, np.left_shift(np.int64(1), exponents.astype(np.int64) - 1)
