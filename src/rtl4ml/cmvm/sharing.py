"""Sharing of two-term subexpressions between the columns of a constant matrix.

A *pattern* is two digits up to a common shift and sign. As long as one occurs at least twice, computing it once and
replacing its occurrences by a digit of a new row saves additions (R. Hartley, "Subexpression sharing in filters using
canonic signed digit multipliers", IEEE TCAS-II 43(10), 1996). Counts are kept up to date pair by pair, and a priority
queue whose entries are corrected when they come up yields the best pattern: a step costs what it changes, not what the
matrix holds.
"""

import heapq
from collections.abc import Sequence

import numpy as np

from rtl4ml.cmvm.digits import Bounds, Column, Row

# A digit is the integer (power << _ROW) + row; its sign is the set that it stands in. The pattern of the digits x < y
# is (y - x) << (_ROW + 1) | (signs differ) << _ROW | row of x, the same for all shifts of the pair. Integers, not
# tuples: a matrix of 64 x 32 six-bit weights has a million of them to count.
_ROW = 20
_MASK = (1 << _ROW) - 1
_DIFFER = 1 << _ROW
_HASH = 0x9E3779B97F4A7C15


class Sharing:
    """The search over one set of columns. It takes digits from the columns, gives them new ones and appends rows."""

    def __init__(
        self, rows: list[Row], columns: Sequence[Column], room: list[int], bounds: Bounds, seed: int = 0
    ) -> None:
        """Counts the patterns.

        Args:
            rows: The rows so far; patterns are appended in an order in which they can be computed.
            columns: The digits; changed in place.
            room: Per column, by how much the sum of ``2**depth`` over its digits may still grow; changed in place.
            bounds: Ranges of the inputs.
            seed: Other than 0: values are blurred, each seed in its own way.
        """
        self._rows = rows
        self._columns = columns
        self._room = room
        self._bounds = bounds
        self._seed = seed
        self._plus: list[set[int]] = []
        self._minus: list[set[int]] = []
        self._where: dict[int, set[int]] = {}
        for number, column in enumerate(columns):
            sets: tuple[set[int], set[int]] = (set(), set())
            for row, power, sign in column.digits():
                sets[sign < 0].add((power << _ROW) + row)
                self._where.setdefault(row, set()).add(number)
            self._plus.append(sets[0])
            self._minus.append(sets[1])
        self._counts = self._count()
        # Patterns by value; a heap each, so that the order is that of the integers and not that in which they came.
        self._buckets: dict[int, list[int]] = {}
        for pattern, count in self._counts.items():
            self._buckets.setdefault(self._value(pattern, count), []).append(pattern)
        self._top = max(self._buckets, default=0)

    def _count(self) -> dict[int, int]:
        """Returns how often each pattern occurs that occurs more than once."""
        parts = []
        for plus, minus in zip(self._plus, self._minus, strict=True):
            digits = np.array([*plus, *minus], dtype=np.int64)
            differ = np.array([0] * len(plus) + [_DIFFER] * len(minus), dtype=np.int64)
            order = np.argsort(digits)
            digits, differ = digits[order], differ[order]
            x, y = np.triu_indices(len(digits), 1)
            parts.append((digits[y] - digits[x]) << (_ROW + 1) | (differ[x] ^ differ[y]) | (digits[x] & _MASK))
        if not parts:
            return {}
        patterns, counts = np.unique(np.concatenate(parts), return_counts=True)
        often = counts > 1
        return dict(zip(patterns[often].tolist(), counts[often].tolist(), strict=True))

    def _value(self, pattern: int, count: int) -> int:
        """Returns what a pattern is worth: twice its occurrences times the bits in which its operands overlap.

        That many full adders it saves; where operands hardly overlap, the adder is nearly free wherever it stands.
        """
        lower = pattern & _MASK
        upper = (pattern >> (_ROW + 1)) + lower
        first, second = self._rows[lower].bits - (upper >> _ROW), self._rows[upper & _MASK].bits
        overlap = first if first < second else second
        value = count * 2 * overlap if overlap > 0 else count
        if self._seed:
            # Up to a quarter more, by bits of a multiplicative hash.
            value += value * (((pattern ^ self._seed) * _HASH >> 40) & 15) >> 6
        return value

    def _push(self, pattern: int, value: int) -> None:
        bucket = self._buckets.get(value)
        if bucket is None:
            self._buckets[value] = [pattern]
        else:
            heapq.heappush(bucket, pattern)
        if value > self._top:
            self._top = value

    def run(self) -> None:
        """Replaces patterns, the most valuable first, until none occurs twice."""
        counts = self._counts
        while self._top > 1:
            bucket = self._buckets.get(self._top)
            if not bucket:
                self._top -= 1
                continue
            pattern = heapq.heappop(bucket)
            count = counts[pattern]
            if count < 2:
                continue
            value = self._value(pattern, count)
            if value < self._top:
                # Occurrences have gone since the pattern was queued.
                self._push(pattern, value)
                continue
            # Occurrences that stay behind for lack of room do so for good: the room only shrinks.
            del counts[pattern]
            self._replace(pattern)

    def _replace(self, pattern: int) -> None:
        lower = pattern & _MASK
        upper = (pattern >> (_ROW + 1)) + lower
        shift, upper = upper >> _ROW, upper & _MASK
        sign = -1 if pattern & _DIFFER else 1
        a, b = self._rows[lower], self._rows[upper]
        depth = max(a.depth, b.depth) + 1
        growth = (1 << depth) - (1 << a.depth) - (1 << b.depth)
        found = []
        for number in sorted(self._where[lower] & self._where[upper]):
            occurrences = _occurrences(self._columns[number], lower, upper, shift, sign)
            if growth:
                occurrences = occurrences[: self._room[number] // growth]
            found += [(number, power, factor) for power, factor in occurrences]
        if len(found) < 2:
            return
        new = len(self._rows)
        coefficients = a.coefficients + sign * (b.coefficients << shift)
        low, high = self._bounds.of(coefficients)
        self._rows.append(Row(low, high, depth, coefficients, lower, upper, shift, sign))
        self._where[new] = {number for number, _, _ in found}
        # All old digits go before the first new one comes, so that nothing is counted that is about to go.
        for number, power, factor in found:
            self._room[number] -= growth
            self._take(number, lower, power, factor)
            self._take(number, upper, power + shift, factor * sign)
        fresh: dict[int, int] = {}
        for number, power, factor in found:
            self._give(number, new, power, factor, fresh)
        for pattern, count in fresh.items():
            if count > 1:
                self._counts[pattern] = count
                self._push(pattern, self._value(pattern, count))

    def _take(self, number: int, row: int, power: int, sign: int) -> None:
        """Removes a digit from a column, and its pairs with the other digits from the counts."""
        masks = self._columns[number].plus if sign > 0 else self._columns[number].minus
        masks[row] ^= 1 << power
        if not masks[row]:
            del masks[row]
        same, other = (self._plus, self._minus) if sign > 0 else (self._minus, self._plus)
        x = (power << _ROW) + row
        same[number].remove(x)
        counts = self._counts
        for pattern in _patterns(x, same[number], other[number]):
            if pattern in counts:
                counts[pattern] -= 1

    def _give(self, number: int, row: int, power: int, sign: int, counts: dict[int, int]) -> None:
        """Adds a digit of a new row to a column, and its pairs with the other digits to ``counts``."""
        masks = self._columns[number].plus if sign > 0 else self._columns[number].minus
        masks[row] = masks.get(row, 0) | 1 << power
        same, other = (self._plus, self._minus) if sign > 0 else (self._minus, self._plus)
        x = (power << _ROW) + row
        for pattern in _patterns(x, same[number], other[number]):
            counts[pattern] = counts.get(pattern, 0) + 1
        same[number].add(x)


def _patterns(x: int, same: set[int], other: set[int]) -> list[int]:
    """Returns the patterns that a digit makes with others of its sign and of the other sign."""
    # The inner loop of the whole search: local names and literal shifts are a third of its time.
    mask, row, differ = _MASK, x & _MASK, _DIFFER
    found = [(y - x) << 21 | row if y > x else (x - y) << 21 | y & mask for y in same]
    row |= differ
    found += [(y - x) << 21 | row if y > x else (x - y) << 21 | y & mask | differ for y in other]
    return found


def _occurrences(column: Column, lower: int, upper: int, shift: int, sign: int) -> list[tuple[int, int]]:
    """Returns (power, sign) of a pattern's occurrences in a column; no two of them share a digit."""
    plus, minus = column.plus.get(upper, 0), column.minus.get(upper, 0)
    if sign < 0:
        plus, minus = minus, plus
    plus = column.plus.get(lower, 0) & plus >> shift
    minus = column.minus.get(lower, 0) & minus >> shift
    found = []
    used = 0
    for power in range((plus | minus).bit_length()):
        for mask, factor in ((plus, 1), (minus, -1)):
            if mask >> power & 1:
                if lower == upper:
                    # Within a row occurrences may overlap: 1 0 1 0 1 holds 1 0 1 once.
                    both = 1 << power | 1 << (power + shift)
                    if used & both:
                        continue
                    used |= both
                found.append((power, factor))
    return found
