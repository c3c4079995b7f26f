"""What follows running sums and maxima of channels: a function on a word's lanes, whose parameters differ by word."""

from collections.abc import Mapping, Sequence

import numpy as np
from amaranth.hdl import Module, Value

from rtl4ml.datapath import nodes as kinds
from rtl4ml.datapath.cost import live_nodes
from rtl4ml.datapath.delays import Clock
from rtl4ml.datapath.lowering import lower
from rtl4ml.datapath.pipeline import cut_at
from rtl4ml.datapath.words import Datapath, Word
from rtl4ml.errors import ConfigurationError
from rtl4ml.formats import Codes, spread
from rtl4ml.graph import Graph, Operator
from rtl4ml.hdl.tables import cycle_rows
from rtl4ml.operators.conv import channel_limits
from rtl4ml.stages.forms import LaneForms
from rtl4ml.staircase import Form


class ChannelFunction:
    """A datapath on the words of a pixel, `lanes` channels each; word k of the pixel is chunk k.

    Its results are in `o_0`, `o_1`, ... Numbers that differ between chunks are inputs, in `columns` by name, from ROM.

    Parameters:
        channels: of a pixel.
        lanes: of a word; they divide the channels.
    """

    def __init__(self, channels: int, lanes: int) -> None:
        self.lanes = lanes
        self.chunks = channels // lanes
        self.datapath = Datapath()
        self._columns: dict[str, Codes] = {}

    def number(self, name: str, lane: int, values: Codes) -> Word:
        """A number of a lane: a constant, or one a chunk.

        Args:
            name: of the number.
            lane: which.
            values: int64 (k,): of channel c at c % k.
        """
        column = spread(values, self.chunks * self.lanes).reshape(self.chunks, self.lanes)[:, lane]
        return self._number(f"{name}_{lane}", column)

    def _number(self, name: str, column: Codes) -> Word:
        low, high = int(column.min()), int(column.max())
        if low == high:
            return self.datapath.constant(low)
        self._columns[name] = spread(column, self.chunks)
        return self.datapath.input(name, low, high)

    def finish(
        self, graph: Graph, words: Sequence[Word], made: str, requantize: Operator | None, form: Form | None
    ) -> None:
        """Name the results: words of a tensor, with the limits that the graph knows, through a staircase if any.

        Args:
            graph: where the tensors are.
            words: one a lane.
            made: tensor that the words are of.
            requantize: the Requantize node that follows, or None.
            form: of its staircase, or None.
        """
        channels = self.chunks * self.lanes
        for k, low, high in self._limits(graph, made):
            words = [*words[:k], self.datapath.narrow(words[k], low, high), *words[k + 1 :]]
        if requantize is None:
            form, target = None, made
        else:
            target = requantize.output
        forms = LaneForms(form, channels, self.lanes, *channel_limits(graph.tensors[target], channels))
        for lane, columns in enumerate(forms.parameters):
            parameters = {name: self._number(f"form_{name}_{lane}", column) for name, column in columns.items()}
            self.datapath.output(f"o_{lane}", forms.build(self.datapath, lane, words[lane], parameters))
        self._columns = {name: values for name, values in self._columns.items() if name in self.datapath.inputs}

    def _limits(self, graph: Graph, tensor: str) -> list[tuple[int, int, int]]:
        """Lane, lowest and highest code in it."""
        limits = channel_limits(graph.tensors[tensor], self.chunks * self.lanes)
        low, high = (limit.reshape(self.chunks, self.lanes) for limit in limits)
        return [(k, int(low[:, k].min()), int(high[:, k].max())) for k in range(self.lanes)]

    def close(self, clock_mhz: float | Clock) -> None:
        """Cut the datapath; nothing is added to it from now on."""
        self.pipeline = cut_at(self.datapath, clock_mhz)

    @property
    def depth(self) -> int:
        """Register levels."""
        return self.pipeline.depth

    @property
    def multipliers(self) -> int:
        """Multipliers in it."""
        return sum(self.datapath.nodes[index].kind is kinds.MULTIPLY for index in live_nodes(self.datapath))

    @property
    def table_bits(self) -> int:
        """Bits of the numbers in ROM."""
        return sum(self.chunks * self.datapath.inputs[name].bits for name in self._columns)

    def evaluate(self, inputs: Mapping[str, Codes]) -> Codes:
        """Results of the words of some pixels.

        Args:
            inputs: int64 (pixels, chunks), by name.

        Returns:
            int64 (pixels, chunks * lanes).
        """
        columns = {name: values[None, :] for name, values in self._columns.items()}
        results = self.datapath.evaluate({**inputs, **columns})
        shape = next(iter(inputs.values())).shape
        lanes = [np.broadcast_to(results[f"o_{lane}"], shape) for lane in range(self.lanes)]
        return np.stack(lanes, axis=2).reshape(shape[0], -1)

    def build(self, m: Module, inputs: Mapping[str, Value], advance: Value) -> list[Value]:
        """Add the hardware; return the results of words, `depth` edges later.

        Args:
            m: module that it is added to.
            inputs: values by name; those that the datapath ignores do no harm.
            advance: the inputs are those of a word: the next word is of the next chunk.
        """
        numbers = cycle_rows(m, "parameters", list(self._columns.values()), advance)
        values = {**inputs, **dict(zip(self._columns, numbers, strict=True))}
        used = {name: value for name, value in values.items() if name in self.datapath.inputs}
        m.submodules.finish = finish = Module()
        outputs = lower(finish, self.datapath, self.pipeline, used)
        return [outputs[f"o_{lane}"] for lane in range(self.lanes)]


def following_form(graph: Graph, name: str, requantize: str | None, form: Form | None) -> Operator | None:
    """The Requantize node behind a node, which alone reads it; None without one.

    Raises:
        ConfigurationError: form and node are not given together, or others read what comes between.
    """
    if (form is None) != (requantize is None):
        raise ConfigurationError(f"Form and Requantize of node {name!r} must be given together, not one of them")
    if requantize is None:
        return None
    nodes = {operator.name: operator for operator in graph.operators}
    readers = graph.consumers(nodes[name].output)
    if [reader.name for reader in readers] != [requantize] or nodes[name].output == graph.output:
        raise ConfigurationError(f"Node {requantize!r} alone must read the output of node {name!r}")
    return nodes[requantize]
