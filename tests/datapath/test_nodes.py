import itertools

import pytest

from rtl4ml.datapath.nodes import chain, signed_digits
from rtl4ml.datapath.words import Datapath


@pytest.mark.parametrize("value", range(-70, 71))
def test_signed_digits(value):
    digits = signed_digits(value)
    assert sum(sign << power for power, sign in digits) == value
    powers = [power for power, _ in digits]
    assert all(after - before > 1 for before, after in itertools.pairwise(powers))


def test_a_table_behind_a_word():
    datapath = Datapath()
    x, y = datapath.input("x", 0, 15), datapath.input("y", -8, 7)
    bits = [datapath.input(f"b{k}", 0, 1) for k in range(3)]

    def of(*arguments):
        word = datapath.weighted(*arguments)
        return chain(datapath.nodes, datapath.nodes[word.index])

    assert of(x, bits, (1, 3, -5)) == (0, 6)
    assert of(x, bits, (4, 12, -20), 8) == (2, 5)
    assert of(x, bits, (4, 12, -20), 9) == (0, 7)
    assert of(x, bits, (16, 48, 32), 16) == (4, 0)  # no overlap
    assert of(y, bits, (16, 48, 32), 16) == (4, 3)
    assert of(datapath.constant(5), bits, (1, 3, -5)) == (0, 0)  # the table alone


def test_low_bits_are_wired():
    datapath = Datapath()
    x, y = datapath.input("x", -8, 7), datapath.input("y", 0, 15)
    shifted = datapath.shift_left(y, 3)

    def of(word):
        return chain(datapath.nodes, datapath.nodes[word.index])

    assert of(datapath.add(x, y)) == (0, 6)
    assert of(datapath.add(x, shifted)) == (3, 5)
    assert of(datapath.subtract(x, shifted)) == (3, 5)
    assert of(datapath.subtract(shifted, x)) == (0, 9)
    assert of(datapath.add(y, datapath.shift_left(x, 4))) == (4, 0)  # no overlap
    assert of(datapath.add(x, datapath.constant(4))) == (2, 3)
