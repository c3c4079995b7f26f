"""Convolutional networks folded for budgets of multipliers, beside published FPGA results; how long planning takes.

The published results are fpgaConvNet's submissions to MLPerf Tiny v1.1: inferences a second, clock and DSP blocks.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from rich.table import Table

import rtl4ml
from results import MODELS, console, find_model, machine, publish
from rtl4ml.export.verilog import count_multipliers
from rtl4ml.frontend.load import from_model
from rtl4ml.operators import Conv, Dense
from rtl4ml.planning.fifo_depths import find_depths
from rtl4ml.stages.reduce import reduction_of
from u_shaped import u_shaped


@dataclass(frozen=True)
class Budget:
    """Multipliers to spend.

    Parameters:
        multipliers: at most so many.
        clock_mhz: at which inferences a second are given.
        published: inferences a second with as many DSP blocks at that clock.
    """

    multipliers: int
    clock_mhz: int
    published: int | None = None


NETWORKS = {
    "ResNet-8": (
        "pretrainedResnet_quant_qdq",
        (Budget(140, 143), Budget(211, 143, 2_431), Budget(525, 187, 6_790), Budget(1_040, 187)),
    ),
    "DS-CNN": ("kws_ref_model_qdq", (Budget(64, 143), Budget(188, 143, 3_088), Budget(220, 143), Budget(350, 143))),
}
"""Files and budgets: those of the published results, the 220 DSP blocks of a ZedBoard, and others around them."""

FOLDED = ("budget", "multipliers", "interval", "latency", "efficiency", "memory kbit", "plan s")
COMPARED = ("budget", "MHz", "inferences/s", "published", "ratio", "efficiency", "published", "one by one/s")
SIZED = ("stages", "forks' branches", "beats in FIFOs", "fastest", "median", "goal", "CPU")
GENERATED = ("multipliers", "Verilog kB", "load", "plan", "Verilog", "fastest", "median", "goal", "CPU", "import")

MIN_EFFICIENCY, MIN_BUDGETS = 0.9, 2
MAX_SIZING_SECONDS = 5.0
MAX_BUILD_SECONDS = 60.0
U_SIZES = (32, 64)

# What a user waits for, in a process that has done nothing before; prints seconds.
_BUILD = """
import json, os, sys, time
model, multipliers = json.loads(sys.argv[1])
marks = [time.perf_counter()]
mark = lambda: marks.append(time.perf_counter())
import rtl4ml.design, rtl4ml.frontend.load
mark()
before = os.times()
graph = rtl4ml.load(model)
mark()
design = rtl4ml.compile(graph, multipliers=multipliers)
mark()
files = design.verilog
mark()
work = sum(os.times()[:4]) - sum(before[:4])  # user and system, of this process and of Yosys
seconds = [end - start for start, end in zip(marks, marks[1:])]
print(json.dumps([[*seconds, work], sum(map(len, files.values()))]))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    models = f"folder of {' and '.join(f'{file}.onnx' for file, _ in NETWORKS.values())}"
    parser.add_argument("models", nargs="?", type=Path, default=MODELS, help=models)
    parser.add_argument("--repeat", type=int, default=3, help="runs of what is timed; the table has the medians")
    arguments = parser.parse_args()
    notes = machine()
    missed: list[str] = []
    paths = {name: find_model(arguments.models, f"{file}.onnx") for name, (file, _) in NETWORKS.items()}
    graphs = {name: rtl4ml.load(path) for name, path in paths.items()}
    tables = [
        *_folding(graphs, missed),
        _sizing(arguments.repeat, graphs["ResNet-8"], missed),
        _generation(arguments.repeat, paths, missed),
    ]
    notes.append(
        f"{arguments.repeat} runs of what is timed, medians; planning seconds in the first table are of one run"
    )
    notes.append(f"missed: {', '.join(missed)}" if missed else "all goals reached")
    publish("Convolutional networks", tables, notes)
    return int(bool(missed))


def products(graph: rtl4ml.Graph) -> int:
    """Multiplications of the file's layers, those with the zeros of padding too, as is usual; averages have none."""
    layers = [node for node in graph.operators if isinstance(node, Conv | Dense) and reduction_of(node) is None]
    return sum(layer.multiplications for layer in layers)


