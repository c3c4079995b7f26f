"""Dense with a reuse factor above 1: a tile of multipliers that works through the matrix."""

from dataclasses import replace

import numpy as np
from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from rtl4ml.errors import ConfigurationError
from rtl4ml.graph import Graph
from rtl4ml.hdl.fifo import CreditedFifo, beat_signature
from rtl4ml.hdl.frame_store import FrameStore
from rtl4ml.hdl.mac_array import MacArray
from rtl4ml.hdl.mac_plan import AnyWeights, Finish, MacPlan
from rtl4ml.hdl.weight_ram import Table, load_signature
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
        first_address: weights and biases can be loaded at run time, and their tables lie at this address or behind it;
            None: they stay.

    Attributes:
        tables: of weights and biases behind the port that loads them, or None.
        address_bits: of that port; planning widens it when there are more stages.

    Raises:
        ConfigurationError: the tile is larger than the matrix, form and `requantize` do not go together, or the node
            does not say what its weights may become.
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
        first_address: int | None = None,
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
        self._shape, self._columns = (words, lanes, groups, outputs), columns
        weights, bias = self._arranged(dense.weights, dense.effective_bias(source))
        any_weights = None
        if first_address is not None:
            if dense.limits is None:
                raise ConfigurationError(f"Node {name!r} must say what its weights may become, to let them be loaded")
            sums = graph.tensors[dense.output]
            present = (np.arange(words * lanes) < n_in).reshape(words, lanes)
            any_weights = AnyWeights(dense.limits.values, present, sums.low[columns], sums.high[columns])
        self.plan = MacPlan(
            weights=weights,
            bias=bias,
            low=np.pad(source.low, missing).reshape(words, lanes),
            high=np.pad(source.high, missing).reshape(words, lanes),
            period_ns=1000 / clock_mhz,
            finish=Finish(forms.build, forms.parameters),
            any_weights=any_weights,
        )
        self.tables = None if first_address is None else self._place(first_address)
        self.address_bits = ceil_log2(self.tables[1].base + self.tables[1].size) if self.tables else 1
        self.multipliers = self.plan.multipliers
        self.logic_products = self.plan.logic_products
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

    def _arranged(self, weights: Codes, bias: Codes) -> tuple[Codes, Codes]:
        """Weights (H, G, P, S) and biases (H, P) of a matrix and its effective bias."""
        words, lanes, groups, outputs = self._shape
        padded = np.pad(weights, ((0, words * lanes - self.n_in), (0, 0)))[:, self._columns]  # (G * S, H, P)
        tiles = padded.reshape(words, lanes, groups, outputs).transpose(2, 0, 3, 1)
        return np.ascontiguousarray(tiles), bias[self._columns]

    def _place(self, first_address: int) -> tuple[Table, Table]:
        """Tables at the first multiples of their sizes from an address on."""
        plan = self.plan
        weights = Table(0, plan.groups * plan.words, plan.outputs * plan.lanes, *plan.stored_range)
        bias = Table(0, plan.groups, plan.outputs, *plan.start_range)
        placed = []
        for table in (weights, bias):
            base = -(-first_address // table.size) * table.size
            placed.append(replace(table, base=base))
            first_address = base + table.size
        return placed[0], placed[1]

    def load(self, weights: Codes, bias: Codes) -> Codes:
        """Writes that load a matrix (n_in, n_out) and its effective bias (n_out,): int64 (writes, 2), address and data.

        Raises:
            ConfigurationError: the stage's weights stay as they are.
        """
        if self.tables is None:
            raise ConfigurationError(f"Weights of stage {self.name!r} must be writable to be loaded")
        contents = self.plan.contents(*self._arranged(weights, bias))
        return np.concatenate([table.load(values) for table, values in zip(self.tables, contents, strict=True)])

    def component(self) -> wiring.Component:
        """Build the hardware."""
        return _DenseHardware(self)

    def evaluate(self, *codes: Codes) -> Codes:
        """Compute codes (N, n_out) from codes (N, n_in) through the datapaths."""
        missing = self.plan.words * self.plan.lanes - self.n_in
        return self.plan.evaluate(np.pad(codes[0], ((0, 0), (0, missing))))[:, : self.n_out]


class _DenseHardware(wiring.Component):
    def __init__(self, stage: DenseStage) -> None:
        self._stage = stage
        super().__init__(
            (load_signature(stage.address_bits) if stage.tables else {})
            | {
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
        m.submodules.array = array = MacArray(plan, stage.in_shape, stage.out_shape, stage.tables, stage.address_bits)
        m.submodules.fifo = fifo = CreditedFifo(stage.out_shape, stage.lanes_out, slots)
        wiring.connect(m, words, store.i)
        wiring.connect(m, fifo.o, wiring.flipped(self.o))
        if stage.tables:
            for name in ("address", "data", "write", "switch", "pending"):
                m.d.comb += getattr(array, f"w_{name}").eq(getattr(self, f"w_{name}"))
            m.d.comb += self.w_swapped.eq(array.w_swapped)
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
