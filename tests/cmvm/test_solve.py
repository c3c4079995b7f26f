import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rtl4ml.cmvm.digits import digit_counts
from rtl4ml.cmvm.search import SLACK
from rtl4ml.cmvm.solve import multiply_matrix
from rtl4ml.datapath.cost import carry_bits, live_nodes
from rtl4ml.datapath.nodes import ADD, SUBTRACT, chain
from rtl4ml.datapath.words import Datapath
from rtl4ml.errors import ConfigurationError


def build(matrix, offsets=None, low=-8, high=7, **options):
    """The product as a datapath with inputs x0, x1, ... and outputs y0, y1, ..."""
    datapath = Datapath()
    words = [datapath.input(f"x{row}", low, high) for row in range(matrix.shape[0])]
    for column, word in enumerate(multiply_matrix(datapath, words, matrix, offsets, **options)):
        datapath.output(f"y{column}", word)
    return datapath


def check(datapath, matrix, offsets, seed=0):
    """Compares with NumPy at random inputs and at those that reach the extremes of every column."""
    rng = np.random.default_rng(seed)
    lows = np.array([word.low for word in datapath.inputs.values()], np.int64)
    highs = np.array([word.high for word in datapath.inputs.values()], np.int64)
    extremes = [np.where(column > 0, highs, lows) for column in matrix.T] + [
        np.where(column > 0, lows, highs) for column in matrix.T
    ]
    x = np.concatenate([np.array([lows, highs, *extremes]), rng.integers(lows, highs, (100, len(lows)), endpoint=True)])
    expected = x @ matrix + offsets
    results = datapath.evaluate({f"x{row}": x[:, row] for row in range(len(lows))})
    for column in range(matrix.shape[1]):
        np.testing.assert_array_equal(results[f"y{column}"], expected[:, column])
        word = datapath.outputs[f"y{column}"]
        assert (word.low, word.high) == (expected[:, column].min(), expected[:, column].max())


def additions(datapath):
    kinds = [datapath.nodes[index].kind for index in live_nodes(datapath)]
    return kinds.count(ADD) + kinds.count(SUBTRACT)


def depth(datapath, name=None):
    """Carry chains on the longest way to an output, or to that of a name."""
    depths = []
    for node in datapath.nodes:
        before = max((depths[operand] for operand in node.operands), default=0)
        depths.append(before + (node.kind in (ADD, SUBTRACT) and chain(datapath.nodes, node).bits > 0))
    return max(depths[word.index] for key, word in datapath.outputs.items() if name in (None, key))


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_equals_numpy(data):
    shape = data.draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    limit = data.draw(st.sampled_from([1, 3, 9, 127, 4000]))
    matrix = data.draw(arrays(np.int64, shape, elements=st.integers(-limit, limit)))
    offsets = data.draw(arrays(np.int64, shape[1], elements=st.integers(-300, 300) | st.just(0)))
    low = data.draw(st.integers(-9, 3))
    high = low + data.draw(st.integers(1, 40))
    check(build(matrix, offsets, low, high), matrix, offsets)


@pytest.mark.parametrize(
    ("n", "m", "bits", "density"), [(40, 12, 6, 1.0), (24, 40, 4, 0.4), (150, 3, 3, 0.7), (1, 30, 8, 1.0)]
)
def test_larger_matrices(n, m, bits, density):
    rng = np.random.default_rng(n)
    matrix = rng.integers(-(1 << bits - 1), 1 << bits - 1, (n, m)) * (rng.random((n, m)) < density)
    offsets = rng.integers(-100, 100, m)
    datapath = build(matrix, offsets)
    check(datapath, matrix, offsets)
    again = build(matrix, offsets)
    assert datapath.nodes == again.nodes
    needed = int(digit_counts(matrix).sum(axis=0).max()).bit_length()
    assert depth(datapath) <= needed + SLACK


def test_levels_bound_each_result():
    rng = np.random.default_rng(8)
    matrix, offsets = rng.integers(-31, 32, (20, 8)), rng.integers(-100, 100, 8)
    matrix[4:, 3] = 0
    needed = np.array([int(d).bit_length() for d in digit_counts(matrix).sum(axis=0)])
    assert needed[3] < needed.max() - 1
    datapath = build(matrix, offsets, levels=needed)
    check(datapath, matrix, offsets)
    for column, bound in enumerate(needed.tolist()):
        assert depth(datapath, f"y{column}") <= bound


def test_ternary_sums_need_fewer_chains():
    rng = np.random.default_rng(8)
    matrix, offsets = rng.integers(-31, 32, (20, 8)), rng.integers(-100, 100, 8)
    check(build(matrix, offsets, ternary=True), matrix, offsets)


