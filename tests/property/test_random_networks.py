"""Random networks against the strict judge and, a few, through their Verilog; `long_run.py` does it by the thousand."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.property.choices import Drawn
from tests.property.networks import FOCUSES, network, numbered
from tests.property.outcome import Outcome, run

NETWORKS = 60

FEW = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    # What fails is made smaller; what is slow to draw is not reported: files are large.
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


def held(found: Outcome, what: str) -> None:
    assert found.status in ("equal", "refused"), f"{what}: {found.status}: {found.message}"


@FEW
@given(st.data())
def test_small_networks(data: st.DataObject) -> None:
    """By hypothesis, which shrinks a network that fails to a small one."""
    made = network(Drawn(data), wide=False)
    held(run(made, samples=40), str(sorted(made.features)))


@pytest.mark.parametrize("part", range(4))
def test_numbered_networks(part: int) -> None:
    """Every focus has its turn in the first numbers: here every fourth of some; a third have 32 neurons or more."""
    for number in range(part, NETWORKS, 4):
        held(run(numbered(number * 7), number, samples=40), f"network {number * 7}")


@pytest.mark.rtl
@pytest.mark.parametrize("number", [105, 400, 526])
def test_verilog(number: int) -> None:
    """Codes and cycles of the Verilog: integer products; branches and a reduction; TopK in a free-running pipeline."""
    found = run(numbered(number), number, rtl=True)
    assert found.status == "equal", found.message


def test_same_numbers_same_networks() -> None:
    for number in (0, 17, len(FOCUSES)):
        assert numbered(number).model.SerializeToString() == numbered(number).model.SerializeToString()


def test_every_focus_is_reached() -> None:
    """What a network is asked for it mostly has, or the words that lead there have gone."""
    missed = []
    for at, name in enumerate(FOCUSES):
        features = frozenset().union(*(numbered(at + turn * len(FOCUSES)).features for turn in range(3)))
        feature = name.removeprefix("qdq ").removeprefix("layout ")
        if not {feature, f"{feature} of codes"} & features:
            missed.append(name)
    assert missed == []
