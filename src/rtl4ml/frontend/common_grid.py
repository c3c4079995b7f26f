"""Integers that stand for two scales: exact ones where a power of two has both as small multiples, else near ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import gcd

import numpy as np
from numpy.typing import NDArray

from rtl4ml.formats import Codes

FLOAT32_EXACT = 1 << 24
"""Float32 holds every integer up to here, times a power of two."""

LARGEST_FACTOR = 1 << 24
"""Factors of an approximation stay below."""

Scale = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Grid:
    """`left * scale` and `right * scale` are the two scales, or near them.

    Parameters:
        left: int64 () or (n,), above 0.
        right: int64 () or (n,), above 0.
        scale: float64 () or (n,).
    """

    left: Codes
    right: Codes
    scale: Scale


def dyadic(scale: Scale) -> tuple[list[int], list[int]]:
    """Odd integers m and exponents e of elements `m * 2**e`."""
    mantissa, exponent = np.frexp(scale.reshape(-1))
    whole = [int(m) for m in (mantissa * 2.0**53).tolist()]
    trailing = [(m & -m).bit_length() - 1 for m in whole]
    return [m >> t for m, t in zip(whole, trailing, strict=True)], [
        int(e) - 53 + t for e, t in zip(exponent, trailing, strict=True)
    ]


def _collapse(array: NDArray, shape: tuple[int, ...]) -> NDArray:
    array = array.reshape(shape)
    return np.array(array.reshape(-1)[0]) if array.size and np.all(array == array.reshape(-1)[0]) else array


def _distinct(a: Scale, b: Scale) -> tuple[tuple[int, ...], tuple[Scale, Scale], Codes]:
    """Shape of both together, their distinct pairs, (pairs,) each, and which of these each element has."""
    a, b = np.broadcast_arrays(a, b)
    if a.size > 1 and np.all(a == a.reshape(-1)[0]) and np.all(b == b.reshape(-1)[0]):
        return a.shape, (a.reshape(-1)[:1], b.reshape(-1)[:1]), np.zeros(a.size, np.int64)
    pairs, which = np.unique(np.stack([a.reshape(-1), b.reshape(-1)]), axis=1, return_inverse=True)
    return a.shape, (pairs[0], pairs[1]), which.reshape(-1)


def exact(a: Scale, b: Scale) -> Grid | None:
    """The coarsest grid that holds both scales, found element by element; None where a factor exceeds 24 bits."""
    shape, (a, b), which = _distinct(a, b)
    (ma, ea), (mb, eb) = dyadic(a), dyadic(b)
    left, right, unit = [], [], []
    for m, e, k, f in zip(ma, ea, mb, eb, strict=True):
        lowest = min(e, f)
        if max(e, f) - lowest > 60:
            return None
        p, q = m << (e - lowest), k << (f - lowest)
        common = gcd(p, q)
        if max(p, q) // common >= LARGEST_FACTOR:
            return None
        left.append(p // common)
        right.append(q // common)
        unit.append(float(np.ldexp(float(common), lowest)))
    found = ((left, np.int64), (right, np.int64), (unit, float))
    return Grid(*(_collapse(np.array(v, t)[which], shape) for v, t in found))


def approximations(a: Scale, b: Scale, behind: Scale) -> Iterator[Grid]:
    """Grids on which both scales lie nearly, coarse ones first.

    First ratios of small integers; then scales as multiples of the quantizer's divided by a power of two, so that what
    follows is a shift; then the same without the quantizer.

    Args:
        a: the first scale, () or (n,).
        b: the second.
        behind: scale of the quantizer.
    """
    shape, ratios, which = _distinct(a, b)
    found = [Fraction(float(x)) / Fraction(float(y)) for x, y in zip(*ratios, strict=True)]
    for largest in (1, 4, 16, 64):
        near = [r.limit_denominator(largest) for r in found]
        if all(n > 0 and n.numerator <= 64 and abs(n / r - 1) < 2.0**-20 for n, r in zip(near, found, strict=True)):
            right = np.array([n.denominator for n in near], np.int64)
            left = np.array([n.numerator for n in near], np.int64)
            yield Grid(*(_collapse(array[which], shape) for array in (left, right, ratios[1] / right)))
            break
    for bits in range(22):
        yield from _rounded(a, b, behind / 2.0**bits)
    for bits in range(4, 22, 2):
        yield from _rounded(a, b, np.maximum(a, b) / 2.0**bits)


def _rounded(a: Scale, b: Scale, unit: Scale) -> Iterator[Grid]:
    left, right = np.rint(a / unit), np.rint(b / unit)
    if min(left.min(), right.min()) >= 1 and max(left.max(), right.max()) < LARGEST_FACTOR:
        yield Grid(left.astype(np.int64), right.astype(np.int64), np.asarray(unit, np.float64))
