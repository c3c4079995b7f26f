"""The edge of every transfer of a network of stages, from the stages' tables alone, and what they come to.

Every event (a beat taken, a word issued, a beat handed over) happens at the earliest clock edge that all its conditions
allow, and the conditions are "so many edges after that other event" (:mod:`rtl4ml.stages.timing`). Frames keep their
order and no part shares a resource, so the edges are sums and maxima of earlier edges
(:mod:`rtl4ml.planning.recurrence`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ConfigurationError
from rtl4ml.planning.event_tables import NetworkTables, compile_network
from rtl4ml.planning.network import Network
from rtl4ml.planning.recurrence import Tables
from rtl4ml.planning.run import FOR_EVER, LONGEST_PATTERN, Run
from rtl4ml.stages.base import Stage

MOST_FRAMES = 200
"""Frames after which an interval that still varies is taken as it is: the longest."""


class DeadlockError(ConfigurationError):
    """A network stops for ever: some of its parts wait for each other."""


@dataclass(frozen=True, eq=False)
class Timeline:
    """Edges of the transfers at both ends; edge 0 accepts the first beat.

    Parameters:
        accepted: int64 (frames, beats in).
        handed_over: int64 (frames, beats out).
    """

    accepted: NDArray[np.int64]
    handed_over: NDArray[np.int64]


@dataclass(frozen=True)
class Summary:
    """What a schedule comes to, in cycles.

    Parameters:
        latency: from the edge that accepts the first beat of a frame, the pipeline being idle, to the one that hands
            over the frame's last beat; source always valid, sink always ready.
        interval: between the last beats out of consecutive frames, once the pipeline is full; the longest, should they
            not become equal.
    """

    latency: int
    interval: int


@dataclass(frozen=True)
class Progress:
    """What is known after some frames.

    Parameters:
        frame: number of the last one; those that only repeat others are skipped.
        start: edge that accepts its first beat.
        latency: of the first frame, in cycles.
        ends: edges between the last beats out of consecutive frames computed, in cycles.
        pattern: all that follows repeats so many frames; 0: not known.
    """

    frame: int
    start: int
    latency: int
    ends: list[int]
    pattern: int

    @property
    def intervals(self) -> list[int]:
        """Between the ends of frames, in cycles: those that repeat, or those of the second half."""
        return self.ends[-self.pattern :] if self.pattern else self.ends[len(self.ends) // 2 :]


def network_of(stages: Network | Sequence[Stage]) -> Network:
    """A network, or the stages of a chain, first to last, as one."""
    return stages if isinstance(stages, Network) else Network.chain(stages)


def enough_frames(network: NetworkTables) -> int:
    """More frames than can be inside a network at once."""
    return 6 + 2 * network.stages


def follow(network: NetworkTables, tables: Tables, most: int = MOST_FRAMES) -> Iterator[Progress]:
    """Compute frames until what follows is known.

    Args:
        network: whose tables they are.
        tables: with the depths of FIFOs in question.
        most: frames that are computed, 2 or more.

    Raises:
        DeadlockError: the network stops for ever.
    """
    run = Run(tables, pattern=LONGEST_PATTERN, frames=enough_frames(network))
    ends: list[int] = []
    latency = last_end = pattern = 0
    for _ in range(most):
        _advance(run)
        frame = run.frames - 1
        start = max(int(run.edges(process, frame)[0]) for process in network.accepted)
        end = int(run.edges(network.handed_over, frame)[-1])
        if frame:
            ends.append(end - last_end)
        else:
            latency = end - start
        pattern, repetitions = _pattern(run, ends)
        if pattern and repetitions != FOR_EVER:
            run.skip(pattern, repetitions)
            pattern = 0
        last_end = int(run.edges(network.handed_over, run.frames - 1)[-1])
        yield Progress(frame, start, latency, ends, pattern)
        if pattern:
            return


def _pattern(run: Run, ends: list[int]) -> tuple[int, int]:
    """Frames that repeat and how often: those that look as if they did, from their ends, are looked at closely."""
    for every in range(1, LONGEST_PATTERN + 1):
        if len(ends) >= 2 * every and ends[-every:] == ends[-2 * every : -every]:
            repetitions = run.regular(every)
            if repetitions:
                return every, repetitions
    return 0, 0


def _advance(run: Run) -> None:
    stuck = run.advance()
    if stuck:
        raise DeadlockError(f"Stages must not wait for each other, as {stuck} parts of the network do")


def simulate(stages: Network | Sequence[Stage], frames: int, interval: int | None = None) -> Timeline:
    """Find the edge of every transfer at both ends of a network; the sink is always ready.

    Args:
        stages: the network, or the stages of a chain, first to last.
        frames: frames that enter.
        interval: cycles from one frame's first offer to the next's; None: the source is always valid.

    Raises:
        ConfigurationError: lanes or elements of neighbours differ.
        DeadlockError: the network stops for ever, because a FIFO is too small.
    """
    found = network_of(stages)
    network = compile_network(found)
    tables = network.with_depths({branch: found.fifos.get(branch, 0) for branch in found.branches})
    if interval is not None:
        tables = network.offered_every(tables, interval)
    run = Run(tables, frames=frames)
    accepted = np.zeros((frames, found.beats(found.input)), np.int64)
    handed_over = np.zeros((frames, found.beats(found.output)), np.int64)
    for frame in range(frames):
        _advance(run)
        accepted[frame] = np.max([run.edges(process, frame) for process in network.accepted], axis=0)
        handed_over[frame] = run.edges(network.handed_over, frame)
    return Timeline(accepted, handed_over)


def summarise(stages: Network | Sequence[Stage]) -> Summary:
    """Find latency and interval of a network or a chain, source always valid, sink always ready.

    Raises:
        ConfigurationError: lanes or elements of neighbours differ.
        DeadlockError: as for `simulate`.
    """
    found = network_of(stages)
    network = compile_network(found)
    return summary_of(network, network.with_depths({branch: found.fifos.get(branch, 0) for branch in found.branches}))


def summary_of(network: NetworkTables, tables: Tables) -> Summary:
    """Latency and interval of a compiled network.

    Args:
        network: whose tables they are.
        tables: with the depths of FIFOs in question.

    Raises:
        DeadlockError: as for `simulate`.
    """
    *_, progress = follow(network, tables)
    return Summary(progress.latency, max(progress.intervals))
