"""The Verilog of the wrapper templates: other tools read it without a word, and it is the same every time."""

import shutil
import subprocess

import pyosys.libyosys as yosys
import pytest

from rtl4ml.simulation.verilator import find_verilator
from tests.simulation.cores import render

# Nothing but the ports, so that every complaint is about the wrapper.
STREAM_CORE = """
/* verilator lint_off UNUSEDSIGNAL */
module demo_core (
    input wire clk, input wire rst,
    input wire i_valid, output wire i_ready, input wire [{i}:0] i_payload,
    output wire o_valid, input wire o_ready, output wire [{o}:0] o_payload
);
    assign i_ready = 1'b1;
    assign o_valid = 1'b0;
    assign o_payload = {width}'d0;
endmodule
"""
PIPELINE_CORE = """
/* verilator lint_off UNUSEDSIGNAL */
module demo_core (
    input wire clk, input wire rst, input wire i_valid, input wire [{i}:0] i_payload,
    output wire o_valid, output wire [{o}:0] o_payload, output wire error
);
    assign o_valid = 1'b0;
    assign o_payload = {width}'d0;
    assign error = 1'b0;
endmodule
"""
SHAPES = {
    # n_in, lanes_in, in_bits, in_signed, in_slot, n_out, lanes_out, out_bits, out_signed, out_slot
    "one_bit": (1, 1, 1, False, 8, 1, 1, 1, True, 8),
    "whole_tensors": (16, 16, 8, True, 8, 5, 5, 12, True, 16),
    "bytes": (784, 1, 8, False, 8, 10, 1, 16, True, 16),
    "two_beats": (7, 4, 3, True, 8, 4, 2, 9, False, 16),
    "fewer_beats_out": (9, 2, 4, False, 8, 3, 3, 40, False, 64),
    "fewer_beats_in": (4, 4, 33, True, 64, 9, 2, 64, True, 64),
}
NAMES = (
    "n_in",
    "lanes_in",
    "in_bits",
    "in_signed",
    "in_slot",
    "n_out",
    "lanes_out",
    "out_bits",
    "out_signed",
    "out_slot",
)


@pytest.fixture(params=[(template, shape) for template in ("axis", "pipeline") for shape in SHAPES], ids="-".join)
def files(request, tmp_path):
    template, shape = request.param
    variables = dict(zip(NAMES, SHAPES[shape], strict=True))
    text = render(f"{template}_wrapper.v.j2", name="demo", latency=5, interval=3, frames_in_flight=6, **variables)
    core = STREAM_CORE if template == "axis" else PIPELINE_CORE
    width = variables["lanes_out"] * variables["out_bits"]
    paths = [tmp_path / "demo.v", tmp_path / "demo_core.v"]
    paths[0].write_text(text)
    paths[1].write_text(core.format(i=variables["lanes_in"] * variables["in_bits"] - 1, o=width - 1, width=width))
    return paths


def test_tools_read_the_wrapper_without_a_word(files):
    tool = find_verilator()
    environment = {"VERILATOR_ROOT": str(tool.root)}
    lint = [tool.program, "--lint-only", "-Wall", "--quiet", "--top-module", "demo", *files]
    done = subprocess.run(lint, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")

    design = yosys.Design()
    yosys.run_pass(f"read_verilog {files[0]} {files[1]}", design)
    yosys.run_pass("hierarchy -check -top demo; proc; check -assert", design)

    if shutil.which("iverilog"):
        command = ["iverilog", "-g2001", "-Wall", "-Wno-timescale", "-o", files[0].with_suffix(".vvp"), *files]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_text_of_a_wrapper(files):
    lines = files[0].read_text().split("\n")
    assert lines[0].startswith("// demo: ")
    assert all(line == line.rstrip() for line in lines)
    assert max(map(len, lines)) <= 130
    assert lines[-2:] == ["endmodule", ""]
    # Plain identifiers, no constructs of SystemVerilog.
    assert not any(word in " ".join(lines).split() for word in ("logic", "always_ff", "always_comb", "\\"))


def test_ports_stand_in_a_stable_order():
    variables = dict(zip(NAMES, SHAPES["two_beats"], strict=True))
    text = render("axis_wrapper.v.j2", name="demo", latency=5, interval=3, frames_in_flight=6, **variables)
    header = text[text.index("module demo") : text.index(");", text.index("module demo"))]
    declared = [line.split("//")[0].strip().rstrip(",") for line in header.splitlines()]
    assert [line for line in declared if line.startswith(("input", "output"))] == [
        "input  wire aclk",
        "input  wire aresetn",
        "input  wire [31:0] s_axis_tdata",
        "input  wire s_axis_tvalid",
        "output wire s_axis_tready",
        "input  wire s_axis_tlast",
        "output wire [31:0] m_axis_tdata",
        "output wire m_axis_tvalid",
        "input  wire m_axis_tready",
        "output wire m_axis_tlast",
        "output wire m_axis_tuser",
        "output reg  error",
    ]
    attribute = 'X_INTERFACE_PARAMETER = "ASSOCIATED_BUSIF s_axis:m_axis, ASSOCIATED_RESET aresetn"'
    assert header.splitlines()[1].strip() == f"(* {attribute} *)"
