"""From Verilog to a bitstream with open tools: Yosys, nextpnr, icepack or ecppack."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtl4ml.board.description import Board
from rtl4ml.board.yowasp import run_tool
from rtl4ml.cache import cached, key_of
from rtl4ml.errors import ConfigurationError, ToolError
from rtl4ml.synthesis.nextpnr import nextpnr_version
from rtl4ml.synthesis.targets import find_target
from rtl4ml.synthesis.yosys import Resources, map_cells
from rtl4ml.yosys import yosys_version

BITSTREAMS = {"ice40": "bin", "ecp5": "bit"}
"""Ending of a bitstream's name by family."""

_FULL = re.compile(r"[Uu]nable to place cell|[Nn]o Bels remaining|failed to place|no more|[Ff]ailed to expand region")


@dataclass(frozen=True)
class Built:
    """A bitstream.

    Parameters:
        bitstream: its bytes.
        suffix: ending of its name.
        used: cells taken and cells there are, by nextpnr's name of the kind.
        resources: cells as Yosys maps them, before placement.
        fmax_mhz: fastest clock of the slowest path.
        clock_mhz: the board's.
        constraints: text of the file with the pins, and the ending of its name.
        tools: versions by name.
    """

    bitstream: bytes
    suffix: str
    used: Mapping[str, tuple[int, int]]
    resources: Resources
    fmax_mhz: float
    clock_mhz: float
    constraints: tuple[str, str]
    tools: Mapping[str, str]

    def describe(self) -> dict[str, Any]:
        """The build as plain types, without the bytes."""
        return {
            "bitstream_bytes": len(self.bitstream),
            "fmax_mhz": self.fmax_mhz,
            "clock_mhz": self.clock_mhz,
            "used": {kind: {"used": used, "available": available} for kind, (used, available) in self.used.items()},
            "tools": dict(self.tools),
        }


def constraints(board: Board) -> tuple[str, str]:
    """Pins of `NAME_board` on a board: text for nextpnr, and the ending of the file's name."""
    pins = board.pins
    assert pins is not None
    leds = {f"led_pins[{index}]": pin for index, pin in enumerate(pins.leds)}
    places = {"clk_pin": pins.clock, "reset_pin": pins.reset, "rx_pin": pins.rx, "tx_pin": pins.tx, **leds}
    places |= {name: pin for name, (pin, _) in pins.constants.items()}
    if find_target(board.target).family == "ice40":
        pulled = {"reset_pin", "rx_pin"}
        lines = [f"set_io {'-pullup yes ' if name in pulled else ''}{name} {pin}" for name, pin in places.items()]
        lines.append(f"set_frequency clk_pin {board.pin_mhz:g}")
        return "\n".join(lines) + "\n", "pcf"
    lines = []
    for name, pin in places.items():
        pull = (
            ("UP" if pins.reset_level == 0 else "DOWN") if name == "reset_pin" else "UP" if name == "rx_pin" else "NONE"
        )
        lines.append(f'LOCATE COMP "{name}" SITE "{pin}";')
        lines.append(f'IOBUF PORT "{name}" IO_TYPE=LVCMOS33 PULLMODE={pull};')
    lines.append(f'FREQUENCY PORT "clk_pin" {board.pin_mhz:g} MHZ;')
    return "\n".join(lines) + "\n", "lpf"


def build(
    files: Mapping[str, str], top: str, board: Board, seed: int = 1, progress: Callable[[str], None] | None = None
) -> Built:
    """Make a bitstream; what was made before comes from the cache.

    Args:
        files: Verilog text by file name.
        top: name of the top module.
        board: with pins.
        seed: of the placer.
        progress: called with the name of each step.

    Raises:
        ConfigurationError: the design does not fit the board's part, or misses its clock.
        ToolError: a tool is missing or fails otherwise.
    """
    tell = progress or (lambda step: None)
    target = find_target(board.target)
    assert target.device is not None
    family, package = target.family, f"yowasp-nextpnr-{target.family}"
    version = nextpnr_version(family)
    tell("mapping to cells")
    mapped = map_cells(files, top, board.target)
    text, kind = constraints(board)
    configuration = "top.asc" if family == "ice40" else "top.config"
    writing = "--asc" if family == "ice40" else "--textcfg"
    suffix = BITSTREAMS[family]
    # Timing is judged below, in our words.
    options = [*target.device, "--freq", f"{board.clock_mhz:g}", "--seed", str(seed), "--timing-allow-fail"]
    options += ["--json", "netlist.json", f"--{kind}", f"top.{kind}", "--report", "report.json"]
    options += [writing, configuration, "--quiet"]

    def make(folder: Path) -> None:
        (folder / "netlist.json").write_text(mapped.netlist, encoding="utf-8")
        (folder / f"top.{kind}").write_text(text, encoding="utf-8")
        tell("placing and routing")
        _place(package, f"nextpnr-{family}", options, folder, board, mapped.resources)
        tell("writing the bitstream")
        packing = [configuration, f"top.{suffix}"]
        packer = "icepack" if family == "ice40" else "ecppack"
        done = run_tool(package, packer, packing if family == "ice40" else ["--compress", *packing], folder)
        if done.status or not (folder / f"top.{suffix}").is_file():
            raise ToolError(f"{packer} must write a bitstream, but stopped: it said {done.last}")
        (folder / "netlist.json").unlink()

    folder = cached("bitstream", key_of([version, *options, text, mapped.netlist]), make)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    fmax = round(min(found["achieved"] for found in report["fmax"].values()), 2)
    if fmax < board.clock_mhz:
        raise ConfigurationError(
            f"Clock of the design must reach the {board.clock_mhz:g} MHz of {board.title}, but its slowest path allows "
            f"{fmax:g} MHz: say --clock {board.clock_mhz * board.clock_mhz / fmax:.0f} or more, for registers closer "
            f"together, or try another --seed than {seed}"
        )
    used = {
        name: (numbers["used"], numbers["available"])
        for name, numbers in report["utilization"].items()
        if numbers["used"]
    }
    return Built(
        (folder / f"top.{suffix}").read_bytes(),
        suffix,
        used,
        mapped.resources,
        fmax,
        board.clock_mhz,
        (text, kind),
        {"yosys": yosys_version(), "nextpnr": version},
    )


def _place(package: str, tool: str, options: list[str], folder: Path, board: Board, resources: Resources) -> None:
    done = run_tool(package, tool, options, folder)
    if not done.status and (folder / "report.json").is_file():
        return
    said = "; ".join(done.errors[:2]) or done.last
    if _FULL.search(said):
        kinds = (("LUT", resources.lut), ("flip-flops", resources.ff), ("DSP", resources.dsp), ("RAM", resources.bram))
        needed = ", ".join(f"{number} {kind}" for kind, number in kinds)
        raise ConfigurationError(
            f"Design must fit the part of {board.title} ({board.target}), but takes {needed}: say a larger --reuse. "
            f"nextpnr said: {said}"
        )
    raise ToolError(f"Design must be placed and routed on {board.target}, but nextpnr stopped: it said {said}")
