import json
import os
import re
import shutil

import numpy as np
import pytest
from cocotb_tools.runner import Icarus

from rtl4ml import resources
from rtl4ml.errors import ConfigurationError, ToolError
from rtl4ml.simulation import cocotb_bench
from rtl4ml.simulation.cocotb_bench import run_bench, shorten, write_bench

AXIS_TESTS = ["back_to_back", "single_frame"]
AXIS_TESTS += [f"random_stalls/stalls={index}" for index in range(3)]
AXIS_TESTS += ["reset_inside_a_frame"]
AXIS_TESTS += [f"{name}/stalls={index}" for name in ("early_tlast", "late_tlast", "tlast_tied_low") for index in (0, 1)]
PIPELINE_TESTS = ["back_to_back", "random_gaps", "reset_in_flight", "input_too_early"]


def run(example, verilog=None, evaluate=None, latency=None, interval=None, tests=None, frames=12):
    return run_bench(
        example.name,
        verilog or example.verilog,
        example.ports,
        example.codes(frames),
        evaluate or example.evaluate,
        example.latency if latency is None else latency,
        example.interval if interval is None else interval,
        tests=tests,
    )


@pytest.mark.parametrize(
    ("name", "skipped"),
    [
        ("single", {"early_tlast/stalls=0", "early_tlast/stalls=1"}),
        ("narrow", set()),
        ("huge", set()),
        ("total", set()),
    ],
)
def test_streams(examples, name, skipped):
    result = run(examples[name])
    assert [case.name for case in result.cases] == AXIS_TESTS
    assert {case.name: case.message for case in result.failures} == {}
    assert {case.name for case in result.cases if case.state == "skipped"} == skipped
    assert result.passed


@pytest.mark.parametrize(("name", "skipped"), [("mirror", {"input_too_early"}), ("slow_mirror", set())])
def test_pipelines(examples, name, skipped):
    result = run(examples[name])
    assert [case.name for case in result.cases] == PIPELINE_TESTS
    assert {case.name: case.message for case in result.failures} == {}
    assert {case.name for case in result.cases if case.state == "skipped"} == skipped


@pytest.mark.parametrize("name", ["total", "slow_mirror"])
def test_the_same_bench_on_icarus(examples, name, tmp_path):
    """Four-state logic: nothing may depend on the value a register has before the first reset."""
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not installed")

    class Runner(Icarus):
        def _set_env_test(self):
            super()._set_env_test()
            self.env["PYTHONPATH"] = os.pathsep.join([str(resources.path("sim", "cocotb")), self.env["PYTHONPATH"]])

    example = examples[name]
    frames = example.codes(12)
    bench = write_bench(
        tmp_path, example.name, example.ports, frames, example.evaluate, example.latency, example.interval
    )
    runner = Runner()
    runner.build(
        sources=example.verilog,
        hdl_toplevel=name,
        build_args=["-g2001"],
        timescale=("1ns", "1ps"),
        build_dir=tmp_path,
        log_file=tmp_path / "build.log",
    )
    runner.test(
        "test_axis" if example.ports.i.ready else "test_pipeline",
        name,
        results_xml=str(tmp_path / "results.xml"),
        log_file=tmp_path / "log.txt",
        extra_env={"RTL4ML_BENCH": str(bench)},
    )
    result = cocotb_bench._read_results(tmp_path / "results.xml", tmp_path / "log.txt")
    assert len(result.cases) == (len(AXIS_TESTS) if example.ports.i.ready else len(PIPELINE_TESTS))
    assert result.passed


def test_a_wrong_code_is_named(examples):
    def wrong(codes):
        expected = examples["total"].evaluate(codes)
        expected[2, 3] += 1
        return expected

    result = run(examples["total"], evaluate=wrong, tests=["back_to_back"])
    got = examples["total"].evaluate(examples["total"].codes(12))[2, 3]
    (case,) = result.failures
    assert case.name == "back_to_back"
    assert case.message == (
        f"frame 2 must be right, not wrong in 1 of 5 elements: element 3 is {got} and must be {got + 1}"
    )


def test_wrong_timing_is_named(examples):
    (case,) = run(examples["total"], latency=7, tests=["back_to_back"]).failures
    assert case.message == "latency must be 7 cycles, not 6"
    (case,) = run(examples["total"], interval=5, tests=["back_to_back"]).failures
    assert case.message == "the interval must be 5 cycles, not [4]"
    (case,) = run(examples["mirror"], latency=1, tests=["random_gaps"]).failures
    assert case.message == "latency must be 1 cycles, not [2]"


@pytest.mark.parametrize(
    ("old", "new", "failing"),
    [
        (
            "flags[flag_in] <= early;",
            "flags[flag_in] <= 1'b0;",
            {f"early_tlast/stalls={index}": "tuser of frame 0 must be [0, 0, 1], not [0, 0, 0]" for index in (0, 1)},
        ),
        (
            "if (early | late)",
            "if (early)",
            {f"late_tlast/stalls={index}": "error must be 1, not 0" for index in (0, 1)},
        ),
    ],
)
def test_a_broken_wrapper_is_found(examples, tmp_path, old, new, failing):
    text = examples["total"].verilog[0].read_text()
    assert old in text
    broken = tmp_path / "total.v"
    broken.write_text(text.replace(old, new))
    result = run(examples["total"], verilog=[broken, examples["total"].verilog[1]])
    assert {case.name: case.message for case in result.failures} == failing


def test_a_bench_that_does_not_start(examples, monkeypatch, tmp_path):
    (tmp_path / "total").write_text("#!/bin/sh\necho no Python here\nexit 1\n")
    (tmp_path / "total").chmod(0o755)
    monkeypatch.setattr(cocotb_bench, "build_cocotb", lambda top, verilog, ports: tmp_path / "total")
    with pytest.raises(ToolError) as caught:
        run(examples["total"])
    assert str(caught.value) == "the protocol bench must start, not stop without a result:\nno Python here"


def test_too_few_frames(examples):
    message = "the bench's codes must have the shape [4 or more, 13], not [3, 13]"
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        run(examples["total"], frames=3)


def test_shortened_frames_end_in_every_place(examples):
    side = examples["total"].ports.i
    codes = examples["total"].codes(12)
    short, beats = shorten(codes, side)
    assert set(beats.tolist()) == {1, 2, 3}
    for frame, original, count in zip(short, codes, beats, strict=False):
        np.testing.assert_array_equal(frame[: count * side.lanes], original[: count * side.lanes])
        assert not frame[count * side.lanes :].any()


def test_a_tensor_of_one_beat_cannot_be_shortened(examples):
    short, beats = shorten(examples["single"].codes(12), examples["single"].ports.i)
    assert short.shape == (0, 11)
    assert beats.shape == (0,)


def test_the_description_names_ports_and_vectors(examples, tmp_path):
    example = examples["total"]
    path = write_bench(tmp_path, "total", example.ports, example.codes(4), example.evaluate, 6, 4)
    description = json.loads(path.read_text())
    assert description["schema"] == 1
    assert description["ports"]["i"]["data"] == "s_axis_tdata"
    assert description["ports"]["o"]["slot"] == 16
    with np.load(tmp_path / description["vectors"]) as vectors:
        np.testing.assert_array_equal(vectors["expected"], example.evaluate(vectors["codes"]))
