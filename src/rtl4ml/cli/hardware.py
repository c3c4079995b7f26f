"""Commands that make and prove hardware: build, verify."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from numpy.typing import NDArray

from rtl4ml.cli.options import (
    ArgmaxOption,
    AxiLiteOption,
    BenchOption,
    ChainsOption,
    ClockOption,
    ConfigOption,
    DataOption,
    DeviceOption,
    DivideOption,
    FitOption,
    ForceOption,
    FormatOption,
    FpsOption,
    FreeOption,
    IntervalOption,
    JsonOption,
    LabelsOption,
    LanesOption,
    LatencyOption,
    MeasureOption,
    ModelArgument,
    MultipliersOption,
    NameOption,
    OutputLanesOption,
    ReuseOption,
    SamplesOption,
    ShapeOption,
    StyleOption,
    WeightsOption,
    errors,
    parse_shape,
)
from rtl4ml.design import Design, compile
from rtl4ml.errors import ConfigurationError
from rtl4ml.export.package import check_target
from rtl4ml.formats import Reals
from rtl4ml.frontend.load import load
from rtl4ml.graph import Graph
from rtl4ml.planning.settings import AUTO, parse_reuse
from rtl4ml.report import console
from rtl4ml.report.estimate_table import estimate_table
from rtl4ml.report.progress import bars
from rtl4ml.report.samples import read_samples
from rtl4ml.report.verification import Verification

DRAWN = 1000
"""Stimuli of a verification without a data file."""


def design_of(
    graph: Graph,
    reuse: str | None,
    goals: Mapping[str, float | None],
    lanes: int | None,
    output_lanes: int | None,
    weights: str | None,
    clock: float | None,
    free_running: bool,
    name: str | None,
    config: Path | None,
    force: bool,
    show: Callable[[str, int, int], None],
    target: str | None = None,
    style: str | None = None,
    fit: str | None = None,
) -> Design:
    """A graph's design from the options of the command line."""
    settings: dict[str, Any] = {}
    if reuse == AUTO:
        settings["reuse"] = AUTO
    elif reuse is not None:
        network, layers = parse_reuse(reuse)
        settings["reuse"] = {**layers, **({} if network is None else {"default": network})}
    settings.update({goal: value for goal, value in goals.items() if value is not None})
    if lanes is not None:
        settings["lanes"] = lanes
    if output_lanes is not None:
        settings["output_lanes"] = output_lanes
    if weights is not None:
        settings["weights"] = weights
    if clock is not None:
        settings["clock_mhz"] = clock
    if target is not None:
        settings["target"] = target
    if style is not None:
        settings["style"] = style
    if fit is not None:
        settings["fit"] = fit
    if free_running:
        settings["backpressure"] = False
    return compile(
        graph, name=name, config=config, force=force, progress=lambda stage: show(f"planning {stage}", 0, 1), **settings
    )


def read_data(
    graph: Graph, data: Path | None, labels: bool, divide: float | None, samples: int | None
) -> tuple[Reals | None, NDArray | None]:
    """Inputs and labels of the data file, as many as wanted; none without a file.

    Commands call it as soon as they have the graph: a wrong file shall be found before minutes of work.

    Raises:
        ConfigurationError: the file does not fit, or what says how to read it stands without one.
    """
    if data is None:
        if labels or divide is not None:
            raise ConfigurationError(f"{'--labels' if labels else '--divide'} must stand beside --data, not alone")
        return None, None
    x, y = read_samples(data, graph.input_shape, divide, labels=labels)
    return x[:samples], None if y is None else y[:samples]


