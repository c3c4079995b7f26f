"""Estimates before synthesis: synthesize random networks, fit the coefficients of estimates to them, check on others.

    python estimates.py collect --first 100 --count 60     synthesize designs, each once; results go to estimates.jsonl
    python estimates.py place                              place and route those of Lattice's parts that are not yet
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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

import rtl4ml
from random_networks import Sample, sample
from results import HERE, console, machine, publish
from rtl4ml.errors import Rtl4mlError
from rtl4ml.frontend.load import from_model
from rtl4ml.planning.estimates.families import FEATURES, Counting, family_of
from rtl4ml.planning.estimates.fmax import Paths, paths_of, period_of
from rtl4ml.planning.estimates.model import estimated_cells, values_of, weighted
from rtl4ml.planning.estimates.structure import reads_into_products, structure_of
from rtl4ml.synthesis.measure import tool_versions
from rtl4ml.synthesis.nextpnr import place
from rtl4ml.synthesis.yosys import map_cells

RECORDS = HERE / "estimates.jsonl"
COEFFICIENTS = HERE.parent / "src/rtl4ml/planning/estimates/coefficients.json"
LARGEST = {False: 60_000, True: 150_000}
"""Bytes of Verilog up to which a design is synthesized, of the larger networks and of the small ones."""

PARTS = 10
"""Parts of the designs, each of which is left out of a fit in turn."""

MOST = {"lut median": 0.10, "lut worst": 0.30, "fmax": 0.20}
FAITH = 1.0
"""What it costs a path's weight to leave that of the timing model, beside the mean square of the errors."""

Record = dict[str, Any]
Values = Mapping[str, float]

# What a number is worth before anything was measured, in lookup tables of four inputs and of six.
PRIOR: dict[str, tuple[float, float]] = {
    "chain": (1.0, 0.8),
    "chain_constant": (0.6, 0.3),
    "chains": (0.3, 0.3),
    "short": (1.0, 0.6),
    "compare": (0.4, 0.3),
    "compares": (0.5, 0.8),
    "compare_table": (0.5, 0.5),
    "equal": (0.8, 0.6),
    "reduce": (0.5, 0.5),
    "select": (0.7, 0.45),
    "select_constant": (0.5, 0.3),
    "clip": (1.0, 0.8),
    "gates": (0.35, 0.2),
    "leaves": (0.9, 0.9),
    "pieces": (0.0, 0.7),
    "nodes": (0.6, 0.4),
    "memory_select": (0.7, 0.4),
    "memory_logic": (0.7, 0.3),
    "product": (1.5, 0.5),
    "control": (0.1, 0.1),
    "one": (15.0, 15.0),
}
TRUST = 3.0
"""How much of an error a coefficient may cost by being far from that: squares of both are added."""

RARE = 0.02
"""Share of a design that the rarest kinds of hardware are taken to have."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("collect", "place", "fit", "check"))
    parser.add_argument("--first", type=int, default=100, help="number of the first design to collect")
    parser.add_argument("--count", type=int, default=60, help="how many")
    parser.add_argument("--records", type=Path, default=RECORDS, help="file of results")
    arguments = parser.parse_args()
    if arguments.what == "collect":
        collect(arguments.records, range(arguments.first, arguments.first + arguments.count))
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
        return "ice40-up5k" if found.index % 2 else "ice40-hx8k"
    return {"ecp5": "ecp5-25f"}.get(found.family, found.family)


def collect(records: Path, indices: range) -> None:
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
            with records.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            console.print(f"{index} {record['target']}: {record['resources']['lut']} LUT", highlight=False)


def design_of(found: Sample) -> rtl4ml.Design:
    """A design, planned."""
    graph = from_model(found.model, "random")
    return rtl4ml.compile(graph, target=target_of(found), name="random", **found.settings)


def counted(design: rtl4ml.Design, target: str) -> dict[str, Any]:
    """What is counted in a plan, for a record."""
    structure, cuts = structure_of(design.plan)
    counts = Counting(family_of(target)).count(structure)
    paths = paths_of(structure, cuts, target, from_memory=reads_into_products(design.plan))
    return {"counts": values_of(counts), "paths": asdict(paths)}


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
        "verilog": hashlib.sha256(text.encode()).hexdigest()[:16],
        "tools": tool_versions(target),
        **counted(design, target),
        "resources": asdict(mapped.resources),
    }


def place_all(records: Path) -> None:
    """Place and route designs whose Verilog is still what was synthesized."""
    for record in read(records):
        if "placed" in record or record["target"] == "xcup":
            continue
        found = sample(record["index"])
        design = design_of(found)
        text = "".join(design.verilog.values())
        if hashlib.sha256(text.encode()).hexdigest()[:16] != record["verilog"]:
            continue
        netlist = map_cells(design.verilog, design.name, record["target"]).netlist
        try:
            placed = place(netlist, design.name, record["target"], design.ports.clock, found.settings["clock_mhz"])
        except Rtl4mlError as error:
            console.print(f"{record['index']}: {error}", highlight=False)
            continue
        used = {kind: number for kind, (number, _) in placed.used.items()}
        line = {"index": record["index"], "placed": {"fmax_mhz": placed.fmax_mhz, "used": used}}
        with records.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        console.print(f"{record['index']} {record['target']}: {placed.fmax_mhz} MHz", highlight=False)


def read(records: Path) -> list[Record]:
    """All records; lines about the same design are one."""
    found: dict[int, Record] = {}
    if records.is_file():
        for line in records.read_text(encoding="utf-8").splitlines():
            part = json.loads(line)
            found.setdefault(part["index"], {}).update(part)
    complete = [record for record in found.values() if "counts" in record]
    for record in complete:
        # What was not counted yet when it was written was not there yet either.
        record["counts"] = dict.fromkeys(FEATURES, 0) | record["counts"]
    return complete


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


def fitted(used: list[Record]) -> dict[str, dict[str, dict[str, float]]]:
    """Coefficients of all families."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in ("ecp5", "ice40", "ice40-hx8k", "xcup"):
        # Parts of iCE40 differ by their multipliers, which are counted apart.
        found[name] = _family(name, [r for r in used if r["target"].split("-")[0] == name.split("-")[0]])
    found["xc7"] = found["xcup"]
    return found


