"""The command line: inspect, build, verify, doctor."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import rtl4ml
from rtl4ml.design import Design, compile
from rtl4ml.errors import Rtl4mlError
from rtl4ml.frontend.load import load
from rtl4ml.graph import Graph
from rtl4ml.planning.settings import parse_reuse
from rtl4ml.report import console
from rtl4ml.report.samples import read_samples
from rtl4ml.report.verification import Verification
from rtl4ml.simulation.verilator import probe

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Quantized ONNX networks to Verilog, bit-exact and cycle-exact.")

ModelArgument = Annotated[Path, typer.Argument(help="QONNX file.", show_default=False)]
ReuseOption = Annotated[str | None, typer.Option("--reuse", "-r", help="Reuse factor: 8, or per layer fc1=4, several with commas.", show_default="1")]
LanesOption = Annotated[int | None, typer.Option("--lanes", help="Elements of an input beat.", show_default="all, or what the interval needs")]
ClockOption = Annotated[float | None, typer.Option("--clock", help="Clock in MHz that registers are placed for.", show_default="200")]
FreeOption = Annotated[bool, typer.Option("--free-running", help="No back-pressure: the pipeline of triggers.")]
NameOption = Annotated[str | None, typer.Option("--name", help="Name of the IP and prefix of its modules.", show_default="the file's name")]
FormatOption = Annotated[str | None, typer.Option("--input-format", help="What the input pins carry: fixed<16,6>, uint<8>/255, ...", show_default="the first quantizer's codes")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="TOML or YAML file with reuse, lanes, clock_mhz, backpressure.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Unroll layers even when that takes minutes.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
DataOption = Annotated[Path | None, typer.Option("--data", help=".npz or .npy file with real inputs (array x, or the only one that fits).")]
LabelsOption = Annotated[bool, typer.Option("--labels", help="The data file holds labels: report accuracies.")]
DivideOption = Annotated[float | None, typer.Option("--divide", help="Divide the data, such as 255 for pixels.")]
SamplesOption = Annotated[int | None, typer.Option("--samples", min=2, help="Stimuli to draw without --data; or how many of its samples to take.", show_default="1000, or all of the data")]
BenchOption = Annotated[bool, typer.Option("--bench", help="Run the cocotb protocol bench too: stalls, reset, framing.")]


@contextmanager
def _errors(as_json: bool) -> Iterator[None]:
    """An error of ours is a line and status 2, never a traceback."""
    try:
        yield
    except Rtl4mlError as error:
        if as_json:
            print(json.dumps({"error": str(error), "kind": type(error).__name__}))
        else:
            print(f"rtl4ml: {error}", file=sys.stderr)
        raise typer.Exit(2) from error


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Bars on stderr, one a step, only where a person looks."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console.console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def show(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total)
            bars.update(tasks[step], completed=done, total=total)

        yield show


def _design(
    graph: Graph,
    reuse: str | None,
    lanes: int | None,
    clock: float | None,
    free_running: bool,
    name: str | None,
    config: Path | None,
    force: bool,
    show: Callable[[str, int, int], None],
) -> Design:
    settings: dict[str, Any] = {}
    if reuse is not None:
        network, layers = parse_reuse(reuse)
        settings["reuse"] = {**layers, **({} if network is None else {"default": network})}
    if lanes is not None:
        settings["lanes"] = lanes
    if clock is not None:
        settings["clock_mhz"] = clock
    if free_running:
        settings["backpressure"] = False
    return compile(graph, name=name, config=config, force=force, progress=lambda stage: show(f"planning {stage}", 0, 1), **settings)


def _verify(design: Design, data: Path | None, labels: bool, divide: float | None, samples: int | None, bench: bool, show: Callable[[str, int, int], None]) -> Verification:
    x = y = None
    if data is not None:
        x, y = read_samples(data, design.graph.input_shape, divide, labels=labels)
        if samples:
            x, y = x[:samples], None if y is None else y[:samples]
    return design.verify(x, y, samples=samples or 1000, bench=bench, progress=show)


@app.command()
def inspect(model: ModelArgument, input_format: FormatOption = None, as_json: JsonOption = False) -> None:
    """Show the integer graph of a file: formats, ranges, staircases, what stays on the host."""
    with _errors(as_json):
        graph = load(model, input_format)
        if as_json:
            print(json.dumps(graph.describe()))
        else:
            console.console().print(console.graph_table(graph))


@app.command()
def build(
    model: ModelArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder that receives the IP's folder.")] = Path("build"),
    reuse: ReuseOption = None,
    lanes: LanesOption = None,
    clock: ClockOption = None,
    free_running: FreeOption = False,
    name: NameOption = None,
    input_format: FormatOption = None,
    config: ConfigOption = None,
    force: ForceOption = False,
    verify: Annotated[bool, typer.Option("--verify", help="Run the Verilog against the reference and the reference against the file.")] = False,
    bench: BenchOption = False,
    data: DataOption = None,
    labels: LabelsOption = False,
    divide: DivideOption = None,
    samples: SamplesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the IP of a network; with --verify, prove it first."""
    with _errors(as_json):
        seconds: dict[str, float] = {}
        with _progress() as show:
            started = time.perf_counter()
            graph = load(model, input_format)
            seconds["load"] = time.perf_counter() - started
            started = time.perf_counter()
            design = _design(graph, reuse, lanes, clock, free_running, name, config, force, show)
            seconds["plan"] = time.perf_counter() - started
            started = time.perf_counter()
            show("writing Verilog", 0, 1)
            folder = design.export(output)
            seconds["export"] = time.perf_counter() - started
            result = _verify(design, data, labels, divide, samples, bench, show) if verify or bench or data else None
        if as_json:
            print(json.dumps(_summary(design, folder, seconds, result)))
        else:
            out = console.console()
            out.print(console.plan_table(design.plan))
            out.print(f"written to {folder}", highlight=False)
            out.print(console.seconds_line(seconds))
            if result is not None:
                out.print(console.verification_table(result))
        if result is not None and not result.passed:
            raise typer.Exit(1)


