"""Tables that are read row by row, and that a port can fill anew while they are in use.

A table has two banks: one is read, the other written. Whoever reads a table counts frames; when a load is committed,
the first frame that enters the network after it is announced as `switch`, and a reader changes banks between that frame
and the one before. So all layers compute a frame with the same weights, wherever it is when the load is committed.
"""

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Cat, Module, ResetSignal, Shape, Signal, Value
from amaranth.lib import memory
from amaranth.lib.wiring import In, Member, Out
from amaranth.utils import ceil_log2
from numpy.typing import NDArray

from rtl4ml.errors import ConfigurationError
from rtl4ml.hdl.tables import pack, shape_of_range

Codes = NDArray[np.int64]

WORD_BITS = 32
"""Width of the port that loads tables."""

FRAME_BITS = 16
"""Frames are counted modulo 2**16: far more than a network holds."""


@dataclass(frozen=True)
class Table:
    """Where the numbers of a table lie behind the port.

    Row r begins at `base + r * pitch`. Its columns follow each other, `per_word` in a word of 32 bits from the low bits
    on, two's complement; a column of more than 32 bits takes two words, the low one first.

    Parameters:
        base: address of the first word, a multiple of `size`.
        rows: number of rows.
        columns: numbers a row.
        low: lowest number that fits.
        high: highest.
    """

    base: int
    rows: int
    columns: int
    low: int
    high: int

    @property
    def shape(self) -> Shape:
        """Of a number."""
        return shape_of_range(self.low, self.high)

    @property
    def words_each(self) -> int:
        """Words that a number takes; 1 where several share one."""
        return -(-self.shape.width // WORD_BITS)

    @property
    def per_word(self) -> int:
        """Numbers in a word."""
        return max(1, WORD_BITS // self.shape.width)

    @property
    def words(self) -> int:
        """Words of a row."""
        return -(-self.columns * self.words_each // self.per_word)

    @property
    def pitch(self) -> int:
        """Addresses from row to row, a power of two."""
        return 1 << ceil_log2(self.words)

    @property
    def size(self) -> int:
        """Addresses taken, a power of two."""
        return self.pitch << ceil_log2(self.rows)

    def chunks(self, values: Codes) -> Codes:
        """Numbers (rows, columns) as words, uint32 in int64 (rows, words).

        Raises:
            ConfigurationError: a number does not fit.
        """
        if values.min() < self.low or values.max() > self.high:
            raise ConfigurationError(
                f"Numbers of a table must lie in [{self.low}, {self.high}], not in [{values.min()}, {values.max()}]"
            )
        step = self.per_word if self.words_each == 1 else 1
        columns = []
        for start in range(0, self.columns, step):
            part = np.array(pack(values[:, start : start + step], self.shape.width), dtype=object)
            columns += [(part >> (WORD_BITS * word)) & ((1 << WORD_BITS) - 1) for word in range(self.words_each)]
        return np.stack(columns, axis=1).astype(np.int64)

    def load(self, values: Codes) -> Codes:
        """Writes that fill the table with numbers (rows, columns): int64 (writes, 2), address and data."""
        chunks = self.chunks(values)
        row, word = np.indices(chunks.shape)
        addresses = self.base + row * self.pitch + word
        return np.stack([addresses.reshape(-1), chunks.reshape(-1)], axis=1)


@dataclass(frozen=True)
class LoadBus:
    """What the controller tells every table.

    Parameters:
        address: of the word written.
        data: the word.
        write: it is written at this edge.
        switch: number of the first frame that takes what was loaded.
        pending: a load was committed and not every table has changed banks.
    """

    address: Value
    data: Value
    write: Value
    switch: Value
    pending: Value


def load_signature(address_bits: int) -> dict[str, Member]:
    """Members of a part that holds tables: the load bus, and what the controller wants to know."""
    return {
        "w_address": In(address_bits),
        "w_data": In(WORD_BITS),
        "w_write": In(1),
        "w_switch": In(FRAME_BITS),
        "w_pending": In(1),
        "w_swapped": Out(1),
    }


class BankedTable:
    """A table in hardware, being added to a module.

    Parameters:
        m: the module.
        name: prefix of all names.
        table: the layout.
        init: int64 (rows, columns), what both banks hold at first.
        bus: from the controller.
    """

    def __init__(self, m: Module, name: str, table: Table, init: Codes, bus: LoadBus) -> None:
        self._m, self._name, self._table, self._bus = m, name, table, bus
        self._init = table.chunks(init)
        self.swapped = Signal(name=f"{name}_swapped")
        """Since the last commit the reader has passed the frame that takes the new contents."""

    def read(self, row: Value, frame: Value) -> list[Value]:
        """The numbers of a row, an edge later.

        Args:
            row: to be read at the next edge.
            frame: number of the frame that the row is read for, modulo 2**FRAME_BITS.
        """
        m, name, table, bus = self._m, self._name, self._table, self._bus
        # A reset must not bring old contents back; a commit that it interrupts is done for every table at once.
        bank = Signal(name=f"{name}_bank", reset_less=True)
        loaded = Signal(name=f"{name}_loaded")
        due = Signal(name=f"{name}_due")
        reading = Signal(name=f"{name}_reading")
        mine = Signal(name=f"{name}_written")
        size_bits = ceil_log2(table.size)
        m.d.comb += [
            due.eq(bus.pending & ~self.swapped & (frame == bus.switch)),
            reading.eq(bank ^ (due & loaded)),
            mine.eq(bus.write & (bus.address[size_bits:] == table.base >> size_bits)),
        ]
        with m.If(due):
            m.d.sync += self.swapped.eq(1)
        with m.If(due | (ResetSignal() & bus.pending & ~self.swapped)):
            m.d.sync += bank.eq(bank ^ loaded)
        with m.If(mine):
            m.d.sync += loaded.eq(1)
        with m.If(self.swapped & ~bus.pending):
            m.d.sync += [self.swapped.eq(0), loaded.eq(0)]

        row_bits, pitch_bits = ceil_log2(table.rows), ceil_log2(table.pitch)
        written_row = bus.address[pitch_bits : pitch_bits + row_bits]
        words = []
        for word in range(table.words):
            used = self._bits_of(word)
            contents = [int(value) for value in self._init[:, word]]
            bank_rows = contents + [0] * ((1 << row_bits) - table.rows)
            m.submodules[f"{name}_{word}"] = ram = memory.Memory(
                shape=used, depth=2 << row_bits, init=bank_rows + bank_rows
            )
            port_in, port_out = ram.write_port(), ram.read_port(domain="sync")
            m.d.comb += [
                port_in.addr.eq(Cat(written_row, ~bank)),
                port_in.data.eq(bus.data),
                port_in.en.eq(mine & (bus.address[:pitch_bits] == word) if pitch_bits else mine),
                port_out.addr.eq(Cat(row[:row_bits], reading)),
                port_out.en.eq(1),
            ]
            words.append(port_out.data)
        return self._numbers(words)

    def _bits_of(self, word: int) -> int:
        """Bits of a word that carry numbers."""
        table = self._table
        width = table.shape.width
        if table.words_each > 1:
            return min(WORD_BITS, width - WORD_BITS * (word % table.words_each))
        return width * min(table.per_word, table.columns - word * table.per_word)

    def _numbers(self, words: list[Value]) -> list[Value]:
        table = self._table
        width, signed = table.shape.width, table.shape.signed
        numbers = []
        for column in range(table.columns):
            if table.words_each > 1:
                bits: Value = Cat(words[column * table.words_each : (column + 1) * table.words_each])
            else:
                start = column % table.per_word * width
                bits = words[column // table.per_word][start : start + width]
            numbers.append(bits.as_signed() if signed else bits)
        return numbers
