from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

import rtl4ml
from rtl4ml.report import console
from rtl4ml.simulation.rtl_check import RtlCheck
from rtl4ml.simulation.verilator import ToolStatus
from tests.frontend.build import load, mlp
from tests.report.build import verification


def text(renderable, width=200):
    out = Console(width=width, no_color=True)
    with out.capture() as captured:
        out.print(renderable)
    return captured.get()


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return verification(tmp_path_factory.mktemp("console"))


def test_graph(tmp_path):
    found = text(console.graph_table(load(mlp(np.random.default_rng(24), [6, 5, 4]), tmp_path)))
    assert "net: 50 multiplications an inference" in found
    assert "Dense fc0" in found
    assert "int<4> x 0.125" in found
    assert "-8 .. 7" in found


def test_plan(tmp_path):
    graph = load(mlp(np.random.default_rng(24), [6, 5, 4]), tmp_path)
    plan = rtl4ml.compile(graph, reuse=5, clock_mhz=100).plan
    found = text(console.plan_table(plan))
    for word in ("fc0", "fc1", "reuse", "staircase", f"interval {plan.interval} cycles"):
        assert word in found
    assert f"latency {plan.latency} cycles ({plan.latency * 10} ns at 100 MHz)" in found
    assert f"{plan.multipliers} multipliers, 0 products in LUTs, efficiency of the tiles {plan.efficiency:.2f}" in found
    assert "adders" in text(console.plan_table(rtl4ml.compile(graph).plan))


def test_verification(result):
    found = text(console.verification_table(result))
    assert "0 of" in found
    assert f"planned {result.plan.latency}, measured {result.plan.latency} cycles" in found
    assert "protocol: tlast early" in found
    assert "FAILED" not in found
    assert found.splitlines()[-1] == "PASSED"


def test_a_verification_that_failed(result):
    rtl = RtlCheck(50, 400, 3, result.plan.latency + 1, None, False, 50, False, 999, 0.25)
    equality = replace(result.equality, unjudged=("t3: no grid",))
    failed = replace(
        result, rtl=rtl, equality=equality, counted_multipliers=0, accuracy={"reference": 0.5, "onnx": 0.25}
    )
    found = text(console.verification_table(failed))
    assert "3 of 400 codes differ" in found
    assert "measured none cycles" in found
    assert "not judged from integers: t3: no grid" in found
    assert "accuracy: reference 50.00%, onnx 25.00%" in found
    assert found.count("FAILED") >= 5
    assert found.splitlines()[-1] == "FAILED"


def test_a_verification_of_the_reference_alone(result):
    found = text(console.verification_table(replace(result, rtl=None, bench=None, counted_multipliers=None)))
    assert "Verilog" not in found
    assert found.splitlines()[-1] == "PASSED"


def test_names_with_brackets_are_no_markup(tmp_path):
    file = mlp(np.random.default_rng(24), [6, 5])
    file.nodes[2].name = "[bold]fc[/bold]"
    found = text(console.graph_table(load(file, tmp_path)))
    assert "[bold]fc[/bold]" in found


def test_seconds():
    assert text(console.seconds_line({"load": 0.123, "plan": 4})) == "seconds: load 0.12, plan 4.00\n"


def test_tools():
    tools = [ToolStatus("g++", "", "missing", "simulation", "apt-get install g++")]
    found = text(console.tools_table(tools))
    for word in ("g++", "missing", "simulation", "apt-get install g++"):
        assert word in found
