"""A constant matrix times a vector of words, with additions and shifts only."""

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtl4ml.cmvm.column import build_column
from rtl4ml.cmvm.digits import Bounds, Column, Row, split_columns
from rtl4ml.cmvm.sharing import Sharing
from rtl4ml.cmvm.tree import Summand, Tree
from rtl4ml.datapath.nodes import SHIFT_LEFT
from rtl4ml.datapath.words import Datapath, Word
from rtl4ml.errors import ConfigurationError

BLOCK_DIGITS = 512
"""Subexpressions are shared among rows that hold about so many digits of a column: time grows with its square."""

BLOCK_PAIRS = 8_000_000
"""Pairs of digits in all blocks of a matrix: a matrix with more is split further, so that wide layers stay quick."""

MAX_TRIES = 4
"""Searches, all but the first with blurred values; the best is kept."""

TRIED_PAIRS = 300_000
"""Pairs of digits in all searches for a matrix; one search there is whatever the matrix holds."""


def multiply_matrix(
    datapath: Datapath,
    words: Sequence[Word],
    matrix: ArrayLike,
    offsets: ArrayLike | None = None,
    *,
    movable: bool = False,
) -> list[Word]:
    """Builds ``words @ matrix + offsets``.

    Columns that are equal up to sign and a power of two are built once, rows of zeros and constant words vanish, and a
    column of one power of two is wiring. The depth in additions is the least that the largest column allows. The same
    arguments give the same nodes.

    Args:
        datapath: Where to build.
        words: The vector, n words; they are taken to be independent of one another.
        matrix: Integers of shape (n, m).
        offsets: Integers of shape (m,), 0 if left out.
        movable: Whether each result has one use only: a constant that is added to it then joins its offset.

    Returns:
        m words, with the exact range of each sum.

    Raises:
        ConfigurationError: If the shapes do not fit or values are not integers.
    """
    weights = _checked(matrix, len(words))
    constants = _checked_offsets(offsets, weights.shape[1])
    inputs, weights, constants = _independent(datapath, words, weights, constants)
    shapes = [_normalised(weights[:, column]) for column in range(weights.shape[1])]
    wanted: dict[bytes, set[tuple[int, int, int]]] = {}
    for (key, shift, sign), constant in zip(shapes, constants, strict=True):
        wanted.setdefault(key, set()).add((shift, sign, int(constant)))
    users = Counter(key for key, _, _ in shapes)
    # A sum that is needed once has its offset among its summands; of one needed in several ways the variants follow.
    once = {key: next(iter(ways)) for key, ways in wanted.items() if len(ways) == 1}
    keys = [key for key in wanted if np.frombuffer(key, np.int64).any()]
    columns, extras = [], []
    for key in keys:
        shift, sign, constant = once.get(key, (0, 1, 0))
        columns.append((np.frombuffer(key, np.int64) << shift) * sign)
        extras.append(constant)
    alone = [movable and users[key] == 1 for key in keys]
    sums = dict(zip(keys, _sums(datapath, inputs, columns, extras, alone), strict=True))
    results = []
    for (key, shift, sign), constant in zip(shapes, constants, strict=True):
        if key not in sums:
            results.append(datapath.constant(int(constant)))
        elif key in once:
            results.append(sums[key])
        else:
            word, offset = datapath.shift_left(sums[key], shift), datapath.constant(int(constant))
            results.append(datapath.add(word, offset) if sign > 0 else datapath.subtract(offset, word))
    return results


def _checked(matrix: ArrayLike, rows: int) -> NDArray[np.int64]:
    array = np.asarray(matrix)
    if array.ndim != 2 or array.shape[0] != rows:
        raise ConfigurationError(f"matrix must have shape ({rows}, m), not {array.shape}")
    if array.dtype.kind not in "iu":
        raise ConfigurationError(f"matrix must hold integers, not {array.dtype}")
    return array.astype(np.int64)


def _checked_offsets(offsets: ArrayLike | None, columns: int) -> NDArray[np.int64]:
    array = np.zeros(columns, np.int64) if offsets is None else np.asarray(offsets)
    if array.shape != (columns,):
        raise ConfigurationError(f"offsets must have shape ({columns},), not {array.shape}")
    if array.dtype.kind not in "iu":
        raise ConfigurationError(f"offsets must hold integers, not {array.dtype}")
    return array.astype(np.int64)


def _independent(
    datapath: Datapath, words: Sequence[Word], weights: NDArray[np.int64], constants: NDArray[np.int64]
) -> tuple[list[Word], NDArray[np.int64], NDArray[np.int64]]:
    """Returns the same product with neither constant, shifted nor repeated words, nor rows of zeros."""
    constants = constants.copy()
    rows: dict[int, NDArray[np.int64]] = {}
    for word, row in zip(words, weights, strict=True):
        if word.low == word.high:
            constants += word.low * row
        elif row.any():
            node = datapath.nodes[word.index]
            shifted = node.kind is SHIFT_LEFT
            index = node.operands[0] if shifted else word.index
            rows[index] = rows.get(index, 0) + (row << node.parameter if shifted else row)
    kept = {index: row for index, row in rows.items() if row.any()}
    stacked = np.array(list(kept.values()), np.int64).reshape(len(kept), weights.shape[1])
    return [datapath.word(index) for index in kept], stacked, constants


def _normalised(column: NDArray[np.int64]) -> tuple[bytes, int, int]:
    """Returns (a column without its power of two, its first entry positive, as a key; the shift; the sign)."""
    entries = column[column != 0]
    if not entries.size:
        return column.tobytes(), 0, 1
    union = int(np.bitwise_or.reduce(entries))
    shift = (union & -union).bit_length() - 1
    sign = 1 if entries[0] > 0 else -1
    return ((column >> shift) * sign).tobytes(), shift, sign


