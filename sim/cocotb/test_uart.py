"""Tests of a whole board at the pins of its serial line, and of its host's program on that line.

The board is described by a JSON file (``$RTL4ML_BENCH``):

    clock, reset, rx, tx    names of ports; reset_level: level that resets
    period_ns, bit_ns       of the clock, and of a bit on the line
    timeout_cycles          of silence that end a request
    identity                32 bits that the board says of itself
    metadata                what the host's program knows of the IP
    vectors                 name of the npz file beside it: codes and expected [frames, elements]; where weights are
                            writable, load_words [words, 2] and load_expected [frames, elements]
"""

import json
import os
import random
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.task import bridge, resume
from cocotb.triggers import FallingEdge, Timer, with_timeout

from rtl4ml.board import link as host
from rtl4ml.board.frames import COMMIT, Layout, load_request, request

PATH = Path(os.environ["RTL4ML_BENCH"])
BOARD = json.loads(PATH.read_text())
with np.load(PATH.parent / BOARD["vectors"]) as _arrays:
    CODES, EXPECTED = _arrays["codes"], _arrays["expected"]
    WORDS, LOADED = (_arrays.get(name) for name in ("load_words", "load_expected"))
INPUT, OUTPUT = (Layout.of(BOARD["metadata"][side]) for side in ("input", "output"))
# Fractions of a picosecond are none that a simulator knows.
BIT_PS = round(BOARD["bit_ns"] * 1000)
CLOCK_PS = 2 * round(BOARD["period_ns"] * 500)


