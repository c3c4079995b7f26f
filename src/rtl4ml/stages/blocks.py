"""Nodes that treat every block of a frame alike (pixels, as a rule): one block a beat through one datapath."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from rtl4ml.datapath.delays import Clock
from rtl4ml.errors import ConfigurationError
from rtl4ml.formats import Codes, spread
from rtl4ml.graph import Graph, Operator, Tensor
from rtl4ml.operators import Add, Concat, Conv, Extreme, Gather, Multiply, Requantize, Top, Window
from rtl4ml.stages.base import fifo_bits
from rtl4ml.stages.region import RegionStage
from rtl4ml.stages.timing import Side, replayed
from rtl4ml.staircase import Form


class BlocksStage(RegionStage):
    """A region on a block of the frame instead of all of it: choices of channels, decisions of pixels, staircases.

    Every tensor is `blocks` blocks of equally many elements, and every node makes block k of blocks k, the same way for
    all k. A block of every tensor that comes in is a beat; so is the block that leaves.

    Parameters:
        graph: where the nodes are.
        names: of the nodes in topological order; the last one's output is the stage's.
        blocks: of a frame, a beat each.
        clock_mhz: clock frequency that the datapath is cut for, in MHz or with a device.
        forms: of the Requantize nodes' staircases by node name.
        lanes_in: elements a beat in, for each tensor that comes in; None: a block.

    Raises:
        ConfigurationError: a tensor does not split into the blocks, or a node does not treat them alike.
    """

    def __init__(
        self,
        graph: Graph,
        names: Sequence[str],
        blocks: int,
        clock_mhz: float | Clock,
        forms: Mapping[str, Form],
        lanes_in: Sequence[int] | None = None,
    ) -> None:
        super().__init__(graph_of_block(graph, names, blocks, forms), names, clock_mhz, forms, True, lanes_in)
        self.blocks = blocks
        self.n_in, self.n_out = blocks * self.n_in, blocks * self.n_out
        sides = [Side(blocks * side.n, side.lanes_in, side.lanes) for side in self.timing.sides]
        self.timing = replayed(sides, depth=self.timing.depth, slots=self.timing.slots, rounds=blocks)
        self.memory_bits = {"fifo": fifo_bits(self)}

    def evaluate(self, *codes: Codes) -> Codes:
        """Compute codes (N, n_out) from codes (N, n_in), one array a tensor that comes in, through the datapath."""
        samples = len(codes[0])
        return super().evaluate(*(part.reshape(samples * self.blocks, -1) for part in codes)).reshape(samples, -1)


def graph_of_block(graph: Graph, names: Sequence[str], blocks: int, forms: Mapping[str, Form]) -> Graph:
    """The graph with some nodes and their tensors cut down to one of equal blocks; limits hold for all blocks.

    Raises:
        ConfigurationError: a tensor does not split into the blocks, or a node does not treat them alike.
    """
    chosen = [operator for operator in graph.operators if operator.name in names]
    touched = dict.fromkeys(name for operator in chosen for name in (*operator.inputs, operator.output))
    tensors = dict(graph.tensors)
    for name in touched:
        tensor = graph.tensors[name]
        if tensor.size % blocks:
            raise ConfigurationError(f"Tensor {name!r} of {tensor.size} elements must split into {blocks} blocks")
        tensors[name] = _block_of_tensor(tensor, blocks)
    parts = {operator.name: _block_of_node(graph, operator, blocks, forms) for operator in chosen}
    operators = tuple(parts.get(operator.name, operator) for operator in graph.operators)
    return replace(graph, operators=operators, tensors=tensors)


def _block_of_tensor(tensor: Tensor, blocks: int) -> Tensor:
    size = tensor.size // blocks
    zero = _block_of_array(tensor.format.zero_point, size, f"Zero points of tensor {tensor.name!r}")
    low, high = tensor.lows.reshape(blocks, size).min(axis=0), tensor.highs.reshape(blocks, size).max(axis=0)
    return Tensor(tensor.name, (size,), replace(tensor.format, zero_point=zero), low, high)


def _block_of_array(array: Codes, size: int, what: str) -> Codes:
    """A periodic array as one that repeats with every block."""
    if array.size == 1 or size % array.size == 0:
        return array
    rows = spread(array, int(np.lcm(array.size, size))).reshape(-1, size)
    if np.any(rows != rows[0]):
        raise ConfigurationError(f"{what} must be alike in all blocks of {size} elements")
    return rows[0]


def _block_of_node(graph: Graph, operator: Operator, blocks: int, forms: Mapping[str, Form]) -> Operator:
    """A node that makes one block of one block."""
    size = graph.tensors[operator.output].size // blocks
    match operator:
        case Requantize():
            if size % forms[operator.name].rows:
                raise ConfigurationError(
                    f"Functions of node {operator.name!r} (Requantize) must be alike in all blocks of {size} elements, "
                    f"not {forms[operator.name].rows}"
                )
            return operator
        case Multiply():
            return operator
        case Add() | Extreme():
            what = f"Factors of node {operator.name!r} ({operator.kind})"
            left, right = (_block_of_array(array, size, what) for array in (operator.left, operator.right))
            if isinstance(operator, Add):
                return replace(operator, left=left, right=right)
            zero = _block_of_array(operator.format.zero_point, size, what)
            return replace(operator, left=left, right=right, format=replace(operator.format, zero_point=zero))
        case Top() | Concat():
            if operator.blocks % blocks == 0:
                return replace(operator, shape=(size,), blocks=operator.blocks // blocks)
        case Gather():
            read = graph.tensors[operator.inputs[0]].size // blocks
            rows = operator.indices.reshape(blocks, size)
            rows = np.where(rows < 0, -1, rows - np.arange(blocks)[:, None] * read)
            if np.all(rows == rows[0]) and rows.max() < read and rows.min() >= -1:
                return replace(operator, indices=rows[0], shape=(size,))
        case Conv():
            window = operator.window
            plain = window.kernel == window.stride == (1, 1) and not any(window.pads)
            if plain and window.pixels_in % blocks == 0:
                return replace(operator, window=Window(window.pixels_in // blocks, 1, (1, 1)), shape=(size,))
    raise ConfigurationError(
        f"Node {operator.name!r} ({operator.kind}) must make each of {blocks} blocks of one block, in the same way"
    )
