"""Runs the protocol bench: cocotb sources and sinks that stall, reset and misplace tlast.

The bench itself is in ``sim/cocotb``; it knows a design by one JSON and one npz file, which `write_bench` makes.
"""

import contextlib
import dataclasses
import importlib
import json
import logging
import shutil
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt

from rtl4ml import resources
from rtl4ml.cache import cached, key_of
from rtl4ml.errors import ConfigurationError, ToolError
from rtl4ml.simulation.ports import Ports, Side
from rtl4ml.simulation.verilated import Toolchain

SCHEMA = 1
SHORT_FRAMES = 6
"""Frames that end early, for the test of an early tlast."""

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class BenchCase:
    """One test of the bench.

    Attributes:
        name: The test, with its parameters.
        state: ``passed``, ``failed`` or ``skipped``.
        message: Why it failed; empty otherwise.
        seconds: How long it took.
    """

    name: str
    state: str
    message: str
    seconds: float


@dataclass(frozen=True)
class BenchResult:
    """All tests of a run, in order."""

    cases: tuple[BenchCase, ...]

    @property
    def passed(self) -> bool:
        """Whether no test failed."""
        return not self.failures

    @property
    def failures(self) -> tuple[BenchCase, ...]:
        """The tests that failed."""
        return tuple(case for case in self.cases if case.state == "failed")


def _cocotb() -> ModuleType:
    """The part that needs cocotb.

    Raises:
        ToolError: It is not installed.
    """
    try:
        return importlib.import_module("rtl4ml.simulation.cocotb_runner")
    except ImportError as error:
        raise ToolError(f"cocotb must be importable to run the protocol bench: {error}; pip install cocotb") from error


def shorten(codes: Codes, side: Side) -> tuple[Codes, npt.NDArray[np.int64]]:
    """Frames that end early: what the wrapper makes of them, and after how many beats they end.

    Args:
        codes: int64 ``[frames, n_in]``.
        side: The input stream; of more than one beat, else nothing can end early and no frame is returned.

    Returns:
        At most `SHORT_FRAMES` frames whose last beats are code 0, and int64 ``[frames]``, the number of beats before.
    """
    if side.beats == 1:
        return codes[:0], np.zeros(0, np.int64)
    short = codes[:SHORT_FRAMES].copy()
    beats = 1 + np.arange(len(short), dtype=np.int64) * 7 % (side.beats - 1)
    for frame, count in zip(short, beats, strict=True):
        frame[int(count) * side.lanes :] = 0
    return short, beats


def write_bench(
    folder: Path, top: str, ports: Ports, codes: Codes, evaluate: Callable[[Codes], Codes], latency: int, interval: int
) -> Path:
    """Writes ``bench.json`` and ``vectors.npz``, which tell the bench everything about a design.

    Args:
        folder: An existing folder.
        top: Name of the wrapper module.
        ports: Its ports.
        codes: int64 ``[frames, n_in]``, at least 4 frames.
        evaluate: Codes that must come out for codes that go in; also called for frames filled up with code 0.
        latency: Planned latency, cycles.
        interval: Planned interval, cycles.

    Returns:
        Path of ``bench.json``.

    Raises:
        ConfigurationError: There are not enough frames.
    """
    if codes.ndim != 2 or codes.shape[1] != ports.i.elements or len(codes) < 4:
        raise ConfigurationError(
            f"the bench's codes must have the shape [4 or more, {ports.i.elements}], not {list(codes.shape)}"
        )
    short, beats = shorten(codes, ports.i)
    np.savez_compressed(
        folder / "vectors.npz",
        codes=codes,
        expected=evaluate(codes),
        short_codes=short,
        short_expected=evaluate(short) if len(short) else np.zeros((0, ports.o.elements), np.int64),
        short_beats=beats,
    )
    description = {
        "schema": SCHEMA,
        "top": top,
        "latency": latency,
        "interval": interval,
        "ports": dataclasses.asdict(ports),
        "vectors": "vectors.npz",
    }
    path = folder / "bench.json"
    path.write_text(json.dumps(description, indent=2) + "\n")
    return path


def run_bench(
    top: str,
    verilog: Sequence[Path],
    ports: Ports,
    codes: Codes,
    evaluate: Callable[[Codes], Codes],
    latency: int,
    interval: int,
    memories: Sequence[Path] = (),
    seed: int = 1,
    tests: Sequence[str] | None = None,
) -> BenchResult:
    """Builds a wrapper for cocotb, or takes the build from the cache, and runs the bench on it.

    Args:
        top: Name of the wrapper module.
        verilog: All Verilog files.
        ports: Its ports; with ``ready`` it is tested as an AXI4-Stream, without as a free-running pipeline.
        codes: int64 ``[frames, n_in]``; a dozen frames are plenty, cocotb runs a few thousand cycles a second.
        evaluate: Codes that must come out for codes that go in.
        latency: Planned latency, cycles.
        interval: Planned interval, cycles.
        memories: Files that the Verilog reads with ``$readmemh``.
        seed: Of the stalls.
        tests: Names of tests to run; all when None.

    Raises:
        ConfigurationError: There are not enough frames.
        ToolError: Verilator or the C++ compiler is missing or refuses the design, or cocotb did not start.
    """
    program = build_cocotb(top, verilog, ports)
    with tempfile.TemporaryDirectory(prefix="rtl4ml-") as name:
        folder = Path(name)
        bench = write_bench(folder, top, ports, codes, evaluate, latency, interval)
        for path in memories:
            shutil.copy(path, folder / path.name)
        module = "test_pipeline" if ports.i.ready is None else "test_axis"
        return run_tests(program, module, bench, seed, tests)


