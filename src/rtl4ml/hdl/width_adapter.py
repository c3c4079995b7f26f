"""Conversion of a stream of frames from some lanes to other lanes."""

from math import gcd

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl4ml.errors import ConfigurationError
from rtl4ml.hdl.fifo import beat_signature


def words_before(beat: int, n: int, lanes_in: int, lanes_out: int) -> int:
    """Words of `lanes_out` elements that are complete after the first `beat` beats of a frame of `n` elements.

    The last word of a frame is complete with the frame's last element, however few elements it has.
    """
    if beat * lanes_in >= n:
        return -(-n // lanes_out)
    return beat * lanes_in // lanes_out


def words_awaited(beat: int, n: int, lanes_in: int, lanes_out: int) -> int:
    """Words of the frame that must have been handed over, at the same edge at the latest, when a beat of it is taken.

    All that are complete before; -1 for a first beat that need not wait for the last word of the frame before, because
    the last beat of that frame completed two words and the second may stay.
    """
    if beat == 0 and _ends_double(n, lanes_in, lanes_out):
        return -1
    return words_before(beat, n, lanes_in, lanes_out)


def _ends_double(n: int, lanes_in: int, lanes_out: int) -> bool:
    """Whether the last of several narrow beats of a frame completes a word and is itself the begin of the last word."""
    before = words_before(-(-n // lanes_in) - 1, n, lanes_in, lanes_out)
    return lanes_in < lanes_out and -(-n // lanes_out) - before == 2


class WidthAdapter(wiring.Component):
    """Cuts frames of `n` elements from beats of `lanes_in` into words of `lanes_out` elements; any ratio.

    Every frame begins with a new beat and a new word. The surplus lanes of the last beat are ignored, those of the last
    word are 0. No bubbles: a frame takes as many cycles as it has beats or words, whichever are more.

    Timing: word w is handed over at the earliest one edge after the beat that holds its last element was accepted;
    beat i is accepted at the earliest with the handover (at the same edge) of the last word that was complete before,
    with one exception (:func:`words_awaited`).

        lanes_in = 2, lanes_out = 3, n = 5      edge    0    1    2    3    4
                                                beat    ab   cd   e.   AB   CD
                                                word              abc  de0

    Parameters:
        shape: shape of an element.
        n: elements a frame.
        lanes_in: elements of a beat in.
        lanes_out: elements of a word out.

    Members:
        i: beats in; `i.ready` may depend on `o.ready`.
        o: words out; `o.valid` is a function of registers.
    """

    def __init__(self, shape: Shape, n: int, lanes_in: int, lanes_out: int) -> None:
        if min(n, lanes_in, lanes_out) < 1:
            raise ConfigurationError(
                f"Elements and lanes of a width adapter must be 1 or more, not n={n}, in={lanes_in}, out={lanes_out}"
            )
        self._shape = Shape.cast(shape)
        self._n = n
        self._lanes_in = lanes_in
        self._lanes_out = lanes_out
        super().__init__({"i": In(beat_signature(shape, lanes_in)), "o": Out(beat_signature(shape, lanes_out))})

    @property
    def capacity(self) -> int:
        """Elements held when full."""
        if self._n <= self._lanes_out:
            return -(-self._n // self._lanes_in) * self._lanes_in
        if _ends_double(self._n, self._lanes_in, self._lanes_out):
            return self._lanes_in + self._lanes_out
        return self._lanes_in + self._lanes_out - gcd(self._lanes_in, self._lanes_out)

    def elaborate(self, platform: object) -> Elaboratable:
        """Build one buffer whose front is the word out.

        Before beat i is taken, all complete words have left, so the rest of an incomplete word fills the positions
        below i * lanes_in % lanes_out and the beat goes there: a position that repeats every few beats, the phase.
        """
        m = Module()
        n, lanes_in, lanes_out = self._n, self._lanes_in, self._lanes_out
        width = self._shape.width
        beats = -(-n // lanes_in)
        words = -(-n // lanes_out)
        phases = min(lanes_out // gcd(lanes_in, lanes_out), beats)

        pending = Signal(range(max(2, -(-lanes_in // lanes_out) + 2)))  # complete words held
        accept = Signal()
        handover = Signal()
        m.d.comb += [
            accept.eq(self.i.valid & self.i.ready),
            handover.eq(self.o.valid & self.o.ready),
            self.o.valid.eq(pending != 0),
            self.i.ready.eq((pending == 0) | ((pending == 1) & self.o.ready)),
        ]

        last_beat = Signal()
        write: Value = accept
        if beats == 1:
            m.d.comb += last_beat.eq(1)
        else:
            beat = Signal(range(beats))
            m.d.comb += last_beat.eq(beat == beats - 1)
            with m.If(accept):
                m.d.sync += beat.eq(Mux(last_beat, 0, beat + 1))
            if _ends_double(n, lanes_in, lanes_out):
                stays = Signal()  # the last word of the frame before, while the first beat is taken
                m.d.comb += stays.eq((beat == 0) & (pending == Mux(handover, 2, 1)))
                write = accept & ~stays
                with m.If((beat == 0) & ((pending == 1) | ((pending == 2) & self.o.ready))):
                    m.d.comb += self.i.ready.eq(1)
        phase = Signal(range(max(phases, 2)))
        if phases > 1:
            with m.If(accept):
                m.d.sync += phase.eq(Mux(last_beat | (phase == phases - 1), 0, phase + 1))

        beat_in = self.i.payload.as_value()
        buffer = Signal(self.capacity * width, reset_less=True)
        with m.If(handover):
            m.d.sync += pending.eq(pending - 1)
            if words > 1 and self.capacity > lanes_out:
                m.d.sync += buffer.eq(buffer[lanes_out * width :])
        if write is not accept:
            with m.If(accept & stays):
                start = lanes_out * width
                m.d.sync += [buffer[start : start + lanes_in * width].eq(beat_in), pending.eq(1)]
        with m.If(write):
            if words == 1:
                # The frame comes in at the top; with its last beat the first stands at the bottom.
                m.d.sync += [buffer.eq(Cat(buffer, beat_in)[lanes_in * width :]), pending.eq(0)]
            elif phases == 1:
                m.d.sync += [buffer[: lanes_in * width].eq(beat_in), pending.eq(lanes_in // lanes_out)]
            else:
                with m.Switch(phase):
                    for index in range(phases):
                        with m.Case(index):
                            start = index * lanes_in % lanes_out * width
                            ends = (index + 1) * lanes_in // lanes_out - index * lanes_in // lanes_out
                            m.d.sync += [buffer[start : start + lanes_in * width].eq(beat_in), pending.eq(ends)]
        # The last beat completes the word begun and those it fills; fewer lanes of it may carry elements.
        with m.If(accept & last_beat):
            m.d.sync += pending.eq(words - words_before(beats - 1, n, lanes_in, lanes_out))

        front = buffer[: lanes_out * width]
        used = n - (words - 1) * lanes_out  # lanes of the last word that carry elements
        if used == lanes_out:
            m.d.comb += self.o.payload.as_value().eq(front)
        elif words == 1:
            m.d.comb += self.o.payload.as_value().eq(front[: used * width])
        else:
            word = Signal(range(words))
            with m.If(handover):
                m.d.sync += word.eq(Mux(word == words - 1, 0, word + 1))
            kept = front[used * width :]
            m.d.comb += self.o.payload.as_value().eq(Cat(front[: used * width], Mux(word == words - 1, 0, kept)))
        return m
