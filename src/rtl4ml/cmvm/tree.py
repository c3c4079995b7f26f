"""Summing what remains of a column: the narrowest sum first and then the cheapest, within a bound on the depth.

Like Huffman's code for the widths: words that reach high meet late, so that few sums are wide. Choosing by the cost of
each pair alone takes 4 to 6 % more bits of carry chain.

On targets with ternary adders three summands meet at a time: two sums of which only the outer one has a carry chain.
Of an even number two meet alone, and first, where words are narrow. Several such trees are tried, with blurred weights:
the best is some 3 % smaller. Trees of binary sums gain next to nothing that way.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl4ml.cmvm.compiled import Array, bits_of, compiled, mixed
from rtl4ml.cmvm.digits import Bounds

LOW, HIGH, SHIFT, SIGN, DEPTH, TOP, FIRST, SECOND = range(8)
"""Columns of the summands: exact range of the value, its shift and sign, additions on the longest way from an input,
the power of two above the highest bit, and of a sum its parts (-1 of others), the less shifted one first."""

_NEIGHBOURS = 8
"""Pairs are tried among so many summands of similar weight: columns of a thousand digits stay quick."""

_TRIES, _WORK = 300, 12_000_000
"""Trees that are tried where three summands meet at a time, and what they take together: the square of the summands
times the inputs."""


@compiled
def chain_bits(terms: Array, a: int, b: int) -> int:
    """Returns the bits of carry chain in the sum of two summands."""
    if terms[a, SHIFT] > terms[b, SHIFT]:
        a, b = b, a
    shift = terms[b, SHIFT] - terms[a, SHIFT]
    low, high = terms[b, LOW] << shift, terms[b, HIGH] << shift
    if terms[a, SIGN] != terms[b, SIGN]:
        return max(bits_of(terms[a, LOW] - high, terms[a, HIGH] - low) - shift, 0)
    if shift > 0 and terms[a, LOW] >= 0 and terms[a, HIGH] >> shift == 0:
        return 0
    return max(bits_of(terms[a, LOW] + low, terms[a, HIGH] + high) - shift, 0)


@compiled
def _growth(terms: Array, a: int, b: int) -> int:
    first, second = terms[a, DEPTH], terms[b, DEPTH]
    return (2 << max(first, second)) - (1 << first) - (1 << second)


@compiled
def _join(terms: Array, functions: Array, at: int, a: int, b: int, middles: Array, widths: Array) -> None:
    """Makes a summand the sum of two, its sign such that the low bits of the less shifted one pass as they are."""
    if terms[a, SHIFT] > terms[b, SHIFT] or (terms[a, SHIFT] == terms[b, SHIFT] and terms[a, SIGN] < terms[b, SIGN]):
        a, b = b, a
    shift, sign = terms[b, SHIFT] - terms[a, SHIFT], terms[a, SIGN] * terms[b, SIGN]
    middle, width = 0, 0
    for index in range(functions.shape[1]):
        factor = functions[a, index] + sign * (functions[b, index] << shift)
        functions[at, index] = factor
        middle += factor * middles[index]
        width += abs(factor) * widths[index]
    terms[at, LOW], terms[at, HIGH] = (middle - width) >> 1, (middle + width) >> 1
    terms[at, SHIFT], terms[at, SIGN] = terms[a, SHIFT], terms[a, SIGN]
    terms[at, DEPTH] = max(terms[a, DEPTH], terms[b, DEPTH]) + 1
    terms[at, TOP] = terms[at, SHIFT] + bits_of(terms[at, LOW], terms[at, HIGH])
    terms[at, FIRST], terms[at, SECOND] = a, b


@compiled
def _weight(terms: Array, a: int, alive: int, seed: int) -> int:
    """Returns eight times how high a summand reaches; a seed other than 0 adds less than one, two or four bits."""
    weight = terms[a, TOP] << 3
    if seed > 0:
        weight += (mixed((seed << 10 ^ alive) << 12 ^ a) >> 16) & ((8 << seed % 3) - 1)
    return weight


@compiled
def _best_pair(terms: Array, order: Array, alive: int, room: int, seed: int) -> tuple[int, int]:
    """Returns the places in the order of the two that meet next."""
    best, first, second = 1 << 62, -1, -1
    for place in range(1, alive):
        for other in range(max(place - _NEIGHBOURS, 0), place):
            a, b = order[other], order[place]
            if _growth(terms, a, b) > room:
                continue
            deep = max(terms[a, DEPTH], terms[b, DEPTH])
            weight = max(_weight(terms, a, alive, seed), _weight(terms, b, alive, seed))
            key = weight << 20 | chain_bits(terms, a, b) << 10 | deep
            if key < best:
                best, first, second = key, other, place
    if first >= 0:
        return first, second
    # The two of least depth always fit.
    for place in range(alive):
        depth = terms[order[place], DEPTH]
        if first < 0 or depth < terms[order[first], DEPTH]:
            first, second = place, first
        elif second < 0 or depth < terms[order[second], DEPTH]:
            second = place
    return min(first, second), max(first, second)


@compiled
def _third(terms: Array, order: Array, alive: int, room: int, first: int, second: int, seed: int) -> int:
    """Returns the place of the one that meets two others in a ternary adder, or -1."""
    a, b = order[first], order[second]
    room -= _growth(terms, a, b)
    best, third = 1 << 62, -1
    for place in range(max(first - _NEIGHBOURS, 0), min(second + _NEIGHBOURS + 1, alive)):
        if place in (first, second):
            continue
        c = order[place]
        deep = max(terms[a, DEPTH], terms[b, DEPTH])
        # In the end all three are one deeper than the deepest, where the binary sum of the two is already.
        growth = (2 << max(deep, terms[c, DEPTH])) - (2 << deep) - (1 << terms[c, DEPTH])
        key = _weight(terms, c, alive, seed) << 10 | terms[c, DEPTH]
        if growth <= room and key < best:
            best, third = key, place
    return third


@compiled
def add_up(
    terms: Array, functions: Array, given: int, levels: int, ternary: bool, middles: Array, widths: Array, seed: int
) -> int:
    """Adds summands up, in place.

    Args:
        terms: The summands, int64 (2 * given - 1, 8); the sums come behind those that are given, the last is the whole.
        functions: Each as a linear function of the inputs; likewise.
        given: Number of summands.
        levels: Additions allowed one after the other.
        ternary: Whether three meet at a time.
        middles: Sum of the ends of each input's range.
        widths: Difference of these ends.
        seed: Which tree, of those where three meet.

    Returns:
        Bits of carry chain.
    """
    order = np.zeros(given, np.int64)
    room = 1 << levels
    for term in range(given):
        terms[term, TOP] = terms[term, SHIFT] + bits_of(terms[term, LOW], terms[term, HIGH])
        room -= 1 << terms[term, DEPTH]
        place = term
        while place > 0 and terms[order[place - 1], TOP] > terms[term, TOP]:
            order[place] = order[place - 1]
            place -= 1
        order[place] = term
    alive, at, bits = given, given, 0
    while alive > 1:
        first, second = _best_pair(terms, order, alive, room, seed)
        third = -1
        if ternary and alive > 2 and (alive & 1 or (seed > 0 and not mixed(seed << 10 ^ alive) >> 16 & 3)):
            third = _third(terms, order, alive, room, first, second, seed)
        a, b = order[first], order[second]
        room += (1 << terms[a, DEPTH]) + (1 << terms[b, DEPTH])
        if third >= 0:
            # The least shifted one meets the sum of the others: its low bits pass both.
            c = order[third]
            room += 1 << terms[c, DEPTH]
            if terms[b, SHIFT] < terms[a, SHIFT]:
                a, b = b, a
            if terms[c, SHIFT] < terms[a, SHIFT]:
                a, c = c, a
            deepest = max(terms[a, DEPTH], terms[b, DEPTH], terms[c, DEPTH])
            _join(terms, functions, at, b, c, middles, widths)
            bits += chain_bits(terms, a, at)
            _join(terms, functions, at + 1, a, at, middles, widths)
            terms[at, DEPTH], terms[at + 1, DEPTH] = deepest, deepest + 1
            at += 1
        else:
            bits += chain_bits(terms, a, b)
            _join(terms, functions, at, a, b, middles, widths)
        room -= 1 << terms[at, DEPTH]
        kept = 0
        for place in range(alive):
            if place not in (first, second, third):
                order[kept] = order[place]
                kept += 1
        place = kept
        while place > 0 and terms[order[place - 1], TOP] > terms[at, TOP]:
            order[place] = order[place - 1]
            place -= 1
        order[place] = at
        alive, at = kept + 1, at + 1
    return bits


@compiled
def best_tree(
    terms: Array, functions: Array, given: int, levels: int, middles: Array, widths: Array, tries: int
) -> tuple[int, int]:
    """Returns the seed of the best of some trees in which three meet, and its bits of carry chain."""
    best, least = 0, 1 << 62
    for seed in range(max(1, min(tries, _WORK // (given * given * len(middles))))):
        bits = add_up(terms.copy(), functions, given, levels, True, middles, widths, seed)
        if bits < least:
            best, least = seed, bits
    return best, least


@dataclass(frozen=True, eq=False)
class Summand:
    """``sign * value * 2**shift`` where ``value = coefficients @ inputs + constant`` is in ``low .. high``.

    Attributes:
        row: What computes the value, an index of the caller's; -1 for a constant and for a sum.
        low: Least value, exactly.
        high: Greatest value, exactly.
        shift: Exponent of the factor of two.
        sign: +1 or -1.
        depth: Additions on the longest way from an input.
        coefficients: The value as a function of the inputs, shape (inputs,).
        constant: The value where all inputs are 0.
        parts: Of a sum: the two that it is made of, the less shifted one first. The value is that of the first plus or
            (their signs differ) minus that of the second, shifted by the difference of their shifts.
    """

    row: int
    low: int
    high: int
    shift: int
    sign: int
    depth: int
    coefficients: NDArray[np.int64]
    constant: int = 0
    parts: "tuple[Summand, Summand] | None" = None


def constant_summand(value: int, inputs: int) -> Summand:
    """Returns a constant other than 0, its power of two taken out."""
    shift = (value & -value).bit_length() - 1
    odd = value >> shift
    return Summand(-1, odd, odd, shift, 1, 0, np.zeros(inputs, np.int64), odd)


def disjoint(a: Summand, b: Summand) -> bool:
    """Returns whether the sum of ``a`` and the more shifted ``b`` is a concatenation."""
    shift = b.shift - a.shift
    return a.sign == b.sign and shift > 0 and a.low >= 0 and a.high >> shift == 0


class Tree:
    """How the summands of a column become one sum.

    Attributes:
        bits: Bits of carry chain in the last sum.
    """

    def __init__(self, bounds: Bounds, levels: int, ternary: bool = False) -> None:
        """Prepares sums that are at most ``levels`` additions deep, of two or of three words each."""
        self.bits = 0
        self._levels = levels
        self._ternary = ternary
        # A constant is the multiple of one more input, which is always 1.
        self._middles = np.append(bounds.middles, 2)
        self._widths = np.append(bounds.widths, 0)

    def sum(self, summands: Sequence[Summand]) -> Summand:
        """Returns the sum of at least one summand.

        Raises:
            ValueError: If the summands cannot be added in so many levels.
        """
        if sum(1 << summand.depth for summand in summands) > 1 << self._levels:
            raise ValueError(f"depth of the summands must leave room for a sum in {self._levels} levels")
        given = len(summands)
        terms = np.full((2 * given - 1, 8), -1, np.int64)
        functions = np.zeros((2 * given - 1, len(self._middles)), np.int64)
        for index, s in enumerate(summands):
            terms[index, :TOP] = s.low, s.high, s.shift, s.sign, s.depth
            functions[index, :-1], functions[index, -1] = s.coefficients, s.constant
        ranges, seed = (self._middles, self._widths), 0
        if self._ternary:
            seed, _ = best_tree(terms, functions, given, self._levels, *ranges, _TRIES)
        self.bits = add_up(terms, functions, given, self._levels, self._ternary, *ranges, seed)
        found = list(summands)
        for (low, high, shift, sign, depth, _, first, second), function in zip(
            terms[given:].tolist(), functions[given:], strict=True
        ):
            parts = found[first], found[second]
            found.append(Summand(-1, low, high, shift, sign, depth, function[:-1], int(function[-1]), parts))
        return found[-1]
