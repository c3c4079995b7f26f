"""A constant matrix times a vector of words, with additions and shifts only."""

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtl4ml.cmvm import patterns
from rtl4ml.cmvm.column import build_column
from rtl4ml.cmvm.digits import Bounds
from rtl4ml.cmvm.search import Solution, search
from rtl4ml.cmvm.tree import Summand
from rtl4ml.datapath.nodes import SHIFT_LEFT
from rtl4ml.datapath.words import Datapath, Word
from rtl4ml.errors import ConfigurationError


def multiply_matrix(
    datapath: Datapath,
    words: Sequence[Word],
    matrix: ArrayLike,
    offsets: ArrayLike | None = None,
    *,
    later: ArrayLike | None = None,
    levels: ArrayLike | None = None,
    ternary: bool = False,
) -> list[Word]:
    """Builds ``words @ matrix + offsets``.

    Columns that are equal up to sign and a power of two are built once, rows of zeros and constant words vanish, and a
    column of one power of two is wiring. The same arguments give the same nodes.

    Args:
        datapath: Where to build.
        words: The vector, n words; they are taken to be independent of one another.
        matrix: Integers of shape (n, m).
        offsets: Integers of shape (m,), 0 if left out.
        later: Integers of shape (m,): what will be added to the results. It joins the offsets, and the addition that
            comes costs nothing; another one costs an adder.
        levels: Integers of shape (m,): additions one after the other that each result may take, a constant among
            its summands included; at least what its digits need. Left out: as many as the largest column needs, and
            two more where columns are built from each other.
        ternary: Whether sums of three words cost what sums of two do.

    Returns:
        m words, with the exact range of each sum.

    Raises:
        ConfigurationError: If the shapes do not fit or values are not integers.
    """
    weights = _checked(matrix, len(words))
    number = weights.shape[1]
    constants = _checked_vector("offsets", offsets, number)
    coming = _checked_vector("later", later, number)
    bounds = None if levels is None else _checked_vector("levels", levels, number)
    inputs, weights, constants = _independent(datapath, words, weights, constants)
    constants = constants + coming
    shapes = [_normalised(weights[:, column]) for column in range(number)]
    wanted: dict[bytes, set[tuple[int, int, int]]] = {}
    least: dict[bytes, int] = {}
    for column, ((key, shift, sign), constant) in enumerate(zip(shapes, constants, strict=True)):
        wanted.setdefault(key, set()).add((shift, sign, int(constant)))
        if bounds is not None:
            least[key] = min(least.get(key, int(bounds[column])), int(bounds[column]))
    # A sum that is needed once has its offset among its summands; of one needed in several ways the variants follow.
    once = {key: next(iter(ways)) for key, ways in wanted.items() if len(ways) == 1}
    keys = [key for key in wanted if np.frombuffer(key, np.int64).any()]
    columns, extras = [], []
    for key in keys:
        shift, sign, constant = once.get(key, (0, 1, 0))
        columns.append((np.frombuffer(key, np.int64) << shift) * sign)
        extras.append(constant)
    stacked = np.array(columns, np.int64).reshape(len(keys), len(inputs)).T
    depths = None if bounds is None else np.array([least[key] for key in keys], np.int64)
    sums = dict(zip(keys, _sums(datapath, inputs, stacked, extras, depths, ternary), strict=True))
    results = []
    for (key, shift, sign), constant, more in zip(shapes, constants.tolist(), coming.tolist(), strict=True):
        if key not in sums:
            word = datapath.constant(constant)
        elif key in once:
            word = sums[key]
        else:
            word, offset = datapath.shift_left(sums[key], shift), datapath.constant(constant)
            word = datapath.add(word, offset) if sign > 0 else datapath.subtract(offset, word)
        results.append(datapath.subtract(word, datapath.constant(more)))
    return results


