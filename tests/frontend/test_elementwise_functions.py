import numpy as np
import pytest

import rtl4ml
from rtl4ml.errors import ModelError
from rtl4ml.operators import Dense, Requantize
from tests.frontend.build import File, load, proven

RNG = np.random.default_rng(31)

FUNCTIONS = {
    "LeakyRelu": {"alpha": 0.1},
    "ThresholdedRelu": {"alpha": 0.4},
    "Elu": {"alpha": 0.7},
    "Selu": {},
    "Celu": {"alpha": 1.3},
    "Softplus": {},
    "Softsign": {},
    "HardSigmoid": {"alpha": 0.3, "beta": 0.45},
    "HardSwish": {},
    "Sigmoid": {},
    "Tanh": {},
    "Erf": {},
    "Gelu": {},
    "Mish": {},
    "Exp": {},
    "Abs": {},
    "Neg": {},
    "Sign": {},
    "Floor": {},
    "Ceil": {},
    "Round": {},
}


def product(n_in=6, n_out=5, scale=0.13, opset=20, bits=4):
    """A file up to an accumulator with scales of every channel."""
    file = File([1, n_in], opset=opset)
    x = file.quant("x", scale, bits)
    w = file.weights(RNG.normal(size=(n_in, n_out)), RNG.uniform(0.1, 0.4, (1, n_out)), 4)
    return file, file.add("MatMul", x, w)


def staircase(graph):
    return next(o for o in graph.operators if isinstance(o, Requantize)).staircase


@pytest.mark.parametrize("operator", FUNCTIONS)
def test_functions(tmp_path, operator):
    file, y = product()
    y = file.add("Mul", y, file.constant(RNG.normal(size=5)))
    y = file.add(operator, y, **FUNCTIONS[operator])
    file.quant(y, 0.031, 7)
    proven(file, tmp_path)


@pytest.mark.parametrize("operator", ["Elu", "Softplus", "Tanh", "Sigmoid", "Mish"])
def test_codes_at_every_accumulator_are_those_of_a_value_alone(tmp_path, operator):
    """One input and one output: all accumulators, each run by the executor in a tensor of its own."""
    file = File([1, 1], opset=18)
    x = file.quant("x", 1.0, 12)
    y = file.add("MatMul", x, file.weights([[1.0]], 1.0, 2))
    y = file.add("Mul", y, file.constant(0.0037))
    file.quant(file.add(operator, y), 0.0003, 14)
    x = np.arange(-2048, 2048, dtype=np.float32)[:, None]
    result = proven(file, tmp_path, x=x)
    # A tensor of one element is alone in the executor too.
    assert result.judge_differences == 0


def test_default_alpha_of_elu_is_one(tmp_path):
    """Elsewhere taken for 0: then nothing would be negative."""
    file, y = product()
    file.quant(file.add("Elu", y), 0.05, 6)
    proven(file, tmp_path)
    low = staircase(load(file, tmp_path)).code_low
    assert low == round((np.exp(-9.0) - 1) / 0.05) == -20


@pytest.mark.parametrize("slope", [-0.2, 0.0, 0.3, [0.1, 0.2, 0.3, 0.4, 0.5], [[-0.5, 0.5, -1.5, 0.0, 2.0]]])
def test_prelu_with_slopes_of_both_signs(tmp_path, slope):
    file, y = product()
    file.quant(file.add("PRelu", y, file.constant(slope)), 0.1, 6)
    proven(file, tmp_path)
    assert staircase(load(file, tmp_path)).monotone == bool(np.all(np.array(slope) >= 0))


@pytest.mark.parametrize("operator", ["HardSwish", "Abs", "Gelu"])
def test_chains_that_turn(tmp_path, operator):
    file, y = product()
    file.quant(file.add(operator, file.add("Add", y, file.constant(RNG.normal(size=5)))), 0.05, 6)
    proven(file, tmp_path)
    assert not staircase(load(file, tmp_path)).monotone


def test_negative_gains_before_a_function_that_turns(tmp_path):
    file, y = product()
    gains = file.constant([0.7, -0.9, 1.2, -0.3, 0.0])
    rest = [file.constant(v) for v in (RNG.normal(size=5), RNG.normal(size=5), RNG.uniform(0.1, 2, 5))]
    file.quant(file.add("HardSwish", file.add("BatchNormalization", y, gains, *rest)), 0.05, 6)
    proven(file, tmp_path)


def test_bias_off_the_grid_before_a_function(tmp_path):
    file, y = product()
    file.quant(file.add("Tanh", file.add("Add", y, file.constant(RNG.normal(size=5)))), 1 / 127, 8)
    proven(file, tmp_path)
    dense = next(o for o in load(file, tmp_path).operators if isinstance(o, Dense))
    assert not dense.bias.any()


@pytest.mark.parametrize("operator", ["Max", "Min"])
@pytest.mark.parametrize("constants", [[0.2], [[-0.3, 0.0, 0.3, 0.6, 0.9]], [0.1, [[0.3, 0.2, 0.1, 0.0, -0.1]]]])
def test_extremes_with_constants(tmp_path, operator, constants):
    file, y = product()
    inputs = [y, *(file.constant(c) for c in constants)]
    file.quant(file.add(operator, *inputs[::-1]), 0.05, 6)
    proven(file, tmp_path)


