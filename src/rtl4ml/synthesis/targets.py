"""Devices that designs are measured on: how Yosys maps to each, and which of them nextpnr places and routes."""

from collections.abc import Mapping
from dataclasses import dataclass

from rtl4ml.errors import ConfigurationError


@dataclass(frozen=True)
class Target:
    """A family, or one part of it.

    Parameters:
        family: "xcup", "xc7", "ecp5" or "ice40".
        mapping: Yosys command; `{top}` stands for the top module.
        device: Options that tell nextpnr the part; None for what is only mapped.
        around_crash: Yosys commands ahead of that one, for designs that Yosys crashes on without; `{top}` likewise.
    """

    family: str
    mapping: str
    device: tuple[str, ...] | None = None
    around_crash: tuple[str, ...] = ()

    @property
    def placed(self) -> bool:
        """Whether place and route runs, which gives a clock."""
        return self.device is not None


def _ecp5(size: str) -> Target:
    return Target("ecp5", "synth_ecp5 -top {top}", (f"--{size}", "--package", "CABGA381", "--speed", "6"))


# Yosys 0.70 ends with signal 11 in `ice40_dsp` where two plain registers follow a product whose second operand comes
# from no register of its own, as with the last of an odd number of products, which waits for the sums of the others.
# With the names between the two registers kept, the pass takes only the first into the multiplier block.
ONE_REGISTER_BEHIND_PRODUCTS = (
    "hierarchy -top {top}",
    "proc",
    "flatten",
    "opt_clean",
    "select -set products t:$mul %co1:+[Y] w:* %i",
    "select -set held @products %co1:+$dff[D] t:$dff %i %co1:+$dff[Q] w:* %i",
    "select -set delayed t:$dff %ci1:+$dff[D] w:* %i",
    "setattr -set keep 1 @held @delayed %i",
)

# No pads and no clock buffers: the design is a part of something larger.
TARGETS: Mapping[str, Target] = {
    "xcup": Target("xcup", "synth_xilinx -family xcup -flatten -noiopad -noclkbuf -top {top}"),
    "xc7": Target("xc7", "synth_xilinx -family xc7 -flatten -noiopad -noclkbuf -top {top}"),
    "ecp5": Target("ecp5", "synth_ecp5 -top {top}"),
    "ecp5-12f": _ecp5("12k"),
    "ecp5-25f": _ecp5("25k"),
    "ecp5-45f": _ecp5("45k"),
    "ecp5-85f": _ecp5("85k"),
    "ice40": Target("ice40", "synth_ice40 -dsp -top {top}", around_crash=ONE_REGISTER_BEHIND_PRODUCTS),
    # Only the UltraPlus parts have multipliers.
    "ice40-hx8k": Target("ice40", "synth_ice40 -abc9 -device hx -top {top}", ("--hx8k", "--package", "ct256")),
    "ice40-up5k": Target(
        "ice40",
        "synth_ice40 -abc9 -device u -dsp -top {top}",
        ("--up5k", "--package", "sg48"),
        ONE_REGISTER_BEHIND_PRODUCTS,
    ),
}
"""AMD UltraScale+ and 7 series, Lattice ECP5 (speed grade 6, the slowest) and iCE40, as families and as parts."""


ADDERS_FILE = "explicit_adders.v"
ADDERS_MAP = r"""
(* techmap_celltype = "$add $sub" *)
module explicit_adder(A, B, Y);
  parameter A_SIGNED = 0;
  parameter B_SIGNED = 0;
  parameter A_WIDTH = 1;
  parameter B_WIDTH = 1;
  parameter Y_WIDTH = 1;
  parameter _TECHMAP_CELLTYPE_ = "";
  localparam subtract = _TECHMAP_CELLTYPE_ == "$sub";
  input [A_WIDTH-1:0] A;
  input [B_WIDTH-1:0] B;
  output [Y_WIDTH-1:0] Y;
  wire [Y_WIDTH-1:0] X, CO;
  \$alu #(.A_SIGNED(A_SIGNED), .B_SIGNED(B_SIGNED), .A_WIDTH(A_WIDTH), .B_WIDTH(B_WIDTH), .Y_WIDTH(Y_WIDTH))
    alu (.A(A), .B(B), .CI(subtract), .BI(subtract), .Y(Y), .X(X), .CO(CO));
endmodule
"""
"""Every addition and subtraction as an adder of its own, before Yosys' `alumacc` can merge chains of them."""

ADDERS_SCRIPT = (
    "hierarchy -top {top}",
    "proc",
    "flatten",
    "opt_expr",
    "opt_clean",
    "opt -nodffe -nosdff",
    "wreduce",
    "opt_clean",
    # Neither products nor sums of products: multiplier blocks take additions in.
    f"techmap -map {ADDERS_FILE} t:$add t:$sub %u t:$mul %co4:+$mul,+$dff %co1 %d",
)
"""Commands ahead of a family's own; `{top}` stands for the top module."""


def find_target(name: str) -> Target:
    """Target by name.

    Raises:
        ConfigurationError: there is none.
    """
    if name not in TARGETS:
        raise ConfigurationError(f"Target must be one of {', '.join(TARGETS)}, not {name!r}")
    return TARGETS[name]
