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
    """

    family: str
    mapping: str
    device: tuple[str, ...] | None = None

    @property
    def placed(self) -> bool:
        """Whether place and route runs, which gives a clock."""
        return self.device is not None


def _ecp5(size: str) -> Target:
    return Target("ecp5", "synth_ecp5 -top {top}", (f"--{size}", "--package", "CABGA381", "--speed", "6"))


# No pads and no clock buffers: the design is a part of something larger.
TARGETS: Mapping[str, Target] = {
    "xcup": Target("xcup", "synth_xilinx -family xcup -flatten -noiopad -noclkbuf -top {top}"),
    "xc7": Target("xc7", "synth_xilinx -family xc7 -flatten -noiopad -noclkbuf -top {top}"),
    "ecp5": Target("ecp5", "synth_ecp5 -top {top}"),
    "ecp5-12f": _ecp5("12k"),
    "ecp5-25f": _ecp5("25k"),
    "ecp5-45f": _ecp5("45k"),
    "ecp5-85f": _ecp5("85k"),
    "ice40": Target("ice40", "synth_ice40 -dsp -top {top}"),
    # Only the UltraPlus parts have multipliers.
    "ice40-hx8k": Target("ice40", "synth_ice40 -abc9 -device hx -top {top}", ("--hx8k", "--package", "ct256")),
    "ice40-up5k": Target("ice40", "synth_ice40 -abc9 -device u -dsp -top {top}", ("--up5k", "--package", "sg48")),
}
"""AMD UltraScale+ and 7 series, Lattice ECP5 (speed grade 6, the slowest) and iCE40, as families and as parts."""


def find_target(name: str) -> Target:
    """Target by name.

    Raises:
        ConfigurationError: there is none.
    """
    if name not in TARGETS:
        raise ConfigurationError(f"Target must be one of {', '.join(TARGETS)}, not {name!r}")
    return TARGETS[name]
