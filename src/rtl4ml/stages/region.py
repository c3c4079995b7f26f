"""Neighbouring nodes with R = 1: one datapath of adders and staircases, a whole frame a beat."""

from collections.abc import Mapping, Sequence

import numpy as np
from amaranth.hdl import C, Elaboratable, Module, Signal
from amaranth.lib import wiring

from rtl4ml.datapath import nodes as kinds
from rtl4ml.datapath.cost import live_nodes
from rtl4ml.datapath.delays import Clock
from rtl4ml.datapath.lowering import lower
from rtl4ml.datapath.pipeline import cut_at
from rtl4ml.datapath.ternary import with_ternary_sums
from rtl4ml.datapath.words import Datapath, Word
from rtl4ml.errors import ConfigurationError
from rtl4ml.graph import Graph, Operator
from rtl4ml.hdl.delay import delay
from rtl4ml.hdl.fifo import CreditedFifo
from rtl4ml.stages.arithmetic import build_operator
from rtl4ml.stages.base import (
    Codes,
    Stage,
    edge_shape,
    identifier,
    joined_words,
    stage_signature,
    take_together,
)
from rtl4ml.stages.timing import Side, replayed
from rtl4ml.staircase import Form


class RegionStage(Stage):
    """Fully unrolled nodes: a frame enters in every cycle, no multiplier but between activations, no handshake inside.

    Parameters:
        graph: where the nodes are.
        names: of the nodes in topological order; the last one's output is the stage's.
        clock_mhz: clock frequency that the datapath is cut for, in MHz or with a device.
        forms: of the Requantize nodes' staircases by node name.
        backpressure: with it, results wait in a FIFO and `i.ready` says whether there is room; without, `i.ready` is
            always 1, `o.ready` is ignored and results stand in registers.
        lanes_in: elements a beat in, one number or one for each tensor that comes in; None: all.

    Raises:
        ConfigurationError: a node but the last feeds others than those of the region, several tensors come in without
            back-pressure, or a node has an operator without a datapath.
    """

    def __init__(
        self,
        graph: Graph,
        names: Sequence[str],
        clock_mhz: float | Clock,
        forms: Mapping[str, Form],
        backpressure: bool,
        lanes_in: int | Sequence[int] | None = None,
    ) -> None:
        nodes = {operator.name: operator for operator in graph.operators}
        chosen = [nodes[name] for name in names]
        sources, target_name = region_border(graph, chosen)
        if not backpressure and len(sources) > 1:
            raise ConfigurationError(
                f"A region without back-pressure must have one tensor in, not {len(sources)}: {', '.join(sources)}"
            )
        tensors, target = [graph.tensors[name] for name in sources], graph.tensors[target_name]
        lanes = [lanes_in] if isinstance(lanes_in, int) else lanes_in or [t.size for t in tensors]
        self.name = identifier(names[0])
        self.operators = tuple(names)
        self.n_in, self.lanes_in = tensors[0].size, lanes[0]
        self.in_shape, *others = (edge_shape(graph, name) for name in sources)
        self.other_shapes = tuple(others)
        self.n_out = self.lanes_out = target.size
        self.out_shape = edge_shape(graph, target_name)

        ternary = Clock.of(clock_mhz).delays.ternary
        datapath = Datapath()
        words: dict[str, list[Word]] = {}
        for k, tensor in enumerate(tensors):
            ranges = zip(tensor.lows.tolist(), tensor.highs.tolist(), strict=True)
            words[tensor.name] = [datapath.input(_element(k, e), low, high) for e, (low, high) in enumerate(ranges)]
        for operator in chosen:
            inputs = [words[name] for name in operator.inputs]
            words[operator.output] = build_operator(datapath, graph, operator, inputs, forms, ternary)
        for index, word in enumerate(words[target_name]):
            datapath.output(f"y_{index}", word)
        self.datapath = datapath = with_ternary_sums(datapath) if ternary else datapath
        self.multipliers = sum(datapath.nodes[index].kind is kinds.MULTIPLY for index in live_nodes(datapath))
        self.pipeline = cut_at(datapath, clock_mhz)
        depth = self.pipeline.depth
        sides = [Side(t.size, beat, t.size) for t, beat in zip(tensors, lanes, strict=True)]
        self.timing = replayed(sides, depth=depth, slots=depth + 2 if backpressure else None)

    def component(self) -> wiring.Component:
        """Build the hardware."""
        return _RegionHardware(self)

    def evaluate(self, *codes: Codes) -> Codes:
        """Compute codes (N, n_out) from codes (N, n_in), one array a tensor that comes in, through the datapath."""
        inputs = {_element(k, e): part[:, e] for k, part in enumerate(codes) for e in range(part.shape[1])}
        results = self.datapath.evaluate(inputs)
        return np.stack([np.broadcast_to(results[f"y_{e}"], len(codes[0])) for e in range(self.lanes_out)], axis=1)


def _element(stream: int, index: int) -> str:
    return f"x{stream or ''}_{index}"


def region_border(graph: Graph, nodes: Sequence[Operator]) -> tuple[list[str], str]:
    """Tensors that come into a group of nodes, in the order of their first use, and the one that leaves it.

    Raises:
        ConfigurationError: a node but the last feeds others than those of the group.
    """
    inside = {operator.name for operator in nodes}
    made = {operator.output for operator in nodes}
    for operator in nodes[:-1]:
        outside = [o.name for o in graph.consumers(operator.output) if o.name not in inside]
        if operator.output == graph.output:
            outside.append("the output")
        if outside:
            raise ConfigurationError(
                f"Node {operator.name!r} of a region must feed nodes of the region only, not {outside[0]!r}"
            )
    sources = [name for operator in nodes for name in operator.inputs if name not in made]
    return list(dict.fromkeys(sources)), nodes[-1].output


class _RegionHardware(wiring.Component):
    def __init__(self, stage: RegionStage) -> None:
        self._stage = stage
        super().__init__(stage_signature(stage))

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        stage = self._stage
        valid, streams = joined_words(m, self, stage)
        inputs = {
            _element(k, e): stream.payload[e]
            for k, (stream, side) in enumerate(zip(streams, stage.timing.sides, strict=True))
            for e in range(side.lanes)
        }
        m.submodules.arithmetic = arithmetic = Module()
        outputs = lower(arithmetic, stage.datapath, stage.pipeline, inputs)
        issue = Signal()
        done = delay(m, "valid", issue, stage.timing.depth)
        results = [outputs[f"y_{index}"] for index in range(stage.lanes_out)]
        if stage.timing.slots is None:
            take_together(m, streams, C(1))
            m.d.comb += issue.eq(valid)
            m.d.sync += self.o.valid.eq(done)
            result = Signal.like(self.o.payload.as_value(), name="result", reset_less=True)
            m.d.comb += self.o.payload.as_value().eq(result)
            width = stage.out_shape.width
            for index, value in enumerate(results):
                m.d.sync += result[index * width : (index + 1) * width].eq(value)
            return m
        m.submodules.fifo = fifo = CreditedFifo(stage.out_shape, stage.lanes_out, stage.timing.slots)
        wiring.connect(m, fifo.o, wiring.flipped(self.o))
        take_together(m, streams, fifo.grant)
        m.d.comb += [issue.eq(valid & fifo.grant), fifo.spend.eq(issue), fifo.i_valid.eq(done)]
        m.d.comb += [fifo.i_payload[index].eq(value) for index, value in enumerate(results)]
        return m
