"""Estimates before synthesis: synthesize random networks, fit the coefficients of estimates to them, check on others.

    python estimates.py collect --first 100 --count 60     synthesize designs, each once; results go to estimates.jsonl
    python estimates.py place                              place and route those of Lattice's parts, synthesized again
                                                           where their Verilog is no longer the same
    python estimates.py fit                                fit to all designs, write rtl4ml's coefficients.json
    python estimates.py check                              each design against coefficients fitted to all the others

The check takes a tenth of the designs out, fits to the rest, and estimates those that were taken out: so every design
is estimated by coefficients that know nothing of it.

Collecting may be interrupted. A record holds what was counted in the plan beside what tools made of it, so that
fitting again needs no synthesis, also when networks are built differently by then.
"""

import argparse
import hashlib
import json
import statistics
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

import rtl4ml
from estimate_fits import fitted
from estimate_records import Record, Values, append, fmax_of, measured, read
from random_networks import FAMILIES, Sample, family_at, sample
from results import HERE, console, machine, publish
from rtl4ml.datapath.delays import delays_of
from rtl4ml.errors import Rtl4mlError
from rtl4ml.frontend.load import from_model
from rtl4ml.planning.estimates.families import Counting, family_of
from rtl4ml.planning.estimates.fmax import paths_of, period_of
from rtl4ml.planning.estimates.model import estimated_cells, values_of
from rtl4ml.planning.estimates.structure import structure_of, surroundings_of
from rtl4ml.synthesis.measure import tool_versions
from rtl4ml.synthesis.nextpnr import place
from rtl4ml.synthesis.yosys import map_cells

RECORDS = HERE / "estimates.jsonl"
COEFFICIENTS = HERE.parent / "src/rtl4ml/planning/estimates/coefficients.json"
LARGEST = {False: 60_000, True: 150_000}
"""Bytes of Verilog up to which a design is synthesized, of the larger networks and of the small ones."""

SEEDS = (1, 2, 3)
"""Placements of each design, the median of which counts: one alone is off by up to a tenth."""

CROSSED = 200
"""Number of a design from which on both kinds of network are for both parts of iCE40."""

PARTS = 10
"""Parts of the designs, each of which is left out of a fit in turn."""

MOST = {"lut median": 0.10, "lut worst": 0.30, "fmax": 0.20}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("collect", "place", "fit", "check"))
    parser.add_argument("--first", type=int, default=100, help="number of the first design to collect")
    parser.add_argument("--count", type=int, default=60, help="how many")
    parser.add_argument("--family", choices=FAMILIES, help="collect designs for this one only")
    parser.add_argument("--records", type=Path, default=RECORDS, help="file of results")
    arguments = parser.parse_args()
    if arguments.what == "collect":
        numbers = range(arguments.first, arguments.first + arguments.count)
        collect(arguments.records, [index for index in numbers if arguments.family in (None, family_at(index))])
    elif arguments.what == "place":
        place_all(arguments.records)
    elif arguments.what == "fit":
        fit(arguments.records)
    else:
        return check(arguments.records)
    return 0


# ---- Collecting


def target_of(found: Sample) -> str:
    """Part or family that a design is synthesized for; iCE40 has parts with multipliers and parts without."""
    if found.family == "ice40":
        # Of the first, all with a convolution are for a UP5K and all others for an HX8K.
        fast = found.index % 2 == 0 if found.index < CROSSED else found.index // 6 % 2 == 0
        return "ice40-hx8k" if fast else "ice40-up5k"
    return {"ecp5": "ecp5-25f"}.get(found.family, found.family)


def collect(records: Path, indices: list[int]) -> None:
    """Synthesize designs that are not in the records."""
    known = {record["index"] for record in read(records)}
    for index in indices:
        if index in known:
            continue
        found = sample(index)
        try:
            record = synthesized(found)
        except Rtl4mlError as error:
            console.print(f"{index}: {error}", highlight=False)
            continue
        if record is not None:
            append(records, record)
            console.print(f"{index} {record['target']}: {record['resources']['lut']} LUT", highlight=False)


