"""Yosys, run as a child process: its fatal errors end the process that they happen in."""

import importlib.metadata
import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from rtl4ml.errors import ToolError

# Each line of stdin is a command. What cannot be imported ends with status 3.
_CHILD = """
import sys
try:
    from pyosys import libyosys
except ImportError as error:
    print(error, file=sys.stderr)
    sys.exit(3)
design = libyosys.Design()
for command in sys.stdin.read().splitlines():
    libyosys.Pass.call(design, command)
"""


class YosysCrashError(ToolError):
    """A signal ended Yosys."""


def yosys_version() -> str:
    """Version of the Yosys in use, such as `0.70`.

    Raises:
        ToolError: it is not installed.
    """
    try:
        return importlib.metadata.version("pyosys")
    except importlib.metadata.PackageNotFoundError as error:
        raise ToolError("Yosys must be installed as pyosys, but is not: pip install pyosys") from error


def run_yosys(commands: Iterable[str], folder: Path) -> None:
    """Run a script in a fresh design.

    Args:
        commands: one command each, without line breaks.
        folder: where the child runs: file names in the commands are relative to it, so its own name may hold anything.

    Raises:
        YosysCrashError: a signal ended Yosys.
        ToolError: Yosys cannot be loaded, or a command failed.
    """
    # -P: a file of the user's that is called like a module must not take its place.
    child = subprocess.run(
        [sys.executable, "-P", "-c", _CHILD],
        cwd=folder,
        input="\n".join(commands),
        capture_output=True,
        text=True,
        errors="replace",
    )
    if child.returncode == 3:
        raise ToolError(f"Yosys must be importable as pyosys: {child.stderr.strip()}; pip install pyosys")
    if child.returncode < 0:
        raise _crashed(-child.returncode, child.stdout)
    if child.returncode:
        lines = [*child.stdout.splitlines(), *child.stderr.splitlines()]
        said = next((line for line in lines if "ERROR:" in line), lines[-1] if lines else "nothing")
        raise ToolError(f"Yosys must run to its end, not stop with status {child.returncode}: it said {said.strip()}")


def _crashed(number: int, said: str) -> YosysCrashError:
    """A signal ended Yosys, in the pass that it named last."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = "of no name"
    passes = re.findall(r"Executing (\S+) (?:pass|backend|frontend)", said)
    where = f" in its pass {passes[-1].lower()}" if passes else ""
    if number == signal.SIGKILL:
        why = "memory ran out, or somebody stopped it: close other programs, or say a larger reuse"
    else:
        why = "a fault of Yosys: try another reuse or target, or another version of pyosys"
    return YosysCrashError(f"Yosys must run to its end, not be ended by signal {number} ({name}){where}; {why}")
