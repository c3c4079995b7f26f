"""Whole networks through Verilog: one-bit products, output lanes, weights that are loaded while frames pass."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rtl4ml
from rtl4ml.design import Design
from rtl4ml.operators import Dense
from rtl4ml.planning.plan import plan
from rtl4ml.planning.settings import Settings
from rtl4ml.simulation import rtl_check
from tests.stages.networks import bipolar_network, inputs

JETS = Path(__file__).resolve().parents[2] / "examples/models/jet_tagger.onnx"


def bits_only(sizes, seed, **settings):
    """A bipolar network's design and codes for it."""
    graph = bipolar_network(sizes, seed, **settings.pop("graph", {}))
    design = Design(graph, plan(graph, Settings(**settings)), "bits")
    codes = inputs(graph, 60, 1)
    codes[codes == 0] = 1
    return design, codes


@pytest.mark.rtl
@pytest.mark.parametrize(
    "settings",
    [
        {"reuse": 8},
        {"reuse": 1, "lanes": 5},
        {"reuse": 16, "output_lanes": 3, "graph": {"last": False}},
        {"reuse": 6, "graph": {"palette": (-1, 0, 1)}},
        {"reuse": 1, "backpressure": False},
    ],
)
def test_bipolar_networks(settings):
    design, codes = bits_only((24, 16, 10), 3, **dict(settings))
    assert design.ports.i.bits == 1
    assert design.metadata()["input"]["element_coding"] == "bipolar"
    assert design.plan.multipliers == 0
    expected = design.graph.evaluate(codes)[design.graph.output]
    numbers = design.plan.to_wires(design.graph.input, codes)
    result = rtl_check.check(
        design.simulation, design.plan, numbers, design.plan.to_wires(design.graph.output, expected)
    )
    assert result.passed
    spacing = 0 if design.plan.settings.backpressure else design.plan.interval
    got = design.simulation.run(numbers, spacing=spacing).codes
    assert np.array_equal(design.plan.from_wires(design.graph.output, got), expected)


@pytest.mark.rtl
@pytest.mark.parametrize(("lanes", "free_running"), [(1, False), (2, True)])
def test_output_lanes(lanes, free_running):
    design = rtl4ml.compile(rtl4ml.load(JETS), reuse="64,dense=128", output_lanes=lanes, backpressure=not free_running)
    assert design.ports.o.lanes == lanes
    assert [planned.reuse for planned in design.plan.stages if planned.tile] == [128] * 4
    assert design.verify(samples=200, bench=True).passed


def other_weights(graph, seed):
    """Weights and biases of every layer, any that its bits hold."""
    generator = np.random.default_rng(seed)
    layers = [operator for operator in graph.operators if isinstance(operator, Dense)]
    weights = {layer.name: generator.choice(layer.limits.values, layer.weights.shape) for layer in layers}
    biases = {
        layer.name: generator.integers(layer.limits.bias_low, layer.limits.bias_high + 1, layer.bias.shape)
        for layer in layers
    }
    return weights, biases


@pytest.mark.rtl
@pytest.mark.parametrize("kind", ["jets", "bipolar", "free-running"])
def test_weights_are_loaded_while_frames_pass(kind):
    backpressure = kind != "free-running"
    if kind != "jets":
        graph = bipolar_network((24, 16, 10), 5, writable=True)
        settings = Settings(reuse=16, weights="writable", backpressure=backpressure)
        design = Design(graph, plan(graph, settings), "bits")
        codes = inputs(graph, 900, 1)
        codes[codes == 0] = 1
    else:
        design = rtl4ml.compile(rtl4ml.load(JETS), reuse=64, weights="writable")
        result = design.verify(samples=100, bench=True)
        assert result.passed
        codes = inputs(design.graph, 900, 1)
    changes = [other_weights(design.graph, seed) for seed in (1, 2)]
    # The third load changes one layer only, back to the model's weights.
    first = next(operator for operator in design.graph.operators if isinstance(operator, Dense))
    loads = [design.weight_words(*change) for change in changes] + [design.weight_words({first.name: first.weights})]
    versions = [design.graph, *(design.with_weights(*change) for change in changes)]
    last = replace(versions[-1])
    operators = tuple(first if operator.name == first.name else operator for operator in last.operators)
    versions.append(replace(last, operators=operators))
    numbers = design.plan.to_wires(design.graph.input, codes)
    stalled = {"stall_in": 0.4, "stall_out": 0.5} if backpressure else {"spacing": design.plan.interval + 3}
    for stalls in ({"spacing": 0 if backpressure else design.plan.interval}, stalled):
        run = design.simulation.run(numbers, loads=[(5, loads[0]), (100, loads[1]), (350, loads[2])], **stalls)
        assert len(run.commits) == 3
        bounds = [0, *run.commits, len(codes)]
        assert sorted(set(bounds)) == bounds
        got = design.plan.from_wires(design.graph.output, run.codes)
        for version, begin, end in zip(versions, bounds, bounds[1:], strict=False):
            assert np.array_equal(got[begin:end], version.evaluate(codes[begin:end])[version.output])
