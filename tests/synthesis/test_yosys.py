import pytest

import rtl4ml.yosys
from rtl4ml.errors import ConfigurationError, ToolError
from rtl4ml.synthesis import yosys
from rtl4ml.synthesis.targets import ADDERS_FILE, ADDERS_MAP, ADDERS_SCRIPT, TARGETS
from rtl4ml.synthesis.yosys import Resources, synthesize
from rtl4ml.yosys import YosysCrashError, run_yosys

# A multiplier with a register, an adder, a small memory read at once, a large one read with the clock.
MIXED = """
module mixed(
    input clk, input [7:0] a, input [7:0] b, input we, input [4:0] at, input [4:0] from, input [10:0] far,
    output reg [15:0] product, output [16:0] sum, output [7:0] small_out, output reg [15:0] large_out
);
    always @(posedge clk) product <= a * b;
    assign sum = product + {a, b};
    reg [7:0] small [0:31];
    always @(posedge clk) if (we) small[at] <= a;
    assign small_out = small[from];
    reg [15:0] large [0:2047];
    always @(posedge clk) begin
        if (we) large[{at, from}] <= {a, b};
        large_out <= large[far];
    end
endmodule
"""
GATE = "module gate(input a, input b, output y); assign y = a & b; endmodule\n"
FLIP_FLOP = "module held(input clk, input a, output reg y); always @(posedge clk) y <= a; endmodule\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RTL4ML_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_maps_a_gate_and_a_flip_flop(target):
    top = "module top(input c, input a, input b, output y); wire n; gate g(a, b, n); held h(c, n, y); endmodule\n"
    files = {"top.v": top, "gate.v": GATE, "held.v": FLIP_FLOP}
    found = synthesize(files, "top", target)
    assert (found.lut, found.ff) == (1, 1)
    assert found == Resources(lut=1, lut_memory=0, ff=1, dsp=0, bram=0, carry=0, other={})


def test_kinds_of_cells():
    found = synthesize({"mixed.v": MIXED}, "mixed")
    assert found.dsp == 1
    assert found.lut_memory == 8  # one RAM32M16
    assert found.bram == 2  # 32 Kibit
    assert found.carry == 5  # 17 bits in fours
    assert found.other == {}


SUM = """
module summed(input [7:0] a, input [7:0] b, input [7:0] c, input [7:0] d, output [9:0] y);
    wire [8:0] ab = a + b;
    wire [8:0] cd = c + d;
    assign y = ab - cd;
endmodule
"""


def test_additions_one_by_one():
    assert synthesize({"sum.v": SUM}, "summed", "ecp5").carry < 10
    found = synthesize({"sum.v": SUM}, "summed", "ecp5", explicit_adders=True)
    assert (found.lut, found.carry) == (0, 15)  # nine, nine and ten bits in twos


def test_additions_one_by_one_are_the_same_function(folder):
    (folder / "sum.v").write_text(SUM, encoding="utf-8")
    (folder / ADDERS_FILE).write_text(ADDERS_MAP, encoding="utf-8")
    run_yosys(
        [
            "read_verilog sum.v",
            *(command.format(top="summed") for command in ADDERS_SCRIPT),
            "select -assert-count 3 t:$alu",
            "rename summed mapped",
            "read_verilog sum.v",
            "miter -equiv -flatten -make_assert summed mapped miter",
            "sat -verify -prove-asserts miter",
        ],
        folder,
    )


@pytest.mark.rtl
@pytest.mark.parametrize("target", ["xcup", "ecp5"])
def test_multiplier_blocks_stay_with_additions_one_by_one(target):
    plain = synthesize({"mixed.v": MIXED}, "mixed", target)
    found = synthesize({"mixed.v": MIXED}, "mixed", target, explicit_adders=True)
    assert (found.dsp, found.bram, found.lut_memory) == (plain.dsp, plain.bram, plain.lut_memory)
    assert found.dsp == 1


def test_the_second_time_comes_from_the_cache(folder, monkeypatch):
    first = synthesize({"gate.v": GATE}, "gate", "ice40")
    monkeypatch.setattr(yosys, "run_yosys", None)
    assert synthesize({"gate.v": GATE}, "gate", "ice40") == first
    assert [path.name for path in folder.glob("synthesis/*/*")] == ["cells.json"]
    with pytest.raises(TypeError):
        synthesize({"gate.v": GATE.replace("&", "|")}, "gate", "ice40")


def test_cells_are_sorted_into_kinds():
    cells = {"$scopeinfo": 3, "INV": 2, "LUT1": 1, "LUT6": 2, "FDRE": 3, "FDSE": 4, "RAM32M": 1, "SRL16E": 2}
    found = Resources.of(cells | {"RAMB18E2": 1, "RAMB36E2": 1, "CARRY4": 5, "MUXF7": 6})
    assert found == Resources(lut=3, lut_memory=6, ff=7, dsp=0, bram=3, carry=5, other={"INV": 2, "MUXF7": 6})


def test_an_unknown_target_is_refused():
    with pytest.raises(ConfigurationError, match=r"^Target must be one of xcup, xc7, ecp5, .*, not 'gowin'$"):
        synthesize({"gate.v": GATE}, "gate", "gowin")


def test_what_yosys_refuses_is_an_error_and_not_kept(folder):
    with pytest.raises(ToolError, match=r"^Yosys must run to its end, not stop with status 1: .*missing"):
        synthesize({"gate.v": GATE}, "missing")
    assert list(folder.glob("synthesis/*")) == []


# Two registers behind a product of what comes from elsewhere.
DELAYED = """
module delayed(input clk, input signed [7:0] a, input signed [7:0] b, output reg signed [15:0] y);
    reg signed [15:0] product;
    always @(posedge clk) begin
        product <= a * b;
        y <= product;
    end
endmodule
"""


@pytest.mark.parametrize("target", ["ice40", "ice40-up5k"])
def test_a_product_that_waits(target):
    found = synthesize({"delayed.v": DELAYED}, "delayed", target)
    assert (found.lut, found.dsp) == (0, 1)
    assert found.ff in (0, 16)  # 0 where a Yosys takes both registers into the block


@pytest.mark.parametrize(("target", "runs"), [("ecp5", 1), ("ice40", 2)])
def test_a_crash_is_an_error_and_not_kept(folder, monkeypatch, target, runs):
    starts = folder / "starts"
    crash = f"import os, signal\nopen({str(starts)!r}, 'a').write('x')\nos.kill(os.getpid(), signal.SIGSEGV)\n"
    monkeypatch.setattr(rtl4ml.yosys, "_CHILD", crash)
    with pytest.raises(YosysCrashError, match=r"^Yosys must run to its end, not be ended by signal 11 \(SIGSEGV\); "):
        synthesize({"gate.v": GATE}, "gate", target)
    assert len(starts.read_text()) == runs
    assert list(folder.glob("synthesis/*")) == []
