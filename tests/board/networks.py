"""Small networks for boards, and a board that answers without hardware."""

import functools
import tempfile
from pathlib import Path

import numpy as np

import rtl4ml
from rtl4ml.board.frames import ANSWER, COMMIT, LOADING, REQUEST, Layout, crc8
from rtl4ml.board.top import identity
from tests.frontend.build import mlp


@functools.cache
def small(**settings):
    """A design of 6 to 4 elements."""
    with tempfile.TemporaryDirectory() as folder:
        graph = rtl4ml.load(mlp(np.random.default_rng(23), [6, 5, 4]).save(Path(folder)))
    return rtl4ml.compile(graph, **({"reuse": 5, "clock_mhz": 12.0} | settings))


class FakeBoard:
    """A serial line with a board on it, as `uart_frames.v.j2` has it.

    Parameters:
        metadata: of its IP.
        evaluate: codes to codes.
        mangle: called with the number of the request and its bytes; gives what arrives.
        chatter: what is on the line in front of every answer.

    `loaded` has the words of weights that arrived, and `committed` those that were put to use.
    """

    def __init__(self, metadata, evaluate, mangle=None, chatter=b""):
        self.input, self.output = Layout.of(metadata["input"]), Layout.of(metadata["output"])
        self.identity = identity(metadata)
        self.evaluate = evaluate
        self.mangle = mangle or (lambda number, data: data)
        self.chatter = chatter
        self.requests = 0
        self.loaded, self.committed = [], []
        self.line = bytearray()

    @property
    def in_waiting(self):
        return len(self.line)

    def read(self, size=1):
        taken, self.line = bytes(self.line[:size]), self.line[size:]
        return taken

    def write(self, data):
        data = self.mangle(self.requests, data)
        self.requests += 1
        body = data[1:-1]
        if (
            not data
            or data[0] not in (REQUEST, LOADING)
            or crc8(body) != data[-1]
            or len(body) != 3 + int.from_bytes(body[1:3], "little")
        ):
            return
        tag, payload = body[0], body[3:]
        if data[0] == LOADING:
            if len(payload) == 8:
                address, word = (int.from_bytes(payload[k : k + 4], "little") for k in (0, 4))
                if address == COMMIT:
                    self.committed, self.loaded = self.committed + self.loaded, []
                else:
                    self.loaded.append([address, word])
                self.answer(tag, b"")
        elif not payload:
            self.answer(tag, self.identity.to_bytes(4, "little") + b"\x02\x01")
        elif len(payload) == self.input.size:
            codes = self.evaluate(self.input.unpack([payload]))
            self.answer(tag, self.output.pack(codes)[0])

    def answer(self, tag, payload):
        body = bytes([tag]) + len(payload).to_bytes(2, "little") + payload
        self.line += self.chatter + bytes([ANSWER]) + body + bytes([crc8(body)])
