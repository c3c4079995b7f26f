"""How deep the FIFOs behind forks must be: so that nothing stops for ever, and so that nothing slows down.

Whether a network stops for ever does not depend on stalls. Every part waits for certain beats and for certain free
places, never for a choice of two, so each transfer is an event that waits for a fixed set of earlier events (an event
graph; Commoner, Holt, Even, Pnueli 1971: "Marked directed graphs"). A stall moves events, it adds no waiting and takes
none away: if the schedule without stalls reaches its end, so does every schedule, and if it does not, none does.
So one run of the recurrence decides.

A deeper FIFO only takes conditions away: no event gets later. So each FIFO's smallest depth is found by bisection, one
after the other, those already found in place and the others without limit. One place less on any branch stops the
network, or loses the interval or the latency.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from rtl4ml.planning.network import Branch, Network
from rtl4ml.planning.schedule import DeadlockError, simulate, summarise


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


def _smallest(
    network: Network, fits: Callable[[Network], bool], least: Mapping[Branch, int | None]
) -> dict[Branch, int | None]:
    """Smallest depths, branch by branch, for which `fits` holds; it must hold without limits, and not below `least`."""
    depths: dict[Branch, int | None] = dict.fromkeys(network.branches)
    for branch in network.branches:

        def holds(depth: int, branch: Branch = branch) -> bool:
            return fits(network.with_fifos({**depths, branch: depth}))

        start = least.get(branch) or 0
        if holds(start):
            depths[branch] = start
            continue
        low, high = start, max(1, 2 * start)
        while not holds(high):
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if holds(middle) else (middle, high)
        depths[branch] = high
    return depths


def find_depths(network: Network, *, free_running: bool = False) -> tuple[FifoDepth, ...]:
    """Depths of the FIFOs on all branches of a network's forks.

    Args:
        network: without FIFOs.
        free_running: frames are offered at the interval and must never wait, since nobody tells the source to.
    """
    if not network.branches:
        return ()
    # As many frames as can be inside at once, and more: then the pattern repeats.
    frames = 6 + 2 * len(network.stages)

    def runs(candidate: Network) -> bool:
        try:
            simulate(candidate, LIVE_FRAMES)
        except DeadlockError:
            return False
        return True

    live = _smallest(network, runs, {})
    best = summarise(network.with_fifos(dict.fromkeys(network.branches)))

    def keeps(candidate: Network) -> bool:
        try:
            timeline = simulate(candidate, frames)
        except DeadlockError:
            return False
        ends = timeline.handed_over[:, -1]
        settled = np.diff(ends[frames // 2 - 1 :])
        if int(ends[0] - timeline.accepted[0, 0]) > best.latency or np.any(settled > best.interval):
            return False
        if not free_running:
            return True
        offered = simulate(candidate, frames, best.interval).accepted[:, 0]
        return bool(np.array_equal(offered, np.arange(frames) * best.interval))

    full = _smallest(network, keeps, live)
    return tuple(FifoDepth(branch, live[branch] or 0, full[branch] or 0) for branch in network.branches)
