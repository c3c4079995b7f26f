import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtl4ml.errors import ModelError
from rtl4ml.frontend.constants import quantize_constant, recover_grid
from rtl4ml.frontend.quantizer import Quantizer
from rtl4ml.frontend.values import Constant


def recovered(values):
    return recover_grid(Constant(np.asarray(values, np.float32)), "fc1", "MatMul")


@given(
    st.lists(st.integers(-(2**14), 2**14), min_size=4, max_size=4),
    st.integers(-30, 30),
    st.sampled_from([1.0, 3.0, 5.0, 7.0]),
)
def test_grids_are_exact(integers, exponent, odd):
    values = (np.array(integers).reshape(2, 2) * odd * 2.0**exponent).astype(np.float32)
    found = recovered(values)
    assert np.array_equal(found.codes * found.scale, values.astype(np.float64))
    assert np.abs(found.codes).max() < 2**15


def test_the_coarsest_grid_is_taken():
    found = recovered([[0.5, -1.5], [3.0, 0.0]])
    assert found.codes.tolist() == [[1, -3], [6, 0]]
    assert np.all(found.scale == 0.5)


def test_columns_may_have_grids_of_their_own():
    values = np.array([[1.0, 2.0**-20], [5.0, 3 * 2.0**-20]])
    found = recovered(values)
    assert found.codes.tolist() == [[1, 1], [5, 3]]
    assert np.array_equal(found.codes * found.scale, values)


def test_zeros():
    found = recovered(np.zeros((3, 2)))
    assert not found.codes.any()
    assert np.all(found.scale > 0)


def test_known_codes_stay():
    constant = Constant(np.ones((2, 2)), np.full((2, 2), 4), np.full((2, 2), 0.25))
    assert recover_grid(constant, "fc1", "MatMul") is constant


def test_quantized_constants_keep_their_codes():
    quantizer = Quantizer("q", "Quant", np.array([[0.5, 0.25]], np.float32), np.float32(1), 4, True, False, "ROUND")
    constant = quantize_constant(np.array([[0.75, -9.0], [-0.25, 0.125]], np.float32), quantizer)
    assert constant.codes.tolist() == [[1, -9], [-1, 1]]
    assert constant.scale.tolist() == [[0.5, 0.25]] * 2
    assert np.array_equal(constant.value, (constant.codes * constant.scale).astype(np.float32))


def test_a_constant_off_every_grid():
    with pytest.raises(ModelError) as caught:
        recovered(np.random.default_rng(0).normal(size=(4, 3)))
    assert str(caught.value) == (
        "Weights of node 'fc1' (MatMul) must be quantized, or lie on a grid of 16 bits or fewer: they do not; put a "
        "Quant "
        "node on them"
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_constant_that_is_not_finite(bad):
    with pytest.raises(ModelError) as caught:
        recovered([[1.0, bad]])
    assert str(caught.value) == f"Constants of node 'fc1' (MatMul) must be finite, not {bad}"
