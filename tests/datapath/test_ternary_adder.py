import itertools
import re

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl4ml.datapath.ternary_adder import CELL, MACRO, add_three, table, with_cell
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
    script = []
    for number, (inverted, units) in enumerate(cases):
        text = convert(Adder(width, inverted, units), f"case{number}", "a sum")
        (tmp_path / f"case{number}.v").write_text(text, encoding="utf-8")
        script += [
            "design -reset",
            f"read_verilog case{number}.v",
            f"prep -flatten -top case{number}",
            "rename -top gold",
            "design -stash gold",
            "read_verilog +/xilinx/cells_sim.v",
            f"read_verilog -D{MACRO} case{number}.v",
            f"prep -flatten -top case{number}",
            "rename -top gate",
            "design -stash gate",
            "design -copy-from gold -as gold gold",
            "design -copy-from gate -as gate gate",
            "miter -equiv -flatten gold gate miter",
            "sat -verify -prove trigger 0 miter",
        ]
    run_yosys(script, tmp_path)


def test_the_plain_sum():
    assert table((False, False, False)) & 0xFFFF == 0b1110_1000_1110_1000
    assert table((False, False, False)) >> 32 & 0xFFFF == 0x6996
    assert table((True, False, False)) != table((False, True, False))


def test_the_cell_carries_the_modules_name():
    text = convert(Adder(4, (False, True, False), 1), "one", "a sum")
    assert CELL not in text
    assert re.findall(r"^module (\w+)", text, re.MULTILINE) == ["one", "one_ternary_adder"]
    assert with_cell("module plain();\nendmodule\n") == "module plain();\nendmodule\n"
