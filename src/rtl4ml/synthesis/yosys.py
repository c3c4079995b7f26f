"""Cells that a design takes on a device family, as Yosys maps it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rtl4ml.cache import cached, key_of
from rtl4ml.datapath.cells import MACRO
from rtl4ml.synthesis.targets import ADDERS_FILE, ADDERS_MAP, ADDERS_SCRIPT, find_target
from rtl4ml.yosys import YosysCrashError, run_yosys, yosys_version

_LUT = re.compile(r"LUT[1-6](_2)?|SB_LUT4")
_FLIP_FLOP = re.compile(r"FD[RSCP]E(_1)?|TRELLIS_FF|SB_DFF\w*")
_CARRY = re.compile(r"CARRY[48]|CCU2C|SB_CARRY")
_DSP = re.compile(r"DSP48E[12]|MULT(9X9|18X18)D|SB_MAC16")
_BLOCKS = {"RAMB18E1": 1, "RAMB18E2": 1, "RAMB36E1": 2, "RAMB36E2": 2, "DP16KD": 1, "PDPW16KD": 1, "SB_RAM40_4K": 1}
_LUTS_OF_MEMORY = {
    "SRL16E": 1,
    "SRLC16E": 1,
    "SRLC32E": 1,
    "RAM32X1S": 1,
    "RAM32X1D": 2,
    "RAM64X1S": 1,
    "RAM64X1D": 2,
    "RAM128X1S": 2,
    "RAM128X1D": 4,
    "RAM256X1S": 4,
    "RAM256X1D": 8,
    "RAM512X1S": 8,
    "RAM32M": 4,
    "RAM64M": 4,
    "RAM32M16": 8,
    "RAM64M8": 8,
    "RAM64X8SW": 8,
    "RAM32X16DR8": 8,
    # Four tables of memory and the two whose slice carries the write address.
    "TRELLIS_DPR16X4": 6,
}


@dataclass(frozen=True)
class Resources:
    """Cells of a design.

    Parameters:
        lut: lookup tables that compute.
        lut_memory: lookup tables used as memory or as shift registers.
        ff: flip-flops.
        dsp: multiplier blocks.
        bram: block memories: of 18 Kibit on AMD parts, where a RAMB36 counts two, and on ECP5; of 4 Kibit on iCE40.
        carry: carry cells: of four bits on AMD parts as Yosys maps them, of two on ECP5, of one on iCE40.
        other: the rest by name, such as inverters and the multiplexers behind lookup tables.
    """

    lut: int
    lut_memory: int
    ff: int
    dsp: int
    bram: int
    carry: int
    other: Mapping[str, int]

    @classmethod
    def of(cls, cells: Mapping[str, int]) -> "Resources":
        """Sort cells, numbers by type, into kinds."""
        kinds = dict.fromkeys(("lut", "lut_memory", "ff", "dsp", "bram", "carry"), 0)
        other = {}
        for name, number in sorted(cells.items()):
            if name.startswith("$"):  # Yosys' notes on hierarchy: no hardware
                continue
            if name in _LUTS_OF_MEMORY:
                kinds["lut_memory"] += number * _LUTS_OF_MEMORY[name]
            elif name in _BLOCKS:
                kinds["bram"] += number * _BLOCKS[name]
            else:
                for kind, pattern in (("lut", _LUT), ("ff", _FLIP_FLOP), ("dsp", _DSP), ("carry", _CARRY)):
                    if pattern.fullmatch(name):
                        kinds[kind] += number
                        break
                else:
                    other[name] = number
        return cls(**kinds, other=other)


@dataclass(frozen=True)
class Mapped:
    """A design as cells of a device family.

    Parameters:
        resources: how many there are.
        netlist: Yosys' JSON of them; empty for what nextpnr does not place.
    """

    resources: Resources
    netlist: str


def synthesize(files: Mapping[str, str], top: str, target: str = "xcup", explicit_adders: bool = False) -> Resources:
    """Count the cells that Verilog takes on a device family; a result that is known from before comes from the cache.

    Args:
        files: text by file name.
        top: name of the top module.
        target: one of `TARGETS`.
        explicit_adders: False: the family's own script and nothing else. True: additions are mapped one by one ahead
            of it; by itself Yosys merges chains of them and builds the sums in tables. Verilog of rtl4ml is written so
            that this changes little.

    Raises:
        ConfigurationError: an unknown target.
        ToolError: Yosys cannot be loaded, refuses the files, or crashes on them.
    """
    return map_cells(files, top, target, explicit_adders).resources


def map_cells(files: Mapping[str, str], top: str, target: str, explicit_adders: bool = False) -> Mapped:
    """Map Verilog to the cells of a device family; arguments and errors are those of `synthesize`."""
    found = find_target(target)
    texts = {f"source{index}.v": text for index, text in enumerate(files.values())}
    # Yosys finds no ternary adders by itself.
    primitives = found.family in ("xc7", "xcup") and any(MACRO in text for text in texts.values())
    reading = [f"read_verilog {f'-D{MACRO} ' if primitives else ''}{name}" for name in texts]
    writing = ["write_json netlist.json"] if found.placed else []
    adders = ADDERS_SCRIPT if explicit_adders else ()
    scripts = [
        [
            *reading,
            *(command.format(top=top) for command in (*adders, *more, found.mapping)),
            "tee -o cells.json stat -json",
            *writing,
        ]
        for more in ((), found.around_crash)
    ]
    if explicit_adders:
        texts[ADDERS_FILE] = ADDERS_MAP

    def build(folder: Path) -> None:
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        try:
            run_yosys(scripts[0], folder)
        except YosysCrashError:
            if not found.around_crash:
                raise
            run_yosys(scripts[1], folder)
        for name in texts:
            (folder / name).unlink()

    key = key_of([yosys_version(), *scripts[0], *found.around_crash, *texts.values()])
    folder = cached("synthesis", key, build)
    cells = json.loads((folder / "cells.json").read_text(encoding="utf-8"))["design"].get("num_cells_by_type", {})
    netlist = (folder / "netlist.json").read_text(encoding="utf-8") if found.placed else ""
    return Mapped(Resources.of(cells), netlist)
