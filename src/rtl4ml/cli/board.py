"""Commands for whole boards: board, host."""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from rtl4ml.board import client, simulation
from rtl4ml.board.description import Board, find_board
from rtl4ml.board.project import Project, write
from rtl4ml.cli.hardware import design_of
from rtl4ml.cli.options import (
    DATA_HELP,
    ArgmaxOption,
    ChainsOption,
    ClockOption,
    ConfigOption,
    DivideOption,
    ForceOption,
    FormatOption,
    FpsOption,
    IntervalOption,
    JsonOption,
    LanesOption,
    LatencyOption,
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
from rtl4ml.design import Design
from rtl4ml.errors import ConfigurationError
from rtl4ml.export.package import check_target
from rtl4ml.formats import Codes
from rtl4ml.frontend.load import load
from rtl4ml.report import console
from rtl4ml.report.progress import bars
from rtl4ml.report.samples import read_samples
from rtl4ml.simulation import stimuli
from rtl4ml.simulation.cocotb_bench import BenchResult

BOARD_HELP = "icebreaker, ulx3s, pynq-z2, arty-z7-20, kv260, zu3, fifo-node; or a .toml file of one's own."
SIMULATED = 6
"""Samples of `--verify`: every bit on the line is simulated."""


def board(
    name: Annotated[str, typer.Argument(help=BOARD_HELP, metavar="BOARD", show_default=False)],
    model: ModelArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder that receives the board's folder.")] = Path(
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
    ip_name: NameOption = None,
    input_format: FormatOption = None,
    input_shape: ShapeOption = None,
    chains: ChainsOption = "float32",
    argmax: ArgmaxOption = False,
    config: ConfigOption = None,
    force: ForceOption = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the placer.")] = 1,
    verify: Annotated[
        bool, typer.Option("--verify", help="Simulate the whole board at the pins of its serial line first.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Put a network on a board: a bitstream with open tools, or a Vivado block design, and the files for its host."""
    goals = {"interval": interval, "fps": fps, "latency": latency, "multipliers": multipliers}
    with errors(as_json):
        found = find_board(name)
        if verify:
            simulation.check(found)
        with bars() as show:
            graph = load(model, input_format, chains, argmax=argmax, input_shape=parse_shape(input_shape))
            design = design_of(
                graph,
                reuse,
                goals,
                lanes,
                output_lanes,
                weights,
                found.clock_mhz if clock is None and config is None else clock,
                False,
                ip_name,
                config,
                force,
                show,
                found.family,
                style,
            )
            check_target(output / f"{design.name}-{found.name}")  # not after minutes of simulation
            simulated = None
            if verify:
                show("simulating the board", 0, 1)
                simulated = simulation.simulate(design, found, stimuli.draw(graph, SIMULATED, 0))
            if simulated is None or simulated.passed:
                project = write(design, found, output, seed, lambda step: show(step, 0, 1))
            else:
                project = None
        if as_json:
            print(json.dumps(_summary(design, found, project, simulated)))
        else:
            _print(design, found, project, simulated)
        if project is None:
            raise typer.Exit(1)


def _summary(design: Design, board: Board, project: Project | None, simulated: BenchResult | None) -> dict[str, Any]:
    return {
        "name": design.name,
        "board": board.name,
        "folder": None if project is None else str(project.folder),
        "plan": design.plan.describe(),
        "build": None if project is None or project.built is None else project.built.describe(),
        "simulation": None if simulated is None else {case.name: case.state for case in simulated.cases},
        "next": None if project is None else project.next_step,
    }


def _print(design: Design, board: Board, project: Project | None, simulated: BenchResult | None) -> None:
    out = console.console()

    def line(text: str) -> None:
        out.print(text, highlight=False, markup=False, soft_wrap=True)

    out.print(console.plan_table(design.plan))
    if simulated is not None:
        line(f"simulation at the serial pins: {len(simulated.cases)} tests, {len(simulated.failures)} failed")
        for case in simulated.failures:
            line(f"  {case.name}: {case.message}")
    if project is None:
        return
    if project.built is not None:
        for kind, (used, available) in project.built.used.items():
            line(f"{kind:>16}: {used:6} of {available:6}  {used / available:4.0%}")
        line(f"clock: {project.built.fmax_mhz:g} MHz reached, {board.clock_mhz:g} MHz on {board.title}")
    line(f"written to {project.folder}")
    line(f"next: {project.next_step}")
    if board.baud:
        line(f"then: rtl4ml host --port /dev/ttyUSB1 {project.folder / 'metadata.json'} --data x.npz")


def host(
    metadata: Annotated[Path, typer.Argument(help="metadata.json of the board's folder.", show_default=False)],
    port: Annotated[str, typer.Option("--port", "-p", help="Serial port, such as /dev/ttyUSB1.", show_default=False)],
    data: Annotated[Path, typer.Option("--data", help=DATA_HELP, show_default=False)],
    divide: DivideOption = None,
    samples: SamplesOption = None,
    baud: Annotated[
        int | None, typer.Option("--baud", help="Of the line, for a board of one's own.", show_default="the board's")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare with the reference; status 1 if a code differs.")
    ] = False,
    load: Annotated[
        Path | None,
        typer.Option("--load", help=".npy file with weights to be loaded first, as Design.weight_words gives them."),
    ] = None,
    save: Annotated[Path | None, typer.Option("--save", help="Write codes and values into a .npz file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Send samples to a board, and print what it makes of them."""
    with errors(as_json):
        if save is not None:
            _check_save(save)
        board = client.read_client(metadata, baud)
        words = None if load is None else _words(load, compare=compare)
        x, _ = read_samples(data, board.graph.input_shape, divide, labels=False)
        with bars() as show:
            answer = client.run(board, port, x[:samples], lambda done, total: show("samples", done, total), words=words)
        wrong = int(np.sum(np.any(answer.codes != board.graph_codes(x[:samples]), axis=1))) if compare else None
        if save is not None:
            with save.open("wb") as file:
                np.savez(file, codes=answer.codes, values=answer.values)
        if as_json:
            found = {"samples": len(answer.codes), "wrong": wrong, "resent": answer.resent, "lost": answer.lost}
            print(json.dumps({**found, "seconds": round(answer.seconds, 3), "values": answer.values.tolist()}))
        else:
            for index, values in enumerate(answer.values.reshape(len(answer.values), -1)):
                print(index, *(f"{value:g}" for value in values))
            rate = len(answer.codes) / max(answer.seconds, 1e-9)
            print(f"{len(answer.codes)} samples, {rate:,.0f} a second, {answer.resent} sent again")
            if wrong is not None:
                print(f"compared with the reference: {wrong} wrong")
        if wrong:
            raise typer.Exit(1)


def _check_save(path: Path) -> None:
    """See that answers can be written before any is asked for.

    Raises:
        ConfigurationError: the file is a folder, or there is no folder to hold it.
    """
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ConfigurationError(f"--save must be a file in a folder that exists, not {str(path)!r}")


def _words(path: Path, *, compare: bool) -> Codes:
    """Weights from a file.

    Raises:
        ConfigurationError: it is none of NumPy's, or results were to be compared: the reference has other weights.
    """
    if compare:
        raise ConfigurationError("--compare must be left out with --load: the reference has the weights of the file")
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"Weights {str(path)!r} must be a .npy file, but are not: {error}") from error
    if not isinstance(found, np.ndarray):
        found.close()
        raise ConfigurationError(f"Weights {str(path)!r} must be a .npy file with one array, not an archive")
    return found
