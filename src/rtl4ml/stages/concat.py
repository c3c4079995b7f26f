"""Concat of streams, block by block: one stream after the other, or blocks side by side in wide beats."""

from collections.abc import Sequence

import numpy as np
from amaranth.hdl import Elaboratable, Module, Mux, Signal
from amaranth.lib import wiring

from rtl4ml.errors import ConfigurationError
from rtl4ml.graph import Graph
from rtl4ml.hdl.fifo import CreditedFifo
from rtl4ml.operators import Concat
from rtl4ml.stages.base import (
    Codes,
    Stage,
    adapt,
    edge_shape,
    fifo_bits,
    identifier,
    input_name,
    joined_words,
    stage_signature,
    take_together,
)
from rtl4ml.stages.timing import NEVER, Process, Side, Timing, Wait, adapter, credits, replayed

SLOTS = 2
"""Beats that the FIFO holds: enough for the full rate, so that no `ready` passes through."""


class ConcatStage(Stage):
    """Blocks of several streams in turn, a beat a cycle.

    Every node input is a stream of its own, also where two of them are one tensor. The lanes say how blocks are joined:

    - lanes that divide a block of every input: words of so many elements go through, all of a block of the first
      stream, then all of a block of the second, and so on.
    - lanes that are as many as one or several whole blocks of the output: a word of every stream, of as many blocks of
      it, is taken at once, and their blocks stand side by side in the beat out. The blocks fill whole beats.

    Parameters:
        graph: where the node is.
        name: of a Concat node.
        lanes: elements a beat out.
        lanes_in: elements a beat in, one number for each input.

    Raises:
        ConfigurationError: another kind of node, or lanes that are neither.
    """

    def __init__(self, graph: Graph, name: str, lanes: int, lanes_in: Sequence[int]) -> None:
        node = next(operator for operator in graph.operators if operator.name == name)
        if not isinstance(node, Concat):
            raise ConfigurationError(f"Node {name!r} must be a Concat, not a {node.kind}")
        tensors = [graph.tensors[source] for source in node.inputs]
        self.blocks = node.blocks
        self.block_sizes = sizes = [tensor.size // node.blocks for tensor in tensors]
        together = lanes // sum(sizes)  # blocks a beat
        self.side_by_side = lanes == together * sum(sizes) and together > 0 and node.blocks % together == 0
        if not self.side_by_side and (lanes < 1 or any(size % lanes for size in sizes)):
            raise ConfigurationError(
                f"Lanes of node {name!r} must divide blocks of {sizes} elements, or be whole blocks of all of them of "
                f"which {node.blocks} fill whole beats, not {lanes}"
            )
        self.together = together
        self.name = identifier(name)
        self.operators = (name,)
        self.n_in, self.lanes_in = tensors[0].size, lanes_in[0]
        self.in_shape, *others = (edge_shape(graph, source) for source in node.inputs)
        self.other_shapes = tuple(others)
        self.n_out, self.lanes_out = sum(tensor.size for tensor in tensors), lanes
        self.out_shape = edge_shape(graph, node.output)
        self.multipliers = 0
        words = [together * size for size in sizes] if self.side_by_side else [lanes] * len(sizes)
        sides = [Side(t.size, beat, word) for t, beat, word in zip(tensors, lanes_in, words, strict=True)]
        if self.side_by_side:
            self.timing = replayed(sides, depth=0, slots=SLOTS, rounds=node.blocks // together)
        else:
            self.timing = self._in_turn(sides)
        self.memory_bits = {"fifo": fifo_bits(self)}

    @property
    def turns(self) -> Codes:
        """Stream of each word of a block, when blocks come in turn; int64 (words,)."""
        return np.repeat(np.arange(len(self.block_sizes)), np.array(self.block_sizes) // self.lanes_out)

    def _in_turn(self, sides: Sequence[Side]) -> Timing:
        """Every beat takes a word of the stream whose turn it is."""
        turns = np.tile(self.turns, self.blocks)
        beats = np.arange(len(turns))
        transfers: list[Process] = []
        offers: list[Wait] = []
        for number, side in enumerate(sides):
            places = np.flatnonzero(turns == number)
            transfer, offered = adapter(side, number, Wait("issue", places), len(turns))
            transfers.append(transfer)
            index = np.full(len(turns), NEVER)
            index[places] = offered.index
            offers.append(Wait(offered.on, index, offered.delay))
        issue = Process("issue", len(turns), (*credits(beats, SLOTS), *offers))
        return Timing(tuple(sides), (*transfers, issue), Wait("issue", beats, 1), len(turns), 0, SLOTS)

    def component(self) -> wiring.Component:
        """Build the hardware."""
        return _SideBySide(self) if self.side_by_side else _InTurn(self)

    def evaluate(self, *codes: Codes) -> Codes:
        """The codes (N, n) of all streams, block by block."""
        parts = [part.reshape(len(part), self.blocks, -1) for part in codes]
        return np.concatenate(parts, axis=2).reshape(len(codes[0]), -1)


class _SideBySide(wiring.Component):
    def __init__(self, stage: ConcatStage) -> None:
        self._stage = stage
        super().__init__(stage_signature(stage))

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        stage = self._stage
        valid, streams = joined_words(m, self, stage)
        m.submodules.fifo = fifo = CreditedFifo(stage.out_shape, stage.lanes_out, SLOTS)
        wiring.connect(m, fifo.o, wiring.flipped(self.o))
        take_together(m, streams, fifo.grant)
        issue = Signal()
        m.d.comb += [issue.eq(valid & fifo.grant), fifo.spend.eq(issue), fifo.i_valid.eq(issue)]
        elements = [
            stream.payload[block * size + k]
            for block in range(stage.together)
            for stream, size in zip(streams, stage.block_sizes, strict=True)
            for k in range(size)
        ]
        m.d.comb += [fifo.i_payload[lane].eq(element) for lane, element in enumerate(elements)]
        return m


class _InTurn(wiring.Component):
    def __init__(self, stage: ConcatStage) -> None:
        self._stage = stage
        super().__init__(stage_signature(stage))

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        stage = self._stage
        shapes = (stage.in_shape, *stage.other_shapes)
        streams = [
            adapt(m, f"adapter{k}", wiring.flipped(getattr(self, input_name(k))), shape, side)
            for k, (shape, side) in enumerate(zip(shapes, stage.timing.sides, strict=True))
        ]
        m.submodules.fifo = fifo = CreditedFifo(stage.out_shape, stage.lanes_out, SLOTS)
        wiring.connect(m, fifo.o, wiring.flipped(self.o))
        stream = Signal(range(max(2, len(streams))))  # whose turn it is
        word = Signal(range(max(2, max(stage.block_sizes) // stage.lanes_out)))  # of its block
        issue = Signal()
        m.d.comb += [fifo.spend.eq(issue), fifo.i_valid.eq(issue)]
        with m.Switch(stream):
            for k, source in enumerate(streams):
                with m.Case(k):
                    m.d.comb += [issue.eq(source.valid & fifo.grant), source.ready.eq(fifo.grant)]
                    m.d.comb += [fifo.i_payload[lane].eq(source.payload[lane]) for lane in range(stage.lanes_out)]
                    last = stage.block_sizes[k] // stage.lanes_out - 1
                    with m.If(issue):
                        m.d.sync += word.eq(Mux(word == last, 0, word + 1))
                        with m.If(word == last):
                            m.d.sync += stream.eq((k + 1) % len(streams))
        return m
