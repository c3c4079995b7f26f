"""The edge of every transfer of a network of stages, from the stages' numbers alone: a recurrence over beats.

Every event (a beat taken, a word issued, a beat handed over) happens at the earliest clock edge that all its conditions
allow, and the conditions are "so many edges after that other event". Frames keep their order and no part shares a
resource, so the edges are sums and maxima of earlier edges, found once each: the work grows with beats and output
groups, not with cycles. The conditions are those in the docstrings of :mod:`rtl4ml.hdl`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ConfigurationError
from rtl4ml.hdl.frame_store import is_stored
from rtl4ml.hdl.width_adapter import words_awaited, words_before
from rtl4ml.planning.network import Branch, Network
from rtl4ml.stages.base import Side, Stage, Timing

MOST_FRAMES = 200
"""Frames after which an interval that still varies is taken as it is."""


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


def _fork(edge: _Edge, branches: list[_Edge], count: int) -> _Process:
    """Every branch sees a beat when it is there and the one before has gone to all."""
    for index in range(count):
        yield from _known(edge.valid, index)
        shown = max(edge.valid[index], edge.moved[index - 1] + 1) if index else edge.valid[index]
        for branch in branches:
            branch.valid.append(shown)
        for branch in branches:
            yield from _known(branch.moved, index)
        edge.moved.append(max(branch.moved[index] for branch in branches))


def _fifo(inputs: _Edge, outputs: _Edge, depth: int | None, count: int) -> _Process:
    """A full FIFO takes a beat at the edge after a handover."""
    last = -1
    for index in range(count):
        yield from _known(inputs.valid, index)
        last = max(inputs.valid[index], last + 1)
        if depth is not None and index >= depth:
            yield from _known(outputs.moved, index - depth)
            last = max(last, outputs.moved[index - depth] + 1)
        inputs.moved.append(last)
        outputs.valid.append(last + 1)


def _adapter(inputs: _Edge, outputs: _Edge, side: Side, frames: int) -> _Process:
    """A beat waits for the handover, at the same edge, of the words that stand in its way."""
    beats, words = side.beats, -(-side.n // side.lanes)
    sizes = side.n, side.lanes_in, side.lanes
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


def _streamed(inputs: list[_Edge], outputs: _Edge, timing: Timing, frames: int) -> _Process:
    """Nothing stored: a word of every stream is taken when it is issued for the first time."""
    words, passes, slots = timing.words, timing.passes, timing.slots
    last = -1
    taken = given = 0
    for _ in range(frames * timing.rounds):
        for replay in range(passes):
            for word in range(words):
                edge = last + 1
                if replay == 0:
                    for stream in inputs:
                        yield from _known(stream.valid, taken)
                        edge = max(edge, stream.valid[taken])
                if word == words - 1 and slots is not None and given >= slots:
                    yield from _known(outputs.moved, given - slots)
                    edge = max(edge, outputs.moved[given - slots] + 1)
                if replay == 0:
                    for stream in inputs:
                        stream.moved.append(edge)
                    taken += 1
                last = edge
            outputs.valid.append(last + timing.depth + 1)
            given += 1


def _stored(streams: list[_Edge], outputs: _Edge, timing: Timing, frames: int) -> _Process:
    """Two frames of room. A word waits for its own writing in the first pass; the last of a pass for a slot."""
    (inputs,) = streams
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
        DeadlockError: they wait for each other.
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
            raise DeadlockError(f"Stages must not wait for each other, as {len(left)} parts of the network do")
        waiting = left


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
    network = stages if isinstance(stages, Network) else Network.chain(stages)
    edges = {tensor: _Edge() for tensor in network.tensors}
    first = edges[network.input]
    beats_in, beats_out = network.beats(network.input), network.beats(network.output)
    processes = [_source(first, beats_in, frames, interval)]
    taps: dict[Branch, _Edge] = {}
    for tensor, edge in edges.items():
        consumers = network.consumers(tensor)
        count = frames * network.beats(tensor)
        if len(consumers) == 1:
            taps[consumers[0]] = edge
            continue
        branches = [_Edge() for _ in consumers]
        processes.append(_fork(edge, branches, count))
        for branch, tap in zip(consumers, branches, strict=True):
            taps[branch] = tap
            depth = network.fifos.get(branch, 0)
            if depth != 0:
                taps[branch] = _Edge()
                processes.append(_fifo(tap, taps[branch], depth, count))
    for index, placed in enumerate(network.stages):
        timing = placed.stage.timing
        words = []
        for number, (name, side) in enumerate(zip(placed.inputs, timing.sides, strict=True)):
            edge = taps[Branch(name, index, number)]
            if side.lanes_in != side.lanes:
                cut = _Edge()
                processes.append(_adapter(edge, cut, side, frames))
                edge = cut
            words.append(edge)
        core = _stored if is_stored(timing.words, timing.passes) else _streamed
        processes.append(core(words, edges[placed.output], timing, frames))
    sink = taps[Branch(network.output, None, 0)]
    processes.append(_sink(sink, frames * beats_out))
    _run(processes)
    return Timeline(
        accepted=np.array(first.moved, np.int64).reshape(frames, beats_in),
        handed_over=np.array(sink.moved, np.int64).reshape(frames, beats_out),
    )


def summarise(stages: Network | Sequence[Stage]) -> Summary:
    """Find latency and interval of a network or a chain, source always valid, sink always ready.

    Raises:
        ConfigurationError: the interval does not become constant.
        DeadlockError: as for `simulate`.
    """
    network = stages if isinstance(stages, Network) else Network.chain(stages)
    frames = 4 + 2 * len(network.stages)
    while True:
        timeline = simulate(network, frames)
        ends = timeline.handed_over[:, -1]
        latency = int(ends[0] - timeline.accepted[0, 0])
        settled = np.diff(ends[frames // 2 - 1 :])
        if np.all(settled == settled[0]):
            return Summary(latency, int(settled[0]))
        if frames > 1000:
            raise ConfigurationError(
                f"Interval must become constant, not vary from {settled.min()} to {settled.max()} cycles"
            )
        frames *= 2
