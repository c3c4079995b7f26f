"""`--fit` on some parts: the plan that it chooses fits when synthesized and placed, and the next faster one does not.

A plan does not fit when nextpnr finds no place for its cells, or when they are more than the data sheet says there are.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from typing import Any

from rich.table import Table

import rtl4ml
from results import EXAMPLES, console, machine, publish
from rtl4ml.errors import ToolError
from rtl4ml.planning.fit import Fitted
from rtl4ml.planning.parts import PARTS, Part
from rtl4ml.synthesis.nextpnr import place
from rtl4ml.synthesis.yosys import map_cells


@dataclass(frozen=True)
class Case:
    """A network for a part.

    Parameters:
        model: file among the examples.
        part: to fit.
        clock_mhz: for which registers are placed.
    """

    model: str
    part: str
    clock_mhz: float


CASES = (
    Case("jet_tagger", "ecp5-25f", 50),
    Case("jet_tagger", "ice40-up5k", 12),
    Case("digits_mlp", "ecp5-12f", 60),
    # These end on lookup tables, of which products are made where there are no multipliers.
    Case("digits_mlp", "ice40-up5k", 12),
    Case("digits_mlp", "ice40-hx8k", 25),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", help="cases for this part only; nothing is written")
    arguments = parser.parse_args()
    notes = machine()
    missed: list[str] = []
    table = Table(title="The fastest plan that fits, and the next faster one")
    for column in (
        "network",
        "part",
        "plan",
        "interval",
        "LUT",
        "estimated",
        "FF",
        "estimated",
        "DSP",
        "estimated",
    ):
        table.add_column(column)
    for column in ("BRAM", "estimated", "Fmax", "estimated", "synthesized", "search s"):
        table.add_column(column)
    for case in CASES:
        if arguments.part not in (None, case.part):
            continue
        graph = rtl4ml.load(EXAMPLES / "models" / f"{case.model}.onnx")
        started = time.perf_counter()
        chosen = rtl4ml.compile(graph, fit=case.part, clock_mhz=case.clock_mhz, name=case.model)
        seconds = time.perf_counter() - started
        found = chosen.fitting
        assert found is not None
        plans = [("chosen", found.chosen)]
        plans += [("next faster", found.faster)] if found.faster is not None else []
        for name, fitted in plans:
            with console.status(f"{case.model} on {case.part}, {name}"):
                fits, cells = synthesized(rtl4ml.Design(graph, fitted.plan, case.model), found.part, case.clock_mhz)
            if fits != (name == "chosen"):
                missed.append(f"{name} plan of {case.model} on {case.part}: {'fits' if fits else 'does not fit'}")
            table.add_row(*_row(case, name, fitted, found.part, fits, cells), f"{seconds:.1f}")
    notes.append(f"missed: {', '.join(missed)}" if missed else "all goals reached")
    if arguments.part is not None:
        console.print(table)
        return int(bool(missed))
    publish("Fitting a part", [table], notes)
    return int(bool(missed))


def synthesized(design: rtl4ml.Design, part: Part, clock_mhz: float) -> tuple[bool, dict[str, Any]]:
    """Whether a design fits a part, and what it takes of it."""
    mapped = map_cells(design.verilog, design.name, part.target)
    resources = mapped.resources
    found: dict[str, Any] = {"ff": resources.ff, "dsp": resources.dsp, "bram": resources.bram}
    # Before placement: on ECP5 with the tables inside carry cells.
    tables = resources.lut + resources.lut_memory + 2 * resources.carry * part.target.startswith("ecp5")
    try:
        placed = place(mapped.netlist, design.name, part.target, design.ports.clock, clock_mhz)
    except ToolError as error:
        console.print(str(error), highlight=False)
        return False, found | {"cells": tables}
    cells = next(used for kind, (used, _) in placed.used.items() if kind in ("TRELLIS_COMB", "ICESTORM_LC"))
    found["cells"] = cells
    fits = all(found[kind] <= getattr(part, kind) for kind in ("cells", "ff", "dsp", "bram"))
    return fits, found | {"fmax_mhz": placed.fmax_mhz}


def _row(case: Case, name: str, fitted: Fitted, part: Part, fits: bool, cells: dict[str, Any]) -> list[str]:
    row = [case.model, case.part, name, f"{fitted.plan.interval:,}"]
    for kind in ("cells", "ff", "dsp", "bram"):
        there = getattr(PARTS[part.name], kind)
        measured = cells.get(kind)
        row += ["" if measured is None else f"{measured:,} of {there:,}", f"{getattr(fitted.estimate, kind):,}"]
    speed = cells.get("fmax_mhz")
    return [
        *row,
        "" if speed is None else f"{speed:.0f}",
        f"{fitted.estimate.fmax_mhz:.0f}",
        "fits" if fits else "does not",
    ]


if __name__ == "__main__":
    sys.exit(main())