def build(
    model: ModelArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder that receives the IP's folder.")] = Path(
        "build"
    ),
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
    target: DeviceOption = None,
    fit: FitOption = None,
    free_running: FreeOption = False,
    name: NameOption = None,
    input_format: FormatOption = None,
    input_shape: ShapeOption = None,
    chains: ChainsOption = "float32",
    argmax: ArgmaxOption = False,
    config: ConfigOption = None,
    force: ForceOption = False,
    axi_lite: AxiLiteOption = False,
    measure: MeasureOption = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Run the Verilog against the reference and the reference against the file.")
    ] = False,
    bench: BenchOption = False,
    data: DataOption = None,
    labels: LabelsOption = False,
    divide: DivideOption = None,
    samples: SamplesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the IP of a network; with --verify, prove it."""
    goals = {"interval": interval, "fps": fps, "latency": latency, "multipliers": multipliers}
    with errors(as_json):
        seconds: dict[str, float] = {}
        with bars() as show:
            started = time.perf_counter()
            graph = load(model, input_format, chains, argmax=argmax, input_shape=parse_shape(input_shape))
            x, y = read_data(graph, data, labels, divide, samples)
            seconds["load"] = time.perf_counter() - started
            started = time.perf_counter()
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
                fit,
            )
            seconds["plan"] = time.perf_counter() - started
            started = time.perf_counter()
            check_target(output / design.name)  # not after minutes of synthesis
            measured = None if measure is None else design.synthesize(measure, stages=False, progress=show)
            if measured is not None:
                seconds["synthesis"] = time.perf_counter() - started
                started = time.perf_counter()
            show("writing Verilog", 0, 1)
            folder = design.export(output, axi_lite=axi_lite, measured=measured)
            seconds["export"] = time.perf_counter() - started
            result = None
            if verify or bench or data:
                result = design.verify(x, y, samples=samples or DRAWN, bench=bench, progress=show)
        if as_json:
            print(json.dumps(_summary(design, folder, seconds, result)))
        else:
            out = console.console()
            out.print(console.plan_table(design.plan))
            if design.own_estimate is not None:
                out.print(estimate_table(design.own_estimate, design.fitting))
            out.print(f"written to {folder}", highlight=False, markup=False, soft_wrap=True)
            out.print(console.seconds_line(seconds))
            if result is not None:
                out.print(console.verification_table(result))
        if result is not None and not result.passed:
            raise typer.Exit(1)


def _summary(
    design: Design, folder: Path | None, seconds: dict[str, float], result: Verification | None
) -> dict[str, Any]:
    found = {"estimate": design.own_estimate, "fit": design.fitting}
    return {
        "name": design.name,
        "folder": None if folder is None else str(folder),
        "plan": design.plan.describe(),
        **{what: value.describe() for what, value in found.items() if value is not None},
        "seconds": {step: round(taken, 3) for step, taken in seconds.items()},
        "verification": None if result is None else result.describe(),
    }


def verify(
    model: ModelArgument,
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
    target: DeviceOption = None,
    fit: FitOption = None,
    free_running: FreeOption = False,
    input_format: FormatOption = None,
    input_shape: ShapeOption = None,
    chains: ChainsOption = "float32",
    argmax: ArgmaxOption = False,
    config: ConfigOption = None,
    force: ForceOption = False,
    data: DataOption = None,
    labels: LabelsOption = False,
    divide: DivideOption = None,
    samples: SamplesOption = None,
    bench: BenchOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare reference with file, Verilog with reference, cycles with the plan; status 0 only when everything held."""
    goals = {"interval": interval, "fps": fps, "latency": latency, "multipliers": multipliers}
    with errors(as_json):
        with bars() as show:
            started = time.perf_counter()
            graph = load(model, input_format, chains, argmax=argmax, input_shape=parse_shape(input_shape))
            x, y = read_data(graph, data, labels, divide, samples)
            design = design_of(
                graph,
                reuse,
                goals,
                lanes,
                output_lanes,
                weights,
                clock,
                free_running,
                None,
                config,
                force,
                show,
                target,
                style,
                fit,
            )
            seconds = {"load and plan": time.perf_counter() - started}
            result = design.verify(x, y, samples=samples or DRAWN, bench=bench, progress=show)
        if as_json:
            print(json.dumps(_summary(design, None, seconds, result)))
        else:
            out = console.console()
            out.print(console.plan_table(design.plan))
            out.print(console.verification_table(result))
        if not result.passed:
            raise typer.Exit(1)
