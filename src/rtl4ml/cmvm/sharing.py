"""Sharing of two-term subexpressions between the columns of a constant matrix.

A *pattern* is two digits up to a common shift and sign. As long as one occurs at least twice, computing it once and
replacing its occurrences by a digit of a new row saves additions (R. Hartley, "Subexpression sharing in filters using
canonic signed digit multipliers", IEEE TCAS-II 43(10), 1996). Counts are kept up to date pair by pair, and a heap
whose entries are corrected when they come up yields the best pattern: a step costs what it changes, not what the matrix
holds.

Compiled code works on arrays. A *row* is a line of them (:data:`LOWER` and the constants behind it name the columns):
an input, or ``rows[lower] + sign * rows[upper] * 2**shift``. The *masks* of a column of the matrix say by row which
powers of two are added (plane 0) and which are subtracted (plane 1).
"""

from typing import NamedTuple

import numpy as np

from rtl4ml.cmvm.compiled import Array, bits_of, compiled, mixed, ones, place_of, pop, push, rehashed

LOWER, UPPER, SHIFT, SIGN, DEPTH, LOW, HIGH, BITS = range(8)
"""Columns of the rows: two earlier rows (-1 of an input), shift and sign of the second, additions on the longest way
from an input, exact range and width of the word."""

# A digit is the integer (power << 20) + row, and its sign a plane. The pattern of the digits x < y is
# (y - x) << 21 | (planes differ) << 20 | row of x, the same for all shifts of the pair.
_ROW = 20
_MASK = (1 << _ROW) - 1
_DIFFER = 1 << _ROW
_ENTRY = 28
_ENTRIES = (1 << _ENTRY) - 1


class Score(NamedTuple):
    """What patterns are worth: occurrences times a sum of bits, blurred.

    Attributes:
        overlap: Weight of the bits in which the operands overlap: full adders that sharing saves.
        width: Weight of the bits of the carry chain.
        blur: Values grow by up to so many 64ths.
        seed: Which pattern grows by how much.
        least: Occurrences of a pattern that is shared.
    """

    overlap: int = 4
    width: int = 0
    blur: int = 0
    seed: int = 0
    least: int = 2


@compiled
def _value(pattern: int, count: int, rows: Array, score: Score) -> int:
    lower = pattern & _MASK
    upper = (pattern >> (_ROW + 1)) + lower
    shift, upper = upper >> _ROW, upper & _MASK
    overlap = max(min(rows[lower, BITS] - shift, rows[upper, BITS]), 0)
    width = max(rows[lower, BITS], rows[upper, BITS] + shift) - shift
    value = count * (1 + score.overlap * overlap + score.width * width) << 3
    if score.blur:
        value += value * (mixed(pattern ^ score.seed) & 1023) * score.blur >> 16
    return value


@compiled
def _pattern(x: int, y: int, differ: int) -> int:
    if y > x:
        return (y - x) << (_ROW + 1) | differ | (x & _MASK)
    return (x - y) << (_ROW + 1) | differ | (y & _MASK)


@compiled
def _listed(masks: Array, rows: int) -> tuple[Array, Array, int]:
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
                        digits[column, counts[column], 0] = (power << _ROW) + row
                        digits[column, counts[column], 1] = _DIFFER if plane else 0
                        counts[column] += 1
                    mask >>= 1
                    power += 1
    return digits, counts, total


