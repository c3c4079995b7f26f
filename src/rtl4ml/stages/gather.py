"""Moves of elements through a buffer that holds no more than it must: slices, padding, transposes, resizing."""

from math import prod

import numpy as np
from amaranth.hdl import Elaboratable, Module, Shape, Signal
from amaranth.lib import wiring

from rtl4ml.errors import ConfigurationError
from rtl4ml.graph import Graph
from rtl4ml.hdl.delay import delay
from rtl4ml.hdl.fifo import CreditedFifo
from rtl4ml.hdl.tables import shape_of_range
from rtl4ml.hdl.window_buffer import WindowBuffer
from rtl4ml.hdl.window_plan import WindowPlan
from rtl4ml.operators import Gather
from rtl4ml.stages.base import Codes, Stage, adapted_input, edge_shape, fifo_bits, identifier, stage_signature
from rtl4ml.stages.timing import Side, Timing, windowed
from rtl4ml.stages.walks import plan_walk


class GatherStage(Stage):
    """Words of a frame in another order, some of them again, not at all, or of a constant; a word a cycle.

    A word is issued as soon as it is written, and its place is free as soon as no later word of the frame reads it or
    one before. A move that is no loop nest takes its order from ROM.

    Parameters:
        graph: where the node is.
        name: of a Gather node that reads some element.
        lanes: elements a word and a beat out, which divide :func:`rtl4ml.stages.walks.widest_word`.
        lanes_in: elements a beat in.

    Attributes:
        plan: of the buffer.

    Raises:
        ConfigurationError: another kind of node, lanes that are none of those, or nothing but constants.
    """

    def __init__(self, graph: Graph, name: str, lanes: int, lanes_in: int) -> None:
        node = next(operator for operator in graph.operators if operator.name == name)
        if not isinstance(node, Gather):
            raise ConfigurationError(f"Node {name!r} must be a Gather, not a {node.kind}")
        source = graph.tensors[node.inputs[0]]
        self.name = identifier(name)
        self.operators = (name,)
        self.n_in, self.lanes_in, self.in_shape = source.size, lanes_in, edge_shape(graph, source.name)
        self.n_out, self.lanes_out, self.out_shape = prod(node.shape), lanes, edge_shape(graph, node.output)
        self.multipliers = 0
        self.plan = plan_walk(node.indices, source.shape, node.shape, lanes, node.fill)
        self.held_shape = _shape_with(self.in_shape, node.fill) if self.plan.fills else self.in_shape
        depth = self.plan.latency
        self.timing = window_timing(Side(self.n_in, lanes_in, lanes), self.plan, depth, depth + 2)
        self.memory_bits = {
            "line buffer": self.plan.held * lanes * self.held_shape.width,
            "order": _order_bits(self.plan),
            "fifo": fifo_bits(self),
        }

    def component(self) -> wiring.Component:
        """Build the hardware."""
        return _GatherHardware(self)

    def evaluate(self, *codes: Codes) -> Codes:
        """Compute codes (N, n_out) from codes (N, n_in), word by word."""
        frames = codes[0].reshape(len(codes[0]), -1, self.lanes_out)
        return np.stack([self.plan.issued(frame).reshape(-1) for frame in frames])


def window_timing(side: Side, plan: WindowPlan, depth: int, slots: int) -> Timing:
    """Timing of a window buffer and a pipeline that makes a beat of every pass.

    Args:
        side: the stream in.
        plan: of the buffer.
        depth: edges from the issue of a pass' last word to the edge that writes its beat into the FIFO.
        slots: beats that the FIFO holds.
    """
    return windowed(
        [side],
        needs=plan.needs() * plan.chunks,
        releases=plan.write_waits(),
        unit_words=plan.unit_words,
        pass_words=plan.pass_words,
        depth=depth,
        slots=slots,
    )


def _order_bits(plan: WindowPlan) -> int:
    """Bits of the ROM of a walk that is no loop nest: each word's address, need and release, and whether it is fill."""
    if plan.order is None:
        return 0
    address = (np.maximum(plan.order, 0) % plan.ring).max()
    columns = (address, plan.needs().max() - 1, plan.releases()[:, 1].max() + plan.width, int(plan.fills))
    return plan.words * sum(int(most).bit_length() for most in columns)


def _shape_with(shape: Shape, code: int) -> Shape:
    """The shape, or the narrowest one that holds a code besides."""
    low, high = (
        (-(1 << (shape.width - 1)), (1 << (shape.width - 1)) - 1) if shape.signed else (0, (1 << shape.width) - 1)
    )
    return shape if low <= code <= high else shape_of_range(min(low, code), max(high, code))


class _GatherHardware(wiring.Component):
    def __init__(self, stage: GatherStage) -> None:
        self._stage = stage
        super().__init__(stage_signature(stage))

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        stage = self._stage
        slots = stage.timing.slots
        assert slots is not None
        words = adapted_input(m, wiring.flipped(self.i), stage.in_shape, stage.timing)
        m.submodules.window = window = WindowBuffer(stage.held_shape, stage.plan)
        m.submodules.fifo = fifo = CreditedFifo(stage.out_shape, stage.lanes_out, slots)
        wiring.connect(m, fifo.o, wiring.flipped(self.o))
        issue = Signal()
        m.d.comb += [
            window.i.valid.eq(words.valid),
            words.ready.eq(window.i.ready),
            window.permit.eq(fifo.grant),
            issue.eq(window.available & fifo.grant),
            fifo.spend.eq(issue),
            fifo.i_valid.eq(delay(m, "valid", issue, stage.plan.latency)),
        ]
        for lane in range(stage.lanes_out):
            m.d.comb += [window.i.payload[lane].eq(words.payload[lane]), fifo.i_payload[lane].eq(window.word[lane])]
        return m
