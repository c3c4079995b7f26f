"""The edge of every event of a set of processes: sums and maxima of earlier edges, each found once.

A maximum-plus recurrence (Baccelli, Cohen, Olsder, Quadrat 1992: "Synchronization and Linearity"). The work grows with
events, not with cycles. Frames are computed one after the other, since no event waits for a later frame's; within a
frame a process goes on as far as what it waits for is known, then the next one does. Only as many frames are kept as
waits reach back and as a repetition is looked for.

One function computes a frame. It is compiled where there is much to compute and run as it is otherwise: a small network
is done before the compiler is loaded.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.int64]
Numbers = Any
"""A list of integers, or an array: what the function of a frame takes."""

NOT_AWAITED = -(1 << 61)
"""An index or a shift that is before every first frame. Both together still fit."""

COMPILED_FROM = 200_000
"""Events of a network that are computed before the compiler is loaded, which takes as long."""


def run_frame(
    frame: int,
    events: Numbers,
    base: Numbers,
    rows: Numbers,
    origin: Numbers,
    gap_at: Numbers,
    gap_step: Numbers,
    wait_from: Numbers,
    on: Numbers,
    index_at: Numbers,
    shift: Numbers,
    delay_at: Numbers,
    delay_step: Numbers,
    indices: Numbers,
    delays: Numbers,
    times: Numbers,
    done: Numbers,
    here: Numbers,
    stuck_on: Numbers,
    stuck_at: Numbers,
) -> int:
    """Find the edges of a frame's events.

    Args:
        frame: its number; those before have been computed.
        events: of a frame, by process.
        base: place of a process' edges in `times`: its frame f is row f % rows.
        rows: frames kept, by process.
        origin: edge of a process' first event at the earliest.
        gap_at: place in `delays` of the gap before a process' event k, plus k * `gap_step`.
        gap_step: 0 or 1.
        wait_from: first wait, by process and one more.
        on: process waited for, by wait.
        index_at: place in `indices` of the event that event k waits for, plus k.
        shift: added to that, by wait.
        delay_at: place in `delays` of the edges in between, plus k * `delay_step`.
        delay_step: 0 or 1.
        indices: tables.
        delays: tables.
        times: edges; written.
        done: scratch, by process, as are the next three.
        here: row of the frame in `times`.
        stuck_on: a process waits for this one,
        stuck_at: for this event of it.

    Returns:
        Processes that wait for each other: 0, or nothing moves any more.
    """
    count = len(events)
    left = 0
    for p in range(count):
        done[p] = 0
        stuck_on[p] = p
        stuck_at[p] = -1
        here[p] = base[p] + frame % rows[p] * events[p]
        if events[p] > 0:
            left += 1
    while left > 0:
        moved = False
        for p in range(count):
            k = done[p]
            if k == events[p] or done[stuck_on[p]] <= stuck_at[p]:
                continue
            row = here[p]
            if k > 0:
                last = times[row + k - 1]
            elif frame > 0:
                last = times[base[p] + (frame - 1) % rows[p] * events[p] + events[p] - 1]
            else:
                last = origin[p] - delays[gap_at[p]]
            begin = k
            waiting = False
            while k < events[p]:
                edge = last + delays[gap_at[p] + k * gap_step[p]]
                for w in range(wait_from[p], wait_from[p + 1]):
                    q = on[w]
                    index = indices[index_at[w] + k] + shift[w]
                    if index >= 0:
                        if index >= done[q]:
                            stuck_on[p] = q
                            stuck_at[p] = index
                            waiting = True
                            break
                        place = here[q] + index
                    else:
                        if index < -frame * events[q]:
                            continue
                        place = here[q] + index
                        if place < base[q]:
                            place += rows[q] * events[q]
                    edge = max(edge, times[place] + delays[delay_at[w] + k * delay_step[w]])
                if waiting:
                    break
                times[row + k] = edge
                last = edge
                k += 1
                done[p] = k
            if k > begin:
                moved = True
            if k == events[p]:
                left -= 1
        if not moved:
            return left
    return 0


@functools.cache
def compiled() -> Callable[..., int]:
    """The same function, compiled; kept on disk between runs where there is a place to."""
    import numba

    try:
        return numba.njit(cache=True)(run_frame)
    except RuntimeError:  # neither this package's folder nor the user's cache can be written
        return numba.njit(run_frame)


@dataclass(frozen=True, eq=False)
class Tables:
    """Processes and waits as :func:`run_frame` takes them: int64 arrays by process, by wait, and two plain tables.

    Parameters:
        names: of the processes.
        lowest: of the indices of a wait, before it is shifted.
        budget: a list of one number, events that may still be computed before the function is compiled; shared by all
            that is derived from these tables.
        events: as for :func:`run_frame`, like all others.
    """

    names: tuple[str, ...]
    lowest: Array
    events: Array
    gap_at: Array
    gap_step: Array
    wait_from: Array
    on: Array
    index_at: Array
    shift: Array
    delay_at: Array
    delay_step: Array
    indices: Array
    delays: Array
    budget: list[int] = field(default_factory=lambda: [COMPILED_FROM])

    @property
    def waiting(self) -> Array:
        """Process that waits, by wait."""
        return np.repeat(np.arange(len(self.events)), np.diff(self.wait_from))

    def counting(self, process: int) -> "Tables":
        """The same waits with edges that count: by an event, how many events of a process it needs, less 1."""
        nothing, one = np.zeros(len(self.on), np.int64), np.zeros(len(self.events), np.int64)
        one[process] = 1
        return replace(
            self, gap_at=one, gap_step=0 * one, delay_at=nothing, delay_step=nothing, delays=np.array([0, 1])
        )