def design_of(found: Sample) -> rtl4ml.Design:
    """A design, planned."""
    graph = from_model(found.model, "random")
    return rtl4ml.compile(graph, target=target_of(found), name="random", **found.settings)


def counted(design: rtl4ml.Design, target: str) -> dict[str, Any]:
    """What is counted in a plan, for a record."""
    structure, cuts = structure_of(design.plan)
    family = family_of(target)
    counts = Counting(family).count(structure)
    paths = paths_of(structure, cuts, surroundings_of(design.plan), delays_of(target), family)
    return {"counts": values_of(counts), "paths": paths}


def synthesized(found: Sample) -> Record | None:
    """Record of a design; None: it is too large."""
    target = target_of(found)
    design = design_of(found)
    text = "".join(design.verilog.values())
    if len(text) > LARGEST[found.index >= 100]:
        return None
    mapped = map_cells(design.verilog, design.name, target)
    return {
        "index": found.index,
        "kind": found.kind,
        "target": target,
        "settings": found.settings,
        "interval": design.plan.interval,
        "verilog": digest(design),
        "tools": tool_versions(target),
        **counted(design, target),
        "resources": asdict(mapped.resources),
    }


def place_all(records: Path) -> None:
    """Place and route designs; those whose Verilog is no longer what was synthesized are synthesized again."""
    known = sorted(read(records), key=lambda record: record["resources"]["lut"])
    for record in known:
        done = record.get("placed", {}).get("fmax_mhz_by_seed", {})
        if record["target"] == "xcup" or all(str(seed) in done for seed in SEEDS):
            continue
        found = sample(record["index"])
        design = design_of(found)
        if record["verilog"] != digest(design):
            again = synthesized(found)
            if again is None:
                continue
            record = again
            append(records, record)
        netlist = map_cells(design.verilog, design.name, record["target"]).netlist
        clock, mhz = design.ports.clock, found.settings["clock_mhz"]
        try:
            placements = [place(netlist, design.name, record["target"], clock, mhz, seed) for seed in SEEDS]
        except Rtl4mlError as error:
            console.print(f"{record['index']}: {error}", highlight=False)
            continue
        placed = {
            "fmax_mhz_by_seed": {str(seed): one.fmax_mhz for seed, one in zip(SEEDS, placements, strict=True)},
            "used": {kind: number for kind, (number, _) in placements[0].used.items()},
        }
        append(records, {"index": record["index"], "placed": placed})
        console.print(f"{record['index']} {record['target']}: {[one.fmax_mhz for one in placements]}", highlight=False)


def digest(design: rtl4ml.Design) -> str:
    """What Verilog is recognized by."""
    return hashlib.sha256("".join(design.verilog.values()).encode()).hexdigest()[:16]


