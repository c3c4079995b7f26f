import re
from pathlib import Path

import numpy as np
import pytest

from rtl4ml.errors import ConfigurationError, Rtl4mlError, ToolError
from rtl4ml.simulation.native import NativeSimulation

AXIS = ["single", "narrow", "huge", "total"]


def build(example):
    return NativeSimulation.build(example.name, example.verilog, example.ports)


def assert_timing(example, result, frames):
    """First beat at cycle 0, last beat of frame k exactly latency + k * interval cycles later."""
    assert result.accept_cycles[0] == 0
    ends = result.handover_cycles.reshape(frames, -1)[:, -1]
    np.testing.assert_array_equal(ends, example.latency + example.interval * np.arange(frames))
    assert result.cycles == ends[-1] + 1


@pytest.mark.parametrize("name", AXIS)
def test_codes_and_timing_of_a_stream(examples, name):
    example = examples[name]
    x = example.codes(200)
    result = build(example).run(x)
    np.testing.assert_array_equal(result.codes, example.evaluate(x))
    assert_timing(example, result, 200)
    assert result.accept_cycles.shape == (200 * example.ports.i.beats,)
    assert result.tlast_ok
    assert not result.tuser
    assert not result.error


@pytest.mark.parametrize("name", AXIS)
@pytest.mark.parametrize(("stall_in", "stall_out"), [(0.5, 0.0), (0.0, 0.6), (0.4, 0.4)])
def test_stalls_change_cycles_and_no_code(examples, name, stall_in, stall_out):
    example = examples[name]
    x = example.codes(300)
    simulation = build(example)
    result = simulation.run(x, stall_in, stall_out, seed=3)
    np.testing.assert_array_equal(result.codes, example.evaluate(x))
    assert result.tlast_ok
    assert not result.error
    assert result.cycles > 300 * example.interval + example.latency
    again = simulation.run(x, stall_in, stall_out, seed=3)
    np.testing.assert_array_equal(result.handover_cycles, again.handover_cycles)
    other = simulation.run(x, stall_in, stall_out, seed=4)
    assert not np.array_equal(result.handover_cycles, other.handover_cycles)


def test_free_running_pipeline(examples):
    example = examples["mirror"]
    x = example.codes(500)
    result = build(example).run(x)
    np.testing.assert_array_equal(result.codes, example.evaluate(x))
    assert_timing(example, result, 500)
    stalled = build(example).run(x, stall_in=0.5)
    np.testing.assert_array_equal(stalled.codes, example.evaluate(x))
    np.testing.assert_array_equal(stalled.handover_cycles, stalled.accept_cycles + example.latency)


def test_spacing_of_a_free_running_pipeline(examples):
    example = examples["slow_mirror"]
    x = example.codes(100)
    result = build(example).run(x, spacing=example.interval)
    np.testing.assert_array_equal(result.codes, example.evaluate(x))
    assert_timing(example, result, 100)
    assert not result.error


def test_inputs_that_come_too_early_are_missing_at_the_end(examples):
    example = examples["slow_mirror"]
    with pytest.raises(Rtl4mlError) as caught:
        build(example).run(example.codes(30), spacing=1, patience=100)
    assert str(caught.value) == (
        "a beat must move at least every 101 cycles, but none did after cycle 29: "
        "30 of 30 input beats were accepted and 10 of 30 output beats handed over"
    )


def test_spacing_empties_the_pipeline_between_frames(examples):
    example = examples["total"]
    result = build(example).run(example.codes(20), spacing=50)
    starts = result.accept_cycles.reshape(20, -1)[:, 0]
    ends = result.handover_cycles.reshape(20, -1)[:, -1]
    np.testing.assert_array_equal(starts, 50 * np.arange(20))
    np.testing.assert_array_equal(ends - starts, example.latency)


def test_no_frames(examples):
    result = build(examples["total"]).run(np.zeros((0, 13), np.int64))
    assert result.codes.shape == (0, 5)
    assert result.cycles == 0


