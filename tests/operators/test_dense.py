import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtl4ml.errors import ModelError
from rtl4ml.formats import Format
from rtl4ml.graph import Tensor
from rtl4ml.operators import Dense


def tensor(low, high, zero_point=0, scale=0.5, name="x"):
    low, high = np.asarray(low), np.asarray(high)
    return Tensor(name, low.shape, Format(24, True, np.array(scale), np.asarray(zero_point)), low, high)


def dense(weights, bias=None):
    weights = np.asarray(weights)
    bias = np.zeros(weights.shape[1], np.int64) if bias is None else np.asarray(bias)
    return Dense("fc", ("x",), "y", weights, bias, np.array(0.25), (weights.shape[1],))


def exactly(x, weights, bias, zero_point):
    """In Python's integers."""
    return (x.astype(object) - zero_point) @ weights.astype(object) + bias.astype(object)


@given(
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(0, 24),
    st.integers(0, 28),
    st.integers(-50, 50),
    st.integers(0, 2**32 - 1),
)
def test_every_dtype_is_exact_and_ranges_hold(n_in, n_out, bits, weight_bits, zero_point, seed):
    """Widths from float32 over float64 to int64."""
    rng = np.random.default_rng(seed)
    ends = np.sort(rng.integers(-(1 << bits), (1 << bits) + 1, (2, n_in)), axis=0)
    weights = rng.integers(-(1 << weight_bits), (1 << weight_bits) + 1, (n_in, n_out))
    bias = rng.integers(-(1 << bits), (1 << bits) + 1, n_out)
    x = rng.integers(ends[0], ends[1] + 1, (20, n_in))
    # Each column's extremes.
    x = np.concatenate([x, np.where(weights.T > 0, ends[1], ends[0]), np.where(weights.T > 0, ends[0], ends[1])])
    source, layer = tensor(ends[0], ends[1], zero_point), dense(weights, bias)
    out = layer.infer((source,))
    got = layer.evaluate([x], [source]).astype(np.int64)
    wanted = exactly(x, weights, bias, zero_point)
    assert np.array_equal(got.astype(object), wanted)
    assert np.array_equal(out.low, wanted.min(axis=0).astype(np.int64))
    assert np.array_equal(out.high, wanted.max(axis=0).astype(np.int64))
    assert out.format.low <= out.low.min() <= out.high.max() <= out.format.high


@pytest.mark.parametrize(
    ("bits", "dtype"), [(11, np.float32), (12, np.float64), (36, np.float64), (40, np.float64), (41, np.int64)]
)
def test_the_fastest_exact_dtype_is_taken(bits, dtype):
    """2**bits * (2**13 - 1): 24 bits and 53 are the borders."""
    x = tensor([0], [1 << bits])
    layer = dense([[(1 << 13) - 1]])
    assert layer.evaluate([np.array([[1 << bits]])], [x]).dtype == dtype


def test_zero_points_are_folded_into_the_bias():
    x = tensor([0, 0], [15, 15], np.array([3, 7]))
    assert dense([[1, 2], [3, -4]], [10, 20]).effective_bias(x).tolist() == [10 - 3 - 21, 20 - 6 + 28]


def test_one_layer_serves_tensors_of_other_ranges():
    """The dtype belongs to the tensor, not to its name."""
    layer = dense([[1 << 12], [1]])
    narrow, wide = tensor([0, 0], [7, 7]), tensor([0, 0], [1 << 20, 1 << 20], 5)
    assert layer.evaluate([np.array([[7, 7]])], [narrow]).tolist() == [[(7 << 12) + 7]]
    top = (1 << 20) - 1
    assert layer.evaluate([np.array([[top, top]])], [wide]).tolist() == [[((top - 5) << 12) + top - 5]]


def test_multiplications():
    assert dense(np.ones((6, 5), np.int64)).multiplications == 30


def test_accumulators_have_a_limit():
    with pytest.raises(ModelError) as caught:
        dense([[1 << 40]]).infer((tensor([0], [1 << 22]),))
    assert str(caught.value) == "Accumulators of node 'fc' (Dense) must fit 62 bits, not 64"
