"""Place and route with nextpnr, in a child process: what fits, and how fast the clock may be."""

import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtl4ml.cache import cached, key_of
from rtl4ml.errors import ConfigurationError, ToolError
from rtl4ml.synthesis.harness import with_harness
from rtl4ml.synthesis.targets import find_target

_CHILD = """
import sys
try:
    import {module} as tool
except ImportError as error:
    print(error, file=sys.stderr)
    sys.exit(77)
sys.exit(tool.run_nextpnr_{family}(sys.argv[1:]))
"""
_MISSING = 77
_FULL = re.compile(r"no BELs remaining to implement cell type '(\w+)'", re.IGNORECASE)
_PINS = re.compile(r".*_IO|SB_GB|DCCA|.*IOLOGIC|SIOLOGIC|ECLK\w*|.*PLL\w*|DTR|USRMCLK|EXTREF\w*|GSR|JTAG\w*|OSC\w*")
"""Cells that belong to pads, clocks and configuration: none of the design's."""


@dataclass(frozen=True)
class Hop:
    """A piece of a path.

    Parameters:
        kind: "clk-to-q", "logic", "routing" or "setup".
        ns: how long it takes.
        cell: where it ends.
        pin: of the cell.
    """

    kind: str
    ns: float
    cell: str
    pin: str


@dataclass(frozen=True)
class Placement:
    """A placed and routed design.

    Parameters:
        fmax_mhz: fastest clock of its slowest path between registers; None when there is none.
        seed: of the placer.
        used: cells taken and cells there are, by nextpnr's name of the kind, without the harness.
        path: the slowest one, from a register to a register; hops that take no time are left out.
    """

    fmax_mhz: float | None
    seed: int
    used: Mapping[str, tuple[int, int]]
    path: tuple[Hop, ...]

    def describe(self) -> dict[str, Any]:
        """The placement as plain types."""
        return {
            "fmax_mhz": self.fmax_mhz,
            "seed": self.seed,
            "used": {kind: {"used": used, "available": available} for kind, (used, available) in self.used.items()},
            "path": [hop.__dict__ for hop in self.path],
        }


def nextpnr_version(family: str) -> str:
    """Version of nextpnr for a family, such as `0.11.1`.

    Raises:
        ToolError: it is not installed.
    """
    package = f"yowasp-nextpnr-{family}"
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise ToolError(
            f"nextpnr for {family} must be installed as {package}, but is not: pip install {package}"
        ) from error


def place(netlist: str, top: str, target: str, clock: str, clock_mhz: float, seed: int = 1) -> Placement:
    """Place and route a mapped netlist with registers around it; a result known from before comes from the cache.

    Args:
        netlist: Yosys' JSON of `top`, mapped for the target.
        top: name of the module.
        target: a part in `TARGETS`.
        clock: name of its clock.
        clock_mhz: what the placer tries to reach; more than can be reached is no error.
        seed: of the placer.

    Raises:
        ConfigurationError: the target is no part that nextpnr knows.
        ToolError: nextpnr is missing, or the design does not fit.
    """
    found = find_target(target)
    if found.device is None:
        raise ConfigurationError(f"Target of place and route must be a part such as ecp5-25f, not {target!r}")
    version = nextpnr_version(found.family)
    options = [*found.device, "--freq", f"{clock_mhz:g}", "--seed", str(seed), "--timing-allow-fail"]
    allowed = "--lpf-allow-unconstrained" if found.family == "ecp5" else "--pcf-allow-unconstrained"
    options += [allowed, "--json", "netlist.json", "--report", "report.json", "--quiet"]
    harnessed = with_harness(netlist, top, clock, found.family)

    def build(folder: Path) -> None:
        (folder / "netlist.json").write_text(harnessed.text, encoding="utf-8")
        _run(found.family, options, folder, target)
        (folder / "netlist.json").unlink()

    key = key_of([version, *options, harnessed.text])
    report = json.loads((cached("placement", key, build) / "report.json").read_text(encoding="utf-8"))
    return _placement(report, seed, harnessed.flip_flops)


def _run(family: str, options: list[str], folder: Path, target: str) -> None:
    module = f"yowasp_nextpnr_{family}"
    child = subprocess.run(
        [sys.executable, "-P", "-c", _CHILD.format(module=module, family=family), *options],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if child.returncode == _MISSING:
        package = module.replace("_", "-")
        raise ToolError(f"nextpnr must be importable as {module}: {child.stderr.strip()}; pip install {package}")
    if child.returncode or not (folder / "report.json").is_file():
        lines = [*child.stdout.splitlines(), *child.stderr.splitlines()]
        if (full := _FULL.search(child.stdout + child.stderr)) is not None:
            raise ToolError(
                f"Design must fit on {target}, but needs more {full[1]} than there are, the registers at its ports "
                "included: a larger part, or a higher reuse"
            )
        said = next((line for line in lines if "ERROR:" in line), lines[-1] if lines else "nothing")
        raise ToolError(f"Design must be placed and routed on {target}, but nextpnr stopped: it said {said.strip()}")


def _placement(report: Mapping[str, Any], seed: int, harness: int) -> Placement:
    used = {}
    for kind, numbers in report["utilization"].items():
        if _PINS.fullmatch(kind) or not numbers["used"]:
            continue
        # A flip-flop without a table takes a cell of its own on iCE40; on ECP5 they are counted apart.
        own = numbers["used"] - (harness if kind in ("TRELLIS_FF", "ICESTORM_LC") else 0)
        used[kind] = (own, numbers["available"])
    clocks = report.get("fmax", {})
    slowest = min((found["achieved"] for found in clocks.values()), default=None)
    path: tuple[Hop, ...] = ()
    for candidate in report.get("critical_paths", []):
        if (
            candidate["from"].split(" ", 1)[-1] == candidate["to"].split(" ", 1)[-1]
            and "async" not in candidate["from"]
        ):
            path = tuple(
                Hop(hop["type"], round(hop["delay"], 3), hop["to"]["cell"], hop["to"]["port"])
                for hop in candidate["path"]
                if hop["delay"] > 0
            )
            break
    return Placement(None if slowest is None else round(slowest, 2), seed, used, path)
