"""First-in first-out buffers: plain, and with the credits that keep arithmetic pipelines from stalling."""

from amaranth.hdl import Elaboratable, Module, Shape, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from rtl4ml.errors import ConfigurationError


def beat_signature(shape: Shape, lanes: int) -> stream.Signature:
    """Signature of a stream that carries `lanes` elements of `shape` a beat, lane 0 in the low bits."""
    return stream.Signature(data.ArrayLayout(shape, lanes))


def _checked_depth(depth: int) -> int:
    if depth < 1:
        raise ConfigurationError(f"The depth of a FIFO must be 1 or more, not {depth}")
    return depth


class Fifo(wiring.Component):
    """Holds up to `depth` beats; the first word falls through.

    A beat written at edge t can be handed over at edge t + 1. A beat a cycle at every depth: with one place, a beat is
    taken at the edge that hands the one before over, so `i.ready` depends on `o.ready`; with more, it is a function of
    registers, and a full FIFO takes the next beat at the edge after a handover.

    Parameters:
        shape: shape of an element.
        lanes: elements a beat.
        depth: beats held.

    Members:
        i: beats in.
        o: beats out, in the same order.
    """

    def __init__(self, shape: Shape, lanes: int, depth: int) -> None:
        self._depth = _checked_depth(depth)
        signature = beat_signature(shape, lanes)
        super().__init__({"i": In(signature), "o": Out(signature)})

    @property
    def depth(self) -> int:
        """Beats held when full."""
        return self._depth

    def elaborate(self, platform: object) -> Elaboratable:
        """Build a memory that is read combinationally (or one register), two pointers and a level."""
        m = Module()
        write = Signal()
        read = Signal()
        m.d.comb += [write.eq(self.i.valid & self.i.ready), read.eq(self.o.valid & self.o.ready)]

        level = Signal(range(self._depth + 1))
        room: Value = level != self._depth
        if self._depth == 1:
            room = room | self.o.ready
        m.d.comb += [self.i.ready.eq(room), self.o.valid.eq(level != 0)]
        with m.If(write & ~read):
            m.d.sync += level.eq(level + 1)
        with m.Elif(read & ~write):
            m.d.sync += level.eq(level - 1)

        payload_in = self.i.payload.as_value()
        payload_out = self.o.payload.as_value()
        if self._depth == 1:
            word = Signal(len(payload_in), reset_less=True)
            with m.If(write):
                m.d.sync += word.eq(payload_in)
            m.d.comb += payload_out.eq(word)
            return m

        # A power of two of words, so that the pointers wrap by themselves.
        size = 1 << ceil_log2(self._depth)
        m.submodules.words = words = memory.Memory(shape=len(payload_in), depth=size, init=[])
        port_in = words.write_port()
        port_out = words.read_port(domain="comb")
        write_pointer = Signal(range(size))
        read_pointer = Signal(range(size))
        m.d.comb += [
            port_in.addr.eq(write_pointer),
            port_in.data.eq(payload_in),
            port_in.en.eq(write),
            port_out.addr.eq(read_pointer),
            payload_out.eq(port_out.data),
        ]
        with m.If(write):
            m.d.sync += write_pointer.eq(write_pointer + 1)
        with m.If(read):
            m.d.sync += read_pointer.eq(read_pointer + 1)
        return m


class CreditedFifo(wiring.Component):
    """A FIFO behind a pipeline that cannot stall: a slot is promised before the work begins.

    Whoever starts work spends a credit, and only while `grant` is high; the result arrives at `i_valid` any number of
    cycles later and always finds its slot. A handover of edge t gives its slot back, which may be spent at edge t + 1:
    spend(k) >= handed_over(k - depth) + 1. A beat written at edge t can be handed over at edge t + 1.

    Parameters:
        shape: shape of an element.
        lanes: elements a beat.
        depth: slots, that is credits.
        most: credits that are spent at once, at most.

    Members:
        grant: high while there are `most` credits; a function of registers.
        spend: takes so many credits.
        i_valid: a result arrives.
        i_payload: the result.
        o: beats out.
    """

    def __init__(self, shape: Shape, lanes: int, depth: int, most: int = 1) -> None:
        if not 1 <= most <= _checked_depth(depth):
            raise ConfigurationError(f"Credits spent at once must be 1 to the depth of {depth}, not {most}")
        self._shape = shape
        self._lanes = lanes
        self._depth = depth
        self._most = most
        super().__init__(
            {
                "grant": Out(1),
                "spend": In(range(most + 1)),
                "i_valid": In(1),
                "i_payload": In(data.ArrayLayout(shape, lanes)),
                "o": Out(beat_signature(shape, lanes)),
            }
        )

    @property
    def depth(self) -> int:
        """Slots, that is credits."""
        return self._depth

    def elaborate(self, platform: object) -> Elaboratable:
        """Build a FIFO and a counter of free slots."""
        m = Module()
        m.submodules.fifo = fifo = Fifo(self._shape, self._lanes, self._depth)
        m.d.comb += [fifo.i.valid.eq(self.i_valid), fifo.i.payload.eq(self.i_payload)]
        wiring.connect(m, fifo.o, wiring.flipped(self.o))

        credit = Signal(range(self._depth + 1), init=self._depth)
        refund = Signal()
        m.d.comb += refund.eq(self.o.valid & self.o.ready)
        if self._most > 1:
            m.d.comb += self.grant.eq(credit >= self._most)
            m.d.sync += credit.eq(credit - self.spend + refund)
            return m
        m.d.comb += self.grant.eq(credit != 0)
        with m.If(self.spend & ~refund):
            m.d.sync += credit.eq(credit - 1)
        with m.Elif(refund & ~self.spend):
            m.d.sync += credit.eq(credit + 1)
        return m
