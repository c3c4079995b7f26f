import json
from dataclasses import replace

import numpy as np
import pytest

from rtl4ml.formats import Format
from rtl4ml.graph import Tensor
from rtl4ml.report.verification import coverage
from rtl4ml.simulation.cocotb_bench import BenchCase, BenchResult
from tests.report.build import verification
from tests.stages.networks import network


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return verification(tmp_path_factory.mktemp("verification"))


def test_everything_held(result):
    assert result.passed


FAILURES = {
    "reference": lambda r: replace(
        r, equality=replace(r.equality, tensors=(replace(r.equality.tensors[0], mismatches=1),))
    ),
    "judge, where it must agree": lambda r: replace(
        r,
        equality=replace(
            r.equality, judge_required=True, tensors=(replace(r.equality.tensors[1], judge_differences=1),)
        ),
    ),
    "output of the judge, where it must agree": lambda r: replace(
        r,
        equality=replace(
            r.equality, judge_required=True, tensors=(replace(r.equality.tensors[-1], judge_differences=1),)
        ),
    ),
    "unjudged": lambda r: replace(r, equality=replace(r.equality, unjudged=("t3: no grid",))),
    "codes of the Verilog": lambda r: replace(r, rtl=replace(r.rtl, mismatches=1)),
    "schedule": lambda r: replace(r, rtl=replace(r.rtl, on_schedule=False)),
    "framing": lambda r: replace(r, rtl=replace(r.rtl, framing=False)),
    "bench": lambda r: replace(r, bench=BenchResult((BenchCase("stalls", "failed", "beat 3", 1.0),))),
    "multipliers": lambda r: replace(r, counted_multipliers=r.plan.multipliers + 1),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
def test_each_thing_that_does_not_hold_fails_it(result, failure):
    failed = failure(result)
    assert not failed.passed
    assert failed.describe()["passed"] is False


def test_differences_of_the_judge_are_allowed_where_float32_rounds(result):
    equality = replace(
        result.equality, judge_required=False, tensors=(replace(result.equality.tensors[1], judge_differences=9),)
    )
    assert replace(result, equality=equality).passed


def test_what_was_not_asked_for_does_not_fail(result):
    assert replace(result, rtl=None, bench=None, counted_multipliers=None).passed


def test_plain_types(result):
    found = json.loads(json.dumps(result.describe(), allow_nan=False))
    assert found["passed"] is True
    assert found["latency_cycles"] == {"planned": result.plan.latency, "measured": result.plan.latency}
    assert found["interval_cycles"] == {"planned": result.plan.interval, "measured": result.plan.interval}
    assert found["multipliers"] == {"planned": result.plan.multipliers, "counted": result.plan.multipliers}
    assert found["rtl"]["passed"] is True
    assert [c["state"] for c in found["bench"]["cases"]] == ["passed", "skipped"]
    assert found["reference"]["samples"] == 50
    assert len(found["reference"]["tensors"]) == 4
    bare = replace(result, rtl=None, bench=None, counted_multipliers=None).describe()
    assert bare["rtl"] is bare["bench"] is None
    assert bare["latency_cycles"]["measured"] is None


def test_coverage_is_of_the_reachable_range():
    graph, _ = network([3, 2], 0)
    fmt = Format(8, True, np.array(1.0))
    tensor = Tensor("y0", (3,), fmt, np.array([-4, 0, 5]), np.array([4, 10, 5]))
    graph = type(graph)(**{**graph.__dict__, "tensors": {**graph.tensors, "y0": tensor}})
    (found,) = coverage(graph, {"y0": np.array([[-4, 2, 5], [0, 7, 5], [4, 3, 5]])})
    assert found.tensor == "y0"
    assert found.channels == (1.0, 0.5, 1.0)  # the last channel is constant: all of it was seen
    assert (found.mean, found.worst) == (pytest.approx(2.5 / 3), 0.5)
