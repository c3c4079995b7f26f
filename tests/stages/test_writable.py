"""Weights that are loaded at run time hold from a frame on, for every layer, whatever stalls."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator

from rtl4ml.operators import Dense
from rtl4ml.planning.schedule import simulate
from tests.hdl.bench import never, pack, randomly, unpack
from tests.stages.loadable import LoadableChain, run, stages_of, with_limits
from tests.stages.networks import inputs, network, requantizer

CASES = [
    # sizes, tiles, lanes in, bits, weight bits, kinds
    ((7, 5, 3), [(2, 3), (1, 5)], 7, 4, 4, ["shift", "shift"]),
    ((7, 5, 3), [(5, 1), (3, 2)], 2, 4, 3, ["thresholds", "affine"]),
    ((6, 4, 5), [(4, 6), (2, 2)], 6, 3, 2, ["affine", "thresholds"]),
    ((6, 4, 5), [(2, 6), (5, 1)], 3, 1, 4, ["shift", "shift"]),
    ((3, 1, 4), [(1, 1), (1, 1)], 1, 5, 5, ["shift", "shift"]),
]


def changed(graph, seed):
    """The graph with other weights and biases, any that its layers may have."""
    generator = np.random.default_rng(seed)
    operators = []
    for operator in graph.operators:
        if isinstance(operator, Dense):
            limits = operator.limits
            weights = generator.choice(limits.values, operator.weights.shape)
            if seed % 2:
                weights = np.where(generator.random(weights.shape) < 0.5, limits.values[0], limits.values[-1])
            bias = generator.integers(limits.bias_low, limits.bias_high + 1, operator.bias.shape)
            operator = replace(operator, weights=weights, bias=bias)
        operators.append(operator)
    return replace(graph, operators=tuple(operators))


def writes_for(graph, stages):
    layers = [operator for operator in graph.operators if isinstance(operator, Dense)]
    parts = [
        stage.load(layer.weights, layer.effective_bias(graph.tensors[layer.inputs[0]]))
        for stage, layer in zip(stages, layers, strict=True)
    ]
    return np.concatenate(parts)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("stalls", [False, True])
def test_loads_hold_from_a_frame_on(case, stalls):
    sizes, tiles, lanes, bits, weight_bits, kinds = case
    graph, _ = network(sizes, 1, bits=bits, weight_bits=weight_bits, kinds=kinds, zero_point=1 if bits > 1 else 0)
    graph = with_limits(graph, kinds, 2, requantizer)
    stages = stages_of(graph, tiles, lanes)
    versions = [graph, changed(graph, 4), changed(graph, 5), changed(graph, 6)]
    size = len(writes_for(graph, stages))
    loads = [(20 + 2 * size * index, writes_for(version, stages)) for index, version in enumerate(versions[1:])]
    frames = (300 + 9 * size) // max(stage.timing.issues for stage in stages)
    codes = inputs(graph, frames, 3)
    pace = dict(source=randomly(1, 0.4), sink=randomly(2, 0.5)) if stalls else dict(source=never, sink=never)
    got, accepted, handed, begun = run(stages, codes, loads, **pace)
    assert len(begun) == 3
    assert 0 < begun[0] < begun[1] < begun[2] < frames
    bounds = [0, *begun, frames]
    for version, first, last in zip(versions, bounds, bounds[1:], strict=False):
        expected = version.evaluate(codes[first:last])[graph.output]
        assert np.array_equal(got[first:last], expected), (first, last)
    if not stalls:
        timeline = simulate(stages, frames)
        assert np.array_equal(accepted, timeline.accepted)
        assert np.array_equal(handed, timeline.handed_over)


@pytest.mark.parametrize("when", range(0, 60, 3))
def test_a_reset_keeps_the_weights_and_never_mixes_them(when):
    """A commit that it interrupts is done: afterwards all layers compute with the new weights."""
    graph, _ = network((7, 5, 3), 1, kinds=["shift", "shift"])
    graph = with_limits(graph, ["shift", "shift"], 2, requantizer)
    stages = stages_of(graph, [(2, 3), (1, 5)], 7)
    first, last = stages[0], stages[-1]
    # The second load writes what the banks do not hold yet: old contents would show.
    versions = [changed(graph, 4), changed(graph, 5)]
    codes = inputs(graph, 3, 3)
    beats = [pack(lanes, first.in_shape.width) for lanes in codes]
    chain = LoadableChain(stages)
    m = Module()
    m.domains.sync = domain = ClockDomain()
    m.submodules.chain = chain
    words = []

    async def load(ctx, version):
        control = chain.control
        for address, data in [*writes_for(version, stages).tolist(), (0, None)]:
            ctx.set(control.w_valid, 1)
            ctx.set(control.w_commit, data is None)
            ctx.set(control.w_addr, address)
            ctx.set(control.w_data, data or 0)
            while not ctx.get(control.w_ready):
                await ctx.tick()
            await ctx.tick()
        ctx.set(control.w_valid, 0)

    async def bench(ctx):
        ctx.set(chain.o.ready, 1)
        await load(ctx, versions[0])
        for _ in range(20):
            await ctx.tick()
        ctx.set(chain.i.valid, 1)
        ctx.set(chain.i.payload.as_value(), beats[0])
        await load(ctx, versions[1])
        for _ in range(when):
            await ctx.tick()
        ctx.set(chain.i.valid, 0)
        ctx.set(domain.rst, 1)
        for _ in range(2):
            await ctx.tick()
        ctx.set(domain.rst, 0)
        index = 0
        for _ in range(400):
            ctx.set(chain.i.valid, index < len(beats))
            ctx.set(chain.i.payload.as_value(), beats[min(index, len(beats) - 1)])
            index += ctx.get(chain.i.ready)
            if ctx.get(chain.o.valid):
                words.append(ctx.get(chain.o.payload.as_value()))
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    shape = last.out_shape
    got = np.array([unpack(word, shape.width, shape.signed, last.lanes_out) for word in words]).reshape(3, -1)
    assert np.array_equal(got[:, : last.n_out], versions[1].evaluate(codes)[graph.output])
