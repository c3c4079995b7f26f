"""Which style a layer is cheaper in: a tile of multipliers, or hard-wired adders that take digits of the activations.

Both are counted in bits of logic, a bit of adder being one, as forms are (:mod:`rtl4ml.planning.forms`), before
anything is solved or built.
"""

import functools
from dataclasses import dataclass

import numpy as np

from rtl4ml.cmvm.digits import signed_masks
from rtl4ml.cmvm.packing import Fabric, estimated_tables
from rtl4ml.cmvm.tables import WIDEST
from rtl4ml.datapath.delays import Delays, delays_of
from rtl4ml.formats import Codes, width_of
from rtl4ml.planning.estimates.families import resources_of
from rtl4ml.planning.estimates.primitives import Memory
from rtl4ml.planning.forms import MULTIPLIER_COST, candidates
from rtl4ml.stages.digit_matrix import DigitMatrix
from rtl4ml.staircase import Staircase

ADDITION_BITS = 1.9
"""Bits of carry chain for each addition of two signed digits of a column, shared or not, of one-bit elements."""

DIGIT_EXPONENT = 0.6
"""How that grows with the bits of the elements. Both were fitted to adder graphs of 42 random matrices from 8 x 8 to
64 x 32 of 3 to 8 bits, dense and half sparse, with elements of 1, 2, 4 and 8 bits: all within 20 %."""

MEMORY_SHARE = 1 / 32
"""A bit of memory, in bits of logic: lookup tables hold 32 or 64."""

BLOCK_COST = MULTIPLIER_COST
"""A block memory, in bits of logic: most parts have about as many as multiplier blocks."""

WITHOUT_MULTIPLIERS = ("ice40", "ice40-hx8k")
"""Targets whose products of two variables are lookup tables."""


@dataclass(frozen=True)
class TileShape:
    """A tile of products, and how often it is used.

    Parameters:
        outputs: accumulators side by side.
        products: side by side.
        multipliers: of them and behind the accumulators.
        finish: lanes behind the accumulators.
        logic: products that are no multipliers.
        readers: bits of logic of all that reads what weights are not 0 for; 0: all products read the same words.
        places: bits of the tables that say where.
    """

    outputs: int
    products: int
    multipliers: int
    finish: int
    logic: int = 0
    readers: float = 0.0
    places: int = 0


def adder_bits(weights: Codes, digit: int) -> float:
    """Bits of carry chain that a matrix takes for elements of so many bits, roughly.

    Args:
        weights: int64 (S, F).
        digit: bits of an element.
    """
    plus, minus = signed_masks(weights)
    digits = np.array([int(mask).bit_count() for mask in (plus | minus).reshape(-1)]).reshape(weights.shape)
    additions = int(np.maximum(digits.sum(axis=0) - 1, 0).sum())
    return ADDITION_BITS * digit**DIGIT_EXPONENT * additions


def table_bits(weights: Codes, digit: int, delays: Delays) -> float:
    """Lookup tables that a matrix takes for elements of so many bits as tables of partial sums, roughly.

    Args:
        weights: int64 (S, F).
        digit: bits of an element.
        delays: of the device.
    """
    weights = np.ascontiguousarray(weights.T)
    return float(_tables_of(weights.tobytes(), weights.shape[1], digit, Fabric.of(delays)))


@functools.lru_cache(maxsize=256)
def _tables_of(columns: bytes, rows: int, digit: int, fabric: Fabric) -> int:
    """Estimates once what planning asks for again and again."""
    weights = np.frombuffer(columns, np.int64).reshape(-1, rows)
    of_bits = [(column[column != 0, None] << np.arange(digit)).reshape(-1).tolist() for column in weights]
    return sum(estimated_tables(column, fabric) for column in of_bits)


def digit_cost(matrix: DigitMatrix, digit: int, staircase: Staircase | None, target: str | None = None) -> float:
    """Bits of logic of a layer on digits of so many bits: choice of digits, sums, accumulators, staircases.

    Args:
        matrix: of the layer.
        digit: bits of an element a cycle; all of them: adders alone.
        staircase: behind the accumulators.
        target: device, which knows what tables hold.
    """
    weights = matrix.weights
    elements = int(weights.any(axis=1).sum())
    steps = -(-matrix.bits // digit)
    # Up to four digits are chosen from by one lookup table a bit, up to eight by two.
    choosing = elements * digit * -(-steps // 4)
    sums = np.abs(weights).sum(axis=0) * ((1 << digit) - 1)
    accumulators = float(np.log2(sums + 1).sum()) + 2 * weights.shape[1]
    adders = adder_bits(weights, digit)
    if digit < matrix.bits and digit <= WIDEST:
        adders = min(adders, table_bits(weights, digit, delays_of(target)))
    return choosing + adders + accumulators + weights.shape[1] * _staircase(staircase, False)


def tile_cost(matrix: DigitMatrix, tile: TileShape, staircase: Staircase | None, target: str | None) -> float:
    """Bits of logic of a layer on a tile of products: multipliers, adder trees, accumulators, weights, staircases."""
    weight_bits = width_of(int(matrix.weights.min()), int(matrix.weights.max()))[0]
    sums = np.abs(matrix.weights).sum(axis=0) * ((1 << matrix.bits) - 1)
    accumulator = float(np.log2(sums.max() + 1)) + 1
    product = product_cost(matrix.bits, weight_bits, target)
    # Each product goes through an adder of its tree, or into the accumulator.
    trees = tile.products * (matrix.bits + weight_bits) + tile.outputs * accumulator
    memory = matrix.weights.size * weight_bits * MEMORY_SHARE
    memory += tile.places * MEMORY_SHARE + tile.readers
    logic = tile.logic * (matrix.bits + 1)
    return tile.multipliers * product + logic + trees + memory + tile.finish * _staircase(staircase, True)


def product_cost(bits: int, weight_bits: int, target: str | None) -> float:
    """What a product of two variables costs on a target, in bits of logic."""
    return bits * weight_bits if target in WITHOUT_MULTIPLIERS else MULTIPLIER_COST


def memory_cost(words: int, bits: int, target: str | None) -> float:
    """What a memory that is written costs on a target, in bits of logic.

    Args:
        words: that it holds.
        bits: of a word.
        target: as estimates know it; None: any.
    """
    if target is None:
        return words * bits * MEMORY_SHARE
    found = resources_of(target, Memory(words, bits, 1, registered=True, contents=None))
    if found.logic:
        # Each bit is a register and a choice.
        return 2.0 * words * bits
    past = 2 * bits + words.bit_length() if found.emulates else 0
    return found.lut_memory + found.bram * BLOCK_COST + (found.banks - 1) * bits + past


def _staircase(staircase: Staircase | None, multiplexed: bool) -> float:
    return 0.0 if staircase is None else candidates(staircase, multiplexed=multiplexed)[0].cost
