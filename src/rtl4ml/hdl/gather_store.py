"""Storage of frames whose elements are read in any order, by each multiplier in its own."""

import numpy as np
from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Shape, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2
from numpy.typing import NDArray

from rtl4ml.errors import ConfigurationError
from rtl4ml.formats import Codes
from rtl4ml.hdl.fifo import beat_signature
from rtl4ml.hdl.tables import cycle_rows


class GatherStore(wiring.Component):
    """Takes frames of words and issues others, whose elements come from anywhere in the frame, in passes.

    Element (p, s) of an issued word is element s, modulo those of a word, of the word of the frame that a table says.
    There is a copy of these elements of the frame for every (p, s), but for those that the table never needs. There is
    room for two frames: the first word of a frame is issued an edge after its last word was written, or later, and the
    first word of frame k is taken one edge after the last issue of frame k - 2.

    Parameters:
        shape: shape of an element.
        words: int64 (rows, P, S), number of the word of the frame that each element of each issued word comes from.
        used: bool (P, S), elements that anybody reads; the others are 0.
        lengths: int64 (passes,), issued words of each pass.
        frame_words: words of a frame.
        lanes: elements of a word in, a divisor of S; None: S.

    Members:
        i: words in; `i.ready` depends on registers.
        permit: the consumer can take the next word; may depend on `first` and `last`, not on `available`.
        available: the next word is there.
        first: the next word is the first of a pass; a function of registers.
        last: the next word is the last of a pass; a function of registers.
        word: the word issued at the edge before, P * S elements.
    """

    def __init__(
        self,
        shape: Shape,
        words: Codes,
        used: NDArray[np.bool_],
        lengths: Codes,
        frame_words: int,
        lanes: int | None = None,
    ) -> None:
        if lengths.min() < 1 or lengths.sum() != len(words) or words.max() >= frame_words:
            raise ConfigurationError(
                f"Passes of a gather store must be of its {len(words)} words, which come from {frame_words}, not of "
                f"{lengths.tolist()}, from {words.max() + 1}"
            )
        self._shape = shape
        self._words = words
        self._used = used
        self._lengths = lengths
        self._frame_words = frame_words
        outputs, readers = used.shape
        self._lanes = lanes or readers
        super().__init__(
            {
                "i": In(beat_signature(shape, self._lanes)),
                "permit": In(1),
                "available": Out(1),
                "first": Out(1),
                "last": Out(1),
                "word": Out(data.ArrayLayout(shape, outputs * readers)),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        """Build the table of places, the copies, and the counters of frames."""
        m = Module()
        outputs, readers = self._used.shape
        issue = Signal()
        m.d.comb += issue.eq(self.available & self.permit)
        rows = len(self._words)
        ends = np.cumsum(self._lengths)
        last, first, frame_ends = (np.zeros(rows, np.int64) for _ in range(3))
        last[ends - 1] = first[ends - self._lengths] = frame_ends[-1] = 1
        places = [(p, s) for p, s in np.argwhere(self._used).tolist()]
        columns = [first, last, frame_ends, *(self._words[:, p, s] for p, s in places)]
        now_first, now_last, now_end, *numbers = cycle_rows(m, "places", columns, issue)
        m.d.comb += [self.first.eq(now_first), self.last.eq(now_last)]

        accept, last_in, complete, leave = (Signal(name=n) for n in ("accept", "last_in", "complete", "leave"))
        word_in = Signal(range(max(2, self._frame_words)))
        bank_in, bank_out = Signal(), Signal()
        held = Signal(2)  # frames that are written to the end and not yet read to the end
        m.d.comb += [
            self.i.ready.eq(held != 2),
            accept.eq(self.i.valid & self.i.ready),
            last_in.eq(word_in == self._frame_words - 1),
            complete.eq(accept & last_in),
            leave.eq(issue & now_end),
            self.available.eq(held != 0),
        ]
        with m.If(accept):
            m.d.sync += word_in.eq(Mux(last_in, 0, word_in + 1))
        m.d.sync += [bank_in.eq(bank_in ^ complete), bank_out.eq(bank_out ^ leave), held.eq(held + complete - leave)]

        bits = ceil_log2(self._frame_words)
        shown = {}
        for (p, s), number in zip(places, numbers, strict=True):
            frames = memory.Memory(shape=self._shape.width, depth=2 << bits, init=[])
            m.submodules[f"frames_{p}_{s}"] = frames
            port_in, port_out = frames.write_port(), frames.read_port(domain="sync")
            place = Signal(bits, name=f"place_{p}_{s}") if bits else Const(0, 0)
            if bits:
                m.d.comb += place.eq(number)
            m.d.comb += [
                port_in.addr.eq(Cat(word_in[:bits], bank_in)),
                port_in.data.eq(self.i.payload[s % self._lanes]),
                port_in.en.eq(accept),
                port_out.addr.eq(Cat(place, bank_out)),
                port_out.en.eq(1),
            ]
            shown[p * readers + s] = port_out.data
        width = self._shape.width
        value = self.word.as_value()
        for slot in range(outputs * readers):
            m.d.comb += value[slot * width : (slot + 1) * width].eq(shown.get(slot, 0))
        return m
