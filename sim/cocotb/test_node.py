"""Tests of a node: FIFO and register ports of `fifo_node.v.j2`.

The node is described by a JSON file (``$RTL4ML_BENCH``):

    identity    32 bits that the node says of itself
    input, output    of the IP's metadata: elements, lanes, beats, slot_bits, element_signed
    vectors     name of the npz file beside it: codes and expected [frames, elements]; where weights are writable,
                load_words [words, 2] and load_expected [frames, elements]
"""

import json
import os
import random
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge, with_timeout

PATH = Path(os.environ["RTL4ML_BENCH"])
NODE = json.loads(PATH.read_text())
with np.load(PATH.parent / NODE["vectors"]) as _arrays:
    CODES, EXPECTED = _arrays["codes"].tolist(), _arrays["expected"].tolist()
    WORDS, LOADED = (_arrays[name].tolist() if name in _arrays else None for name in ("load_words", "load_expected"))


def words(codes, side):
    """Beats of a frame as integers."""
    slot, lanes = side["slot_bits"], side["lanes"]
    slots = [code & ((1 << slot) - 1) for code in codes] + [0] * (side["beats"] * lanes - len(codes))
    return [sum(s << slot * n for n, s in enumerate(slots[at : at + lanes])) for at in range(0, len(slots), lanes)]


async def start(dut):
    """The node behind its reset."""
    for name in ("din", "wr_en", "rd_en", "reg_addr", "reg_wr", "reg_wdata"):
        getattr(dut, name).value = 0
    Clock(dut.clk, 10, unit="ns").start()
    dut.rst.value = 1
    for _ in range(4):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    await RisingEdge(dut.clk)


async def register(dut, address):
    """What a register reads."""
    dut.reg_addr.value = address
    await RisingEdge(dut.clk)
    await RisingEdge(dut.clk)
    await ReadOnly()
    value = int(dut.reg_rdata.value)
    await RisingEdge(dut.clk)
    return value


async def set_register(dut, address, value):
    """Write a register."""
    dut.reg_addr.value = address
    dut.reg_wdata.value = value
    dut.reg_wr.value = 1
    await RisingEdge(dut.clk)
    dut.reg_wr.value = 0


async def load(dut, words):
    """Words of weights, one an edge where their addresses follow each other."""
    following = None
    for address, word in words:
        if address != following:
            await set_register(dut, 5, address)
        await set_register(dut, 6, word)
        following = address + 1
    # As many bits as an address has: behind the last one it may begin again.
    assert await register(dut, 5) in (following, 0)


async def until_taken(dut):
    """Wait for the end of a commit."""
    while not await register(dut, 7):
        pass


async def write(dut, frames, hurry=1.0):
    """Frames into the FIFO, waiting while it is full."""
    for word in (word for frame in frames for word in words(frame, NODE["input"])):
        while True:
            dut.wr_en.value = 0
            await ReadOnly()
            ready = not int(dut.full.value) and random.random() < hurry
            await RisingEdge(dut.clk)
            if ready:
                break
        # The FIFO can only have become emptier: this one writer fills it.
        dut.din.value = word
        dut.wr_en.value = 1
        await RisingEdge(dut.clk)
    dut.wr_en.value = 0


async def read(dut, count, hurry=1.0):
    """Words out of the FIFO."""
    found = []
    while len(found) < count:
        dut.rd_en.value = wanted = random.random() < hurry
        await ReadOnly()
        if wanted and not int(dut.empty.value):
            found.append(int(dut.dout.value))
        await RisingEdge(dut.clk)
    dut.rd_en.value = 0
    return found


