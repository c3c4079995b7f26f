"""Neighbouring nodes with R = 1: one datapath of adders and staircases, a whole frame a beat."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl4ml.cmvm.solve import multiply_matrix
from rtl4ml.datapath.lowering import lower
from rtl4ml.datapath.pipeline import cut
from rtl4ml.datapath.words import Datapath, Word
from rtl4ml.errors import ConfigurationError
from rtl4ml.graph import Graph, Operator
from rtl4ml.hdl.delay import delay
from rtl4ml.hdl.fifo import CreditedFifo, beat_signature
from rtl4ml.operators.dense import Dense
from rtl4ml.operators.requantize import Requantize
from rtl4ml.stages.base import Codes, Stage, Timing, adapted_input, edge_shape, identifier
from rtl4ml.stages.forms import build_form
from rtl4ml.staircase import Form


class RegionStage(Stage):
    """A chain of fully unrolled nodes: a frame enters in every cycle, no multiplier, no memory, no handshake inside.

    Parameters:
        graph: where the nodes are.
        names: of the nodes, a chain in topological order.
        clock_mhz: clock frequency that the datapath is cut for.
        forms: of the Requantize nodes' staircases by node name.
        backpressure: with it, results wait in a FIFO and `i.ready` says whether there is room; without, `i.ready` is
            always 1, `o.ready` is ignored and results stand in registers.
        lanes_in: elements a beat in; None: all.

    Raises:
        ConfigurationError: the nodes are no chain, or one of them has another operator than Dense and Requantize.
    """

    def __init__(
        self,
        graph: Graph,
        names: Sequence[str],
        clock_mhz: float,
        forms: Mapping[str, Form],
        backpressure: bool,
        lanes_in: int | None = None,
    ) -> None:
        nodes = {operator.name: operator for operator in graph.operators}
        chain = [nodes[name] for name in names]
        for before, after in itertools.pairwise(chain):
            if after.inputs != (before.output,):
                raise ConfigurationError(
                    f"Node {after.name!r} of a region must read {before.output!r}, not {after.inputs[0]!r}"
                )
        source_name, target_name = chain[0].inputs[0], chain[-1].output
        source, target = graph.tensors[source_name], graph.tensors[target_name]
        self.name = identifier(names[0])
        self.operators = tuple(names)
        self.n_in, self.in_shape = source.size, edge_shape(graph, source_name)
        self.lanes_in = source.size if lanes_in is None else lanes_in
        self.n_out = self.lanes_out = target.size
        self.out_shape = edge_shape(graph, target_name)
        self.multipliers = 0

        self.datapath = datapath = Datapath()
        ranges = zip(source.low.tolist(), source.high.tolist(), strict=True)
        words = [datapath.input(f"x_{index}", low, high) for index, (low, high) in enumerate(ranges)]
        for operator in chain:
            words = _build(datapath, graph, operator, words, forms)
        for index, word in enumerate(words):
            datapath.output(f"y_{index}", word)
        self.pipeline = cut(datapath, 1000 / clock_mhz)
        depth = self.pipeline.depth
        self.timing = Timing(
            n_in=self.n_in,
            lanes_in=self.lanes_in,
            lanes=source.size,
            rounds=1,
            words=1,
            passes=1,
            depth=depth,
            slots=depth + 2 if backpressure else None,
        )

    def component(self) -> wiring.Component:
        """Build the hardware."""
        return _RegionHardware(self)

    def evaluate(self, codes: Codes) -> Codes:
        """Compute codes (N, n_out) from codes (N, n_in) through the datapath."""
        results = self.datapath.evaluate({f"x_{index}": codes[:, index] for index in range(self.n_in)})
        return np.stack([np.broadcast_to(results[f"y_{index}"], len(codes)) for index in range(self.n_out)], axis=1)


def _build(
    datapath: Datapath, graph: Graph, operator: Operator, words: list[Word], forms: Mapping[str, Form]
) -> list[Word]:
    """Add a node to the datapath; its outputs get the ranges that the graph knows."""
    target = graph.tensors[operator.output]
    if isinstance(operator, Dense):
        bias = operator.effective_bias(graph.tensors[operator.inputs[0]])
        results = multiply_matrix(datapath, words, operator.weights, bias)
    elif isinstance(operator, Requantize):
        form = forms[operator.name]
        results = [build_form(datapath, word, form, row) for row, word in enumerate(words)]
    else:
        raise ConfigurationError(
            f"Node {operator.name!r} of a region must be a Dense or Requantize, not {operator.kind}"
        )
    ranges = zip(results, target.low.tolist(), target.high.tolist(), strict=True)
    return [datapath.narrow(word, low, high) for word, low, high in ranges]


class _RegionHardware(wiring.Component):
    def __init__(self, stage: RegionStage) -> None:
        self._stage = stage
        super().__init__(
            {
                "i": In(beat_signature(stage.in_shape, stage.lanes_in)),
                "o": Out(beat_signature(stage.out_shape, stage.lanes_out)),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        stage = self._stage
        words = adapted_input(m, wiring.flipped(self.i), stage.in_shape, stage.timing)
        inputs = {f"x_{index}": words.payload[index] for index in range(stage.n_in)}
        m.submodules.arithmetic = arithmetic = Module()
        outputs = lower(arithmetic, stage.datapath, stage.pipeline, inputs)
        issue = Signal()
        m.d.comb += issue.eq(words.valid & words.ready)
        done = delay(m, "valid", issue, stage.timing.depth)
        results = [outputs[f"y_{index}"] for index in range(stage.n_out)]
        if stage.timing.slots is None:
            m.d.comb += words.ready.eq(1)
            m.d.sync += self.o.valid.eq(done)
            result = Signal.like(self.o.payload.as_value(), name="result", reset_less=True)
            m.d.comb += self.o.payload.as_value().eq(result)
            width = stage.out_shape.width
            for index, value in enumerate(results):
                m.d.sync += result[index * width : (index + 1) * width].eq(value)
            return m
        m.submodules.fifo = fifo = CreditedFifo(stage.out_shape, stage.lanes_out, stage.timing.slots)
        wiring.connect(m, fifo.o, wiring.flipped(self.o))
        m.d.comb += [words.ready.eq(fifo.grant), fifo.spend.eq(issue), fifo.i_valid.eq(done)]
        m.d.comb += [fifo.i_payload[index].eq(value) for index, value in enumerate(results)]
        return m
