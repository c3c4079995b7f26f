"""The command that builds many designs of a network: sweep."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from rtl4ml.cli.options import (
    ArgmaxOption,
    ChainsOption,
    ConfigOption,
    ForceOption,
    JsonOption,
    ModelArgument,
    ShapeOption,
    errors,
    parse_shape,
)
from rtl4ml.errors import ConfigurationError, ToolError
from rtl4ml.planning.settings import Settings, from_file
from rtl4ml.report import console
from rtl4ml.sweep import plot as picture
from rtl4ml.sweep.cluster import JOBQUEUES, Place
from rtl4ml.sweep.model import Model, Reading
from rtl4ml.sweep.points import AUTO, CODES, FOLDING_AXES, INTERFACES, Point, grid, parse_values, read_grid
from rtl4ml.sweep.results import Record, Results
from rtl4ml.sweep.rows import AREAS, TIMES, Table, tabulate, write_csv
from rtl4ml.sweep.run import Sweep
from rtl4ml.sweep.run import sweep as finish
from rtl4ml.sweep.table import sweep_table
from rtl4ml.sweep.work import MEASURES, Measure
from rtl4ml.synthesis.targets import TARGETS

INTERRUPTED = 130
"""Status of a program that ctrl-C ended, as shells have it."""


def _axis(flag: str, words: str) -> Any:
    return typer.Option(flag, help=f"{words} Several with commas.", show_default=False)


def sweep(
    model: ModelArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of results, table and plot.", show_default="build/NAME-sweep"),
    ] = None,
    grid_file: Annotated[
        Path | None, typer.Option("--grid", help="TOML or YAML file with the axes; options below win over it.")
    ] = None,
    reuse: Annotated[list[str] | None, _axis("--reuse", "Reuse factors; one with = in it is by layers.")] = None,
    interval: Annotated[list[str] | None, _axis("--interval", "Intervals in cycles, beside the reuse factors.")] = None,
    multipliers: Annotated[
        list[str] | None, _axis("--multipliers", "Numbers of multipliers, beside the reuse factors.")
    ] = None,
    clock: Annotated[list[str] | None, _axis("--clock", "Clocks in MHz.")] = None,
    input_format: Annotated[
        list[str] | None, _axis("--input-format", f"What the pins carry: {CODES}, fixed<16,6>, uint<8>/255, ...")
    ] = None,
    interface: Annotated[list[str] | None, _axis("--interface", f"{' or '.join(INTERFACES)}.")] = None,
    lanes: Annotated[list[str] | None, _axis("--lanes", f"Elements of an AXI4-Stream input beat, or {AUTO}.")] = None,
    output_lanes: Annotated[list[str] | None, _axis("--output-lanes", f"Of an output beat, or {AUTO}.")] = None,
    weights: Annotated[list[str] | None, _axis("--weights", "fixed or writable.")] = None,
    measure: Annotated[
        str | None,
        typer.Option(
            "--measure",
            "-m",
            help=f"How area is found: {', '.join(MEASURES)}.",
            show_default="estimate with --target, else plan",
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", "-t", help=f"Device: {', '.join(TARGETS)}.", show_default=False)
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Placements of each point; the fastest counts.")] = 1,
    area: Annotated[
        list[str] | None,
        typer.Option("--area", help=f"What to compare: {', '.join(AREAS)}. Several with commas.", show_default=False),
    ] = None,
    against: Annotated[
        str, typer.Option("--against", help=f"What area stands against: {', '.join(TIMES)}.")
    ] = "latency",
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Draw into this .svg, .png or .pdf file.", show_default="pareto.svg in the folder"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", "-j", min=1, help="Points at a time.", show_default="processors")
    ] = None,
    memory: Annotated[
        str | None, typer.Option("--memory", help="What a worker may take, such as 4GB.", show_default="its share")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", help="Address of a Dask scheduler: tcp://HOST:8786.", show_default=False),
    ] = None,
    jobqueue: Annotated[
        str | None,
        typer.Option(
            "--jobqueue",
            help=f"Batch system ({', '.join(JOBQUEUES)}) and its options: 'slurm cores=8 memory=32GB queue=short'.",
            show_default=False,
        ),
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try points again that ended with an error.")] = False,
    config: ConfigOption = None,
    input_shape: ShapeOption = None,
    chains: ChainsOption = "float32",
    argmax: ArgmaxOption = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Build many designs of a network: area against latency. Stopped and started again, it goes on where it was."""
    options = {
        "reuse": reuse,
        "interval": interval,
        "multipliers": multipliers,
        "clock_mhz": clock,
        "input_format": input_format,
        "interface": interface,
        "lanes": lanes,
        "output_lanes": output_lanes,
        "weights": weights,
    }
    with errors(as_json):
        network = Model.of(model)
        folder = output or Path("build") / f"{network.name}-sweep"
        points = _points(grid_file, options, from_file(config) if config is not None else Settings())
        shape = parse_shape(input_shape)
        reading = Reading(chains, argmax, None if shape is None else tuple(shape))
        place = Place(scheduler, jobqueue, workers, memory)
        if plot is not None:
            picture.check_target(plot)
        areas = [part.strip() for text in area or () for part in text.split(",")]
        tabulate([], against, areas)  # a slip shall be found before anything runs
        how = measure or ("plan" if target is None else "estimate")
        measuring = Measure(how, target, seeds, force)
        planned = Sweep.of(network, points, measuring, reading)
        with Results(folder / "results.jsonl") as results:
            stopped = None
            try:
                with _bar(len(points), len(points) - len(planned.missing(results, retry))) as step:
                    finish(planned, results, place, retry, step)
            except (KeyboardInterrupt, ConfigurationError, ToolError) as reason:
                stopped = reason
        # Read anew: ctrl-C may have come when a record was on the disk and nobody had been told.
        with Results(folder / "results.jsonl") as results:
            records = planned.records(results)
            if isinstance(stopped, Exception) and not records:
                raise stopped
            _report(network.name, measuring.words, records, len(points), against, areas, folder, plot, as_json, stopped)
        if isinstance(stopped, Exception):
            raise stopped
        if stopped is not None:
            raise typer.Exit(INTERRUPTED)
        if not any("result" in record for record in records):
            raise typer.Exit(1)


