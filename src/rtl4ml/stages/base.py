"""What every stage is: a stream in, a stream out, a meaning in NumPy, and the numbers that fix its schedule."""

import abc
import re
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Cat, Module, Shape, Signal, Value
from amaranth.lib import wiring
from numpy.typing import NDArray

from rtl4ml.graph import Graph
from rtl4ml.hdl.fifo import beat_signature
from rtl4ml.hdl.tables import shape_of_range
from rtl4ml.hdl.width_adapter import WidthAdapter

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Side:
    """A stream into a stage that has several.

    Parameters:
        n: elements of a frame.
        lanes_in: elements of a beat.
        lanes: elements of a word behind the width adapter.
    """

    n: int
    lanes_in: int
    lanes: int

    @property
    def beats(self) -> int:
        """Beats of a frame."""
        return -(-self.n // self.lanes_in)


@dataclass(frozen=True)
class Timing:
    """When a stage moves its beats, as the parameters of one recurrence.

    A frame comes in beats, is cut into words by a width adapter where lanes differ, and goes through `rounds` rounds. A
    round has `words` words, issued `passes` times in order; each pass makes one beat of the output.

    Parameters:
        n_in: elements of a frame.
        lanes_in: elements of a beat in.
        lanes: elements of a word.
        rounds: rounds a frame.
        words: words a round.
        passes: passes over the words of a round.
        depth: edges from the issue of a pass' last word to the edge that writes its result into the FIFO.
        slots: beats that the FIFO holds; None: there is no FIFO and no back-pressure.
        others: streams in beside the first; a word of each is taken at the edge that takes one of the first.
    """

    n_in: int
    lanes_in: int
    lanes: int
    rounds: int
    words: int
    passes: int
    depth: int
    slots: int | None
    others: tuple[Side, ...] = ()

    @property
    def sides(self) -> tuple[Side, ...]:
        """All streams in."""
        return (Side(self.n_in, self.lanes_in, self.lanes), *self.others)

    @property
    def beats_in(self) -> int:
        """Beats of a frame in, of the first stream."""
        return -(-self.n_in // self.lanes_in)

    @property
    def beats_out(self) -> int:
        """Beats of a frame out."""
        return self.rounds * self.passes

    @property
    def issues(self) -> int:
        """Words issued a frame: the stage's interval, if its beats are fewer."""
        return self.rounds * self.words * self.passes


class Stage(abc.ABC):
    """Hardware of one node or of several, and its meaning.

    Attributes:
        name: a plain identifier.
        operators: names of the graph's nodes that the stage computes.
        n_in: elements of a frame in; of the first stream where there are several.
        lanes_in: elements of a beat in, likewise.
        in_shape: shape of an element in, likewise.
        other_shapes: shapes of an element of the streams `i1`, `i2` and so on beside the first.
        n_out: elements of a frame out.
        lanes_out: elements of a beat out.
        out_shape: shape of an element out.
        multipliers: multipliers in the hardware.
        timing: numbers for the schedule.
    """

    name: str
    operators: tuple[str, ...]
    n_in: int
    lanes_in: int
    in_shape: Shape
    other_shapes: tuple[Shape, ...] = ()
    n_out: int
    lanes_out: int
    out_shape: Shape
    multipliers: int
    timing: Timing

    @abc.abstractmethod
    def component(self) -> wiring.Component:
        """Build the hardware: a new component with streams `i` and `o`, and `i1`, `i2` where there are more."""

    @abc.abstractmethod
    def evaluate(self, *codes: Codes) -> Codes:
        """Compute codes (N, n_out) from codes (N, n_in), one array a stream, through the stage's datapaths.

        Raises:
            ConfigurationError: a word leaves the range it was built for.
        """


def input_name(index: int) -> str:
    """Name of a stage's stream in: `i`, `i1`, `i2`."""
    return f"i{index}" if index else "i"


def identifier(name: str) -> str:
    """A plain identifier made of a node's name.

    >>> identifier("/layers.0/MatMul")
    'layers_0_MatMul'
    """
    plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
    return plain if plain and not plain[0].isdigit() else f"node_{plain}".rstrip("_")


def edge_shape(graph: Graph, tensor: str) -> Shape:
    """Shape of an element of a tensor on a wire: that of its format at the borders, of its range inside."""
    found = graph.tensors[tensor]
    if tensor in (graph.input, graph.output):
        return shape_of_range(found.format.low, found.format.high)
    return shape_of_range(*found.range)


def adapted_input(m: Module, stage_input: wiring.PureInterface, shape: Shape, timing: Timing) -> wiring.PureInterface:
    """The stream of words of a stage: its input, behind a width adapter where their lanes differ."""
    return adapt(m, "adapter", stage_input, shape, timing.sides[0])


def adapt(m: Module, name: str, stream: wiring.PureInterface, shape: Shape, side: Side) -> wiring.PureInterface:
    """A stream of words made of a stream of beats, through a width adapter of that name where their lanes differ."""
    if side.lanes_in == side.lanes:
        return stream
    m.submodules[name] = adapter = WidthAdapter(shape, side.n, side.lanes_in, side.lanes)
    wiring.connect(m, stream, adapter.i)
    return adapter.o


def stage_signature(stage: Stage) -> dict[str, wiring.Member]:
    """Members of a stage's component: its streams."""
    shapes = (stage.in_shape, *stage.other_shapes)
    sides = zip(shapes, stage.timing.sides, strict=True)
    members = {input_name(k): wiring.In(beat_signature(shape, side.lanes_in)) for k, (shape, side) in enumerate(sides)}
    return members | {"o": wiring.Out(beat_signature(stage.out_shape, stage.lanes_out))}


def joined_words(m: Module, component: wiring.Component, stage: Stage) -> tuple[Value, list[wiring.PureInterface]]:
    """Words of all streams of a stage, which :func:`take_together` moves.

    Returns:
        A bit that is high while a word of every stream is there, and the streams of words.
    """
    shapes = (stage.in_shape, *stage.other_shapes)
    streams = []
    for k, (shape, side) in enumerate(zip(shapes, stage.timing.sides, strict=True)):
        stream = wiring.flipped(getattr(component, input_name(k)))
        streams.append(adapt(m, f"adapter{k}" if k else "adapter", stream, shape, side))
    valid = Signal(name="words_valid")
    m.d.comb += valid.eq(Cat(*(stream.valid for stream in streams)).all())
    return valid, streams


def take_together(m: Module, streams: list[wiring.PureInterface], permit: Value) -> None:
    """Move a word of every stream at once: each is ready while `permit` is high and the others are valid."""
    for stream in streams:
        others = [other.valid for other in streams if other is not stream]
        m.d.comb += stream.ready.eq(Cat(permit, *others).all())
