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


def pack(values: NDArray[np.int64], widths: int | Sequence[int]) -> list[int]:
    """Rows of codes as integers, column after column from the low bits on, two's complement.

    Args:
        values: int64 (rows, columns).
        widths: bits of a column, 1 to 63; one number for all, or one each.
    """
    rows, columns = values.shape
    each = np.broadcast_to(np.asarray(widths, np.int64), (columns,))
    column = np.repeat(np.arange(columns), each)
    shift = np.arange(len(column)) - np.repeat(np.cumsum(each) - each, each)
    step = max(1, (1 << 22) // max(1, len(column)))
    words: list[int] = []
    for start in range(0, rows, step):
        bits = ((values[start : start + step, column] >> shift) & 1).astype(np.uint8)
        words.extend(int.from_bytes(row.tobytes(), "little") for row in np.packbits(bits, axis=1, bitorder="little"))
    return words


def read_columns(
    m: Module, name: str, columns: Sequence[NDArray[np.int64]], shapes: Sequence[Shape], address: Value
) -> list[Value]:
    """Add memories that hold columns and return one value each: those of row `address` of the edge before.

    A table of one row is constant and needs no memory.

    Args:
        m: module that the memories become submodules of.
        name: prefix of the memories' names.
        columns: int64 (rows,) each, which fit their shapes.
        shapes: one a column.
        address: row to read at the next edge.
    """
    if not columns:
        return []
    rows = len(columns[0])
    if rows == 1:
        return [Const(int(column[0]), shape) for column, shape in zip(columns, shapes, strict=True)]
    result: list[Value] = []
    for index, group in enumerate(_memory_groups([shape.width for shape in shapes])):
        members = [shapes[column] for column in group]
        widths = [shape.width for shape in members]
        init = pack(np.stack([columns[column] for column in group], axis=1), widths)
        m.submodules[f"{name}_{index}"] = words = memory.Memory(shape=sum(widths), depth=rows, init=init)
        port = words.read_port(domain="sync")
        m.d.comb += [port.addr.eq(address), port.en.eq(1)]
        position = 0
        for shape in members:
            value = port.data[position : position + shape.width]
            result.append(value.as_signed() if shape.signed else value)
            position += shape.width
    return result


def _memory_groups(widths: Sequence[int]) -> list[list[int]]:
    """Neighbouring columns that share a memory."""
    groups: list[list[int]] = []
    bits = WORD_BITS
    for column, width in enumerate(widths):
        if bits + width > WORD_BITS:
            groups.append([])
            bits = 0
        groups[-1].append(column)
        bits += width
    return groups


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
        shapes = [shape_of_range(column.min(), column.max()) for column in varying]
        values = read_columns(m, name, varying, shapes, upcoming)
    rest = iter(values)
    return [next(rest) if value is None else Const(value, shape_of_range(value, value)) for value in constant]