def _family(name: str, used: list[Record]) -> dict[str, dict[str, float]]:
    inputs = family_of(name).inputs
    prior = {kind: values[1 if inputs == 6 else 0] for kind, values in PRIOR.items()}
    if name == "ecp5":
        # Carry cells have the tables of their bits inside.
        prior |= {"chain": 0.0, "chain_constant": 0.0}
    if name != "ecp5":
        # A multiplier block takes an addition behind the product in.
        prior["absorbed"] = -0.4
    result = {
        "lut": _solved(used, prior, lambda record: record["resources"]["lut"]),
        "carry": _solved(used, {"carry": 1.0, "compare": 0.0, "compares": 0.0}, lambda r: r["resources"]["carry"]),
        "ff": _solved(
            used,
            {"ff": 1.0} if name == "ecp5" else {"ff": 1.0, "absorbed": 0.0},
            lambda record: record["resources"]["ff"],
            lambda record: max(1, record["resources"]["ff"]),
        ),
    }
    result["wide"] = _wide(used) if name == "ecp5" else {}
    # Sums of three words are primitives, which Yosys leaves as they are.
    result["lut"]["three"] = 1.0
    result["cells"] = _cells(name, used)
    result["period"] = _period(used)
    return result


def _solved(
    used: list[Record],
    prior: Mapping[str, float],
    goal: Callable[[Record], float],
    size: Callable[[Record], float] = lambda record: measured(record)["lut"],
    *,
    signed: tuple[str, ...] = ("absorbed",),
) -> dict[str, float]:
    """Coefficients of the least error beside a design's size, not far from what they are worth by themselves."""
    names = list(prior)
    rows = np.array([[record["counts"][name] for name in names] for record in used], np.float64)
    goals = np.array([goal(record) for record in used], np.float64)
    sizes = np.array([size(record) for record in used], np.float64)
    rows, goals = rows / sizes[:, None], goals / sizes
    start = np.array([prior[name] for name in names])
    if "ff" not in prior:
        # What tools save everywhere is no property of one primitive.
        whole = rows @ start
        start = start * float(whole @ goals / (whole @ whole))
    # A coefficient that makes up much of the designs has to be sure to leave its place, and one that starts at 0 too;
    # one that a few designs alone speak of stays near it.
    share = np.maximum(rows.mean(axis=0), RARE)
    weight = np.sqrt(TRUST * len(goals)) * share
    solved = _least_squares(
        np.vstack([rows, np.diag(weight)]), np.append(goals, weight * start), start, [name in signed for name in names]
    )
    return {name: round(float(value), 4) for name, value in zip(names, solved, strict=True)}


def _least_squares(
    matrix: NDArray[np.float64], goals: NDArray[np.float64], start: NDArray[np.float64], signed: list[bool]
) -> NDArray[np.float64]:
    """Least squares, unknowns negative only where `signed`: one unknown after the other, until all rest."""
    found = start.copy()
    rest = goals - matrix @ found
    squares = (matrix**2).sum(axis=0)
    for _ in range(20_000):
        moved = 0.0
        for column in range(len(found)):
            step = float(matrix[:, column] @ rest) / squares[column]
            if not signed[column]:
                step = max(step, -found[column])
            found[column] += step
            rest -= step * matrix[:, column]
            moved = max(moved, abs(step))
        if moved < 1e-7:
            break
    return found


