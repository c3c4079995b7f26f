"""Two products of the same element in one multiplier block, whose operands are wider than either needs.

    element * ((upper << k) + lower) = (element * upper << k) + element * lower

The low k bits are the lower product, in two's complement; the bits above are the upper one, less 1 where the lower is
negative: that bit is added to it again (Fu et al. 2016, "Deep Learning with INT8 Optimization on Xilinx Devices").
"""

from dataclasses import dataclass

import numpy as np

from rtl4ml.formats import Codes
from rtl4ml.hdl.mac_products import Product
from rtl4ml.hdl.tables import shape_of_range

NARROW_BITS = 18
"""Width of the narrower signed operand of a multiplier block of AMD parts."""


@dataclass(frozen=True)
class Pair:
    """Two positions of a tile in one multiplier.

    Parameters:
        upper: position (p, s) of the product in the upper bits.
        lower: of the other; s is the same.
        bits: k, width of the lower product.
        weights: lowest and highest number of both weights together.
        product: lowest and highest product of it.
        borrows: whether the lower product may be negative.
    """

    upper: tuple[int, int]
    lower: tuple[int, int]
    bits: int
    weights: tuple[int, int]
    product: tuple[int, int]
    borrows: bool

    def joined(self, upper: Codes, lower: Codes) -> Codes:
        """Both weights as one."""
        return (upper << self.bits) + lower

    def split(self, product: Codes) -> tuple[Codes, Codes, Codes]:
        """The upper bits, the lower product, and what the upper bits lack of the upper product."""
        low = product & ((1 << self.bits) - 1)
        negative = (low >> (self.bits - 1)) & int(self.borrows)
        return product >> self.bits, low - (negative << self.bits), negative


def pair_of(upper: tuple[int, int], lower: tuple[int, int], products: dict[tuple[int, int], Product]) -> Pair:
    """Two products as one.

    Args:
        upper: position of the one.
        lower: of the other.
        products: by position.
    """
    first, second = products[upper], products[lower]
    below = _ends(second.stored_range, second.low, second.high)
    bits = shape_of_range(*below).width
    low, high = first.stored_range
    weights = (low << bits) + second.stored_range[0], (high << bits) + second.stored_range[1]
    return Pair(upper, lower, bits, weights, _ends(weights, first.low, first.high), below[0] < 0)


def fits(weights: tuple[int, int], low: int, high: int, wide_bits: int) -> bool:
    """Whether a weight and an element are no wider than the operands of a multiplier block, signed both."""
    return _signed_bits(*weights) <= wide_bits and _signed_bits(low, high) <= NARROW_BITS


def find_pairs(
    positions: list[tuple[int, int]], products: dict[tuple[int, int], Product], wide_bits: int
) -> list[Pair]:
    """Pairs among the multipliers of a tile: neighbours among those of the same element.

    Args:
        positions: (p, s) of the products that are multipliers'.
        products: by position.
        wide_bits: width of the wider signed operand of a multiplier block.
    """
    columns: dict[int, list[tuple[int, int]]] = {}
    for position in positions:
        columns.setdefault(position[1], []).append(position)
    found = []
    for column in columns.values():
        left = sorted(column)
        while len(left) > 1:
            pair = pair_of(left[1], left[0], products)
            if fits(pair.weights, products[pair.upper].low, products[pair.upper].high, wide_bits):
                found.append(pair)
                left = left[1:]
            left = left[1:]
    return found


def any_pair_fits(weights: Codes, low: int, high: int, wide_bits: int) -> bool:
    """Whether any two weights of a layer are a pair for an element in low .. high."""
    ends = int(weights.min()), int(weights.max())
    bits = shape_of_range(*_ends(ends, low, high)).width
    return fits(((ends[0] << bits) + ends[0], (ends[1] << bits) + ends[1]), low, high, wide_bits)


def _ends(weights: tuple[int, int], low: int, high: int) -> tuple[int, int]:
    corners = np.outer(np.array(weights, object), np.array((low, high), object))
    return int(corners.min()), int(corners.max())


def _signed_bits(low: int, high: int) -> int:
    return shape_of_range(min(low, -1), high).width
