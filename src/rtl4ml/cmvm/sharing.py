"""Sharing of two-term subexpressions between the columns of a constant matrix.

A *pattern* is two digits up to a common shift and sign. As long as one occurs at least twice, computing it once and
replacing its occurrences by a digit of a new row saves additions (R. Hartley, "Subexpression sharing in filters using
canonic signed digit multipliers", IEEE TCAS-II 43(10), 1996). Counts are kept up to date pair by pair, and a heap
whose entries are corrected when they come up yields the best pattern: a step costs what it changes, not what the matrix
holds. Where patterns may grow by a third digit, the heap holds bounds; what comes up is looked at, and goes back with
its true value unless that is the best.
"""

import numpy as np

from rtl4ml.cmvm.compiled import Array, compiled, place_of, pop, push, rehashed
from rtl4ml.cmvm.patterns import (
    DEPTH,
    DIFFER,
    LOWER,
    ROW_BITS,
    ROW_MASK,
    SHIFT,
    SIGN,
    UPPER,
    Score,
    count_pairs,
    define,
    listed,
    occurrences,
    pattern_of,
    take,
    value_of,
)
from rtl4ml.cmvm.triples import best_third, gain_of, keep_with, room_for

LEAST = 2
"""Occurrences of a pattern that is shared."""

