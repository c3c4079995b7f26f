"""Amaranth components as Verilog-2001 text: RTLIL through Yosys, plain identifiers, the same bytes on every run."""

import importlib.metadata
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib import wiring

from rtl4ml.errors import ToolError

_SCRIPT = (
    "read_rtlil {source}",
    "attrmap -remove generator -remove top -remove src -remove amaranth.hierarchy -remove amaranth.decoding",
    "attrmap -modattr -remove generator -remove top -remove src -remove amaranth.hierarchy -remove "
    "amaranth.decoding -remove keep_hierarchy",
    # Fields of a layout come as wires with brackets in their names, which nobody else needs.
    "rename -hide w:*[*",
    "rename -hide w:*.*",
    "proc -norom",
    "memory_collect",
    "opt_clean",
    "flatten",
    "opt_clean",
    "write_verilog {target}",
)


def yosys_version() -> str:
    """Version of the Yosys in use, such as `0.70`."""
    return importlib.metadata.version("pyosys")


def run_yosys(commands: Iterable[str]) -> None:
    """Run a script in a fresh design, without output.

    Raises:
        ToolError: Yosys cannot be loaded, or a command failed.
    """
    try:
        from pyosys import libyosys
    except ImportError as error:
        raise ToolError(f"Yosys must be importable as pyosys to write Verilog: {error}; pip install pyosys") from error
    design = libyosys.Design()
    for command in commands:
        try:
            # Pass.call, since run_pass echoes every command.
            libyosys.Pass.call(design, f"tee -q {command}")
        except Exception as error:
            raise ToolError(f"Yosys must accept {command.split()[0]!r}, but says: {error}") from error


def convert(component: wiring.Component, name: str, comment: str) -> str:
    """Verilog of one module called `name`, with a comment on top that says what it computes.

    Raises:
        ToolError: Yosys cannot be loaded or fails.
    """
    text = rtlil.convert(component, name=name, emit_src=False)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "stage.il", Path(folder) / "stage.v"
        source.write_text(text, encoding="utf-8")
        run_yosys([command.format(source=source, target=target) for command in _SCRIPT])
        verilog = target.read_text(encoding="utf-8")
    body = verilog.split("*/", 1)[1].lstrip() if verilog.startswith("/*") else verilog
    body = re.sub(r"^\(\* \\?[a-z_.]*  ?= ?\"?\"? \*\)\n", "", body, flags=re.MULTILINE)
    lines = "\n".join(f"// {line}".rstrip() for line in comment.strip().splitlines())
    return f"{lines}\n{body.rstrip()}\n"


def count_multipliers(files: Mapping[str, str], top: str) -> int:
    """Multipliers in Verilog as Yosys reads it: the multiplication cells of the whole hierarchy.

    Args:
        files: text by file name.
        top: name of the top module.

    Raises:
        ToolError: Yosys cannot be loaded, or refuses the files.
    """
    with tempfile.TemporaryDirectory() as folder:
        commands = []
        for name, text in files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
            commands.append(f"read_verilog {Path(folder) / name}")
        result = Path(folder) / "count"
        # Every stage's module is instantiated once, so cells of modules are cells of the design.
        run_yosys([*commands, f"hierarchy -check -top {top}", f"tee -o {result} select -count t:$mul"])
        return int(result.read_text(encoding="utf-8").split()[0])
