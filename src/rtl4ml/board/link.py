"""The host's end of a board's serial line: samples go out, results come in, what was lost is sent again."""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from rtl4ml.board.frames import COMMIT, IDENTITY_BYTES, Answers, Layout, load_request, request
from rtl4ml.board.top import SILENCE_MS, identity
from rtl4ml.errors import ConfigurationError, ToolError
from rtl4ml.formats import Codes

WINDOW = 4
"""Requests under way: as many as the board has tags for."""

ATTEMPTS = 5
"""How often the same sample is sent before the line is given up."""


class Stream(Protocol):
    """A serial line: what pyserial's `Serial` has, and more."""

    @property
    def in_waiting(self) -> int:
        """Bytes that can be read at once."""

    def read(self, size: int = 1, /) -> bytes:
        """Up to `size` bytes, fewer when they do not come in time."""

    def write(self, data: bytes, /) -> int | None:
        """Send bytes."""


@dataclass(frozen=True)
class Identity:
    """What a board says of itself.

    Parameters:
        identity: CRC of the IP in it.
        lost: requests that found no room since reset, modulo 256.
        version: of the frames.
    """

    identity: int
    lost: int
    version: int


def open_serial(port: str, baud: int, timeout: float) -> Any:
    """The serial line on a port, or on what a URL of pyserial's names.

    Raises:
        ToolError: pyserial is missing, or the port cannot be opened.
    """
    try:
        import serial
    except ImportError as error:
        raise ToolError('pyserial must be installed to talk to a board: pip install "rtl4ml[host]"') from error
    try:
        opened = serial.serial_for_url(port, baud, timeout=timeout)
    except (OSError, ValueError) as error:  # pyserial's own are OSErrors
        raise ToolError(f"Port {port!r} must be a serial line that can be opened: {error}") from error
    # Without it, USB adapters keep answers for 16 ms. Not every platform has it.
    if hasattr(opened, "set_low_latency_mode"):
        with contextlib.suppress(OSError, ValueError, NotImplementedError):
            opened.set_low_latency_mode(True)
    return opened


def check_words(words: Codes, metadata: Mapping[str, Any]) -> None:
    """See that a board can load words, before it is asked to.

    Args:
        words: as for `Link.load`.
        metadata: of the board's folder.

    Raises:
        ConfigurationError: the board's weights are fixed, or the words are no such array.
    """
    if metadata["weight_port"] is None:
        raise ConfigurationError("Weights of the board must be writable to be loaded, not fixed")
    highest = 1 << metadata["weight_port"]["address_bits"], 1 << 32
    if words.ndim != 2 or words.shape[1] != 2 or words.dtype.kind not in "iu":
        raise ConfigurationError(f"Words must be integers of shape (N, 2), not {words.dtype} of shape {words.shape}")
    if np.any(words < 0) or np.any(words >= highest):
        raise ConfigurationError(f"Words must be addresses below {highest[0]} and data of 32 bits, not others")


