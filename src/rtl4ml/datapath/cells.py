"""The cells that a stage's Verilog brings along: behind its module, under names that carry the module's."""

import re

from rtl4ml.datapath import clip_cell, ternary_adder

MACRO = "RTL4ML_PRIMITIVES"
"""Where it is defined, cells are made of primitives of AMD parts; elsewhere they are plain Verilog."""

_CELLS = {ternary_adder.CELL: ternary_adder.cell, clip_cell.CELL: clip_cell.cell}


def with_cells(verilog: str) -> str:
    """Verilog of a module with the cells behind it that it uses; unchanged where it uses none."""
    used = [cell for cell in _CELLS if cell in verilog]
    if not used:
        return verilog
    (module,) = re.findall(r"^module (\w+)", verilog, re.MULTILINE)[:1]
    for cell in used:
        name = f"{module}_{cell.removeprefix('rtl4ml_')}"
        verilog = verilog.replace(cell, name).rstrip() + "\n" + _CELLS[cell](name, MACRO)
    return verilog
