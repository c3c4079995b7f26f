"""The smallest of many adder graphs for a matrix: several decompositions and scores, then neighbour after neighbour.

A neighbour of a solution is what comes out when some of its shared rows are taken back and the rest is shared anew with
blurred scores ("ruin and recreate", G. Schrimpf et al., J. Comput. Phys. 159, 2000). The search ends after a number of
steps, never after a time: the same matrix gives the same graph.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rtl4ml.cmvm import patterns, tree
from rtl4ml.cmvm.compiled import Array, compiled, mixed, ones
from rtl4ml.cmvm.decomposition import Decomposition, decompose, plain
from rtl4ml.cmvm.digits import Bounds, Integers, digit_counts, signed_masks
from rtl4ml.cmvm.patterns import Score
from rtl4ml.cmvm.ruin import without
from rtl4ml.cmvm.sharing import share

MAX_TRIES = 40
"""Solutions that are tried for a matrix."""

MAX_WORK = 10_000_000
"""Pairs of digits that all tries for a matrix touch together; the first is made whatever it takes."""

TILE_WORK = 300_000_000
"""Pairs of digits that one try may touch: inputs of a larger matrix fall into tiles, which share among themselves only,
so that time grows with the matrix and not with its square."""

WORK_OF_PAIR = 3.5
"""How often a try touches a pair of digits, about: when it counts the pairs, and when digits go and come."""

SLACK = 2
"""Additions one after the other that a decomposition may take beyond what the largest column needs by itself."""

_PENALTIES = (1, 3)
_SCORES = (Score(), Score(overlap=2, width=1))
_BLUR = 8
_RUINED = 410
"""Rows in 1024 that are taken back, besides those that are made of them."""


@dataclass(frozen=True, eq=False)
class Solution:
    """An adder graph for a matrix: rows, and the digits that remain of every column.

    Attributes:
        rows: As in :mod:`rtl4ml.cmvm.patterns`, inputs first.
        functions: The rows as linear functions of the inputs.
        masks: Digits of the columns by row.
        split: The columns as differences.
        levels: Additions one after the other that each column may take.
        bits: Bits of carry chain, those for constants left out.
    """

    rows: Array
    functions: Array
    masks: Array
    split: Decomposition
    levels: Integers
    bits: int

    def digits(self, column: int) -> list[tuple[int, int, int]]:
        """Returns (row, power, sign) of what is left of a column."""
        found = []
        for plane, sign in enumerate((1, -1)):
            for row in np.flatnonzero(self.masks[:, plane, column]).tolist():
                mask = int(self.masks[row, plane, column])
                found += [(row, power, sign) for power in range(mask.bit_length()) if mask >> power & 1]
        return sorted(found)


def search(matrix: Integers, bounds: Bounds, levels: Integers | None = None, ternary: bool = False) -> Solution:
    """Finds a small adder graph.

    Args:
        matrix: Integers of shape (n, m) without columns of zeros.
        bounds: Ranges of the n inputs.
        levels: Additions one after the other that each column may take, int64 (m,), at least what its digits and a
            constant need. Left out: what the largest column needs, and :data:`SLACK` more for a decomposition.
        ternary: Whether sums take three words at a time.
    """
    finder = _Finder(matrix, bounds, ternary)
    starts = finder.starts(levels)
    best = next(starts)
    for solution in starts:
        best = min(best, solution, key=lambda found: found.bits)
    return finder.improved(best)


class _Finder:
    def __init__(self, matrix: Integers, bounds: Bounds, ternary: bool) -> None:
        self._matrix = matrix
        self._bounds = bounds
        self._ternary = ternary
        self._work = 0
        self._tries = 0

    def starts(self, levels: Integers | None) -> Iterator[Solution]:
        """Yields solutions from nothing, the first of them always."""
        needed = np.array([_levels(load) for load in digit_counts(self._matrix).sum(axis=0) + 1])
        least = np.full(len(needed), needed.max()) if levels is None else np.maximum(levels, needed)
        splits = [(plain(self._matrix), least)]
        yield self._solved(*splits[0], _SCORES[0])
        if not self._goes_on():
            return
        loose = least + SLACK if levels is None else least
        for penalty in _PENALTIES:
            split = decompose(self._matrix, loose, penalty)
            if not split.is_plain and not any(np.array_equal(split.parents, other.parents) for other, _ in splits):
                splits.append((split, _latest(split, loose)))
        for index, (split, latest) in enumerate(splits):
            for score in _SCORES[not index :]:
                if self._goes_on():
                    yield self._solved(split, latest, score)

    def improved(self, best: Solution) -> Solution:
        """Returns the best of a solution's neighbours and theirs."""
        inputs = len(self._matrix)
        current = best
        while self._goes_on() and len(best.rows) > inputs:
            gone = _chosen(len(current.rows), self._tries)
            rows, masks = without(current.rows, current.masks, inputs, gone)
            score = Score(blur=_BLUR, seed=self._tries)
            neighbour = self._shared(rows, masks, current.split, current.levels, score)
            if neighbour is not None and neighbour.bits <= current.bits:
                current = neighbour
                if current.bits < best.bits:
                    best = current
        return best

    def _goes_on(self) -> bool:
        # The next try is taken to cost what the average one did.
        return self._tries < MAX_TRIES and self._work + self._work // max(self._tries, 1) <= MAX_WORK

    def _solved(self, split: Decomposition, levels: Integers, score: Score) -> Solution:
        inputs = len(self._matrix)
        rows = np.full((inputs, 8), -1, np.int64)
        for row, unit in zip(rows, np.eye(inputs, dtype=np.int64), strict=True):
            row[patterns.SHIFT], row[patterns.SIGN], row[patterns.DEPTH] = 0, 1, 0
            row[patterns.LOW], row[patterns.HIGH] = self._bounds.of(unit)
            row[patterns.BITS] = tree.bits_of(row[patterns.LOW], row[patterns.HIGH])
        solution = self._shared(rows, np.stack(signed_masks(split.differences), axis=1), split, levels, score)
        assert solution is not None
        return solution

    def _shared(
        self, rows: Array, masks: Array, split: Decomposition, levels: Integers, score: Score
    ) -> Solution | None:
        """Shares what is left; None if the digits that came back leave no room for their sums."""
        self._tries += 1
        score = score._replace(triples=self._ternary)
        functions = _functions(rows, len(self._matrix))
        depths = rows[:, patterns.DEPTH]
        loads = (np.bitwise_count(masks).sum(axis=1, dtype=np.int64) << depths[:, None]).sum(axis=0) + 1
        hanging = split.parents >= 0
        loads[hanging] += 1 << levels[split.parents[hanging]]
        room = (1 << levels) - loads
        if (room < 0).any():
            self._work += len(rows)
            return None
        ranges = self._bounds.middles, self._bounds.widths
        for first, last in tiles(masks):
            # What other tiles hold is put aside.
            part = np.zeros_like(masks)
            part[first:last] = masks[first:last]
            masks[first:last] = 0
            known = len(rows)
            rows, functions, part, work = share(rows, functions, part, room, *ranges, score)
            part[:known] += masks
            masks = part
            self._work += int(work)
        bits = _bits(rows, functions, masks, *split[1:], levels, self._matrix, self._ternary, *ranges)
        return Solution(rows, functions, masks, split, levels, int(bits))


