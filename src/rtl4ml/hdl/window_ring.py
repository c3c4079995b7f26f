"""How many words a window buffer must hold: the buffer's timing run with an eager and with an even source."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

FRAMES = 3
"""Frames after which no further loss appears: the second starts behind a full pipeline, the third repeats it."""


def unit_ends(needs: Sequence[int], waits: Sequence[int], unit_words: int, frames: int, period: int = 0) -> list[int]:
    """Edges of the units' last issues when issues are always permitted; word 0 at edge 0.

    Word w is written at least one edge after word w - 1 and after the end of unit `waits[w]`; a unit starts at least
    one edge after the end of the unit before and after the write of its last word.

    Args:
        needs: words of the frame that are written before a unit starts, for each unit of a frame.
        waits: unit after whose end a word can be written, for each word of a frame; negative: of frames before.
        unit_words: issues of a unit.
        frames: frames that are run.
        period: cycles that a source takes for the words of a frame, all words alike: what it has to wait for it cannot
            catch up. 0: all words are offered at once.

    Returns:
        One edge for each unit of each frame.
    """
    ends: list[int] = []
    end = -1
    # Writes are counted in parts of a cycle, as many as a frame has words: so a period divides evenly.
    parts = len(waits)
    gap = max(parts, period)
    write = -gap
    for frame in range(frames):
        first = frame * len(needs)
        writes: list[int] = []
        for target in [*needs, len(waits)]:
            for wait in waits[len(writes) : target]:
                write += gap
                if wait + first >= 0 and (ends[wait + first] + 1) * parts > write:
                    write = (ends[wait + first] + 1) * parts
                writes.append(-(-write // parts))
            if len(ends) < first + len(needs):
                end = max(end, writes[target - 1]) + unit_words
                ends.append(end)
    return ends


def can_run(needs: NDArray[np.int64], waits: NDArray[np.int64]) -> bool:
    """Whether no unit waits for a word that waits for the end of that unit or of a later one."""
    latest = np.maximum.accumulate(waits)
    return bool(np.all(latest[needs - 1] < np.arange(len(needs))))


def smallest_ring(
    needs: NDArray[np.int64], unit_words: int, waits_of: Callable[[int], NDArray[np.int64]], largest: int
) -> int:
    """The smallest power of two of words a bank, at least 2, with which no frame ends later than without bounds.

    That must hold for a source that offers everything at once, and for one that takes as many cycles for a frame as the
    issues do, as a stage in front that is as busy does.

    Args:
        needs: int64 (units,), words written before a unit starts.
        unit_words: issues of a unit.
        waits_of: gives int64 (words,), the unit after which each word can be written, for a ring.
        largest: a power of two that is enough.
    """
    words = len(waits_of(largest))
    targets = needs.tolist()
    issues = len(needs) * unit_words
    sources = (0, issues) if words < issues else (0,)

    def frame_ends(waits: list[int], period: int) -> list[int]:
        return unit_ends(targets, waits, unit_words, FRAMES, period)[len(needs) - 1 :: len(needs)]

    unbounded = [frame_ends([-FRAMES * len(needs)] * words, period) for period in sources]

    def suffices(ring: int) -> bool:
        waits = waits_of(ring)
        if not can_run(needs, waits):
            return False
        return [frame_ends(waits.tolist(), period) for period in sources] == unbounded

    # More words never delay anything: search by halves between exponents.
    low, high = 1, max(1, largest.bit_length() - 1)
    while low < high:
        middle = (low + high) // 2
        if suffices(1 << middle):
            high = middle
        else:
            low = middle + 1
    return 1 << low
