"""The steps of functions from integers to integers that can only be asked for points, or bounded on intervals."""

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes
from rtl4ml.staircase import Staircase

MAX_STEPS = 1 << 24
"""Steps of all rows together; beyond, neither search nor hardware would be sensible."""

ENUMERABLE = 1 << 20
"""Up to this many points of all rows together are simply asked for, one by one."""

MAX_POINTS = 1 << 24
"""Points and intervals that a subdivision may take: about a minute."""

SAMPLES = 1 << 16
"""Points of all rows together that tell beforehand how many intervals cannot settle."""

SHORT = 4
"""Intervals of up to this many points are asked point by point."""

TILE = 1 << 18
"""Points that go through the function at once."""

Function = Callable[[Codes], Codes]
"""From codes (m, rows) to codes (m, rows)."""

Bounds = Callable[[Codes, Codes], tuple[Codes, Codes]]
"""From ends of intervals (m, rows) to bounds of the codes in them."""


def bisect(function: Function, low: Codes, high: Codes, what: str) -> Staircase:
    """Steps of rows that are monotone.

    Args:
        function: the rows' functions.
        low: int64 (rows,), lowest x of each row.
        high: int64 (rows,), highest.
        what: names the function in messages.

    Raises:
        ModelError: too many steps in all.
    """
    ends = function(np.stack([low, high]))
    first, last = ends[0], ends[1]
    levels = np.abs(last - first)
    if levels.sum() > MAX_STEPS:
        raise ModelError(
            f"Steps of {what} must be at most {MAX_STEPS} over all channels, not {levels.sum()}: use fewer bits"
        )
    row = np.repeat(np.arange(len(low)), levels)
    starts = np.concatenate([[0], np.cumsum(levels)[:-1]])
    level = np.arange(levels.sum()) - starts[row] + 1
    sign = np.sign(last - first)[row]
    below, above, reached = low[row].copy(), high[row].copy(), last[row].copy()
    while len(row) and np.any(above - below > 1):
        middle = below + (above - below) // 2
        codes = _ask(function, row, middle, low)
        passed = (codes - first[row]) * sign >= level
        above, reached = np.where(passed, middle, above), np.where(passed, codes, reached)
        below = np.where(passed, below, middle)
    positions, codes_of = [], []
    for end, count in zip(np.cumsum(levels), levels, strict=True):
        # A step of several codes was found once for each of its levels.
        distinct, index = np.unique(above[end - count : end], return_index=True)
        positions.append(distinct)
        codes_of.append(reached[end - count : end][index])
    return Staircase(low.copy(), high.copy(), first, tuple(positions), tuple(codes_of))


def enumerate_all(function: Function, low: Codes, high: Codes) -> Staircase:
    """Steps of any rows with narrow domains: every point is asked for. Arguments as in `bisect`."""
    sizes = high - low + 1
    row = np.repeat(np.arange(len(low)), sizes)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    x = low[row] + np.arange(len(row)) - starts[row]
    return _from_runs(row, x, _ask(function, row, x, low), low, high)


