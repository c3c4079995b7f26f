import pytest
from amaranth.hdl import Module, Shape
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from tests.datapath.equal import proof

from rtl4ml.datapath import clip_cell
from rtl4ml.datapath.delays import Clock
from rtl4ml.datapath.lowering import lower
from rtl4ml.datapath.pipeline import cut
from rtl4ml.datapath.ternary import with_ternary_sums
from rtl4ml.datapath.words import Datapath
from rtl4ml.export.verilog import convert
from rtl4ml.yosys import run_yosys


class Limited(wiring.Component):
    """A word between limits, from the datapath's own expressions or from the cell."""

    def __init__(self, source, limits, cell):
        datapath = Datapath()
        word = datapath.input("x", *source)
        result = datapath.output("y", datapath.clip(word, *limits))
        self._datapath = with_ternary_sums(datapath) if cell else datapath
        shapes = {name: Shape(w.bits, w.low < 0) for name, w in (("x", word), ("y", result))}
        super().__init__({"x": In(shapes["x"]), "y": Out(shapes["y"])})

    def elaborate(self, platform):
        m = Module()
        outputs = lower(m, self._datapath, cut(self._datapath, Clock(1.0).period_ns), {"x": self.x})
        m.d.comb += self.y.eq(outputs["y"])
        return m


CASES = [
    ((-300, 500), (0, 255)),
    ((-300, 500), (0, 63)),
    ((-300, 200), (0, 255)),
    ((0, 500), (0, 127)),
    ((-300, 500), (-128, 127)),
    ((-300, 500), (-8, 6)),
    ((-90, 500), (-100, 33)),
    ((-300, 500), (3, 63)),
    ((-2, 500), (0, 255)),
    ((0, 4000), (0, 63)),
    ((-4, 5), (0, 1)),
    ((-9, 9), (0, 2)),
]


@pytest.mark.parametrize(("source", "limits"), CASES)
def test_the_cell_is_the_expression(source, limits, tmp_path):
    """Proven by Yosys for every word, in plain Verilog and with the primitives."""
    for name, cell in (("plain", False), ("limited", True)):
        text = convert(Limited(source, limits, cell), name, "a limited word")
        assert clip_cell.CELL not in text
        assert ("LUT6_2" in text) == (cell and limits != (0, 1))
        (tmp_path / f"{name}.v").write_text(text, encoding="utf-8")
    both = proof("plain", "limited")
    without_primitives = [line.replace("-DRTL4ML_PRIMITIVES ", "") for line in both]
    run_yosys(both + without_primitives, tmp_path)
