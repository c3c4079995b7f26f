"""Operators between elements of equal number, `lanes` at a time: sums, products, extremes and staircases in one."""

from collections.abc import Mapping, Sequence
from math import lcm

import numpy as np
from amaranth.hdl import Cat, Elaboratable, Module, Signal, Value
from amaranth.lib import wiring

from rtl4ml.datapath import nodes as kinds
from rtl4ml.datapath.cost import live_nodes
from rtl4ml.datapath.delays import Clock
from rtl4ml.datapath.lowering import lower
from rtl4ml.datapath.pipeline import cut_at
from rtl4ml.datapath.words import Datapath, Word
from rtl4ml.errors import ConfigurationError
from rtl4ml.formats import spread
from rtl4ml.graph import Graph, Operator, Tensor
from rtl4ml.hdl.delay import delay
from rtl4ml.hdl.fifo import CreditedFifo
from rtl4ml.hdl.tables import cycle_rows
from rtl4ml.operators import Requantize
from rtl4ml.stages.arithmetic import ELEMENTWISE, combination_parameters, combine
from rtl4ml.stages.base import (
    Codes,
    Stage,
    edge_shape,
    identifier,
    joined_words,
    stage_signature,
    take_together,
)
from rtl4ml.stages.forms import build_form_with_parameters, form_parameters, select_rows
from rtl4ml.stages.region import region_border
from rtl4ml.stages.timing import Side, replayed
from rtl4ml.staircase import Form


