"""The smallest of many adder graphs for a matrix: several decompositions and scores, then neighbour after neighbour.

A neighbour of a solution is what comes out when some of its shared rows are taken back and the rest is shared anew with
blurred scores ("ruin and recreate", G. Schrimpf et al., J. Comput. Phys. 159, 2000). The search ends after a number of
steps, never after a time: the same matrix gives the same graph.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rtl4ml.cmvm import patterns
from rtl4ml.cmvm.bits import Task, total_bits
from rtl4ml.cmvm.compiled import Array, bits_of, compiled, mixed
from rtl4ml.cmvm.decomposition import Decomposition, decompose, plain
from rtl4ml.cmvm.digits import Bounds, Integers, digit_counts, signed_masks
from rtl4ml.cmvm.patterns import Score
from rtl4ml.cmvm.pruning import prune
from rtl4ml.cmvm.ruin import without
from rtl4ml.cmvm.sharing import share

MAX_TRIES = 100
"""Solutions that are tried for a matrix."""

MAX_WORK = 60_000_000
"""Pairs of digits that all tries for a matrix touch together; the first is made whatever it takes."""

TERNARY_EFFORT = 3
"""How often as many tries, and as much work, where three words meet at a time: neighbours are better more rarely."""

TILE_WORK = 300_000_000
"""Pairs of digits that one try may touch: inputs of a larger matrix fall into tiles, which share among themselves only,
so that time grows with the matrix and not with its square."""

WORK_OF_PAIR = {False: 3.5, True: 80.0}
"""How often a try touches a pair of digits, about: when it counts the pairs, when digits go and come, and where three
words meet at a time when it looks for third digits."""

SLACK = 2
"""Additions one after the other that a decomposition may take beyond what the largest column needs by itself."""

MAX_PRUNED = 4000
"""Rows up to which it is tried whether each of them pays."""

_PENALTIES = (1, 3)
_PRUNING_TRIES = 16
_SCORES = (Score(), Score(overlap=2, width=1))
_TERNARY_SCORES = (Score(triples=True), *(Score(triples=True, blur=4, seed=seed) for seed in range(1, 6)))
_BLUR = 4
_RUINED = 60
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
        bits: Bits of carry chain; those for constants are left out where two words meet at a time.
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


def search(
    matrix: Integers,
    bounds: Bounds,
    levels: Integers | None = None,
    ternary: bool = False,
    constants: Integers | None = None,
) -> Solution:
    """Finds a small adder graph.

    Args:
        matrix: Integers of shape (n, m) without columns of zeros.
        bounds: Ranges of the n inputs.
        levels: Additions one after the other that each column may take, int64 (m,), at least what its digits and a
            constant need. Left out: what the largest column needs, and :data:`SLACK` more for a decomposition.
        ternary: Whether sums take three words at a time. A constant is one of them.
        constants: What is added to the columns, int64 (m,), if three words meet at a time; 0 if left out.
    """
    if constants is None or not ternary:
        constants = np.zeros(matrix.shape[1], np.int64)
    finder = _Finder(matrix, bounds, ternary, constants)
    starts = finder.starts(levels)
    best = next(starts)
    for solution in starts:
        best = min(best, solution, key=lambda found: found.bits)
    best = finder.improved(best)
    return finder.pruned(best) if ternary else best


class _Finder:
    def __init__(self, matrix: Integers, bounds: Bounds, ternary: bool, constants: Integers) -> None:
        self._matrix = matrix
        self._constants = constants
        self._bounds = bounds
        self._ternary = ternary
        self._work = 0
        self._last = 0
        self._tries = 0

    def starts(self, levels: Integers | None) -> Iterator[Solution]:
        """Yields solutions from nothing, the first of them always."""
        needed = np.array([_levels(load) for load in digit_counts(self._matrix).sum(axis=0) + 1])
        least = np.full(len(needed), needed.max()) if levels is None else np.maximum(levels, needed)
        splits = [(plain(self._matrix), least)]
        scores = _TERNARY_SCORES if self._ternary else _SCORES
        yield self._solved(*splits[0], scores[0])
        if not self._goes_on():
            return
        loose = least + SLACK if levels is None else least
        for penalty in _PENALTIES:
            split = decompose(self._matrix, loose, penalty)
            if not split.is_plain and not any(np.array_equal(split.parents, other.parents) for other, _ in splits):
                splits.append((split, _latest(split, loose)))
        for index, (split, latest) in enumerate(splits):
            for score in scores[not index :]:
                if self._goes_on():
                    yield self._solved(split, latest, score)

    def improved(self, best: Solution) -> Solution:
        """Returns the best of a solution's neighbours and theirs."""
        inputs = len(self._matrix)
        current = best
        while self._goes_on() and len(best.rows) > inputs:
            gone = _chosen(len(current.rows), self._tries)
            rows, masks = without(current.rows, current.masks, inputs, gone)
            score = Score(blur=_BLUR, seed=self._tries, triples=self._ternary)
            neighbour = self._shared(rows, masks, current.split, current.levels, score)
            if neighbour is not None and neighbour.bits <= current.bits:
                current = neighbour
                if current.bits < best.bits:
                    best = current
        return best

    def _goes_on(self) -> bool:
        # The next try is taken to cost what the last one did.
        effort = TERNARY_EFFORT if self._ternary else 1
        return self._tries < MAX_TRIES * effort and self._work + self._last <= MAX_WORK * effort

    def _solved(self, split: Decomposition, levels: Integers, score: Score) -> Solution:
        inputs = len(self._matrix)
        rows = np.full((inputs, 8), -1, np.int64)
        for row, unit in zip(rows, np.eye(inputs, dtype=np.int64), strict=True):
            row[patterns.SHIFT], row[patterns.SIGN], row[patterns.DEPTH] = 0, 1, 0
            row[patterns.LOW], row[patterns.HIGH] = self._bounds.of(unit)
            row[patterns.BITS] = bits_of(row[patterns.LOW], row[patterns.HIGH])
        solution = self._shared(rows, np.stack(signed_masks(split.differences), axis=1), split, levels, score)
        assert solution is not None
        return solution

    def _shared(
        self, rows: Array, masks: Array, split: Decomposition, levels: Integers, score: Score
    ) -> Solution | None:
        """Shares what is left; None if the digits that came back leave no room for their sums."""
        self._tries += 1
        before = self._work
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
        for first, last in tiles(masks, self._ternary):
            # What other tiles hold is put aside.
            part = np.zeros_like(masks)
            part[first:last] = masks[first:last]
            masks[first:last] = 0
            known = len(rows)
            rows, functions, part, work = share(rows, functions, part, room, *ranges, score)
            part[:known] += masks
            masks = part
            self._work += int(work)
        self._last = self._work - before
        bits = total_bits(rows, functions, masks, self._task(split, levels))
        return Solution(rows, functions, masks, split, levels, int(bits))

    def pruned(self, found: Solution) -> Solution:
        """Returns a solution without rows that do not pay."""
        masks, task = found.masks.copy(), self._task(found.split, found.levels)
        if len(found.rows) > MAX_PRUNED:
            return found
        while prune(found.rows, found.functions, masks, task, _PRUNING_TRIES):
            pass
        inputs = len(self._matrix)
        rows, masks = without(found.rows, masks, inputs, np.zeros(len(found.rows), bool))
        functions = _functions(rows, inputs)
        return Solution(
            rows, functions, masks, found.split, found.levels, int(total_bits(rows, functions, masks, task))
        )

    def _task(self, split: Decomposition, levels: Integers) -> Task:
        """What is summed, for compiled code."""
        middles, widths = np.append(self._bounds.middles, 2), np.append(self._bounds.widths, 0)
        return Task(self._matrix, self._constants, *split[1:], levels, self._ternary, middles, widths)


def tiles(masks: Array, ternary: bool = False) -> list[tuple[int, int]]:
    """Returns ranges of rows that share with each other: all, or parts that hold about as many digits each."""
    digits = np.bitwise_count(masks).sum(axis=1, dtype=np.int64)
    work = WORK_OF_PAIR[ternary] * float((digits.sum(axis=0) ** 2).sum()) / 2
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


@compiled
def _chosen(rows: int, seed: int) -> Array:
    """Returns which rows are taken back, a hash of their numbers."""
    found: Array = np.zeros(rows, np.bool_)
    for row in range(rows):
        found[row] = mixed(row << 16 ^ seed) & 1023 < _RUINED
    return found


@compiled
def _functions(rows: Array, inputs: int) -> Array:
    """Returns rows as linear functions of the inputs."""
    functions = np.zeros((len(rows), inputs), np.int64)
    for row in range(len(rows)):
        if row < inputs:
            functions[row, row] = 1
            continue
        lower, upper = rows[row, patterns.LOWER], rows[row, patterns.UPPER]
        shift, sign = rows[row, patterns.SHIFT], rows[row, patterns.SIGN]
        for index in range(inputs):
            functions[row, index] = functions[lower, index] + sign * (functions[upper, index] << shift)
    return functions
