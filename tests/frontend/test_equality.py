from dataclasses import replace

import numpy as np
import onnx

import rtl4ml
from rtl4ml.frontend import equality
from rtl4ml.frontend.equality import compare, judge_must_agree
from rtl4ml.operators import Dense
from tests.frontend.build import File, load, mlp

RNG = np.random.default_rng(17)


def compared(graph, samples=200):
    design = rtl4ml.compile(graph, reuse=10**6)
    x = RNG.normal(size=(samples, *graph.input_shape)).astype(np.float32)
    return compare(graph, onnx.ModelProto.FromString(graph.model), x, design.encode(x), design.decode)


def test_powers_of_two_oblige_the_judge(tmp_path):
    graph = load(mlp(RNG, [6, 5, 4]), tmp_path)
    assert judge_must_agree(graph)
    result = compared(graph)
    assert result.passed
    assert (result.samples, result.judge_differences, result.output_differences) == (200, 0, 0)
    assert result.codes == sum(t.codes for t in result.tensors)
    assert [t.output for t in result.tensors] == [False, False, False, True]


def scaled(scale, weight_bits=4, n_in=6, zero_point=0.0):
    file = File([1, n_in])
    x = file.quant("x", 0.125, 8, zero_point, signed=int(zero_point == 0))
    w = file.weights(RNG.normal(size=(n_in, 4)) * scale * 2.0**weight_bits, scale, weight_bits)
    file.quant(file.add("MatMul", x, w), 0.5, 6)
    return file


def test_other_scales_do_not(tmp_path):
    assert not judge_must_agree(load(scaled(0.3), tmp_path))


def test_sums_over_24_bits_do_not(tmp_path):
    assert not judge_must_agree(load(scaled(0.25, weight_bits=18), tmp_path))


def test_zero_points_count(tmp_path):
    """The executor multiplies codes without them."""
    assert judge_must_agree(load(scaled(0.25, weight_bits=15, n_in=1, zero_point=128.0), tmp_path))
    assert not judge_must_agree(load(scaled(0.25, weight_bits=15, n_in=1, zero_point=-(2.0**12)), tmp_path))


def wrong(graph, **change):
    """The graph with another first layer."""
    first = next(o for o in graph.operators if isinstance(o, Dense))
    values = {name: value(getattr(first, name)) for name, value in change.items()}
    operators = [replace(o, **values) if o is first else o for o in graph.operators]
    return replace(graph, operators=tuple(operators))


def test_one_wrong_weight_is_seen(tmp_path):
    graph = load(mlp(RNG, [6, 5, 4]), tmp_path)

    def disturb(weights):
        changed = weights.copy()
        changed[0, 0] += 1 if changed[0, 0] < 0 else -1
        return changed

    result = compared(wrong(graph, weights=disturb))
    assert result.mismatches > 0
    assert not result.passed


def test_one_wrong_sample_is_counted_once(tmp_path):
    graph = load(mlp(RNG, [6, 5]), tmp_path)
    design = rtl4ml.compile(graph, reuse=10**6)
    x = RNG.normal(size=(50, 6)).astype(np.float32)

    def decode(codes):
        reals = design.decode(codes)
        reals[7, 2] += 1
        return reals

    result = compare(graph, onnx.ModelProto.FromString(graph.model), x, design.encode(x), decode)
    assert [(t.name, t.mismatches) for t in result.tensors if t.mismatches] == [(result.tensors[-1].name, 1)]


def test_differences_of_float32_sums_are_listed(tmp_path, monkeypatch):
    """Scales that round: the unmodified judge differs here and there; that is reported, not required."""
    monkeypatch.setattr(equality, "CHUNK", 300)
    file = File([1, 64])
    x = file.quant("x", 0.1, 3)
    y = file.add("MatMul", x, file.weights(RNG.normal(size=(64, 16)) * 0.03, 0.013, 3))
    file.bipolar(y)  # sums that are 0 come out a little below it
    seen = []
    graph = load(file, tmp_path)
    design = rtl4ml.compile(graph, reuse=10**6)
    values = RNG.normal(size=(900, 64)).astype(np.float32)
    model = onnx.ModelProto.FromString(graph.model)
    result = compare(graph, model, values, design.encode(values), design.decode, lambda *d: seen.append(d))
    assert seen == [(300, 900), (600, 900), (900, 900)]
    assert result.passed
    assert not result.judge_required
    assert result.judge_differences > 0
    assert 0 < len(result.worst) <= 20
    for difference in result.worst:
        assert 0 <= difference.sample < 900
        assert difference.judge != difference.exact


def test_a_product_that_cannot_be_judged_fails(tmp_path):
    graph = load(mlp(RNG, [6, 5]), tmp_path)
    result = compared(graph)
    assert not replace(result, unjudged=("t4: no grid",)).passed
