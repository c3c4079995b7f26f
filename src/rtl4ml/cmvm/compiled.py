"""Functions that numba compiles, and the arithmetic, hash table and heap that they share.

The search for shared subexpressions touches millions of pairs of digits. Compiled code is kept in numba's cache on
disk, so that only the first search of an installation waits for the compiler.
"""

from collections.abc import Callable
from typing import TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.int64]
_Function = TypeVar("_Function", bound=Callable)

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def compiled(function: _Function) -> _Function:
    """Compiles a function when it is called first; decorated functions may call each other."""
    try:
        return numba.njit(cache=True)(function)
    except RuntimeError:  # neither this package's folder nor the user's cache can be written
        return numba.njit(function)


@compiled
def bits_of(low: int, high: int) -> int:
    """Returns the width of a word, as :func:`rtl4ml.datapath.nodes.range_bits` does."""
    bits = 1 if low < 0 else 0
    rest = max(~low, high) if low < 0 else high
    while rest > 0:
        bits += 1
        rest >>= 1
    return max(bits, 1)


@compiled
def ones(mask: int) -> int:
    """Returns how many bits of a mask are 1."""
    count = 0
    while mask:
        count += 1
        mask &= mask - 1
    return count


@compiled
def mixed(value: int) -> int:
    """Returns 40 bits that hang on all bits of a value (D. Knuth: multiplicative hashing)."""
    return int(np.int64((np.uint64(value) * _GOLDEN) >> np.uint64(24)))


@compiled
def place_of(table: Array, keys: Array, key: int) -> int:
    """Returns where an open hash table holds a key's number, or the empty place (-1) where it belongs.

    Args:
        table: numbers of keys; its length is a power of two, of which less than all is in use.
        keys: the keys in its first column.
        key: what to look for.
    """
    mask = len(table) - 1
    at = mixed(key) & mask
    while table[at] >= 0 and keys[table[at], 0] != key:
        at = (at + 1) & mask
    return at


@compiled
def rehashed(table: Array, keys: Array, count: int) -> Array:
    """Returns a table of four times the length with the first `count` keys."""
    larger = np.full(4 * len(table), -1, np.int64)
    for number in range(count):
        larger[place_of(larger, keys, keys[number, 0])] = number
    return larger


@compiled
def push(heap: Array, count: int, key: int) -> None:
    """Adds a key to the `count` keys of a heap whose largest comes first."""
    at = count
    while at > 0:
        above = (at - 1) >> 1
        if heap[above] >= key:
            break
        heap[at] = heap[above]
        at = above
    heap[at] = key


@compiled
def pop(heap: Array, count: int) -> int:
    """Takes the largest of the `count` keys out of a heap."""
    top = heap[0]
    key = heap[count - 1]
    count -= 1
    at = 0
    while True:
        below = 2 * at + 1
        if below >= count:
            break
        if below + 1 < count and heap[below + 1] > heap[below]:
            below += 1
        if heap[below] <= key:
            break
        heap[at] = heap[below]
        at = below
    heap[at] = key
    return top
