"""From real values to a board and back: what `rtl4ml host` does with the files of a board's folder."""

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from rtl4ml import graph_file
from rtl4ml.board.link import WINDOW, Link, Stream, check_words, open_serial
from rtl4ml.errors import ConfigurationError
from rtl4ml.formats import Codes, Reals
from rtl4ml.frontend import border
from rtl4ml.graph import Graph

READ_SECONDS = 0.02
"""How long a read of the port waits for a byte."""


@dataclass(frozen=True)
class Client:
    """What a host knows of a board.

    Parameters:
        metadata: of the folder.
        graph: the network: host's part, codes, reference.
        baud: of the line.
    """

    metadata: Mapping[str, Any]
    graph: Graph
    baud: int

    def graph_codes(self, x: ArrayLike) -> Codes:
        """What the reference makes of real values: output codes (N, n_out)."""
        codes = border.encode(self.graph, border.samples(self.graph, x))
        return self.graph.evaluate(codes)[self.graph.output]


@dataclass(frozen=True)
class Answer:
    """What came back.

    Parameters:
        codes: int64 (N, n_out).
        values: the same as real values, in the file's layout, behind the host's part.
        seconds: from the first sample sent to the last result.
        resent: samples sent again.
        lost: requests that the board had no room for since reset, modulo 256.
    """

    codes: Codes
    values: Reals
    seconds: float
    resent: int
    lost: int


def read_client(path: Path, baud: int | None = None) -> Client:
    """Read a board's `metadata.json`, and the `graph.npz` beside it.

    Raises:
        ConfigurationError: it is something else, or says nothing of a serial line.
        ModelError: the graph cannot be read.
    """
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
        _ = metadata["input"], metadata["output"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"Metadata {str(path)!r} must be the metadata.json of a board's folder, not something else: {error}"
        ) from error
    baud = baud or metadata.get("board", {}).get("baud")
    if baud is None:
        raise ConfigurationError(
            f"Metadata {str(path)!r} must be of a board with a serial line, as rtl4ml board writes it, or --baud be "
            "given"
        )
    return Client(metadata, graph_file.load(path.parent / "graph.npz"), baud)


def run(
    client: Client,
    port: str,
    x: ArrayLike,
    progress: Callable[[int, int], None] | None = None,
    stream: Stream | None = None,
    words: Codes | None = None,
) -> Answer:
    """Send real values to a board.

    Args:
        client: from `read_client`.
        port: name of the serial port, or a URL of pyserial's.
        x: real values (N, ...) in the file's input layout.
        progress: called with results that are in and results in all.
        stream: an open line instead of the port.
        words: weights to be loaded first, as for `Link.load`.

    Raises:
        ConfigurationError: words for a board with fixed weights, or no such words.
        ModelError: another shape, or values that are not finite.
        ToolError: pyserial is missing, the port cannot be opened, or the board does not answer or is another one.
    """
    if words is not None:
        check_words(words, client.metadata)
    codes = border.encode(client.graph, border.samples(client.graph, x))
    sides = client.metadata["input"], client.metadata["output"]
    frames = sum(side["lanes"] * side["beats"] * side["slot_bits"] // 8 + 5 for side in sides)
    cycles = client.metadata["latency_cycles"] + WINDOW * client.metadata["interval_cycles"]
    # At a tenth of the planned clock at least: a board's may be slower than what registers were placed for.
    patience = 1.0 + WINDOW * frames * 10 / client.baud + 10 * cycles / (client.metadata["clock_mhz"] * 1e6)
    with contextlib.ExitStack() as stack:
        line = stream if stream is not None else stack.enter_context(open_serial(port, client.baud, READ_SECONDS))
        link = Link(line, client.metadata, patience)
        link.check()
        if words is not None:
            link.load(words)
        started = time.perf_counter()
        results = link.run(codes, progress)
        seconds = time.perf_counter() - started
        lost = link.identify().lost
    return Answer(results, border.decode(client.graph, results), seconds, link.resent, lost)
