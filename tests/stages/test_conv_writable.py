"""Weights of convolutions that are loaded at run time hold from a frame on."""

from dataclasses import replace

import numpy as np
import pytest

from rtl4ml.operators import Conv
from rtl4ml.operators.window import Window
from rtl4ml.planning.schedule import simulate
from rtl4ml.stages.conv import ConvStage
from rtl4ml.stages.conv_tile import ConvTile
from tests.hdl.bench import never, randomly
from tests.stages.convolutions import conv_of
from tests.stages.loadable import run
from tests.stages.maps import codes_of, feature_map, graph_of, requantize

CASES = [
    # window, groups, tile of the first layer; tile of the second
    (Window(4, 3, (3, 3), pads=(1, 1, 1, 1)), 1, ConvTile(2, 2, (1, 3), 1, 1), ConvTile(3, 1, (1, 1), 1, 1)),
    (
        Window(4, 3, (2, 2), stride=(1, 2), pads=(1, 1, 0, 0)),
        2,
        ConvTile(4, 2, (2, 1), 2, 2),
        ConvTile(2, 2, (1, 1), 1, 1),
    ),
    (Window(5, 1, (3, 1)), 2, ConvTile(1, 1, (3, 1), 1, 1), ConvTile(1, 2, (1, 1), 1, 1)),
]


def layers(window, groups, weights=None, kind="shift"):
    """Two convolutions with staircases, the second of single pixels."""
    image = feature_map((window.in_height, window.in_width, 2), zero=1)
    first = conv_of(window, 2, 4, groups=groups, limits=True, weights=weights, name="first")
    q0, form0 = requantize(first.infer((image,)), "q0", "y0", kind=kind)
    middle = q0.infer((first.infer((image,)),))
    point = Window(window.out_height, window.out_width, (1, 1))
    second = conv_of(point, 4, 3, seed=1, limits=True, weights=weights, name="second", source="y0")
    q1, form1 = requantize(second.infer((middle,)), "q1", "y1", kind=kind)
    return graph_of(image, first, q0, second, q1), [form0, form1]


def stages_of(graph, forms, tiles, lanes):
    stages, address = [], 0
    for name, follower, tile, form in zip(("first", "second"), ("q0", "q1"), tiles, forms, strict=True):
        stages.append(ConvStage(graph, name, follower, tile, lanes, 200, form, address))
        lanes = stages[-1].lanes_out
        address = stages[-1].tables[1].base + stages[-1].tables[1].size
    for stage in stages:
        stage.address_bits = stages[-1].address_bits
    return stages


def changed(graph, seed):
    """The graph with other weights and biases, any that its layers may have."""
    generator = np.random.default_rng(seed)
    operators = []
    for operator in graph.operators:
        if isinstance(operator, Conv):
            limits = operator.limits
            weights = generator.choice(limits.values, operator.weights.shape)
            bias = generator.integers(limits.bias_low, limits.bias_high + 1, operator.bias.shape)
            operator = replace(operator, weights=weights, bias=bias)
        operators.append(operator)
    return replace(graph, operators=tuple(operators))


def writes_for(graph, stages):
    convs = [operator for operator in graph.operators if isinstance(operator, Conv)]
    parts = [
        stage.load(conv.weights, conv.effective_bias(graph.tensors[conv.inputs[0]]))
        for stage, conv in zip(stages, convs, strict=True)
    ]
    return np.concatenate(parts)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("weights", [None, [-1, 0, 1]])
@pytest.mark.parametrize("stalls", [False, True])
def test_loads_hold_from_a_frame_on(case, weights, stalls):
    window, groups, *tiles = case
    graph, forms = layers(window, groups, weights, "shift" if weights is None else "thresholds")
    stages = stages_of(graph, forms, tiles, 2)
    versions = [graph, changed(graph, 4), changed(graph, 5)]
    size = len(writes_for(graph, stages))
    loads = [(20 + 2 * size * index, writes_for(version, stages)) for index, version in enumerate(versions[1:])]
    frames = 2 + (100 + 6 * size) // max(stage.timing.issues for stage in stages)
    codes = codes_of(graph.input_tensor, frames, 3)
    pace = dict(source=randomly(1, 0.4), sink=randomly(2, 0.5)) if stalls else dict(source=never, sink=never)
    got, accepted, handed, begun = run(stages, codes, loads, **pace)
    assert len(begun) == 2
    assert 0 < begun[0] < begun[1] < frames
    bounds = [0, *begun, frames]
    for version, first, last in zip(versions, bounds, bounds[1:], strict=False):
        expected = version.evaluate(codes[first:last])[graph.output]
        assert np.array_equal(got[first:last], expected), (first, last)
    if not stalls:
        timeline = simulate(stages, frames)
        assert np.array_equal(accepted, timeline.accepted)
        assert np.array_equal(handed, timeline.handed_over)


def test_columns_of_groups_side_by_side_hold_no_zeros():
    window = Window(4, 3, (2, 2), pads=(1, 1, 0, 0))
    graph, forms = layers(window, 2)
    (stage, _) = stages_of(graph, forms, [ConvTile(4, 2, (2, 1), 2, 2), ConvTile(1, 1, (1, 1), 1, 1)], 2)
    assert stage.tables[0].columns == stage.tile.products == 8
    assert stage.memory_bits["weights"] == 2 * 2 * 8 * stage.tables[0].shape.width