def tiles(masks: Array) -> list[tuple[int, int]]:
    """Returns ranges of rows that share with each other: all, or parts that hold about as many digits each."""
    digits = np.bitwise_count(masks).sum(axis=1, dtype=np.int64)
    work = WORK_OF_PAIR * float((digits.sum(axis=0) ** 2).sum()) / 2
    count = min(int(np.ceil(work / TILE_WORK)), len(masks))
    if count <= 1:
        return [(0, len(masks))]
    before = np.cumsum(digits.sum(axis=1))
    ends = np.searchsorted(before, before[-1] * np.arange(1, count) / count).tolist()
    edges = [0, *ends, len(masks)]
    return [(a, b) for a, b in itertools.pairwise(edges) if b > a]


def _levels(load: int) -> int:
    return max(int(load) - 1, 0).bit_length()


def _latest(split: Decomposition, levels: Integers) -> Integers:
    """Returns the bounds of columns such that all that hang on them keep theirs."""
    latest = levels.copy()
    for column in split.order[::-1]:
        parent = split.parents[column]
        if parent >= 0:
            latest[parent] = min(latest[parent], latest[column] - 1)
    return latest


def _chosen(rows: int, seed: int) -> Array:
    """Returns which rows are taken back, a hash of their numbers."""
    return np.array([mixed(row << 16 ^ seed) & 1023 < _RUINED for row in range(rows)], bool)