class Link:
    """A board with an IP.

    Parameters:
        stream: the line; its `read` gives up after some time.
        metadata: of the IP, as `metadata.json` holds it.
        timeout: seconds without an answer after which what is under way counts as lost.
        window: requests under way at most.
    """

    def __init__(self, stream: Stream, metadata: Mapping[str, Any], timeout: float = 1.0, window: int = WINDOW) -> None:
        if not 1 <= window <= WINDOW:
            raise ConfigurationError(f"window must be 1 to {WINDOW} requests, not {window}")
        self._stream = stream
        self._input, self._output = Layout.of(metadata["input"]), Layout.of(metadata["output"])
        self._metadata = metadata
        self._timeout = timeout
        self._window = window
        loads = {0} if metadata["weight_port"] is not None else set()
        self._answers = Answers({self._output.size, IDENTITY_BYTES} | loads)
        self._tag = 0
        self.resent = 0
        """Requests that were sent again."""

    def identify(self) -> Identity:
        """Ask the board who it is.

        Raises:
            ToolError: it does not answer.
        """
        for _ in range(ATTEMPTS):
            tag = self._send(b"")
            for found, payload in self._receive({tag}):
                if found == tag and len(payload) == IDENTITY_BYTES:
                    return Identity(int.from_bytes(payload[:4], "little"), payload[4], payload[5])
            self._settle()
        raise ToolError("A board must answer on this port, but none does: check port, baud and bitstream, press reset")

    def check(self) -> Identity:
        """Find out whether the board holds the IP of the metadata.

        Raises:
            ToolError: it does not answer, or holds another one.
        """
        found = self.identify()
        wanted = identity(self._metadata)
        if found.identity != wanted:
            raise ToolError(
                f"Board must hold {self._metadata['name']} ({wanted:08x}), not another network ({found.identity:08x}): "
                "load the bitstream that was made with this metadata.json"
            )
        return found

    def run(self, codes: Codes, progress: Callable[[int, int], None] | None = None) -> Codes:
        """Outputs for inputs.

        Args:
            codes: int64 (N, n_in), within the input's bits.
            progress: called with results that are in and results in all.

        Returns:
            int64 (N, n_out).

        Raises:
            ConfigurationError: another shape.
            ToolError: the board does not answer any more.
        """
        if codes.ndim != 2 or codes.shape[1] != self._input.elements:
            raise ConfigurationError(f"Codes must have shape (N, {self._input.elements}), not {codes.shape}")
        frames = self._input.pack(codes)
        results: list[bytes | None] = [None] * len(frames)
        waiting = deque(range(len(frames)))
        under_way: dict[int, int] = {}  # tag -> sample, in the order they were sent
        done = failures = 0
        while waiting or under_way:
            while waiting and len(under_way) < self._window:
                sample = waiting.popleft()
                under_way[self._send(frames[sample])] = sample
            came = 0
            for tag, payload in self._receive(under_way.keys()):
                if tag not in under_way or len(payload) != self._output.size:
                    continue  # late: it was given up and sent again
                # Answers come in order: those before it are lost.
                lost = list(under_way)[: list(under_way).index(tag)]
                self._again(waiting, [under_way.pop(key) for key in lost])
                results[under_way.pop(tag)] = payload
                came += 1
            done += came
            failures = 0 if came else failures + 1
            if not came:
                if failures >= ATTEMPTS:
                    raise ToolError(
                        f"Board must answer within {self._timeout:g} s, but was silent {ATTEMPTS} times after "
                        f"{done} of {len(frames)} results"
                    )
                self._again(waiting, list(under_way.values()))
                under_way.clear()
                self._settle()
            if progress is not None:
                progress(done, len(frames))
        if not frames:
            return np.zeros((0, self._output.elements), np.int64)
        return self._output.unpack([result for result in results if result is not None])

    def load(self, words: Codes, progress: Callable[[int, int], None] | None = None) -> None:
        """Load weights and put them to use for the samples that are sent later.

        Args:
            words: int64 (writes, 2), address and data, as `Design.weight_words` gives them.
            progress: called with words that are loaded and words in all.

        Raises:
            ConfigurationError: the board's weights are fixed, or the words are no such array.
            ToolError: the board does not answer any more.
        """
        check_words(words, self._metadata)
        for index, (address, word) in enumerate([*words.tolist(), (COMMIT, 0)]):
            self._load(address, word)
            if progress is not None:
                progress(index, len(words))

    def _load(self, address: int, word: int) -> None:
        for attempt in range(ATTEMPTS):
            self._tag = (self._tag + 1) % 256
            tag = self._tag
            self.resent += attempt > 0
            self._stream.write(load_request(tag, address, word))
            if any(found == tag and not payload for found, payload in self._receive({tag})):
                return
            self._settle()
        raise ToolError(f"Board must take a word of weights within {self._timeout:g} s, but did not, {ATTEMPTS} times")

    def _again(self, waiting: deque[int], samples: list[int]) -> None:
        waiting.extendleft(reversed(samples))
        self.resent += len(samples)

    def _send(self, payload: bytes) -> int:
        self._tag = (self._tag + 1) % 256
        self._stream.write(request(self._tag, payload))
        return self._tag

    def _receive(self, wanted: Collection[int]) -> list[tuple[int, bytes]]:
        """Answers up to the first that is wanted, and those that came with it; none when time is up."""
        found: list[tuple[int, bytes]] = []
        end = time.monotonic() + self._timeout
        while True:
            data = self._stream.read(max(1, self._stream.in_waiting))
            found += self._answers.feed(data)
            if any(tag in wanted for tag, _ in found) or time.monotonic() >= end:
                return found

    def _settle(self) -> None:
        """Wait until the board gave up what it has of a request, and forget what was on the line."""
        time.sleep(3 * SILENCE_MS / 1000)
        while self._stream.in_waiting:
            self._stream.read(self._stream.in_waiting)
        self._answers.clear()
