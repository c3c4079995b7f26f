"""Error-free float64 arithmetic: sums of products rounded once to float32.

A float64 sum or product has an error that is itself a float64 and is computed exactly: TwoSum (Knuth, TAOCP 2, 4.2.2)
and TwoProduct (Dekker, Numer. Math. 18, 1971). A value held as an exact sum of float64 terms is rounded to float32
through the float64 that rounding to odd gives: with 53 >= 24 + 2 bits the second rounding is then the only one (Boldo
and Melquiond, "Emulation of FMA and correctly rounded sums", IEEE Trans. Computers 57, 2008), subnormal results
included.

Nothing here may underflow or overflow in float64: terms must lie between 2**-900 and 2**900 or be 0, which integers
below 2**63 times three float32 factors do.
"""

import numpy as np

from rtl4ml.frontend.judge.arrays import FloatArray, IntArray

_BLOCK = 2**19  # elements that are rounded at once: their terms stay in a cache, and large images in bounded memory
_SPLITTER = 134217729.0  # 2**27 + 1: cuts 53 bits into two halves whose products are exact
_EXACT_INTEGER = 2**53


def two_sum(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return `fl(a + b)` and its exact error."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _halves(a: FloatArray) -> tuple[FloatArray, FloatArray]:
    shifted = a * _SPLITTER
    high = shifted - (shifted - a)
    return high, a - high


def two_product(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return `fl(a * b)` and its exact error."""
    product = a * b
    a_high, a_low = _halves(a)
    b_high, b_low = _halves(b)
    return product, a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)


def round_sum(terms: list[FloatArray]) -> FloatArray:
    """Round the exact sum of float64 arrays (broadcast together) to float32, half to even; an exact 0 is +0.

    Sweeps of TwoSum from the last term to the first repeat until none changes anything. Then each term is at most
    half a unit in the last place of the one before it, so the first is within one unit of the sum and the second has
    the remainder's sign.
    """
    parts = [np.array(term) for term in np.broadcast_arrays(*terms)]
    changed = len(parts) > 1
    while changed:
        changed = False
        for i in range(len(parts) - 1, 0, -1):
            total, rest = two_sum(parts[i - 1], parts[i])
            changed = changed or not np.array_equal(total, parts[i - 1])
            parts[i - 1], parts[i] = total, rest
    top = parts[0]
    if len(parts) > 1:
        # Round to odd: an inexact sum goes to whichever neighbour has its last bit set.
        remainder = parts[1]
        bits = top.view(np.int64)
        step = np.where((remainder > 0) == (top > 0), 1, -1)
        top = (bits + np.where((remainder != 0) & (bits & 1 == 0), step, 0)).view(np.float64)
    with np.errstate(over="ignore", under="ignore"):
        # Adding +0 turns an exact -0 (a code of 0 times a negative scale) into +0.
        return (top + 0.0).astype(np.float32)


def scaled(codes: IntArray, scale: list[FloatArray], addend: FloatArray | None = None) -> FloatArray:
    """Return `codes * sum(scale) + addend`, rounded once to float32.

    Args:
        codes: int64 integers, in at least one dimension.
        scale: float64 arrays whose exact sum is the scale (one, or a TwoProduct, whose second term is the error of the
            first), broadcast against the codes.
        addend: float64, broadcast against the codes; None adds nothing.
    """
    whole = [codes, *scale, *([] if addend is None else [addend])]
    shape = np.broadcast_shapes(*(array.shape for array in whole))
    arrays = [np.broadcast_to(array, shape) for array in whole]
    result = np.empty(shape, np.float32)
    longest = int(np.argmax(shape))
    step = max(1, _BLOCK * shape[longest] // max(1, result.size))
    for start in range(0, shape[longest], step):
        part = (slice(None),) * longest + (slice(start, start + step),)
        first, *others = (array[part] for array in arrays)
        result[part] = _scaled(first, others[: len(scale)], None if addend is None else others[-1])
    return result


def _scaled(codes: IntArray, scale: list[FloatArray], addend: FloatArray | None) -> FloatArray:
    """`scaled` of arrays of one shape: float64 where its error cannot matter, exact terms where it could."""
    if codes.size and (codes.max() > _EXACT_INTEGER or codes.min() < -_EXACT_INTEGER):
        return _scaled_exactly(codes, scale, addend)
    product = codes * scale[0]
    value = product + (0.0 if addend is None else addend)
    # Three roundings (scale, product, sum) of 2**-53 each, of no more than the sum of both magnitudes.
    error = (np.abs(product) + (0.0 if addend is None else np.abs(addend))) * 2.0**-50
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        low, high = (value - error).astype(np.float32), (value + error).astype(np.float32)
    unsure = low.view(np.int32) != high.view(np.int32)
    if unsure.any():
        rest = None if addend is None else addend[unsure]
        low[unsure] = _scaled_exactly(codes[unsure], [factor[unsure] for factor in scale], rest)
    return low


def _scaled_exactly(codes: IntArray, scale: list[FloatArray], addend: FloatArray | None) -> FloatArray:
    if codes.size and (codes.max() > _EXACT_INTEGER or codes.min() < -_EXACT_INTEGER):
        high = codes >> 32
        integers = [high.astype(np.float64) * 2.0**32, (codes - (high << 32)).astype(np.float64)]
    else:
        integers = [codes.astype(np.float64)]
    terms: list[FloatArray] = []
    for integer in integers:
        for factor in scale:
            terms.extend(two_product(integer, factor))
    if addend is not None:
        terms.append(addend)
    return round_sum(terms)
