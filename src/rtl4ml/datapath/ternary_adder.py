"""The adder of three words as hardware: a cell that every stage's Verilog brings along.

By default it is a plain sum, in which vendors' tools find their ternary adder; where the macro `RTL4ML_PRIMITIVES` is
defined it is made of primitives of AMD parts (LUT6_2, CARRY4), for tools that do not.
"""

from amaranth.hdl import Const, Instance, Module, Signal, Value

CELL = "rtl4ml_ternary_adder"

_TEXT = """
module {name} #(
  parameter WIDTH = 1,
  parameter [2:0] INVERT = 0,
  parameter [1:0] UNITS = 0,
  parameter [63:0] TABLE = 0
) (
  input [WIDTH-1:0] a,
  input [WIDTH-1:0] b,
  input [WIDTH-1:0] c,
  output [WIDTH-1:0] y
);
`ifdef {macro}
  localparam BLOCKS = (WIDTH + 3) / 4;
  wire [4*BLOCKS-1:0] propagate, sum, majority, carry;
  wire [4*BLOCKS:0] compressed = {{majority, UNITS[1]}};
  assign y = sum[WIDTH-1:0];
  genvar i;
  generate
    for (i = 0; i < 4 * BLOCKS; i = i + 1) begin : bits
      if (i < WIDTH) begin : used
        LUT6_2 #(.INIT(TABLE)) lut (
          .I0(a[i]), .I1(b[i]), .I2(c[i]), .I3(compressed[i]), .I4(1'b0), .I5(1'b1),
          .O5(majority[i]), .O6(propagate[i]));
      end else begin : unused
        assign majority[i] = 1'b0;
        assign propagate[i] = 1'b0;
      end
    end
    for (i = 0; i < BLOCKS; i = i + 1) begin : blocks
      if (i == 0) begin : first
        CARRY4 chain (.CI(1'b0), .CYINIT(UNITS[0]), .DI(compressed[3:0]), .S(propagate[3:0]),
          .O(sum[3:0]), .CO(carry[3:0]));
      end else begin : others
        CARRY4 chain (.CI(carry[4*i-1]), .CYINIT(1'b0), .DI(compressed[4*i+3:4*i]), .S(propagate[4*i+3:4*i]),
          .O(sum[4*i+3:4*i]), .CO(carry[4*i+3:4*i]));
      end
    end
  endgenerate
`else
  wire [WIDTH-1:0] units = UNITS[0] + UNITS[1];
  assign y = (a ^ {{WIDTH{{INVERT[0]}}}}) + (b ^ {{WIDTH{{INVERT[1]}}}}) + (c ^ {{WIDTH{{INVERT[2]}}}}) + units;
`endif
endmodule
"""


def table(inverted: tuple[bool, bool, bool]) -> int:
    """Contents of the tables of one bit: the upper half adds three bits and a fourth, the lower half is their majority.

    Args:
        inverted: which of the three enter inverted.
    """
    contents = 0
    for index in range(16):
        bits = [(index >> k & 1) ^ turned for k, turned in enumerate(inverted)]
        if sum(bits) >= 2:
            contents |= 0x1_0001 << index
        if (sum(bits) + (index >> 3)) & 1:
            contents |= 0x1_0001 << (index + 32)
    return contents


def add_three(m: Module, operands: list[Value], inverted: tuple[bool, bool, bool], units: int, name: str) -> Signal:
    """Adds the cell to a module.

    Args:
        m: where to.
        operands: three words of the width of the sum.
        inverted: which of them enter inverted.
        units: 0, 1 or 2, added to their sum.
        name: of the sum's signal.
    """
    width = len(operands[0])
    total = Signal(width, name=name)
    a, b, c = operands
    m.submodules += Instance(
        CELL,
        p_WIDTH=width,
        p_INVERT=Const(sum(turned << k for k, turned in enumerate(inverted)), 3),
        p_UNITS=Const((0, 1, 3)[units], 2),
        p_TABLE=Const(table(inverted), 64),
        i_a=a,
        i_b=b,
        i_c=c,
        o_y=total,
    )
    return total


def cell(name: str, macro: str) -> str:
    """Verilog of the cell under a name."""
    return _TEXT.format(name=name, macro=macro)
