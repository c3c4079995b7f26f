"""cocotb: the registers of an IP, its streams beside them. Started by test_axil.py."""

import os
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, with_timeout
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiStreamBus, AxiStreamSink, AxiStreamSource

FOLDER = Path(os.environ["IP_FOLDER"])
NAME = FOLDER.name


def words(which):
    return [int(line, 16) for line in (FOLDER / f"sim/{NAME}_tb_{which}.hex").read_text().split()]


class Bench:
    def __init__(self, dut):
        self.dut = dut
        self.frames = len((FOLDER / "sim/input_codes.txt").read_text().splitlines())
        ends = dut.aclk, dut.aresetn, False
        self.bus = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), *ends)
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), *ends, byte_size=len(dut.s_axis_tdata))
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), *ends, byte_size=len(dut.m_axis_tdata))
        self.given, self.expected = (np.reshape(np.array(words(w), object), (self.frames, -1)) for w in ("in", "out"))

    @classmethod
    async def make(cls, dut):
        for name in (
            "s_axis_tvalid",
            "m_axis_tready",
            "s_axi_awvalid",
            "s_axi_wvalid",
            "s_axi_bready",
            "s_axi_arvalid",
            "s_axi_rready",
        ):
            getattr(dut, name).value = 0
        dut.aresetn.value = 0
        Clock(dut.aclk, 10, unit="ns").start()
        await ClockCycles(dut.aclk, 4)
        bench = cls(dut)
        await ClockCycles(dut.aclk, 2)
        dut.aresetn.value = 1
        await ClockCycles(dut.aclk, 8)
        return bench

    async def read(self, address):
        return await with_timeout(self.bus.read_dword(address), 100, "us")

    async def write(self, address, value):
        await with_timeout(self.bus.write_dword(address, value), 100, "us")

    def send(self, *frames):
        for frame in frames:
            self.source.send_nowait(list(self.given[frame]))

    async def receive(self, *frames):
        for frame in frames:
            got = await with_timeout(self.sink.recv(compact=False), 100, "us")
            assert list(got.tdata) == list(self.expected[frame])


@cocotb.test()
async def one_frame_at_a_time(dut):
    bench = await Bench.make(dut)
    assert await bench.read(0x00) == 0x04
    bench.send(0, 1, 2)
    await ClockCycles(dut.aclk, 300)
    assert bench.sink.empty()
    for frame in range(3):
        await bench.write(0x00, 0x01)
        await bench.receive(frame)
        await ClockCycles(dut.aclk, 300)
        assert bench.sink.empty()
        assert await bench.read(0x14) == frame + 1
        assert await bench.read(0x00) == 0x0E  # done, idle, ready
        assert await bench.read(0x00) == 0x04  # reading cleared them
    assert await bench.read(0x10) == 0


@cocotb.test()
async def all_frames_until_stopped(dut):
    bench = await Bench.make(dut)
    await bench.write(0x00, 0x81)
    assert await bench.read(0x00) == 0x81
    bench.send(*range(bench.frames))
    await bench.receive(*range(bench.frames))
    assert await bench.read(0x14) == bench.frames
    await bench.write(0x00, 0x00)
    bench.send(0)
    await ClockCycles(dut.aclk, 300)
    assert bench.sink.empty()
    assert await bench.read(0x00) & 0x05 == 0x04


@cocotb.test()
async def interrupts(dut):
    bench = await Bench.make(dut)
    await bench.write(0x08, 0x01)
    await bench.write(0x00, 0x01)
    bench.send(0)
    await bench.receive(0)
    await ClockCycles(dut.aclk, 4)
    assert int(dut.irq.value) == 0
    assert await bench.read(0x0C) == 1
    await bench.write(0x04, 1)
    assert int(dut.irq.value) == 1
    await bench.write(0x0C, 1)
    assert int(dut.irq.value) == 0
    assert [await bench.read(at) for at in (0x04, 0x08, 0x0C)] == [1, 1, 0]


@cocotb.test()
async def a_tlast_in_the_wrong_place(dut):
    bench = await Bench.make(dut)
    await bench.write(0x00, 0x81)
    bench.send(0)
    bench.source.send_nowait([*bench.given[1], 0, 0])  # two beats too many: discarded
    bench.send(2)
    await bench.receive(0, 1, 2)
    assert await bench.read(0x10) == 1
    await bench.write(0x00, 0x00)
    assert await bench.read(0x00) & 0x04


@cocotb.test(skip=not (FOLDER / "new_words.npy").exists())
async def weights(dut):
    bench = await Bench.make(dut)
    await bench.write(0x00, 0x81)
    bench.send(0)
    await bench.receive(0)
    new = np.load(FOLDER / "new_words.npy")
    await bench.write(0x20, int(new[0, 0]))
    following = None
    for address, data in new.tolist():
        if address != following:
            await bench.write(0x20, address)
        await bench.write(0x24, data)
        following = address + 1
        assert await bench.read(0x20) == following
    await bench.write(0x28, 1)
    for _ in range(1000):
        if await bench.read(0x28):
            break
    bench.expected = np.load(FOLDER / "new_outputs.npy", allow_pickle=True)
    bench.send(*range(bench.frames))
    await bench.receive(*range(bench.frames))
