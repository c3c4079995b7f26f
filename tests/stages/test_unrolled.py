"""Whole feature maps in a region: the meaning of the graph, through the datapath and in simulation."""

import numpy as np
import pytest

from rtl4ml.operators import Concat, Conv, Gather, Pool, Requantize, Top, Window
from rtl4ml.stages.region import RegionStage
from tests.stages.maps import check, codes_of, feature_map, graph_of, requantize


def conv(window, channels, outputs, *, groups=1, seed=0, sparse=0.3):
    generator = np.random.default_rng(seed)
    weights = generator.integers(-4, 4, (*window.kernel, channels // groups, outputs))
    weights[generator.random(weights.shape) < sparse] = 0
    bias = generator.integers(-9, 10, outputs)
    shape = (window.out_height, window.out_width, outputs)
    return Conv("conv", ("x",), "a", window, weights, bias, np.array(0.5), groups, shape)


def region(graph, forms=None):
    return RegionStage(graph, [o.name for o in graph.operators], 200, forms or {}, True)


def same(graph, stage, frames=20):
    codes = codes_of(graph.input_tensor, frames, 1)
    assert np.array_equal(stage.evaluate(codes), graph.evaluate(codes)[graph.output])


CONVOLUTIONS = {
    "plain": (Window(4, 5, (3, 3)), 2, 3, 1),
    "padded": (Window(3, 4, (3, 2), pads=(1, 1, 1, 0)), 2, 3, 1),
    "strided": (Window(5, 4, (2, 2), stride=(2, 1), pads=(0, 1, 1, 1)), 1, 2, 1),
    "dilated": (Window(5, 5, (2, 2), dilation=(3, 2), pads=(1, 0, 0, 1)), 2, 2, 1),
    "grouped": (Window(3, 3, (2, 2), pads=(1, 1, 0, 0)), 4, 6, 2),
    "depthwise": (Window(3, 3, (3, 3), pads=(1, 1, 1, 1)), 3, 3, 3),
    "pointwise": (Window(4, 1, (1, 1)), 3, 2, 1),
}


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions(case, seed):
    """Padding is the zero point, which may differ between channels."""
    window, channels, outputs, groups = CONVOLUTIONS[case]
    x = feature_map((window.in_height, window.in_width, channels), zero=3, seed=seed)
    graph = graph_of(x, conv(window, channels, outputs, groups=groups))
    stage = region(graph)
    assert stage.multipliers == 0
    same(graph, stage)


def test_convolution_in_simulation():
    x = feature_map((3, 3, 2), bits=3, zero=1)
    layer = conv(Window(3, 3, (2, 2), pads=(0, 0, 1, 1)), 2, 2)
    step, form = requantize(layer.infer((x,)), "q", "y")
    graph = graph_of(x, layer, step)
    check(graph, region(graph, {"q": form}))


def test_a_kernel_of_zeros():
    x = feature_map((3, 3, 2), zero=2)
    same(graph := graph_of(x, conv(Window(3, 3, (2, 2)), 2, 2, sparse=1.1)), region(graph))


POOLS = [
    Window(4, 4, (2, 2), stride=(2, 2)),
    Window(3, 5, (3, 3), pads=(1, 1, 1, 1)),
    Window(5, 4, (2, 2), dilation=(2, 3), pads=(1, 0, 0, 2)),
    Window.whole(3, 3),
]


@pytest.mark.parametrize("seed", [None, 5])
@pytest.mark.parametrize("window", POOLS)
def test_pools(window, seed):
    x = feature_map((window.in_height, window.in_width, 3), seed=seed)
    pool = Pool("pool", ("x",), "y", window, (window.out_height, window.out_width, 3))
    same(graph := graph_of(x, pool), region(graph))


def test_pool_in_simulation():
    pool = Pool("pool", ("x",), "y", Window(3, 3, (2, 2), pads=(1, 0, 0, 1)), (3, 3, 2))
    check(graph := graph_of(feature_map((3, 3, 2), seed=1), pool), region(graph))


def test_gather_with_padding():
    """The constant is a code that the input does not reach."""
    indices = np.array([3, -1, 0, 0, -1, 2])
    gather = Gather("move", ("x",), "y", indices, (3, 2), fill=-8)
    check(graph := graph_of(feature_map((2, 2), seed=0), gather), region(graph))


def test_concat_of_blocks():
    x = feature_map((3, 2), seed=2)
    part = Gather("part", ("x",), "b", np.array([1, 3, 5]), (3, 1))
    join = Concat("join", ("x", "b", "x"), "y", (3, 5), blocks=3)
    check(graph := graph_of(x, part, join), region(graph))


@pytest.mark.parametrize("count", [1, 2])
def test_top_of_blocks(count):
    top = Top("top", ("x",), "y", np.array([1, 2, 3]), np.array([4, 0, -5]), count, (4, count), blocks=4)
    check(graph := graph_of(feature_map((4, 3), seed=2), top), region(graph))


def test_staircases_of_channels():
    x = feature_map((2, 3, 2))
    step, form = requantize(x, "q", "y", kind="affine", bits=3)
    assert isinstance(step, Requantize)
    same(graph := graph_of(x, step), region(graph, {"q": form}))
