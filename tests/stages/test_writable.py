"""Weights that are loaded at run time hold from a frame on, for every layer, whatever stalls."""

from dataclasses import replace

import numpy as np
import pytest

from rtl4ml.operators import Dense
from rtl4ml.planning.schedule import simulate
from tests.hdl.bench import never, randomly
from tests.stages.loadable import run, stages_of, with_limits
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
