import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl4ml.cmvm.solve import multiply_matrix
from rtl4ml.datapath.cost import carry_bits, live_nodes
from rtl4ml.datapath.nodes import ADD, SUBTRACT, TERNARY
from rtl4ml.datapath.ternary import with_ternary_sums
from rtl4ml.datapath.words import Datapath


def product(matrix, offsets=None, low=-8, high=7, ternary=True):
    datapath = Datapath()
    words = [datapath.input(f"x{row}", low, high) for row in range(len(matrix))]
    for column, word in enumerate(multiply_matrix(datapath, words, matrix, offsets, ternary=ternary)):
        datapath.output(f"y{column}", word)
    return datapath


def kinds_of(datapath):
    return [datapath.nodes[index].kind for index in live_nodes(datapath)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_the_same_function(seed):
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-40, 41, (int(rng.integers(1, 8)), int(rng.integers(1, 6))))
    offsets = rng.integers(-300, 300, matrix.shape[1])
    datapath = product(matrix, offsets, int(rng.integers(-9, 3)), int(rng.integers(4, 30)))
    fused = with_ternary_sums(datapath)
    inputs = {name: rng.integers(word.low, word.high, 60, endpoint=True) for name, word in datapath.inputs.items()}
    expected, found = datapath.evaluate(inputs), fused.evaluate(inputs)
    assert {name: (w.low, w.high) for name, w in fused.outputs.items()} == {
        name: (w.low, w.high) for name, w in datapath.outputs.items()
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
    assert carry_bits(fused) <= carry_bits(datapath)


def test_a_third_of_the_carry_bits_goes():
    matrix = np.random.default_rng(0).integers(-31, 32, (16, 16))
    plain = product(matrix, ternary=False)
    fused = with_ternary_sums(product(matrix))
    assert kinds_of(fused).count(TERNARY) > 60
    assert carry_bits(fused) < 0.76 * carry_bits(plain)


def test_a_sum_that_others_use_stays():
    datapath = Datapath()
    a, b, c = (datapath.input(name, 0, 15) for name in "abc")
    inner = datapath.add(a, b)
    datapath.output("y", datapath.add(inner, c))
    datapath.output("z", inner)
    assert TERNARY not in kinds_of(with_ternary_sums(datapath))


def test_a_concatenation_is_none():
    datapath = Datapath()
    a, b, c = (datapath.input(name, 0, 15) for name in "abc")
    datapath.output("y", datapath.add(datapath.add(a, datapath.shift_left(b, 4)), c))
    fused = with_ternary_sums(datapath)
    assert kinds_of(fused).count(ADD) == 2


@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_signs(signs):
    datapath = Datapath()
    a, b, c = (datapath.input(name, -8, 7) for name in "abc")
    inner = datapath.add(a, b) if signs[0] > 0 else datapath.subtract(a, b)
    datapath.output("y", datapath.add(inner, c) if signs[1] > 0 else datapath.subtract(inner, c))
    fused = with_ternary_sums(datapath)
    kinds = kinds_of(fused)
    assert kinds.count(TERNARY) == 1
    assert ADD not in kinds
    assert SUBTRACT not in kinds
    x = np.arange(-8, 8)
    result = fused.evaluate({"a": x[:, None, None], "b": x[:, None], "c": x})["y"]
    np.testing.assert_array_equal(result, x[:, None, None] + signs[0] * x[:, None] + signs[1] * x)