_ENTRY = 28
_ENTRIES = (1 << _ENTRY) - 1


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
    digits, counts, total = listed(masks, number)
    table, entries, known = count_pairs(digits, counts)
    work = known
    heap = np.zeros(max(2 * known, 1024), np.int64)
    waiting = 0
    for entry in range(known):
        if entries[entry, 1] >= LEAST:
            value = value_of(entries[entry, 0], entries[entry, 1], rows, score)
            push(heap, waiting, value << _ENTRY | (_ENTRIES - entry))
            waiting += 1
    looked_at = np.zeros(len(entries), np.bool_)
    found = np.zeros((total + 1, 3), np.int64)
    fresh_table = np.full(1024, -1, np.int64)
    fresh = np.zeros((513, 2), np.int64)
    while waiting:
        top = pop(heap, waiting)
        waiting -= 1
        entry = _ENTRIES - (top & _ENTRIES)
        pattern, count = entries[entry, 0], entries[entry, 1]
        if count < LEAST:
            continue
        value = value_of(pattern, count, rows, score)
        if value < top >> _ENTRY and not looked_at[entry]:
            # Occurrences have gone since the pattern was queued.
            push(heap, waiting, value << _ENTRY | (_ENTRIES - entry))
            waiting += 1
            continue
        lower = pattern & ROW_MASK
        upper = (pattern >> (ROW_BITS + 1)) + lower
        shift, upper = upper >> ROW_BITS, upper & ROW_MASK
        differ = 1 if pattern & DIFFER else 0
        first, second = rows[lower, DEPTH], rows[upper, DEPTH]
        deep = max(first, second) + 1
        growth = (1 << deep) - (1 << first) - (1 << second)
        places = occurrences(masks, pattern, growth, room, found)
        third = -1
        if score.triples and places >= LEAST:
            pairs = 0
            for at in range(places):
                pairs += counts[found[at, 0]]
            if 2 * pairs > len(fresh_table):
                fresh_table, fresh = room_for(pairs, len(fresh_table))
            else:
                fresh_table[:] = -1
            third, most = best_third(masks, digits, counts, found, places, pattern, fresh_table, fresh)
            work += pairs
            value, grows = gain_of(pattern, places, third, most, rows, score)
            looked_at[entry] = waiting > 0 and value < heap[0] >> _ENTRY
            if looked_at[entry]:
                push(heap, waiting, value << _ENTRY | (_ENTRIES - entry))
                waiting += 1
                continue
            third = third if grows else -1
        # Occurrences that stay behind for lack of room do so for good: the room only shrinks.
        entries[entry, 1] = 0
        if places < LEAST:
            continue
        if number + 2 > len(rows):
            rows = np.concatenate((rows, np.zeros_like(rows)))
            functions = np.concatenate((functions, np.zeros_like(functions)))
            masks = np.concatenate((masks, np.zeros_like(masks)))
        above, turned, outside = 0, 0, 0
        if third >= 0:
            outside, turned = third & ROW_MASK, 1 if third & DIFFER else 0
            above = (third >> (ROW_BITS + 1)) - 64
            inner, deep = max(first, second), max(deep, rows[outside, DEPTH] + 1)
            growth = (1 << deep) - (1 << first) - (1 << second) - (1 << rows[outside, DEPTH])
            kept = keep_with(masks, found, places, pattern, third, growth, room)
            if kept < 2:
                # Some of them shared a digit: the pair alone is what there is.
                growth = (1 << (inner + 1)) - (1 << first) - (1 << second)
                places = occurrences(masks, pattern, growth, room, found)
                third = -1
            else:
                entries[entry, 1] = count if kept < places else 0
                places = kept
        rows[number, LOWER], rows[number, UPPER] = lower, upper
        rows[number, SHIFT], rows[number, SIGN] = shift, 1 - 2 * differ
        define(rows, functions, number, middles, widths)
        new = number
        number += 1
        if third >= 0:
            new, number = number, number + 1
            rows[new, SHIFT], rows[new, SIGN] = abs(above), 1 - 2 * turned
            rows[new, LOWER], rows[new, UPPER] = (new - 1, outside) if above >= 0 else (outside, new - 1)
            define(rows, functions, new, middles, widths)
            rows[new, DEPTH] = deep
        # All old digits go before the first new one comes, so that nothing is counted that is about to go.
        pairs = 0
        for at in range(places):
            column, power, plane = found[at, 0], found[at, 1], found[at, 2]
            room[column] -= growth
            take(masks, digits, counts, column, lower, power, plane, table, entries)
            take(masks, digits, counts, column, upper, power + shift, plane ^ differ, table, entries)
            if third >= 0:
                take(masks, digits, counts, column, outside, power + above, plane ^ turned, table, entries)
            pairs += counts[column] + places
        if third >= 0:
            if entries[entry, 1] >= LEAST:
                push(heap, waiting, value_of(pattern, entries[entry, 1], rows, score) << _ENTRY | (_ENTRIES - entry))
                waiting += 1
            if above < 0:
                for at in range(places):
                    found[at, 1] += above
                    found[at, 2] ^= turned
        work += 3 * pairs
        if 2 * pairs > len(fresh_table):
            fresh_table, fresh = room_for(pairs, len(fresh_table))
        else:
            fresh_table[:] = -1
        news = 0
        for at in range(places):
            column, power, plane = found[at, 0], found[at, 1], found[at, 2]
            masks[new, plane, column] |= 1 << power
            x, sign = (power << ROW_BITS) + new, DIFFER if plane else 0
            for other in range(counts[column]):
                pattern = pattern_of(x, digits[column, other, 0], digits[column, other, 1] ^ sign)
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
            if count < LEAST:
                continue
            place = place_of(table, entries, pattern)
            entry = table[place]
            if entry < 0:
                if known == len(entries):
                    entries = np.concatenate((entries, np.zeros_like(entries)))
                    looked_at = np.concatenate((looked_at, np.zeros_like(looked_at)))
                entry = known
                entries[entry, 0] = pattern
                table[place] = entry
                known += 1
                if 2 * known > len(table):
                    table = rehashed(table, entries, known)
            entries[entry, 1] = count
            looked_at[entry] = False
            if waiting == len(heap):
                heap = np.concatenate((heap, np.zeros_like(heap)))
            push(heap, waiting, value_of(pattern, count, rows, score) << _ENTRY | (_ENTRIES - entry))
            waiting += 1
    return rows[:number].copy(), functions[:number].copy(), masks[:number].copy(), work