class ElementwiseStage(Stage):
    """Element j of the output from elements j of the inputs; parameters that differ between beats come from ROM.

    Parameters:
        graph: where the nodes are.
        names: of the nodes in topological order; the last one's output is the stage's.
        lanes: elements a beat out.
        clock_mhz: clock frequency that the datapath is cut for, in MHz or with a device.
        forms: of the Requantize nodes' staircases by node name.
        lanes_in: elements a beat in, for each tensor that comes in; None: as out.

    Raises:
        ConfigurationError: a node is not elementwise, or one but the last feeds others than those of the stage.
    """

    def __init__(
        self,
        graph: Graph,
        names: Sequence[str],
        lanes: int,
        clock_mhz: float | Clock,
        forms: Mapping[str, Form],
        lanes_in: Sequence[int] | None = None,
    ) -> None:
        nodes = {operator.name: operator for operator in graph.operators}
        chosen = [nodes[name] for name in names]
        for operator in chosen:
            if not isinstance(operator, ELEMENTWISE):
                raise ConfigurationError(f"Node {operator.name!r} must be elementwise, not a {operator.kind}")
        sources, target_name = region_border(graph, chosen)
        tensors, target = [graph.tensors[name] for name in sources], graph.tensors[target_name]
        beats = [lanes] * len(tensors) if lanes_in is None else list(lanes_in)
        self.name = identifier(names[0])
        self.operators = tuple(names)
        self.n_in = self.n_out = target.size
        self.lanes_in, self.lanes_out = beats[0], lanes
        self.in_shape, *others = (edge_shape(graph, name) for name in sources)
        self.other_shapes = tuple(others)
        self.out_shape = edge_shape(graph, target_name)

        self._columns: dict[str, Codes] = {}
        self._datapath = datapath = Datapath()
        self._beats = -(-target.size // lanes)
        self._elements = _lane_elements(graph, chosen, forms, lanes, target.size)
        for lane in range(lanes):
            words: dict[str, Word] = {}
            # Lanes without an element stand on their own input, whatever it is; the output ignores it.
            for k, tensor in enumerate(tensors):
                words[tensor.name] = datapath.input(_element(k, lane), *self._limits(tensor, lane))
            for index, operator in enumerate(chosen):
                words[operator.output] = self._build(graph, operator, index, lane, words, forms)
            used = self._parameter(f"used_{lane}", self._used(lane))
            result = datapath.select(used, words[target_name], datapath.constant(0))
            datapath.output(f"o_{lane}", result)
        self._columns = {name: values for name, values in self._columns.items() if name in datapath.inputs}
        self._pipeline = cut_at(datapath, clock_mhz)
        # Parameters from ROM meet elements that a register holds.
        depth = self._pipeline.depth + bool(self._columns)
        self.multipliers = sum(datapath.nodes[index].kind is kinds.MULTIPLY for index in live_nodes(datapath))
        sides = [Side(self.n_in, beat, lanes) for beat in beats]
        self.timing = replayed(sides, rounds=self._beats, depth=depth, slots=depth + 2)

    def _parameter(self, name: str, values: Codes) -> Word:
        """A constant, or a column of the ROM."""
        low, high = int(values.min()), int(values.max())
        if low == high:
            return self._datapath.constant(low)
        self._columns[name] = values
        return self._datapath.input(name, low, high)

    def _build(
        self,
        graph: Graph,
        operator: Operator,
        index: int,
        lane: int,
        words: Mapping[str, Word],
        forms: Mapping[str, Form],
    ) -> Word:
        """Add a node's function of one lane."""
        elements = self._elements[lane]
        if isinstance(operator, Requantize):
            form = select_rows(forms[operator.name], elements.tolist())
            rows = [form_parameters(form, beat) for beat in range(len(elements))]
            columns = {name: np.array([row[name] for row in rows], np.int64) for name in rows[0]}
        else:
            named = combination_parameters(operator, [graph.tensors[name] for name in operator.inputs])
            columns = {name: values[elements % len(values)] for name, values in named.items()}
        parameters = {name: self._parameter(f"{name}_{index}_{lane}", values) for name, values in columns.items()}
        inputs = [words[name] for name in operator.inputs]
        if isinstance(operator, Requantize):
            result = build_form_with_parameters(self._datapath, inputs[0], form, parameters)
        else:
            result = combine(self._datapath, operator, inputs[0], inputs[1], parameters)
        return self._datapath.narrow(result, *self._limits(graph.tensors[operator.output], lane))

    def _limits(self, tensor: Tensor, lane: int) -> tuple[int, int]:
        """Lowest and highest code of a tensor in a lane."""
        elements = self._elements[lane]
        return int(tensor.low[elements % len(tensor.low)].min()), int(tensor.high[elements % len(tensor.high)].max())

    def _used(self, lane: int) -> Codes:
        """Whether a beat has an element in a lane: 1 or 0."""
        if self._beats * self.lanes_out == self.n_out:
            return np.ones(1, np.int64)
        return (np.arange(self._beats) * self.lanes_out + lane < self.n_out).astype(np.int64)

    def component(self) -> wiring.Component:
        """Build the hardware."""
        return _ElementwiseHardware(self)

    def evaluate(self, *codes: Codes) -> Codes:
        """Compute codes (N, n) from codes (N, n), one array a tensor that comes in, through the datapath."""
        samples, lanes, beats = len(codes[0]), self.lanes_out, self._beats
        # The first beat's element stands in for one that does not exist.
        missing = np.arange(self.n_in, beats * lanes)
        inputs: dict[str, Codes] = {}
        for k, part in enumerate(codes):
            padded = np.zeros((samples, beats * lanes), np.int64)
            padded[:, : self.n_in] = part
            padded[:, missing] = padded[:, missing % lanes]
            inputs.update({_element(k, lane): padded[:, lane::lanes] for lane in range(lanes)})
        inputs.update({name: spread(values, beats)[None, :] for name, values in self._columns.items()})
        results = self._datapath.evaluate(inputs)
        columns = [np.broadcast_to(results[f"o_{lane}"], (samples, beats)) for lane in range(lanes)]
        return np.stack(columns, axis=2).reshape(samples, -1)[:, : self.n_out]


def _lane_elements(
    graph: Graph, nodes: Sequence[Operator], forms: Mapping[str, Form], lanes: int, n: int
) -> list[Codes]:
    """Element of each beat in each lane, as far as nothing repeats; where there is none, that of the first beat."""
    tensors = [graph.tensors[name] for node in nodes for name in (*node.inputs, node.output)]
    periods = [len(limits) for tensor in tensors for limits in (tensor.low, tensor.high)]
    periods += [form.rows for node in nodes if (form := forms.get(node.name)) is not None]
    for node in nodes:
        if not isinstance(node, Requantize):
            named = combination_parameters(node, [graph.tensors[name] for name in node.inputs])
            periods += [len(values) for values in named.values()]
    period = lcm(lanes, *periods)
    beats = period // lanes if n % period == 0 else -(-n // lanes)
    elements = np.arange(beats)[:, None] * lanes + np.arange(lanes)
    return list(np.where(elements < n, elements, elements[:1]).T)


def _element(stream: int, lane: int) -> str:
    return f"x{stream or ''}_{lane}"


class _ElementwiseHardware(wiring.Component):
    def __init__(self, stage: ElementwiseStage) -> None:
        self._stage = stage
        super().__init__(stage_signature(stage))

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        stage = self._stage
        slots = stage.timing.slots
        assert slots is not None
        valid, streams = joined_words(m, self, stage)
        m.submodules.fifo = fifo = CreditedFifo(stage.out_shape, stage.lanes_out, slots)
        wiring.connect(m, fifo.o, wiring.flipped(self.o))
        take_together(m, streams, fifo.grant)
        issue = Signal()
        m.d.comb += [issue.eq(valid & fifo.grant), fifo.spend.eq(issue)]

        payload: Value = Cat(*(stream.payload.as_value() for stream in streams))
        columns = stage._columns
        parameters: list[Value] = []
        if columns:
            held = Signal(len(payload), name="elements", reset_less=True)
            m.d.sync += held.eq(payload)
            payload = held
            current = delay(m, "issued", issue, 1)
            parameters = cycle_rows(m, "parameters", list(columns.values()), current)
        inputs = dict(zip(columns, parameters, strict=True))
        start = 0
        for k, shape in enumerate((stage.in_shape, *stage.other_shapes)):
            for lane in range(stage.lanes_out):
                bits = payload[start : start + shape.width]
                inputs[_element(k, lane)] = bits.as_signed() if shape.signed else bits
                start += shape.width
        outputs = lower(m, stage._datapath, stage._pipeline, inputs)
        for lane in range(stage.lanes_out):
            m.d.comb += fifo.i_payload[lane].eq(outputs[f"o_{lane}"])
        m.d.comb += fifo.i_valid.eq(delay(m, "valid", issue, stage.timing.depth))
        return m
