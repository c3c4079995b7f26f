"""Read-only tables: rows of constant columns, selected by an address or one after the other."""

from collections.abc import Sequence

import numpy as np
from amaranth.hdl import Const, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import memory
from numpy.typing import NDArray

from rtl4ml.formats import width_of

WORD_BITS = 1 << 14
"""Columns share memories up to this width (Amaranth has no wires over 2**16 bits)."""


def shape_of_range(low: int, high: int) -> Shape:
    """The narrowest shape that holds every integer in [low, high]."""
    bits, is_signed = width_of(int(low), int(high))
    return signed(bits) if is_signed else unsigned(bits)


def pack(values: NDArray[np.int64], width: int) -> list[int]:
    """Rows of codes as integers: column c in the bits from c * width on, two's complement.

    Args:
        values: int64 (rows, columns).
        width: bits a column, 1 to 63.
    """
    rows, columns = values.shape
    shifts = np.arange(width, dtype=np.int64)
    step = max(1, (1 << 22) // max(1, columns * width))
    words: list[int] = []
    for start in range(0, rows, step):
        part = values[start : start + step]
        bits = ((part[:, :, None] >> shifts) & 1).astype(np.uint8).reshape(len(part), columns * width)
        words.extend(int.from_bytes(row.tobytes(), "little") for row in np.packbits(bits, axis=1, bitorder="little"))
    return words


def read_rows(m: Module, name: str, values: NDArray[np.int64], shape: Shape, address: Value) -> list[Value]:
    """Add memories that hold `values` and return one value a column: those of row `address` of the edge before.

    A table of one row is constant and needs no memory.

    Args:
        m: module that the memories become submodules of.
        name: prefix of the memories' names.
        values: int64 (rows, columns), all of which fit `shape`.
        shape: of a column.
        address: row to read at the next edge.
    """
    rows, columns = values.shape
    if rows == 1:
        return [Const(int(value), shape) for value in values[0]]
    per_memory = max(1, WORD_BITS // shape.width)
    result: list[Value] = []
    for index, start in enumerate(range(0, columns, per_memory)):
        part = values[:, start : start + per_memory]
        words = memory.Memory(shape=part.shape[1] * shape.width, depth=rows, init=pack(part, shape.width))
        m.submodules[f"{name}_{index}"] = words
        port = words.read_port(domain="sync")
        m.d.comb += [port.addr.eq(address), port.en.eq(1)]
        for column in range(part.shape[1]):
            bits = port.data[column * shape.width : (column + 1) * shape.width]
            result.append(bits.as_signed() if shape.signed else bits)
    return result


def cycle_rows(m: Module, name: str, columns: Sequence[NDArray[np.int64]], advance: Value) -> list[Value]:
    """Add a table whose rows come one after the other, over and over; return the current row's value of each column.

    `advance` at an edge moves on to the next row for the cycle after. After a reset the first row stands from the
    second edge on. Constant columns become constants.

    Args:
        m: module that the memories become submodules of.
        name: prefix of the memories' names.
        columns: int64 (rows,) each.
        advance: move on to the next row.
    """
    constant = [int(column[0]) if np.all(column == column[0]) else None for column in columns]
    varying = [column for column, value in zip(columns, constant, strict=True) if value is None]
    values: list[Value] = []
    if varying:
        rows = len(varying[0])
        current = Signal(range(rows), name=f"{name}_row")
        upcoming = Signal(range(rows), name=f"{name}_next_row")
        m.d.comb += upcoming.eq(Mux(advance, Mux(current == rows - 1, 0, current + 1), current))
        m.d.sync += current.eq(upcoming)
        # Columns of one shape share a memory; the order of shapes is that of their first columns.
        groups: dict[tuple[int, bool], list[int]] = {}
        shapes = [shape_of_range(column.min(), column.max()) for column in varying]
        for index, shape in enumerate(shapes):
            groups.setdefault((shape.width, shape.signed), []).append(index)
        read: dict[int, Value] = {}
        for number, members in enumerate(groups.values()):
            table = np.stack([varying[index] for index in members], axis=1)
            found = read_rows(m, f"{name}_{number}", table, shapes[members[0]], upcoming)
            read.update(zip(members, found, strict=True))
        values = [read[index] for index in range(len(varying))]
    rest = iter(values)
    return [next(rest) if value is None else Const(value, shape_of_range(value, value)) for value in constant]
