"""Builds the program of a native simulation: the verilated design, the C++ harness, and the ports' names between."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from rtl4ml import resources
from rtl4ml.cache import cached, key_of
from rtl4ml.simulation.ports import Ports, Side
from rtl4ml.simulation.verilated import Toolchain

PROGRAM = "simulate"


def element_type(slot: int, signed: bool) -> str:
    """NumPy name of the smallest integer that holds a slot: ``int8`` .. ``uint64``."""
    size = next(size for size in (8, 16, 32, 64) if slot <= size)
    return f"{'' if signed else 'u'}int{size}"


def design_header(ports: Ports) -> str:
    """Text of ``design.h``, which tells the harness the names of the ports and the shape of the data."""

    def output(name: str | None, absent: int) -> str:
        return str(absent) if name is None else f"dut.{name}"

    def setter(name: str | None) -> str:
        return "((void)(x))" if name is None else f"(dut.{name} = (x))"

    def shape(prefix: str, side: Side) -> list[str]:
        return [
            f"constexpr unsigned N_{prefix} = {side.elements}, LANES_{prefix} = {side.lanes};",
            f"constexpr unsigned {prefix}_SLOT = {side.slot};",
            f"constexpr bool {prefix}_SIGNED = {str(side.signed).lower()};",
            f"using {prefix.capitalize()}Element = {element_type(side.slot, side.signed)}_t;",
        ]

    load = ports.load
    load_ports = {} if load is None else {n: getattr(load, n) for n in ("valid", "commit", "address", "data")}
    lines = [
        f"#define DUT_CLOCK dut.{ports.clock}",
        f"#define DUT_RESET dut.{ports.reset}",
        f"#define RESET_ACTIVE {ports.reset_level}",
        f"#define DUT_IN_DATA dut.{ports.i.data}",
        f"#define DUT_IN_VALID dut.{ports.i.valid}",
        f"#define DUT_IN_READY {output(ports.i.ready, 1)}",
        f"#define DUT_SET_IN_LAST(x) {setter(ports.i.last)}",
        f"#define DUT_OUT_DATA dut.{ports.o.data}",
        f"#define DUT_OUT_VALID dut.{ports.o.valid}",
        f"#define DUT_SET_OUT_READY(x) {setter(ports.o.ready)}",
        f"#define HAS_OUT_LAST {int(ports.o.last is not None)}",
        f"#define DUT_OUT_LAST {output(ports.o.last, 0)}",
        f"#define DUT_OUT_USER {output(ports.o.user, 0)}",
        f"#define DUT_ERROR {output(ports.error, 0)}",
        f"#define HAS_LOAD {int(ports.load is not None)}",
        f"#define DUT_LOAD_READY {output(None if load is None else load.ready, 1)}",
        *(
            f"#define DUT_SET_LOAD_{name.upper()}(x) {setter(load_ports.get(name))}"
            for name in ("valid", "commit", "address", "data")
        ),
        *shape("IN", ports.i),
        *shape("OUT", ports.o),
    ]
    return "\n".join(lines) + "\n"


def build_native(top: str, verilog: Sequence[Path], ports: Ports, memories: Sequence[Path] = ()) -> Path:
    """Program that simulates a design, from the cache when the same text was built before.

    Args:
        top: Name of the wrapper module.
        verilog: All Verilog files.
        ports: Ports of the wrapper.
        memories: Files that the Verilog reads with ``$readmemh`` under their bare names; kept beside the program.

    Returns:
        The program; it is to be run in its own folder.

    Raises:
        ToolError: Verilator or the C++ compiler is missing, or refuses the design.
    """
    tools = Toolchain.find()
    harness = resources.path("sim", "native", "harness.cpp")
    header = design_header(ports)
    sources = [harness.read_bytes(), *(path.read_bytes() for path in verilog)]
    contents = [part for path in memories for part in (path.name, path.read_bytes())]

    def build(folder: Path) -> None:
        work = folder / "work"
        work.mkdir()
        (work / "design.h").write_text(header)
        shutil.copy(harness, work / "harness.cpp")
        tools.verilate(top, verilog, work, "Vdut")
        tools.compile_program(work, "Vdut", "harness.cpp", ("verilated", "verilated_threads"), folder / PROGRAM)
        shutil.rmtree(work)
        for path in memories:
            shutil.copy(path, folder / path.name)

    return cached("native", key_of([*tools.key, top, header, *sources, "memories", *contents]), build) / PROGRAM
