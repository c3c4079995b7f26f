"""The port that loads weights: takes writes, and announces from which frame on they hold."""

from amaranth.hdl import Elaboratable, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl4ml.errors import ConfigurationError
from rtl4ml.hdl.weight_ram import FRAME_BITS, WORD_BITS


class WeightControl(wiring.Component):
    """Counts frames at the network's input, passes writes on, and holds the next load back until a commit is done.

    A commit at an edge holds for every frame whose first beat is accepted at a later edge.

    Parameters:
        address_bits: of the port.
        beats: beats of a frame at the network's input.
        tables: parts that hold tables.

    Members:
        w_valid: a write or a commit is offered.
        w_ready: it is taken; a function of registers.
        w_commit: it is a commit, and address and data mean nothing.
        w_addr: word address.
        w_data: the word.
        accepted: the network accepts a beat.
        address: to the tables.
        data: to the tables.
        write: to the tables.
        switch: first frame that takes what was loaded.
        pending: a commit is on its way.
        swapped: from each part: it has changed banks.
    """

    def __init__(self, address_bits: int, beats: int, tables: int) -> None:
        if min(address_bits, beats, tables) < 1:
            raise ConfigurationError(
                f"Address bits, beats and tables must be 1 or more, not {address_bits}, {beats}, {tables}"
            )
        self._beats = beats
        super().__init__(
            {
                "w_valid": In(1),
                "w_ready": Out(1),
                "w_commit": In(1),
                "w_addr": In(address_bits),
                "w_data": In(WORD_BITS),
                "accepted": In(1),
                "address": Out(address_bits),
                "data": Out(WORD_BITS),
                "write": Out(1),
                "switch": Out(FRAME_BITS),
                "pending": Out(1),
                "swapped": In(tables),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        """Build the counters of beats and frames; writes reach the tables an edge later."""
        m = Module()
        beat = Signal(range(max(2, self._beats)))
        begun = Signal(FRAME_BITS)  # frames whose first beat was accepted
        begins = Signal()
        now = Signal(FRAME_BITS)
        m.d.comb += [begins.eq(self.accepted & (beat == 0)), now.eq(begun + begins)]
        m.d.sync += begun.eq(now)
        if self._beats > 1:
            with m.If(self.accepted):
                m.d.sync += beat.eq(Mux(beat == self._beats - 1, 0, beat + 1))

        commit = Signal()
        m.d.comb += [
            self.w_ready.eq(~self.pending & ~self.swapped.any()),
            commit.eq(self.w_valid & self.w_ready & self.w_commit),
        ]
        m.d.sync += [
            self.address.eq(self.w_addr),
            self.data.eq(self.w_data),
            self.write.eq(self.w_valid & self.w_ready & ~self.w_commit),
        ]
        with m.If(commit):
            m.d.sync += [self.pending.eq(1), self.switch.eq(now)]
        with m.Elif(self.swapped.all()):
            m.d.sync += self.pending.eq(0)
        return m