def _wide(used: list[Record]) -> dict[str, float]:
    """Multiplexers behind lookup tables, which make functions of five inputs and more."""
    prior = {"leaves": 0.2, "nodes": 0.4, "select": 0.08, "gates": 0.05, "product": 0.1}
    return _solved(used, prior, lambda record: sum(record["resources"]["other"].values()))


def _cells(name: str, used: list[Record]) -> dict[str, float]:
    """Cells as the part's data sheet counts them, from what Yosys counts and one number more.

    On ECP5 that is what carry chains take at their ends; on iCE40, flip-flops that stand in cells of their own.
    """
    if name == "xcup":
        return {"lut": 1.0, "lut_memory": 1.0}
    if name == "ecp5":
        # A memory of 16 x 4 bits takes four tables, and the two that carry its address are not counted.
        known, unknown, kind = {"lut": 1.0, "carry": 2.0, "lut_memory": 0.6667, "wide": 1.0}, "chains", "TRELLIS_COMB"
    else:
        known, unknown, kind = {"lut": 1.0}, "ff", "ICESTORM_LC"
    rests, numbers = [], []
    for record in used:
        if "placed" in record:
            resources = record["resources"]
            cells = {**record["counts"], **resources, "wide": sum(resources["other"].values())}
            rests.append(record["placed"]["used"][kind] - weighted(known, cells))
            numbers.append(cells[unknown])
    rest, number = np.array(rests), np.array(numbers)
    share = float(rest @ number / (number @ number)) if len(rests) else 0.5
    return known | {unknown: round(max(0.0, share), 4)}


def _period(used: list[Record]) -> dict[str, float]:
    """Weights of paths: those of a grid with the least error in the middle, the mean of their logarithms taken off."""
    placed = [record for record in used if record.get("placed", {}).get("fmax_mhz")]
    best: tuple[float, dict[str, float]] = (np.inf, {"datapath": 1.0, "sum": 1.0, "product": 1.0, "control": 1.0})
    best[1]["size"] = 0.0
    if not placed:
        return best[1]
    for weights in _weights():
        errors = [_log_error(record, weights) for record in placed]
        # Few designs are placed: what they do not speak of stays as the timing model has it, which was fitted to placed
        # designs of its own, all but multipliers.
        apart = (weights["datapath"] - 1, weights["sum"] - 1, weights["size"] / 0.3, (weights["product"] - 1) / 5)
        score = float(np.mean(np.square(errors)) + FAITH * np.sum(np.square(apart)))
        if score < best[0]:
            best = score, weights
    return best[1]


def _weights() -> Iterator[dict[str, float]]:
    for datapath in (0.7, 0.8, 0.9, 1.0, 1.1):
        for outside in (0.6, 0.8, 1.0, 1.2, 1.4):
            for product in (0.6, 1.0, 1.4, 1.8, 2.2, 2.4):
                for size in (0.0, 0.1, 0.2, 0.3):
                    yield {"datapath": datapath, "sum": outside, "product": product, "control": outside, "size": size}


def _log_error(record: Record, weights: Mapping[str, float]) -> float:
    used = record["placed"]["used"]
    cells = used.get("TRELLIS_COMB") or used["ICESTORM_LC"]
    period = period_of(Paths(**record["paths"]), cells, weights)
    return float(np.log(period * record["placed"]["fmax_mhz"] / 1000))


# ---- Checking


def estimated(record: Record, every: Mapping[str, Mapping[str, Values]]) -> dict[str, float]:
    """What coefficients make of a record's counts."""
    weights = every[family_of(record["target"]).name]
    values: dict[str, float] = dict(record["counts"])
    found = estimated_cells(weights, values)
    lut, carry, ff, cells = (found[kind] for kind in ("lut", "carry", "ff", "cells"))
    period = period_of(Paths(**record["paths"]), cells, weights["period"])
    memory = record["counts"]["lut_memory"]
    return {
        "lut": lut + memory + (2 * carry if record["target"].startswith("ecp5") else 0),
        "ff": ff,
        "dsp": record["counts"]["dsp"],
        "bram": record["counts"]["bram"],
        "cells": cells,
        "fmax": 1000 / period,
    }


def measured(record: Record) -> dict[str, float]:
    """What tools made of a design, in the same terms."""
    resources = record["resources"]
    inside = 2 * resources["carry"] if record["target"].startswith("ecp5") else 0
    found = {"lut": resources["lut"] + resources["lut_memory"] + inside}
    found |= {kind: resources[kind] for kind in ("ff", "dsp", "bram")}
    placed = record.get("placed")
    if placed and placed["fmax_mhz"]:
        used = placed["used"]
        found |= {"cells": used.get("TRELLIS_COMB") or used["ICESTORM_LC"], "fmax": placed["fmax_mhz"]}
    return found


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
    notes = [*machine(), f"missed: {', '.join(missed)}" if missed else "all goals reached"]
    publish("Estimates before synthesis", [summary, worst], notes)
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
