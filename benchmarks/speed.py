"""How fast rtl4ml itself is: ONNX to Verilog, the reference, the native simulation."""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from rich.table import Table

import rtl4ml
from results import EXAMPLES, MODELS, console, find_model, machine, publish

COLUMNS = (
    "reuse",
    "multipliers",
    "Verilog kB",
    "load",
    "plan",
    "Verilog",
    "fastest",
    "median",
    "goal",
    "CPU",
    "import",
)
JETS = 1_000_000
CYCLES = 400_000
QKERAS_INPUT = "fixed<16,6>"

# What a user waits for, in a process that has done nothing before; prints seconds.
_BUILD = """
import json, os, sys, time
model, input_format, reuse = json.loads(sys.argv[1])
marks = [time.perf_counter()]
mark = lambda: marks.append(time.perf_counter())
import rtl4ml.design, rtl4ml.frontend.load
mark()
before = os.times()
graph = rtl4ml.load(model, input_format=input_format)
mark()
design = rtl4ml.compile(graph, reuse=reuse)
mark()
files = design.verilog
mark()
work = sum(os.times()[:4]) - sum(before[:4])  # user and system, of this process and of Yosys
seconds = [end - start for start, end in zip(marks, marks[1:])]
print(json.dumps([[*seconds, work], sum(map(len, files.values())), design.plan.multipliers]))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    models = "folder of qkeras_jettagging.onnx and kwsmlp_w3a3.onnx"
    parser.add_argument("models", nargs="?", type=Path, default=MODELS, help=models)
    parser.add_argument("--repeat", type=int, default=5, help="runs of each; the table has the fastest and the median")
    arguments = parser.parse_args()
    notes = machine()
    tagger, keywords = (find_model(arguments.models, f"{name}.onnx") for name in ("qkeras_jettagging", "kwsmlp_w3a3"))
    own = find_model(EXAMPLES / "models", "jet_tagger.onnx")
    missed: list[str] = []
    tables = [
        _generation(arguments.repeat, tagger, own, keywords, missed),
        _throughput(arguments.repeat, tagger, own, missed),
    ]
    notes.append(f"{arguments.repeat} runs of each; goals are held against the median")
    notes.append(f"missed: {', '.join(missed)}" if missed else "all goals reached")
    publish("Speed", tables, notes)
    return int(bool(missed))


def _generation(repeat: int, tagger: Path, own: Path, keywords: Path, missed: list[str]) -> Table:
    table = Table("network", title="ONNX to Verilog: seconds, each run in a fresh process")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    cases: tuple[tuple[Path, str | None, int, float], ...] = (
        (tagger, QKERAS_INPUT, 1, 8),
        (tagger, QKERAS_INPUT, 8, 3),
        (own, None, 1, 8),
        (own, None, 8, 3),
        (keywords, None, 256, 10),
    )
    for path, input_format, reuse, goal in cases:
        command = [sys.executable, "-P", "-c", _BUILD, json.dumps([str(path), input_format, reuse])]
        runs = []
        for index in range(repeat):
            with console.status(f"{path.stem}, reuse {reuse}: run {index + 1} of {repeat}"):
                done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{path.stem} must be built, but is not: {done.stderr}")
            runs.append(json.loads(done.stdout))
        _, size, multipliers = runs[0]
        columns = zip(*(seconds for seconds, _, _ in runs), strict=True)
        imports, *steps, work = (statistics.median(column) for column in columns)
        totals = [sum(seconds[1:4]) for seconds, _, _ in runs]
        median = statistics.median(totals)
        if median >= goal:
            missed.append(f"{path.stem} at reuse {reuse}")
        numbers = (*steps, min(totals), median)
        table.add_row(
            path.stem,
            str(reuse),
            str(multipliers),
            str(size // 1000),
            *(f"{number:.2f}" for number in numbers),
            f"< {goal:g}",
            f"{work:.2f}",
            f"{imports:.2f}",
        )
    return table


def _throughput(repeat: int, tagger: Path, own: Path, missed: list[str]) -> Table:
    table = Table("what", title="Reference and native simulation: a second")
    for column in ("network", "amount", "unit", "fastest", "median", "goal"):
        table.add_column(column, justify="right" if column in ("amount", "fastest", "median", "goal") else "left")

    def row(what: str, network: str, amount: int, unit: str, goal: int, job: Callable[[], object]) -> None:
        job()  # memory and caches are warm, as in any long run
        seconds = []
        for index in range(repeat):
            with console.status(f"{network}, {what}: run {index + 1} of {repeat}"):
                started = time.perf_counter()
                job()
                seconds.append(time.perf_counter() - started)
        fastest, median = amount / min(seconds), amount / statistics.median(seconds)
        if median <= goal:
            missed.append(f"{what} of {network}")
        wanted = f"> {goal:,}" if goal else ""
        table.add_row(what, network, f"{amount:,}", unit, f"{fastest:,.0f}", f"{median:,.0f}", wanted)

    random = np.random.default_rng(0)
    for path, input_format in ((tagger, QKERAS_INPUT), (own, None)):
        design = rtl4ml.compile(rtl4ml.load(path, input_format=input_format))
        graph = design.graph
        jets = random.normal(size=(JETS, *graph.input_shape)).astype(np.float32)
        codes = design.encode(jets)
        row("reference, codes to codes", path.stem, JETS, "jets", 1_000_000, partial(graph.evaluate, codes))
        row("predict, reals to codes", path.stem, JETS, "jets", 0, partial(design.predict, jets, codes=True))
        row("predict, reals to reals", path.stem, JETS, "jets", 0, partial(design.predict, jets))
        with console.status(f"{path.stem}: building the simulation"):
            simulation = design.simulation
        frames = codes[:CYCLES]
        cycles = simulation.run(frames).cycles
        row("native simulation, reuse 1", path.stem, cycles, "cycles", 50_000, partial(simulation.run, frames))
    return table


if __name__ == "__main__":
    sys.exit(main())
