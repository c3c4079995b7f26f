"""Vectors of the benches: words for `$readmemh`, lines of codes, arrays for Python."""

import io
import zipfile
from collections.abc import Mapping

import numpy as np

from rtl4ml.export.ip.facts import IpFacts, Stream
from rtl4ml.formats import Codes

SHORT_FRAMES = 6
"""Frames that end early, for the test of an early tlast."""


def beats(stream: Stream, codes: Codes, *, unused: int) -> list[int]:
    """Words on a data port for frames of codes (N, n), beat by beat.

    Args:
        stream: the side.
        codes: of the tensors.
        unused: 1 or 0: every bit of a lane behind the last element; a slot's unused bits extend the element's sign.
    """
    mask = (1 << stream.slot) - 1
    padding = [mask * unused] * (stream.beats * stream.lanes - stream.elements)
    words = []
    for frame in stream.wires(codes).tolist():
        slots = [int(number) & mask for number in frame] + padding
        for first in range(0, len(slots), stream.lanes):
            lanes = slots[first : first + stream.lanes]
            words.append(sum(slot << (stream.slot * lane) for lane, slot in enumerate(lanes)))
    return words


def hex_words(words: list[int], width: int) -> str:
    """A file for `$readmemh`."""
    digits = -(-width // 4)
    return "".join(f"{word:0{digits}x}\n" for word in words)


def lines(codes: Codes) -> str:
    """Frames of codes in decimal, a frame a line."""
    return "".join(" ".join(map(str, frame)) + "\n" for frame in codes.tolist())


def archive(arrays: Mapping[str, Codes]) -> bytes:
    """An npz file; the same bytes for the same arrays, on every day."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, array in arrays.items():
            data = io.BytesIO()
            np.lib.format.write_array(data, np.ascontiguousarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(entry, data.getvalue())
    return buffer.getvalue()


def bench_arrays(facts: IpFacts) -> dict[str, Codes]:
    """What sim/vectors.npz holds: numbers on the wires for the bench, codes for the reference."""
    i, o = facts.input, facts.output
    wires = i.wires(facts.codes)
    short = wires[:0] if i.beats == 1 else wires[:SHORT_FRAMES].copy()
    ends = 1 + np.arange(len(short), dtype=np.int64) * 7 % max(1, i.beats - 1)
    for frame, count in zip(short, ends, strict=True):
        frame[int(count) * i.lanes :] = 0
    given = o.wires(facts.evaluate(i.codes(short))) if len(short) else np.zeros((0, o.elements), np.int64)
    return {
        "input_codes": facts.codes,
        "output_codes": facts.outputs,
        "codes": wires,
        "expected": o.wires(facts.outputs),
        "short_codes": short,
        "short_expected": given,
        "short_beats": ends,
    }
