import numpy as np
import pytest

from rtl4ml.errors import ModelError
from rtl4ml.operators import Requantize
from tests.frontend.build import File, load, proven

RNG = np.random.default_rng(12)


def product(n_in=6, n_out=5, scale=0.13):
    """A file up to an accumulator with scales of every channel."""
    file = File([1, n_in])
    x = file.quant("x", scale, 4)
    w = file.weights(RNG.normal(size=(n_in, n_out)), RNG.uniform(0.1, 0.4, (1, n_out)), 4)
    return file, file.add("MatMul", x, w)


def batch_normalization(file, y, n, gains, **attributes):
    values = (gains, RNG.normal(size=n), RNG.normal(size=n), RNG.uniform(0.1, 2, n))
    return file.add("BatchNormalization", y, *(file.constant(v) for v in values), **attributes)


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("constant_first", [False, True])
def test_arithmetic_with_constants(tmp_path, operator, size, constant_first):
    file, y = product()
    c = file.constant(RNG.uniform(0.2, 1.5, size) * RNG.choice([-1, 1], size))
    file.quant(file.add(operator, *((c, y) if constant_first else (y, c))), 0.3, 4)
    proven(file, tmp_path)


@pytest.mark.parametrize("operator", ["Add", "Mul"])
def test_two_chained_constants(tmp_path, operator):
    file, y = product()
    y = file.add(operator, y, file.constant(RNG.normal(size=(1, 5))))
    y = file.add("Relu", y)
    y = file.add("Div", y, file.constant(0.77))
    file.quant(y, 0.3, 4, signed=0)
    proven(file, tmp_path)


@pytest.mark.parametrize("signs", [(1, 1, 1, 1, 1), (-1, 1, -1, 1, -1), (-1, -1, -1, -1, -1), (0, 1, -1, 0, 1)])
def test_batch_normalization_with_gains_of_any_sign(tmp_path, signs):
    file, y = product()
    y = batch_normalization(file, y, 5, RNG.uniform(0.3, 1.5, 5) * signs, epsilon=1e-3)
    file.quant(y, 0.3, 4)
    proven(file, tmp_path)
    graph = load(file, tmp_path)
    staircase = next(o for o in graph.operators if isinstance(o, Requantize)).staircase
    for row, sign in enumerate(signs):
        assert np.sign(staircase.at(row, staircase.high[row]) - staircase.first[row]) == sign


def test_batch_normalization_then_relu(tmp_path):
    file, y = product()
    y = file.add("Relu", batch_normalization(file, y, 5, RNG.normal(size=5)))
    file.quant(y, 0.3, 3, signed=0)
    proven(file, tmp_path)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 6.0), (None, 0.5), (-0.5, None), (-0.25, np.inf)])
def test_clip(tmp_path, low, high):
    file, y = product()
    limits = ["" if limit is None else file.constant(limit) for limit in (low, high)]
    file.quant(file.add("Clip", y, *limits), 0.1, 5)
    proven(file, tmp_path)


def test_clip_with_attributes(tmp_path):
    file = File([1, 6], opset=9)
    x = file.quant("x", 0.13, 4)
    y = file.add("MatMul", x, file.weights(RNG.normal(size=(6, 5)), 0.3, 4))
    file.quant(file.add("Clip", y, min=-0.5, max=1.25), 0.1, 5)
    proven(file, tmp_path)


def test_elementwise_without_a_product(tmp_path):
    """Quantizer to quantizer: one staircase on codes."""
    file = File([1, 8])
    x = file.quant("x", 0.21, 6, 7.0, signed=0)
    x = file.add("Mul", file.add("Add", x, file.constant(0.3)), file.constant(RNG.normal(size=8)))
    file.quant(x, 0.17, 4)
    proven(file, tmp_path)
    assert [o.kind for o in load(file, tmp_path).operators] == ["Requantize"]


def test_channels_are_dimension_1(tmp_path):
    file = File([1, 2, 3])
    x = file.quant("x", 0.21, 6)
    x = batch_normalization(file, x, 2, np.array([0.7, -1.1]))
    file.quant(x, 0.17, 4)
    proven(file, tmp_path)


def test_constants_that_add_dimensions(tmp_path):
    file, y = product()
    y = file.add("Add", y, file.constant(RNG.normal(size=(1, 1, 5))))
    file.quant(y, 0.3, 4)
    proven(file, tmp_path)
    assert load(file, tmp_path).output_shape == (1, 5)


def refuse(file, folder):
    with pytest.raises(ModelError) as caught:
        load(file, folder)
    return str(caught.value)


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div"])
def test_constants_that_are_not_finite(tmp_path, operator):
    file, y = product()
    file.quant(file.add(operator, y, file.constant(np.nan)), 0.3, 4)
    assert refuse(file, tmp_path) == f"Constants of node '{operator}_3' ({operator}) must be finite, not nan"


def test_division_by_zero(tmp_path):
    file, y = product()
    file.quant(file.add("Div", y, file.constant([1, 2, 0, 4, 5])), 0.3, 4)
    assert refuse(file, tmp_path) == "Divisor of node 'Div_3' (Div) must not be 0"


def test_constants_that_enlarge(tmp_path):
    file, y = product()
    file.quant(file.add("Add", y, file.constant(np.zeros((4, 5)))), 0.3, 4)
    assert refuse(file, tmp_path) == (
        "Constant of node 'Add_3' (Add) must broadcast to shape [1, 5], not have shape [4, 5]"
    )


def test_batch_normalization_in_training_mode(tmp_path):
    file, y = product()
    file.quant(batch_normalization(file, y, 5, np.ones(5), training_mode=1), 0.3, 4)
    assert refuse(file, tmp_path) == (
        "training_mode of node 'BatchNormalization_3' (BatchNormalization) must be 0, not 1: export the model in "
        "evaluation mode"
    )


def test_batch_normalization_of_another_size(tmp_path):
    file, y = product()
    file.quant(batch_normalization(file, y, 4, np.ones(4)), 0.3, 4)
    assert refuse(file, tmp_path) == (
        "Parameters of node 'BatchNormalization_3' (BatchNormalization) must have 5 elements, not 4"
    )


def test_batch_normalization_with_a_negative_variance(tmp_path):
    file, y = product()
    constants = [file.constant(v) for v in (np.ones(5), np.zeros(5), np.zeros(5), [1, 1, -1, 1, 1])]
    file.quant(file.add("BatchNormalization", y, *constants), 0.3, 4)
    assert refuse(file, tmp_path) == (
        "Variance of node 'BatchNormalization_3' (BatchNormalization) must be positive with epsilon added, not -1.0"
    )


def test_clip_at_nan(tmp_path):
    file, y = product()
    file.quant(file.add("Clip", y, file.constant(np.nan)), 0.3, 4)
    assert refuse(file, tmp_path) == "Limits of node 'Clip_3' (Clip) must be numbers, not NaN"


def test_limits_that_depend_on_the_input(tmp_path):
    file, y = product()
    z = file.add("Relu", y)
    file.quant(file.add("Clip", y, z), 0.3, 4)
    assert refuse(file, tmp_path) == (
        f"Input {z!r} of node 'Clip_4' (Clip) must be constant: it depends on the network's input"
    )
