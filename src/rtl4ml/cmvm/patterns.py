"""Digits of the columns of a matrix, and the pairs that they make.

Compiled code works on arrays. A *row* is a line of them (:data:`LOWER` and the constants behind it name the columns):
an input, or ``rows[lower] + sign * rows[upper] * 2**shift``. The *masks* of a column of the matrix say by row which
powers of two are added (plane 0) and which are subtracted (plane 1). A *pattern* is two digits up to a common shift and
sign.
"""

from typing import NamedTuple

import numpy as np

from rtl4ml.cmvm.compiled import Array, bits_of, compiled, mixed, ones, place_of, rehashed

LOWER, UPPER, SHIFT, SIGN, DEPTH, LOW, HIGH, BITS = range(8)
"""Columns of the rows: two earlier rows (-1 of an input), shift and sign of the second, additions on the longest way
from an input, exact range and width of the word."""

# A digit is the integer (power << 20) + row, and its sign a plane. The pattern of the digits x < y is
# (y - x) << 21 | (planes differ) << 20 | row of x, the same for all shifts of the pair.
ROW_BITS = 20
ROW_MASK = (1 << ROW_BITS) - 1
DIFFER = 1 << ROW_BITS


class Score(NamedTuple):
    """What patterns are worth: occurrences times a sum of bits, blurred.

    Attributes:
        overlap: Weight of the bits in which the operands overlap: full adders that sharing saves.
        width: Weight of the bits of the carry chain.
        blur: Values grow by up to so many 64ths.
        seed: Which pattern grows by how much.
        triples: Whether sums of three cost what sums of two do, so that patterns may grow by a third digit. What one
            is worth is then a bound (:func:`rtl4ml.cmvm.triples.gain_of` says more), and the first two do not count.
    """

    overlap: int = 4
    width: int = 0
    blur: int = 0
    seed: int = 0
    triples: bool = False


@compiled
def gain_of_two(overlap: int) -> int:
    """Returns what it is worth that two words, which overlap in so many bits, are added once instead of twice."""
    return (2 + 4 * overlap) << 4


@compiled
def gain_of_three(first: int, second: int) -> int:
    """Returns the same for three words; the second two overlap in so many bits as `second` says.

    Two words less in a sum of many is one sum of three less, one word less may be none: the second counts more.
    """
    return gain_of_two(first) + gain_of_two(second) * 5 // 4


@compiled
def value_of(pattern: int, count: int, rows: Array, score: Score) -> int:
    """Returns what a pattern is worth that occurs so often."""
    lower = pattern & ROW_MASK
    upper = (pattern >> (ROW_BITS + 1)) + lower
    shift, upper = upper >> ROW_BITS, upper & ROW_MASK
    overlap = max(min(rows[lower, BITS] - shift, rows[upper, BITS]), 0)
    top = max(rows[lower, BITS], rows[upper, BITS] + shift)
    if score.triples:
        value = count * gain_of_three(overlap, top + 1)
    else:
        value = count * (1 + score.overlap * overlap + score.width * (top - shift)) << 3
    return blurred(value, pattern, score)


@compiled
def blurred(value: int, pattern: int, score: Score) -> int:
    """Returns a value grown by as much as the score says for a pattern."""
    if score.blur:
        value += value * (mixed(pattern ^ score.seed) & 1023) * score.blur >> 16
    return value


@compiled
def pattern_of(x: int, y: int, differ: int) -> int:
    """Returns the pattern of two digits; `differ` is 0 or :data:`DIFFER`."""
    if y > x:
        return (y - x) << (ROW_BITS + 1) | differ | (x & ROW_MASK)
    return (x - y) << (ROW_BITS + 1) | differ | (y & ROW_MASK)


@compiled
def listed(masks: Array, rows: int) -> tuple[Array, Array, int]:
    """Returns the digits (digit, sign) of every column, their numbers, and the number of all."""
    columns = masks.shape[2]
    counts = np.zeros(columns, np.int64)
    for row in range(rows):
        for column in range(columns):
            counts[column] += ones(masks[row, 0, column]) + ones(masks[row, 1, column])
    digits = np.zeros((columns, counts.max(), 2), np.int64)
    total = counts.sum()
    counts[:] = 0
    for row in range(rows):
        for column in range(columns):
            for plane in range(2):
                mask, power = masks[row, plane, column], 0
                while mask:
                    if mask & 1:
                        digits[column, counts[column], 0] = (power << ROW_BITS) + row
                        digits[column, counts[column], 1] = DIFFER if plane else 0
                        counts[column] += 1
                    mask >>= 1
                    power += 1
    return digits, counts, total


