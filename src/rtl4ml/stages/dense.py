"""Dense with a reuse factor above 1: a tile of multipliers that works through the matrix."""

import numpy as np
from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl4ml.datapath import nodes as kinds
from rtl4ml.errors import ConfigurationError
from rtl4ml.graph import Graph
from rtl4ml.hdl.fifo import CreditedFifo, beat_signature
from rtl4ml.hdl.frame_store import FrameStore
from rtl4ml.hdl.mac_array import MacArray
from rtl4ml.hdl.mac_plan import Finish, MacPlan
from rtl4ml.operators.dense import Dense
from rtl4ml.stages.base import Codes, Stage, Timing, adapted_input, edge_shape, identifier
from rtl4ml.stages.forms import LaneForms
from rtl4ml.staircase import Form


class DenseStage(Stage):
    """A matrix-vector product and the staircases behind it on P x S multipliers.

    The frame is stored in words of S elements and read once for every group of P outputs. A word is issued in every
    cycle in which it is there and, for the last word of a group, a slot of the FIFO is free.

    Parameters:
        graph: where the nodes are.
        name: of the Dense node.
        requantize: of the Requantize node that follows; None: the accumulators' codes are the output.
        tile: (P, S), outputs and inputs of the tile.
        lanes_in: elements a beat in.
        clock_mhz: clock frequency that the datapaths are cut for.
        form: of the Requantize node's staircase; None without one.

    Raises:
        ConfigurationError: the tile is larger than the matrix, or form and `requantize` do not go together.
    """

    def __init__(
        self,
        graph: Graph,
        name: str,
        requantize: str | None,
        tile: tuple[int, int],
        lanes_in: int,
        clock_mhz: float,
        form: Form | None,
    ) -> None:
        nodes = {operator.name: operator for operator in graph.operators}
        dense = nodes[name]
        if not isinstance(dense, Dense):
            raise ConfigurationError(f"Node {name!r} must be a Dense, not a {dense.kind}")
        if (form is None) != (requantize is None):
            raise ConfigurationError(f"Form and Requantize of node {name!r} must be given together, not one of them")
        n_in, n_out = dense.weights.shape
        outputs, lanes = tile
        if not (1 <= outputs <= n_out and 1 <= lanes <= n_in):
            raise ConfigurationError(
                f"Tile of node {name!r} must be of 1 to {n_out} outputs and 1 to {n_in} inputs, not {outputs} x {lanes}"
            )
        source = graph.tensors[dense.inputs[0]]
        target_name = dense.output if requantize is None else nodes[requantize].output
        target = graph.tensors[target_name]
        self.name = identifier(name)
        self.operators = (name,) if requantize is None else (name, requantize)
        self.n_in, self.lanes_in, self.in_shape = n_in, lanes_in, edge_shape(graph, dense.inputs[0])
        self.n_out, self.lanes_out, self.out_shape = n_out, outputs, edge_shape(graph, target_name)

        words, groups = -(-n_in // lanes), -(-n_out // outputs)
        forms = LaneForms(form, n_out, outputs, target.low, target.high)
        # Outputs that do not exist repeat those of the first group: they widen no range.
        columns = np.stack([forms.elements(lane) for lane in range(outputs)], axis=1)  # (H, P)
        missing = (0, words * lanes - n_in)
        weights = np.pad(dense.weights, (missing, (0, 0)))[:, columns]  # (G * S, H, P)
        weights = weights.reshape(words, lanes, groups, outputs).transpose(2, 0, 3, 1)
        self.plan = MacPlan(
            weights=np.ascontiguousarray(weights),
            bias=dense.effective_bias(source)[columns],
            low=np.pad(source.low, missing).reshape(words, lanes),
            high=np.pad(source.high, missing).reshape(words, lanes),
            period_ns=1000 / clock_mhz,
            finish=Finish(forms.build, forms.parameters),
        )
        staircase_multipliers = sum(node.kind is kinds.MULTIPLY for node in self.plan.tail.nodes)
        self.multipliers = outputs * lanes + staircase_multipliers
        self.timing = Timing(
            n_in=n_in,
            lanes_in=lanes_in,
            lanes=lanes,
            rounds=1,
            words=words,
            passes=groups,
            depth=self.plan.depth,
            # A group every `words` cycles at most, each slot taken from the issue to the edge after the handover; one
            # more for readers that take beats at an uneven pace (a last beat with few elements takes them less time).
            slots=-(-(self.plan.depth + 2) // words) + 1,
        )

    def component(self) -> wiring.Component:
        """Build the hardware."""
        return _DenseHardware(self)

    def evaluate(self, codes: Codes) -> Codes:
        """Compute codes (N, n_out) from codes (N, n_in) through the datapaths."""
        missing = self.plan.words * self.plan.lanes - self.n_in
        return self.plan.evaluate(np.pad(codes, ((0, 0), (0, missing))))[:, : self.n_out]


class _DenseHardware(wiring.Component):
    def __init__(self, stage: DenseStage) -> None:
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
        plan = stage.plan
        slots = stage.timing.slots
        assert slots is not None
        words = adapted_input(m, wiring.flipped(self.i), stage.in_shape, stage.timing)
        m.submodules.store = store = FrameStore(stage.in_shape, plan.lanes, plan.words, plan.groups)
        m.submodules.array = array = MacArray(plan, stage.in_shape, stage.out_shape)
        m.submodules.fifo = fifo = CreditedFifo(stage.out_shape, stage.lanes_out, slots)
        wiring.connect(m, words, store.i)
        wiring.connect(m, fifo.o, wiring.flipped(self.o))
        issue = Signal()
        m.d.comb += [
            store.permit.eq(fifo.grant | ~store.last),
            issue.eq(store.available & store.permit),
            fifo.spend.eq(issue & store.last),
            array.issue.eq(issue),
            array.first.eq(store.first),
            array.last.eq(store.last),
            array.word.eq(store.word),
            fifo.i_valid.eq(array.o_valid),
            fifo.i_payload.eq(array.o_payload),
        ]
        return m
