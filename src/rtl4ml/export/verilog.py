"""Amaranth components as Verilog-2001 text: RTLIL through Yosys, plain identifiers, the same bytes on every run."""

import re
import tempfile
from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib import wiring

from rtl4ml.errors import ToolError

_SCRIPT = (
    "read_rtlil {source}",
    "attrmap -remove generator -remove top -remove src -remove amaranth.hierarchy -remove amaranth.decoding",
    "attrmap -modattr -remove generator -remove top -remove src -remove amaranth.hierarchy -remove amaranth.decoding -remove keep_hierarchy",
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
    """Version of the Yosys in use, such as `0.70`.

    Raises:
        ToolError: it cannot be loaded.
    """
    match = re.search(r"\d+\.\d+", str(_yosys().yosys_version_str))
    return match.group() if match else "unknown"


def _yosys():  # type: ignore[no-untyped-def]  # noqa: ANN202  (a compiled module without types)
    try:
        from pyosys import libyosys
    except ImportError as error:
        raise ToolError(f"Yosys must be importable as pyosys to write Verilog: {error}; pip install pyosys") from error
    return libyosys


def run_yosys(commands: list[str]) -> None:
    """Run a script in a fresh design, without output.

    Raises:
        ToolError: a command failed.
    """
    yosys = _yosys()
    design = yosys.Design()
    for command in commands:
        try:
            yosys.run_pass(f"tee -q {command}", design)
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


def count_multipliers(verilog: str) -> int:
    """Multiplication operators in Verilog text, comments and attributes left out."""
    code = re.sub(r"\(\*.*?\*\)|//[^\n]*|/\*.*?\*/", "", verilog, flags=re.DOTALL)
    code = re.sub(r"@\s*\*|@\s*\(\s*\*\s*\)", "", code)
    return len(re.findall(r"(?<![*(])\*(?![*)])", code))
