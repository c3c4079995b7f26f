import re

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl4ml.datapath.cells import with_cells
from rtl4ml.datapath.clip_cell import clip
from rtl4ml.datapath.ternary_adder import add_three
from rtl4ml.export.verilog import convert


class Both(wiring.Component):
    a: In(4)
    y: Out(4)

    def elaborate(self, platform):
        m = Module()
        total = add_three(m, [self.a, self.a, self.a], (False, True, False), 1, "total")
        m.d.comb += self.y.eq(clip(m, total, total[3], total[1:3], (0, 5), "limited"))
        return m


def test_cells_carry_the_modules_name():
    text = convert(Both(), "one", "a sum")
    assert "rtl4ml_clip" not in text
    assert "rtl4ml_ternary" not in text
    assert re.findall(r"^module (\w+)", text, re.MULTILINE) == ["one", "one_ternary_adder", "one_clip"]


def test_a_module_without_cells():
    assert with_cells("module plain();\nendmodule\n") == "module plain();\nendmodule\n"
