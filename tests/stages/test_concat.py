"""Streams that are joined block by block: order, beats, edges."""

import re

import numpy as np
import pytest

from rtl4ml.errors import ConfigurationError
from rtl4ml.operators import Concat, Gather
from rtl4ml.planning.network import Network, Placed
from rtl4ml.stages.blocks import BlocksStage
from rtl4ml.stages.concat import ConcatStage
from tests.stages.maps import check_network, codes_of, feature_map, graph_of


def joined(blocks, sizes, seed=0):
    """A Concat of choices of channels of one map, all of whose elements have another range."""
    generator = np.random.default_rng(seed)
    channels = max(sizes) + 1
    x = feature_map((blocks, channels), bits=4, seed=seed)
    parts = []
    for k, size in enumerate(sizes):
        chosen = np.sort(generator.permutation(channels)[:size])
        indices = (np.arange(blocks)[:, None] * channels + chosen).reshape(-1)
        parts.append(Gather(f"part{k}", ("x",), f"p{k}", indices, (blocks, size)))
    join = Concat("join", tuple(part.output for part in parts), "y", (blocks, sum(sizes)), blocks=blocks)
    return graph_of(x, *parts, join)


def network_of(graph, blocks, lanes, lanes_in=None):
    """Choices of channels from a fork, each through a FIFO of a frame, and the stage that joins them."""
    *parts, join = graph.operators
    made = [BlocksStage(graph, [part.name], blocks, 200, {}) for part in parts]
    stage = ConcatStage(graph, join.name, lanes, lanes_in or [part.lanes_out for part in made])
    placed = [Placed(s, ("x",), part.output) for s, part in zip(made, parts, strict=True)]
    network = Network((*placed, Placed(stage, join.inputs, "y")), "x", "y")
    return stage, network.with_fifos({branch: blocks for branch in network.branches})


CASES = {
    "one after the other": (3, (2, 4), 2),
    "single elements": (2, (2, 1, 3), 1),
    "blocks of one length": (4, (3, 3), 3),
    "a block a beat": (3, (2, 3), 5),
    "two blocks a beat": (4, (1, 2), 6),
    "all in a beat": (2, (2, 1), 6),
    "vectors": (1, (4, 2), 2),
    "vectors in a beat": (1, (4, 2, 1), 7),
}


@pytest.mark.parametrize("case", CASES)
def test_joined(case):
    blocks, sizes, lanes = CASES[case]
    graph = joined(blocks, sizes)
    stage, network = network_of(graph, blocks, lanes)
    assert (stage.lanes_out, stage.multipliers) == (lanes, 0)
    codes = codes_of(graph.input_tensor, 4, 1)
    values = graph.evaluate(codes, keep=["y", *graph.operators[-1].inputs])
    assert np.array_equal(stage.evaluate(*(values[name] for name in graph.operators[-1].inputs)), values["y"])
    check_network(network, codes, values["y"])


def test_full_rate():
    """A word a cycle, whichever stream it is of."""
    graph = joined(4, (3, 3))
    _, network = network_of(graph, 4, 3)
    handed = check_network(network, codes := codes_of(graph.input_tensor, 4, 1), graph.evaluate(codes)["y"])
    assert np.all(np.diff(handed[1:].reshape(-1)) == 1)


def test_one_tensor_twice():
    x = feature_map((3, 2))
    graph = graph_of(x, Concat("join", ("x", "x"), "y", (3, 4), blocks=3))
    codes = codes_of(x, 3, 1)
    for lanes in (2, 4):
        network = Network((Placed(ConcatStage(graph, "join", lanes, [1, 1]), ("x", "x"), "y"),), "x", "y")
        network = network.with_fifos({branch: 6 for branch in network.branches})
        check_network(network, codes, graph.evaluate(codes)["y"])


@pytest.mark.parametrize("lanes", [0, 4, 7, 15])
def test_lanes_that_fit_no_blocks(lanes):
    graph = joined(4, (2, 3))
    message = (
        "Lanes of node 'join' must divide blocks of [2, 3] elements, or be whole blocks of all of them of which 4 fill "
        f"whole beats, not {lanes}"
    )
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        ConcatStage(graph, "join", lanes, [2, 3])


def test_another_kind():
    with pytest.raises(ConfigurationError, match=r"^Node 'part0' must be a Concat, not a Gather$"):
        ConcatStage(joined(2, (1, 1)), "part0", 1, [1, 1])
