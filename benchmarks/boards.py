"""Networks on boards: what nextpnr says of them, in whole bitstreams with serial line and frames."""

import os
import sys
import tempfile
import time

from rich.table import Table

import rtl4ml
from results import EXAMPLES, console, machine, publish
from rtl4ml.board import bitstream, top
from rtl4ml.board.description import find_board

# Board, network, reuse: small enough to leave room, and far faster than the line.
BUILDS = (("icebreaker", "digits_mlp", 128), ("ulx3s", "jet_tagger", 128))
KINDS = {
    "ice40": {"LUT": "ICESTORM_LC", "RAM": "ICESTORM_RAM", "DSP": "ICESTORM_DSP"},
    "ecp5": {"LUT": "TRELLIS_COMB", "FF": "TRELLIS_FF", "RAM": "DP16KD", "DSP": "MULT18X18D"},
}


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RTL4ML_CACHE"] = folder  # the seconds are those of a first run
        return build()


def build() -> int:
    notes = machine()
    table = Table()
    columns = (
        "board",
        "network",
        "reuse",
        "LUT",
        "FF",
        "RAM",
        "DSP",
        "Fmax MHz",
        "clock MHz",
        "interval",
        "line samples/s",
    )
    for column in (*columns, "seconds"):
        table.add_column(column, justify="left" if column in ("board", "network") else "right")
    versions, missed = {}, []
    for name, network, reuse in BUILDS:
        board = find_board(name)
        started = time.perf_counter()
        graph = rtl4ml.load(EXAMPLES / "models" / f"{network}.onnx")
        design = rtl4ml.compile(graph, reuse=reuse, clock_mhz=board.clock_mhz, target=board.family)
        files = top.uart_files(design, board)
        built = bitstream.build(
            files, f"{design.name}_board", board, progress=lambda step, name=name: console.print(f"{name}: {step}")
        )
        versions |= built.tools
        kinds = KINDS[board.target.split("-")[0]]
        used = {kind: "{:,} of {:,}".format(*built.used.get(cell, (0, 0))) for kind, cell in kinds.items()}
        # A request and its answer are under way at the same time, with five bytes around each.
        line = board.baud / 10 / (max(top.frame_bytes(design)) + 5)
        cells = (used.get(kind, f"{built.resources.ff:,}") for kind in ("LUT", "FF", "RAM", "DSP"))
        table.add_row(
            board.title,
            network,
            str(reuse),
            *cells,
            f"{built.fmax_mhz:.1f}",
            f"{board.clock_mhz:g}",
            str(design.plan.interval),
            f"{line:,.0f}",
            f"{time.perf_counter() - started:.0f}",
        )
        if built.fmax_mhz < board.clock_mhz:
            missed.append(name)
    tools = ", ".join(f"{tool} {version}" for tool, version in versions.items())
    notes += [
        f"{tools}; seed 1; whole bitstreams: network, serial line, frames, reset",
        f"clock: {'MISSED by ' + ', '.join(missed) if missed else 'reached by all'}",
    ]
    publish("Boards", [table], notes)
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
