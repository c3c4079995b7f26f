"""One stream to several consumers."""

from amaranth.hdl import Cat, Elaboratable, Module, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl4ml.errors import ConfigurationError
from rtl4ml.hdl.fifo import beat_signature


class Fork(wiring.Component):
    """Hands every beat to each of its consumers, to each as soon as that one is ready.

    A consumer that has taken the beat does not see it again while others still wait: a register remembers. The beat is
    taken at the edge at which the last consumer takes it, so nothing is lost while all are ready: a beat a cycle.

    No `valid` depends on a `ready`, so forks, joins and adapters in a row close no combinational loop.

    Parameters:
        shape: shape of an element.
        lanes: elements a beat.
        consumers: streams out, 2 or more.

    Members:
        i: beats in; `i.ready` depends on every consumer's `ready`.
        o0, o1, ...: the same beats out; `valid` depends on `i.valid`.
    """

    def __init__(self, shape: Shape, lanes: int, consumers: int) -> None:
        if consumers < 2:
            raise ConfigurationError(f"A fork must have 2 consumers or more, not {consumers}")
        self._consumers = consumers
        signature = beat_signature(shape, lanes)
        outputs = {f"o{index}": Out(signature) for index in range(consumers)}
        super().__init__({"i": In(signature), **outputs})

    @property
    def consumers(self) -> int:
        """Streams out."""
        return self._consumers

    def elaborate(self, platform: object) -> Elaboratable:
        """Build a register for each consumer: it has the beat already."""
        m = Module()
        served = []
        for index in range(self._consumers):
            o = getattr(self, f"o{index}")
            done = Signal(name=f"done{index}")
            takes = Signal(name=f"takes{index}")
            m.d.comb += [
                o.payload.eq(self.i.payload),
                o.valid.eq(self.i.valid & ~done),
                takes.eq(done | o.ready),
            ]
            served.append(takes)
            with m.If(self.i.valid):
                m.d.sync += done.eq(takes & ~self.i.ready)
        m.d.comb += self.i.ready.eq(Cat(*served).all())
        return m
