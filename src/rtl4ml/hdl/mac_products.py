"""How each product of a tile is made: not at all, by shifts and adders, by lookup tables, or by a multiplier.

A tile's position (output p, element s) sees one weight a pass. What all of them have in common decides:

1. The product is always 0: nothing is built.
2. The weight or the element is always the same: shifts and adders.
3. The element has one bit, or the weights have two at most: selects and inverters, which share lookup tables with the
   adders behind them. So it is with three bits, by an adder more, where all weights of the layer have no more. A factor
   -1 is an inversion, whose missing +1 joins the bias; a bit of sign -1 or +1 times a bit is their XNOR, whose offset
   joins the bias too: sums of such products are popcounts.
4. Otherwise a multiplier.
"""

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl4ml.datapath.words import Datapath, Word

Codes = NDArray[np.int64]

COUNTER_BITS = 3
"""Bits that are counted together: as many products of two bits fill a lookup table of six inputs (measured: 1,118 LUTs
for 512 such products with 3, 1,206 with 1, 1,431 with 6)."""


class ProductKind(enum.Enum):
    """What a product is built of."""

    ABSENT = "absent"
    CONSTANT = "constant"
    LOGIC = "logic"
    MULTIPLIER = "multiplier"


@dataclass(frozen=True)
class Product:
    """One position of a tile: `element * weight = value + correction(weight)`, the value in hardware.

    Parameters:
        kind: what the value is built of.
        shift: all weights are multiples of `2**shift`; what is stored and multiplied is the quotient.
        values: the quotients that occur, ascending.
        low: lowest code of the element.
        high: highest.
    """

    kind: ProductKind
    shift: int
    values: tuple[int, ...]
    low: int
    high: int

    @property
    def one_bit(self) -> bool:
        """Whether the element has two codes."""
        return self.high - self.low == 1

    @property
    def coded(self) -> bool:
        """Whether the memory holds one bit a weight: 1 for the greater of two values."""
        return self.kind is not ProductKind.MULTIPLIER and len(self.values) == 2

    @property
    def signs(self) -> bool:
        """Whether the weights are `-m` and `m`."""
        return len(self.values) == 2 and self.values[0] == -self.values[1]

    @property
    def stored_range(self) -> tuple[int, int]:
        """Lowest and highest number in the memory."""
        return (0, 1) if self.coded else (self.values[0], self.values[-1])

    @property
    def three_bits(self) -> bool:
        """Whether weights of three bits are selects and an adder."""
        return not self.coded and not self.one_bit and not _is_small(self.values)

    def stored(self, weights: Codes) -> Codes:
        """What the memory holds for weights, any shape."""
        quotients = weights >> self.shift
        return (quotients == self.values[1]).astype(np.int64) if self.coded else quotients

    def correction(self, weights: Codes) -> Codes:
        """What the value lacks of the product, for weights of any shape."""
        none = np.zeros_like(weights)
        if self.kind is not ProductKind.LOGIC or self.low == self.high:
            return none
        if not self.one_bit:
            missing = 4 if self.three_bits else 1
            return -(np.minimum(np.sign(weights), 0) * missing << self.shift)
        return self.low * weights + (np.minimum(weights, 0) if self.signs else none)

    def build(self, datapath: Datapath, element: Word, weight: Word) -> Word:
        """Add the value, without its power of two, to a datapath.

        Args:
            datapath: where to.
            element: its code.
            weight: the stored number.
        """
        if self.kind is ProductKind.CONSTANT:
            return datapath.multiply(element, weight)
        if self.coded and not (self.one_bit and self.signs):
            first, second = (datapath.constant(value) for value in self.values)
            if self.one_bit or self.low == self.high:
                weight = datapath.select(weight, second, first)
            else:
                return datapath.select(
                    weight, self._multiple(datapath, element, 1), self._multiple(datapath, element, 0)
                )
        if self.low == self.high:
            return datapath.multiply(weight, datapath.constant(self.low))
        if self.one_bit:
            bit = datapath.at_least(element, datapath.constant(self.high))
            if self.signs:
                weight_is_positive = datapath.equal(bit, weight)
                return datapath.select(weight_is_positive, datapath.constant(self.values[1]), datapath.constant(0))
            return datapath.select(bit, weight, datapath.constant(0))
        if self.three_bits:
            return self._select_three(datapath, element, weight)
        return self._select(datapath, element, weight)

    def _multiple(self, datapath: Datapath, element: Word, index: int) -> Word:
        """The element times one of the values; a negative multiple is inverted, not negated."""
        value = self.values[index]
        multiple = datapath.multiply(element, datapath.constant(abs(value)))
        return multiple if value >= 0 else datapath.subtract(datapath.constant(-1), multiple)

    def _select_three(self, datapath: Datapath, element: Word, weight: Word) -> Word:
        """A choice between 0, 1, 2 and 3 elements, and 4 of them more or, inverted, less."""
        odd = datapath.low_bits(weight, 1)
        twos = datapath.low_bits(datapath.shift_right(weight, 1), 1)
        nothing, two = datapath.constant(0), datapath.shift_left(element, 1)
        three = datapath.add(element, two)
        below = datapath.select(twos, datapath.select(odd, three, two), datapath.select(odd, element, nothing))
        if weight.low < 0:
            four, top = datapath.invert(element), datapath.at_least(datapath.constant(-1), weight)
        else:
            four, top = element, datapath.shift_right(weight, 2)
        return datapath.add(below, datapath.shift_left(datapath.select(top, four, nothing), 2))

    def _select(self, datapath: Datapath, element: Word, weight: Word) -> Word:
        """A choice between multiples by the two bits of the weight."""
        multiples = {value & 3: self._multiple(datapath, element, i) for i, value in enumerate(self.values)}
        low_bit = datapath.low_bits(weight, 1)
        upper = [multiples[code] for code in (2, 3) if code in multiples]
        lower = [multiples[code] for code in (0, 1) if code in multiples]
        halves = [datapath.select(low_bit, half[-1], half[0]) if half else None for half in (lower, upper)]
        present = [half for half in halves if half is not None]
        if len(present) == 1:
            return present[0]
        high_bit = (
            datapath.at_least(datapath.constant(-1), weight) if weight.low < 0 else datapath.shift_right(weight, 1)
        )
        return datapath.select(high_bit, present[1], present[0])


