"""The command that looks at the tools: doctor."""

import json

import typer

import rtl4ml
from rtl4ml.cli.options import JsonOption, errors
from rtl4ml.report import console
from rtl4ml.simulation.verilator import probe


def doctor(as_json: JsonOption = False) -> None:
    """Show which tools are there, what is missing and how to get it; status 0 only when nothing needed is missing."""
    with errors(as_json):
        tools = probe()
        missing = [tool.name for tool in tools if tool.state == "missing"]
        if as_json:
            print(
                json.dumps(
                    {"rtl4ml": rtl4ml.__version__, "tools": [dict(tool.__dict__) for tool in tools], "missing": missing}
                )
            )
        else:
            out = console.console()
            out.print(console.tools_table(tools))
            out.print(f"missing: {', '.join(missing)}" if missing else "everything needed is there")
        if missing:
            raise typer.Exit(1)