def subdivide(function: Function, bounds: Bounds, low: Codes, high: Codes, what: str) -> Staircase:
    """Steps of rows that need not be monotone, on wide domains: intervals whose bounds meet are settled, others cut.

    The result is as right as the bounds: whoever gives them has to prove that no point of an interval has a code
    outside of them. Points next to steps, where they can never meet, are asked for. Branch and bound.

    Args:
        function: the rows' functions.
        bounds: of the codes on intervals.
        low: int64 (rows,), lowest x of each row.
        high: int64 (rows,), highest.
        what: names the function in messages.

    Raises:
        ModelError: too many points in all.
    """
    _require_settling(bounds, low, high, what)
    row, first, last = np.arange(len(low)), low.copy(), high.copy()
    runs: list[tuple[Codes, Codes, Codes]] = []
    points = 0
    while len(row):
        points += len(row)
        if points > MAX_POINTS:
            raise _too_many(what, points)
        least, most = _ask_bounds(bounds, row, first, last, low)
        settled = least == most
        runs.append((row[settled], first[settled], least[settled]))
        row, first, last, least = row[~settled], first[~settled], last[~settled], least[~settled]
        if len(row):
            # A chain that gives no number says so here, before it is divided into all its points.
            lost = least < -(1 << 61)
            _ask(function, row[lost], first[lost], low)
        short = last - first < SHORT
        inside = np.repeat(np.flatnonzero(short), (last - first + 1)[short])
        if len(inside):
            sizes = (last - first + 1)[short]
            x = first[inside] + np.arange(len(inside)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            runs.append((row[inside], x, _ask(function, row[inside], x, low)))
            points += len(inside)
        row, first, last = row[~short], first[~short], last[~short]
        quarter = (last - first + 1) // 4
        cuts = [first, first + quarter, first + 2 * quarter, first + 3 * quarter, last + 1]
        row = np.tile(row, 4)
        first, last = np.concatenate(cuts[:-1]), np.concatenate(cuts[1:]) - 1
    rows, starts, codes = (np.concatenate(parts) for parts in zip(*runs, strict=True))
    return _from_runs(rows, starts, codes, low, high)


def _too_many(what: str, points: int) -> ModelError:
    return ModelError(
        f"Steps of {what} must be found within {MAX_POINTS} points over all channels, not {points} or more: "
        "the function has too many steps, or stays too close to one; use fewer bits, or move the scale"
    )


def _require_settling(bounds: Bounds, low: Codes, high: Codes, what: str) -> None:
    """Refuse at once what `subdivide` would refuse after minutes.

    A point whose own bounds differ keeps every interval around it from settling: it will be asked for, in an interval
    of SHORT at most. How many there are is seen from a few.

    Raises:
        ModelError: more than `subdivide` takes.
    """
    sizes = high - low + 1
    counts = np.maximum(1, (sizes * (SAMPLES / sizes.sum())).astype(np.int64))
    row = np.repeat(np.arange(len(low)), counts)
    # Not evenly spaced: steps may be.
    x = low[row] + (np.random.default_rng(0).random(len(row)) * sizes[row]).astype(np.int64)
    least, most = _ask_bounds(bounds, row, x, x, low)
    # What is no number has another message.
    unsettled = (least != most) & (least > -(1 << 61))
    points = int((unsettled * (sizes / counts)[row]).sum() * (1 + 1 / SHORT))
    if points > MAX_POINTS:
        raise _too_many(what, points)


def _from_runs(row: Codes, start: Codes, code: Codes, low: Codes, high: Codes) -> Staircase:
    """Runs of equal codes, in any order, as steps."""
    order = np.lexsort((start, row))
    row, start, code = row[order], start[order], code[order]
    begins = np.searchsorted(row, np.arange(len(low)))
    fresh = np.ones(len(row), bool)
    fresh[1:] = (code[1:] != code[:-1]) | (row[1:] != row[:-1])
    positions, codes = [], []
    for begin, end in zip(begins, [*begins[1:], len(row)], strict=True):
        kept = np.flatnonzero(fresh[begin + 1 : end]) + begin + 1
        positions.append(start[kept])
        codes.append(code[kept])
    return Staircase(low.copy(), high.copy(), code[begins], tuple(positions), tuple(codes))


def _tables(row: NDArray, count: int) -> list[tuple[NDArray, NDArray]]:
    """Ragged points as tables (m, rows): for each table the points in it and their places, row by row in order."""
    order = np.argsort(row, kind="stable")
    sizes = np.bincount(row, minlength=count)
    place = np.empty(len(row), np.int64)
    place[order] = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    height = max(1, TILE // count)
    if len(row) <= TILE and (not len(row) or place.max() < height):
        return [(np.arange(len(row)), place)]
    by_table = np.argsort(place // height, kind="stable")
    edges = np.searchsorted(place[by_table] // height, np.arange(int(place.max()) // height + 2))
    return [(by_table[a:b], place[by_table[a:b]] % height) for a, b in itertools.pairwise(edges) if b > a]


def _ask(function: Function, row: Codes, x: Codes, fill: Codes) -> Codes:
    """Codes at points x of the functions of rows; `fill` is some x of each row, for the rest of the tables."""
    result = np.empty(len(row), np.int64)
    for chosen, place in _tables(row, len(fill)):
        if len(chosen):
            table = np.repeat(fill[None, :], int(place.max()) + 1, axis=0)
            table[place, row[chosen]] = x[chosen]
            result[chosen] = function(table)[place, row[chosen]]
    return result


def _ask_bounds(bounds: Bounds, row: Codes, first: Codes, last: Codes, fill: Codes) -> tuple[Codes, Codes]:
    """Bounds of the codes on intervals, as `_ask`."""
    least, most = np.empty(len(row), np.int64), np.empty(len(row), np.int64)
    for chosen, place in _tables(row, len(fill)):
        if len(chosen):
            height = int(place.max()) + 1
            ends = [np.repeat(fill[None, :], height, axis=0) for _ in range(2)]
            at = place, row[chosen]
            ends[0][at], ends[1][at] = first[chosen], last[chosen]
            found = bounds(*ends)
            least[chosen], most[chosen] = found[0][at], found[1][at]
    return least, most