def _folding(graphs: dict[str, rtl4ml.Graph], missed: list[str]) -> tuple[Table, Table]:
    """What a budget gives, and how fast that is beside the published results."""
    folded = _table("Folded for a budget of multipliers", FOLDED)
    compared = _table("Beside fpgaConvNet, at the same clock, with at most as many multipliers", COMPARED)
    for name, graph in graphs.items():
        total = products(graph)
        good = 0
        for budget in NETWORKS[name][1]:
            with console.status(f"{name}, {budget.multipliers} multipliers"):
                started = time.perf_counter()
                design = rtl4ml.compile(graph, multipliers=budget.multipliers)
                seconds = time.perf_counter() - started
                plan = design.plan
                multipliers = count_multipliers(design.verilog, design.name)
            efficiency = total / (plan.interval * multipliers)
            good += efficiency >= MIN_EFFICIENCY
            if multipliers > budget.multipliers:
                missed.append(f"{multipliers} multipliers of {name} where {budget.multipliers} are allowed")
            folded.add_row(
                name,
                f"{budget.multipliers:,}",
                f"{multipliers:,}",
                f"{plan.interval:,}",
                f"{plan.latency:,}",
                f"{efficiency:.3f}",
                f"{plan.describe()['memory_bits'] / 1000:,.0f}",
                f"{seconds:.1f}",
            )
            cycles, published = budget.clock_mhz * 1_000_000, budget.published
            compared.add_row(
                name,
                f"{budget.multipliers:,}",
                str(budget.clock_mhz),
                f"{cycles / plan.interval:,.0f}",
                f"{published:,}" if published else "",
                f"{cycles / plan.interval / published:.2f}" if published else "",
                f"{efficiency:.3f}",
                f"{total * published / (cycles * budget.multipliers):.3f}" if published else "",
                f"{cycles / plan.latency:,.0f}",
            )
        if good < MIN_BUDGETS:
            missed.append(f"efficiency of {name}: {MIN_EFFICIENCY} at {good} budgets")
    return folded, compared


def _table(title: str, columns: tuple[str, ...]) -> Table:
    table = Table("network", title=title)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _sizing(repeat: int, resnet: rtl4ml.Graph, missed: list[str]) -> Table:
    """Only the search for depths is timed: stages and their tables of events are there."""
    table = _table("FIFO sizing: seconds", SIZED)
    graphs = {"ResNet-8": resnet}
    for size in U_SIZES:
        graphs[f"U-shaped, {size} x {size}"] = from_model(u_shaped(size), f"u_shaped_{size}")
    for name, graph in graphs.items():
        with console.status(f"FIFO sizing of {name}"):
            plan = rtl4ml.compile(graph, multipliers=525).plan
            network = replace(plan.network, fifos={})
            seconds, work = [], []
            for _ in range(repeat):
                started, before = time.perf_counter(), time.process_time()
                depths = find_depths(network)
                seconds.append(time.perf_counter() - started)
                work.append(time.process_time() - before)
        median = statistics.median(seconds)
        if median >= MAX_SIZING_SECONDS:
            missed.append(f"FIFO sizing of {name}")
        table.add_row(
            name,
            str(len(network.stages)),
            str(len(depths)),
            f"{sum(found.depth for found in depths):,}",
            f"{min(seconds):.2f}",
            f"{median:.2f}",
            f"< {MAX_SIZING_SECONDS:g}",
            f"{statistics.median(work):.2f}",
        )
    return table


def _generation(repeat: int, paths: dict[str, Path], missed: list[str]) -> Table:
    table = _table("ONNX to Verilog: seconds, each run in a fresh process", GENERATED)
    for name, multipliers, goal in (("ResNet-8", 525, MAX_BUILD_SECONDS), ("DS-CNN", 220, None)):
        command = [sys.executable, "-P", "-c", _BUILD, json.dumps([str(paths[name]), multipliers])]
        runs = []
        for index in range(repeat):
            with console.status(f"{name}: run {index + 1} of {repeat}"):
                done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{name} must be built, but is not: {done.stderr}")
            runs.append(json.loads(done.stdout))
        columns = zip(*(seconds for seconds, _ in runs), strict=True)
        imports, *steps, work = (statistics.median(column) for column in columns)
        totals = [sum(seconds[1:4]) for seconds, _ in runs]
        median = statistics.median(totals)
        if goal is not None and median >= goal:
            missed.append(f"{name} to Verilog")
        table.add_row(
            name,
            str(multipliers),
            str(runs[0][1] // 1000),
            *(f"{number:.2f}" for number in (*steps, min(totals), median)),
            f"< {goal:g}" if goal else "",
            f"{work:.2f}",
            f"{imports:.2f}",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