@pytest.mark.parametrize("exponent", [2.0, 3.0, 1.0, 0.0])
def test_powers(tmp_path, exponent):
    file, y = product()
    file.quant(file.add("Pow", y, file.constant(exponent)), 0.1, 7)
    proven(file, tmp_path)


@pytest.mark.parametrize("operator", ["Sqrt", "Log", "Pow", "Reciprocal"])
def test_functions_of_positive_numbers(tmp_path, operator):
    file, y = product()
    y = file.add("Add", file.add("Abs", y), file.constant(0.013))
    inputs = [y, file.constant(-1.7)] if operator == "Pow" else [y]
    file.quant(file.add(operator, *inputs), 0.05, 8)
    proven(file, tmp_path)


def test_numerators(tmp_path):
    """Infinite where the accumulator is 0: saturated, as the executor has it."""
    file, y = product()
    file.quant(file.add("Div", file.constant([[1.0, -2.0, 0.3, 4.0, 5.0]]), y), 0.5, 6)
    proven(file, tmp_path)


@pytest.mark.parametrize(("operator", "inputs"), [("Sqrt", 1), ("Log", 1), ("Pow", 0.5)])
def test_results_that_are_no_numbers(tmp_path, operator, inputs):
    file, y = product()
    operands = [y] if operator != "Pow" else [y, file.constant(inputs)]
    y = file.add(operator, *operands, name="root")
    file.quant(file.add("Clip", y, file.constant(0.0), file.constant(1.0)), 0.05, 6)
    with pytest.raises(ModelError, match=rf"^Results of node 'root' \({operator}\) must be numbers .*, not NaN: -\d"):
        load(file, tmp_path)


def test_nothing_over_nothing(tmp_path):
    file, y = product()
    file.quant(file.add("Div", file.constant(0.0), y, name="ratio"), 0.05, 6)
    with pytest.raises(ModelError, match=r"^Results of node 'ratio' \(Div\) must be numbers .*, not NaN: 0 gives none"):
        load(file, tmp_path)


@pytest.mark.parametrize(
    ("operator", "constant", "first", "message"),
    [
        ("Pow", [[1.0, 2.0, 3.0, 4.0, 5.0]], False, r"Exponent of node 'n' \(Pow\) must be one number, not 5"),
        ("Pow", 2.0, True, r"Input 'c\d' of node 'n' \(Pow\) must depend on the network's input: it is constant"),
        ("PRelu", 2.0, True, r"Slope of node 'n' \(PRelu\) must be constant, not an activation"),
        ("PRelu", np.ones(4), False, r"Constant of node 'n' \(PRelu\) must broadcast to shape \[1, 5\], not have"),
        ("Max", np.ones((5, 5)), False, r"Constant of node 'n' \(Max\) must broadcast to shape \[1, 5\], not have"),
        ("Max", np.nan, False, r"Constants of node 'n' \(Max\) must be finite, not nan"),
    ],
)
def test_refused(tmp_path, operator, constant, first, message):
    file, y = product()
    c = file.constant(constant)
    file.quant(file.add(operator, *((c, y) if first else (y, c)), name="n"), 0.05, 6)
    with pytest.raises(ModelError, match=f"^{message}"):
        load(file, tmp_path)


def test_dropout_in_training_mode(tmp_path):
    file, y = product()
    file.quant(file.add("Dropout", y, file.constant(0.5), file.constant(True, bool), name="drop"), 0.1, 4)
    with pytest.raises(ModelError, match=r"^training_mode of node 'drop' \(Dropout\) must be false, not true"):
        load(file, tmp_path)


@pytest.mark.parametrize("operator", ["Tanh", "Elu"])
def test_functions_in_front_and_behind_are_the_hosts(tmp_path, operator):
    file = File([1, 6])
    x = file.quant(file.add(operator, "x"), 0.02, 6)
    y = file.add("MatMul", x, file.weights(RNG.normal(size=(6, 5)), 0.2, 4))
    file.add(operator, y)
    proven(file, tmp_path)
    graph = load(file, tmp_path)
    assert graph.prologue.description == graph.epilogue.description == (operator,)


@pytest.mark.parametrize("reuse", [1, 6])
@pytest.mark.parametrize("operator", ["HardSwish", "Sigmoid"])
@pytest.mark.rtl
def test_in_verilog(tmp_path, operator, reuse):
    """Functions of many steps and of few, unrolled and with parameters from ROM; a second layer of single codes."""
    file, y = product(5, 6, bits=6)
    x = file.quant(file.add(operator, file.add("Mul", y, file.constant(RNG.uniform(0.5, 2, 6)))), 0.02, 6)
    y = file.add("MatMul", x, file.weights(RNG.normal(size=(6, 3)), 0.2, 3))
    file.quant(file.add("Abs", y), 0.3, 3, signed=0)
    result = rtl4ml.compile(load(file, tmp_path), reuse=reuse).verify(samples=200)
    assert result.passed
