"""Another number of elements a beat, without any arithmetic."""

from amaranth.hdl import Elaboratable, Module, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl4ml.errors import ConfigurationError
from rtl4ml.hdl.fifo import CreditedFifo, beat_signature
from rtl4ml.hdl.width_adapter import WidthAdapter
from rtl4ml.stages.base import Codes, Stage
from rtl4ml.stages.timing import Side, replayed

SLOTS = 2
"""Beats that the FIFO holds: enough for the full rate, so that no `ready` passes through."""


class LanesStage(Stage):
    """Frames of beats of `lanes_in` elements in, of `lanes_out` out: a width adapter and a FIFO of two beats.

    Parameters:
        name: of the stage.
        shape: shape of an element.
        n: elements a frame.
        lanes_in: elements of a beat in.
        lanes_out: elements of a beat out, another number.

    Raises:
        ConfigurationError: both are the same.
    """

    def __init__(self, name: str, shape: Shape, n: int, lanes_in: int, lanes_out: int) -> None:
        if lanes_in == lanes_out:
            raise ConfigurationError(f"Lanes in and out of stage {name!r} must differ, not be {lanes_in} both")
        self.name = name
        self.operators = ()
        self.n_in = self.n_out = n
        self.lanes_in, self.lanes_out = lanes_in, lanes_out
        self.in_shape = self.out_shape = shape
        self.multipliers = 0
        self.timing = replayed([Side(n, lanes_in, lanes_out)], rounds=-(-n // lanes_out), depth=0, slots=SLOTS)

    def component(self) -> wiring.Component:
        """Build the hardware."""
        return _LanesHardware(self)

    def evaluate(self, *codes: Codes) -> Codes:
        """The codes themselves."""
        return codes[0]


class _LanesHardware(wiring.Component):
    def __init__(self, stage: LanesStage) -> None:
        self._stage = stage
        super().__init__(
            {
                "i": In(beat_signature(stage.in_shape, stage.lanes_in)),
                "o": Out(beat_signature(stage.out_shape, stage.lanes_out)),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        stage = self._stage
        m.submodules.adapter = adapter = WidthAdapter(stage.in_shape, stage.n_in, stage.lanes_in, stage.lanes_out)
        wiring.connect(m, wiring.flipped(self.i), adapter.i)
        words = adapter.o
        m.submodules.fifo = fifo = CreditedFifo(stage.out_shape, stage.lanes_out, SLOTS)
        wiring.connect(m, fifo.o, wiring.flipped(self.o))
        issue = Signal()
        m.d.comb += [
            words.ready.eq(fifo.grant),
            issue.eq(words.valid & fifo.grant),
            fifo.spend.eq(issue),
            fifo.i_valid.eq(issue),
            fifo.i_payload.eq(words.payload),
        ]
        return m
