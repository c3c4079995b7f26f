"""Line buffers whose windows are read by several readers at once, each wherever its table says."""

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import memory
from amaranth.utils import ceil_log2
from numpy.typing import NDArray

from rtl4ml.errors import ConfigurationError
from rtl4ml.hdl.tables import cycle_rows
from rtl4ml.hdl.walk import Walker
from rtl4ml.hdl.window_buffer import WindowBuffer, registered
from rtl4ml.hdl.window_reads import WindowReads


class WindowGather(WindowBuffer):
    """Takes frames of pixels and issues words of their windows, whose elements come from anywhere in the window.

    When words are written and issued, the window plan says; writer, reader and what they wait for are those of the line
    buffer. Each reader that is used has a copy of its lane: it reads at the place of the window's corner plus what the
    table says for the word.

    Parameters:
        shape: shape of an element.
        reads: what is issued.
        used: bool (readers,), readers that anybody listens to; the others give 0.

    Members:
        i, permit, available: as of the line buffer.
        first: the next word is the first of a pass; a function of registers.
        last: the next word is the last of a pass; a function of registers.
        word: an element for each reader, issued `reads.latency` edges before.
    """

    def __init__(self, shape: Shape, reads: WindowReads, used: NDArray[np.bool_]) -> None:
        if used.shape != (reads.readers,):
            raise ConfigurationError(f"Readers that are used must be of {reads.readers}, not {used.shape}")
        self._reads = reads
        self._used = used
        codes = reads.fill[:, reads.fills]
        super().__init__(shape, reads.window, reads.readers, codes)

    @property
    def bits(self) -> int:
        """Bits of memory."""
        return self._plan.ring * int(self._used.sum()) * self._shape.width

    def _add_words(
        self,
        m: Module,
        writer: Walker,
        reader: Walker,
        accept: Value,
        issue: Value,
        address: Value,
        rom: dict[str, Value] | None,
    ) -> tuple[Value, Value]:
        """Add the tables and the copies of the lanes."""
        reads, plan, width = self._reads, self._plan, self._shape.width
        ends = np.cumsum(reads.lengths)
        first, last = (np.zeros(len(reads.rows), np.int64) for _ in range(2))
        first[ends - reads.lengths] = last[ends - 1] = 1
        used = np.flatnonzero(self._used).tolist()
        filling = [r for r in used if reads.fills[r]]
        tables = [reads.places[:, r] for r in used]
        tables += [table[:, r] for r in filling for table in (reads.rows, reads.columns, reads.fill)]
        now_first, now_last, *numbers = cycle_rows(m, "reads", [first, last, *tables], issue)
        places = dict(zip(used, numbers, strict=False))
        taps = {r: numbers[len(used) + 3 * k : len(used) + 3 * k + 3] for k, r in enumerate(filling)}

        bits = ceil_log2(plan.ring)
        corner = reader.address("address", bits, (plan.row_stride, plan.chunks, 1))
        outside = [self._outside_of(m, reader, axis) if filling else [] for axis in (0, 1)]
        elements: list[Value] = []
        for r in range(reads.readers):
            if r not in places:
                elements.append(Const(0, width))
                continue
            m.submodules[f"reader_{r}"] = copy = memory.Memory(shape=width, depth=plan.ring, init=[])
            port_in, port_out = copy.write_port(), copy.read_port(domain="sync")
            m.d.comb += [
                port_in.addr.eq(address),
                port_in.data.eq(self.i.payload[r % plan.lanes]),
                port_in.en.eq(accept),
                port_out.addr.eq(corner + places[r]),
                port_out.en.eq(1),
            ]
            element: Value = port_out.data
            if r in taps:
                row, column, code = taps[r]
                beyond = Signal(name=f"beyond_{r}")
                m.d.comb += beyond.eq(_chosen(outside[0], row) | _chosen(outside[1], column))
                fill = Signal(self._shape, name=f"fill_{r}", reset_less=True)
                m.d["comb" if isinstance(code, Const) else "sync"] += fill.eq(code)
                element = Mux(registered(m, f"beyond_{r}", beyond), fill.as_unsigned(), element)
            elements.append(self._timed(m, r, element))
        m.d.comb += self.word.as_value().eq(Cat(*elements))
        return now_first, now_last

    def _timed(self, m: Module, r: int, element: Value) -> Value:
        """The element `latency` edges after its issue; one edge after it, it is there."""
        if self._reads.latency == 1:
            return element
        out = Signal(self._shape.width, name=f"out_{r}", reset_less=True)
        m.d.sync += out.eq(element)
        return out

    def _outside_of(self, m: Module, reader: Walker, axis: int) -> list[Value]:
        """Whether row (column) 0, 1, ... of the window that is read next lies outside the frame."""
        limit = (self._plan.height, self._plan.width)[axis]
        possible = self._reads.outside[axis]
        value = reader.value(axis) if possible.any() else Const(0, 1)
        low, high = reader.range(axis)
        result: list[Value] = []
        for offset, may_be in enumerate(possible.tolist()):
            if not may_be:
                result.append(Const(0, 1))
                continue
            before = value < -offset if low < -offset else Const(0, 1)
            behind = value >= limit - offset if high >= limit - offset else Const(0, 1)
            bit = Signal(name=f"outside_{axis}_{offset}")
            m.d.comb += bit.eq(before | behind)
            result.append(bit)
        return result


def _chosen(bits: list[Value], index: Value) -> Value:
    """The bit of that number."""
    if isinstance(index, Const):
        return bits[int(index.value)]
    return Cat(*bits).bit_select(index, 1)
