"""Dense layers in a row, some bits of every element a cycle: hard-wired adders that take several cycles a frame."""

from collections.abc import Mapping, Sequence

import numpy as np
from amaranth.hdl import Elaboratable, Module, Mux, Signal
from amaranth.lib import wiring

from rtl4ml.datapath.delays import Clock
from rtl4ml.datapath.words import Datapath, Word
from rtl4ml.errors import ConfigurationError
from rtl4ml.graph import Graph, Operator
from rtl4ml.hdl.digit_array import DigitArray
from rtl4ml.hdl.digit_plan import Finish
from rtl4ml.hdl.fifo import CreditedFifo
from rtl4ml.operators import Dense, Requantize
from rtl4ml.stages.base import Codes, Stage, adapted_input, edge_shape, fifo_bits, identifier, stage_signature
from rtl4ml.stages.digit_matrix import digit_matrix
from rtl4ml.stages.events import Timing, Wait
from rtl4ml.stages.forms import build_form
from rtl4ml.stages.loadable import slots_for
from rtl4ml.stages.region import region_border
from rtl4ml.stages.timing import Side, credits, take
from rtl4ml.staircase import Form


class DigitStage(Stage):
    """Dense nodes, each with the Requantize node behind it if any, in digit-serial distributed arithmetic.

    A frame enters as a whole. Each layer takes d bits of every element a cycle, the lowest first, through the sums of
    its matrix (:mod:`rtl4ml.hdl.digit_plan`); its outputs, all at once, are the next layer's elements. Nothing
    waits inside, so no handshake stands between layers: the next frame enters as many cycles after a frame as the
    slowest layer has digits, and only while its result is sure to find room.

    Parameters:
        graph: where the nodes are.
        names: of the nodes in order, a chain; the last one's output is the stage's.
        digits: bits of each element a cycle, for each Dense node by name.
        clock_mhz: clock frequency that the datapaths are cut for, in MHz or with a device.
        forms: of the Requantize nodes' staircases by node name.
        backpressure: with it, results wait in a FIFO and `i.ready` says whether there is room; without, `i.ready` says
            only that the frame before has been taken in, `o.ready` is ignored, and results stand in registers.
        lanes_in: elements a beat in; None: all.

    Attributes:
        plans: of the layers in order.
        shapes: of an element of each layer's input.
        cycles: between frames.

    Raises:
        ConfigurationError: the nodes are no chain of Dense nodes and their staircases, or digits are no part of the
            elements.
    """

    def __init__(
        self,
        graph: Graph,
        names: Sequence[str],
        digits: Mapping[str, int],
        clock_mhz: float | Clock,
        forms: Mapping[str, Form],
        backpressure: bool,
        lanes_in: int | None = None,
    ) -> None:
        nodes = {operator.name: operator for operator in graph.operators}
        chosen = [nodes[name] for name in names]
        sources, target_name = region_border(graph, chosen)
        layers = _layers(chosen)
        source, target = graph.tensors[sources[0]], graph.tensors[target_name]
        self.name = identifier(names[0])
        self.operators = tuple(names)
        self.n_in, self.lanes_in = source.size, lanes_in or source.size
        self.in_shape = edge_shape(graph, source.name)
        self.n_out = self.lanes_out = target.size
        self.out_shape = edge_shape(graph, target_name)
        clock = Clock.of(clock_mhz)
        self.plans = tuple(
            digit_matrix(graph, dense).plan(digits[dense.name], clock, _finish(graph, follower, forms))
            for dense, follower in layers
        )
        self.shapes = tuple(edge_shape(graph, dense.inputs[0]) for dense, _ in layers)
        self.cycles = max(plan.cycles for plan in self.plans)
        self.multipliers = sum(plan.multipliers for plan in self.plans)
        depth = sum(plan.depth for plan in self.plans)
        slots = slots_for(depth, self.cycles, 1) if backpressure else None
        sides = [Side(self.n_in, self.lanes_in, self.n_in)]
        processes, taken = take("words", sides, credits(np.zeros(1, np.int64), slots), self.cycles)
        result = Wait(taken, np.zeros(1, np.int64), depth + 1)
        self.timing = Timing(tuple(sides), processes, result, self.cycles, depth, slots)
        self.memory_bits = {"fifo": fifo_bits(self)}

    def component(self) -> wiring.Component:
        """Build the hardware."""
        return _DigitHardware(self)

    def evaluate(self, *codes: Codes) -> Codes:
        """Compute codes (N, n_out) from codes (N, n_in) through the datapaths, digit after digit."""
        (values,) = codes
        for plan in self.plans:
            values = plan.evaluate(values)
        return values


def _layers(nodes: Sequence[Operator]) -> list[tuple[Dense, Requantize | None]]:
    """Dense nodes, and the staircase behind each."""
    layers: list[tuple[Dense, Requantize | None]] = []
    before: Operator | None = None
    for node in nodes:
        follows = before is None or tuple(node.inputs) == (before.output,)
        if isinstance(node, Dense) and follows:
            layers.append((node, None))
        elif isinstance(node, Requantize) and follows and isinstance(before, Dense):
            layers[-1] = (before, node)
        else:
            raise ConfigurationError(
                f"Node {node.name!r} must be a Dense, or the Requantize behind one, in a chain of digit-serial layers"
            )
        before = node
    return layers


def _finish(graph: Graph, node: Requantize | None, forms: Mapping[str, Form]) -> Finish | None:
    """The staircase of each element, and the range that the graph knows."""
    if node is None:
        return None
    form, target = forms[node.name], graph.tensors[node.output]
    low, high = target.lows.tolist(), target.highs.tolist()

    def build(datapath: Datapath, p: int, word: Word) -> Word:
        return datapath.narrow(build_form(datapath, word, form, p), low[p], high[p])

    return build


class _DigitHardware(wiring.Component):
    def __init__(self, stage: DigitStage) -> None:
        self._stage = stage
        super().__init__(stage_signature(stage))

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        stage = self._stage
        stream = adapted_input(m, wiring.flipped(self.i), stage.in_shape, stage.timing)
        busy = Signal(range(stage.cycles))
        free, load = Signal(), Signal()
        m.d.comb += [stream.ready.eq(free), load.eq(stream.valid & free)]
        m.d.sync += busy.eq(Mux(load, stage.cycles - 1, Mux(busy == 0, 0, busy - 1)))

        word, valid = stream.payload, load
        for index, plan in enumerate(stage.plans):
            shape_out = stage.shapes[index + 1] if index + 1 < len(stage.plans) else stage.out_shape
            m.submodules[f"layer{index}"] = layer = DigitArray(plan, stage.shapes[index], shape_out)
            m.d.comb += layer.load.eq(valid)
            m.d.comb += [layer.word[s].eq(word[s]) for s in range(len(plan.low))]
            word, valid = layer.o_payload, layer.o_valid

        if stage.timing.slots is None:
            m.d.comb += free.eq(busy == 0)
            m.d.sync += self.o.valid.eq(valid)
            result = Signal.like(self.o.payload.as_value(), name="result", reset_less=True)
            m.d.sync += result.eq(word.as_value())
            m.d.comb += self.o.payload.as_value().eq(result)
            return m
        m.submodules.fifo = fifo = CreditedFifo(stage.out_shape, stage.lanes_out, stage.timing.slots)
        wiring.connect(m, fifo.o, wiring.flipped(self.o))
        m.d.comb += [free.eq(fifo.grant & (busy == 0)), fifo.spend.eq(load), fifo.i_valid.eq(valid)]
        m.d.comb += fifo.i_payload.eq(word)
        return m
