"""Verilog around an IP: serial line, frames and pins of a board, or FIFOs and registers of a node."""

import json
import math
import zlib
from collections.abc import Mapping
from typing import Any

import rtl4ml
from rtl4ml.board.description import Board
from rtl4ml.design import Design
from rtl4ml.errors import ConfigurationError
from rtl4ml.export.templates import render
from rtl4ml.planning import writable

PHASE_BITS = 20
"""Of the accumulators that make the bit clock: its error is below 0.05 % down to a thousandth of the clock."""

SILENCE_MS = 20
"""Silence that ends an unfinished frame. A host's USB stack may pause for some milliseconds."""

MAX_FRAME = 0xFFFF
"""Bytes of a frame: its length is sent in two."""


def frame_bytes(design: Design) -> tuple[int, int]:
    """Bytes of an input and of an output frame: whole beats, slots as in tdata."""
    i, o = design.ports.i, design.ports.o
    return i.beats * i.lanes * i.slot // 8, o.beats * o.lanes * o.slot // 8


def identity(metadata: Mapping[str, Any]) -> int:
    """32 bits that tell one IP from another: a CRC of name, file and layout of the streams.

    Args:
        metadata: what `metadata.json` holds.
    """
    parts = {key: metadata[key] for key in ("name", "source", "input", "output")}
    return zlib.crc32(json.dumps(parts, sort_keys=True).encode())


def check(design: Design) -> None:
    """Find out whether a design can stand behind a host.

    Raises:
        ConfigurationError: it is free-running, or its frames are too long.
    """
    if not design.plan.settings.backpressure:
        raise ConfigurationError(
            "A board's design must have back-pressure, since a host is slower than the pipeline: leave out "
            "backpressure=False (--free-running)"
        )
    largest = max(frame_bytes(design))
    if largest > MAX_FRAME:
        raise ConfigurationError(f"A frame on a board's line must be at most {MAX_FRAME} bytes, not {largest}")


def _common(design: Design) -> dict[str, Any]:
    i, o = design.ports.i, design.ports.o
    return {
        "name": design.name,
        "version": rtl4ml.__version__,
        "beat_in": i.lanes * i.slot // 8,
        "beats_in": i.beats,
        "beat_out": o.lanes * o.slot // 8,
        "beats_out": o.beats,
        "identity": identity(design.metadata()),
        "load_address_bits": writable.address_bits(design.plan) if design.ports.load else 0,
    }


def bit_clock(clock_mhz: float, baud: int) -> int:
    """What an accumulator of `PHASE_BITS` is moved by every cycle, to overflow once a bit.

    Raises:
        ConfigurationError: the clock is too slow for the receiver to see the middle of a bit.
    """
    if not 0 < baud <= clock_mhz * 1e6 / 4:
        raise ConfigurationError(f"baud must be 1 to a quarter of the clock of {clock_mhz:g} MHz, not {baud}")
    # Rounded up: where a bit is a whole number of cycles, the overflow must not come one later.
    return math.ceil(2**PHASE_BITS * baud / (clock_mhz * 1e6))


def silence_cycles(board: Board, silence_ms: float) -> int:
    """The power of two of cycles that lasts at least so long, and less than twice."""
    return 1 << (round(silence_ms * 1e3 * board.clock_mhz) - 1).bit_length()


def uart_files(design: Design, board: Board, silence_ms: float = SILENCE_MS) -> dict[str, str]:
    """Verilog of a whole board by file name, its top `NAME_board` first.

    Args:
        design: with back-pressure.
        board: with pins.
        silence_ms: how long the line may be silent inside a frame.

    Raises:
        ConfigurationError: a free-running design, frames that are too long, a baud rate that the clock cannot make.
        ToolError: Yosys is missing.
    """
    check(design)
    assert board.pins is not None
    name = design.name
    serial = {
        "clock_mhz": f"{board.clock_mhz:g}",
        "baud": board.baud,
        "phase_bits": PHASE_BITS,
        "increment": bit_clock(board.clock_mhz, board.baud),
    }
    pins = board.pins
    variables: dict[str, dict[str, Any]] = {
        "board_top.v.j2": {
            "title": board.title,
            "pin_mhz": f"{board.pin_mhz:g}",
            "pll": board.pll,
            "reset_level": pins.reset_level,
            "led_level": pins.led_level,
            "leds": len(pins.leds),
            "constants": {key: level for key, (_, level) in pins.constants.items()},
        },
        "uart_frames.v.j2": {"timeout": silence_cycles(board, silence_ms)},
        "uart_rx.v.j2": {},
        "uart_tx.v.j2": {},
    }
    names = {"board_top.v.j2": f"{name}_board.v"}
    common = {**_common(design), **serial}
    made = {
        names.get(template, f"{name}_{template.removesuffix('.j2')}"): render(template, **{**common, **values})
        for template, values in variables.items()
    }
    return {**made, **design.verilog}


def node_files(design: Design) -> dict[str, str]:
    """Verilog of a node with FIFO and register ports by file name, its top `NAME_node` first.

    Raises:
        ConfigurationError: a free-running design.
        ToolError: Yosys is missing.
    """
    check(design)
    text = render("fifo_node.v.j2", **_common(design))
    return {f"{design.name}_node.v": text, **design.verilog}
