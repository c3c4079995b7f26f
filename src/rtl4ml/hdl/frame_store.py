"""Storage of frames of words that are read several times."""

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Shape, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from rtl4ml.errors import ConfigurationError
from rtl4ml.hdl.fifo import beat_signature


def is_stored(words: int, replays: int) -> bool:
    """Whether frames of `words` words that are read `replays` times need a memory."""
    return words > 1 and replays > 1


class FrameStore(wiring.Component):
    """Takes frames of words and issues each frame's words in order, `replays` times.

    A word is issued at an edge where `available` and `permit` are high; it stands in `word` for the cycle after.
    Where words are stored, there is room for two frames: word g of a frame is available in pass 0 one edge after it was
    written, and the first word of frame k is taken one edge after the last issue of frame k - 2. With one word a frame,
    or one pass, nothing is stored: the edge that takes a word issues it for the first time, and one register holds
    it for the passes that follow.

    Parameters:
        shape: shape of an element.
        lanes: elements a word.
        words: words a frame.
        replays: times that a frame is issued.

    Members:
        i: words in; `i.ready` depends on registers and on `permit`.
        permit: the consumer can take the next word; may depend on `first` and `last`, not on `available`.
        available: the next word is there; may depend on `i.valid`.
        first: the next word is the first of a pass; a function of registers.
        last: the next word is the last of a pass; a function of registers.
        word: the word issued at the edge before.
    """

    def __init__(self, shape: Shape, lanes: int, words: int, replays: int) -> None:
        if min(lanes, words, replays) < 1:
            raise ConfigurationError(
                f"Lanes, words and replays of a frame store must be 1 or more, not {lanes}, {words}, {replays}"
            )
        self._words = words
        self._replays = replays
        super().__init__(
            {
                "i": In(beat_signature(shape, lanes)),
                "permit": In(1),
                "available": Out(1),
                "first": Out(1),
                "last": Out(1),
                "word": Out(data.ArrayLayout(shape, lanes)),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        """Build the counters of word and pass, and the storage."""
        m = Module()
        issue = Signal()
        m.d.comb += issue.eq(self.available & self.permit)

        word = Signal(range(max(2, self._words)))  # of the next issue
        replay = Signal(range(max(2, self._replays)))
        last_replay = Signal()
        m.d.comb += [
            self.first.eq(word == 0),
            self.last.eq(word == self._words - 1),
            last_replay.eq(replay == self._replays - 1),
        ]
        with m.If(issue):
            if self._words > 1:
                m.d.sync += word.eq(Mux(self.last, 0, word + 1))
            if self._replays > 1:
                with m.If(self.last):
                    m.d.sync += replay.eq(Mux(last_replay, 0, replay + 1))

        if is_stored(self._words, self._replays):
            self._elaborate_memory(m, word, issue & self.last & last_replay)
        else:
            # With one pass, `replay` stays 0 and every issue takes a word.
            held = Signal.like(self.word.as_value(), reset_less=True, name="held")
            m.d.comb += [
                self.available.eq(self.i.valid | (replay != 0)),
                self.i.ready.eq(self.permit & (replay == 0)),
                self.word.as_value().eq(held),
            ]
            with m.If(replay == 0):
                m.d.sync += held.eq(self.i.payload.as_value())
        return m

    def _elaborate_memory(self, m: Module, word: Signal, release: Signal) -> None:
        """Two frames in a memory with a synchronous read port; the bank is the address' top bit."""
        accept = Signal()
        word_in = Signal(range(self._words))
        last_in = Signal()
        bank_in = Signal()
        bank_out = Signal()
        held = Signal(2)  # frames that are written to the end and not yet read to the end
        complete = Signal()
        leave = Signal()
        m.d.comb += [
            self.i.ready.eq(held != 2),
            accept.eq(self.i.valid & self.i.ready),
            last_in.eq(word_in == self._words - 1),
            complete.eq(accept & last_in),
            leave.eq(release),
            # While no frame is complete, the frame that is read is the one that is written, and reading is behind.
            self.available.eq((held != 0) | (word != word_in)),
        ]
        with m.If(accept):
            m.d.sync += word_in.eq(Mux(last_in, 0, word_in + 1))
        with m.If(complete):
            m.d.sync += bank_in.eq(~bank_in)
        with m.If(leave):
            m.d.sync += bank_out.eq(~bank_out)
        with m.If(complete & ~leave):
            m.d.sync += held.eq(held + 1)
        with m.Elif(leave & ~complete):
            m.d.sync += held.eq(held - 1)

        bank_size = 1 << ceil_log2(self._words)
        payload = self.i.payload.as_value()
        m.submodules.frames = frames = memory.Memory(shape=len(payload), depth=bank_size + self._words, init=[])
        port_in = frames.write_port()
        port_out = frames.read_port(domain="sync")
        address_bits = ceil_log2(bank_size)
        m.d.comb += [
            port_in.addr.eq(Cat(word_in[:address_bits], bank_in)),
            port_in.data.eq(payload),
            port_in.en.eq(accept),
            port_out.addr.eq(Cat(word[:address_bits], bank_out)),
            port_out.en.eq(1),
            self.word.as_value().eq(port_out.data),
        ]