@dataclass(frozen=True, eq=False)
class _Solution:
    """Rows, and the digits that remain of every column."""

    rows: list[Row]
    columns: list[Column]
    levels: int
    bits: int
    """Bits of carry chain, those for constants left out."""

    def summands(self, column: int) -> list[Summand]:
        """Returns the summands of a column."""
        found = []
        for index, power, sign in self.columns[column].digits():
            row = self.rows[index]
            found.append(Summand(index, row.low, row.high, power, sign, row.depth, row.coefficients))
        return found


def _sums(
    datapath: Datapath, inputs: list[Word], vectors: list[NDArray[np.int64]], extras: list[int], movable: list[bool]
) -> list[Word]:
    """Returns one word per vector: its product with the inputs plus the extra constant."""
    if not vectors:
        return []
    matrix = np.stack(vectors, axis=1)
    bounds = Bounds(np.array([word.low for word in inputs]), np.array([word.high for word in inputs]))
    solutions = (_solve(inputs, matrix, extras, bounds, seed) for seed in range(searches(pairs(matrix))))
    best = min(solutions, key=lambda solution: solution.bits)
    handles = list(inputs)
    for row in best.rows[len(inputs) :]:
        operation = datapath.add if row.sign > 0 else datapath.subtract
        upper = datapath.shift_left(handles[row.upper], row.shift)
        handles.append(operation(handles[row.lower], upper, (row.low, row.high)))
    results = []
    for column, (extra, free) in enumerate(zip(extras, movable, strict=True)):
        build = functools.partial(build_column, datapath, bounds, best.levels, handles, best.summands(column))
        word = build(extra)
        results.append(datapath.movable(word, functools.partial(_moved, build, extra)) if free else word)
    return results


def _moved(build: Callable[[int], Word], constant: int, more: int) -> Word:
    return build(constant + more)


def _solve(inputs: list[Word], matrix: NDArray[np.int64], extras: list[int], bounds: Bounds, seed: int) -> _Solution:
    """Shares subexpressions and counts what the whole takes."""
    units = np.eye(len(inputs), dtype=np.int64)
    rows = [Row(word.low, word.high, 0, unit) for word, unit in zip(inputs, units, strict=True)]
    columns = split_columns(matrix)
    loads = [column.load(rows) + (extra != 0) for column, extra in zip(columns, extras, strict=True)]
    levels = max((load - 1).bit_length() for load in loads)
    room = [(1 << levels) - load for load in loads]
    columns = _share(rows, columns, room, bounds, seed)
    solution = _Solution(rows, columns, levels, 0)
    bits = sum(row_bits(rows, row) for row in rows[len(inputs) :])
    for column in range(len(columns)):
        tree = Tree(bounds, levels)
        tree.sum(solution.summands(column))
        bits += tree.bits
    return replace(solution, bits=bits)


def row_bits(rows: Sequence[Row], row: Row) -> int:
    """Returns the bits of carry chain of a shared row."""
    lower = rows[row.lower]
    if row.sign > 0 and row.shift and lower.low >= 0 and lower.high >> row.shift == 0:
        return 0
    return max(row.bits - row.shift, 0)


def searches(found: int) -> int:
    """Returns how many searches a matrix with so many pairs of digits gets."""
    return max(1, min(MAX_TRIES, TRIED_PAIRS // max(found, 1)))


def pairs(matrix: NDArray[np.int64]) -> int:
    """Returns about how many pairs of digits the search begins with."""
    columns = split_columns(matrix)
    ranges = blocks(columns, matrix.shape[0])
    total = 0
    for column in columns:
        counts = np.zeros(matrix.shape[0], np.int64)
        for masks in (column.plus, column.minus):
            for row, mask in masks.items():
                counts[row] += mask.bit_count()
        total += sum(int(counts[first:last].sum()) ** 2 for first, last in ranges) // 2
    return total


def _share(rows: list[Row], columns: list[Column], room: list[int], bounds: Bounds, seed: int) -> list[Column]:
    """Shares subexpressions block by block of inputs and returns the digits that remain."""
    remaining = [Column() for _ in columns]
    for first, last in blocks(columns, len(rows)):
        part = [
            Column(
                {row: mask for row, mask in column.plus.items() if first <= row < last},
                {row: mask for row, mask in column.minus.items() if first <= row < last},
            )
            for column in columns
        ]
        Sharing(rows, part, room, bounds, seed).run()
        for column, rest in zip(part, remaining, strict=True):
            rest.plus.update(column.plus)
            rest.minus.update(column.minus)
    return remaining


def blocks(columns: Sequence[Column], rows: int) -> list[tuple[int, int]]:
    """Returns ranges of rows that share with each other.

    Each has at most about :data:`BLOCK_DIGITS` digits in the average column, all together about :data:`BLOCK_PAIRS`
    pairs of digits.
    """
    digits = [0] * rows
    for column in columns:
        for masks in (column.plus, column.minus):
            for row, mask in masks.items():
                digits[row] += mask.bit_count()
    number = max(len(columns), 1)
    total = sum(digits)
    count = max(1, -(-total // (BLOCK_DIGITS * number)), -(-total * total // (2 * number * BLOCK_PAIRS)))
    size = -(-rows // count) if rows else 0
    return [(first, min(first + size, rows)) for first in range(0, rows, size)] if rows else []
