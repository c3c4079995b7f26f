import pytest

from rtl4ml.errors import ConfigurationError, ToolError
from rtl4ml.synthesis import measure as measuring
from rtl4ml.synthesis.measure import Block, measure, synthesize_design
from rtl4ml.synthesis.nextpnr import Placement
from rtl4ml.synthesis.yosys import Mapped, Resources

CELLS = Resources(lut=1, lut_memory=0, ff=2, dsp=0, bram=0, carry=0, other={"INV": 3})
FILES = {"net.v": "wrapper", "net_core.v": "core", "net_s0_fc0.v": "first", "net_s1_fc1.v": "second"}


@pytest.fixture
def asked(monkeypatch):
    """What the tools were asked for; their answers are made up."""
    calls = []

    def mapped(files, top, target):
        calls.append(("map", top, tuple(files)))
        return Mapped(CELLS, f"netlist of {top}")

    def placed(netlist, top, target, clock, clock_mhz, seed):
        calls.append(("place", top, netlist, clock, clock_mhz, seed))
        return Placement({1: 100.0, 2: 130.0, 3: None}[seed], seed, {}, ())

    monkeypatch.setattr(measuring, "map_cells", mapped)
    monkeypatch.setattr(measuring, "place", placed)
    monkeypatch.setattr(measuring, "tool_versions", lambda target: {"yosys": "1"})
    return calls


def test_the_whole_and_every_module(asked):
    seen = []
    found = synthesize_design(FILES, "net", "aclk", "ecp5-25f", 150.0, seeds=3, progress=lambda *a: seen.append(a[1:]))
    assert [stage.name for stage in found.stages] == ["s0_fc0", "s1_fc1"]
    assert (found.resources, found.fmax_mhz, found.target, found.tools) == (CELLS, 130.0, "ecp5-25f", {"yosys": "1"})
    assert ("map", "net", tuple(FILES)) in asked
    assert ("map", "net_s0_fc0", ("net_s0_fc0.v",)) in asked
    assert ("place", "net", "netlist of net", "aclk", 150.0, 2) in asked
    assert ("place", "net_s1_fc1", "netlist of net_s1_fc1", "clk", 150.0, 3) in asked
    assert seen == [(k, 12) for k in range(1, 13)]
    described = found.describe()
    assert described["whole"]["fmax_mhz_by_seed"] == {"1": 100.0, "2": 130.0, "3": None}
    assert (described["whole"]["lut"], described["stages"][1]["name"]) == (1, "s1_fc1")


def test_the_whole_alone(asked):
    found = synthesize_design(FILES, "net", "aclk", "ecp5-25f", 150.0, stages=False)
    assert (found.stages, len(asked)) == ((), 2)


def test_a_family_has_no_clock(asked):
    found = synthesize_design(FILES, "net", "aclk", "xcup", 150.0, stages=False)
    assert (found.fmax_mhz, found.whole.placement, len(asked)) == (None, None, 1)
    assert found.describe()["whole"]["placement"] is None


def test_what_fails_is_raised(asked, monkeypatch):
    def fails(*arguments):
        raise ToolError("it must not fail")

    monkeypatch.setattr(measuring, "place", fails)
    with pytest.raises(ToolError, match=r"^it must not fail$"):
        measure([Block("a", "a", {}, "clk")], "ice40-up5k", 100.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "gowin"}, "Target must be one of .*, not 'gowin'"),
        ({"seeds": 0}, "seeds must be an integer of at least 1, not 0"),
        ({"jobs": 1.5}, "jobs must be an integer of at least 1, not 1.5"),
    ],
)
def test_meaningless_options(asked, options, message):
    with pytest.raises(ConfigurationError, match=rf"^{message}$"):
        measure([], **({"target": "xcup", "clock_mhz": 100.0} | options))
    assert asked == []
