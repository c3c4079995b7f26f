"""What every stage is: a stream in, a stream out, a meaning in NumPy, and the events that fix its schedule."""

import abc
import re
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from amaranth.hdl import Cat, Module, Shape, Signal, Value
from amaranth.lib import wiring
from numpy.typing import NDArray

from rtl4ml.graph import Graph
from rtl4ml.hdl.fifo import beat_signature
from rtl4ml.hdl.tables import shape_of_range
from rtl4ml.hdl.weight_ram import Table
from rtl4ml.hdl.width_adapter import WidthAdapter
from rtl4ml.stages.timing import Side, Timing

Codes = NDArray[np.int64]


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
        timing: events for the schedule.
        logic_products: products that are made of lookup tables and adders instead of a multiplier.
        memory_bits: bits that each kind of memory holds: weights, line buffers and so on.
        tables: of weights and biases behind the port that loads them at run time, or None.
        address_bits: of that port; planning widens it when there are more stages.
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
    logic_products: int = 0
    memory_bits: Mapping[str, int] = MappingProxyType({})
    tables: tuple[Table, Table] | None = None
    address_bits: int = 1

    @abc.abstractmethod
    def component(self) -> wiring.Component:
        """Build the hardware: a new component with streams `i` and `o`, and `i1`, `i2` where there are more."""

    @abc.abstractmethod
    def evaluate(self, *codes: Codes) -> Codes:
        """Compute codes (N, n_out) from codes (N, n_in), one array a stream, through the stage's datapaths.

        Raises:
            ConfigurationError: a word leaves the range it was built for.
        """


def fifo_bits(stage: Stage) -> int:
    """Bits of memory of the FIFO at a stage's output; its timing, lanes and shape are known."""
    return (stage.timing.slots or 0) * stage.lanes_out * stage.out_shape.width


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
