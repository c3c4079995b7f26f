"""Chains in exact arithmetic: against fractions, and announced where they leave float32."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rtl4ml
from rtl4ml.errors import ConfigurationError
from rtl4ml.formats import Format
from rtl4ml.frontend import equality, exact_chain
from rtl4ml.frontend.quantizer import LinearQuantizer, Quantizer
from rtl4ml.graph import Tensor
from rtl4ml.operators import Requantize
from rtl4ml.planning.forms import choose
from rtl4ml.staircase import AffineForm
from tests.frontend.build import File
from tests.frontend.test_chain_search import step

ROUND = {
    "ROUND": round,
    "CEIL": math.ceil,
    "FLOOR": math.floor,
    "UP": lambda v: math.ceil(v) if v > 0 else math.floor(v),
    "DOWN": math.trunc,
    "HALF_UP": lambda v: math.floor(v + Fraction(1, 2)) if v > 0 else math.ceil(v - Fraction(1, 2)),
    "HALF_DOWN": lambda v: math.ceil(v - Fraction(1, 2)) if v > 0 else math.floor(v + Fraction(1, 2)),
}

# Multiples of an eighth: plenty of ties.
EIGHTHS = st.integers(-24, 24).map(lambda n: n / 8)
STEPS = st.one_of(
    st.tuples(st.just("Add"), EIGHTHS),
    st.tuples(st.just("Sub"), EIGHTHS),
    st.tuples(st.just("SubFrom"), EIGHTHS),
    st.tuples(st.just("Mul"), EIGHTHS),
    st.tuples(st.just("Div"), EIGHTHS.filter(bool)),
    st.tuples(st.just("Max"), EIGHTHS),
    st.tuples(st.just("Min"), EIGHTHS),
    st.tuples(st.just("PRelu"), EIGHTHS),
    st.tuples(st.just("LeakyRelu"), EIGHTHS),
    st.tuples(st.sampled_from(["Relu", "Abs", "Neg", "Clip"]), EIGHTHS),
)


def as_step(kind, value):
    match kind:
        case "SubFrom":
            return step("Sub", {0: value}, 1)
        case "LeakyRelu":
            return step(kind, alpha=value)
        case "Relu" | "Abs" | "Neg":
            return step(kind)
        case "Clip":
            return step(kind, {1: -1.5, 2: 2.25})
    return step(kind, {1: value})


def apply(kind, value, v):
    value = Fraction(value)
    match kind:
        case "Add":
            return v + value
        case "Sub":
            return v - value
        case "SubFrom":
            return value - v
        case "Mul":
            return v * value
        case "Div":
            return v / value
        case "Max":
            return max(v, value)
        case "Min":
            return min(v, value)
        case "PRelu" | "LeakyRelu":
            return v if v > 0 else v * value
        case "Relu":
            return max(v, Fraction(0))
        case "Abs":
            return abs(v)
        case "Neg":
            return -v
    return min(max(v, Fraction(-3, 2)), Fraction(9, 4))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(STEPS, max_size=5),
    st.sampled_from([*ROUND, "bipolar", "linear"]),
    st.sampled_from([0.25, 0.3, 1.0]),
    st.integers(-3, 3),
)
def test_against_fractions(steps, mode, scale, zero):
    scale = float(np.float32(scale))
    tensor = Tensor("t", (1,), Format(9, True, np.array(0.125), np.array(2)), np.array([-90]), np.array([77]))
    size, zero_point = np.array(scale, np.float32), np.array(zero, np.float32)
    quantizer = Quantizer("q", "Quant", size, zero_point, 5, True, False, mode if mode in ROUND else "ROUND")
    if mode == "bipolar":
        quantizer = replace(quantizer, bits=1)
    elif mode == "linear":
        quantizer = LinearQuantizer("q", "QuantizeLinear", size, np.array(zero, np.int64), -16, 15)
    found = exact_chain.staircase(tensor, np.array(0.5), [as_step(*s) for s in steps], quantizer)
    assert found is not None
    for x in range(-90, 78):
        v = (x - 2) * Fraction(1, 8) + Fraction(1, 2)
        for kind, value in steps:
            v = apply(kind, value, v)
        if mode == "linear":
            code = min(max(round(v / Fraction(scale)) + zero, -16), 15)
        else:
            v = v / Fraction(scale) + zero
            code = (1 if v >= 0 else -1) if mode == "bipolar" else ROUND[mode](min(max(v, Fraction(-16)), Fraction(15)))
        assert found.at(0, np.array([x]))[0] == code, x


def test_gain_of_batch_normalization_is_a_float64():
    tensor = Tensor("t", (1,), Format(9, True, np.array(1.0)), np.array([-1000]), np.array([1000]))
    quantizer = Quantizer("q", "Quant", np.array(1.0), np.array(0.0), 8, True, False, "ROUND")
    normalize = step("BatchNormalization", {1: 0.3, 2: 0.7, 3: -4.0, 4: 2.0}, epsilon=0.001)
    found = exact_chain.staircase(tensor, None, [normalize], quantizer)
    assert found is not None
    f = [Fraction(float(np.float32(v))) for v in (0.3, 0.7, -4.0)]
    gain = Fraction(float(f[0]) / float(np.sqrt(2.0 + float(np.float32(0.001)))))
    x = np.arange(-1000, 1001)
    expected = [min(max(round((int(v) - f[2]) * gain + f[1]), -128), 127) for v in x]
    assert found.at(0, x).tolist() == expected


def test_curves_keep_the_kernels_definition():
    tensor = Tensor("t", (1,), Format(9, True, np.array(1.0)), np.array([-10]), np.array([10]))
    quantizer = Quantizer("q", "Quant", np.array(1.0), np.array(0.0), 8, True, False, "ROUND")
    for curve in (step("Tanh"), step("HardSigmoid"), step("Div", {0: 1.0}, 1)):
        assert exact_chain.staircase(tensor, None, [curve], quantizer) is None


def wide():
    """Wide accumulators, and a step of nearly six of them: float32 rounds to ties where there are none."""
    file = File([1, 2])
    x = file.quant("x", 1.0, 18)
    w = file.weights([[1.0, 1.0, -1.0], [0.0, 3.0, 2.0]], 1.0, 4)
    y = file.add("Mul", file.add("MatMul", x, w), file.constant(0.1))
    y = file.add("Add", y, file.constant([0.0, -70.7, 0.05]))
    hidden = file.quant(file.add("Relu", y), 0.6, 8, signed=0)
    y = file.add("MatMul", hidden, file.weights(np.eye(3), 1.0, 2))
    file.quant(file.add("Abs", y), 1.1, 8)
    return file


def inputs(graph):
    """Samples on every accumulator of the first channel that leaves float32, and beside."""
    found = [d for d in equality.announced(graph) if d.channel == 0]
    first = np.array([x for d in found for x in range(d.first - 1, d.last + 2)])
    second = np.random.default_rng(0).integers(-1000, 1000, len(first))
    return np.stack([np.clip(first, -(1 << 17), (1 << 17) - 1), second], axis=1).astype(np.float32)


def test_departures_are_counted_and_pass(tmp_path):
    path = wide().save(tmp_path)
    graph = rtl4ml.load(path, chains="real")
    x = inputs(graph)
    assert len(x)
    result = rtl4ml.compile(graph, reuse=10**6).verify(x, rtl=False)
    assert result.passed and result.equality.mismatches == 0
    told = result.equality.announced
    assert result.equality.departures >= sum(d.last - d.first + 1 for d in told if d.channel == 0) > 0
    described = result.describe()["reference"]
    assert described["departures"] == result.equality.departures
    assert described["announced"][0].keys() == {"tensor", "channel", "first", "last", "code", "float32"}
    for operator in graph.operators:
        if isinstance(operator, Requantize):
            form = choose(operator.staircase, multiplexed=False)
            assert not isinstance(form, AffineForm) or not any(form.exceptions)


def test_float32_is_the_default_and_leaves_nothing(tmp_path):
    path = wide().save(tmp_path)
    x = inputs(rtl4ml.load(path, chains="real"))
    result = rtl4ml.compile(rtl4ml.load(path), reuse=10**6).verify(x, rtl=False)
    assert result.passed and result.equality.departures == 0 and result.equality.announced == ()


@pytest.mark.parametrize("change", ["forgotten", "invented", "other code"])
def test_every_difference_must_have_been_announced(tmp_path, change):
    graph = rtl4ml.load(wide().save(tmp_path), chains="real")
    x = inputs(graph)
    index = next(i for i, o in enumerate(graph.operators) if isinstance(o, Requantize))
    operator = graph.operators[index]
    departures = operator.departures
    if change == "forgotten":
        kept = np.arange(1, len(departures))
        columns = {n: getattr(departures, n)[kept] for n in ("row", "first", "last", "code", "other")}
        departures = replace(departures, **columns)
    elif change == "invented":
        departures = replace(departures, first=departures.first - 1, last=departures.last + 1)
    else:
        departures = replace(departures, other=departures.other + 5)
    operators = list(graph.operators)
    operators[index] = replace(operator, departures=departures)
    result = rtl4ml.compile(replace(graph, operators=tuple(operators)), reuse=10**6).verify(x, rtl=False)
    assert not result.passed and result.equality.mismatches > 0


def test_the_definition_must_have_a_name(tmp_path):
    with pytest.raises(ConfigurationError, match=r"^chains must be one of float32, real, not 'exact'$"):
        rtl4ml.load(wide().save(tmp_path), chains="exact")