def _summary(design: Design, folder: Path | None, seconds: dict[str, float], result: Verification | None) -> dict[str, Any]:
    return {
        "name": design.name,
        "folder": None if folder is None else str(folder),
        "plan": design.plan.describe(),
        "seconds": {step: round(taken, 3) for step, taken in seconds.items()},
        "verification": None if result is None else result.describe(),
    }


@app.command()
def verify(
    model: ModelArgument,
    reuse: ReuseOption = None,
    lanes: LanesOption = None,
    clock: ClockOption = None,
    free_running: FreeOption = False,
    input_format: FormatOption = None,
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
    with _errors(as_json):
        with _progress() as show:
            started = time.perf_counter()
            design = _design(load(model, input_format), reuse, lanes, clock, free_running, None, config, force, show)
            seconds = {"load and plan": time.perf_counter() - started}
            result = _verify(design, data, labels, divide, samples, bench, show)
        if as_json:
            print(json.dumps(_summary(design, None, seconds, result)))
        else:
            out = console.console()
            out.print(console.plan_table(design.plan))
            out.print(console.verification_table(result))
        if not result.passed:
            raise typer.Exit(1)


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Show which tools are there, what is missing and how to get it; status 0 only when nothing needed is missing."""
    with _errors(as_json):
        tools = probe()
        missing = [tool.name for tool in tools if tool.state == "missing"]
        if as_json:
            print(json.dumps({"rtl4ml": rtl4ml.__version__, "tools": [dict(tool.__dict__) for tool in tools], "missing": missing}))
        else:
            out = console.console()
            out.print(console.tools_table(tools))
            out.print(f"missing: {', '.join(missing)}" if missing else "everything needed is there")
        if missing:
            raise typer.Exit(1)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"rtl4ml {rtl4ml.__version__}")
        raise typer.Exit


@app.callback()
def _options(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False) -> None:
    """Quantized ONNX networks to Verilog, bit-exact and cycle-exact."""


def main() -> None:
    """Entry point of the command `rtl4ml`."""
    app()
