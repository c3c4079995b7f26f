import pytest

from rtl4ml.datapath.delays import FAMILIES, GENERIC, MARGIN, MEASURED, Clock, Delays, delays_of
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


def test_delays_of_a_table_behind_a_word():
    delays = Delays(lut=1.0, inputs=6, joined=5, table=0.5, chain=2.0, carry=0.125)
    datapath = Datapath()
    x, nothing = datapath.input("x", 0, 15), datapath.constant(0)
    bits = [datapath.input(f"b{k}", 0, 1) for k in range(7)]

    def of(a, number, delays=delays):
        word = datapath.weighted(a, bits[:number], [1] * number)
        return delays.of(datapath.nodes, datapath.nodes[word.index])

    assert [of(nothing, number) for number in (1, 2, 6, 7)] == [0.0, 1.0, 1.0, 1.5]
    assert [of(x, number) for number in (1, 5)] == [2.0 + 5 * 0.125] * 2
    assert [of(x, number) for number in (6, 7)] == [3.0 + 5 * 0.125, 3.5 + 5 * 0.125]
    assert of(x, 2, Delays(lut=1.0, joined=1, chain=2.0, carry=0.125)) == 3.0 + 5 * 0.125


def test_families_and_parts():
    assert delays_of(None) == delays_of("generic") == GENERIC
    assert delays_of("ecp5-25f") == delays_of("ecp5") == FAMILIES["ecp5"]
    assert delays_of("ice40-up5k") == FAMILIES["ice40-up5k"] != delays_of("ice40-hx8k") == FAMILIES["ice40"]
    with pytest.raises(ConfigurationError, match=r"^target must be one of generic, .* or a part of it, not 'gowin'$"):
        delays_of("gowin")


def test_measured_families_have_a_margin():
    measured, used = MEASURED["ecp5"], FAMILIES["ecp5"]
    assert used == measured.slower(MARGIN)
    assert (used.chain, used.memory) == (measured.chain * MARGIN, measured.memory * MARGIN)
    assert (used.inputs, used.ternary) == (measured.inputs, measured.ternary)
    assert GENERIC.slower(1.0) == GENERIC


def test_a_clock_with_and_without_a_device():
    assert Clock.of(125.0) == Clock(125.0, GENERIC)
    assert Clock.of(125.0).period_ns == 8.0
    device = Clock(125.0, FAMILIES["xcup"])
    assert Clock.of(device) is device
