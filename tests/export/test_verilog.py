import gc
import time

import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl4ml.errors import ToolError
from rtl4ml.export.verilog import convert, count_multipliers


class Square(wiring.Component):
    i: In(signed(6))
    o: Out(signed(12))

    def elaborate(self, platform):
        m = Module()
        square = Signal(signed(12))
        m.d.sync += square.eq(self.i * self.i)
        m.d.comb += self.o.eq(square)
        return m


class Broken(Square):
    def elaborate(self, platform):
        raise RuntimeError("no")


def test_a_module_has_its_comment_and_the_same_bytes_every_time():
    text = convert(Square(), "square", "square\ni * i, registered")
    assert text.startswith("// square\n// i * i, registered\nmodule square(")
    assert text == convert(Square(), "square", "square\ni * i, registered")
    assert "\\" not in text and "(*" not in text


def test_multipliers_are_counted_over_all_files():
    files = {f"{name}.v": convert(Square(), name, name) for name in ("one", "two")}
    ports = ".clk(clk), .rst(rst), .i(i)"
    top = "module top(input clk, input rst, input [5:0] i, output [11:0] a, output [11:0] b);\n"
    files["top.v"] = f"{top} one x({ports}, .o(a));\n two y({ports}, .o(b));\nendmodule\n"
    assert count_multipliers(files, "top") == 2
    with pytest.raises(ToolError, match=r"^Yosys must run to its end, not stop with status 1: it said ERROR: "):
        count_multipliers({"top.v": files["top.v"]}, "top")


def test_contents_of_memories_do_not_matter():
    """Yosys takes time by the square of a memory's words to read them: minutes for these."""
    words = 30_000
    ports = "input clk, input [14:0] i, input [7:0] a, output reg [15:0] o"
    text = f"module rom({ports});\n  reg [7:0] words [{words - 1}:0];\n  initial begin\n"
    text += "".join(f"    words[{index}] = 8'h{index % 256:02x};\n" for index in range(words))
    text += "  end\n  always @(posedge clk) o <= words[i] * a;\nendmodule\n"
    started = time.perf_counter()
    assert count_multipliers({"rom.v": text}, "rom") == 1
    assert time.perf_counter() - started < 30


def test_the_garbage_collector_is_as_it_was():
    assert gc.isenabled()
    with pytest.raises(RuntimeError, match=r"^no$"):
        convert(Broken(), "broken", "broken")
    assert gc.isenabled()
    gc.disable()
    try:
        convert(Square(), "square", "square")
        assert not gc.isenabled()
    finally:
        gc.enable()
