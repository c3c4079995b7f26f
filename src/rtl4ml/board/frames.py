"""Frames of a board's serial line, the host's side: `rtl_templates/uart_frames.v.j2` is the other."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtl4ml.formats import Codes

REQUEST, LOADING, ANSWER = 0xA5, 0xA6, 0x5A
IDENTITY_BYTES = 6
COMMIT = 1 << 31
"""An address that puts loaded weights to use."""


def _table() -> bytes:
    table = bytearray()
    for byte in range(256):
        for _ in range(8):
            byte = (byte << 1 ^ 0x07) & 0xFF if byte & 0x80 else byte << 1
        table.append(byte)
    return bytes(table)


_CRC = _table()


def crc8(data: bytes) -> int:
    """CRC-8 with the polynomial x**8 + x**2 + x + 1, beginning with 0.

    >>> hex(crc8(b"123456789"))
    '0xf4'
    """
    check = 0
    for byte in data:
        check = _CRC[check ^ byte]
    return check


def request(tag: int, payload: bytes, begin: int = REQUEST) -> bytes:
    """Bytes of a request, which begins with `REQUEST` or `LOADING`."""
    body = bytes([tag]) + len(payload).to_bytes(2, "little") + payload
    return bytes([begin]) + body + bytes([crc8(body)])


def load_request(tag: int, address: int, word: int) -> bytes:
    """Bytes of a request that loads a word of weights, or with `COMMIT` puts the loaded ones to use."""
    return request(tag, address.to_bytes(4, "little") + word.to_bytes(4, "little"), LOADING)


@dataclass(frozen=True)
class Layout:
    """How a tensor's codes lie in a frame: whole beats of slots, low byte first.

    Parameters:
        elements: of the tensor.
        slots: of a frame; those behind the elements are padding.
        slot: bytes of one: 1, 2, 4 or 8.
        signed: whether it holds a two's complement number.
        bipolar: whether 0 stands for code -1.
    """

    elements: int
    slots: int
    slot: int
    signed: bool
    bipolar: bool

    @classmethod
    def of(cls, side: Mapping[str, Any]) -> "Layout":
        """From `input` or `output` of metadata.json."""
        return cls(
            side["elements"],
            side["lanes"] * side["beats"],
            side["slot_bits"] // 8,
            side["element_signed"],
            side["element_coding"] == "bipolar",
        )

    @property
    def size(self) -> int:
        """Bytes of a frame."""
        return self.slots * self.slot

    def pack(self, codes: Codes) -> list[bytes]:
        """Frames of codes (N, elements)."""
        numbers = (codes + 1) // 2 if self.bipolar else codes
        whole = np.zeros((len(codes), self.slots), f"<i{self.slot}")
        whole[:, : self.elements] = numbers
        return [row.tobytes() for row in whole]

    def unpack(self, frames: list[bytes]) -> Codes:
        """Codes (N, elements) of frames."""
        kind = np.dtype(f"<{'i' if self.signed else 'u'}{self.slot}")
        numbers = np.frombuffer(b"".join(frames), kind).reshape(len(frames), self.slots)[:, : self.elements]
        codes = numbers.astype(np.int64)
        return codes * 2 - 1 if self.bipolar else codes


class Answers:
    """Finds answers in what a line brings, whatever else comes with them.

    Parameters:
        lengths: bytes that an answer may have.
    """

    def __init__(self, lengths: set[int]) -> None:
        self._lengths = lengths
        self._seen = bytearray()

    def clear(self) -> None:
        """Forget what is not complete."""
        self._seen.clear()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Take bytes, and give tag and payload of each answer that they complete."""
        self._seen += data
        while True:
            begin = self._seen.find(ANSWER)
            del self._seen[: begin if begin >= 0 else len(self._seen)]
            if len(self._seen) < 4:
                return
            length = int.from_bytes(self._seen[2:4], "little")
            if length in self._lengths:
                if len(self._seen) < length + 5:
                    return
                body = bytes(self._seen[1 : length + 4])
                if crc8(body) == self._seen[length + 4]:
                    del self._seen[: length + 5]
                    yield body[0], body[3:]
                    continue
            # No answer begins here: perhaps at the next byte that looks like it.
            del self._seen[:1]
