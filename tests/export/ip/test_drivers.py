"""The drivers: bytes on the bus in C, a stub of PYNQ's API in Python."""

import importlib.util
import json
import subprocess
import sys
import types

import numpy as np
import pytest

from rtl4ml.export.ip.files import ip_files
from rtl4ml.export.ip.vectors import beats
from tests.export.ip.facts import facts_of_graph
from tests.export.ip.graphs import graphs

GRAPHS = graphs()
MAIN = """
#include <stdio.h>
#include "driver/%(name)s_driver.h"

static uint8_t given[%(name)s_INPUT_BYTES], back[%(name)s_OUTPUT_BYTES];
static int waiting;

/* The hardware: prints what it is sent, and gives what stands on stdin. */
static int receive(void *context, uint8_t *bytes, size_t count)
{
    size_t k;
    (void)context;
    for (k = 0; k < count; ++k) {
        unsigned byte;
        if (scanf("%%2x", &byte) != 1) return 1;
        bytes[k] = (uint8_t)byte;
    }
    waiting = 2;
    return 0;
}
static int send(void *context, const uint8_t *bytes, size_t count)
{
    size_t k;
    (void)context;
    for (k = 0; k < count; ++k) printf("%%02x", bytes[k]);
    printf("\\n");
    waiting--;
    return 0;
}
static int wait_both(void *context) { (void)context; return waiting != 1; }

int main(void)
{
    static %(name)s_code codes[%(name)s_INPUTS], results[%(name)s_OUTPUTS];
    struct %(name)s_dma dma = {0, receive, send, wait_both};
    FILE *file = fopen("sim/input_codes.txt", "r");
    long long code;
    size_t e;
    for (e = 0; file && fscanf(file, "%%lld", &code) == 1;) {
        codes[e++] = (%(name)s_code)code;
        if (e < %(name)s_INPUTS) continue;
        if (%(name)s_run(&dma, codes, results, 1, given, back)) return 1;
        for (e = 0; e < %(name)s_OUTPUTS; ++e) printf("%%lld ", (long long)results[e]);
        printf("\\n");
        e = 0;
    }
    {
        uint32_t registers[16] = {0};
        %(name)s_start(registers, 1);
        if (%(name)s_read(registers, %(name)s_REG_CONTROL) != 0x81u) return 2;
    }
    return 0;
}
"""


@pytest.fixture(scope="module", params=["layers", "wide", "sums"])
def ip(request, tmp_path_factory):
    facts = facts_of_graph(GRAPHS[request.param], request.param, frames=6)
    folder = tmp_path_factory.mktemp(request.param) / request.param
    for path, content in ip_files(facts).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content if isinstance(content, bytes) else content.encode())
    return facts, folder


def frame_bytes(stream, codes, unused=0):
    """Bytes in memory of each frame."""
    words = beats(stream, codes, unused=unused)
    data = b"".join(word.to_bytes(stream.width // 8, "little") for word in words)
    size = len(data) // len(codes)
    return [data[k : k + size] for k in range(0, len(data), size)]


def test_c_driver(ip):
    facts, folder = ip
    (folder / "main.c").write_text(MAIN % {"name": facts.name})
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1", "-I."]
    done = subprocess.run(["gcc", *flags, "-o", "main", "main.c"], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    given = "".join(data.hex() for data in frame_bytes(facts.output, facts.outputs))
    done = subprocess.run([folder / "main"], cwd=folder, input=given, capture_output=True, text=True)
    assert done.returncode == 0
    sent = done.stdout.splitlines()
    assert sent[0::2] == [data.hex() for data in frame_bytes(facts.input, facts.codes)]
    assert [[int(code) for code in line.split()] for line in sent[1::2]] == facts.outputs.tolist()


class Buffer(np.ndarray):
    """As pynq.allocate gives it; the hardware sees what was flushed, and what it wrote is seen once invalidated."""

    @classmethod
    def make(cls, shape, dtype):
        buffer = np.zeros(shape, dtype).view(cls)
        buffer.memory = np.zeros(shape, dtype)
        return buffer

    def flush(self):
        self.memory[:] = self

    def invalidate(self):
        self[:] = self.memory

    def freebuffer(self):
        self.memory = None


class Channel:
    """A DMA channel: transfers begin, and end when they are waited for."""

    def __init__(self, act):
        self.act = act
        self.buffer = None

    def transfer(self, buffer):
        assert self.buffer is None
        self.buffer = buffer

    def wait(self):
        self.act(self.buffer)
        self.buffer = None


@pytest.fixture
def pynq(monkeypatch):
    """A stub of the package, in its place."""

    class DefaultIP:
        def __init__(self, description):
            self.registers = dict(description)

        def read(self, offset):
            return self.registers.get(offset, 0)

        def write(self, offset, value):
            self.registers[offset] = value

    class Overlay:
        def __init__(self, bitfile, **settings):
            self.bitfile, self.settings = bitfile, settings
            for name, part in Overlay.parts.items():
                setattr(self, name, part)

    Overlay.parts = {}
    stub = types.ModuleType("pynq")
    stub.DefaultIP, stub.Overlay = DefaultIP, Overlay
    stub.allocate = lambda shape, dtype: Buffer.make(shape, dtype)
    monkeypatch.setitem(sys.modules, "pynq", stub)
    monkeypatch.delitem(sys.modules, "reference", raising=False)
    return stub


def test_pynq_driver(ip, pynq, monkeypatch):
    facts, folder = ip
    (folder / "metadata.json").write_text(json.dumps(facts.metadata))
    spec = importlib.util.spec_from_file_location("driver", folder / f"driver/{facts.name}_pynq.py")
    driver = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(driver)
    seen, results = [], iter(frame_bytes(facts.output, facts.outputs))

    def give(buffer):
        buffer.memory[:] = np.frombuffer(next(results), buffer.dtype).reshape(buffer.shape)

    dma = types.SimpleNamespace(
        sendchannel=Channel(lambda buffer: seen.append(buffer.memory.tobytes())), recvchannel=Channel(give)
    )
    control = getattr(driver, f"{facts.name}Control")({0x14: 7, 0x10: 1})
    pynq.Overlay.parts = {"axi_dma_0": dma, f"{facts.name}_axil_0": control}
    overlay = getattr(driver, f"{facts.name}Overlay")("design.bit", download=False)
    assert (overlay.bitfile, overlay.settings) == ("design.bit", {"download": False})
    assert np.array_equal(overlay.network.run(facts.codes), facts.outputs)
    assert seen == frame_bytes(facts.input, facts.codes)
    with pytest.raises(ValueError, match="input codes must have shape"):
        overlay.network.run(facts.codes[0])
    assert np.array_equal(overlay.network.model.evaluate(facts.codes), facts.outputs)
    overlay.network.close()

    assert control.bindto == [f"rtl4ml:ip:{facts.name}_axil:0.0", f"xilinx.com:module_ref:{facts.name}_axil:1.0"]
    assert overlay.control is control
    assert control.read(0) == 0x81  # the overlay lets frames pass
    control.stop()
    assert (control.read(0), control.frames, control.error, control.idle) == (0, 7, True, False)
    control.start(always=False)
    assert control.read(0) == 0x01
    assert getattr(driver, f"{facts.name}Overlay")("design.bit", control=None).control is None