@compiled
def count_pairs(digits: Array, counts: Array) -> tuple[Array, Array, int]:
    """Returns the hash table of all patterns, the entries (pattern, occurrences), and their number."""
    table = np.full(1 << 12, -1, np.int64)
    entries = np.zeros((1 << 10, 2), np.int64)
    number = 0
    for column in range(len(counts)):
        for first in range(counts[column]):
            for second in range(first):
                differ = digits[column, first, 1] ^ digits[column, second, 1]
                pattern = pattern_of(digits[column, first, 0], digits[column, second, 0], differ)
                place = place_of(table, entries, pattern)
                if table[place] >= 0:
                    entries[table[place], 1] += 1
                    continue
                if number == len(entries):
                    entries = np.concatenate((entries, np.zeros_like(entries)))
                entries[number, 0], entries[number, 1] = pattern, 1
                table[place] = number
                number += 1
                if 2 * number > len(table):
                    table = rehashed(table, entries, number)
    return table, entries, number


@compiled
def define(rows: Array, functions: Array, at: int, middles: Array, widths: Array) -> None:
    """Completes a row whose operands are known: its linear function, its range and its depth."""
    lower, upper, shift, sign = rows[at, LOWER], rows[at, UPPER], rows[at, SHIFT], rows[at, SIGN]
    middle, width = 0, 0
    for index in range(functions.shape[1]):
        factor = functions[lower, index] + sign * (functions[upper, index] << shift)
        functions[at, index] = factor
        middle += factor * middles[index]
        width += abs(factor) * widths[index]
    rows[at, LOW], rows[at, HIGH] = (middle - width) >> 1, (middle + width) >> 1
    rows[at, BITS] = bits_of(rows[at, LOW], rows[at, HIGH])
    rows[at, DEPTH] = max(rows[lower, DEPTH], rows[upper, DEPTH]) + 1


@compiled
def occurrences(masks: Array, pattern: int, growth: int, room: Array, found: Array) -> int:
    """Lists (column, power, plane) of a pattern's occurrences, no two of which share a digit; returns their number."""
    lower = pattern & ROW_MASK
    upper = (pattern >> (ROW_BITS + 1)) + lower
    shift, upper = upper >> ROW_BITS, upper & ROW_MASK
    swap = 1 if pattern & DIFFER else 0
    number = 0
    for column in range(masks.shape[2]):
        plus = masks[lower, 0, column] & (masks[upper, swap, column] >> shift)
        minus = masks[lower, 1, column] & (masks[upper, 1 - swap, column] >> shift)
        most = room[column] // growth if growth else len(found)
        used, power = 0, 0
        while most > 0 and (plus | minus) >> power:
            for plane in range(2):
                if not ((minus if plane else plus) >> power) & 1 or most <= 0:
                    continue
                if lower == upper:
                    # Within a row occurrences may overlap: 1 0 1 0 1 holds 1 0 1 once.
                    both = (1 << power) | (1 << (power + shift))
                    if used & both:
                        continue
                    used |= both
                found[number, 0], found[number, 1], found[number, 2] = column, power, plane
                number += 1
                most -= 1
            power += 1
    return number


@compiled
def take(
    masks: Array,
    digits: Array,
    counts: Array,
    column: int,
    row: int,
    power: int,
    plane: int,
    table: Array,
    entries: Array,
) -> None:
    """Removes a digit from a column, and its pairs with the other digits from the entries."""
    masks[row, plane, column] ^= 1 << power
    x, sign = (power << ROW_BITS) + row, DIFFER if plane else 0
    at = 0
    while digits[column, at, 0] != x or digits[column, at, 1] != sign:
        at += 1
    counts[column] -= 1
    last = counts[column]
    digits[column, at, 0], digits[column, at, 1] = digits[column, last, 0], digits[column, last, 1]
    for other in range(last):
        pattern = pattern_of(x, digits[column, other, 0], digits[column, other, 1] ^ sign)
        entry = table[place_of(table, entries, pattern)]
        if entry >= 0:
            entries[entry, 1] -= 1
