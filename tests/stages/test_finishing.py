"""Functions of channels that follow totals."""

import re

import numpy as np
import pytest

from rtl4ml.errors import ConfigurationError
from rtl4ml.stages.finishing import ChannelFunction, following_form
from tests.stages.maps import codes_of, feature_map, graph_of, requantize


@pytest.mark.parametrize("lanes", [1, 2, 3, 6])
@pytest.mark.parametrize("kind", ["shift", "affine", "thresholds"])
def test_staircases_of_channels(kind, lanes):
    """What differs between the words of a pixel comes from ROM; what does not is constant."""
    x = feature_map((5, 6), seed=1)
    step, form = requantize(x, "q", "y", kind=kind, bits=3)
    graph = graph_of(x, step)
    function = ChannelFunction(6, lanes)
    words = [function.datapath.input(f"t_{k}", *x.range) for k in range(lanes)]
    function.finish(graph, words, "x", step, form)
    function.close(200)
    codes = codes_of(x, 4, 1)
    pixels = codes.reshape(20, 6 // lanes, lanes)
    got = function.evaluate({f"t_{k}": pixels[:, :, k] for k in range(lanes)})
    assert np.array_equal(got.reshape(4, -1), graph.evaluate(codes)["y"])
    assert (function.table_bits == 0) == (lanes == 6 or kind == "shift")
    assert function.multipliers == (lanes if kind == "affine" and lanes < 6 else 0)


def test_numbers():
    """A number that is the same in all words is a constant."""
    function = ChannelFunction(4, 2)
    assert function.number("a", 0, np.array([5, 1, 5, 2])).low == 5
    word = function.number("b", 1, np.array([5, 1, 5, 2]))
    assert (word.low, word.high) == (1, 2)
    assert list(function.datapath.inputs) == ["b_1"]


def test_following_nodes():
    x = feature_map((2, 2))
    first, form = requantize(x, "q", "y")
    second, _ = requantize(first.infer((x,)), "r", "z")
    graph = graph_of(x, first, second)
    assert following_form(graph, "q", None, None) is None
    assert following_form(graph, "q", "r", form) is second
    with pytest.raises(ConfigurationError, match=r"^Node 'q' alone must read the output of node 'r'$"):
        following_form(graph, "r", "q", form)
    message = "Form and Requantize of node 'q' must be given together, not one of them"
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        following_form(graph, "q", "r", None)