@cocotb.test()
@cocotb.parametrize(hurry=[(1.0, 1.0), (0.3, 1.0), (1.0, 0.1)])
async def frames(dut, hurry):
    """Frames through the FIFOs, with pauses on either side; counters."""
    await start(dut)
    writing = cocotb.start_soon(write(dut, CODES, hurry[0]))
    expected = [word for frame in EXPECTED for word in words(frame, NODE["output"])]
    assert await with_timeout(read(dut, len(expected), hurry[1]), 10, "ms") == expected
    await writing
    assert await register(dut, 1) == await register(dut, 2) == len(CODES)
    assert await register(dut, 3) == 0
    assert await register(dut, 0) == 0b100  # empty, and nothing else
    assert await register(dut, 4) == NODE["identity"]


@cocotb.test()
async def reset_by_register(dut):
    """Half a frame, then a reset: the next frame is whole, counters begin again."""
    await start(dut)
    await write(dut, CODES[:1])
    dut.din.value = words(CODES[0], NODE["input"])[0]
    dut.wr_en.value = 1
    await RisingEdge(dut.clk)
    dut.wr_en.value = 0
    await set_register(dut, 0, 1)
    assert await register(dut, 0) & 0b111 == 0b111  # resetting, which is full and empty
    for _ in range(20):
        await RisingEdge(dut.clk)
    assert await register(dut, 1) == 0
    await write(dut, CODES[1:2])
    expected = words(EXPECTED[1], NODE["output"])
    assert await with_timeout(read(dut, len(expected)), 1, "ms") == expected


@cocotb.test()
async def words_without_room(dut):
    """Nobody reads, the writer does not look: what has no room is counted."""
    await start(dut)
    dut.wr_en.value = 1
    dut.din.value = 0
    for _ in range(20_000):
        await RisingEdge(dut.clk)
    dut.wr_en.value = 0
    assert await register(dut, 3) > 0


@cocotb.test(skip=WORDS is None)
async def weights(dut):
    """Loaded while frames wait inside: those that entered before the commit keep the old ones, all others do not."""
    await start(dut)
    rounds = 8
    writing = cocotb.start_soon(write(dut, CODES * rounds))
    standing = 0
    while standing < 1000:  # nobody reads: in the end nothing moves
        await RisingEdge(dut.clk)
        await ReadOnly()
        standing = standing + 1 if int(dut.full.value) else 0
    await RisingEdge(dut.clk)
    assert await register(dut, 7) == 1
    await load(dut, WORDS)
    await set_register(dut, 7, 1)
    for late in (6, 7):
        assert await register(dut, 7) == 0
        await set_register(dut, late, 0)
    assert await register(dut, 3) == 2  # had they been taken, the next load would be another
    old, new = ([words(frame, NODE["output"]) for frame in frames * rounds] for frames in (EXPECTED, LOADED))
    found = await with_timeout(read(dut, sum(map(len, old))), 10, "ms")
    await writing
    frames = [found[at : at + len(old[0])] for at in range(0, len(found), len(old[0]))]
    changes = [count for count in range(1, len(old)) if frames == old[:count] + new[count:]]
    assert changes, "outputs must be of the old weights up to a frame, and of the new ones from there on"
    assert await register(dut, 7) == 1
    assert await register(dut, 3) == 2


@cocotb.test(skip=WORDS is None)
async def reset_between_words_and_commit(dut):
    """A reset forgets the words that were not put to use, and keeps what was."""

    async def outputs(expected):
        cocotb.start_soon(write(dut, CODES))
        found = [word for frame in expected for word in words(frame, NODE["output"])]
        assert await with_timeout(read(dut, len(found)), 10, "ms") == found

    async def reset():
        await set_register(dut, 0, 1)
        assert await register(dut, 7) == 0
        await until_taken(dut)

    await start(dut)
    # The simulation goes on where the test before left the memories, whose banks no reset touches.
    await load(dut, WORDS)
    await set_register(dut, 7, 1)
    await until_taken(dut)
    await outputs(LOADED)
    await load(dut, [[address, 0] for address, _ in WORDS])
    await reset()
    await set_register(dut, 7, 1)
    await until_taken(dut)
    await outputs(LOADED)
