"""Protocol tests of an AXI4-Stream wrapper: timing, stalls, reset, and tlast in every wrong place."""

import random

import cocotb
from bench import DESIGN, check_frame, coin, in_time, pack, reset, start, unpack, wait_cycles
from cocotbext.axi import AxiStreamBus, AxiStreamSink, AxiStreamSource

I, O = DESIGN.ports.i, DESIGN.ports.o  # noqa: E741
ONE_BEAT = I.beats == 1


class BusWithoutLast(AxiStreamBus):
    """A stream whose master has no tlast."""

    _optional_signals = ("tvalid", "tready")


class Bench:
    """Source, sink and watch around the design. A frame is a list of beats, each one integer."""

    def __init__(self, dut, watch, last):
        self.dut = dut
        self.watch = watch
        clock, resetn = getattr(dut, DESIGN.ports.clock), getattr(dut, DESIGN.ports.reset)
        bus = AxiStreamBus if last else BusWithoutLast
        # One "byte" is a whole beat: cocotbext-axi handles bytes one by one.
        source, sink = (name.removesuffix("_tdata") for name in (I.data, O.data))
        self.source = AxiStreamSource(bus.from_prefix(dut, source), clock, resetn, False, byte_size=I.lanes * I.slot)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, sink), clock, resetn, False, byte_size=O.lanes * O.slot)

    @classmethod
    async def make(cls, dut, last=True):
        """A bench around a design that was reset; `last` says whether the source has a tlast, else it is tied low."""
        # Before the first reset valid and ready may be unknown, which cocotbext-axi does not stand.
        watch = await start(dut)
        bench = cls(dut, watch, last)
        await wait_cycles(dut, 4)  # until source and sink are awake
        return bench

    def stall(self, source, sink):
        """Lets both ends pause at random."""
        self.source.set_pause_generator(coin(source))
        self.sink.set_pause_generator(coin(sink))

    def send(self, frames):
        """Queues frames behind each other."""
        for beats in frames:
            self.source.send_nowait(beats)

    async def receive(self, expected, flags=None):
        """Takes output frames and compares their codes, their length and their flags (none, unless given)."""
        frames = len(expected)
        for index in range(frames):
            frame = await in_time(self.sink.recv(compact=False), frames, f"output frame {index} of {frames}")
            beats = list(frame.tdata)
            assert len(beats) == O.beats, f"output frame {index} must have {O.beats} beats, not {len(beats)}"
            check_frame(index, unpack(beats, O), expected[index])
            wanted = [0] * (O.beats - 1) + [int(flags[index]) if flags is not None else 0]
            assert list(frame.tuser) == wanted, f"tuser of frame {index} must be {wanted}, not {list(frame.tuser)}"
        await wait_cycles(self.dut, 16)
        assert self.sink.empty(), f"{frames} input frames must give as many output frames, not more"

    def check_error(self, level):
        """Compares the sticky error output."""
        got = int(getattr(self.dut, DESIGN.ports.error).value)
        assert got == level, f"{DESIGN.ports.error} must be {level}, not {got}"


def good():
    """All frames, and what they give."""
    return [pack(codes, I) for codes in DESIGN.codes], DESIGN.expected


@cocotb.test()
async def back_to_back(dut):
    """Frames without a pause: exact codes, latency and interval."""
    bench = await Bench.make(dut)
    frames, expected = good()
    bench.watch.clear()
    bench.send(frames)
    await bench.receive(expected)
    bench.watch.check_timing(len(frames))
    bench.check_error(0)


@cocotb.test()
async def single_frame(dut):
    """A frame alone in an idle pipeline, and another one later."""
    bench = await Bench.make(dut)
    frames, expected = good()
    for index in (0, -1):
        bench.watch.clear()
        bench.send([frames[index]])
        await bench.receive([expected[index]])
        bench.watch.check_timing(1)
    bench.check_error(0)


@cocotb.test()
@cocotb.parametrize(stalls=[(0.5, 0.0), (0.0, 0.5), (0.3, 0.7)])
async def random_stalls(dut, stalls):
    """Pauses of source and sink change no code."""
    bench = await Bench.make(dut)
    bench.stall(*stalls)
    frames, expected = good()
    bench.send(frames)
    await bench.receive(expected)
    bench.check_error(0)


@cocotb.test()
async def reset_inside_a_frame(dut):
    """A reset at any moment leaves nothing behind."""
    bench = await Bench.make(dut)
    frames, expected = good()
    for _ in range(4):
        bench.send(frames)
        await wait_cycles(dut, random.randrange(1, DESIGN.latency + 2 * DESIGN.interval + 4))
        bench.source.clear()
        await reset(dut, cycles=2)
        bench.sink.clear()
        bench.check_error(0)
        bench.send(frames[:2])
        await bench.receive(expected[:2])
        bench.check_error(0)


@cocotb.test(skip=ONE_BEAT)
@cocotb.parametrize(stalls=[(0.0, 0.0), (0.3, 0.5)])
async def early_tlast(dut, stalls):
    """A frame that ends early is filled with code 0 and flagged; the others are right, the error stays."""
    bench = await Bench.make(dut)
    bench.stall(*stalls)
    frames, expected = good()
    sent, wanted, flags = [frames[0]], [expected[0]], [False]
    for index, beats in enumerate(DESIGN.short_beats):
        sent.append(pack(DESIGN.short_codes[index], I)[: int(beats)])
        wanted.append(DESIGN.short_expected[index])
        flags.append(True)
        if index % 3:  # sometimes two short frames follow each other
            sent.append(frames[index % len(frames)])
            wanted.append(expected[index % len(frames)])
            flags.append(False)
    bench.send(sent[:1])
    await bench.receive(wanted[:1])
    bench.check_error(0)
    bench.send(sent[1:])
    await bench.receive(wanted[1:], flags[1:])
    bench.check_error(1)
    await reset(dut)
    bench.check_error(0)


@cocotb.test()
@cocotb.parametrize(stalls=[(0.0, 0.0), (0.3, 0.5)])
async def late_tlast(dut, stalls):
    """What follows a full frame up to its tlast is discarded; the others are right, the error stays."""
    bench = await Bench.make(dut)
    bench.stall(*stalls)
    frames, expected = good()
    bench.send(frames[:1])
    await bench.receive(expected[:1])
    bench.check_error(0)
    for surplus in (1, 2, I.beats, I.beats + 1):
        bench.send([frames[0] + [beat for _ in range(surplus) for beat in frames[-1]][:surplus], frames[1], frames[-1]])
        await bench.receive([expected[0], expected[1], expected[-1]])
        bench.check_error(1)
    await reset(dut)
    bench.check_error(0)


@cocotb.test()
@cocotb.parametrize(stalls=[(0.0, 0.0), (0.3, 0.5)])
async def tlast_tied_low(dut, stalls):
    """Without a tlast frames are counted."""
    bench = await Bench.make(dut, last=False)
    bench.stall(*stalls)
    frames, expected = good()
    bench.watch.clear()
    bench.send(frames)
    await bench.receive(expected)
    if stalls == (0.0, 0.0):
        bench.watch.check_timing(len(frames))
    bench.check_error(0)