def test_sharing_pays():
    rng = np.random.default_rng(1)
    matrix = rng.integers(-31, 32, (32, 32))
    datapath = build(matrix, low=0, high=63)
    digits = int(digit_counts(matrix).sum())
    assert additions(datapath) < 0.53 * (digits - 32)
    assert carry_bits(datapath) < 10100


def test_one_hot_columns_are_wiring():
    matrix = np.array([[0, 4, 0], [1, 0, 0], [0, 0, 0]])
    datapath = build(matrix)
    assert additions(datapath) == 0
    assert [word.low for word in datapath.outputs.values()] == [-8, -32, 0]


def test_zero_columns_are_their_offset():
    datapath = build(np.zeros((3, 2), np.int64), np.array([0, -5]))
    assert [(word.low, word.high) for word in datapath.outputs.values()] == [(0, 0), (-5, -5)]
    assert additions(datapath) == 0


def test_equal_negated_and_shifted_columns_are_built_once():
    column = np.array([3, -5, 7, 1])
    alone = additions(build(column[:, None]))
    matrix = np.stack([column, column, -column, 4 * column, -8 * column], axis=1)
    datapath = build(matrix)
    check(datapath, matrix, np.zeros(5, np.int64))
    assert additions(datapath) == alone + 1  # one negation
    offsets = np.array([3, 3, 3, 0, 5])
    datapath = build(matrix, offsets)
    check(datapath, matrix, offsets)
    assert additions(datapath) == alone + 3


def test_an_offset_is_one_addition():
    matrix = np.array([[3, 5], [-7, 11], [9, 2]])
    assert additions(build(matrix, np.array([13, -21]))) == additions(build(matrix)) + 2
    matrix = np.array([[-1], [-1]])
    assert additions(build(matrix, np.array([77]))) == 2  # 77 - (x0 + x1): no negation


def test_constant_repeated_and_shifted_words():
    datapath = Datapath()
    x = datapath.input("x", -8, 7)
    words = [x, datapath.constant(5), datapath.shift_left(x, 2), x]
    (word,) = multiply_matrix(datapath, words, [[3], [10], [1], [1]], [-50])
    # 3 x + 50 + 4 x + x - 50
    assert word == datapath.shift_left(x, 3)
    (word,) = multiply_matrix(datapath, words, [[3], [10], [-1], [1]])
    assert (word.low, word.high) == (50, 50)
    assert multiply_matrix(datapath, [], np.zeros((0, 2), np.int64), [1, 2]) == [
        datapath.constant(1),
        datapath.constant(2),
    ]


@pytest.mark.parametrize(
    ("matrix", "offsets", "message"),
    [
        (np.ones((3, 2), np.int64), None, r"^matrix must have shape \(2, m\), not \(3, 2\)$"),
        (np.ones(2, np.int64), None, r"^matrix must have shape \(2, m\), not \(2,\)$"),
        (np.ones((2, 2)), None, r"^matrix must hold integers, not float64$"),
        (np.ones((2, 2), np.int64), [1], r"^offsets must have shape \(2,\), not \(1,\)$"),
        (np.ones((2, 2), np.int64), [1.5, 2], r"^offsets must hold integers, not float64$"),
    ],
)
def test_refuses(matrix, offsets, message):
    datapath = Datapath()
    words = [datapath.input("a", 0, 1), datapath.input("b", 0, 1)]
    with pytest.raises(ConfigurationError, match=message):
        multiply_matrix(datapath, words, matrix, offsets)


def test_small_constants_cost_next_to_nothing():
    matrix = np.random.default_rng(2).integers(1, 16, (12, 3))
    offsets = np.array([5, -3, 9])
    datapath = build(matrix, offsets)
    check(datapath, matrix, offsets)
    # An adder of its own would take ten bits in each of the columns.
    assert carry_bits(datapath) <= carry_bits(build(matrix)) + 8


def test_a_constant_added_later_joins_the_sum():
    matrix = np.random.default_rng(2).integers(-15, 16, (12, 3))
    offsets = np.array([50, -3, 900])
    datapath = Datapath()
    words = [datapath.input(f"x{row}", 0, 15) for row in range(12)]
    for column, word in enumerate(multiply_matrix(datapath, words, matrix, offsets, later=np.full(3, 128))):
        datapath.output(f"y{column}", datapath.add(word, datapath.constant(128)))
    check(datapath, matrix, offsets + 128)
    direct = build(matrix, offsets + 128, 0, 15)
    assert carry_bits(datapath) == carry_bits(direct)
    (word,) = multiply_matrix(Datapath(), [], np.zeros((0, 1), np.int64), [3], later=[9])
    assert (word.low, word.high) == (3, 3)
