"""How much logic a table of constants is: its decision diagrams, cut off where a lookup table holds what is left."""

from dataclasses import astuple

import numpy as np
from numpy.typing import NDArray

from rtl4ml.planning.estimates.primitives import Table

LARGEST = 1 << 16
"""Bits of a table up to which its diagram is made; larger ones are taken to be like their first part."""


def table_of(rows: NDArray[np.bool_]) -> Table:
    """Counts of a table.

    Args:
        rows: bool (entries, bits): what each index gives; missing entries of the last power of two are free.
    """
    entries, bits = rows.shape
    if entries * bits > LARGEST:
        columns = max(1, LARGEST // entries)
        part = table_of(rows[: max(LARGEST, 1), :columns])
        factor = bits / columns * (entries / min(entries, LARGEST))
        return Table(*(round(count * factor) for count in astuple(part)))
    index_bits = max(1, (entries - 1).bit_length())
    padded = np.zeros((1 << index_bits, bits), np.bool_)
    padded[:entries] = rows
    # Entries that never occur repeat those before: nothing more has to be told apart.
    padded[entries:] = rows[-1:]
    columns = padded.T[padded.any(axis=0) & ~padded.all(axis=0)]
    distinct = len(np.unique(np.packbits(columns, axis=1), axis=0)) if len(columns) else 0
    return Table(*_diagram(padded, index_bits, 4), *_diagram(padded, index_bits, 6), len(columns), distinct)


def _diagram(padded: NDArray[np.bool_], index_bits: int, inputs: int) -> tuple[int, int]:
    """Leaves and choices of the diagrams of all columns; equal parts are shared."""
    low = min(inputs, index_bits)
    parts = padded.T.reshape(padded.shape[1], -1, 1 << low)
    _, names = np.unique(np.packbits(parts.reshape(-1, 1 << low), axis=1), axis=0, return_inverse=True)
    names = names.reshape(parts.shape[:2])
    flat = parts.reshape(-1, 1 << low)
    trivial = np.zeros(names.max() + 1, np.bool_)
    trivial[names.reshape(-1)] = _trivial(flat, low)
    leaves = int(np.count_nonzero(~trivial))
    nodes = 0
    while names.shape[1] > 1:
        pairs = names.reshape(names.shape[0], -1, 2)
        found, inverse = np.unique(pairs.reshape(-1, 2), axis=0, return_inverse=True)
        nodes += int(np.count_nonzero(found[:, 0] != found[:, 1]))
        # A choice between equal parts is that part: named after it, apart from the pairs.
        renamed = np.where(found[:, 0] == found[:, 1], found[:, 0], names.max() + 1 + np.arange(len(found)))
        names = renamed[inverse.reshape(-1)].reshape(pairs.shape[:2])
    return leaves, nodes


def _trivial(parts: NDArray[np.bool_], inputs: int) -> NDArray[np.bool_]:
    """Whether functions are constants or one of their inputs: neither needs a lookup table."""
    index = np.arange(1 << inputs)
    result: NDArray[np.bool_] = np.asarray(parts.all(axis=1) | ~parts.any(axis=1))
    for bit in range(inputs):
        result |= (parts == ((index >> bit) & 1).astype(np.bool_)).all(axis=1)
    return result


def bits_of(words: list[int], width: int) -> NDArray[np.bool_]:
    """Words as rows of bits, the lowest first: bool (words, width)."""
    size = -(-width // 8)
    mask = (1 << width) - 1
    data = b"".join((word & mask).to_bytes(size, "little") for word in words)
    rows = np.frombuffer(data, np.uint8).reshape(len(words), size)
    return np.unpackbits(rows, axis=1, bitorder="little")[:, :width].astype(np.bool_)
