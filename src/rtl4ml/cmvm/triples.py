"""Third digits beside the two of a pattern, for devices that add three words at the cost of two.

A sum of three that occurs m times saves m - 1 additions, where one of two saves half as many as it has occurrences,
less one: a pattern grows where enough of its occurrences have the same third digit.
"""

import numpy as np

from rtl4ml.cmvm.compiled import Array, compiled, place_of
from rtl4ml.cmvm.patterns import BITS, DIFFER, ROW_BITS, ROW_MASK, Score, blurred, gain_of_three, gain_of_two


@compiled
def room_for(pairs: int, size: int) -> tuple[Array, Array]:
    """Returns an empty hash table, of at least `size` places, for so many patterns, and their entries."""
    while size < 2 * pairs:
        size *= 2
    return np.full(size, -1, np.int64), np.zeros((size // 2 + 1, 2), np.int64)


@compiled
def best_third(
    masks: Array, digits: Array, counts: Array, found: Array, places: int, pattern: int, table: Array, seen: Array
) -> tuple[int, int]:
    """Returns the digit that most occurrences of a pattern have beside it, and how many do.

    The digit is (power above the occurrence's + 64) << 21 | (planes differ) << 20 | row; `table` and `seen` are empty.
    """
    lower = pattern & ROW_MASK
    upper = (pattern >> (ROW_BITS + 1)) + lower
    shift, upper = upper >> ROW_BITS, upper & ROW_MASK
    differ = 1 if pattern & DIFFER else 0
    news, best, most = 0, -1, 0
    for at in range(places):
        column, power, plane = found[at, 0], found[at, 1], found[at, 2]
        sign = DIFFER if plane else 0
        first, second = (power << ROW_BITS) + lower, ((power + shift) << ROW_BITS) + upper
        for other in range(counts[column]):
            digit, turned = digits[column, other, 0], digits[column, other, 1] ^ sign
            if (digit == first and not turned) or (digit == second and (turned != 0) == (differ == 1)):
                continue
            key = ((digit >> ROW_BITS) - power + 64) << (ROW_BITS + 1) | turned | (digit & ROW_MASK)
            place = place_of(table, seen, key)
            number = table[place]
            if number < 0:
                number = news
                seen[number, 0], seen[number, 1] = key, 0
                table[place] = number
                news += 1
            seen[number, 1] += 1
            if seen[number, 1] > most or (seen[number, 1] == most and key < best):
                best, most = key, seen[number, 1]
    return best, most


@compiled
def gain_of(pattern: int, count: int, third: int, most: int, rows: Array, score: Score) -> tuple[int, bool]:
    """Returns what a pattern is worth, alone or with a third digit that `most` of its places have; and whether with."""
    lower = pattern & ROW_MASK
    upper = (pattern >> (ROW_BITS + 1)) + lower
    shift, upper = upper >> ROW_BITS, upper & ROW_MASK
    overlap = max(min(rows[lower, BITS] - shift, rows[upper, BITS]), 0)
    value, grows = count * gain_of_two(overlap), False
    if most >= 2:
        above = (third >> (ROW_BITS + 1)) - 64
        top, end = max(rows[lower, BITS], rows[upper, BITS] + shift) + 1, rows[third & ROW_MASK, BITS] + above
        other = most * gain_of_three(overlap, max(min(top, end) - max(0, above), 0))
        if other > value:
            value, grows = other, True
    return blurred(value, pattern, score), grows


@compiled
def keep_with(masks: Array, found: Array, places: int, pattern: int, third: int, growth: int, room: Array) -> int:
    """Keeps the occurrences that have a third digit, each digit once and as far as there is room; returns how many."""
    lower = pattern & ROW_MASK
    upper = (pattern >> (ROW_BITS + 1)) + lower
    shift, upper = upper >> ROW_BITS, upper & ROW_MASK
    differ, turned = 1 if pattern & DIFFER else 0, 1 if third & DIFFER else 0
    row, above = third & ROW_MASK, (third >> (ROW_BITS + 1)) - 64
    kept, first, column, left = 0, 0, -1, 0
    taken = np.zeros(3 * places, np.int64)
    for at in range(places):
        power, plane = found[at, 1], found[at, 2]
        if found[at, 0] != column:
            column, first = found[at, 0], kept
            left = room[column] // growth if growth > 0 else places
        if power + above < 0 or left <= 0 or not masks[row, plane ^ turned, column] >> (power + above) & 1:
            continue
        own = (
            (power << ROW_BITS | lower) << 1 | plane,
            ((power + shift) << ROW_BITS | upper) << 1 | (plane ^ differ),
            ((power + above) << ROW_BITS | row) << 1 | (plane ^ turned),
        )
        free = own[2] != own[0] and own[2] != own[1]
        for other in range(3 * first, 3 * kept):
            free = free and taken[other] != own[0] and taken[other] != own[1] and taken[other] != own[2]
        if not free:
            continue
        left -= 1
        for part in range(3):
            taken[3 * kept + part] = own[part]
            found[kept, part] = found[at, part]
        kept += 1
    return kept
