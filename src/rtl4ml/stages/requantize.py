"""Requantize on its own: a staircase on every lane, beat in, beat out."""

import numpy as np
from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl4ml.datapath import nodes as kinds
from rtl4ml.datapath.lowering import lower
from rtl4ml.datapath.pipeline import cut
from rtl4ml.datapath.words import Datapath
from rtl4ml.graph import Graph
from rtl4ml.hdl.delay import delay
from rtl4ml.hdl.fifo import CreditedFifo, beat_signature
from rtl4ml.hdl.tables import cycle_rows
from rtl4ml.stages.base import Codes, Stage, Timing, adapted_input, edge_shape, identifier
from rtl4ml.stages.forms import LaneForms
from rtl4ml.staircase import Form


class RequantizeStage(Stage):
    """`y[j] = staircase_j(x[j])`, `lanes` elements at a time; parameters that differ between beats come from ROM.

    Parameters:
        graph: where the node is.
        name: of the node.
        lanes: elements a beat out.
        clock_mhz: clock frequency that the datapath is cut for.
        form: of the node's staircase.
        lanes_in: elements a beat in; None: as out.
    """

    def __init__(
        self, graph: Graph, name: str, lanes: int, clock_mhz: float, form: Form, lanes_in: int | None = None
    ) -> None:
        (operator,) = (o for o in graph.operators if o.name == name)
        source, target = graph.tensors[operator.inputs[0]], graph.tensors[operator.output]
        self.name = identifier(name)
        self.operators = (name,)
        self.n_in = self.n_out = source.size
        self.lanes_in = lanes if lanes_in is None else lanes_in
        self.lanes_out = lanes
        self.in_shape = edge_shape(graph, operator.inputs[0])
        self.out_shape = edge_shape(graph, operator.output)

        forms = LaneForms(form, target.size, lanes, target.low, target.high)
        datapath = Datapath()
        columns: dict[str, Codes] = {}
        for lane, parameters in enumerate(forms.parameters):
            elements = forms.elements(lane)
            # Lanes without an element stand on their own input, whatever it is; the output ignores it.
            low, high = int(source.low[elements].min()), int(source.high[elements].max())
            words = {}
            for parameter, values in parameters.items():
                low_value, high_value = int(values.min()), int(values.max())
                if low_value == high_value:
                    words[parameter] = datapath.constant(low_value)
                else:
                    columns[f"{parameter}_{lane}"] = values
                    words[parameter] = datapath.input(f"{parameter}_{lane}", low_value, high_value)
            result = forms.build(datapath, lane, datapath.input(f"x_{lane}", low, high), words)
            datapath.output(f"o_{lane}", result)
        self._columns = columns
        self._datapath = datapath
        self._pipeline = cut(datapath, 1000 / clock_mhz)
        # Parameters from ROM meet elements that a register holds.
        depth = self._pipeline.depth + bool(columns)
        self.multipliers = sum(node.kind is kinds.MULTIPLY for node in datapath.nodes)
        self.timing = Timing(
            n_in=self.n_in,
            lanes_in=self.lanes_in,
            lanes=lanes,
            rounds=forms.groups,
            words=1,
            passes=1,
            depth=depth,
            slots=depth + 2,
        )

    def component(self) -> wiring.Component:
        """Build the hardware."""
        return _RequantizeHardware(self)

    def evaluate(self, codes: Codes) -> Codes:
        """Compute codes (N, n) through the datapath."""
        samples, lanes = len(codes), self.lanes_out
        beats = self.timing.rounds
        padded = np.zeros((samples, beats * lanes), np.int64)
        padded[:, : self.n_in] = codes
        # As in LaneForms: the first beat's element stands in for one that does not exist.
        missing = np.arange(self.n_in, beats * lanes)
        padded[:, missing] = padded[:, missing % lanes]
        inputs = {f"x_{lane}": padded[:, lane::lanes] for lane in range(lanes)}
        inputs.update({name: values[None, :] for name, values in self._columns.items()})
        results = self._datapath.evaluate(inputs)
        columns = [np.broadcast_to(results[f"o_{lane}"], (samples, beats)) for lane in range(lanes)]
        return np.stack(columns, axis=2).reshape(samples, -1)[:, : self.n_out]


class _RequantizeHardware(wiring.Component):
    def __init__(self, stage: RequantizeStage) -> None:
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
        slots = stage.timing.slots
        assert slots is not None
        words = adapted_input(m, wiring.flipped(self.i), stage.in_shape, stage.timing)
        m.submodules.fifo = fifo = CreditedFifo(stage.out_shape, stage.lanes_out, slots)
        wiring.connect(m, fifo.o, wiring.flipped(self.o))
        issue = Signal()
        m.d.comb += [words.ready.eq(fifo.grant), issue.eq(words.valid & words.ready), fifo.spend.eq(issue)]

        payload = Signal.like(words.payload.as_value(), name="elements", reset_less=True)
        columns = stage._columns
        if columns:
            m.d.sync += payload.eq(words.payload.as_value())
            current = delay(m, "issued", issue, 1)
            parameters = cycle_rows(m, "parameters", list(columns.values()), current)
        else:
            m.d.comb += payload.eq(words.payload.as_value())
            parameters = []
        inputs = dict(zip(columns, parameters, strict=True))
        width = stage.in_shape.width
        for lane in range(stage.lanes_out):
            bits = payload[lane * width : (lane + 1) * width]
            inputs[f"x_{lane}"] = bits.as_signed() if stage.in_shape.signed else bits
        outputs = lower(m, stage._datapath, stage._pipeline, inputs)
        for lane in range(stage.lanes_out):
            m.d.comb += fifo.i_payload[lane].eq(outputs[f"o_{lane}"])
        m.d.comb += fifo.i_valid.eq(delay(m, "valid", issue, stage.timing.depth))
        return m
