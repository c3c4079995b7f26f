"""From Verilog to objects: Verilator, then the C++ compiler, side by side on all processors.

Verilator's own makefiles are not used: its runtime is compiled once and kept, which is most of the time for a small
design, paths with spaces work, and the PyPI wheel's makefile names tools of the machine that built it.
"""

import concurrent.futures
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rtl4ml.cache import cached, key_of
from rtl4ml.errors import ToolError
from rtl4ml.simulation.verilator import Verilator, compiler_version, find_compiler, find_verilator

VERILATOR_FLAGS = (
    "--cc",
    "-O3",
    "--x-assign",
    "fast",
    "--output-split",
    "20000",
    # Functions of at most 500 statements compile in two thirds of the time, and run as fast.
    "--output-split-cfuncs",
    "500",
    "-Wno-fatal",
    "-Wno-lint",
    "-Wno-style",
    "--quiet-stats",
)
# On a design of 14,000 adders -O2 and -Os took twice as long as -O1 to compile and the result ran no faster. Code that
# runs once (constructors, the first settling) is not worth optimising at all.
FAST_FLAGS = ("-O1",)
SLOW_FLAGS = ("-O0",)
RUNTIME_FLAGS = ("-O2",)
COMMON_FLAGS = (
    "-std=c++17",
    "-I.",
    "-DVERILATOR=1",
    *(f"-DVM_{name}=0" for name in ("COVERAGE", "SC", "TIMING", "TRACE", "TRACE_FST", "TRACE_VCD", "TRACE_SAIF")),
)
# Below this much C++, reading Verilator's headers again for each file takes longer than compiling it.
SMALL_BYTES = 200_000


@dataclass(frozen=True)
class Toolchain:
    """Verilator and the C++ compiler.

    Attributes:
        verilator: The Verilator.
        compiler: Path of the C++ compiler.
    """

    verilator: Verilator
    compiler: str

    @classmethod
    def find(cls) -> "Toolchain":
        """The tools of this machine.

        Raises:
            ToolError: One of them is missing.
        """
        return cls(find_verilator(), find_compiler())

    @property
    def key(self) -> list[str]:
        """Everything a build depends on beside its sources."""
        verilator = (self.verilator.version, str(self.verilator.root))
        flags = (*VERILATOR_FLAGS, *FAST_FLAGS, *SLOW_FLAGS, *RUNTIME_FLAGS, *COMMON_FLAGS)
        return [*verilator, self.compiler, compiler_version(self.compiler), *flags]

    def verilate(self, top: str, sources: Sequence[Path], folder: Path, prefix: str, *flags: str) -> None:
        """Writes the C++ of a design into a folder.

        Args:
            top: Name of the top module.
            sources: Verilog and Verilator control files.
            folder: Where the C++ goes.
            prefix: Name of the C++ class.
            *flags: Further options.

        Raises:
            ToolError: Verilator refuses the design; its first complaints are in the message.
        """
        named = ["--prefix", prefix, "--top-module", top, "-Mdir", ".", *flags]
        command = [str(self.verilator.program), *VERILATOR_FLAGS, *named, *(str(path.absolute()) for path in sources)]
        environment = {"VERILATOR_ROOT": str(self.verilator.root)} if self.verilator.bundled else {}
        _run(command, folder, "Verilator must accept the design", environment)

    def compile_program(
        self, folder: Path, prefix: str, main: str, runtime: Sequence[str], program: Path, *flags: str
    ) -> None:
        """Compiles what `verilate` wrote, and links it to a program.

        Args:
            folder: The folder it was written to.
            prefix: Name of the C++ class.
            main: File in this folder with the main function.
            runtime: Names of the runtime's files that are needed.
            program: The program to write.
            *flags: Options of the linker.

        Raises:
            ToolError: The compiler fails.
        """
        names = _generated(folder, prefix)
        if sum((folder / name).stat().st_size for name in names) > SMALL_BYTES:
            jobs = [(name, SLOW_FLAGS if name.endswith("__Slow.cpp") else FAST_FLAGS) for name in names]
            jobs.append((main, RUNTIME_FLAGS))
        else:
            (folder / "all.cpp").write_text("".join(f'#include "{name}"\n' for name in [*names, main]))
            jobs = [("all.cpp", FAST_FLAGS)]
        libraries = [str(self._runtime_object(name)) for name in runtime]
        objects = self._compile(jobs, folder)
        command = [self.compiler, "-o", str(program.absolute()), *objects, *libraries, *flags, "-pthread"]
        _run(command, folder, "the simulation must link")

    def _runtime_object(self, name: str) -> Path:
        """A file of Verilator's runtime, compiled once for each pair of Verilator and compiler."""

        def build(folder: Path) -> None:
            self._compile([(str(self.verilator.root / "include" / f"{name}.cpp"), RUNTIME_FLAGS)], folder)

        return cached("runtime", key_of([*self.key, name]), build) / f"{name}.o"

    def _compile(self, jobs: Sequence[tuple[str, Sequence[str]]], folder: Path) -> list[str]:
        """Compiles files, as many at a time as there are processors; returns the names of the objects in `folder`."""
        include = self.verilator.root / "include"
        shared = [*COMMON_FLAGS, f"-I{include}", f"-I{include / 'vltstd'}"]

        def one(job: tuple[str, Sequence[str]]) -> str:
            source, flags = job
            target = f"{Path(source).stem}.o"
            _run([self.compiler, *flags, *shared, "-c", source, "-o", target], folder, "the simulation must compile")
            return target

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            return list(pool.map(one, jobs))


def _generated(folder: Path, prefix: str) -> list[str]:
    """C++ files that Verilator wrote, largest first so that the processors finish together."""
    classes = (folder / f"{prefix}_classes.mk").read_text()
    lists = re.findall(r"^VM_(?:CLASSES|SUPPORT)_(?:FAST|SLOW) \+= \\\n((?:  \S+ \\\n)*)", classes, re.MULTILINE)
    names = [f"{name}.cpp" for text in lists for name in re.findall(r"^  (\S+)", text, re.MULTILINE)]
    return sorted(names, key=lambda name: ((folder / name).stat().st_size, name), reverse=True)


def _run(command: Sequence[str], folder: Path, demand: str, environment: dict[str, str] | None = None) -> None:
    """Runs a tool in a folder; its output stays out of sight unless it fails."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        shown = "\n".join(done.stdout.strip().splitlines()[:20])
        raise ToolError(f"{demand}, not fail: {Path(command[0]).name} ended with status {done.returncode}\n{shown}")
