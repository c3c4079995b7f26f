"""Loop nests found in arrays of indices: the words that they visit are those of the arrays."""

import re

import numpy as np
import pytest

from rtl4ml.errors import ConfigurationError
from rtl4ml.stages.walks import factor, is_identity, plan_walk, widest_word, words_of


def image(height, width, channels):
    return np.arange(height * width * channels).reshape(height, width, channels)


def pad(array, *pads):
    return np.pad(array, pads, constant_values=-1)


def depth_to_space(array, block):
    height, width, channels = array.shape
    split = array.reshape(height, width, block, block, channels // block**2).transpose(0, 2, 1, 3, 4)
    return split.reshape(height * block, width * block, -1)


def space_to_depth(array, block):
    height, width, channels = array.shape
    split = array.reshape(height // block, block, width // block, block, channels).transpose(0, 2, 1, 3, 4)
    return split.reshape(height // block, width // block, -1)


X = image(4, 6, 4)
NESTS = {
    "identity": X,
    "rows": X[1:3],
    "columns": X[:, 2:5],
    "box": X[1:4, 3:5],
    "strided": X[::2, 1::2],
    "one pixel": X[2:3, 3:4],
    "upside down": X[::-1],
    "left and right": X[:, ::-1],
    "turned round": X[::-1, ::-1, ::-1],
    "transposed": X.transpose(1, 0, 2),
    "channels first": X.transpose(2, 0, 1),
    "channels in the middle": X.transpose(0, 2, 1),
    "channels in two groups": X.reshape(4, 6, 2, 2).transpose(0, 1, 3, 2).reshape(4, 6, 4),
    "some channels": X[:, :, 1:3],
    "a channel": X[:, :, 3:],
    "upper half of channels": X[:, :, 2:],
    "nearest twice": X.repeat(2, axis=0).repeat(2, axis=1),
    "nearest in rows": X.repeat(3, axis=0),
    "broadcast": np.broadcast_to(X[1:2, 2:3], (3, 5, 4)),
    "broadcast of channels": np.broadcast_to(X[:, :, 1:2], (4, 6, 3)),
    "depth to space": depth_to_space(X, 2),
    "space to depth": space_to_depth(X, 2),
    "twice": np.concatenate([X, X], axis=1),
    "beside each other": np.concatenate([X, X], axis=2),
    "padded": pad(X, (1, 1), (1, 1), (0, 0)),
    "padded on one side": pad(X, (0, 2), (3, 0), (0, 0)),
    "padded far": pad(X, (5, 0), (0, 9), (0, 0)),
    "padded channels": pad(X[:, :, :], (0, 0), (0, 0), (0, 4)),
    "padded channels in front": pad(X[:, :, :], (0, 0), (0, 0), (1, 2)),
    "padded strided": pad(X[::2, ::3], (1, 1), (1, 0), (0, 0)),
    "padded and flipped": pad(X[:, ::-1], (1, 1), (2, 1), (0, 0)),
    "padded and transposed": pad(X.transpose(1, 0, 2), (1, 1), (2, 1), (0, 0)),
    "padded pixel": pad(X[:1, :1], (1, 1), (2, 1), (0, 0)),
    "padded and twice as large": pad(X.repeat(2, axis=0), (2, 4), (0, 0), (0, 0)),
}
VECTORS = {
    "vector": np.arange(3, 11),
    "strided vector": np.arange(1, 12, 3),
    "padded vector": pad(np.arange(12), (3, 6)),
    "flipped vector": np.arange(12)[::-1],
    "padded flipped vector": pad(np.arange(12)[::-1], (2, 1)),
}
LENGTHS = {
    "padded length": pad(np.arange(12).reshape(6, 2), (2, 1), (0, 0)),
    "padded channels of a length": pad(np.arange(12).reshape(6, 2), (0, 0), (1, 1)),
    "transposed length": np.arange(12).reshape(6, 2).T,
}
CASES = {
    **{name: (array, X.shape) for name, array in NESTS.items()},
    **{name: (array, (12,)) for name, array in VECTORS.items()},
    **{name: (array, (6, 2)) for name, array in LENGTHS.items()},
}


def moved(plan, n_in, fill):
    """Elements of a frame whose element k is k, as the plan issues them."""
    return plan.issued(np.arange(n_in).reshape(-1, plan.lanes)).reshape(-1)


@pytest.mark.parametrize("case", CASES)
def test_nests(case):
    array, shape = CASES[case]
    indices, n_in = array.reshape(-1), int(np.prod(shape))
    widest = widest_word(indices, n_in)
    for lanes in (c for c in range(1, widest + 1) if widest % c == 0):
        plan = plan_walk(indices, shape, array.shape, lanes, -1)
        assert plan.order is None, f"{lanes} lanes"
        assert np.array_equal(moved(plan, n_in, -1), indices)


def test_widest_words():
    def widest(name):
        array, shape = CASES[name]
        return widest_word(array.reshape(-1), int(np.prod(shape)))

    assert widest("identity") == 96
    assert widest("rows") == 24
    assert widest("columns") == 4
    assert widest("transposed") == 4
    assert widest("channels first") == 1
    assert widest("upper half of channels") == 2
    assert widest("some channels") == 1
    assert widest("padded") == 4
    assert widest("padded channels in front") == 1
    assert widest("padded vector") == 3


def test_identity():
    assert is_identity(np.arange(6), 6)
    assert not is_identity(np.arange(5), 6)
    assert not is_identity(np.arange(6)[::-1], 6)


@pytest.mark.parametrize("seed", range(60))
def test_random_nests(seed):
    """Any order of axes, slices with steps, padding afterwards: whatever comes out is the array."""
    generator = np.random.default_rng(seed)
    shape = tuple(generator.integers(1, 6, 3).tolist())
    array = image(*shape).transpose(generator.permutation(3))
    for axis, size in enumerate(array.shape):
        start, stop = sorted(generator.integers(0, size + 1, 2).tolist())
        step = int(generator.choice([1, 1, 2, -1]))
        array = np.take(array, np.arange(start, max(stop, start + 1))[::step] % size, axis=axis)
    nested = plan_walk(array.reshape(-1), shape, array.shape, 1, -1)
    assert nested.order is None
    assert np.array_equal(moved(nested, np.prod(shape), -1), array.reshape(-1))
    array = pad(array, *generator.integers(0, 3, (3, 2)).tolist())
    indices = array.reshape(-1)
    lanes = widest_word(indices, int(np.prod(shape)))
    for width in {1, lanes}:
        plan = plan_walk(indices, shape, array.shape, width, -1)
        assert np.array_equal(moved(plan, np.prod(shape), -1), indices)


@pytest.mark.parametrize("seed", range(20))
def test_no_nest(seed):
    """An order that has no system comes from ROM, in the widest words that there are."""
    generator = np.random.default_rng(seed)
    words = generator.permutation(7)[:5]
    words[generator.integers(5)] = -1
    indices = np.where(words[:, None] < 0, -1, 3 * words[:, None] + np.arange(3)).reshape(-1)
    assert widest_word(indices, 21) % 3 == 0
    plan = plan_walk(indices, (7, 3), (5, 3), 3, -1)
    assert np.array_equal(moved(plan, 21, -1), indices)


def test_factor():
    """The fewest loops; loops that go on as the inner ones do are one."""
    places = (np.arange(3)[:, None] * 10 + np.arange(4)[None, :] * 2).reshape(-1, 1)
    assert [(turns, step.tolist()) for turns, step in factor(places)] == [(3, [10]), (4, [2])]
    assert [(turns, step.tolist()) for turns, step in factor(np.arange(12)[:, None])] == [(12, [1])]
    assert factor(np.zeros((1, 2), int)) == []
    assert factor(np.array([0, 1, 3])[:, None]) is None


def test_errors():
    message = "Lanes of a move must divide its widest words of 2 elements, not be 4"
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        words_of(np.array([2, 3, 0, 1]), 4, 4)
    with pytest.raises(ConfigurationError, match=r"^A move must read some element, not give constants only$"):
        plan_walk(np.array([-1, -1]), (4,), (2,), 1, 0)
