"""Commands that look at a network: inspect, profile."""

import json
from pathlib import Path
from typing import Annotated

import typer

from rtl4ml.cli.options import (
    DATA_HELP,
    ArgmaxOption,
    ChainsOption,
    DivideOption,
    FormatOption,
    JsonOption,
    ModelArgument,
    ShapeOption,
    errors,
    parse_shape,
)
from rtl4ml.frontend.load import load
from rtl4ml.report import console, profile_plot
from rtl4ml.report.profile_table import profile_table
from rtl4ml.report.profiling import profile as run
from rtl4ml.report.progress import bars
from rtl4ml.report.samples import read_samples


def inspect(
    model: ModelArgument,
    input_format: FormatOption = None,
    input_shape: ShapeOption = None,
    chains: ChainsOption = "float32",
    argmax: ArgmaxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show the integer graph of a file: formats, ranges, staircases, what stays on the host."""
    with errors(as_json):
        graph = load(model, input_format, chains, argmax=argmax, input_shape=parse_shape(input_shape))
        if as_json:
            print(json.dumps(graph.describe()))
        else:
            console.console().print(console.graph_table(graph))


def profile(
    model: ModelArgument,
    data: Annotated[Path, typer.Option("--data", help=DATA_HELP, show_default=False)],
    input_format: FormatOption = None,
    input_shape: ShapeOption = None,
    chains: ChainsOption = "float32",
    argmax: ArgmaxOption = False,
    divide: DivideOption = None,
    samples: Annotated[
        int | None, typer.Option("--samples", min=1, help="How many of the data's samples to take.", show_default="all")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw the histograms into a .svg, .png or .pdf file.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what real data does to the codes: ranges reached, saturation, dead channels, bits never used."""
    with errors(as_json):
        if plot is not None:
            profile_plot.check_target(plot)
        with bars() as show:
            graph = load(model, input_format, chains, argmax=argmax, input_shape=parse_shape(input_shape))
            x, _ = read_samples(data, graph.input_shape, divide, labels=False)
            result = run(graph, x[:samples], lambda done, total: show("profile", done, total))
        if plot is not None:
            profile_plot.plot(result, plot)
        if as_json:
            print(json.dumps(result.describe()))
        else:
            out = console.console()
            out.print(profile_table(result))
            if plot is not None:
                out.print(f"drawn into {plot}", highlight=False)
