"""Convolutional cases that are wrong elsewhere: file = reference = Verilog, every beat in the cycle of the plan."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import rtl4ml
from rtl4ml.design import Design
from rtl4ml.operators import Conv, Dense
from rtl4ml.report.verification import Verification
from tests.frontend.build import File, equal
from tests.networks import spatial
from tests.networks.spatial import CASES

SAMPLES = 100
FRAMES = 10


def load(file: File, folder: Path) -> rtl4ml.Graph:
    return rtl4ml.load(file.save(folder))


def verified(design: Design, samples: int = FRAMES, **options: Any) -> Verification:
    """Nothing differs anywhere: codes, cycles, multipliers."""
    result = design.verify(samples=samples, **options)
    assert result.equality.mismatches == 0
    assert result.rtl is not None
    assert result.rtl.frames == samples
    assert result.rtl.mismatches == 0
    assert result.rtl.latency == result.plan.latency
    assert result.rtl.interval == result.plan.interval
    assert result.rtl.on_schedule
    assert result.rtl.framing
    assert result.counted_multipliers == result.plan.multipliers
    assert result.passed
    return result


@pytest.mark.parametrize("name", CASES)
def test_reference_equals_strict_judge(name: str, tmp_path: Path) -> None:
    graph = load(CASES[name].build(), tmp_path)
    assert " ".join(operator.kind for operator in graph.operators) == CASES[name].operators
    result = equal(graph, samples=SAMPLES)
    assert result.unjudged == ()
    assert result.mismatches == 0
    assert result.passed
    reached = graph.evaluate(spatial.random_codes(graph, 20), keep=[o.output for o in graph.operators])
    assert all(np.ptp(codes) > 0 for codes in reached.values()), "a tensor that never changes proves nothing"


@pytest.mark.parametrize(("name", "settings"), [(name, s) for name, case in CASES.items() for s in case.foldings])
def test_goals_are_met(name: str, settings: dict[str, int], tmp_path: Path) -> None:
    plan = rtl4ml.compile(load(CASES[name].build(), tmp_path), **settings).plan
    assert plan.interval <= settings.get("interval", settings.get("reuse", 1))


@pytest.mark.rtl
@pytest.mark.parametrize(("name", "settings"), [(name, s) for name, case in CASES.items() for s in case.foldings])
def test_verilog_equals_reference_and_plan(name: str, settings: dict[str, int], tmp_path: Path) -> None:
    verified(rtl4ml.compile(load(CASES[name].build(), tmp_path), **settings))


def test_padding_is_the_code_of_zero_and_never_the_maximum(tmp_path: Path) -> None:
    """Whether the cases above would see it: another code at the border changes results."""
    graph = load(spatial.zero_points(), tmp_path)
    assert graph.input_tensor.format.zero_point == 5
    assert graph.tensors[graph.operators[1].output].format.zero_point.tolist() == [1, -2, 3, 0]
    graph = load(spatial.padded_maximum(signed=True), tmp_path)
    pooled = graph.evaluate(spatial.random_codes(graph, 20), keep=[graph.operators[2].output])
    borders = pooled[graph.operators[2].output].reshape(20, *graph.operators[2].shape)[:, [0, -1]]
    assert np.any(borders < 0)


def turned(model: onnx.ModelProto) -> onnx.ModelProto:
    """A file on channels that are first as one that takes and gives them last, through Transpose."""
    result = onnx.ModelProto.FromString(model.SerializeToString())
    graph = result.graph
    dims = [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim]
    for dim, size in zip(graph.input[0].type.tensor_type.shape.dim, (dims[0], *dims[2:], dims[1]), strict=True):
        dim.dim_value = size
    for node in graph.node:
        node.input[:] = ["first" if name == "x" else name for name in node.input]
    end = graph.output[0].name
    graph.node.insert(0, helper.make_node("Transpose", ["x"], ["first"], "turn", perm=[0, 3, 1, 2]))
    graph.node.append(helper.make_node("Transpose", [end], ["last"], "turn_back", perm=[0, 2, 3, 1]))
    graph.output[0].name = "last"
    return result


def test_channels_last_files_give_the_same_graph(tmp_path: Path) -> None:
    """Three files, one printed text and one result: channels first; Transpose around it; qonnx's own operators."""
    file = spatial.plain(last=False)
    texts, outputs = [], []
    for number, model in enumerate((file.model(), turned(file.model()), spatial.plain(last=True).model())):
        folder = tmp_path / str(number)
        folder.mkdir()
        onnx.save(model, folder / "net.onnx")
        graph = rtl4ml.load(folder / "net.onnx")
        assert equal(graph, samples=20).passed
        # Where the host puts elements is all that differs.
        texts.append([line for line in str(graph).splitlines() if not line.startswith("  host:")])
        outputs.append(graph.evaluate(spatial.random_codes(graph, 20))[graph.output])
        plan = rtl4ml.compile(graph, interval=200).plan
        texts[-1] += [str(plan.describe())]
    assert texts[0] == texts[1] == texts[2]
    assert np.array_equal(outputs[0], outputs[1])
    assert np.array_equal(outputs[0], outputs[2])


