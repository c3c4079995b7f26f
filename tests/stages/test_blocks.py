"""Every block of a frame through one datapath."""

import re

import numpy as np
import pytest

from rtl4ml.errors import ConfigurationError
from rtl4ml.operators import Add, Concat, Conv, Gather, Multiply, Top, Window
from rtl4ml.stages.blocks import BlocksStage
from tests.stages.maps import check, feature_map, graph_of, multipliers_in_verilog, requantize


def built(graph, blocks, forms=None, **options):
    return BlocksStage(graph, [o.name for o in graph.operators], blocks, 200, forms or {}, **options)


@pytest.mark.parametrize("lanes_in", [1, 3, 4, 12])
@pytest.mark.parametrize("blocks", [2, 4])
def test_decisions_of_pixels(blocks, lanes_in):
    """One pixel a beat, or two."""
    top = Top("top", ("x",), "y", np.array([1, 2, 3]), np.array([4, 0, -5]), 2, (4, 2), blocks=4)
    stage = built(graph := graph_of(feature_map((4, 3), seed=2), top), blocks, lanes_in=[lanes_in])
    assert stage.lanes_out == 8 // blocks
    check(graph, stage)


@pytest.mark.parametrize("kind", ["shift", "affine", "thresholds"])
def test_staircases_of_channels(kind):
    x = feature_map((2, 3, 2), seed=1)
    step, form = requantize(x, "q", "y", kind=kind, bits=3)
    stage = built(graph := graph_of(x, step), 6, {"q": form})
    assert stage.lanes_out == 2
    check(graph, stage)


def test_choices_and_joins_of_channels():
    """Channels out of each pixel, a constant among them, beside all channels of it."""
    x = feature_map((3, 2), seed=4)
    move = Gather("move", ("x",), "g", np.array([1, -1, 3, -1, 5, -1]), (3, 2), fill=3)
    join = Concat("join", ("g", "x"), "y", (3, 4), blocks=3)
    check(graph := graph_of(x, move, join), built(graph, 3))


def test_sums_and_products():
    x = feature_map((4, 2), seed=4)
    factor = np.array([1, 3])
    add = Add("add", ("x", "x"), "a", factor, np.tile(factor, 2), np.array(1.0))
    product = Multiply("product", ("a", "x"), "y", np.array(1.0))
    stage = built(graph := graph_of(x, add, product), 4)
    assert stage.multipliers == multipliers_in_verilog(stage) == 2
    check(graph, stage)


def test_pointwise_convolution():
    weights = np.random.default_rng(0).integers(-4, 4, (1, 1, 3, 2))
    conv = Conv("conv", ("x",), "y", Window(2, 2, (1, 1)), weights, np.array([3, -2]), np.array(1.0), 1, (2, 2, 2))
    stage = built(graph := graph_of(feature_map((2, 2, 3), zero=1), conv), 4)
    assert stage.multipliers == 0
    check(graph, stage)


def refused(message, graph, blocks, forms=None):
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        built(graph, blocks, forms)


def test_blocks_that_differ():
    x = feature_map((4, 2))
    top = Top("top", ("x",), "y", np.array(1), np.array(0), 1, (1,))
    refused("Tensor 'x' of 8 elements must split into 3 blocks", graph_of(x, top), 3)
    refused("Node 'top' (Top) must make each of 4 blocks of one block, in the same way", graph_of(x, wide(top)), 4)
    move = Gather("move", ("x",), "y", np.arange(8)[::-1].copy(), (4, 2))
    refused("Node 'move' (Gather) must make each of 4 blocks of one block, in the same way", graph_of(x, move), 4)
    add = Add("add", ("x", "x"), "y", np.arange(1, 9), np.array(1), np.array(1.0))
    refused("Factors of node 'add' (Add) must be alike in all blocks of 2 elements", graph_of(x, add), 4)
    step, form = requantize(x, "q", "y", kind="affine")
    refused(
        "Functions of node 'q' (Requantize) must be alike in all blocks of 1 elements, not 2",
        graph_of(x, step),
        8,
        {"q": form},
    )


def wide(top):
    """As many results as blocks asked for, of other blocks."""
    return Top("top", ("x",), "y", top.factors, top.offsets, 4, (2, 4), blocks=2)
