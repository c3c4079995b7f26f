"""Graphs that are no chains: file = reference = hardware, and every beat in the cycle that the plan says."""

import numpy as np
import pytest

import rtl4ml
from rtl4ml.planning.schedule import simulate
from tests.hdl.bench import randomly
from tests.networks.branched import MODELS, graph_of, residual
from tests.planning.dag import run_network


@pytest.mark.parametrize("name", MODELS)
def test_reference_equals_strict_judge(name):
    result = rtl4ml.compile(graph_of(MODELS[name]()), reuse=1000).verify(samples=400, rtl=False).equality
    assert result.mismatches == 0
    assert not result.unjudged
    assert result.codes > 0


SERIAL = ("residual_deep", "concatenated", "eight_consumers", "product", "top_3")
"""Also with one multiplier a layer."""


@pytest.mark.parametrize(
    ("name", "reuse"), [(name, reuse) for name in MODELS for reuse in (1, 4, 1000) if reuse < 5 or name in SERIAL]
)
def test_stages_in_the_simulator(name, reuse):
    graph = graph_of(MODELS[name]())
    plan = rtl4ml.compile(graph, reuse=reuse).plan
    frames = 6
    low, high = graph.input_tensor.low, graph.input_tensor.high
    codes = np.random.default_rng(1).integers(low, high + 1, (frames, len(low)))
    expected = graph.evaluate(codes)[graph.output]
    got, accepted, handed = run_network(plan.network, codes)
    assert np.array_equal(got, expected)
    timeline = simulate(plan.network, frames)
    assert np.array_equal(accepted, timeline.accepted)
    assert np.array_equal(handed, timeline.handed_over)
    assert handed[0, -1] == plan.latency
    stalled, *_ = run_network(plan.network, codes[:3], source=randomly(1, 0.5), sink=randomly(2, 0.5))
    assert np.array_equal(stalled, expected[:3])


def test_one_datapath_when_all_is_unrolled():
    plan = rtl4ml.compile(graph_of(residual(depth=3)), reuse=1).plan
    assert len(plan.stages) == 1
    assert (plan.interval, plan.multipliers, plan.fifos) == (1, 0, ())


@pytest.mark.rtl
@pytest.mark.parametrize(
    ("name", "reuse"),
    [
        ("residual_rational_scales", 1),
        ("residual_deep", 4),
        ("eight_consumers", 4),
        ("concatenated", 6),
        ("max", 8),
        ("split_and_sliced", 4),
        ("product", 2),
        ("argmax", 5),
        ("top_3", 1),
    ],
)
def test_verilog(name, reuse):
    result = rtl4ml.compile(graph_of(MODELS[name]()), reuse=reuse).verify(samples=300)
    assert result.passed
    assert result.rtl.latency == result.plan.latency
    assert result.rtl.interval == result.plan.interval


@pytest.mark.rtl
@pytest.mark.parametrize("reuse", [1, 4])
def test_free_running(reuse):
    assert rtl4ml.compile(graph_of(residual(depth=2)), reuse=reuse, backpressure=False).verify(samples=300).passed
