"""Summing what remains of a column: the narrowest sum first and then the cheapest, within a bound on the depth.

Like Huffman's code for the widths: words that reach high meet late, so that few sums are wide. Choosing by the cost of
each pair alone takes 4 to 6 % more bits of carry chain.
"""

import heapq
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rtl4ml.cmvm.digits import Bounds
from rtl4ml.datapath.nodes import range_bits

_NEIGHBOURS = 8
"""Pairs are tried among so many summands of similar weight on each side: columns of a thousand digits stay quick."""


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

    @cached_property
    def top(self) -> int:
        """The power of two above the summand's highest bit."""
        return self.shift + range_bits(self.low, self.high)


def constant_summand(value: int, inputs: int) -> Summand:
    """Returns a constant other than 0, its power of two taken out."""
    shift = (value & -value).bit_length() - 1
    odd = value >> shift
    return Summand(-1, odd, odd, shift, 1, 0, np.zeros(inputs, np.int64), odd)


def disjoint(a: Summand, b: Summand) -> bool:
    """Returns whether the sum of ``a`` and the more shifted ``b`` is a concatenation."""
    shift = b.shift - a.shift
    return a.sign == b.sign and shift > 0 and a.low >= 0 and a.high >> shift == 0


def cost(a: Summand, b: Summand) -> int:
    """Returns the bits of carry chain in the sum of two summands."""
    if a.shift > b.shift:
        a, b = b, a
    shift = b.shift - a.shift
    if a.sign != b.sign:
        return range_bits(a.low - (b.high << shift), a.high - (b.low << shift)) - shift
    if disjoint(a, b):
        return 0
    return range_bits(a.low + (b.low << shift), a.high + (b.high << shift)) - shift


class Tree:
    """The summands of one column on their way to one sum.

    Attributes:
        bits: Bits of carry chain in the sums so far.
    """

    def __init__(self, bounds: Bounds, levels: int) -> None:
        """Prepares a sum that is at most ``levels`` additions deep."""
        self.bits = 0
        self._bounds = bounds
        self._levels = levels
        self._alive: dict[int, Summand] = {}
        self._order: list[tuple[int, int]] = []
        self._queue: list[tuple[int, int, int, int, int]] = []
        self._number = 0

    def sum(self, summands: Sequence[Summand]) -> Summand:
        """Returns the sum of at least one summand.

        Raises:
            ValueError: If the summands cannot be added in so many levels.
        """
        room = (1 << self._levels) - sum(1 << summand.depth for summand in summands)
        if room < 0:
            raise ValueError(f"depth of the summands must leave room for a sum in {self._levels} levels")
        for summand in summands:
            self._insert(summand)
        while len(self._alive) > 1:
            first, second = self._best(room)
            a, b = self._alive.pop(first), self._alive.pop(second)
            self._order.remove((a.top, first))
            self._order.remove((b.top, second))
            room -= _growth(a, b)
            self.bits += cost(a, b)
            self._insert(self._add(a, b))
        (summand,) = self._alive.values()
        return summand

    def _insert(self, summand: Summand) -> None:
        """Takes in a summand and queues its pairs with its neighbours."""
        key = (summand.top, self._number)
        place = bisect_left(self._order, key)
        for _, other in self._order[max(place - _NEIGHBOURS, 0) : place + _NEIGHBOURS]:
            self._offer(other, summand)
        insort(self._order, key)
        self._alive[self._number] = summand
        self._number += 1

    def _offer(self, other: int, summand: Summand) -> None:
        partner = self._alive[other]
        top, depth = max(partner.top, summand.top), max(partner.depth, summand.depth)
        heapq.heappush(self._queue, (top, cost(partner, summand), depth, other, self._number))

    def _best(self, room: int) -> tuple[int, int]:
        while self._queue:
            _, _, _, first, second = heapq.heappop(self._queue)
            a, b = self._alive.get(first), self._alive.get(second)
            # A pair without room now never has any: the room only shrinks.
            if a is not None and b is not None and _growth(a, b) <= room:
                return first, second
        # The two of least depth always fit.
        first, second = sorted(self._alive, key=lambda number: (self._alive[number].depth, number))[:2]
        return first, second

    def _add(self, a: Summand, b: Summand) -> Summand:
        """Returns the sum, its sign such that the low bits of the less shifted summand pass as they are."""
        if a.shift > b.shift or (a.shift == b.shift and a.sign < b.sign):
            a, b = b, a
        shift, sign = b.shift - a.shift, a.sign * b.sign
        coefficients = a.coefficients + sign * (b.coefficients << shift)
        constant = a.constant + sign * (b.constant << shift)
        low, high = self._bounds.of(coefficients)
        depth = max(a.depth, b.depth) + 1
        return Summand(-1, low + constant, high + constant, a.shift, a.sign, depth, coefficients, constant, (a, b))


def _growth(a: Summand, b: Summand) -> int:
    return (2 << max(a.depth, b.depth)) - (1 << a.depth) - (1 << b.depth)
