"""Limits of a word as hardware: a cell that every stage's Verilog brings along.

By default it is plain Verilog, of which vendors' tools pack two bits into a table with two outputs; where the macro
`RTL4ML_PRIMITIVES` is defined it is made of such tables of AMD parts (LUT6_2), for tools that do not.
"""

from amaranth.hdl import Const, Instance, Module, Signal, Value

CELL = "rtl4ml_clip"

_TEXT = """
module {name} #(
  parameter WIDTH = 1,
  parameter [WIDTH-1:0] LOW = 0,
  parameter [WIDTH-1:0] HIGH = 0
) (
  input [WIDTH-1:0] x,
  input under,
  input [1:0] over,
  output [WIDTH-1:0] y
);
`ifdef {macro}
  genvar i;
  generate
    for (i = 0; i < WIDTH; i = i + 2) begin : bits
      localparam J = i + 1 < WIDTH ? i + 1 : i;
      localparam [31:0] FIRST = {{{{3{{{{4{{LOW[i]}}}}, {{4{{HIGH[i]}}}}}}}}, {{4{{LOW[i]}}}}, 4'b1010}};
      localparam [31:0] SECOND = {{{{3{{{{4{{LOW[J]}}}}, {{4{{HIGH[J]}}}}}}}}, {{4{{LOW[J]}}}}, 4'b1100}};
      wire second;
      LUT6_2 #(.INIT({{FIRST, SECOND}})) lut (
        .I0(x[i]), .I1(x[J]), .I2(under), .I3(over[0]), .I4(over[1]), .I5(1'b1), .O5(second), .O6(y[i]));
      if (J > i) begin : pair
        assign y[J] = second;
      end
    end
  endgenerate
`else
  assign y = under ? LOW : over[0] | over[1] ? HIGH : x;
`endif
endmodule
"""


def clip(m: Module, x: Value, under: Value, over: Value, limits: tuple[int, int], name: str) -> Signal:
    """Adds the cell to a module.

    Args:
        m: where to.
        x: a word, as wide as the result.
        under: whether the result is the lower limit.
        over: two bits; if any is 1 the result is the upper limit, unless it is the lower one.
        limits: lower and upper.
        name: of the result's signal.
    """
    width = len(x)
    result = Signal(width, name=name)
    low, high = (Const(limit & (1 << width) - 1, width) for limit in limits)
    m.submodules += Instance(CELL, p_WIDTH=width, p_LOW=low, p_HIGH=high, i_x=x, i_under=under, i_over=over, o_y=result)
    return result


def cell(name: str, macro: str) -> str:
    """Verilog of the cell under a name."""
    return _TEXT.format(name=name, macro=macro)