def _functions(rows: Array, inputs: int) -> Array:
    functions = np.zeros((len(rows), inputs), np.int64)
    functions[:inputs] = np.eye(inputs, dtype=np.int64)
    for index, row in enumerate(rows[inputs:].tolist(), start=inputs):
        upper = functions[row[patterns.UPPER]] << row[patterns.SHIFT]
        functions[index] = functions[row[patterns.LOWER]] + row[patterns.SIGN] * upper
    return functions


@compiled
def _bits(
    rows: Array,
    functions: Array,
    masks: Array,
    parents: Array,
    signs: Array,
    order: Array,
    levels: Array,
    matrix: Array,
    ternary: bool,
    middles: Array,
    widths: Array,
) -> int:
    """Returns the bits of carry chain in all shared rows and all columns."""
    inputs = len(matrix)
    total = 0
    uses = np.zeros(len(rows), np.int64)
    for row in range(inputs, len(rows)):
        uses[rows[row, patterns.LOWER]] += 1
        uses[rows[row, patterns.UPPER]] += 1
        for column in range(masks.shape[2]):
            uses[row] += ones(masks[row, 0, column]) + ones(masks[row, 1, column])
    bits = np.zeros(len(rows), np.int64)
    outer = np.zeros(len(rows), np.bool_)
    for row in range(inputs, len(rows)):
        lower, upper, shift = rows[row, patterns.LOWER], rows[row, patterns.UPPER], rows[row, patterns.SHIFT]
        free = rows[row, patterns.SIGN] > 0 and shift > 0
        if free and rows[lower, patterns.LOW] >= 0 and rows[lower, patterns.HIGH] >> shift == 0:
            continue
        bits[row] = max(rows[row, patterns.BITS] - shift, 0)
        total += bits[row]
        if ternary and lower != upper:
            # What only this row uses, and what is no sum of three yet, joins it.
            saved = 0
            for part in (lower, upper):
                if part >= inputs and uses[part] == 1 and not outer[part]:
                    saved = max(saved, bits[part])
            outer[row] = saved > 0
            total -= saved
    for column in order:
        given = 0
        for row in range(len(rows)):
            given += ones(masks[row, 0, column]) + ones(masks[row, 1, column])
        parent = parents[column]
        given += 1 if parent >= 0 else 0
        terms = np.zeros((2 * given - 1, 8), np.int64)
        linear = np.zeros((2 * given - 1, inputs), np.int64)
        at = 0
        if parent >= 0:
            middle, width = 0, 0
            for index in range(inputs):
                factor = matrix[index, parent]
                linear[0, index] = factor
                middle += factor * middles[index]
                width += abs(factor) * widths[index]
            terms[0, tree.LOW], terms[0, tree.HIGH] = (middle - width) >> 1, (middle + width) >> 1
            terms[0, tree.SIGN], terms[0, tree.DEPTH] = signs[column], levels[parent]
            at = 1
        for row in range(len(rows)):
            for plane in range(2):
                mask, power = masks[row, plane, column], 0
                while mask:
                    if mask & 1:
                        terms[at, tree.LOW], terms[at, tree.HIGH] = rows[row, patterns.LOW], rows[row, patterns.HIGH]
                        terms[at, tree.SHIFT], terms[at, tree.SIGN] = power, 1 - 2 * plane
                        terms[at, tree.DEPTH] = rows[row, patterns.DEPTH]
                        linear[at] = functions[row]
                        at += 1
                    mask >>= 1
                    power += 1
        total += tree.add_up(terms, linear, given, levels[column], ternary, middles, widths)
    return total
