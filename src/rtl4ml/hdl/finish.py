"""What follows accumulators: a function on as many lanes as the accumulators, or on fewer, one beat after the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Module, Mux, Signal, Value
from numpy.typing import NDArray

from rtl4ml.datapath.words import Datapath, Word
from rtl4ml.errors import ConfigurationError
from rtl4ml.hdl.tables import cycle_rows, shape_of_range

Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Finish:
    """What follows the accumulators: a function per lane, with parameters that differ between beats.

    Parameters:
        build: adds the function to a datapath: (datapath, lane, accumulator, parameters by name) -> output word.
            Parameters that are the same in all beats come as constants.
        parameters: for each lane the parameters by name, int64 (rows,) each: beat b has those of row b % rows.
        beats: int64 (H,), beats that the accumulators of a group make; the rest of them is no output. None: one each.
    """

    build: Callable[[Datapath, int, Word, Mapping[str, Word]], Word]
    parameters: Sequence[Mapping[str, Codes]]
    beats: Codes | None = None

    @property
    def lanes(self) -> int:
        """F, outputs a beat."""
        return len(self.parameters)


def beat_places(shape: tuple[int, int, int, int], lanes: int, beats: Codes) -> Codes:
    """Where the outputs of each beat come from: int64 (beats, F), numbers `h * P + p` of accumulators.

    Args:
        shape: (H, G, P, S) of the weights.
        lanes: F, outputs a beat.
        beats: int64 (H,), beats that the accumulators of a group make.

    Raises:
        ConfigurationError: the accumulators of a group do not fill whole beats, or make more of them than a group has
            words: they would have to wait.
    """
    groups, words, outputs, _ = shape
    if outputs % lanes or beats.shape != (groups,) or beats.min() < 1 or beats.max() * lanes > outputs:
        raise ConfigurationError(
            f"Beats of {lanes} lanes must divide {outputs} accumulators, 1 to {outputs // lanes} beats for each of "
            f"{groups} groups, not {beats.tolist()}"
        )
    if beats.max() > words:
        raise ConfigurationError(f"Beats of a group must be no more than its {words} words, not {beats.max()}")
    firsts = [group * outputs + beat * lanes for group, count in enumerate(beats.tolist()) for beat in range(count)]
    return np.array(firsts, np.int64)[:, None] + np.arange(lanes)


def hand_over(
    m: Module, final: Value, totals: Sequence[Value], ranges: Sequence[tuple[int, int]], lanes: int, beats: Codes
) -> tuple[Value, list[Value]]:
    """Give accumulators to fewer lanes: a copy of them moves on by the lanes of a beat at every edge.

        final           t       the accumulators of a group are there
        beat b          t + 1 + b

    Args:
        m: module that the registers are added to.
        final: the accumulators hold the results of a group, for this cycle only; the next group follows when the beats
            of this one are through, or later. Not at the first edge after a reset.
        totals: P accumulators.
        ranges: of each accumulator's results.
        lanes: F, which divide P.
        beats: int64 (H,), beats of each group.

    Returns:
        A flag that a beat is there, and the results on its lanes.
    """
    outputs = len(totals)
    (count,) = cycle_rows(m, "beats", [beats], final)
    left = Signal(range(int(beats.max()) + 1), name="beats_left")
    with m.If(final):
        m.d.sync += left.eq(count)
    with m.Elif(left != 0):
        m.d.sync += left.eq(left - 1)
    copies: list[Signal] = []
    for p in reversed(range(outputs)):
        # A place holds its own result and those that pass through it.
        later = ranges[p::lanes]
        shape = shape_of_range(min(low for low, _ in later), max(high for _, high in later))
        copy = Signal(shape, name=f"result_{p}", reset_less=True)
        m.d.sync += copy.eq(Mux(final, totals[p], copies[-lanes]) if p + lanes < outputs else totals[p])
        copies.append(copy)
    valid = Signal(name="beat_valid")
    m.d.comb += valid.eq(left != 0)
    return valid, list(reversed(copies[-lanes:]))
