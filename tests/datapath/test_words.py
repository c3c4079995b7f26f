import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl4ml.datapath.words import Datapath, Word
from rtl4ml.errors import ConfigurationError


@pytest.fixture
def datapath() -> Datapath:
    return Datapath()


@pytest.mark.parametrize(
    ("low", "high", "bits", "signed"),
    [
        (0, 0, 1, False),
        (0, 1, 1, False),
        (0, 255, 8, False),
        (-1, 0, 1, True),
        (-128, 127, 8, True),
        (-129, 0, 9, True),
        (-9, -3, 5, True),
    ],
)
def test_width_of_range(low, high, bits, signed):
    assert (Word(0, low, high).bits, Word(0, low, high).signed) == (bits, signed)


def test_equal_nodes_are_built_once(datapath):
    x, y = datapath.input("x", 0, 7), datapath.input("y", -4, 3)
    assert datapath.add(x, y) == datapath.add(y, x)
    assert datapath.subtract(x, y) != datapath.subtract(y, x)
    assert datapath.clip(x, 0, 3) == datapath.clip(x, -5, 3)
    assert datapath.multiply(x, y) == datapath.multiply(y, x)
    assert datapath.equal(x, y) == datapath.equal(y, x)
    assert datapath.shift_right(datapath.shift_right(x, 1), 1) == datapath.shift_right(x, 2)


def test_operations_that_change_nothing_vanish(datapath):
    x = datapath.input("x", -8, 7)
    zero, bit = datapath.constant(0), datapath.at_least(x, datapath.constant(2))
    for same in (
        datapath.add(zero, x),
        datapath.subtract(x, zero),
        datapath.shift_left(x, 0),
        datapath.shift_right(x, 0),
        datapath.negate(datapath.negate(x)),
        datapath.multiply(x, datapath.constant(1)),
        datapath.select(bit, x, x),
        datapath.clip(x, -8, 9),
        datapath.narrow(x, -100, 100),
        datapath.shift_right(datapath.shift_left(x, 3), 3),
        datapath.sum([x]),
        datapath.table(x, range(-8, 8)),
    ):
        assert same == x
    assert datapath.select(bit, datapath.constant(1), zero) == bit
    assert datapath.low_bits(bit, 3) == bit


def test_constants_fold(datapath):
    x = datapath.input("x", -8, 7)
    three, four = datapath.constant(3), datapath.constant(4)
    assert datapath.add(three, four).low == 7
    assert datapath.subtract(x, x) == datapath.constant(0)
    assert datapath.multiply(three, four).high == 12
    assert datapath.at_least(x, datapath.constant(-8)) == datapath.constant(1)
    assert datapath.at_least(x, datapath.constant(8)) == datapath.constant(0)
    assert datapath.equal(x, datapath.constant(8)) == datapath.constant(0)
    assert datapath.clip(x, 20, 30) == datapath.constant(20)
    assert datapath.clip(x, -30, -20) == datapath.constant(-20)
    assert datapath.low_bits(datapath.shift_left(x, 4), 4) == datapath.constant(0)
    assert datapath.sum([]) == datapath.constant(0)
    assert datapath.add(datapath.add(x, three), four) == datapath.add(x, datapath.constant(7))
    assert datapath.add(datapath.subtract(three, x), four) == datapath.subtract(datapath.constant(7), x)
    assert datapath.subtract(four, datapath.add(x, three)) == datapath.subtract(datapath.constant(1), x)
    assert datapath.subtract(four, datapath.subtract(three, x)) == datapath.add(x, datapath.constant(1))


def test_common_factors_of_two_leave_a_sum(datapath):
    x, y = datapath.input("x", 0, 7), datapath.input("y", 0, 7)
    shifted = datapath.add(datapath.shift_left(x, 3), datapath.shift_left(y, 2))
    assert shifted == datapath.shift_left(datapath.add(y, datapath.shift_left(x, 1)), 2)
    assert datapath.add(datapath.shift_left(x, 2), datapath.constant(12)) == datapath.shift_left(
        datapath.add(x, datapath.constant(3)), 2
    )


