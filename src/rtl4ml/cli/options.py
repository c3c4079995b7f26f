"""What the commands have in common: options, and errors as one line."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from rtl4ml.errors import ConfigurationError, Rtl4mlError

ModelArgument = Annotated[Path, typer.Argument(help="Quantized ONNX file: QONNX, QDQ or QCDQ.", show_default=False)]
ReuseOption = Annotated[
    str | None,
    typer.Option(
        "--reuse",
        "-r",
        help="Reuse factor: 8, per layer fc1=4, per kind dense=16; several with commas; auto: as --fit with --target.",
        show_default="1",
    ),
]
StyleOption = Annotated[
    str | None,
    typer.Option(
        "--style",
        help="What layers with a reuse above 1 are made of: multipliers, sparse (that skip zero weights), digits "
        "(adders that take some bits of every activation a cycle), or auto, the cheapest; per layer fc1=digits, per "
        "kind conv=auto; several with commas.",
        show_default="multipliers",
    ),
]
IntervalOption = Annotated[
    int | None,
    typer.Option("--interval", help="Fold every layer so that a frame takes this many cycles, with few multipliers."),
]
FpsOption = Annotated[
    float | None, typer.Option("--fps", help="The same from frames a second at --clock.", show_default=False)
]
LatencyOption = Annotated[
    int | None, typer.Option("--latency", help="Fold so that a frame is out after this many cycles at most.")
]
MultipliersOption = Annotated[
    int | None, typer.Option("--multipliers", help="Fold for the shortest interval with at most so many multipliers.")
]
LanesOption = Annotated[
    int | None,
    typer.Option("--lanes", help="Elements of an input beat.", show_default="all, or what the interval needs"),
]
OutputLanesOption = Annotated[
    int | None,
    typer.Option("--output-lanes", help="Elements of an output beat.", show_default="what the last stage makes"),
]
WeightsOption = Annotated[
    str | None,
    typer.Option("--weights", help="fixed, or writable: a port loads others at run time.", show_default="fixed"),
]
ClockOption = Annotated[
    float | None, typer.Option("--clock", help="Clock in MHz that registers are placed for.", show_default="200")
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--target",
        "-t",
        help="Device whose timing says where registers stand: ecp5, ice40, xc7, xcup, or a part such as ecp5-25f.",
        show_default="none in particular",
    ),
]
FitOption = Annotated[
    str | None,
    typer.Option(
        "--fit",
        help="Part that the network shall fit with the shortest interval: ecp5-25f, ice40-up5k, xc7z020, xczu3eg, ...",
        show_default=False,
    ),
]
FreeOption = Annotated[bool, typer.Option("--free-running", help="No back-pressure: the pipeline of triggers.")]
NameOption = Annotated[
    str | None, typer.Option("--name", help="Name of the IP and prefix of its modules.", show_default="the file's name")
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--input-format",
        help="What the input pins carry: fixed<16,6>, uint<8>/255, ...",
        show_default="the first quantizer's codes",
    ),
]
ShapeOption = Annotated[
    str | None,
    typer.Option("--input-shape", help="Another shape of the input, such as 1,3,32,32.", show_default="the file's"),
]
ChainsOption = Annotated[
    str,
    typer.Option(
        "--chains",
        help="What defines the operators between products and quantizers: float32 (the executor), or real (exact "
        "arithmetic, where they are affine).",
    ),
]
ArgmaxOption = Annotated[
    bool, typer.Option("--argmax", help="Put the decision into hardware: the number of the largest output.")
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="TOML or YAML file with settings, such as the folding.yaml of an IP.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Unroll layers even when that takes minutes.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
DATA_HELP = ".npz or .npy file with real inputs (array x, or the only one that fits)."
DataOption = Annotated[Path | None, typer.Option("--data", help=DATA_HELP)]
LabelsOption = Annotated[bool, typer.Option("--labels", help="The data file holds labels: report accuracies.")]
DivideOption = Annotated[float | None, typer.Option("--divide", help="Divide the data, such as 255 for pixels.")]
SamplesOption = Annotated[
    int | None,
    typer.Option(
        "--samples",
        min=2,
        help="Stimuli to draw without --data; or how many of its samples to take.",
        show_default="1000, or all of the data",
    ),
]
AxiLiteOption = Annotated[
    bool,
    typer.Option(
        "--axi-lite",
        help="Add NAME_axil, the core behind registers on AXI4-Lite: start, done, interrupt; with --weights writable, "
        "weights too.",
    ),
]
MeasureOption = Annotated[
    str | None,
    typer.Option(
        "--measure",
        help="Synthesize for this device first, as rtl4ml synth does, and put cells and clock into the datasheet.",
    ),
]
BenchOption = Annotated[
    bool, typer.Option("--bench", help="Run the cocotb protocol bench too: stalls, reset, framing.")
]


def parse_shape(text: str | None) -> list[int] | None:
    """Dimensions with commas between them.

    Raises:
        ConfigurationError: the text is something else.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ConfigurationError(f"Input shape must be whole numbers with commas between them, not {text!r}")
    return [int(part) for part in parts]


@contextmanager
def errors(as_json: bool) -> Iterator[None]:
    """An error of ours, or too little memory, is a line and status 2, never a traceback."""
    try:
        yield
    except (Rtl4mlError, MemoryError) as error:
        said = str(error)
        if isinstance(error, MemoryError):
            said = f"Memory must be enough for what was asked, but ran out: {said or 'ask for less'}"
        if as_json:
            print(json.dumps({"error": said, "kind": type(error).__name__}))
        else:
            print(f"rtl4ml: {said}", file=sys.stderr)
        raise typer.Exit(2) from error
