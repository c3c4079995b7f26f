"""Networks stepped cycle by cycle, with counters and queues instead of equations: what a schedule must equal."""

from dataclasses import dataclass

import numpy as np

from rtl4ml.hdl.width_adapter import words_awaited, words_before
from rtl4ml.planning.network import Branch


@dataclass(eq=False)
class Wire:
    valid: bool = False
    ready: bool = False

    @property
    def moves(self):
        return self.valid and self.ready


class Source:
    def __init__(self, wire, beats, frames, interval):
        self.wire, self.beats, self.total, self.interval = wire, beats, beats * frames, interval or 0
        self.edges = []

    def settle(self, cycle):
        sent = len(self.edges)
        self.wire.valid = sent < self.total and cycle >= sent // self.beats * self.interval

    def clock(self, cycle):
        if self.wire.moves:
            self.edges.append(cycle)


class Sink:
    def __init__(self, wire):
        self.wire, self.edges = wire, []

    def settle(self, cycle):
        self.wire.ready = True

    def clock(self, cycle):
        if self.wire.moves:
            self.edges.append(cycle)


class Adapter:
    def __init__(self, i, o, side):
        self.i, self.o, self.side = i, o, side
        self.accepted = self.complete = self.handed = 0

    def settle(self, cycle):
        frame, beat = divmod(self.accepted, self.side.beats)
        awaited = frame * self.side.words + words_awaited(beat, self.side.n, self.side.lanes_in, self.side.lanes)
        self.o.valid = self.handed < self.complete
        self.i.ready = self.handed + self.o.moves >= awaited

    def clock(self, cycle):
        self.handed += self.o.moves
        if self.i.moves:
            self.accepted += 1
            frame, beat = divmod(self.accepted, self.side.beats)
            words = words_before(beat, self.side.n, self.side.lanes_in, self.side.lanes)
            self.complete = frame * self.side.words + words


class Fork:
    def __init__(self, i, outs):
        self.i, self.outs, self.done = i, outs, [False] * len(outs)

    def settle(self, cycle):
        for o, done in zip(self.outs, self.done, strict=True):
            o.valid = self.i.valid and not done
        self.i.ready = all(done or o.ready for o, done in zip(self.outs, self.done, strict=True))

    def clock(self, cycle):
        taken = self.i.moves
        if self.i.valid:
            self.done = [(done or o.ready) and not taken for o, done in zip(self.outs, self.done, strict=True)]


class Fifo:
    def __init__(self, i, o, depth):
        self.i, self.o, self.depth, self.level = i, o, depth, 0

    def settle(self, cycle):
        self.i.ready = self.depth is None or self.level < self.depth or (self.depth == 1 and self.o.ready)
        self.o.valid = self.level > 0

    def clock(self, cycle):
        self.level += self.i.moves - self.o.moves


class Core:
    """Words taken from all streams at once, issued by a rule, results in a FIFO with credits."""

    def __init__(self, streams, o, model):
        self.streams, self.o, self.model = streams, o, model
        self.taken = self.issued = self.level = self.spent = self.handed = 0
        self.inside = []

    def settle(self, cycle):
        model = self.model
        self.o.valid = self.level > 0
        credit = model.slots is None or self.spent + model.beats - self.handed <= model.slots
        self.permit = credit or not model.ends_pass(self.issued)
        if model.stored:
            may_take = model.may_take(self.taken, self.issued)
            self.issues = self.permit and model.may_issue(self.issued, self.taken)
        else:
            may_take = self.permit and model.takes(self.issued)
            self.issues = self.permit and (not model.takes(self.issued) or all(s.valid for s in self.streams))
        for stream in self.streams:
            stream.ready = may_take and all(other.valid for other in self.streams if other is not stream)

    def clock(self, cycle):
        self.taken += self.streams[0].moves
        if self.issues:
            if self.model.ends_pass(self.issued):
                self.spent += self.model.beats
                self.inside += [cycle + self.model.depth + beat for beat in range(self.model.beats)]
            self.issued += 1
        self.level += self.inside.count(cycle) - self.o.moves
        self.handed += self.o.moves


@dataclass(frozen=True)
class Replay:
    """A frame store: as rtl4ml.stages.timing.replayed."""

    depth: int
    slots: int | None
    rounds: int = 1
    words: int = 1
    passes: int = 1
    beats: int = 1

    @property
    def stored(self):
        return self.words > 1 and self.passes > 1

    def ends_pass(self, issue):
        return issue % self.words == self.words - 1

    def takes(self, issue):
        return issue // self.words % self.passes == 0

    def may_take(self, taken, issued):
        return issued >= (taken // self.words - 1) * self.words * self.passes

    def may_issue(self, issued, taken):
        turn, within = divmod(issued, self.words * self.passes)
        return taken > turn * self.words + within if within < self.words else True


@dataclass(frozen=True)
class Window:
    """A buffer of windows: as rtl4ml.stages.timing.windowed."""

    needs: np.ndarray
    releases: np.ndarray
    unit_words: int
    pass_words: int
    depth: int
    slots: int | None
    beats: int = 1
    stored = True

    def ends_pass(self, issue):
        return issue % self.pass_words == self.pass_words - 1

    def may_take(self, taken, issued):
        frame, word = divmod(taken, len(self.releases))
        release = int(self.releases[word])
        return issued > release + frame * len(self.needs) * self.unit_words

    def may_issue(self, issued, taken):
        unit, word = divmod(issued, self.unit_words)
        frame, unit = divmod(unit, len(self.needs))
        return word > 0 or taken >= frame * len(self.releases) + self.needs[unit]


def step(network, frames, interval=None, patience=300):
    """Edges of the transfers at both ends, (frames, beats) each; None if the network stops."""
    parts, taps, made = [], {}, {}

    def connect(tensor):
        made[tensor] = wire = Wire()
        consumers = network.consumers(tensor)
        if len(consumers) == 1:
            taps[consumers[0]] = wire
            return
        branches = [Wire() for _ in consumers]
        parts.append(Fork(wire, branches))
        for branch, found in zip(consumers, branches, strict=True):
            taps[branch] = found
            depth = network.fifos.get(branch, 0)
            if depth != 0:
                taps[branch] = Wire()
                parts.append(Fifo(found, taps[branch], depth))

    connect(network.input)
    for number, placed in enumerate(network.stages):
        connect(placed.output)
        streams = []
        for k, (name, side) in enumerate(zip(placed.inputs, placed.stage.timing.sides, strict=True)):
            wire = taps[Branch(name, number, k)]
            if side.lanes_in != side.lanes:
                parts.append(Adapter(wire, wire := Wire(), side))
            streams.append(wire)
        parts.append(Core(streams, made[placed.output], placed.stage.model))
    source = Source(made[network.input], network.beats(network.input), frames, interval)
    sink = Sink(taps[Branch(network.output, None, 0)])
    parts += [source, sink]
    wires = list({id(wire): wire for wire in [*made.values(), *taps.values()]}.values())
    wires += [wire for part in parts if isinstance(part, Core) for wire in part.streams]
    wires += [wire for part in parts if isinstance(part, Fork) for wire in part.outs]
    cycle = quiet = 0
    while len(sink.edges) < frames * network.beats(network.output):
        before = None
        while before != (state := [(wire.valid, wire.ready) for wire in wires]):
            before = state
            for part in parts:
                part.settle(cycle)
        quiet = 0 if any(wire.moves for wire in wires) else quiet + 1
        if quiet > patience:
            return None
        for part in parts:
            part.clock(cycle)
        cycle += 1
    return np.array(source.edges).reshape(frames, -1), np.array(sink.edges).reshape(frames, -1)
