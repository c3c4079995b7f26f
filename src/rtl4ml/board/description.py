"""Boards as `boards/*.toml` describe them: part, pins, clock, host link."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtl4ml import resources
from rtl4ml.board.pll import Pll, read_pll
from rtl4ml.datapath.delays import FAMILIES
from rtl4ml.errors import ConfigurationError
from rtl4ml.synthesis.targets import find_target


@dataclass(frozen=True)
class Pins:
    """Pins of a board that open tools build for.

    Parameters:
        clock, reset, rx, tx: names of pins; `rx` is where the part receives.
        reset_level: level of the button when it is pressed.
        leds: names of pins.
        led_level: level at which a LED is lit.
        constants: other outputs by name: pin and level.
    """

    clock: str
    reset: str
    reset_level: int
    rx: str
    tx: str
    leds: tuple[str, ...]
    led_level: int
    constants: Mapping[str, tuple[str, int]]


@dataclass(frozen=True)
class Processor:
    """What Vivado must know of a board with a processor.

    Parameters:
        part: name of the part.
        board_part: name of the board whose preset sets up memory, clocks and pins.
        board_connections: of a module on a carrier; empty for others.
        family: "zynq7" or "zynqmp".
    """

    part: str
    board_part: str
    board_connections: str
    family: str


@dataclass(frozen=True)
class Board:
    """A board.

    Parameters:
        name: of its file.
        title: for people.
        flow: "open" (bitstream with open tools, serial line), "vivado" (block design with DMA) or "node" (Verilog with
            FIFOs and registers).
        pin_mhz: clock that comes in.
        clock_mhz: clock of the logic.
        pll: between the two; None where they are the same.
        target: of Yosys and nextpnr; empty for other flows.
        baud: of the serial line.
        program: command that loads `{bitstream}`.
        pins: for the open flow.
        processor: for Vivado.
    """

    name: str
    title: str
    flow: str
    pin_mhz: float
    clock_mhz: float
    pll: Pll | None = None
    target: str = ""
    baud: int = 0
    program: str = ""
    pins: Pins | None = None
    processor: Processor | None = None

    @property
    def family(self) -> str | None:
        """Device whose timing says where registers stand; None where nothing is known of it."""
        name = self.target if self.processor is None else {"zynq7": "xc7", "zynqmp": "xcup"}[self.processor.family]
        return name if name.split("-")[0] in FAMILIES else None


def board_names() -> list[str]:
    """Names of all boards."""
    return sorted(path.stem for path in resources.path("boards").glob("*.toml"))


def find_board(name: str) -> Board:
    """A board by its name, or by the path of a file of one's own.

    Raises:
        ConfigurationError: there is none, or its file lacks something.
    """
    path = Path(name) if name.endswith(".toml") else resources.path("boards") / f"{name}.toml"
    if not path.is_file():
        raise ConfigurationError(f"Board must be one of {', '.join(board_names())}, or a .toml file, not {name!r}")
    try:
        return _board(path.stem, tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"Board file {str(path)!r} must be TOML: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"Board file {str(path)!r} must be complete, but lacks or misuses {error}") from error


def _board(name: str, table: Mapping[str, Any]) -> Board:
    clock = table["clock"]
    mhz, flow = float(clock["mhz"]), table["flow"]
    common = {"name": name, "title": table["title"], "flow": flow, "pin_mhz": mhz, "clock_mhz": mhz}
    match flow:
        case "node":
            return Board(**common)
        case "vivado":
            if table["processor"] not in ("zynq7", "zynqmp"):
                raise ConfigurationError(
                    f"Processor of board {name!r} must be zynq7 or zynqmp, not {table['processor']!r}"
                )
            processor = Processor(
                table["part"], table["board_part"], table.get("board_connections", ""), table["processor"]
            )
            return Board(**common, processor=processor)
        case "open":
            family = find_target(table["target"]).family
            pll = read_pll(clock["pll"], family, mhz, float(clock["out_mhz"])) if "pll" in clock else None
            uart, reset, leds = table["uart"], table["reset"], table["leds"]
            constants = {key: (value["pin"], value["level"]) for key, value in table.get("constants", {}).items()}
            pins = Pins(
                clock["pin"],
                reset["pin"],
                reset["level"],
                uart["rx"],
                uart["tx"],
                tuple(leds["pins"]),
                leds["level"],
                constants,
            )
            return Board(
                **{**common, "clock_mhz": float(clock["out_mhz"]) if pll else mhz},
                pll=pll,
                target=table["target"],
                baud=uart["baud"],
                program=table["program"],
                pins=pins,
            )
    raise ConfigurationError(f"Flow of board {name!r} must be open, vivado or node, not {flow!r}")