@compiled
def _count(digits: Array, counts: Array) -> tuple[Array, Array, int]:
    """Returns the hash table of all patterns, the entries (pattern, occurrences), and their number."""
    table = np.full(1 << 12, -1, np.int64)
    entries = np.zeros((1 << 10, 2), np.int64)
    number = 0
    for column in range(len(counts)):
        for first in range(counts[column]):
            for second in range(first):
                differ = digits[column, first, 1] ^ digits[column, second, 1]
                pattern = _pattern(digits[column, first, 0], digits[column, second, 0], differ)
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
def _occurrences(masks: Array, pattern: int, growth: int, room: Array, found: Array) -> int:
    """Lists (column, power, plane) of a pattern's occurrences, no two of which share a digit; returns their number."""
    lower = pattern & _MASK
    upper = (pattern >> (_ROW + 1)) + lower
    shift, upper = upper >> _ROW, upper & _MASK
    swap = 1 if pattern & _DIFFER else 0
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
def _take(
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
    x, sign = (power << _ROW) + row, _DIFFER if plane else 0
    at = 0
    while digits[column, at, 0] != x or digits[column, at, 1] != sign:
        at += 1
    counts[column] -= 1
    last = counts[column]
    digits[column, at, 0], digits[column, at, 1] = digits[column, last, 0], digits[column, last, 1]
    for other in range(last):
        pattern = _pattern(x, digits[column, other, 0], digits[column, other, 1] ^ sign)
        entry = table[place_of(table, entries, pattern)]
        if entry >= 0:
            entries[entry, 1] -= 1


@compiled
def share(
    rows: Array, functions: Array, masks: Array, room: Array, middles: Array, widths: Array, score: Score
) -> tuple[Array, Array, Array, int]:
    """Replaces patterns, the most valuable first, until none occurs often enough.

    Args:
        rows: The rows so far, int64 (n, 8).
        functions: Each row as a linear function of the inputs, int64 (n, inputs).
        masks: The digits, int64 (n, 2, columns).
        room: Per column, by how much the sum of ``2**depth`` over its digits may still grow; changed in place.
        middles: Sum of the ends of each input's range.
        widths: Difference of these ends.
        score: What patterns are worth.

    Returns:
        Rows, functions and masks with the new rows behind the old ones, and the number of pairs touched: a measure of
        the work that does not depend on the machine.
    """
    number = len(rows)
    digits, counts, total = _listed(masks, number)
    table, entries, known = _count(digits, counts)
    work = known
    heap = np.zeros(max(2 * known, 1024), np.int64)
    waiting = 0
    for entry in range(known):
        if entries[entry, 1] >= score.least:
            value = _value(entries[entry, 0], entries[entry, 1], rows, score)
            push(heap, waiting, value << _ENTRY | (_ENTRIES - entry))
            waiting += 1
    found = np.zeros((total + 1, 3), np.int64)
    fresh_table = np.full(1024, -1, np.int64)
    fresh = np.zeros((513, 2), np.int64)
    while waiting:
        top = pop(heap, waiting)
        waiting -= 1
        entry = _ENTRIES - (top & _ENTRIES)
        pattern, count = entries[entry, 0], entries[entry, 1]
        if count < score.least:
            continue
        value = _value(pattern, count, rows, score)
        if value < top >> _ENTRY:
            # Occurrences have gone since the pattern was queued.
            push(heap, waiting, value << _ENTRY | (_ENTRIES - entry))
            waiting += 1
            continue
        # Occurrences that stay behind for lack of room do so for good: the room only shrinks.
        entries[entry, 1] = 0
        lower = pattern & _MASK
        upper = (pattern >> (_ROW + 1)) + lower
        shift, upper = upper >> _ROW, upper & _MASK
        differ = 1 if pattern & _DIFFER else 0
        first, second = rows[lower, DEPTH], rows[upper, DEPTH]
        growth = (2 << max(first, second)) - (1 << first) - (1 << second)
        places = _occurrences(masks, pattern, growth, room, found)
        if places < score.least:
            continue
        new = number
        if new == len(rows):
            rows = np.concatenate((rows, np.zeros_like(rows)))
            functions = np.concatenate((functions, np.zeros_like(functions)))
            masks = np.concatenate((masks, np.zeros_like(masks)))
        number += 1
        rows[new, LOWER], rows[new, UPPER], rows[new, SHIFT], rows[new, SIGN] = lower, upper, shift, 1 - 2 * differ
        define(rows, functions, new, middles, widths)
        # All old digits go before the first new one comes, so that nothing is counted that is about to go.
        pairs = 0
        for at in range(places):
            column, power, plane = found[at, 0], found[at, 1], found[at, 2]
            room[column] -= growth
            _take(masks, digits, counts, column, lower, power, plane, table, entries)
            _take(masks, digits, counts, column, upper, power + shift, plane ^ differ, table, entries)
            pairs += counts[column] + places
        work += 3 * pairs
        if 2 * pairs > len(fresh_table):
            size = len(fresh_table)
            while size < 2 * pairs:
                size *= 2
            fresh_table, fresh = np.full(size, -1, np.int64), np.zeros((size // 2 + 1, 2), np.int64)
        else:
            fresh_table[:] = -1
        news = 0
        for at in range(places):
            column, power, plane = found[at, 0], found[at, 1], found[at, 2]
            masks[new, plane, column] |= 1 << power
            x, sign = (power << _ROW) + new, _DIFFER if plane else 0
            for other in range(counts[column]):
                pattern = _pattern(x, digits[column, other, 0], digits[column, other, 1] ^ sign)
                place = place_of(fresh_table, fresh, pattern)
                if fresh_table[place] >= 0:
                    fresh[fresh_table[place], 1] += 1
                else:
                    fresh[news, 0], fresh[news, 1] = pattern, 1
                    fresh_table[place] = news
                    news += 1
            digits[column, counts[column], 0], digits[column, counts[column], 1] = x, sign
            counts[column] += 1
        for at in range(news):
            pattern, count = fresh[at, 0], fresh[at, 1]
            if count < score.least:
                continue
            place = place_of(table, entries, pattern)
            entry = table[place]
            if entry < 0:
                if known == len(entries):
                    entries = np.concatenate((entries, np.zeros_like(entries)))
                entry = known
                entries[entry, 0] = pattern
                table[place] = entry
                known += 1
                if 2 * known > len(table):
                    table = rehashed(table, entries, known)
            entries[entry, 1] = count
            if waiting == len(heap):
                heap = np.concatenate((heap, np.zeros_like(heap)))
            push(heap, waiting, _value(pattern, count, rows, score) << _ENTRY | (_ENTRIES - entry))
            waiting += 1
    return rows[:number].copy(), functions[:number].copy(), masks[:number].copy(), work
