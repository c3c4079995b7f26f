"""What a result depends on besides the model and the point: rtl4ml itself and the tools that measure."""

import functools
import hashlib
from pathlib import Path

import rtl4ml
from rtl4ml.synthesis.measure import tool_versions
from rtl4ml.yosys import yosys_version

_PACKAGE = Path(rtl4ml.__file__).parent

SPECTATORS = frozenset(("board", "cli", "report", "simulation", "sweep"))
"""Rooms that decide nothing about a design's area or cycles."""


@functools.cache
def sources_digest() -> str:
    """Hash of the sources that decide what a design is: a checkout changes without its version."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        name = path.relative_to(_PACKAGE)
        if name.parts[0] not in SPECTATORS:
            data = path.read_bytes()
            digest.update(f"{name.as_posix()} {len(data)} ".encode())
            digest.update(data)
    return digest.hexdigest()[:12]


def versions(tools: bool, target: str | None = None, placed: bool = False) -> dict[str, str]:
    """Versions by name.

    Args:
        tools: whether Yosys maps the design.
        target: where to; needed when it is placed.
        placed: whether place and route runs.

    Raises:
        ConfigurationError: an unknown target.
        ToolError: a tool is missing.
    """
    found = {"rtl4ml": f"{rtl4ml.__version__}+{sources_digest()}"}
    if placed and target is not None:
        return found | tool_versions(target)
    return found | ({"yosys": yosys_version()} if tools else {})
