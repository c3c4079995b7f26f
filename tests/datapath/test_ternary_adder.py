import itertools

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from tests.datapath.equal import proof

from rtl4ml.datapath.ternary_adder import add_three, table
from rtl4ml.export.verilog import convert
from rtl4ml.yosys import run_yosys


class Adder(wiring.Component):
    def __init__(self, width, inverted, units):
        self._inverted, self._units = inverted, units
        super().__init__({**{name: In(width) for name in "abc"}, "y": Out(width)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.y.eq(add_three(m, [self.a, self.b, self.c], self._inverted, self._units, "total"))
        return m


@pytest.mark.parametrize("width", [1, 3, 4, 6])
def test_primitives_are_the_plain_sum(width, tmp_path):
    """Proven by Yosys for every operand, with its own models of the primitives."""
    cases = [*itertools.product(itertools.product((False, True), repeat=3), range(3))]
    for number, (inverted, units) in enumerate(cases):
        text = convert(Adder(width, inverted, units), f"case{number}", "a sum")
        (tmp_path / f"case{number}.v").write_text(text, encoding="utf-8")
    names = [f"case{number}" for number in range(len(cases))]
    run_yosys([line for name in names for line in proof(name, name)], tmp_path)


def test_the_plain_sum():
    assert table((False, False, False)) & 0xFFFF == 0b1110_1000_1110_1000
    assert table((False, False, False)) >> 32 & 0xFFFF == 0x6996
    assert table((True, False, False)) != table((False, True, False))
