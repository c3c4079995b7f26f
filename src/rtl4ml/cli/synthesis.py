"""The command that measures hardware on a device: synth."""

import json
import time
from typing import Annotated

import typer

from rtl4ml.cli.hardware import design_of
from rtl4ml.cli.options import (
    ArgmaxOption,
    ChainsOption,
    ClockOption,
    ConfigOption,
    ForceOption,
    FormatOption,
    FpsOption,
    FreeOption,
    IntervalOption,
    JsonOption,
    LanesOption,
    LatencyOption,
    ModelArgument,
    MultipliersOption,
    NameOption,
    OutputLanesOption,
    ReuseOption,
    ShapeOption,
    StyleOption,
    WeightsOption,
    errors,
    parse_shape,
)
from rtl4ml.frontend.load import load
from rtl4ml.report import console
from rtl4ml.report.progress import bars
from rtl4ml.report.synthesis_table import synthesis_table
from rtl4ml.synthesis.measure import tool_versions
from rtl4ml.synthesis.targets import TARGETS

TargetOption = Annotated[str, typer.Option("--target", "-t", help=f"Device: {', '.join(TARGETS)}.", show_default=False)]
SeedsOption = Annotated[int, typer.Option("--seeds", min=1, help="Placements of each; the fastest counts.")]
JobsOption = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, help="Runs side by side.", show_default="processors")
]


def synth(
    model: ModelArgument,
    target: TargetOption,
    stages: Annotated[bool, typer.Option(help="Measure each stage by itself too.")] = True,
    seeds: SeedsOption = 1,
    jobs: JobsOption = None,
    reuse: ReuseOption = None,
    style: StyleOption = None,
    interval: IntervalOption = None,
    fps: FpsOption = None,
    latency: LatencyOption = None,
    multipliers: MultipliersOption = None,
    lanes: LanesOption = None,
    output_lanes: OutputLanesOption = None,
    weights: WeightsOption = None,
    clock: ClockOption = None,
    free_running: FreeOption = False,
    name: NameOption = None,
    input_format: FormatOption = None,
    input_shape: ShapeOption = None,
    chains: ChainsOption = "float32",
    argmax: ArgmaxOption = False,
    config: ConfigOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure a network's hardware on a device: cells, and on Lattice parts the clock after place and route."""
    goals = {"interval": interval, "fps": fps, "latency": latency, "multipliers": multipliers}
    with errors(as_json):
        tool_versions(target)  # what is missing shall not be missed after minutes of planning
        with bars() as show:
            graph = load(model, input_format, chains, argmax=argmax, input_shape=parse_shape(input_shape))
            design = design_of(
                graph,
                reuse,
                goals,
                lanes,
                output_lanes,
                weights,
                clock,
                free_running,
                name,
                config,
                force,
                show,
                target,
                style,
            )
            show("writing Verilog", 0, 1)
            _ = design.verilog
            started = time.perf_counter()
            result = design.synthesize(target, stages=stages, seeds=seeds, jobs=jobs, progress=show)
            seconds = {"synthesis": time.perf_counter() - started}
        if as_json:
            print(
                json.dumps(
                    {
                        "name": design.name,
                        "plan": design.plan.describe(),
                        "synthesis": result.describe(),
                        "seconds": {step: round(taken, 3) for step, taken in seconds.items()},
                    }
                )
            )
        else:
            out = console.console()
            out.print(console.plan_table(design.plan))
            out.print(synthesis_table(result))
            out.print(console.seconds_line(seconds))