def run_tests(
    program: Path, module: str, bench: Path, seed: int = 1, tests: Sequence[str] | None = None
) -> BenchResult:
    """Runs a module of ``sim/cocotb``.

    Args:
        program: From `build_program`.
        module: Name of the module.
        bench: The file that tells it everything, as ``$RTL4ML_BENCH``; log and results go into its folder.
        seed: Of what is random.
        tests: Names of tests to run; all when None.

    Raises:
        ToolError: cocotb did not start.
    """
    folder = bench.parent
    results, log = folder / "results.xml", folder / "log.txt"
    runner = _cocotb().Runner(resources.path("sim", "cocotb"))
    runner.log.setLevel(logging.CRITICAL)  # what failed is in the results
    # It leaves the whole process when a test failed and pytest stands above it.
    with contextlib.suppress(SystemExit, RuntimeError):
        runner.test(
            test_module=module,
            hdl_toplevel=program.name,
            hdl_toplevel_lang="verilog",
            build_dir=program.parent,
            test_dir=folder,
            results_xml=str(results),
            testcase=tests,
            seed=seed,
            extra_env={"RTL4ML_BENCH": str(bench)},
            log_file=log,
        )
    return _read_results(results, log)


def build_cocotb(top: str, verilog: Sequence[Path], ports: Ports) -> Path:
    """Program that simulates a wrapper under cocotb; errors are those of `build_program`."""
    names = [ports.clock, ports.reset, ports.error]
    names += dataclasses.astuple(ports.load) if ports.load else ()
    names += [name for side in (ports.i, ports.o) for name in (side.data, side.valid, side.ready, side.last, side.user)]
    return build_program(top, verilog, [name for name in names if name])


def build_program(top: str, verilog: Sequence[Path], names: Sequence[str]) -> Path:
    """Program that simulates a design under cocotb, from the cache when the same text was built before.

    cocotb's own build makes every internal signal public, which stops Verilator from optimising any: a large design
    took four times as long to build. Here only the ports are.

    Args:
        top: Name of the top module; the program is called like it.
        verilog: All Verilog files.
        names: Names of its ports.

    Raises:
        ToolError: Verilator or the C++ compiler is missing, or refuses the design.
    """
    tools = Toolchain.find()
    main, libraries = _cocotb().MAIN, _cocotb().LIBRARIES
    public = "".join(f'public_flat_rw -module "{top}" -var "{name}"\n' for name in names)

    def build(folder: Path) -> None:
        work = folder / "work"
        work.mkdir()
        (work / "public.vlt").write_text(f"`verilator_config\n{public}")
        shutil.copy(main, work / "main.cpp")
        # The control file stands first: it applies to what is read after it.
        tools.verilate(top, [work / "public.vlt", *verilog], work, "Vtop", "--vpi")
        link = (f"-L{libraries}", f"-Wl,-rpath,{libraries}", "-lcocotbvpi_verilator")
        runtime = ("verilated", "verilated_threads", "verilated_vpi")
        tools.compile_program(work, "Vtop", "main.cpp", runtime, folder / top, *link)
        shutil.rmtree(work)

    texts = [main.read_bytes(), *(path.read_bytes() for path in verilog)]
    return cached("cocotb", key_of([*tools.key, str(libraries), top, public, *texts]), build) / top


def _read_results(results: Path, log: Path) -> BenchResult:
    """The tests in a JUnit file that cocotb wrote."""
    if not results.exists():
        said = "\n".join(log.read_text(errors="replace").strip().splitlines()[-20:]) if log.exists() else ""
        raise ToolError(f"the protocol bench must start, not stop without a result:\n{said}")
    cases = []
    for case in ElementTree.parse(results).iter("testcase"):
        failure = next((case.find(tag) for tag in ("failure", "error") if case.find(tag) is not None), None)
        state = "failed" if failure is not None else "skipped" if case.find("skipped") is not None else "passed"
        # The first line is what the bench says; pytest's rewriting adds the compared values once more.
        message = "" if failure is None else (failure.get("message") or failure.text or "").strip().split("\n")[0]
        cases.append(BenchCase(case.get("name", ""), state, message, float(case.get("time", 0))))
    return BenchResult(tuple(cases))
