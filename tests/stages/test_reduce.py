"""Sums and maxima over whole images while they come in."""

import re

import numpy as np
import pytest

from rtl4ml.errors import ConfigurationError
from rtl4ml.operators import Conv, Pool, Window
from rtl4ml.planning.schedule import summarise
from rtl4ml.stages.reduce import ReduceStage, reduction_of
from tests.stages.maps import check, feature_map, graph_of, multipliers_in_verilog, requantize


def total(height, width, channels, *, factors=1, bias=0, pads=(0, 0, 0, 0)):
    window = Window(height, width, (height + pads[0] + pads[2], width + pads[1] + pads[3]), pads=pads)
    weights = np.broadcast_to(np.asarray(factors), (*window.kernel, 1, channels)).astype(np.int64)
    bias = np.broadcast_to(np.asarray(bias), (channels,)).astype(np.int64)
    return Conv("sum", ("x",), "a", window, weights, bias, np.array(0.5), channels, (1, 1, channels))


def largest(height, width, channels):
    return Pool("max", ("x",), "a", Window.whole(height, width), (1, 1, channels))


def staged(x, node, kind=None, *, lanes, lanes_in=None, clock=200):
    if kind is None:
        return (graph := graph_of(x, node)), ReduceStage(graph, node.name, None, lanes, lanes_in or lanes, clock, None)
    step, form = requantize(node.infer((x,)), "q", "y", kind=kind)
    graph = graph_of(x, node, step)
    return graph, ReduceStage(graph, node.name, "q", lanes, lanes_in or lanes, clock, form)


@pytest.mark.parametrize("lanes", [1, 2, 3, 6])
@pytest.mark.parametrize("lanes_in", [None, 1, 4, 12])
def test_sums(lanes, lanes_in):
    graph, stage = staged(feature_map((2, 3, 6), seed=1), total(2, 3, 6), lanes=lanes, lanes_in=lanes_in)
    assert stage.multipliers == 0
    check(graph, stage)


@pytest.mark.parametrize("kind", [None, "shift", "affine", "thresholds"])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("lanes", [1, 4])
def test_finish(kind, signed, lanes):
    """Zero points, biases, staircases of channels; one word a pixel and several."""
    x = feature_map((2, 2, 4), signed=signed, zero=3)
    graph, stage = staged(x, total(2, 2, 4, bias=[5, 0, -3, 2]), kind, lanes=lanes, clock=400)
    assert stage.multipliers <= lanes
    check(graph, stage)


@pytest.mark.parametrize("kind", [None, "affine"])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_maxima(kind, signed, lanes):
    graph, stage = staged(feature_map((3, 2, 4), signed=signed, seed=3), largest(3, 2, 4), kind, lanes=lanes)
    check(graph, stage)


def test_other_factors_and_padding():
    """Factors that differ between channels take multipliers; padding adds nothing."""
    node = total(2, 2, 4, factors=[3, -2, 0, 5], pads=(1, 0, 0, 1))
    graph, stage = staged(feature_map((2, 2, 4), seed=2), node, lanes=2)
    assert stage.multipliers == multipliers_in_verilog(stage) == 2
    check(graph, stage)
    graph, stage = staged(feature_map((2, 2, 4), seed=2), total(2, 2, 4, factors=-3), lanes=2)
    assert stage.multipliers == 0
    check(graph, stage)


@pytest.mark.parametrize("channels", [1, 3])
def test_one_pixel(channels):
    graph, stage = staged(feature_map((1, 1, channels), seed=2), total(1, 1, channels), "shift", lanes=1)
    check(graph, stage, frames=6)


@pytest.mark.parametrize("lanes", [1, 2, 4])
@pytest.mark.parametrize("pixels", [1, 2, 5])
def test_a_word_a_cycle(lanes, pixels):
    _, stage = staged(feature_map((pixels, 1, 4)), total(pixels, 1, 4), "affine", lanes=lanes, clock=500)
    assert summarise([stage]).interval == pixels * 4 // lanes


@pytest.mark.parametrize("channels", [64, 65])
def test_totals_in_block_memory(channels):
    """A register behind the memory; a word is read two edges after the one before was, and written as late."""
    graph, stage = staged(feature_map((2, 1, channels)), total(2, 1, channels), lanes=1)
    assert stage.add_step == channels - 63
    check(graph, stage)


def test_memory():
    """A total for each channel, not a frame."""
    _, stage = staged(feature_map((8, 8, 4), bits=4), total(8, 8, 4), lanes=2)
    assert stage.memory_bits == {"totals": 4 * 10, "parameters": 0, "fifo": stage.timing.slots * 2 * 10}


def test_other_nodes():
    x = feature_map((2, 2, 2))
    window = Window(2, 2, (2, 2))
    uneven = Conv("c", ("x",), "y", window, np.arange(8).reshape(2, 2, 1, 2), np.zeros(2, int), np.array(1.0), 2, (2,))
    partial = Pool("p", ("x",), "y", Window(2, 2, (1, 2)), (2, 1, 2))
    assert reduction_of(uneven) is None
    assert reduction_of(partial) is None
    assert reduction_of(requantize(x, "q", "y")[0]) is None
    message = "Node 'p' must be a sum or a maximum over a whole image, not a Pool"
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        staged(x, partial, lanes=1)
    with pytest.raises(ConfigurationError, match=r"^Lanes of node 'max' must divide its 2 channels, not be 3$"):
        staged(x, largest(2, 2, 2), lanes=3)