def test_signs_move_to_where_they_are_free(datapath):
    x, y = datapath.input("x", 0, 7), datapath.input("y", 0, 7)
    assert datapath.negate(datapath.subtract(x, y)) == datapath.subtract(y, x)
    assert datapath.add(x, datapath.negate(y)) == datapath.subtract(x, y)
    assert datapath.subtract(x, datapath.negate(y)) == datapath.add(x, y)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(-40, 40), st.integers(0, 60)),
    st.tuples(st.integers(-40, 40), st.integers(0, 60)),
    st.integers(0, 8),
    st.integers(-50, 50),
)
def test_meaning_and_exact_ranges(first, second, k, c):
    datapath = Datapath()
    a = datapath.input("a", first[0], sum(first))
    b = datapath.input("b", second[0], sum(second))
    constant = datapath.constant(c)
    entries = [(7 * i) % 23 - 11 for i in range(a.high - a.low + 1)]
    cases = {
        "add": (datapath.add(a, b), lambda x, y: x + y),
        "subtract": (datapath.subtract(a, b), lambda x, y: x - y),
        "negate": (datapath.negate(a), lambda x, y: -x),
        "shift_left": (datapath.shift_left(a, k), lambda x, y: x << k),
        "shift_right": (datapath.shift_right(a, k), lambda x, y: x >> k),
        "low_bits": (datapath.low_bits(a, k), lambda x, y: x % 2**k),
        "multiply": (datapath.multiply(a, b), lambda x, y: x * y),
        "square": (datapath.multiply(a, a), lambda x, y: x * x),
        "multiple": (datapath.multiply(a, constant), lambda x, y: x * c),
        "at_least": (datapath.at_least(a, b), lambda x, y: x >= y),
        "reaches": (datapath.at_least(a, constant), lambda x, y: x >= c),
        "reached": (datapath.at_least(constant, a), lambda x, y: c >= x),
        "equal": (datapath.equal(a, b), lambda x, y: x == y),
        "select": (datapath.select(datapath.at_least(a, b), a, b), lambda x, y: max(x, y)),
        "table": (datapath.table(a, entries), lambda x, y: entries[x - a.low]),
        "clip": (datapath.clip(a, min(c, k), max(c, k)), lambda x, y: min(max(x, min(c, k)), max(c, k))),
        "sum": (datapath.sum([a, b, a, constant]), lambda x, y: 2 * x + y + c),
    }
    for name, (word, _) in cases.items():
        datapath.output(name, word)
    x = np.repeat(np.arange(a.low, a.high + 1), b.high - b.low + 1)
    y = np.tile(np.arange(b.low, b.high + 1), a.high - a.low + 1)
    results = datapath.evaluate({"a": x, "b": y})
    for name, (word, meaning) in cases.items():
        expected = np.array([meaning(p, q) for p, q in zip(x.tolist(), y.tolist(), strict=True)]).astype(np.int64)
        np.testing.assert_array_equal(results[name], expected, err_msg=name)
        if name in ("add", "subtract", "negate", "shift_left", "shift_right", "multiply", "square", "table", "clip"):
            assert (word.low, word.high) == (expected.min(), expected.max()), name
        assert word.low <= expected.min(), name
        assert word.high >= expected.max(), name


def test_evaluate_keeps_the_shape_and_broadcasts(datapath):
    x = datapath.input("x", 0, 9)
    y = datapath.input("y", 0, 9)
    datapath.output("sum", datapath.add(x, y))
    datapath.output("one", datapath.constant(1))
    results = datapath.evaluate({"x": np.arange(6).reshape(2, 3), "y": np.array(4)})
    assert results["sum"].tolist() == [[4, 5, 6], [7, 8, 9]]
    assert results["one"].tolist() == [[1, 1, 1], [1, 1, 1]]
    assert results["one"].dtype == np.int64


def test_words_beyond_64_bits_are_exact(datapath):
    x = datapath.input("x", -(2**40), 2**40)
    square = datapath.multiply(x, datapath.add(x, datapath.constant(1)))
    datapath.output("y", datapath.shift_right(square, 40))
    assert datapath.evaluate({"x": np.array([2**40])})["y"].tolist() == [(2**40 * (2**40 + 1)) >> 40]


