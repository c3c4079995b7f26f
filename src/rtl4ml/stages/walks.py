"""Moves of elements as walks through a frame: from an array of indices to the loop nest that gives it."""

from math import gcd, prod

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ConfigurationError
from rtl4ml.formats import Codes
from rtl4ml.hdl.window_plan import Level, WindowPlan

Steps = list[tuple[int, Codes]]
"""Loops, outermost first: turns, and int64 (2,), what a step adds to row and column."""


def is_identity(indices: Codes, n_in: int) -> bool:
    """Whether all elements stay where they are."""
    return len(indices) == n_in and bool(np.all(indices == np.arange(n_in)))


def widest_word(indices: Codes, n_in: int) -> int:
    """Elements of the widest words that move as a whole, from a multiple of their width to a multiple of it.

    The words of every divisor of it do so too; those of other widths do not.

    Args:
        indices: int64 (n_out,), element that comes to each place, -1 where none does.
        n_in: elements of the frame that is read.
    """
    filled = indices < 0
    goes_on = np.where(filled[1:], filled[:-1], (indices[1:] == indices[:-1] + 1) & ~filled[:-1])
    starts = np.concatenate([[0], np.flatnonzero(~goes_on) + 1])
    sources = indices[starts]
    return gcd(n_in, len(indices), *np.unique(starts).tolist(), *np.unique(sources[sources >= 0]).tolist())


def words_of(indices: Codes, n_in: int, lanes: int) -> Codes:
    """The same move in words: int64 (n_out / lanes,), word that comes to each place, -1 where none does.

    Raises:
        ConfigurationError: words of so many lanes do not move as a whole.
    """
    widest = widest_word(indices, n_in)
    if lanes < 1 or widest % lanes:
        raise ConfigurationError(f"Lanes of a move must divide its widest words of {widest} elements, not be {lanes}")
    first = indices[::lanes]
    return np.where(first < 0, -1, first // lanes)


def factor(places: Codes) -> Steps | None:
    """The fewest loops that visit places in their order, from the first on; None when no nest does.

    The innermost loop is as long as possible: its turns divide every position at which the step is another one.
    Whatever nest there is, its innermost loop divides that length, so nothing is lost by taking it whole.

    Args:
        places: int64 (words, axes).
    """
    loops: Steps = []
    while len(places) > 1:
        steps = np.diff(places, axis=0)
        breaks = np.flatnonzero(np.any(steps != steps[0], axis=1)) + 1
        turns = gcd(len(places), *breaks.tolist())
        if turns == 1:
            return None
        loops.insert(0, (turns, steps[0]))
        places = places[::turns]
    return loops


def plan_walk(indices: Codes, shape_in: tuple[int, ...], shape: tuple[int, ...], lanes: int, fill: int) -> WindowPlan:
    """The buffer that moves elements, a word of `lanes` of them a cycle: by a loop nest, or else word by word from ROM.

    Padding is a walk that leaves the frame. For that, the frame is seen as rows and columns in one of three ways: rows
    of the image, pixels as rows, or all of it as one row.

    Args:
        indices: int64 (n_out,), element that comes to each place, -1: `fill`.
        shape_in: of the tensor that is read, channels last.
        shape: of the result, channels last.
        lanes: elements of a word; they divide :func:`widest_word`.
        fill: code of places where no element comes to.

    Raises:
        ConfigurationError: words of so many lanes do not move as a whole, or nothing is read at all.
    """
    n_in = prod(shape_in)
    words = words_of(indices, n_in, lanes)
    if np.all(words < 0):
        raise ConfigurationError("A move must read some element, not give constants only")
    rows, pixels = (shape_in[0] if shape_in else 1), n_in // (shape_in[-1] if len(shape_in) > 1 else 1)
    for height in dict.fromkeys((rows, pixels, 1)):
        if n_in % (height * lanes):
            continue
        width = n_in // (height * lanes)
        for axes in _axes(shape, lanes):
            plan = _nest(words.reshape(axes), height, width, lanes, fill)
            if plan is not None:
                return plan
    return WindowPlan(1, n_in // lanes, 1, lanes, unit=1, fill=np.array(fill), order=words)


def _axes(shape: tuple[int, ...], lanes: int) -> list[tuple[int, int, int]]:
    """Ways to see the words out as rows, columns and words of a pixel: as the image that they are, or as one row."""
    n = prod(shape) // lanes
    result = [(1, n, 1)]
    if len(shape) > 1:
        inner = shape[-1] // lanes if shape[-1] % lanes == 0 else 0
        if inner:
            result.insert(0, (shape[0], prod(shape[1:-1]), inner))
        elif (prod(shape[1:]) % lanes) == 0:
            result.insert(0, (shape[0], prod(shape[1:]) // lanes, 1))
    return result


def _nest(words: Codes, height: int, width: int, lanes: int, fill: int) -> WindowPlan | None:
    """A loop nest that gives words (rows, columns, words of a pixel); None when there is none of this kind."""
    inside = words >= 0
    if inside.all():
        places = np.stack(np.divmod(words.reshape(-1), width), axis=1)
        loops = factor(places)
        start = places[0]
    else:
        found = _padded(words, inside, height, width)
        loops, start = found if found is not None else (None, np.zeros(2, np.int64))
    if loops is None:
        return None
    levels = tuple(Level(turns, int(step[0]), int(step[1])) for turns, step in loops)
    position = np.array(start) + sum(
        (np.indices([turns for turns, _ in loops]).reshape(len(loops), -1).T[:, k, None] * step)
        for k, (_, step) in enumerate(loops)
    )
    row, column = np.broadcast_to(position, (words.size, 2)).T
    outside = (row < 0) | (row >= height) | (column < 0) | (column >= width)
    if not np.array_equal(np.where(outside, -1, row * width + column), words.reshape(-1)):
        return None
    return WindowPlan(
        height, width, 1, lanes, start=(int(start[0]), int(start[1]), 0), levels=levels, fill=np.array(fill)
    )


def _padded(words: Codes, inside: NDArray[np.bool_], height: int, width: int) -> tuple[Steps, Codes] | None:
    """Loops and start of a box of words in a frame of fill: each axis goes on beyond the box with its own steps."""
    ranges = [np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis))) for axis in range(3)]
    box = tuple(slice(found[0], found[-1] + 1) for found in ranges)
    if inside.sum() != inside[box].size or not inside[box].all():
        return None
    places = np.stack(np.divmod(words[box], width), axis=-1)
    start = places[0, 0, 0]
    along = [places[:, 0, 0], places[0, :, 0], places[0, 0, :]]
    offsets = [line - start for line in along]
    if not np.array_equal(places, start + offsets[0][:, None, None] + offsets[1][:, None] + offsets[2]):
        return None
    loops: Steps = []
    for line, found, total in zip(along, ranges, words.shape, strict=True):
        nest = factor(line)
        if nest is None:
            return None
        before, after = int(found[0]), total - 1 - int(found[-1])
        if before or after:
            # A single line goes on with a step out of the frame.
            turns, step = nest[0] if nest else (1, np.array([height, 0]))
            each = len(line) // turns
            if before % each or after % each:
                return None
            nest = [(turns + (before + after) // each, step), *nest[1:]]
            start = start - before // each * step
        loops += nest
    return _merged(loops), start


def _merged(loops: Steps) -> Steps:
    """The same nest with loops joined where the outer one goes on as the inner one does."""
    result: Steps = []
    for turns, step in loops:
        if turns == 1:
            continue
        if result and np.array_equal(result[-1][1], turns * step):
            result[-1] = (result[-1][0] * turns, step)
        else:
            result.append((turns, step))
    return result