def test_progress_ends_with_all_frames(examples):
    seen = []
    build(examples["single"]).run(
        examples["single"].codes(50), progress=lambda done, frames: seen.append((done, frames))
    )
    assert seen[-1] == (50, 50)


def test_what_progress_raises_stops_the_run(examples):
    def stop(done, frames):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(examples["single"]).run(examples["single"].codes(50), progress=stop)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"codes": np.zeros((3, 12), np.int64)}, "input codes must have the shape [frames, 13], not [3, 12]"),
        (
            {"codes": np.full((1, 13), 32)},
            "input codes must be in -32 .. 31, not in 32 .. 32: the port carries 6 signed bits an element",
        ),
        ({"stall_out": 1.0}, "the probability of a stall must be at least 0 and below 1, not 1.0"),
        ({"spacing": -1}, "spacing must be at least 0 and patience at least 1 cycles, not -1 and 200000"),
    ],
)
def test_arguments_are_checked(examples, arguments, message):
    arguments = {"codes": np.zeros((1, 13), np.int64), **arguments}
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        build(examples["total"]).run(**arguments)


def test_surplus_output_is_an_error(examples, tmp_path):
    core = tmp_path / "single_core.v"
    text = examples["single"].verilog[1].read_text().replace("o_valid <= i_valid;", "o_valid <= 1'b1;")
    core.write_text(text)
    simulation = NativeSimulation.build("single", [examples["single"].verilog[0], core], examples["single"].ports)
    with pytest.raises(Rtl4mlError, match=r"^2 frames must give 2 output beats, but more came within the next cycles$"):
        simulation.run(examples["single"].codes(2))


def test_memories_are_found_beside_the_program(examples, tmp_path):
    core = tmp_path / "single_core.v"
    text = examples["single"].verilog[1].read_text()
    text = text.replace("integer lane;", 'integer lane;\n reg [6:0] one [0:0];\n initial $readmemh("one.mem", one);')
    core.write_text(text.replace("wide + 1", "wide + $signed(one[0])"))
    (tmp_path / "one.mem").write_text("05\n")
    example = examples["single"]
    simulation = NativeSimulation.build(
        "single", [example.verilog[0], core], example.ports, memories=[tmp_path / "one.mem"]
    )
    x = example.codes(20)
    np.testing.assert_array_equal(simulation.run(x).codes, 3 * x + 5)


def test_a_design_is_built_once(examples, tmp_path, monkeypatch):
    first = build(examples["total"])
    stamp = first.program.stat().st_mtime_ns
    moved = [tmp_path / path.name for path in examples["total"].verilog]
    for old, new in zip(examples["total"].verilog, moved, strict=True):
        new.write_bytes(old.read_bytes())
    again = NativeSimulation.build("total", moved, examples["total"].ports)
    assert again.program == first.program
    assert again.program.stat().st_mtime_ns == stamp


def test_verilog_that_verilator_refuses(examples, tmp_path):
    broken = tmp_path / "total_core.v"
    broken.write_text("module total_core (input wire clk;\nendmodule\n")
    with pytest.raises(ToolError) as caught:
        NativeSimulation.build("total", [examples["total"].verilog[0], broken], examples["total"].ports)
    message = str(caught.value)
    assert message.startswith("Verilator must accept the design, not fail: verilator")
    assert "total_core.v:1:" in message


def test_a_program_that_crashes(examples, tmp_path):
    simulation = build(examples["total"])
    (tmp_path / "simulate").write_text("#!/bin/sh\necho out of luck >&2\nexit 7\n")
    (tmp_path / "simulate").chmod(0o755)
    crashing = NativeSimulation(Path(tmp_path / "simulate"), simulation.ports)
    with pytest.raises(
        ToolError, match=r"^the simulation must run to its end, not stop with status 7: it said out of luck$"
    ):
        crashing.run(examples["total"].codes(1))
