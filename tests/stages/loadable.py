"""A chain of layers whose weights can be loaded, with the port that loads them, in Amaranth's simulator."""

from dataclasses import replace

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from rtl4ml.hdl.fifo import beat_signature
from rtl4ml.hdl.weight_control import WeightControl
from rtl4ml.operators import Dense, WeightLimits
from rtl4ml.planning.forms import choose
from rtl4ml.stages.dense import DenseStage
from tests.hdl.bench import pack, unpack


def with_limits(graph, kinds, seed, requantizer):
    """The graph with layers that may change, and staircases on what they then reach."""
    generator = np.random.default_rng(seed)
    operators, tensors = [], {graph.input: graph.input_tensor}
    layers = 0
    for operator in graph.operators:
        if isinstance(operator, Dense):
            operator = replace(operator, limits=WeightLimits.of(operator.weights, operator.bias))
        else:
            tensor = tensors[operator.inputs[0]]
            target = operator.format
            staircase, _ = requantizer(generator, kinds[layers], tensor.low, tensor.high, target.low, target.high)
            operator = replace(operator, staircase=staircase)
            layers += 1
        operators.append(operator)
        tensors[operator.output] = operator.infer((tensors[operator.inputs[0]],))
    return replace(graph, operators=tuple(operators), tensors=tensors)


def stages_of(graph, tiles, lanes, clock=200):
    """A stage for each Dense and the Requantize behind it, tables one after the other."""
    stages, first = [], 0
    operators = list(graph.operators)
    for index, operator in enumerate(operators):
        if not isinstance(operator, Dense):
            continue
        follower = operators[index + 1] if index + 1 < len(operators) else None
        form = None if follower is None else choose(follower.staircase, multiplexed=True)
        name = None if follower is None else follower.name
        tile = tiles[len(stages)]
        stages.append(DenseStage(graph, operator.name, name, tile, lanes, clock, form, first))
        lanes, last = tile[0], stages[-1].tables[1]
        first = last.base + last.size
    for stage in stages:
        stage.address_bits = stages[-1].address_bits
    return stages


class LoadableChain(wiring.Component):
    def __init__(self, stages):
        self._stages = stages
        first, last = stages[0], stages[-1]
        self.control = WeightControl(first.address_bits, first.timing.beats_in, len(stages))
        super().__init__(
            {
                "i": In(beat_signature(first.in_shape, first.lanes_in)),
                "o": Out(beat_signature(last.out_shape, last.lanes_out)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.control = control = self.control
        stream = wiring.flipped(self.i)
        m.d.comb += control.accepted.eq(self.i.valid & self.i.ready)
        for index, stage in enumerate(self._stages):
            m.submodules[f"stage{index}"] = part = stage.component()
            wiring.connect(m, stream, part.i)
            stream = part.o
            for name in ("address", "data", "write", "switch", "pending"):
                m.d.comb += getattr(part, f"w_{name}").eq(getattr(control, name))
            m.d.comb += control.swapped[index].eq(part.w_swapped)
        wiring.connect(m, stream, wiring.flipped(self.o))
        return m


def run(stages, codes, loads, *, source, sink, cycles=20000):
    """Send frames while loads (edge to begin at, writes) come one after the other.

    Returns codes out (N, n_out), edges of beats in and out as in chain.run, and for each load the frames that were
    begun when it was committed.
    """
    first, last = stages[0], stages[-1]
    chain = LoadableChain(stages)
    control = chain.control
    padded = np.pad(codes, ((0, 0), (0, -first.n_in % first.lanes_in))).reshape(-1, first.lanes_in)
    beats = [pack(lanes, first.in_shape.width) for lanes in padded]
    count = len(codes) * last.timing.beats_out
    accepted, words, handed, begun = [], [], [], []

    async def stream(ctx):
        index, valid = 0, False
        for edge in range(cycles):
            valid = index < len(beats) and (valid or not source(index))
            ready = not sink(len(words))
            ctx.set(chain.i.valid, valid)
            ctx.set(chain.i.payload.as_value(), beats[index] if valid else 0)
            ctx.set(chain.o.ready, ready)
            if ready and ctx.get(chain.o.valid):
                words.append(ctx.get(chain.o.payload.as_value()))
                handed.append(edge)
            if valid and ctx.get(chain.i.ready):
                accepted.append(edge)
                index, valid = index + 1, False
            if len(words) == count:
                return
            await ctx.tick()
        raise AssertionError(f"{len(words)} of {count} beats came")

    async def port(ctx):
        edge = 0
        for start, writes in loads:
            while edge < start:
                await ctx.tick()
                edge += 1
            for address, data in [*writes.tolist(), (0, None)]:
                ctx.set(control.w_valid, 1)
                ctx.set(control.w_commit, data is None)
                ctx.set(control.w_addr, address)
                ctx.set(control.w_data, data or 0)
                while True:
                    taken = ctx.get(control.w_ready)
                    now = edge
                    await ctx.tick()
                    edge += 1
                    if taken:
                        break
            ctx.set(control.w_valid, 0)
            begun.append(now)

    simulator = Simulator(chain)
    simulator.add_clock(1e-6)
    simulator.add_testbench(stream)
    simulator.add_testbench(port, background=True)
    simulator.run()
    shape = last.out_shape
    out = np.array([unpack(word, shape.width, shape.signed, last.lanes_out) for word in words])
    firsts = accepted[:: first.timing.beats_in]
    frames = [sum(edge <= now for edge in firsts) for now in begun]
    edges = np.array(accepted) - accepted[0], np.array(handed) - accepted[0]
    return (
        out.reshape(len(codes), -1)[:, : last.n_out],
        edges[0].reshape(len(codes), -1),
        edges[1].reshape(len(codes), -1),
        frames,
    )
