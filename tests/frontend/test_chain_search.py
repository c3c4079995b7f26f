"""Steps found by bisection and by subdivision against steps found by asking at every point."""

import numpy as np
import onnx
import pytest
from onnx import helper

from rtl4ml.errors import ModelError
from rtl4ml.formats import Format
from rtl4ml.frontend import search
from rtl4ml.frontend.chain import Chain
from rtl4ml.frontend.chain_kernels import ChainKernels, StepKernels, company_matters
from rtl4ml.frontend.kernel_facts import facts
from rtl4ml.frontend.quantizer import Quantizer
from rtl4ml.frontend.values import Step
from rtl4ml.graph import Tensor
from rtl4ml.staircase import Staircase

OPSET = 20
RNG = np.random.default_rng(8)
ROWS = 3


def step(kind: str, parameters=None, operand: int = 0, **attributes) -> Step:
    parameters = {at: np.asarray(value, np.float32) for at, value in (parameters or {}).items()}
    names = [f"i{at}" for at in range(1 + len(parameters))]
    return Step(helper.make_node(kind, names, ["o"], f"the {kind}", **attributes), operand, parameters, np.arange(ROWS))


def chain(steps, width=3000, scale=0.01, bits=8, step_size=0.05, rounding_mode="ROUND") -> Chain:
    """Rows with scales and domains of their own."""
    scales = (scale * np.array([1, 0.7, 1.9])).astype(np.float32).astype(np.float64)
    limits = np.array([width, width - 17, width + 40])
    tensor = Tensor("t", (ROWS,), Format(32, True, scales), -limits, limits[::-1].copy())
    size, zero = np.array(step_size, np.float32), np.array(0, np.float32)
    quantizer = Quantizer("q", "Quant", size, zero, bits, True, False, rounding_mode)
    return Chain(tensor, None, tuple(steps), quantizer, OPSET)


def kernels(of: Chain) -> ChainKernels:
    return ChainKernels(of.tensor.format, of.bias, StepKernels(of.steps, ROWS, OPSET), of.quantizer)


def equal(a: Staircase, b: Staircase) -> bool:
    arrays = [(a.first, b.first), *zip(a.positions, b.positions, strict=True), *zip(a.codes, b.codes, strict=True)]
    return all(np.array_equal(x, y) for x, y in arrays)


CURVES = ["Sigmoid", "Tanh", "Elu", "Selu", "Celu", "Softplus", "Softsign", "HardSwish", "Erf", "Gelu", "Mish", "Exp"]
CHAINS = {
    **{kind: [step("Mul", {1: [0.5, -2.0, 0.9]}), step(kind), step("Mul", {1: [3.0, 1.5, -4.0]})] for kind in CURVES},
    "Elu downwards": [step("Elu", alpha=-3.0)],
    "LeakyRelu downwards": [step("LeakyRelu", alpha=-0.3)],
    "ThresholdedRelu below 0": [step("ThresholdedRelu", alpha=-0.7)],
    "ThresholdedRelu": [step("ThresholdedRelu")],
    "PRelu": [step("PRelu", {1: [-0.5, 0.2, 0.0]})],
    "Abs": [step("Add", {1: [0.1, 0.2, 7.0]}), step("Abs")],
    "square": [step("Pow", {1: 2.0})],
    "cube": [step("Mul", {1: 0.1}), step("Pow", {1: 3.0})],
    "numerator": [step("Add", {1: [0.013, 200.0, -0.1]}), step("Div", {0: [3.0, -2.0, 1.0]}, 1)],
    "reciprocal": [step("Add", {1: 0.0137}), step("Reciprocal")],
    "root": [step("Abs"), step("Sqrt")],
    "logarithm": [step("Abs"), step("Max", {1: 0.01}), step("Log")],
    "one after the other": [
        step("BatchNormalization", {1: [1.0, -0.5, 2.0], 2: [0.1, 0.2, 0.3], 3: [0.0, 1.0, -1.0], 4: [1.0, 0.3, 4.0]}),
        step("Tanh"),
        step("HardSwish"),
        step("Mul", {1: 7.0}),
        step("Abs"),
        step("Sub", {0: 1.0}, 1),
        step("Elu"),
    ],
}


@pytest.mark.parametrize("bits", [3, 8, 11])
@pytest.mark.parametrize("name", CHAINS)
def test_subdivision_finds_every_step(name, bits):
    of = chain(CHAINS[name], bits=bits, step_size=0.4 * 2.0 ** (3 - bits))
    run = kernels(of)
    low, high = of.tensor.low, of.tensor.high
    everywhere = search.enumerate_all(run.codes, low, high)
    asked = 0

    def counted(x):
        nonlocal asked
        asked += x.size
        return run.codes(x)

    assert equal(search.subdivide(counted, run.bounds, low, high, "it"), everywhere)
    assert bits > 3 or asked < (high - low + 1).sum() / 4
    assert equal(of.staircase(), everywhere)


