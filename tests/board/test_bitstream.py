import importlib.util
from dataclasses import replace

import pytest

from rtl4ml.board import bitstream, top
from rtl4ml.board.description import find_board
from rtl4ml.board.yowasp import Outcome, run_tool
from rtl4ml.errors import ConfigurationError, ToolError
from rtl4ml.synthesis.yosys import Resources
from tests.board.networks import small

BLINKY = {
    "blinky.v": """
module blinky(input clk_pin, input reset_pin, input rx_pin, output tx_pin, output [WIDTH-1:0] led_pins, output X);
    reg [15:0] count;
    reg [7:0] memory [0:511];
    integer i;
    initial for (i = 0; i < 512; i = i + 1) memory[i] = i * 37;
    reg [7:0] word;
    always @(posedge clk_pin) begin
        count <= reset_pin ? 16'd0 : count + 16'd1;
        word <= memory[count[8:0]];
    end
    assign tx_pin = rx_pin ^ word[0];
    assign led_pins = word;
endmodule
"""
}


def blinky(board):
    leds = len(board.pins.leds)
    text = BLINKY["blinky.v"].replace("WIDTH-1", str(leds - 1))
    return {"blinky.v": text.replace(", output X", "" if not board.pins.constants else ", output wifi_gpio0")}


def needs(family):
    name = f"yowasp_nextpnr_{family}"
    return pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"{name} is not installed")


@pytest.mark.rtl
@pytest.mark.parametrize(
    ("name", "start"),
    [
        # What a part looks for in front of its configuration.
        pytest.param("icebreaker", bytes.fromhex("ff0000ff7eaa997e"), marks=needs("ice40")),
        pytest.param("ulx3s", bytes.fromhex("ffffbdb3"), marks=needs("ecp5")),
    ],
)
def test_bitstreams(name, start, tmp_path, monkeypatch):
    monkeypatch.setenv("RTL4ML_CACHE", str(tmp_path))
    board = find_board(name)
    steps = []
    built = bitstream.build(blinky(board), "blinky", board, progress=steps.append)
    assert start in built.bitstream[:200]
    assert steps == ["mapping to cells", "placing and routing", "writing the bitstream"]
    assert built.fmax_mhz > built.clock_mhz == board.clock_mhz
    ram = "ICESTORM_RAM" if name == "icebreaker" else "DP16KD"
    assert built.used[ram][0] == 1  # contents of a memory go into block memory
    assert built.describe()["bitstream_bytes"] == len(built.bitstream)
    steps.clear()
    assert bitstream.build(blinky(board), "blinky", board, progress=steps.append).bitstream == built.bitstream
    assert steps == ["mapping to cells"]  # the rest comes from the cache
    with pytest.raises(
        ConfigurationError, match=r"must reach the 900 MHz of .*, but its slowest path allows .* MHz: say"
    ):
        bitstream.build(blinky(board), "blinky", replace(board, clock_mhz=900.0))


@pytest.mark.rtl
@needs("ice40")
def test_a_whole_board_with_its_pll(tmp_path, monkeypatch):
    monkeypatch.setenv("RTL4ML_CACHE", str(tmp_path))
    board = find_board("icebreaker")
    built = bitstream.build(top.uart_files(small(clock_mhz=24.0, target=board.family), board), "net_board", board)
    assert built.used["ICESTORM_PLL"] == (1, 1)
    assert built.fmax_mhz > built.clock_mhz == 24.0


def test_pins():
    text, kind = bitstream.constraints(find_board("icebreaker"))
    assert kind == "pcf"
    assert "set_io clk_pin 35\n" in text
    assert "set_io -pullup yes reset_pin 10\n" in text
    assert "set_io led_pins[1] 11\n" in text
    text, kind = bitstream.constraints(find_board("ulx3s"))
    assert kind == "lpf"
    assert 'LOCATE COMP "wifi_gpio0" SITE "L2";' in text
    assert 'IOBUF PORT "reset_pin" IO_TYPE=LVCMOS33 PULLMODE=UP;' in text
    assert 'FREQUENCY PORT "clk_pin" 25 MHZ;' in text


def placed(monkeypatch, tmp_path, *errors):
    monkeypatch.setattr(bitstream, "run_tool", lambda *_: Outcome(1, errors, "the end"))
    resources = Resources(9000, 0, 100, 2, 3, 0, {})
    bitstream._place("package", "tool", [], tmp_path, find_board("icebreaker"), resources)


def test_a_design_that_is_too_large(monkeypatch, tmp_path):
    message = (
        r"Design must fit the part of iCEBreaker \(ice40-up5k\), but takes 9000 LUT, 100 flip-flops, 2 DSP, 3 RAM: say "
        r"a larger --reuse. nextpnr said: Unable to place cell 'x', no Bels remaining of type 'ICESTORM_LC'"
    )
    with pytest.raises(ConfigurationError, match=message):
        placed(monkeypatch, tmp_path, "Unable to place cell 'x', no Bels remaining of type 'ICESTORM_LC'")


def test_another_failure(monkeypatch, tmp_path):
    with pytest.raises(ToolError, match="must be placed and routed on ice40-up5k, but nextpnr stopped: it said oops"):
        placed(monkeypatch, tmp_path, "oops")


def test_a_missing_tool(tmp_path):
    with pytest.raises(ToolError, match="thing must be installed as no-such-package, but is not: pip install no-such-"):
        run_tool("no-such-package", "thing", [], tmp_path)
