"""Comparisons of feature maps: tensors of rank 4, whose layout in the file is not that of the graph."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from onnx import helper

from rtl4ml.formats import Format
from rtl4ml.frontend import equality
from rtl4ml.frontend.equality import compare, judge_must_agree
from rtl4ml.graph import Graph, HostFunction, Tensor
from rtl4ml.operators import Conv, Requantize, Window
from rtl4ml.staircase import Staircase
from tests.frontend.judge_files import model, quant


def quantizer(low, high, scale, bits):
    """What Quant with a scale of 0.5 makes of x * scale, on [low, high]."""
    x = np.arange(low, high + 1)
    y = np.clip(
        np.rint((x * scale).astype(np.float32) / np.float32(0.5)), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    ).astype(np.int64)
    steps = np.flatnonzero(np.diff(y)) + 1
    row = [np.array([value], np.int64) for value in (low, high, y[0])]
    return Staircase(*row, (x[steps],), (y[steps],))


def network(image=(5, 4), channels=(2, 3, 4), scale=0.25, groups=1):
    """x -> Quant q0 -> Conv -> Quant q1 -> Conv: the file, and the graph in channels-last order."""
    rng = np.random.default_rng(6)
    height, width = image
    node, constants = quant("x", "q0", 0.5, 4)
    nodes = [node]
    low, high = np.full(channels[0], -8), np.full(channels[0], 7)
    tensors = {"q0": Tensor("q0", (height, width, channels[0]), Format(4, True, np.array(0.5)), low, high)}
    operators, before = [], "q0"
    order = np.arange(height * width * channels[0]).reshape(1, height, width, channels[0]).transpose(0, 3, 1, 2)
    layouts = {"q0": order}
    acc_scale = np.array(0.5) * np.float64(np.float32(scale))
    for i, (n_in, n_out) in enumerate(itertools.pairwise(channels)):
        weights = rng.integers(-4, 4, (n_out, n_in // groups, 3, 3))
        node, more = quant(f"w{i}", f"w{i}q", scale, 3)
        constants.update(more, **{f"w{i}": (weights * np.float64(np.float32(scale))).astype(np.float32)})
        nodes += [
            node,
            helper.make_node("Conv", [before, f"w{i}q"], [f"y{i}"], pads=[1, 1, 1, 1], group=groups),
        ]
        window = Window(height, width, (3, 3), pads=(1, 1, 1, 1))
        taps = weights.transpose(2, 3, 1, 0)
        bias = np.zeros(n_out, np.int64)
        conv = Conv(f"conv{i}", (before,), f"y{i}", window, taps, bias, acc_scale, groups, (height, width, n_out))
        tensors[f"y{i}"] = conv.infer((tensors[before],))
        operators.append(conv)
        layouts[f"y{i}"] = np.arange(height * width * n_out).reshape(1, height, width, n_out).transpose(0, 3, 1, 2)
        if i < len(channels) - 2:
            node, more = quant(f"y{i}", f"q{i + 1}", 0.5, 4)
            constants.update(more)
            nodes.append(node)
            staircase = quantizer(*tensors[f"y{i}"].range, float(acc_scale), 4)
            operators.append(
                Requantize(f"r{i}", (f"y{i}",), f"q{i + 1}", staircase, Format(4, True, np.array(0.5)), ("Quant",))
            )
            tensors[f"q{i + 1}"] = operators[-1].infer((tensors[f"y{i}"],))
            layouts[f"q{i + 1}"] = layouts[f"y{i}"]
            before = f"q{i + 1}"
    last = f"y{len(channels) - 2}"
    nothing = HostFunction(b"", (), np.arange(1), (1,))
    shape = (channels[0], *image)
    graph = Graph("test", tuple(operators), tensors, "q0", last, nothing, nothing, shape, shape, layouts=layouts)
    return graph, model(nodes, [1, *shape], constants, [last])


def compared(graph, onnx_model, samples=7, progress=None):
    x = (np.random.default_rng(7).normal(size=(samples, *graph.input_shape)) * 2).astype(np.float32)
    codes = np.clip(np.rint(x * 2), -8, 7).astype(np.int64).transpose(0, 2, 3, 1).reshape(samples, -1)
    layout, scale = graph.layouts[graph.output].reshape(-1), graph.output_tensor.format.scale

    def reals(found):
        return (found[:, layout] * scale).astype(np.float32)

    return compare(graph, onnx_model, x, codes, reals, progress)


@pytest.mark.parametrize("channels, groups", [((2, 3, 4), 1), ((2, 4, 6), 2)])
def test_feature_maps_are_equal(channels, groups):
    graph, onnx_model = network(channels=channels, groups=groups)
    assert judge_must_agree(graph)
    result = compared(graph, onnx_model)
    assert result.passed
    assert (result.judge_required, result.judge_differences, result.output_differences) == (True, 0, 0)
    assert {t.name: t.codes for t in result.tensors}["q1"] == 7 * 20 * channels[1]


def test_other_scales_and_large_sums_oblige_nobody():
    graph, onnx_model = network(scale=0.3)
    assert not judge_must_agree(graph)
    assert compared(graph, onnx_model).mismatches == 0
    graph, _ = network()
    first = graph.operators[0]
    for factor, must in ((1 << 12, True), (1 << 20, False)):
        larger = replace(first, weights=first.weights * factor)
        assert judge_must_agree(replace(graph, operators=(larger, *graph.operators[1:]))) == must


def test_a_wrong_weight_is_seen():
    graph, onnx_model = network()
    first = graph.operators[0]
    weights = first.weights.copy()
    weights[1, 1, 0, 2] += 2
    result = compared(replace(graph, operators=(replace(first, weights=weights), *graph.operators[1:])), onnx_model)
    assert not result.passed
    assert {t.name for t in result.tensors if t.mismatches} == {"q1", "y1"}


def test_large_images_are_compared_in_small_parts(monkeypatch):
    graph, onnx_model = network()
    size = sum(graph.tensors[name].size for name in ("q0", "q1", "y1"))
    monkeypatch.setattr(equality, "CHUNK_ELEMENTS", 3 * size)
    seen = []
    assert compared(graph, onnx_model, progress=lambda *d: seen.append(d)).passed
    assert seen == [(3, 7), (6, 7), (7, 7)]


def test_the_largest_differences_are_listed(monkeypatch):
    monkeypatch.setattr(equality, "WORST", 3)
    judged = np.array([[0.0, 5.0, 1.0], [2.0, 0.0, 9.0]])
    layered = np.array([[0.0, 4.0, 3.0], [2.5, 0.0, 0.0]])
    found = equality._worst("t", 10, judged, layered, judged != layered)
    assert [(d.sample, d.element, d.judge, d.exact) for d in found] == [(11, 2, 9, 0), (10, 2, 1, 3), (10, 1, 5, 4)]
