"""Parts that a network can be fitted to, and what is on them.

Sources: Lattice FPGA-DS-02012 (ECP5), FPGA-DS-02029 (iCE40 LP/HX), FPGA-DS-02008 (iCE40 UltraPlus); AMD DS180 (7
series), DS190 (Zynq-7000), DS891 (Zynq UltraScale+), DS890 (UltraScale architecture), DS987 (Kria K26). Block memories
of AMD parts are counted as 18 Kibit, two to each of 36. What nextpnr says is on a Lattice part is the same, but for the
12F.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from rtl4ml.errors import ConfigurationError


@dataclass(frozen=True)
class Part:
    """What is on a device.

    Parameters:
        name: as users write it.
        target: what estimates, timing model and synthesis know it as.
        cells: lookup tables; logic cells on iCE40.
        ff: flip-flops.
        dsp: multiplier blocks.
        bram: block memories of 18 Kibit, of 4 Kibit on iCE40.
    """

    name: str
    target: str
    cells: int
    ff: int
    dsp: int
    bram: int


_TABLE = (
    # The 12F has the die of the 25F, and nextpnr lets a design use all of it; here it is what the data sheet sells.
    Part("ecp5-12f", "ecp5-12f", 12_000, 12_000, 28, 32),
    Part("ecp5-25f", "ecp5-25f", 24_288, 24_288, 28, 56),
    Part("ecp5-45f", "ecp5-45f", 43_848, 43_848, 72, 108),
    Part("ecp5-85f", "ecp5-85f", 83_640, 83_640, 156, 208),
    Part("ice40-up5k", "ice40-up5k", 5_280, 5_280, 8, 30),
    Part("ice40-hx8k", "ice40-hx8k", 7_680, 7_680, 0, 32),
    Part("xc7a35t", "xc7", 20_800, 41_600, 90, 100),
    Part("xc7a100t", "xc7", 63_400, 126_800, 240, 270),
    Part("xc7a200t", "xc7", 134_600, 269_200, 740, 730),
    Part("xc7z010", "xc7", 17_600, 35_200, 80, 120),
    Part("xc7z020", "xc7", 53_200, 106_400, 220, 280),
    Part("xczu3eg", "xcup", 70_560, 141_120, 360, 432),
    Part("xczu7ev", "xcup", 230_400, 460_800, 1_728, 624),
    Part("xczu9eg", "xcup", 274_080, 548_160, 2_520, 1_824),
    Part("xck26", "xcup", 117_120, 234_240, 1_248, 288),
    Part("xcku5p", "xcup", 216_960, 433_920, 1_824, 960),
    Part("xcku15p", "xcup", 522_720, 1_045_440, 1_968, 1_968),
)

PARTS: Mapping[str, Part] = {part.name: part for part in _TABLE}
"""By name."""


def find_part(name: str) -> Part:
    """Part by name.

    Raises:
        ConfigurationError: there is none.
    """
    if name not in PARTS:
        raise ConfigurationError(f"Part must be one of {', '.join(PARTS)}, not {name!r}")
    return PARTS[name]
