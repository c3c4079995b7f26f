"""How deep the FIFOs behind forks must be: so that nothing stops for ever, and so that nothing slows down.

Whether a network stops for ever does not depend on stalls. Every part waits for certain beats and for certain free
places, never for a choice of two, so each transfer is an event that waits for a fixed set of earlier events (an event
graph; Commoner, Holt, Even, Pnueli 1971: "Marked directed graphs"). A stall moves events, it adds no waiting and takes
none away: if the schedule without stalls reaches its end, so does every schedule, and if it does not, none does.
So one run of the recurrence decides, and one that counts instead of adding up edges says what the smallest depth is: a
beat may be written only after the handover of one so many beats before, which must not need a beat not yet written.

A deeper FIFO only takes conditions away: no event gets later. So each FIFO's smallest depth for the full rate is found
by bisection, between the depth that keeps it alive and what it holds at most when it has no limit: one FIFO after the
other, those already found in place and the others without limit. One place less on any branch stops the network, or
loses the interval or the latency.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rtl4ml.planning.event_tables import NetworkTables, compile_network
from rtl4ml.planning.network import Branch, Network
from rtl4ml.planning.recurrence import NOT_AWAITED, Array
from rtl4ml.planning.run import Run
from rtl4ml.planning.schedule import MOST_FRAMES, DeadlockError, Summary, enough_frames, follow, summary_of

Depths = Mapping[Branch, int | None]


@dataclass(frozen=True)
class FifoDepth:
    """Of a branch of a fork, in beats.

    Parameters:
        branch: where it stands.
        live: without so many the network would stop for ever.
        full_rate: with so many latency and interval are no longer than with FIFOs without limit.
    """

    branch: Branch
    live: int
    full_rate: int

    @property
    def depth(self) -> int:
        """What is built."""
        return max(self.live, self.full_rate)


LIVE_FRAMES = 4
"""A part of a frame's results needs beats of that frame and no later ones: what stops, stops within a few frames."""

WATCHED_FRAMES = 4
"""Frames of which the beats in a FIFO without limit are counted; if later ones hold more, the search goes further."""


def _live_depth(network: NetworkTables, depths: Depths, branch: Branch) -> int:
    """Smallest depth of the FIFO on a branch with which the network does not stop, given all others' depths."""
    if not np.any(_beats_needed(network, {**depths, branch: 0}, branch) >= 0):
        return 0
    return 1 + int(_beats_needed(network, {**depths, branch: None}, branch).max())


def _beats_needed(network: NetworkTables, depths: Depths, branch: Branch) -> Array:
    """How many beats behind a beat must have been written for its handover; -1: not even itself."""
    buffer = network.buffers[branch]
    tables = network.with_depths(depths)
    # That the FIFO has room is what is asked, and not to be taken for granted.
    tables.shift[buffer.room] = NOT_AWAITED
    origin = np.full(len(tables.events), -1)
    origin[buffer.inside] = 0
    run = Run(tables.counting(buffer.inside), frames=LIVE_FRAMES, origin=origin)
    needed = []
    for frame in range(LIVE_FRAMES):
        run.advance()
        needed.append(run.edges(buffer.outside, frame))
    found = np.concatenate(needed)
    return found - np.arange(len(found))


def _most_held(network: NetworkTables, depths: Depths, branch: Branch) -> int:
    """Places of a FIFO that delay no beat of the first frames."""
    buffer = network.buffers[branch]
    run = Run(network.with_depths(depths), pattern=WATCHED_FRAMES, frames=WATCHED_FRAMES)
    for _ in range(WATCHED_FRAMES):
        run.advance()
    written, handed_over = (
        np.concatenate([run.edges(process, frame) for frame in range(WATCHED_FRAMES)])
        for process in (buffer.inside, buffer.outside)
    )
    # A handover makes room for a beat of the edge after it.
    left = np.searchsorted(handed_over, written - 1, side="right")
    return int((np.arange(len(written)) - left).max()) + 1


class _Rate:
    """Whether depths keep latency and interval.

    Parameters:
        network: compiled.
        free_running: frames are offered at the interval and must never wait.

    Attributes:
        patience: frames after which intervals are taken as they are, should they not have settled.
    """

    def __init__(self, network: NetworkTables, free_running: bool) -> None:
        self._network = network
        self._free_running = free_running
        self._best: Summary = summary_of(network, network.with_depths({}))
        self.patience = enough_frames(network)

    def kept(self, depths: Depths) -> bool:
        """Whether neither is longer than with FIFOs without limit."""
        try:
            return self._fast(depths) and (not self._free_running or self._never_waits(depths))
        except DeadlockError:
            return False

    def _fast(self, depths: Depths) -> bool:
        for progress in follow(self._network, self._network.with_depths(depths), self.patience):
            if progress.latency > self._best.latency:
                return False
        return max(progress.intervals) <= self._best.interval

    def _never_waits(self, depths: Depths) -> bool:
        interval = self._best.interval
        tables = self._network.offered_every(self._network.with_depths(depths), interval)
        found = follow(self._network, tables, self.patience)
        return all(progress.start == interval * progress.frame for progress in found)


def _full_rate_depth(network: NetworkTables, rate: _Rate, depths: Depths, branch: Branch, live: int) -> int:
    """Smallest depth of the FIFO on a branch that keeps the rate, given all others' depths."""
    if rate.kept({**depths, branch: live}):
        return live
    low, high = live, max(live + 1, _most_held(network, {**depths, branch: None}, branch))
    # So many places are never full in all the frames looked at.
    limit = MOST_FRAMES * int(network.tables.events[network.buffers[branch].inside])
    while high < limit and not rate.kept({**depths, branch: high}):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if rate.kept({**depths, branch: middle}) else (middle, high)
    return high


def find_depths(network: Network, *, free_running: bool = False) -> tuple[FifoDepth, ...]:
    """Depths of the FIFOs on all branches of a network's forks.

    Args:
        network: without FIFOs.
        free_running: frames are offered at the interval and must never wait, since nobody tells the source to.
    """
    if not network.branches:
        return ()
    compiled = compile_network(network)
    live: dict[Branch, int] = {}
    for branch in network.branches:
        live[branch] = _live_depth(compiled, live, branch)
    rate = _Rate(compiled, free_running)
    full: dict[Branch, int] = {}
    for patience in (rate.patience, MOST_FRAMES):
        rate.patience, full = patience, {}
        for branch in network.branches:
            full[branch] = _full_rate_depth(compiled, rate, full, branch, live[branch])
        # Seldom do frames become slower later than anybody can see: then all is done again with more of them.
        rate.patience = MOST_FRAMES
        if rate.kept(full):
            break
    return tuple(FifoDepth(branch, live[branch], full[branch]) for branch in network.branches)
