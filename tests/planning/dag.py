"""Networks of stages in Amaranth's simulator."""

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl4ml.hdl.fifo import Fifo, beat_signature
from rtl4ml.hdl.fork import Fork
from rtl4ml.planning.network import Branch
from rtl4ml.stages.base import input_name
from tests.hdl.bench import never, pack, transfers, unpack


class Wired(wiring.Component):
    """The hardware of a network, as the core wires it."""

    def __init__(self, network):
        self.network = network
        consumer = network.consumers(network.input)[0]
        stage = network.stages[consumer.stage].stage
        self.first = ((stage.in_shape, *stage.other_shapes)[consumer.side], stage.timing.sides[consumer.side].lanes_in)
        last = next(placed.stage for placed in network.stages if placed.output == network.output)
        self.last = (last.out_shape, last.lanes_out)
        self.n_in, self.n_out = stage.timing.sides[consumer.side].n, last.n_out
        super().__init__({"i": In(beat_signature(*self.first)), "o": Out(beat_signature(*self.last))})

    def elaborate(self, platform):
        m = Module()
        network = self.network
        components = [placed.stage.component() for placed in network.stages]
        sources = {network.input: (wiring.flipped(self.i), *self.first)}
        for index, (placed, component) in enumerate(zip(network.stages, components, strict=True)):
            m.submodules[f"stage{index}"] = component
            sources[placed.output] = (component.o, placed.stage.out_shape, placed.stage.lanes_out)
        for number, (tensor, (stream, *kind)) in enumerate(sources.items()):
            consumers = network.consumers(tensor)
            streams = [stream]
            if len(consumers) > 1:
                m.submodules[f"fork{number}"] = fork = Fork(*kind, len(consumers))
                wiring.connect(m, stream, fork.i)
                streams = [getattr(fork, f"o{k}") for k in range(len(consumers))]
            for k, (branch, stream) in enumerate(zip(consumers, streams, strict=True)):
                depth = network.fifos.get(branch, 0)
                if depth:
                    m.submodules[f"fifo{number}_{k}"] = fifo = Fifo(*kind, depth)
                    wiring.connect(m, stream, fifo.i)
                    stream = fifo.o
                self._connect(m, stream, branch, components)
        return m

    def _connect(self, m, stream, branch: Branch, components):
        target = wiring.flipped(self.o)
        if branch.stage is not None:
            target = getattr(components[branch.stage], input_name(branch.side))
        wiring.connect(m, stream, target)


def run_network(network, codes, *, source=never, sink=never, cycles=30000):
    """Codes out (N, n_out), edges of beats in and of beats out, counted from the first accept."""
    hardware = Wired(network)
    (shape, lanes), (out_shape, out_lanes) = hardware.first, hardware.last
    frames = len(codes)
    padded = np.pad(codes, ((0, 0), (0, -hardware.n_in % lanes))).reshape(-1, lanes)
    beats = [pack(row, shape.width) for row in padded]
    count = frames * network.beats(network.output)
    accepted, words, handed = transfers(hardware, beats, count, source=source, sink=sink, cycles=cycles)
    out = np.array([unpack(w, out_shape.width, out_shape.signed, out_lanes) for w in words]).reshape(frames, -1)
    edges = (np.array(e).reshape(frames, -1) - accepted[0] for e in (accepted, handed))
    return out[:, : hardware.n_out], *edges
