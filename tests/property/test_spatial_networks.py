"""Random networks of images and signals: files that the executors run, of all that was asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.property import networks
from tests.property.choices import Drawn
from tests.property.executed import executed
from tests.property.families import FAMILIES
from tests.property.outcome import run
from tests.property.spatial import FOCUSES, network, numbered
from tests.property.test_random_networks import FEW

NETWORKS = 160


@pytest.mark.parametrize("part", range(4))
def test_executors_run_them(part: int) -> None:
    """With finite results that, for most, are not the same whatever comes in."""
    constant = 0
    for number in range(part, NETWORKS, 4):
        made = numbered(number)
        outputs = executed(made, number, samples=3)
        assert np.all(np.isfinite(outputs)), number
        constant += bool(np.all(outputs == outputs[:1]))
    assert constant <= NETWORKS // 4 // 2


@FEW
@given(st.data())
def test_small_networks(data: st.DataObject) -> None:
    """By hypothesis, which shrinks a network that fails to a small one."""
    assert executed(network(Drawn(data)), samples=1).size


def test_same_numbers_same_networks() -> None:
    for number in (0, 17, len(FOCUSES)):
        assert numbered(number).model.SerializeToString() == numbered(number).model.SerializeToString()


def test_families_differ() -> None:
    assert {"mlp": networks.numbered, "spatial": numbered} == FAMILIES
    assert not any("Conv" in FAMILIES["mlp"](n).features for n in range(30))


def test_every_focus_is_reached() -> None:
    """What a network is asked for it mostly has, or the words that lead there have gone."""
    missed = []
    for at, name in enumerate(FOCUSES):
        features = frozenset().union(*(numbered(at + turn * len(FOCUSES)).features for turn in range(5)))
        feature = name.removeprefix("qdq ").removeprefix("image ")
        if not {feature, f"{feature} of codes", f"block {feature}"} & features:
            missed.append(name)
    assert missed == []


@pytest.mark.parametrize("number", [248, 1412, 1453])
def test_networks_that_a_long_run_found(number: int) -> None:
    """Layers with fewer products than pixels, in wide pixels; a power of a lone channel."""
    assert run(numbered(number), number, samples=40).status == "equal"


@pytest.mark.parametrize("part", range(4))
def test_numbered_networks_equal_the_strict_judge(part: int) -> None:
    """Some of those that the long run makes: equal in every code, or refused for a reason that is known."""
    for number in range(part, 48, 4):
        outcome = run(numbered(number), number, samples=25)
        assert outcome.status in ("equal", "refused"), (number, outcome)


@pytest.mark.rtl
@pytest.mark.parametrize("number", [8, 11])
def test_numbered_networks_in_verilog(number: int) -> None:
    assert run(numbered(number), number, samples=25, rtl=True).status == "equal"
