"""The edge of every transfer of a chain of stages, from the stages' numbers alone: a recurrence over beats.

Every event (a beat taken, a word issued, a beat handed over) happens at the earliest clock edge that all its conditions
allow, and the conditions are "so many edges after that other event". Frames keep their order and no part shares a
resource, so the edges are sums and maxima of earlier edges, found once each: the work grows with beats and output
groups, not with cycles. The conditions are those in the docstrings of :mod:`rtl4ml.hdl`.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ConfigurationError
from rtl4ml.hdl.frame_store import is_stored
from rtl4ml.hdl.width_adapter import words_awaited, words_before
from rtl4ml.stages.base import Stage, Timing

MOST_FRAMES = 200
"""Frames after which an interval that still varies is taken as it is."""


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


@dataclass(eq=False)
class _Edge:
    """A stream between two parts: when each beat is first valid, and when it moves."""

    valid: list[int] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)


# A process computes edges in order. Before it reads the edge of an event that another process may not have computed
# yet, it yields a function that says whether it has.
_Process = Iterator[Callable[[], bool]]


def _known(events: list[int], index: int) -> _Process:
    if len(events) <= index:
        yield lambda: len(events) > index


def _source(edge: _Edge, beats: int, frames: int, interval: int | None) -> _Process:
    for frame in range(frames):
        edge.valid.extend([frame * (interval or 0)] * beats)
    yield from ()


def _sink(edge: _Edge, count: int) -> _Process:
    last = -1
    for index in range(count):
        yield from _known(edge.valid, index)
        last = max(edge.valid[index], last + 1)
        edge.moved.append(last)


def _adapter(inputs: _Edge, outputs: _Edge, timing: Timing, frames: int) -> _Process:
    """A beat waits for the handover, at the same edge, of the words that stand in its way."""
    beats, words = timing.beats_in, timing.rounds * timing.words
    sizes = timing.n_in, timing.lanes_in, timing.lanes
    last = -1
    index = 0
    for frame in range(frames):
        for beat in range(beats):
            yield from _known(inputs.valid, index)
            edge = max(inputs.valid[index], last + 1)
            awaited = frame * words + words_awaited(beat, *sizes)
            if awaited > 0:
                yield from _known(outputs.moved, awaited - 1)
                edge = max(edge, outputs.moved[awaited - 1])
            inputs.moved.append(edge)
            last = edge
            index += 1
            completed = words_before(beat + 1, *sizes) - words_before(beat, *sizes)
            outputs.valid.extend([edge + 1] * completed)


def _streamed(inputs: _Edge, outputs: _Edge, timing: Timing, frames: int) -> _Process:
    """Nothing stored: a word is taken when it is issued for the first time."""
    words, passes, slots = timing.words, timing.passes, timing.slots
    last = -1
    taken = given = 0
    for _ in range(frames * timing.rounds):
        for replay in range(passes):
            for word in range(words):
                edge = last + 1
                if replay == 0:
                    yield from _known(inputs.valid, taken)
                    edge = max(edge, inputs.valid[taken])
                if word == words - 1 and slots is not None and given >= slots:
                    yield from _known(outputs.moved, given - slots)
                    edge = max(edge, outputs.moved[given - slots] + 1)
                if replay == 0:
                    inputs.moved.append(edge)
                    taken += 1
                last = edge
            outputs.valid.append(last + timing.depth + 1)
            given += 1


def _stored(inputs: _Edge, outputs: _Edge, timing: Timing, frames: int) -> _Process:
    """Two frames of room. A word waits for its own writing in the first pass; the last of a pass for a slot."""
    words, passes, slots = timing.words, timing.passes, timing.slots
    written = issued = -1
    releases: list[int] = []  # edge of the last issue of each frame
    taken = given = 0
    for frame in range(frames * timing.rounds):
        for replay in range(passes):
            for word in range(words if replay == 0 else 0):
                yield from _known(inputs.valid, taken)
                written = max(inputs.valid[taken], written + 1)
                if frame >= 2:
                    written = max(written, releases[frame - 2] + 1)
                inputs.moved.append(written)
                taken += 1
                if word < words - 1:
                    issued = max(issued, written) + 1
            # The other words of a later pass follow each other without a gap.
            edge = max(issued, written) + 1 if replay == 0 else issued + words
            if slots is not None and given >= slots:
                yield from _known(outputs.moved, given - slots)
                edge = max(edge, outputs.moved[given - slots] + 1)
            issued = edge
            outputs.valid.append(issued + timing.depth + 1)
            given += 1
        releases.append(issued)


def _run(processes: list[_Process]) -> None:
    """Advance every process as far as what it waits for is known, until all have ended.

    Raises:
        ConfigurationError: they wait for each other.
    """
    waiting: list[tuple[_Process, Callable[[], bool]]] = [(process, lambda: True) for process in processes]
    while waiting:
        left = []
        moved = False
        for process, ready in waiting:
            found: Callable[[], bool] | None = ready
            while found is not None and found():
                moved = True
                found = next(process, None)
            if found is not None:
                left.append((process, found))
        if not moved:
            raise ConfigurationError(f"Stages of a chain must not wait for each other, as {len(left)} parts of it do")
        waiting = left


def simulate(stages: Sequence[Stage], frames: int, interval: int | None = None) -> Timeline:
    """Find the edge of every transfer at both ends of a chain; the sink is always ready.

    Args:
        stages: the chain, first to last.
        frames: frames that enter.
        interval: cycles from one frame's first offer to the next's; None: the source is always valid.

    Raises:
        ConfigurationError: lanes or elements of neighbours differ.
    """
    for before, after in itertools.pairwise(stages):
        if (before.lanes_out, before.n_out) != (after.lanes_in, after.n_in):
            raise ConfigurationError(
                f"Stage {after.name!r} must take {before.n_out} elements in beats of {before.lanes_out}, "
                f"not {after.n_in} in beats of {after.lanes_in}"
            )
    timings = [stage.timing for stage in stages]
    first = edge = _Edge()
    processes = [_source(edge, timings[0].beats_in, frames, interval)]
    for timing in timings:
        if timing.lanes_in != timing.lanes:
            words = _Edge()
            processes.append(_adapter(edge, words, timing, frames))
            edge = words
        result = _Edge()
        core = _stored if is_stored(timing.words, timing.passes) else _streamed
        processes.append(core(edge, result, timing, frames))
        edge = result
    processes.append(_sink(edge, frames * timings[-1].beats_out))
    _run(processes)
    return Timeline(
        accepted=np.array(first.moved, np.int64).reshape(frames, timings[0].beats_in),
        handed_over=np.array(edge.moved, np.int64).reshape(frames, timings[-1].beats_out),
    )


def summarise(stages: Sequence[Stage]) -> Summary:
    """Find latency and interval of a chain, source always valid, sink always ready."""
    frames = 4 + 2 * len(stages)
    while True:
        timeline = simulate(stages, frames)
        ends = timeline.handed_over[:, -1]
        latency = int(ends[0] - timeline.accepted[0, 0])
        settled = np.diff(ends[frames // 2 - 1 :])
        if settled.min() == settled.max() or frames > MOST_FRAMES:
            return Summary(latency, int(settled.max()))
        frames *= 2
