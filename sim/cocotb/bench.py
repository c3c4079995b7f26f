"""What the cocotb tests share: the description of the design, packing of codes, clock, reset, and watching handovers.

The design is described by a JSON file (``$RTL4ML_BENCH``, else ``bench.json`` beside this file):

    top, latency, interval     name of the wrapper; exact numbers of cycles
    ports                      clock, reset, reset_level, error, load (null, or names of valid, ready, commit, address
                               and data of the port that loads weights), and the streams i and o: elements, lanes,
                               bits, signed, slot, names of data, valid, ready, last, user (null when absent)
    vectors                    name of the npz file beside it: codes and expected [frames, elements]; short_codes,
                               short_expected and short_beats: frames that end after so many beats, the rest code 0

Only NumPy, cocotb and cocotbext-axi are needed.
"""

import json
import logging
import os
import random
from pathlib import Path
from types import SimpleNamespace

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, SimTimeoutError, with_timeout

PERIOD_NS = 10


def load_design():
    """The description, its objects as attributes and its vectors as arrays."""
    path = Path(os.environ.get("RTL4ML_BENCH") or Path(__file__).with_name("bench.json"))
    design = json.loads(path.read_text(), object_hook=lambda pairs: SimpleNamespace(**pairs))
    with np.load(path.parent / design.vectors) as arrays:
        for name in ("codes", "expected", "short_codes", "short_expected", "short_beats"):
            setattr(design, name, arrays[name])
    for side in (design.ports.i, design.ports.o):
        side.beats = -(-side.elements // side.lanes)
    return design


DESIGN = load_design()


def pack(codes, side):
    """Beats of one frame, as integers. Lanes behind the last element are all ones: the design must not care."""
    mask = (1 << side.slot) - 1
    slots = [int(code) & mask for code in codes]
    slots += [mask] * (side.beats * side.lanes - side.elements)
    return [
        sum(slot << (side.slot * lane) for lane, slot in enumerate(slots[begin : begin + side.lanes]))
        for begin in range(0, len(slots), side.lanes)
    ]


def unpack(beats, side):
    """Codes of one frame from its beats; a slot is read as a number of its full width, so extension is checked too."""
    half, full = 1 << (side.slot - 1), 1 << side.slot
    slots = [(beat >> (side.slot * lane)) & (full - 1) for beat in beats for lane in range(side.lanes)]
    assert not any(slots[side.elements :]), f"lanes behind the last element must be 0, not {slots[side.elements :]}"
    return [slot - full if side.signed and slot >= half else slot for slot in slots[: side.elements]]


def check_frame(index, got, expected):
    """Compares one output frame with what it must be."""
    expected = [int(code) for code in expected]
    wrong = [position for position, (a, b) in enumerate(zip(got, expected, strict=True)) if a != b]
    if wrong:
        first = wrong[0]
        raise AssertionError(
            f"frame {index} must be right, not wrong in {len(wrong)} of {len(expected)} elements: "
            f"element {first} is {got[first]} and must be {expected[first]}"
        )


class Watch:
    """Cycles of the handovers on both streams, counted from the first rising edge after `clear`."""

    def __init__(self, dut):
        self._dut = dut
        self.clear()

    def clear(self):
        """Forgets what was seen; the next edge is cycle 0."""
        self.cycle = 0
        self.accepted = []
        self.handed_over = []

    async def run(self):
        """Samples what stands before every rising edge."""
        ports = DESIGN.ports
        signals = [
            [getattr(self._dut, name) for name in (side.valid, side.ready) if name] for side in (ports.i, ports.o)
        ]
        edge = RisingEdge(getattr(self._dut, ports.clock))
        while True:
            await edge
            for side, cycles in zip(signals, (self.accepted, self.handed_over), strict=True):
                # Before the first reset the design's outputs may be unknown in a four-state simulator.
                if all(signal.value.is_resolvable and int(signal.value) for signal in side):
                    cycles.append(self.cycle)
            self.cycle += 1

    def check_timing(self, frames):
        """First frame after exactly the latency, later ones at exactly the interval."""
        ends = self.handed_over[DESIGN.ports.o.beats - 1 :: DESIGN.ports.o.beats]
        latency = ends[0] - self.accepted[0]
        assert latency == DESIGN.latency, f"latency must be {DESIGN.latency} cycles, not {latency}"
        # Buffers fill during the first frames; from then on the distance is constant.
        distances = np.diff(ends[frames // 2 :])
        assert (distances == DESIGN.interval).all(), (
            f"the interval must be {DESIGN.interval} cycles, not {sorted(set(distances.tolist()))}"
        )


async def start(dut):
    """Starts the clock, resets the design and returns a `Watch` that runs."""
    logging.getLogger(f"cocotb.{dut._name}").setLevel(logging.WARNING)  # cocotbext-axi logs every frame
    i, o = DESIGN.ports.i, DESIGN.ports.o
    load = DESIGN.ports.load
    loading = (load.valid, load.commit, load.address, load.data) if load else ()
    for name in (i.data, i.valid, i.last, o.ready, *loading):
        if name:
            getattr(dut, name).value = 0
    watch = Watch(dut)
    Clock(getattr(dut, DESIGN.ports.clock), PERIOD_NS, unit="ns").start()
    cocotb.start_soon(watch.run())
    await reset(dut)
    return watch


async def reset(dut, cycles=4):
    """Resets for some cycles, and waits some more so that sources and sinks are awake."""
    signal = getattr(dut, DESIGN.ports.reset)
    await wait_cycles(dut, 1)
    signal.value = DESIGN.ports.reset_level
    await wait_cycles(dut, cycles)
    signal.value = 1 - DESIGN.ports.reset_level
    await wait_cycles(dut, 8)


async def wait_cycles(dut, cycles):
    """Waits for that many rising edges."""
    edge = RisingEdge(getattr(dut, DESIGN.ports.clock))
    for _ in range(cycles):
        await edge


async def in_time(coroutine, frames, what):
    """Awaits something, but not for ever: ten times what the frames take without stalls."""
    cycles = 1000 + 10 * (DESIGN.latency + frames * DESIGN.interval)
    try:
        return await with_timeout(coroutine, cycles * PERIOD_NS, "ns")
    except SimTimeoutError:
        raise AssertionError(f"{what} must happen within {cycles} cycles, but it did not") from None


def coin(probability):
    """Endless random booleans, from cocotb's seed."""
    while True:
        yield random.random() < probability
