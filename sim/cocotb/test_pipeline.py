"""Tests of a free-running pipeline: exact timing, gaps, reset, and inputs that come too early."""

import random

import cocotb
from bench import DESIGN, check_frame, pack, reset, start, unpack, wait_cycles
from cocotb.triggers import RisingEdge

I, O = DESIGN.ports.i, DESIGN.ports.o  # noqa: E741


class Bench:
    """Drives frames at chosen distances and collects output beats."""

    def __init__(self, dut, watch):
        self.dut = dut
        self.watch = watch
        self.edge = RisingEdge(getattr(dut, DESIGN.ports.clock))
        self.beats = []
        cocotb.start_soon(self._collect())

    @classmethod
    async def make(cls, dut):
        """A bench whose design was reset."""
        return cls(dut, await start(dut))

    async def _collect(self):
        valid, data = getattr(self.dut, O.valid), getattr(self.dut, O.data)
        while True:
            await self.edge
            if int(valid.value):
                self.beats.append(int(data.value))

    async def send(self, codes, distance):
        """Sends frames; `distance()` is the number of cycles from a frame's first beat to that of the next."""
        valid, data = getattr(self.dut, I.valid), getattr(self.dut, I.data)
        for frame in codes:
            for beat in pack(frame, I):
                valid.value = 1
                data.value = beat
                await self.edge
            valid.value = 0
            for _ in range(distance() - I.beats):
                await self.edge

    async def receive(self, expected):
        """Waits until every frame must be out, compares, and forgets them."""
        await wait_cycles(self.dut, DESIGN.latency + DESIGN.interval + 16)
        assert len(self.beats) == len(expected) * O.beats, (
            f"{len(expected)} frames must give {len(expected) * O.beats} output beats, not {len(self.beats)}"
        )
        for index, frame in enumerate(expected):
            check_frame(index, unpack(self.beats[index * O.beats : (index + 1) * O.beats], O), frame)
        self.beats.clear()

    def check_latency(self):
        """Every frame leaves exactly the latency after it came."""
        starts = self.watch.accepted[:: I.beats]
        ends = self.watch.handed_over[O.beats - 1 :: O.beats]
        latencies = {end - start for start, end in zip(starts, ends, strict=True)}
        assert latencies == {DESIGN.latency}, f"latency must be {DESIGN.latency} cycles, not {sorted(latencies)}"

    def check_error(self, level):
        """Compares the sticky error output."""
        got = int(getattr(self.dut, DESIGN.ports.error).value)
        assert got == level, f"{DESIGN.ports.error} must be {level}, not {got}"


@cocotb.test()
async def back_to_back(dut):
    """A frame every interval: exact codes, latency and interval."""
    bench = await Bench.make(dut)
    bench.watch.clear()
    await bench.send(DESIGN.codes, lambda: DESIGN.interval)
    await bench.receive(DESIGN.expected)
    bench.check_latency()
    bench.watch.check_timing(len(DESIGN.codes))
    bench.check_error(0)


@cocotb.test()
async def random_gaps(dut):
    """Gaps between frames change no code and no latency."""
    bench = await Bench.make(dut)
    bench.watch.clear()
    await bench.send(DESIGN.codes, lambda: DESIGN.interval + random.randrange(2 * DESIGN.interval + 2))
    await bench.receive(DESIGN.expected)
    bench.check_latency()
    bench.check_error(0)


@cocotb.test()
async def reset_in_flight(dut):
    """What is inside at a reset never comes out; what comes after it is right."""
    bench = await Bench.make(dut)
    for _ in range(4):
        await bench.send(DESIGN.codes[: random.randrange(1, 4)], lambda: DESIGN.interval)
        bench.beats.clear()
        await reset(dut, cycles=2)
        bench.beats.clear()
        await wait_cycles(dut, DESIGN.latency + DESIGN.interval)
        assert not bench.beats, f"after a reset nothing must come out, not {len(bench.beats)} beats"
        await bench.send(DESIGN.codes, lambda: DESIGN.interval)
        await bench.receive(DESIGN.expected)
        bench.check_error(0)


@cocotb.test(skip=DESIGN.interval <= I.beats)
async def input_too_early(dut):
    """A frame before the interval has passed is ignored and raises the error; later ones are right."""
    bench = await Bench.make(dut)
    await bench.send(DESIGN.codes[:2], lambda: DESIGN.interval - 1)
    await bench.receive(DESIGN.expected[:1])
    bench.check_error(1)
    await bench.send(DESIGN.codes, lambda: DESIGN.interval)
    await bench.receive(DESIGN.expected)
    bench.check_error(1)
    await reset(dut)
    bench.check_error(0)