def _points(path: Path | None, options: dict[str, list[str] | None], base: Settings) -> list[Point]:
    axes = read_grid(path) if path is not None else {}
    given = {name: parse_values(texts, name) for name, texts in options.items() if texts}
    # Ways to fold are alternatives: those of the command line take the place of the file's.
    if any(name in FOLDING_AXES for name in given):
        axes = {name: value for name, value in axes.items() if name not in FOLDING_AXES}
    return grid({**axes, **given}, base)


@contextmanager
def _bar(total: int, done: int) -> Iterator[Any]:
    """A bar on stderr that counts finished points, those of earlier runs too; gone at the end."""
    out = console.console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    disabled = not (out.is_terminal or out.is_jupyter)
    with Progress(*columns, console=out, transient=True, disable=disabled) as shown:
        task = shown.add_task("starting workers" if done < total else "sweep", total=total, completed=done)
        failed = 0

        def step(record: Record) -> None:
            nonlocal failed
            failed += "error" in record
            shown.update(task, advance=1, description=f"sweep, {failed} failed" if failed else "sweep")

        yield step


def _report(
    name: str,
    measured: str,
    records: list[Record],
    asked: int,
    against: str,
    areas: list[str],
    folder: Path,
    plot: Path | None,
    as_json: bool,
    stopped: BaseException | None,
) -> None:
    """Table, CSV and plot of what is finished."""
    table = tabulate(records, against, areas)
    files = [folder / "results.jsonl", folder / "points.csv"]
    write_csv(table, files[1])
    without = None
    if table.good:
        where = plot or folder / "pareto.svg"
        try:
            picture.plot(table, f"{name}, {measured}: area against {against}", where)
            files.append(where)
        except ToolError as error:
            if plot is not None:
                raise
            without = str(error)
    if as_json:
        if not isinstance(stopped, Exception):  # else the one object on stdout is the error
            print(json.dumps(_summary(table, name, asked, files)))
        return
    out = console.console()
    out.print(sweep_table(table, name, asked))
    out.print(f"written: {', '.join(map(str, files))}", highlight=False, markup=False, soft_wrap=True)
    if without is not None:
        out.print(f"no plot: {without}", highlight=False, markup=False, soft_wrap=True)
    if stopped is not None:
        out.print("stopped; the same command goes on from here", highlight=False)


def _summary(table: Table, name: str, asked: int, files: list[Path]) -> dict[str, Any]:
    return {
        "name": name,
        "points": asked,
        "finished": len(table.rows),
        "failed": len(table.rows) - len(table.good),
        "against": table.time,
        "areas": list(table.areas),
        "front": [{**row.axes, **row.numbers, "fronts": list(row.fronts), "best": row.best} for row in table.best],
        "errors": sorted({row.error for row in table.rows if row.error is not None}),
        "files": [str(file) for file in files],
    }