def test_proven_ranges_are_checked(datapath):
    x = datapath.input("x", 0, 9)
    y = datapath.output("y", datapath.add(x, datapath.shift_left(x, 1), within=(0, 20)))
    datapath.output("z", datapath.narrow(x, 0, 6))
    assert (y.low, y.high) == (0, 20)
    datapath.evaluate({"x": np.array([0, 6])})
    with pytest.raises(ConfigurationError, match=r"^word \d+ must stay in \[0, 20\] as promised, not reach \[0, 21\]$"):
        datapath.evaluate({"x": np.array([0, 7])})
    with pytest.raises(ConfigurationError, match=r"narrowed range must hold a value of \[0, 9\], not \[12, 9\]$"):
        datapath.narrow(x, 12, 15)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": np.array([4])}, r"^values of input 'x' must be in \[0, 3\], not in \[4, 4\]$"),
        ({"x": np.array([-1])}, r"^values of input 'x' must be in \[0, 3\], not in \[-1, -1\]$"),
        ({"x": np.array([1.0])}, r"^values of input 'x' must be integers, not float64$"),
        ({"z": np.array([1])}, r"^inputs must be \['x'\], not \['z'\]$"),
    ],
)
def test_evaluate_refuses(datapath, inputs, message):
    datapath.output("y", datapath.input("x", 0, 3))
    with pytest.raises(ConfigurationError, match=message):
        datapath.evaluate(inputs)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda d, x: d.input("x", 0, 1), r"^input name must be new, not 'x'$"),
        (lambda d, x: d.input("z", 1, 0), r"^range of input 'z' must be ascending, not \[1, 0\]$"),
        (lambda d, x: (d.output("y", x), d.output("y", x)), r"^output name must be new, not 'y'$"),
        (lambda d, x: d.shift_left(x, -1), r"^number of bits must be 0 or more, not -1$"),
        (lambda d, x: d.shift_right(x, -1), r"^number of bits must be 0 or more, not -1$"),
        (lambda d, x: d.low_bits(x, -1), r"^number of bits must be 0 or more, not -1$"),
        (lambda d, x: d.clip(x, 3, 2), r"^clip range must be ascending, not \[3, 2\]$"),
        (lambda d, x: d.select(x, x, x), r"^condition must be a bit, not a word of \[0, 3\]$"),
        (lambda d, x: d.table(x, [1, 2]), r"^table must have 4 values, one for each index, not 2$"),
    ],
)
def test_building_refuses(datapath, build, message):
    x = datapath.input("x", 0, 3)
    with pytest.raises(ConfigurationError, match=message):
        build(datapath, x)


def test_a_bit_is_at_least_one_when_it_is_one():
    datapath = Datapath()
    bit, word = datapath.input("bit", 0, 1), datapath.input("word", -1, 1)
    assert datapath.at_least(bit, datapath.constant(1)) == bit
    assert datapath.at_least(word, datapath.constant(1)) != word


def test_inverted_words():
    datapath = Datapath()
    x = datapath.input("x", 0, 5)
    inverted = datapath.output("y", datapath.invert(x))
    assert (inverted.low, inverted.high) == (-6, -1)
    assert datapath.invert(inverted) == x
    assert datapath.invert(datapath.constant(3)) == datapath.constant(-4)
    assert datapath.evaluate({"x": np.array([0, 5])})["y"].tolist() == [-1, -6]


def test_a_constant_moves_into_a_movable_sum():
    datapath = Datapath()
    x, y = datapath.input("x", 0, 5), datapath.input("y", 0, 5)
    total = datapath.add(x, y)
    asked = []

    def build(constant: int) -> Word:
        asked.append(constant)
        return datapath.add(x, datapath.add(y, datapath.constant(constant)))

    assert datapath.movable(total, build) == total
    assert datapath.add(total, datapath.constant(0)) == total
    moved = datapath.subtract(total, datapath.constant(7))
    assert asked == [-7]
    assert (moved.low, moved.high) == (-7, 3)


@pytest.mark.parametrize("word", [(0, 0), (5, 5), (0, 9), (-4, 3)])
@pytest.mark.parametrize(("weights", "constant"), [((3,), 0), ((-1, 2, 4), 7), ((8, -24, 16), 8), ((6, -6, 2, 12), -9)])
def test_weighted_bits(datapath, word, weights, constant):
    a = datapath.constant(word[0]) if word[0] == word[1] else datapath.input("a", *word)
    bits = [datapath.input(f"b{k}", 0, 1) for k in range(len(weights))]
    total = datapath.output("y", datapath.weighted(a, bits, weights, constant))
    values = np.stack(np.meshgrid(*[[0, 1]] * len(weights), [*range(word[0], word[1] + 1)]), -1).reshape(
        -1, len(weights) + 1
    )
    given = {f"b{k}": values[:, k] for k in range(len(weights))} | ({"a": values[:, -1]} if word[0] != word[1] else {})
    expected = values[:, -1] + values[:, :-1] @ np.array(weights) + constant
    assert datapath.evaluate(given)["y"].tolist() == expected.tolist()
    assert (total.low, total.high) == (expected.min(), expected.max())


def test_weighted_bits_without_any(datapath):
    x = datapath.input("x", 0, 3)
    assert datapath.weighted(x, [], [], 4) == datapath.add(x, datapath.constant(4))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((1,), r"^weights must be 2, one for each bit, not 1$"),
        ((1, 0), r"^weights must not be 0, not \[1, 0\]$"),
        ((1, 2), r"^bits must be words of \[0, 1\], not of \[0, 3\]$"),
    ],
)
def test_weighted_refuses(datapath, weights, message):
    bits = [datapath.input("b", 0, 1), datapath.input("x", 0, 3)]
    with pytest.raises(ConfigurationError, match=message):
        datapath.weighted(datapath.constant(0), bits, weights)
