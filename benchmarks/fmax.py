"""Clocks of a small unrolled network after place and route on ECP5: rtl4ml beside da4ml and alkaid.

The same integer network for all (see `adder_graphs.py`), mapped, placed and routed by the same scripts: every port
behind a flip-flop, the same part, the same seeds, a target clock beyond reach. The peers put a register behind so many
adders as `--cutoffs` says; rtl4ml's pipeline is cut for the cycles that its peers take, and may take fewer.
"""

import argparse
import sys
from pathlib import Path

from rich.table import Table

from adder_graphs import PEERS, Built, Problem, build_own, build_peer, jets, simulate
from results import console, machine, publish
from rtl4ml.datapath.delays import delays_of
from rtl4ml.synthesis.nextpnr import Placement, place
from rtl4ml.synthesis.yosys import map_cells

SIZES = (8, 16, 8, 4)
HIDDEN_MHZ = 400.0
GOAL = 1.5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="Python that has da4ml and alkaid; without it rtl4ml alone is built")
    parser.add_argument("--target", default="ecp5-25f", help="a part that nextpnr places")
    parser.add_argument("--bits", type=int, default=6, help="bits of the weights")
    parser.add_argument("--zeros", type=float, default=0.0, help="part of the weights that is zero")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="elements from layer to layer")
    parser.add_argument("--cutoffs", type=float, nargs="*", default=[8, 2], help="adders between the peers' registers")
    parser.add_argument("--cycles", type=int, nargs="*", default=[], help="cut rtl4ml for so many cycles too")
    parser.add_argument("--seeds", type=int, default=3, help="placements of each; the fastest counts")
    parser.add_argument("--path", action="store_true", help="print the slowest path of each")
    arguments = parser.parse_args()
    notes = machine()
    problem = jets(arguments.bits, arguments.zeros, arguments.sizes)
    name = "-".join(map(str, arguments.sizes))
    table = Table("tool", title=f"{name}, {problem.name}, {arguments.target} after place and route")
    for column in ("LUT", "FF", "carry cells", "cycles", "latency ns", "Fmax MHz", "Fmax / better peer"):
        table.add_column(column, justify="right")
    missed = False
    rounds: list[tuple[int, float | None]] = []
    for cutoff in arguments.cutoffs if arguments.peers else ():
        cycles, clocks = [], []
        for tool in PEERS:
            with console.status(f"{tool}, registers every {cutoff:g} adders"):
                built = build_peer(tool, arguments.peers, problem, cutoff)
                clocks.append(_measure(built, problem, arguments, f"{tool}, every {cutoff:g} adders", table, None))
            cycles.append(built.cycles)
        # No more cycles than either of the two, a clock beside that of the better.
        rounds.append((min(cycles), max(clocks)))
    for budget, better in [*rounds, *((cycles, None) for cycles in arguments.cycles)]:
        with console.status(f"rtl4ml, {budget} cycles"):
            built = build_own(problem, budget, delays_of(arguments.target))
            fmax = _measure(built, problem, arguments, "rtl4ml", table, better)
        missed |= better is not None and fmax < GOAL * better
    notes.append(f"the fastest of {arguments.seeds} placements; goal: {GOAL} x the better peer at no more cycles")
    publish("Clocks", [table], notes)
    return int(missed)


def _measure(
    built: Built, problem: Problem, arguments: argparse.Namespace, label: str, table: Table, better: float | None
) -> float:
    """Simulate, map, place; a row of the table. Returns MHz."""
    built.cycles = simulate(built, problem)
    mapped = map_cells(built.files, built.top, arguments.target)
    placements = [
        place(mapped.netlist, built.top, arguments.target, "clk", HIDDEN_MHZ, seed)
        for seed in range(1, arguments.seeds + 1)
    ]
    best = max(placements, key=lambda placement: placement.fmax_mhz or 0.0)
    fmax = best.fmax_mhz or 0.0
    r = mapped.resources
    ratio = f"{fmax / better:.2f}" if better else ""
    cells = (f"{r.lut:,}", f"{r.ff:,}", f"{r.carry:,}", f"{built.cycles}", f"{1000 * built.cycles / fmax:.0f}")
    table.add_row(label, *cells, f"{fmax:.1f}", ratio)
    console.print(label, *cells, *(f"{p.fmax_mhz}" for p in placements), ratio, *built.notes, highlight=False)
    if arguments.path:
        _print_path(best)
    return fmax


def _print_path(placement: Placement) -> None:
    for hop in placement.path:
        console.print(f"  {hop.ns:6.2f} {hop.kind:8} {hop.cell}.{hop.pin}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