def _checked(matrix: ArrayLike, rows: int) -> NDArray[np.int64]:
    array = np.asarray(matrix)
    if array.ndim != 2 or array.shape[0] != rows:
        raise ConfigurationError(f"matrix must have shape ({rows}, m), not {array.shape}")
    if array.dtype.kind not in "iu":
        raise ConfigurationError(f"matrix must hold integers, not {array.dtype}")
    return array.astype(np.int64)


def _checked_vector(name: str, values: ArrayLike | None, columns: int) -> NDArray[np.int64]:
    array = np.zeros(columns, np.int64) if values is None else np.asarray(values)
    if array.shape != (columns,):
        raise ConfigurationError(f"{name} must have shape ({columns},), not {array.shape}")
    if array.dtype.kind not in "iu":
        raise ConfigurationError(f"{name} must hold integers, not {array.dtype}")
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


@functools.lru_cache(maxsize=64)
def _solution(
    matrix: bytes,
    shape: tuple[int, int],
    middles: bytes,
    widths: bytes,
    levels: tuple[int, ...] | None,
    ternary: bool,
    constants: tuple[int, ...],
) -> Solution:
    """Searches once for the kernel of a convolution that stands in many places."""
    lows, highs = ((np.frombuffer(middles, np.int64) + sign * np.frombuffer(widths, np.int64)) >> 1 for sign in (-1, 1))
    bounds = None if levels is None else np.array(levels, np.int64)
    whole = np.frombuffer(matrix, np.int64).reshape(shape)
    return search(whole, Bounds(lows, highs), bounds, ternary, np.array(constants, np.int64) if ternary else None)


def _sums(
    datapath: Datapath,
    inputs: list[Word],
    matrix: NDArray[np.int64],
    extras: Sequence[int],
    levels: NDArray[np.int64] | None,
    ternary: bool,
) -> list[Word]:
    """Returns one word per column: its product with the inputs plus the extra constant."""
    if not matrix.size:
        return []
    bounds = Bounds(np.array([word.low for word in inputs]), np.array([word.high for word in inputs]))
    matrix = np.ascontiguousarray(matrix)
    ranges = bounds.middles.tobytes(), bounds.widths.tobytes()
    depths = None if levels is None else tuple(levels)
    # Constants have a part in the search where they are summands: a convolution's kernel has the same ones everywhere.
    constants = tuple(extras) if ternary else ()
    solution = _solution(matrix.tobytes(), matrix.shape, *ranges, depths, ternary, constants)
    handles = list(inputs)
    for row in solution.rows[len(inputs) :].tolist():
        operation = datapath.add if row[patterns.SIGN] > 0 else datapath.subtract
        upper = datapath.shift_left(handles[row[patterns.UPPER]], row[patterns.SHIFT])
        handles.append(operation(handles[row[patterns.LOWER]], upper, (row[patterns.LOW], row[patterns.HIGH])))
    rows = len(handles)
    handles += [datapath.constant(0)] * matrix.shape[1]
    for column in solution.split.order.tolist():
        summands = _summands(solution, column)
        constant, parent = extras[column], int(solution.split.parents[column])
        if parent >= 0:
            sign, function = int(solution.split.signs[column]), matrix[:, parent]
            low, high = (bound + extras[parent] for bound in bounds.of(function))
            depth = int(solution.levels[parent])
            summands.append(Summand(rows + parent, low, high, 0, sign, depth, function, extras[parent]))
            constant -= sign * extras[parent]
        level = int(solution.levels[column])
        handles[rows + column] = build_column(datapath, bounds, level, handles, summands, constant, ternary)
    return handles[rows:]


def _summands(solution: Solution, column: int) -> list[Summand]:
    """Returns the digits of a column as summands."""
    found = []
    for index, power, sign in solution.digits(column):
        row = solution.rows[index].tolist()
        low, high, depth = row[patterns.LOW], row[patterns.HIGH], row[patterns.DEPTH]
        found.append(Summand(index, low, high, power, sign, depth, solution.functions[index]))
    return found