def part_of(record: Record) -> int:
    """Which tenth of the designs one belongs to; those of a family and kind are spread over all of them."""
    return int(record["index"] // 3 % PARTS)


# ---- Fitting


def fit(records: Path) -> None:
    """Fit all families and write rtl4ml's file."""
    used = read(records)
    found = fitted(used)
    COEFFICIENTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    console.print(f"{len(used)} designs, written to {COEFFICIENTS.name}", highlight=False)


# ---- Checking


def estimated(record: Record, every: Mapping[str, Mapping[str, Values]]) -> dict[str, float]:
    """What coefficients make of a record's counts."""
    weights = every[family_of(record["target"]).name]
    values: dict[str, float] = dict(record["counts"])
    kinds = estimated_cells(weights, values)
    lut, carry, ff, cells = (kinds[kind] for kind in ("lut", "carry", "ff", "cells"))
    memory = record["counts"]["lut_memory"]
    found = {
        "lut": lut + memory + (2 * carry if record["target"].startswith("ecp5") else 0),
        "ff": ff,
        "dsp": record["counts"]["dsp"],
        "bram": record["counts"]["bram"],
        "cells": cells,
    }
    return found | ({"fmax": 1000 / period_of(record["paths"], cells, weights["period"])} if "paths" in record else {})


def check(records: Path) -> int:
    """Estimates of designs by coefficients that were not fitted to them, beside synthesis."""
    every = read(records)
    for part in range(PARTS):
        known = fitted([record for record in every if part_of(record) != part])
        for record in every:
            if part_of(record) == part:
                record["estimated"] = estimated(record, known)
    summary = Table(title="Estimates of designs not used in the fit, relative errors")
    columns = ("family", "designs", "LUT median", "LUT worst", "FF median", "FF worst", "DSP exact", "BRAM exact")
    for column in (*columns, "placed", "cells median", "cells worst", "Fmax median", "Fmax worst"):
        summary.add_column(column)
    missed: list[str] = []
    for name in (*sorted({record["target"] for record in every}), "all"):
        chosen = [record for record in every if name in (record["target"], "all")]
        summary.add_row(name, *_row(chosen, missed if name == "all" else None))
    worst = Table(title="Largest errors of LUT")
    for column in ("design", "target", "network", "reuse", "LUT", "estimated", "error"):
        worst.add_column(column)
    for record in sorted(every, key=lambda record: -abs(_error(record, "lut")))[:8]:
        settings = record["settings"]
        worst.add_row(
            str(record["index"]),
            record["target"],
            record["kind"],
            str(settings["reuse"]),
            f"{measured(record)['lut']:,}",
            f"{record['estimated']['lut']:,.0f}",
            f"{_error(record, 'lut'):+.1%}",
        )
    clocks = Table(title="Largest errors of Fmax")
    for column in ("design", "target", "network", "reuse", "asked for", "Fmax", "estimated", "error"):
        clocks.add_column(column)
    placed = [record for record in every if fmax_of(record)]
    for record in sorted(placed, key=lambda record: -abs(_error(record, "fmax")))[:8]:
        settings = record["settings"]
        clocks.add_row(
            str(record["index"]),
            record["target"],
            record["kind"],
            str(settings["reuse"]),
            f"{settings['clock_mhz']:.0f}",
            f"{measured(record)['fmax']:.1f}",
            f"{record['estimated']['fmax']:.1f}",
            f"{_error(record, 'fmax'):+.1%}",
        )
    notes = [*machine(), f"missed: {', '.join(missed)}" if missed else "all goals reached"]
    publish("Estimates before synthesis", [summary, worst, clocks], notes)
    return int(bool(missed))


def _error(record: Record, kind: str) -> float:
    true = measured(record)[kind]
    return float(record["estimated"][kind] / true - 1) if true else 0.0


def _row(chosen: list[Record], missed: list[str] | None) -> list[str]:
    lut, ff = ([abs(_error(record, kind)) for record in chosen] for kind in ("lut", "ff"))
    exact = {kind: sum(measured(r)[kind] == r["estimated"][kind] for r in chosen) for kind in ("dsp", "bram")}
    placed = [record for record in chosen if "fmax" in measured(record)]
    cells, fmax = ([abs(_error(record, kind)) for record in placed] for kind in ("cells", "fmax"))
    if missed is not None:
        goals = (
            ("LUT median", statistics.median(lut), MOST["lut median"]),
            ("LUT worst", max(lut), MOST["lut worst"]),
            ("Fmax worst", max(fmax, default=0.0), MOST["fmax"]),
        )
        missed += [f"{what} {value:.1%}" for what, value, most in goals if value > most]
        missed += [f"{kind.upper()} of {len(chosen) - count}" for kind, count in exact.items() if count < len(chosen)]
    cell = [
        f"{statistics.median(values):.1%} {max(values):.1%}".split() if values else ["", ""] for values in (lut, ff)
    ]
    later = [f"{statistics.median(v):.1%} {max(v):.1%}".split() if v else ["", ""] for v in (cells, fmax)]
    return [
        str(len(chosen)), *cell[0], *cell[1],
        *(f"{exact[kind]} of {len(chosen)}" for kind in ("dsp", "bram")), str(len(placed)), *later[0], *later[1],
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
