import pytest

from rtl4ml.datapath.delays import FAMILIES, GENERIC, Clock, Delays, delays_of
from rtl4ml.datapath.words import Datapath
from rtl4ml.errors import ConfigurationError


def test_delays_of_the_kinds():
    delays = Delays(
        register=0.5, lut=1.0, table=0.5, chain=2.0, carry=0.125, compare=2.0, multiply=4.0, multiply_wide=8.0
    )
    datapath = Datapath()
    x, y = datapath.input("x", -128, 127), datapath.input("y", 0, 255)
    wide = datapath.input("wide", 0, 2**20)
    bit = datapath.at_least(x, datapath.constant(0))

    def of(word):
        return delays.of(datapath.nodes, datapath.nodes[word.index])

    assert of(x) == of(datapath.shift_left(x, 2)) == of(datapath.shift_right(x, 2)) == of(datapath.low_bits(x, 3)) == 0
    assert of(datapath.add(x, y)) == 2.0 + 10 * 0.125
    assert of(datapath.add(x, datapath.shift_left(y, 2))) == 2.0 + 10 * 0.125
    assert of(datapath.add(y, datapath.shift_left(x, 8))) == 0
    assert (of(datapath.multiply(x, y)), of(datapath.multiply(x, wide))) == (4.0, 8.0)
    assert of(bit) == 0  # the sign
    assert of(datapath.at_least(x, y)) == 2.0 + 8 * 0.125
    assert of(datapath.at_least(y, datapath.constant(128))) == 1.0  # the upper bit
    assert of(datapath.at_least(y, datapath.constant(16))) == 1.0  # OR of the upper four
    assert of(datapath.at_least(wide, datapath.constant(12345))) == 2.0 + 21 * 0.125
    assert of(datapath.at_least(datapath.constant(127), y)) == 1.0
    assert of(datapath.select(bit, x, y)) == 1.0
    assert of(datapath.equal(y, datapath.constant(7))) == 2.0
    assert of(datapath.equal(x, y)) == 2.0
    assert of(datapath.clip(y, 0, 127)) == 2.0
    assert of(datapath.clip(x, 0, 127)) == 1.0
    assert of(datapath.table(y, [(i * i) % 31 for i in range(256)])) == 2.0


def test_families_and_parts():
    assert delays_of(None) == delays_of("generic") == GENERIC
    assert delays_of("ecp5-25f") == delays_of("ecp5") == FAMILIES["ecp5"]
    assert delays_of("ice40-up5k") == FAMILIES["ice40-up5k"] != delays_of("ice40-hx8k") == FAMILIES["ice40"]
    with pytest.raises(ConfigurationError, match=r"^target must be one of generic, .* or a part of it, not 'gowin'$"):
        delays_of("gowin")


def test_a_clock_with_and_without_a_device():
    assert Clock.of(125.0) == Clock(125.0, GENERIC)
    assert Clock.of(125.0).period_ns == 8.0
    device = Clock(125.0, FAMILIES["xcup"])
    assert Clock.of(device) is device
