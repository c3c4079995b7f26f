"""What every stage is: a stream in, a stream out, a meaning in NumPy, and the numbers that fix its schedule."""

import abc
import re
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Module, Shape
from amaranth.lib import wiring
from numpy.typing import NDArray

from rtl4ml.graph import Graph
from rtl4ml.hdl.tables import shape_of_range
from rtl4ml.hdl.width_adapter import WidthAdapter

Codes = NDArray[np.int64]


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
    """

    n_in: int
    lanes_in: int
    lanes: int
    rounds: int
    words: int
    passes: int
    depth: int
    slots: int | None

    @property
    def beats_in(self) -> int:
        """Beats of a frame in."""
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
        n_in: elements of a frame in.
        lanes_in: elements of a beat in.
        in_shape: shape of an element in.
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
    n_out: int
    lanes_out: int
    out_shape: Shape
    multipliers: int
    timing: Timing

    @abc.abstractmethod
    def component(self) -> wiring.Component:
        """Build the hardware: a new component with streams `i` and `o`."""

    @abc.abstractmethod
    def evaluate(self, codes: Codes) -> Codes:
        """Compute codes (N, n_out) from codes (N, n_in) through the stage's datapaths.

        Raises:
            ConfigurationError: a word leaves the range it was built for.
        """


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
    if timing.lanes_in == timing.lanes:
        return stage_input
    m.submodules.adapter = adapter = WidthAdapter(shape, timing.n_in, timing.lanes_in, timing.lanes)
    wiring.connect(m, stage_input, adapter.i)
    return adapter.o
