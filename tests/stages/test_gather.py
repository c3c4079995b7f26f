"""Moves of elements: the codes of the graph, every edge where the schedule has it."""

import re

import numpy as np
import pytest

from rtl4ml.errors import ConfigurationError
from rtl4ml.operators import Gather, Top
from rtl4ml.planning.schedule import summarise
from rtl4ml.stages.gather import GatherStage
from rtl4ml.stages.walks import widest_word
from tests.stages.maps import check, feature_map, graph_of
from tests.stages.test_walks import CASES, X, depth_to_space, pad


def staged(array, shape, *, lanes=None, lanes_in=None, fill=-7, signed=True):
    x = feature_map(shape, seed=2, signed=signed)
    move = Gather("move", ("x",), "y", np.ascontiguousarray(array.reshape(-1)), array.shape, fill=fill)
    lanes = lanes or widest_word(move.indices, x.size)
    graph = graph_of(x, move)
    return graph, GatherStage(graph, "move", lanes, lanes_in or lanes)


@pytest.mark.parametrize("case", CASES)
def test_nests(case):
    """Words as wide as they can be."""
    array, shape = CASES[case]
    graph, stage = staged(array, shape)
    check(graph, stage, frames=4)


@pytest.mark.parametrize("lanes", [1, 2, 4])
@pytest.mark.parametrize("lanes_in", [1, 3, 8])
@pytest.mark.parametrize("case", ["padded", "transposed", "columns", "nearest twice"])
def test_lanes(case, lanes, lanes_in):
    array, shape = CASES[case]
    check(*staged(array, shape, lanes=lanes, lanes_in=lanes_in))


@pytest.mark.parametrize("seed", range(6))
def test_from_memory(seed):
    """An order without system, with words that are read twice or never, and padding."""
    generator = np.random.default_rng(seed)
    words = generator.integers(-1, 9, 11)
    words[generator.integers(11)] = generator.integers(9)
    array = np.where(words[:, None] < 0, -1, 2 * words[:, None] + np.arange(2))
    graph, stage = staged(array, (9, 2), lanes=2)
    assert stage.memory_bits["order"] >= 11 * 2
    check(graph, stage, frames=4)


def test_padding_beyond_the_codes():
    """A constant that the input's wires cannot carry."""
    array = pad(X[:2, :2], (1, 0), (0, 1), (0, 0))
    x = feature_map(X.shape, seed=2, signed=False)
    some = Gather("some", ("x",), "s", X.reshape(-1)[::-1].copy(), X.shape)
    move = Gather("move", ("s",), "y", array.reshape(-1), array.shape, fill=-9)
    graph = graph_of(x, some, move)
    assert graph.tensors["y"].range[0] == -9
    inner = graph_of(graph.tensors["s"], move, Top("top", ("y",), "t", np.array(1), np.array(0), 1, (1,)))
    stage = GatherStage(inner, "move", 4, 4)
    codes = np.random.default_rng(0).integers(x.lows[::-1], x.highs[::-1] + 1, (3, x.size))
    assert np.array_equal(stage.evaluate(codes), inner.evaluate(codes, keep=["y"])["y"])
    assert stage.held_shape.signed


def test_a_word_a_cycle_and_little_memory():
    """Padding costs its own words only; a band of rows is held, not the frame."""
    array = np.arange(64 * 8 * 2).reshape(64, 8, 2)
    _, stage = staged(pad(array, (1, 1), (1, 1), (0, 0)), array.shape, lanes=2)
    assert summarise([stage]).interval == 66 * 10
    assert stage.plan.held <= 32
    assert stage.memory_bits["line buffer"] == stage.plan.held * 2 * 4
    assert stage.memory_bits["order"] == 0
    _, stage = staged(array[:, 2:6], array.shape, lanes=2)
    assert summarise([stage]).interval == 64 * 8
    _, stage = staged(depth_to_space(np.arange(32 * 4 * 8).reshape(32, 4, 8), 2), (32, 4, 8), lanes=2)
    assert summarise([stage]).interval == 32 * 4 * 4
    assert stage.plan.held <= 64


def test_errors():
    x = feature_map((2, 2))
    top = Top("top", ("x",), "y", np.array(1), np.array(0), 1, (1,))
    with pytest.raises(ConfigurationError, match=r"^Node 'top' must be a Gather, not a Top$"):
        GatherStage(graph_of(x, top), "top", 1, 1)
    message = "Lanes of a move must divide its widest words of 4 elements, not be 3"
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        staged(X[:, 2:5], X.shape, lanes=3)
