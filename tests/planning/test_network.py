import re

import pytest

from rtl4ml.errors import ConfigurationError
from rtl4ml.planning.network import Branch, Network, Placed
from rtl4ml.stages.region import RegionStage
from tests.stages.networks import network


def stage(layer, lanes=None):
    graph, forms = network((4, 3, 3), 1)
    return RegionStage(graph, [f"fc{layer}", f"q{layer}"], 200, forms, True, lanes)


def test_branches():
    placed = (Placed(stage(0), ("x",), "a"), Placed(stage(1), ("a",), "b"), Placed(stage(1), ("a",), "c"))
    wired = Network(placed, "x", "a")
    assert wired.consumers("a") == [Branch("a", 1, 0), Branch("a", 2, 0), Branch("a", None, 0)]
    assert wired.branches == wired.consumers("a")
    assert wired.tensors == ["x", "a", "b", "c"]
    assert (wired.beats("x"), wired.beats("a")) == (1, 1)


def refused(message, build):
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        build()


def test_errors():
    first = Placed(stage(0), ("x",), "a")
    refused(
        "Stage 'fc0' must read a tensor made before, not 'y'",
        lambda: Network((Placed(stage(0), ("y",), "a"),), "x", "a"),
    )
    refused(
        "Stage 'fc0' must have 1 tensors in, not 2", lambda: Network((Placed(stage(0), ("x", "x"), "a"),), "x", "a")
    )
    refused("Output of a network must be one of its tensors, not 'z'", lambda: Network((first,), "x", "z"))
    wrong = Placed(stage(1, 2), ("a",), "b")
    refused(
        "Stage 'fc1' must take 3 elements in beats of 3, not 3 in beats of 2", lambda: Network((first, wrong), "x", "b")
    )
    refused(
        "Tensor of a network must be on one of its streams, not 'z'", lambda: Network((first,), "x", "a").beats("z")
    )
