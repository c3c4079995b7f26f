"""Line buffers: pixels come in row by row, windows of them go out along a loop nest."""

from collections.abc import Sequence

import numpy as np
from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from rtl4ml.errors import ConfigurationError
from rtl4ml.formats import Codes
from rtl4ml.hdl.fifo import beat_signature
from rtl4ml.hdl.tables import cycle_rows, read_columns, shape_of_range
from rtl4ml.hdl.walk import Walker
from rtl4ml.hdl.window_banks import Place, add_banks, turn_taps
from rtl4ml.hdl.window_plan import WindowPlan


class WindowBuffer(wiring.Component):
    """Takes frames of pixels and issues words of them as a plan says.

    A word is issued at an edge where `available` and `permit` are high; it stands in `word` for one cycle,
    `plan.latency` edges later. Which edges are the earliest, the plan says.

    Four positions move through the frames, each by adding constants: that of the word to be written, that of the word
    to be issued, and, one unit ahead, the corners of what a unit reads. When a unit ends, the corners of the next one
    are taken over, moved into the frame: the bottom right one is compared with the position written to before the
    unit starts; the top left one says what is still held, which the writer compares its address with.

    Parameters:
        shape: shape of an element.
        plan: what is issued.
        elements: of a word; None: as the plan has them.
        codes: that stand outside the frame, any shape; None: those of the plan.

    Members:
        i: words in; `i.ready` is a function of registers.
        permit: the consumer can take the next word; may depend on `first` and `last`, not on `available`.
        available: the next word is there; a function of registers.
        first: the next word is the first of a pass; a function of registers.
        last: the next word is the last of a pass; a function of registers.
        word: taps * lanes elements, ordered by tap row, tap column, lane.
    """

    def __init__(self, shape: Shape, plan: WindowPlan, elements: int | None = None, codes: Codes | None = None) -> None:
        self._shape = Shape.cast(shape)
        self._plan = plan
        low, high = (
            (-(1 << self._shape.width - 1), 1 << self._shape.width - 1)
            if self._shape.signed
            else (0, 1 << self._shape.width)
        )
        if codes is None:
            codes = plan.fill if plan.fills else np.zeros(0, np.int64)
        if np.size(codes) and not (low <= np.min(codes) and np.max(codes) < high):
            raise ConfigurationError(
                f"Fill of a window buffer must be {low} to {high - 1}, not {np.min(codes)} to {np.max(codes)}"
            )
        elements = plan.taps[0] * plan.taps[1] * plan.lanes if elements is None else elements
        super().__init__(
            {
                "i": In(beat_signature(shape, plan.lanes)),
                "permit": In(1),
                "available": Out(1),
                "first": Out(1),
                "last": Out(1),
                "word": Out(data.ArrayLayout(shape, elements)),
            }
        )

    @property
    def bits(self) -> int:
        """Bits of memory."""
        return self._plan.held * self._plan.lanes * self._shape.width

    def elaborate(self, platform: object) -> Elaboratable:
        """Build the four positions and the memory between writer and reader."""
        m = Module()
        plan = self._plan
        issue = Signal()
        accept = Signal()
        m.d.comb += [issue.eq(self.available & self.permit), accept.eq(self.i.valid & self.i.ready)]
        counts = (plan.height, plan.width, plan.chunks)
        writer = Walker(m, "write", counts, np.eye(3, dtype=np.int64), (0, 0, 0), accept, plan.height, plan.banks)
        reader = Walker(m, "read", plan.counts, plan.steps, plan.start, issue, plan.height, plan.banks)

        rom = self._order(m, issue) if plan.order is not None else None
        self._gate_reader(m, writer, reader, accept, issue, rom)
        held = self._gate_writer(m, writer, reader, issue, rom)
        address = writer.address("address", self._address_bits, (plan.row_stride, plan.chunks, 1), offset=-plan.ring)
        # The place to write to is free when the word `ring` places before is not held.
        distance = Signal(self._address_bits)
        m.d.comb += [distance.eq(address - held), self.i.ready.eq(distance[-1])]
        first, last = self._add_words(m, writer, reader, accept, issue, address, rom)
        m.d.comb += [self.first.eq(first), self.last.eq(last)]
        return m

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
        """Add the memory; return whether the next word is the first of a pass, and whether it is the last.

        Args:
            m: module to add to.
            writer: position of the word to be written.
            reader: of the word to be issued.
            accept: a word is written at this edge.
            issue: a word is issued at this edge.
            address: that a word is written to; more high bits than the memory has.
            rom: addresses of walks that are no nest.
        """
        plan = self._plan
        last_of_pass = _moves_outside(m, "last_of_pass", reader, len(plan.counts) - plan.pass_levels)
        first_of_pass = Signal(init=1)
        with m.If(issue):
            m.d.sync += first_of_pass.eq(last_of_pass)

        read = reader.address("address", ceil_log2(plan.ring), (plan.row_stride, plan.chunks, 1))
        if rom is not None:
            read = read + rom["address"]
        words = add_banks(
            m,
            plan,
            accept,
            self.i.payload.as_value(),
            Place(writer.phase(0), writer.phase(1), address),
            Place(reader.phase(0), reader.phase(1), read),
        )
        if plan.latency == 1:
            m.d.comb += self.word.as_value().eq(words[0][0])
        else:
            self._output(m, reader, words, rom)
        return first_of_pass, last_of_pass

    @property
    def _address_bits(self) -> int:
        """Width in which differences of addresses that occur together have a sign."""
        plan = self._plan
        frame = (-(-plan.height // plan.banks[0]) + 1) * plan.row_stride
        return (plan.ring + 2 * frame + 2 * plan.row_stride).bit_length() + 1

    def _order(self, m: Module, issue: Value) -> dict[str, Value]:
        """Address (of the first frame), need and release of each word, from memory."""
        plan = self._plan
        order = plan.order
        assert order is not None
        releases = np.append(plan.releases()[1:, 1], plan.releases()[0, 1] + plan.width) * plan.chunks
        columns = {
            "address": np.maximum(order, 0) % plan.ring,
            "outside": (order < 0).astype(np.int64),
            "need": np.broadcast_to(plan.needs() - 1, order.shape),
            "release": releases if plan.release else np.broadcast_to(releases, order.shape),
        }
        values = cycle_rows(m, "order", list(columns.values()), issue)
        return dict(zip(columns, values, strict=True))

    def _gate_reader(
        self, m: Module, writer: Walker, reader: Walker, accept: Value, issue: Value, rom: dict[str, Value] | None
    ) -> None:
        """`available`: the writer is beyond the last pixel that the unit reads."""
        plan = self._plan
        # Frames that the writer is ahead: behind by one while it writes what is not read, ahead by what the ring holds.
        rows = plan.banks[0] * (plan.ring // plan.row_stride + 4)
        most = -(-rows // plan.height) + 2
        lead = Signal(shape_of_range(-1, most))
        forward = Signal()
        back = Signal()
        m.d.comb += [forward.eq(accept & writer.moving[0]), back.eq(issue & reader.moving[0])]
        with m.If(forward & ~back):
            m.d.sync += lead.eq(lead + 1)
        with m.Elif(back & ~forward):
            m.d.sync += lead.eq(lead - 1)

        row, column = writer.value(0), writer.value(1)
        if rom is None:
            end = self._unit_end(m, "unit_end", reader, issue, plan.unit)
            need_row, need_column = self._need(m, end)
        else:
            need_row, need_column = Const(0, row.shape()), rom["need"]
        width = max(len(column), len(need_column))
        m.d.comb += self.available.eq(lead > 0)
        if plan.height * plan.width > 1:
            beyond = Signal()  # in the same frame
            m.d.comb += beyond.eq(Cat(_extended(column, width), row) > Cat(_extended(need_column, width), need_row))
            with m.If((lead == 0) & beyond):
                m.d.comb += self.available.eq(1)

    def _need(self, m: Module, end: Value) -> tuple[Value, Value]:
        """Row and column of the last pixel that the unit reads; taken over from the position one unit ahead."""
        plan = self._plan
        corner = np.add(plan.start, (*plan.box(plan.unit)[1], 0))
        ahead = self._ahead(m, "need", plan.unit, corner, end)
        values = [ahead.value(axis) for axis in (0, 1)]
        none = Signal()  # nothing of the frame: then its first pixel
        m.d.comb += none.eq(_negative(values[0]) | _negative(values[1]))
        first = int(plan.needs()[0]) - 1
        result = []
        for axis, limit in ((0, plan.height), (1, plan.width)):
            shape = shape_of_range(0, limit - 1)
            value = values[axis]
            if ahead.range(axis)[1] >= limit:
                value = Mux(value > limit - 1, limit - 1, value)
            init = first // plan.width if axis == 0 else first % plan.width
            need = Signal(shape, init=init, name=f"need_{('row', 'column')[axis]}_held")
            with m.If(end):
                m.d.sync += need.eq(Mux(none, 0, value))
            result.append(need)
        return result[0], result[1]

    def _gate_writer(
        self, m: Module, writer: Walker, reader: Walker, issue: Value, rom: dict[str, Value] | None
    ) -> Value:
        """Address of the first word that is held in the bank to be written."""
        plan = self._plan
        bits = self._address_bits
        end = self._unit_end(m, "release_end", reader, issue, plan.release)
        row, column = (int(value) for value in plan.releases()[0])
        place = column // plan.banks[1] * plan.chunks
        stride = plan.row_stride
        start = row // plan.banks[0] * stride
        same = Signal(bits, init=start + place, name="held_from")
        if rom is not None:
            base = reader.address("base", bits, (stride, 0, 0))
            with m.If(end):
                m.d.sync += same.eq(base + rom["release"])
            return same

        corner = np.add(plan.start, (*plan.box(plan.release)[0], 0))
        ahead = self._ahead(m, "release", plan.release, corner, end)
        ahead_row, ahead_column = ahead.value(0), ahead.value(1)
        start_ahead: Value = ahead.address("row_address", bits, (stride, 0, 0))
        phase_ahead = ahead.phase(0)
        place_ahead: Value = ahead.address("column_address", bits, (0, plan.chunks, 0))
        if ahead.range(1)[0] < 0:
            place_ahead = Mux(_negative(ahead_column), 0, place_ahead)
        if ahead.range(1)[1] > plan.width:
            full = plan.width // plan.banks[1] * plan.chunks
            place_ahead = Mux(ahead_column > plan.width, full, place_ahead)
        if ahead.range(0)[0] < 0:
            above = _negative(ahead_row)
            frame = self._ahead(m, "release_frame", plan.release, (0, 0, 0), end, still=True)
            start_ahead = Mux(above, frame.address("address", bits, (stride, 0, 0)), start_ahead)
            phase_ahead = Mux(above, frame.phase(0), phase_ahead)
            place_ahead = Mux(above, 0, place_ahead)
        below = ahead_row >= plan.height if ahead.range(0)[1] >= plan.height else Const(0, 1)
        take = Signal()
        m.d.comb += take.eq(end & ~below)
        with m.If(take):
            m.d.sync += same.eq(start_ahead + place_ahead)
        if plan.banks[0] == 1:
            return same
        # In banks of later rows of the group all is held, in those of earlier rows only that of the next group.
        later = Signal(bits, init=start, name="held_from_later_rows")
        earlier = Signal(bits, init=start + stride, name="held_from_earlier_rows")
        phase = Signal.like(phase_ahead, init=row % plan.banks[0], name="held_phase")
        with m.If(take):
            m.d.sync += [later.eq(start_ahead), earlier.eq(start_ahead + stride), phase.eq(phase_ahead)]
        written = writer.phase(0)
        return Mux(written == phase, same, Mux(written > phase, later, earlier))

    def _unit_end(self, m: Module, name: str, reader: Walker, issue: Value, depth: int) -> Value:
        """The issue at this edge is the last of a turn of the first levels."""
        end = Signal(name=name)
        m.d.comb += end.eq(issue & _moves_outside(m, f"{name}_next", reader, depth))
        return end

    def _ahead(
        self, m: Module, name: str, depth: int, start: Sequence[int] | Codes, end: Value, still: bool = False
    ) -> Walker:
        """A position one turn of the first levels ahead; `still`: it stays the start of its frame."""
        plan = self._plan
        steps = plan.steps[:depth] * (not still)
        return Walker(m, name, plan.counts[:depth], steps, start, end, plan.height, plan.banks, at=1)

    def _output(self, m: Module, reader: Walker, words: list[list[Value]], rom: dict[str, Value] | None) -> None:
        """Bring each tap the word of its bank, or the fill, and register it."""
        plan = self._plan
        taps = turn_taps(
            m,
            plan,
            words,
            registered(m, "row_phase", reader.phase(0)),
            registered(m, "column_phase", reader.phase(1)),
        )
        if rom is not None:
            outside: list[list[Value]] = [[registered(m, "outside", rom["outside"])], [Const(0, 1)]]
        else:
            outside = [self._outside(m, reader, axis) for axis in (0, 1)]
        fill = self._fill(m, reader)
        outs = []
        for i in range(plan.taps[0]):
            for j in range(plan.taps[1]):
                out = Signal(len(fill), reset_less=True, name=f"out_{i}_{j}")
                m.d.sync += out.eq(Mux(outside[0][i] | outside[1][j], fill, taps[i][j]))
                outs.append(out)
        m.d.comb += self.word.as_value().eq(Cat(*outs))

    def _outside(self, m: Module, reader: Walker, axis: int) -> list[Value]:
        """Whether each tap row (column) of the word issued at the edge before lies outside the frame."""
        plan = self._plan
        limit = (plan.height, plan.width)[axis]
        value = reader.value(axis) if any(plan.outside[axis]) else Const(0, 1)
        low, high = reader.range(axis)
        result: list[Value] = []
        for tap, possible in enumerate(plan.outside[axis]):
            offset = tap * plan.dilation[axis]
            before = value < -offset if low < -offset else Const(0, 1)
            behind = value >= limit - offset if high >= limit - offset else Const(0, 1)
            result.append(registered(m, f"outside_{axis}_{tap}", before | behind) if possible else Const(0, 1))
        return result

    def _fill(self, m: Module, reader: Walker) -> Value:
        """The codes outside the frame for the word issued at the edge before."""
        plan = self._plan
        codes = np.broadcast_to(plan.fill, (plan.chunks, plan.lanes))
        width = self._shape.width
        shapes = [Shape(width)] * plan.lanes
        if plan.order is not None or np.all(codes == codes[0]):
            codes = codes[:1]
        columns = [column & ((1 << width) - 1) for column in codes.T]
        chunk = reader.value(2) if len(codes) > 1 else Const(0, 1)
        return Cat(*read_columns(m, "fill", columns, shapes, chunk))


def _moves_outside(m: Module, name: str, walker: Walker, depth: int) -> Value:
    """The next move is of one of the first levels, or starts the nest over."""
    result = Signal(name=name)
    m.d.comb += result.eq(Cat(*walker.moving[: depth + 1]).any())
    return result


def _negative(value: Value) -> Value:
    return value[-1] if value.shape().signed else Const(0, 1)


def _extended(value: Value, width: int) -> Value:
    """An unsigned value in a given width."""
    return Cat(value, Const(0, width - len(value))) if len(value) < width else value


def registered(m: Module, name: str, value: Value) -> Value:
    """The value of the edge before, in a register without reset."""
    register = Signal(value.shape(), name=f"{name}_read", reset_less=True)
    m.d.sync += register.eq(value)
    return register
