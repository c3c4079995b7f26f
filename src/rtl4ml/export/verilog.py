"""Amaranth components as Verilog-2001 text: RTLIL through Yosys, plain identifiers, the same bytes on every run."""

import gc
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib import wiring

from rtl4ml.datapath.cells import with_cells
from rtl4ml.yosys import run_yosys

_SCRIPT = (
    "read_rtlil stage.il",
    "hierarchy -auto-top",
    "attrmap -modattr -remove keep_hierarchy",
    # Fields of a layout come as wires with brackets in their names, which nobody else needs.
    "rename -hide w:*[*",
    "rename -hide w:*.*",
    "proc -norom",
    "memory_collect",
    "opt_clean",
    "flatten -separator _",
    # What came from submodules is there twice now: as wires of both sides of a port, and as modules that nobody uses.
    "hierarchy -auto-top",
    "opt_clean -purge",
    "rename -unescape",
    "attrmap -remove generator -remove src -remove hdlname -remove amaranth.hierarchy -remove amaranth.decoding",
    "attrmap -modattr -remove generator -remove top -remove src -remove hdlname -remove amaranth.hierarchy "
    "-remove amaranth.decoding",
    "write_verilog stage.v",
)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """No search for unreachable objects meanwhile: it walks a netlist's many reachable ones again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def to_rtlil(component: wiring.Component, name: str) -> str:
    """RTLIL of one module called `name`."""
    with _collector_paused():
        return rtlil.convert(component, name=name, emit_src=False)


def to_verilog(rtlil_text: str, comment: str) -> str:
    """Verilog of RTLIL, with a comment on top that says what it computes.

    Raises:
        ToolError: Yosys cannot be loaded or fails.
    """
    with tempfile.TemporaryDirectory(prefix="rtl4ml-") as name:
        folder = Path(name)
        (folder / "stage.il").write_text(rtlil_text, encoding="utf-8")
        run_yosys(_SCRIPT, folder)
        verilog = (folder / "stage.v").read_text(encoding="utf-8")
    body = verilog.split("*/", 1)[1].lstrip() if verilog.startswith("/*") else verilog
    body = re.sub(r"^\(\* \\?[a-z_.]*  ?= ?\"?\"? \*\)\n", "", body, flags=re.MULTILINE)
    lines = "\n".join(f"// {line}".rstrip() for line in comment.strip().splitlines())
    return with_cells(f"{lines}\n{body.rstrip()}\n")


def convert(component: wiring.Component, name: str, comment: str) -> str:
    """Verilog of one module called `name`, with a comment on top that says what it computes.

    Raises:
        ToolError: Yosys cannot be loaded or fails.
    """
    return to_verilog(to_rtlil(component, name), comment)


_CONTENT = re.compile(r"^ *\w+\[\d+\] = \d+'h[0-9a-fx]+;\n", re.MULTILINE)
"""One word of a memory's contents, as Yosys writes them."""


def count_multipliers(files: Mapping[str, str], top: str) -> int:
    """Multipliers in Verilog as Yosys reads it: the multiplication cells of the whole hierarchy.

    Args:
        files: text by file name.
        top: name of the top module.

    Raises:
        ToolError: Yosys cannot be loaded, or refuses the files.
    """
    with tempfile.TemporaryDirectory(prefix="rtl4ml-") as name:
        folder = Path(name)
        for file, text in files.items():
            # Yosys takes minutes to read a large memory's contents, in which nothing is multiplied.
            (folder / file).write_text(_CONTENT.sub("", text), encoding="utf-8")
        # Every stage's module is instantiated once, so cells of modules are cells of the design.
        reading = [f"read_verilog {file}" for file in files]
        run_yosys([*reading, f"hierarchy -check -top {top}", "tee -o count select -count t:$mul"], folder)
        return int((folder / "count").read_text(encoding="utf-8").split()[0])