def classify(weights: Codes, low: int, high: int, *, three_bits: bool = False) -> Product:
    """Decide how a product is made.

    Args:
        weights: all weights of the position, any order.
        low: lowest code of the element.
        high: highest.
        three_bits: three bits are few enough for logic.
    """
    found = np.unique(weights)
    union = int(np.bitwise_or.reduce(found))
    shift = (union & -union).bit_length() - 1 if union else 0
    values = tuple((found >> shift).tolist())
    if union == 0 or low == high == 0:
        kind = ProductKind.ABSENT
    elif len(values) == 1:
        kind = ProductKind.CONSTANT
    elif high - low <= 1 or _is_small(values) or (three_bits and has_three_bits(found)):
        kind = ProductKind.LOGIC
    else:
        kind = ProductKind.MULTIPLIER
    return Product(kind, shift, values, low, high)


def has_three_bits(weights: Codes) -> bool:
    """Whether weights have three bits, with or without a sign, but for a common power of two."""
    found = np.unique(weights)
    union = int(np.bitwise_or.reduce(found))
    shift = (union & -union).bit_length() - 1 if union else 0
    lowest, highest = int(found[0]) >> shift, int(found[-1]) >> shift
    return -4 <= lowest <= highest <= 3 or 0 <= lowest <= highest <= 7


def _is_small(values: tuple[int, ...]) -> bool:
    """Whether weights have two bits, with or without a sign, or are -m and m."""
    in_two_bits = -2 <= values[0] <= values[-1] <= 1 or 0 <= values[0] <= values[-1] <= 3
    return in_two_bits or (len(values) == 2 and values[0] == -values[1])


def add_up(datapath: Datapath, values: list[tuple[Word, int]]) -> Word:
    """Sum of words times powers of two: bits are counted by tables, the rest is a balanced tree.

    Args:
        datapath: where to.
        values: (word, power) each.
    """
    by_power: dict[int, list[Word]] = {}
    for word, power in values:
        by_power.setdefault(power, []).append(word)
    sums = []
    for power, words in sorted(by_power.items()):
        bits = [word for word in words if (word.low, word.high) == (0, 1)]
        rest = [word for word in words if (word.low, word.high) != (0, 1)]
        sums.append(datapath.shift_left(datapath.sum([*rest, *_count(datapath, bits)]), power))
    return datapath.sum(sums)


def _count(datapath: Datapath, bits: list[Word]) -> list[Word]:
    """Words whose sum is the number of ones."""
    counts = []
    for start in range(0, len(bits), COUNTER_BITS):
        group = bits[start : start + COUNTER_BITS]
        if len(group) <= 2:
            counts.extend(group)
            continue
        index = datapath.sum([datapath.shift_left(bit, position) for position, bit in enumerate(group)])
        counts.append(datapath.table(index, [number.bit_count() for number in range(1 << len(group))]))
    return counts
