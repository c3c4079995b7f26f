"""The command line: inspect, profile, build, verify, synth, sweep, board, host, doctor."""

from typing import Annotated

import typer

import rtl4ml
from rtl4ml.cli.board import board, host
from rtl4ml.cli.hardware import build, verify
from rtl4ml.cli.network import inspect, profile
from rtl4ml.cli.sweep import sweep
from rtl4ml.cli.synthesis import synth
from rtl4ml.cli.tools import doctor

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Quantized ONNX networks to Verilog, bit-exact and cycle-exact.",
)

for _command in (inspect, profile, build, verify, synth, sweep, board, host, doctor):
    app.command()(_command)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"rtl4ml {rtl4ml.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Quantized ONNX networks to Verilog, bit-exact and cycle-exact."""


def main() -> None:
    """Entry point of the command `rtl4ml`."""
    app()