class Line:
    """Both directions of a serial line, 8N1, at the far end of the board's pins."""

    def __init__(self, dut, bit_ps=BIT_PS):
        self.rx = getattr(dut, BOARD["rx"])
        self.tx = getattr(dut, BOARD["tx"])
        self.bit_ps = bit_ps
        self.seen = bytearray()
        cocotb.start_soon(self._listen())

    async def send(self, data, stop=1):
        """Bytes without a pause between them."""
        for byte in data:
            for bit in (0, *(byte >> index & 1 for index in range(8)), stop):
                self.rx.value = bit
                await Timer(self.bit_ps, "ps")
        self.rx.value = 1

    async def _listen(self):
        while True:
            await FallingEdge(self.tx)
            await Timer(self.bit_ps * 3 // 2, "ps")
            byte = 0
            for index in range(8):
                byte |= int(self.tx.value) << index
                await Timer(self.bit_ps, "ps")
            assert int(self.tx.value) == 1, "a byte must end with a stop bit"
            self.seen.append(byte)

    async def answers(self, count, size=OUTPUT.size):
        """The next answers, tag and payload each."""
        while len(self.seen) < count * (size + 5):
            await Timer(5 * self.bit_ps, "ps")
        found = []
        for _ in range(count):
            answer, self.seen = bytes(self.seen[: size + 5]), self.seen[size + 5 :]
            assert answer[0] == 0x5A, f"an answer must begin with 5a, not {answer[0]:02x}"
            assert b"\xa5" + answer[1:] == request(answer[1], answer[4:-1]), f"its check must hold: {answer.hex()}"
            found.append((answer[1], answer[4:-1]))
        return found

    async def quiet(self, bytes_long):
        """Nothing comes for that long."""
        await Timer(10 * bytes_long * self.bit_ps, "ps")
        assert not self.seen, f"the board must be silent, not say {bytes(self.seen).hex()}"


async def start(dut, **options):
    """The board, awake, and its line."""
    Clock(getattr(dut, BOARD["clock"]), CLOCK_PS, unit="ps").start()
    getattr(dut, BOARD["rx"]).value = 1
    reset = getattr(dut, BOARD["reset"])
    reset.value = BOARD["reset_level"]
    await Timer(10 * CLOCK_PS, "ps")
    reset.value = 1 - BOARD["reset_level"]
    await Timer(1100 * CLOCK_PS, "ps")
    return Line(dut, **options)


async def exchange(line, first, count, tag):
    """Some frames, and their answers compared."""
    frames = INPUT.pack(CODES[first : first + count])
    cocotb.start_soon(line.send(b"".join(request((tag + n) % 256, frame) for n, frame in enumerate(frames))))
    found = await with_timeout(line.answers(count), 100, "ms")
    assert [t for t, _ in found] == [(tag + n) % 256 for n in range(count)]
    got = OUTPUT.unpack([payload for _, payload in found])
    assert (got == EXPECTED[first : first + count]).all(), f"outputs must be right, not {got.tolist()}"


@cocotb.test()
async def frames_without_a_pause(dut):
    """Requests back to back; answers in order, each with its tag."""
    line = await start(dut)
    await exchange(line, 0, 4, tag=254)


@cocotb.test()
@cocotb.parametrize(percent=[-3, 3])
async def other_clocks(dut, percent):
    """A line that is a little slower or faster than it should be."""
    line = await start(dut, bit_ps=BIT_PS * (100 + percent) // 100)
    await exchange(line, 0, 1, tag=9)


@cocotb.test()
async def identity(dut):
    """A request of no bytes."""
    line = await start(dut)
    await line.send(request(7, b""))
    assert await with_timeout(line.answers(1, 6), 10, "ms") == [(7, BOARD["identity"].to_bytes(4, "little") + b"\0\1")]


@cocotb.test()
async def garbage_between_frames(dut):
    """What is no request is dropped, and the next request is answered."""
    line = await start(dut)
    generator = random.Random(1)
    good = request(1, INPUT.pack(CODES[:1])[0])
    spoiled = bytearray(good)
    spoiled[5] ^= 4
    noise = [
        bytes(generator.choice([n for n in range(256) if n != 0xA5]) for _ in range(40)),
        bytes(spoiled),  # a wrong check
        good[:3] + b"\xff" + good[4:].replace(b"\xa5", b"\xa4"),  # a wrong length, and no other beginning behind it
        b"\xa5\xa5\xa5\xa5",  # four bytes of another length
    ]
    for index, data in enumerate(noise):
        await line.send(data)
        await line.quiet(20)
        await exchange(line, index, 1, tag=20 + index)


@cocotb.test()
async def silence_ends_a_frame(dut):
    """Half a request, then nothing for a while: the next one is whole again."""
    line = await start(dut)
    data = request(1, INPUT.pack(CODES[:1])[0])
    await line.send(data[: len(data) // 2])
    await Timer((BOARD["timeout_cycles"] + 100) * CLOCK_PS, "ps")
    await exchange(line, 1, 1, tag=77)


@cocotb.test()
async def a_byte_without_stop_bit(dut):
    """It ends the request that it stands in."""
    line = await start(dut)
    data = request(1, INPUT.pack(CODES[:1])[0])
    middle = len(data) // 2
    await line.send(data[:middle])
    await line.send(data[middle : middle + 1], stop=0)
    await Timer(3 * BIT_PS, "ps")
    await line.send(data[middle + 1 :].replace(b"\xa5", b"\xa4"))
    await line.quiet(20)
    await exchange(line, 0, 1, tag=5)


@cocotb.test()
async def reset_inside_a_frame(dut):
    """The button, in the middle of a request."""
    line = await start(dut)
    data = request(1, INPUT.pack(CODES[:1])[0])
    await line.send(data[: len(data) // 2])
    reset = getattr(dut, BOARD["reset"])
    reset.value = BOARD["reset_level"]
    await Timer(10 * CLOCK_PS, "ps")
    reset.value = 1 - BOARD["reset_level"]
    await Timer(1100 * CLOCK_PS, "ps")
    await exchange(line, 2, 2, tag=40)


class Port:
    """The line as the host's program sees it, which runs in a thread of its own."""

    def __init__(self, line):
        self._line = line

    @property
    def in_waiting(self):
        """Bytes that came."""
        return len(self._line.seen)

    def write(self, data):
        """Send bytes."""
        resume(self._line.send)(data)

    def read(self, size=1):
        """What came, after a while if nothing did."""
        if not self._line.seen:
            resume(self._wait)()
        taken, self._line.seen = bytes(self._line.seen[:size]), self._line.seen[size:]
        return taken

    async def _wait(self):
        await Timer(10 * BIT_PS, "ps")


@cocotb.test()
async def host_program(dut):
    """The host's own program, samples to results."""
    line = await start(dut)

    def run():
        link = host.Link(Port(line), BOARD["metadata"], timeout=60)
        link.check()
        return link.run(CODES), link.resent

    results, resent = await with_timeout(bridge(run)(), 1000, "ms")
    assert (results == EXPECTED).all()
    assert resent == 0


@cocotb.test(skip=WORDS is None)
async def weights(dut):
    """Loaded by the host's own program; what is sent again does nothing, what is broken neither."""
    line = await start(dut)
    await exchange(line, 0, 1, tag=3)

    def run():
        link = host.Link(Port(line), BOARD["metadata"], timeout=60)
        link.load(WORDS)
        return link.run(CODES), link.resent

    results, resent = await with_timeout(bridge(run)(), 10_000, "ms")
    assert (results == LOADED).all()
    assert resent == 0
    # A commit once more is answered and does nothing; a word that is broken on its way is dropped.
    spoiled = bytearray(load_request(8, *WORDS[0].tolist()))
    spoiled[-1] ^= 1
    await line.send(load_request(7, COMMIT, 0) + bytes(spoiled))
    assert await with_timeout(line.answers(1, 0), 10, "ms") == [(7, b"")]
    await line.send(load_request(9, COMMIT, 0))
    assert await with_timeout(line.answers(1, 0), 10, "ms") == [(9, b"")]

    def again():
        return host.Link(Port(line), BOARD["metadata"], timeout=60).run(CODES[:2])

    assert (await with_timeout(bridge(again)(), 1000, "ms") == LOADED[:2]).all()