@pytest.mark.parametrize("lanes", range(1, 26))
def test_any_lanes_of_an_unrolled_network(lanes: int, tmp_path: Path) -> None:
    """From one element a beat to the whole image, which is a frame a cycle."""
    plan = rtl4ml.compile(load(spatial.tiny(), tmp_path), lanes=lanes).plan
    assert plan.input_lanes == lanes
    assert plan.interval == -(-25 // lanes)
    assert plan.multipliers == 0


@pytest.mark.rtl
@pytest.mark.parametrize("lanes", [1, 2, 7, 25])
def test_lanes_of_an_unrolled_network(lanes: int, tmp_path: Path) -> None:
    verified(rtl4ml.compile(load(spatial.tiny(), tmp_path), lanes=lanes), 50)


@pytest.mark.rtl
@pytest.mark.parametrize(("lanes", "output_lanes"), [(2, 1), (9, 2), (50, 7), (168, 35)])
def test_lanes_of_a_folded_network(lanes: int, output_lanes: int, tmp_path: Path) -> None:
    """Beats that end within a pixel, within a row, and at neither."""
    graph = load(spatial.depthwise_twice(), tmp_path)
    design = rtl4ml.compile(graph, interval=336, lanes=lanes, output_lanes=output_lanes)
    assert (design.ports.i.lanes, design.ports.o.lanes) == (lanes, output_lanes)
    verified(design)


@pytest.mark.rtl
def test_protocol_of_a_stream_of_pixels(tmp_path: Path) -> None:
    """Stalls on both sides, reset in the midst of frames, framing."""
    design = rtl4ml.compile(load(spatial.padded_maximum(signed=True), tmp_path), interval=200)
    verified(design, bench=True)


@pytest.mark.rtl
@pytest.mark.parametrize("settings", [{"reuse": 1}, {"interval": 300}])
def test_free_running(settings: dict[str, int], tmp_path: Path) -> None:
    """The pipeline of triggers, unrolled and folded, with a branch of convolutions beside one of none."""
    file = spatial.tiny() if settings == {"reuse": 1} else spatial.deep_skip(2)
    verified(rtl4ml.compile(load(file, tmp_path), backpressure=False, **settings), 30)


@pytest.mark.rtl
@pytest.mark.parametrize("settings", [{"reuse": 1}, {"interval": 90}])
def test_bits_alone(settings: dict[str, int], tmp_path: Path) -> None:
    """Weights and activations of -1 and +1: no multiplier anywhere."""
    design = rtl4ml.compile(load(spatial.bipolar(), tmp_path), **settings)
    assert verified(design, 40).plan.multipliers == 0


@pytest.mark.rtl
def test_weights_of_convolutions_are_loaded_while_frames_pass(tmp_path: Path) -> None:
    design = rtl4ml.compile(load(spatial.depthwise_twice(), tmp_path), interval=600, weights="writable")
    verified(design)
    graph, random = design.graph, np.random.default_rng(4)
    layers = [o for o in graph.operators if isinstance(o, Conv | Dense)]
    assert len(layers) == 3
    weights = {layer.name: random.choice(layer.limits.values, layer.weights.shape) for layer in layers}
    biases = {
        layer.name: random.integers(layer.limits.bias_low, layer.limits.bias_high + 1, layer.bias.shape)
        for layer in layers
    }
    codes = spatial.random_codes(graph, 60)
    # The second load brings back one layer of the file.
    old = {layers[1].name: layers[1].weights}
    loads = [(5, design.weight_words(weights, biases)), (30, design.weight_words(old))]
    changed = design.with_weights(weights, biases)
    again = replace(changed, operators=tuple(layers[1] if o.name == layers[1].name else o for o in changed.operators))
    run = design.simulation.run(design.plan.to_wires(graph.input, codes), 0.2, 0.2, seed=1, loads=loads)
    assert len(run.commits) == 2
    bounds = [0, *run.commits, len(codes)]
    assert sorted(set(bounds)) == bounds
    got = design.plan.from_wires(graph.output, run.codes)
    for version, begin, end in zip((graph, changed, again), bounds, bounds[1:], strict=False):
        assert np.array_equal(got[begin:end], version.evaluate(codes[begin:end])[version.output])
