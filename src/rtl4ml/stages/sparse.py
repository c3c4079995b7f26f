"""Dense with a reuse factor above 1, on multipliers that leave out the weights that are 0."""

import numpy as np
from amaranth.hdl import Elaboratable, Module
from amaranth.lib import wiring

from rtl4ml.datapath.delays import Clock
from rtl4ml.errors import ConfigurationError
from rtl4ml.graph import Graph
from rtl4ml.hdl.finish import Finish
from rtl4ml.hdl.gather_store import GatherStore
from rtl4ml.hdl.mac_plan import MacPlan
from rtl4ml.hdl.zero_skipping import pack_matrix
from rtl4ml.operators.dense import Dense
from rtl4ml.stages.base import Codes, adapted_input, edge_shape, identifier
from rtl4ml.stages.finishing import following_form
from rtl4ml.stages.forms import LaneForms
from rtl4ml.stages.loadable import LoadableHardware, LoadableStage, slots_for
from rtl4ml.stages.timing import Side, gathered
from rtl4ml.staircase import Form


class SparseStage(LoadableStage):
    """A matrix-vector product and the staircases behind it on P x S multipliers, none of which sees a zero in vain.

    Each of the P outputs of a pass has a copy of the frame, from which its S multipliers read the elements that their
    weights are for, one a cycle each: multiplier s those whose number is s modulo S. So a pass takes as many cycles as
    the busiest multiplier has weights.

    Parameters:
        graph: where the nodes are.
        name: of the Dense node.
        requantize: of the Requantize node that follows; None: the accumulators' codes are the output.
        tile: (P, S), outputs and inputs of the tile.
        lanes_in: elements a beat in.
        clock_mhz: clock frequency that the datapaths are cut for, in MHz or with a device.
        form: of the Requantize node's staircase; None without one.

    Attributes:
        packed: what each multiplier reads.

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
        clock_mhz: float | Clock,
        form: Form | None,
    ) -> None:
        dense = next(operator for operator in graph.operators if operator.name == name)
        if not isinstance(dense, Dense):
            raise ConfigurationError(f"Node {name!r} must be a Dense, not a {dense.kind}")
        follower = following_form(graph, name, requantize, form)
        n_in, n_out = dense.weights.shape
        outputs, lanes = tile
        if not (1 <= outputs <= n_out and 1 <= lanes <= n_in):
            raise ConfigurationError(
                f"Tile of node {name!r} must be of 1 to {n_out} outputs and 1 to {n_in} inputs, not {outputs} x {lanes}"
            )
        source = graph.tensors[dense.inputs[0]]
        target = graph.tensors[dense.output if follower is None else follower.output]
        self.name = identifier(name)
        self.operators = (name,) if requantize is None else (name, requantize)
        self.n_in, self.lanes_in, self.in_shape = n_in, lanes_in, edge_shape(graph, source.name)
        self.n_out, self.lanes_out, self.out_shape = n_out, outputs, edge_shape(graph, target.name)

        self.packed = packed = pack_matrix(dense.weights, outputs, lanes)
        groups, length = packed.weights.shape[:2]
        # Outputs that do not exist repeat those of the first beat: they widen no range.
        columns = np.arange(groups * outputs).reshape(groups, outputs)
        columns = np.where(columns < n_out, columns, np.arange(outputs))
        self._columns = columns
        forms = LaneForms(form, n_out, outputs, target.lows, target.highs)
        elements = np.minimum(packed.words * lanes + np.arange(lanes), n_in - 1).reshape(groups, length, -1)
        clock = Clock.of(clock_mhz)
        weights, bias = self._arranged(dense.weights, dense.effective_bias(source))
        self.plan: MacPlan = MacPlan(
            weights=weights,
            bias=bias,
            low=source.lows[elements],
            high=source.highs[elements],
            period_ns=clock.period_ns,
            finish=Finish(forms.build, forms.parameters),
            delays=clock.delays,
            lengths=packed.lengths,
        )
        self._elements = elements
        self.multipliers, self.logic_products = self.plan.multipliers, self.plan.logic_products
        self.timing = gathered(
            [Side(n_in, lanes_in, lanes)],
            lengths=packed.lengths,
            depth=self.plan.depth,
            slots=slots_for(self.plan.depth, int(packed.lengths.min()), 1),
        )
        words = -(-n_in // lanes)
        places = self.plan.passes * len(self.plan.positions) * max(1, words - 1).bit_length()
        frames = 2 * words * len(self.plan.positions) * self.in_shape.width
        self.memory_bits = {"frames": frames, "places": places if self.plan.passes > 1 else 0} | self._core_bits()

    def _arranged(self, weights: Codes, bias: Codes) -> tuple[Codes, Codes]:
        """Weights (H, G, P, P * S), where an output has its own elements of each word, and biases (H, P)."""
        packed = self.packed.weights
        groups, length, outputs, lanes = packed.shape
        own = np.zeros((groups, length, outputs, outputs, lanes), np.int64)
        lane = np.arange(outputs)
        own[:, :, lane, lane] = packed
        return own.reshape(groups, length, outputs, -1), bias[self._columns]

    def store(self) -> GatherStore:
        """The component that holds the frames."""
        outputs, lanes = self.packed.weights.shape[2:]
        used = np.zeros((outputs, lanes), bool)
        for p, s in self.plan.positions:
            used[p, s % lanes] = True
        kept = self.plan.kept
        words = self.packed.words.reshape(-1, outputs, lanes)[kept]
        return GatherStore(self.in_shape, words, used, self.packed.lengths, -(-self.n_in // lanes))

    def component(self) -> wiring.Component:
        """Build the hardware."""
        return _SparseHardware(self)

    def evaluate(self, *codes: Codes) -> Codes:
        """Compute codes (N, n_out) from codes (N, n_in) through the datapaths."""
        words = codes[0][:, self._elements.reshape(-1)]
        return self.plan.evaluate(words)[:, : self.n_out]


class _SparseHardware(LoadableHardware):
    _stage: SparseStage

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        stage = self._stage
        words = adapted_input(m, wiring.flipped(self.i), stage.in_shape, stage.timing)
        m.submodules.store = store = stage.store()
        wiring.connect(m, words, store.i)
        self._compute(m, store, stage.in_shape, 1)
        return m
