from dataclasses import replace

import numpy as np
import pytest

import rtl4ml
from rtl4ml.errors import ConfigurationError
from rtl4ml.frontend.load import from_model
from rtl4ml.planning import fit as fitting
from rtl4ml.planning.estimates.model import estimate
from rtl4ml.planning.fit import ROOM, fit, fits, shares
from rtl4ml.planning.parts import PARTS
from rtl4ml.planning.settings import Settings, from_mapping
from tests.frontend.build import mlp
from tests.frontend.images import Images


@pytest.fixture(scope="module")
def graph():
    return from_model(mlp(np.random.default_rng(5), (24, 32, 10)).model(), "mlp")


@pytest.fixture
def small_part(monkeypatch):
    """A part that no unrolled network fits."""
    part = replace(PARTS["ecp5-25f"], dsp=12)
    monkeypatch.setitem(PARTS, "ecp5-25f", part)
    return part


def test_the_fastest_plan_that_fits(graph, small_part):
    found = fit(graph, Settings(clock_mhz=50), "ecp5-25f")
    assert found.part == small_part
    assert fits(found.chosen.estimate, small_part)
    assert not fits(found.faster.estimate, small_part)
    assert found.faster.plan.interval < found.chosen.plan.interval
    assert found.chosen.estimate.dsp <= 12 < found.faster.estimate.dsp
    assert found.chosen.plan.settings.fit == found.chosen.plan.settings.target == "ecp5-25f"
    assert found.chosen.plan.settings.interval is None


def test_the_fastest_there_is(graph):
    found = fit(graph, Settings(clock_mhz=50), "xcku15p")
    assert found.faster is None
    assert found.chosen.plan.interval == 1


def test_images(small_part):
    file = Images((2, 8, 8))
    y = file.relu(file.conv(file.start(), 6, 2, 3, 3, pads=[1, 1, 1, 1]))
    file.relu(file.conv(y, 6, 6, 3, 3))
    found = fit(from_model(file.model(), "cnn"), Settings(clock_mhz=50), "ecp5-25f")
    assert fits(found.chosen.estimate, small_part)
    assert found.faster is None or not fits(found.faster.estimate, small_part)


def test_nothing_fits(graph, monkeypatch):
    monkeypatch.setitem(PARTS, "ecp5-25f", replace(PARTS["ecp5-25f"], cells=100))
    with pytest.raises(ConfigurationError, match=r"^Network must fit ecp5-25f, but no folding does: .*CELLS of 100$"):
        fit(graph, Settings(), "ecp5-25f")


def test_shares(graph):
    found = rtl4ml.compile(graph, reuse=64, target="ecp5-25f").estimate()
    part = PARTS["ecp5-25f"]
    assert shares(found, part) == {kind: round(getattr(found, kind) / getattr(part, kind), 3) for kind in ROOM}


def test_from_python(graph, small_part):
    design = rtl4ml.compile(graph, fit="ecp5-25f", clock_mhz=50)
    auto = rtl4ml.compile(graph, reuse="auto", target="ecp5-25f", clock_mhz=50)
    assert design.plan.interval == auto.plan.interval == design.fitting.chosen.plan.interval
    assert design.estimate() == design.fitting.chosen.estimate == estimate(design.plan, "ecp5-25f")
    assert design.metadata()["estimate"] == design.estimate().describe()
    assert design.metadata()["fit"]["part"] == "ecp5-25f"


def test_parts_of_amd_are_planned_like_their_family():
    settings = Settings(fit="xc7z020", target="xc7z020")
    assert settings.timing_target == "xc7"
    assert settings.clock == Settings(target="xc7").clock


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"reuse": "auto"}, "target of reuse auto must be the part to be fitted to, one of .*, not None"),
        ({"reuse": "auto", "target": "ecp5"}, "target of reuse auto must be the part .*, not 'ecp5'"),
        ({"fit": "ecp5"}, "Part must be one of .*, not 'ecp5'"),
        ({"fit": "ecp5-25f", "reuse": 4}, "fit must stand without a goal and without a reuse .*, not with reuse 4"),
        ({"fit": "ecp5-25f", "interval": 4}, "fit must stand without a goal and .*, not with interval"),
        ({"fit": "ecp5-25f", "target": "ice40"}, "target beside fit ecp5-25f must be ecp5-25f, not ice40"),
    ],
)
def test_settings_without_meaning(values, expected):
    with pytest.raises(ConfigurationError, match=f"^{expected}$"):
        from_mapping(values)


def test_intervals_of_images_go_below_their_pixels():
    file = Images((2, 8, 8))
    file.relu(file.conv(file.start(), 6, 2, 3, 3, pads=[1, 1, 1, 1]))
    found = fitting._intervals(from_model(file.model(), "cnn"), Settings())
    assert min(found) < 64 < max(found)
    assert found == sorted(found)