@pytest.mark.parametrize("name", CHAINS)
def test_bounds_hold_all_codes_of_an_interval(name):
    of = chain(CHAINS[name])
    run = kernels(of)
    length = 25
    first = of.tensor.low + RNG.integers(0, 5000, (40, ROWS))
    low, high = run.bounds(first, first + length)
    inside = np.stack([run.codes(first + i) for i in range(length + 1)])
    assert np.all(low <= inside) and np.all(inside <= high)


@pytest.mark.parametrize("kind", ["Relu", "LeakyRelu", "HardSigmoid", "Neg", "Floor", "Ceil", "Round", "Sign"])
@pytest.mark.parametrize("rounding_mode", ["ROUND", "UP", "HALF_DOWN"])
def test_bisection_finds_every_step(kind, rounding_mode):
    of = chain([step("Mul", {1: [0.5, -2.0, 0.0]}), step(kind)], rounding_mode=rounding_mode)
    assert StepKernels(of.steps, ROWS, OPSET).monotone
    assert equal(of.staircase(), search.enumerate_all(kernels(of).codes, of.tensor.low, of.tensor.high))


def test_wide_domains():
    """2**29 points a row: the steps are right where they are looked at."""
    of = chain(CHAINS["HardSwish"], width=1 << 28, scale=2.0**-25)
    found, run = of.staircase(), kernels(of)
    for row in range(ROWS):
        around = (found.positions[row][:, None] + np.array([-2, -1, 0, 1])).reshape(-1)
        table = np.repeat(of.tensor.low[None], len(around), axis=0)
        table[:, row] = around
        assert np.array_equal(run.codes(table)[:, row], found.at(row, around))


def test_ragged_points_over_several_tables(monkeypatch):
    monkeypatch.setattr(search, "TILE", 8)
    of = chain(CHAINS["Tanh"], width=200)
    run = kernels(of)
    everywhere = search.enumerate_all(run.codes, of.tensor.low, of.tensor.high)
    monkeypatch.undo()
    assert equal(everywhere, of.staircase())


def test_searches_have_an_end(monkeypatch):
    of = chain([step("Abs")], width=1 << 30, bits=20, scale=2.0**-10, step_size=1e-3)
    monkeypatch.setattr(search, "MAX_POINTS", 1 << 12)
    with pytest.raises(ModelError, match=r"^Steps of node 'q' \(Quant\) must be found within 4096 points over all"):
        of.staircase()


def test_what_never_settles_is_refused_at_once(monkeypatch):
    # A step is hardly longer than the slack of the kernel's bounds.
    of = chain([step("Mish")], width=1 << 24, bits=24, scale=2.0**-20, step_size=2.0**-14)
    monkeypatch.setattr(search, "_ask", lambda *_: pytest.fail("no point has to be asked for"))
    with pytest.raises(ModelError, match=r"^Steps of node 'q' \(Quant\) must be found within 16777216 points over all"):
        of.staircase()


def test_no_number_is_found_on_wide_domains():
    of = chain([step("Sub", {0: 5.0}, 1), step("Tanh"), step("Sqrt")], width=1 << 30, scale=2.0**-20)
    with pytest.raises(ModelError, match=r"^Results of node 'the Sqrt' \(Sqrt\) must be numbers for all values"):
        of.staircase()


def test_company_matters_to_kernels_that_work_on_vectors_of_four():
    assert company_matters("Elu", (), OPSET)
    assert not company_matters("Tanh", (), OPSET)


@pytest.mark.parametrize("opset", [8, OPSET])
def test_values_alone(opset):
    """In onnxruntime's own loop and in calls of one value each."""
    import onnxruntime

    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Softplus", ["x"], ["y"])],
            "g",
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])],
            [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
    )
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    values = RNG.normal(0, 3, (50, ROWS)).astype(np.float32)
    alone = [session.run(None, {"x": value[None]})[0][0] for value in values.reshape(-1)]
    assert np.array_equal(StepKernels([step("Softplus")], ROWS, opset).values(values).reshape(-1), alone)


@pytest.mark.parametrize(
    ("of", "monotone"),
    [
        (step("PRelu", {1: [0.1, 0.0, 2.0]}), True),
        (step("PRelu", {1: [0.1, -0.1, 2.0]}), False),
        (step("Div", {1: 2.0}), True),
        (step("Div", {0: 2.0}, 1), False),
        (step("LeakyRelu"), True),
        (step("LeakyRelu", alpha=-0.5), False),
        (step("ThresholdedRelu"), True),
        (step("Elu"), False),
        (step("Abs"), False),
    ],
)
def test_what_is_monotone_in_float32(of, monotone):
    assert facts(of).monotone == monotone
