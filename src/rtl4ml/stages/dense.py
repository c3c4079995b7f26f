"""Dense with a reuse factor above 1: a tile of multipliers that works through the matrix."""

import numpy as np
from amaranth.hdl import Elaboratable, Module
from amaranth.lib import wiring

from rtl4ml.datapath.delays import Clock
from rtl4ml.errors import ConfigurationError
from rtl4ml.graph import Graph
from rtl4ml.hdl.finish import Finish
from rtl4ml.hdl.frame_store import FrameStore, is_stored
from rtl4ml.hdl.mac_plan import MacPlan
from rtl4ml.hdl.mac_ranges import AnyWeights
from rtl4ml.operators.dense import Dense
from rtl4ml.stages.base import Codes, adapted_input
from rtl4ml.stages.forms import LaneForms
from rtl4ml.stages.layer import LayerStage, layer_of
from rtl4ml.stages.loadable import LoadableHardware, slots_for
from rtl4ml.stages.tile import check_tile
from rtl4ml.stages.timing import Side, replayed
from rtl4ml.staircase import Form


class DenseStage(LayerStage):
    """A matrix-vector product and the staircases behind it on P x S multipliers.

    The frame is stored in words of S elements and read once for every group of P outputs. A word is issued in every
    cycle in which it is there and, for the last word of a group, a slot of the FIFO is free.

    Parameters:
        graph: where the nodes are.
        name: of the Dense node.
        requantize: of the Requantize node that follows; None: the accumulators' codes are the output.
        tile: (P, S), outputs and inputs of the tile.
        lanes_in: elements a beat in.
        clock_mhz: clock frequency that the datapaths are cut for, in MHz or with a device.
        form: of the Requantize node's staircase; None without one.
        first_address: weights and biases can be loaded at run time, and their tables lie at this address or behind it;
            None: they stay.
        finish: F, outputs a beat, a divisor of P: so many lanes follow the accumulators, a beat after the other. None:
            P of them.
        pair_bits: width of the wider operand of multiplier blocks that two products share where they can; 0: none do.

    Raises:
        ConfigurationError: the tile is larger than the matrix, form and `requantize` do not go together, the node does
            not say what its weights may become, or a group has more beats than words.
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
        first_address: int | None = None,
        finish: int | None = None,
        pair_bits: int = 0,
    ) -> None:
        layer = layer_of(graph, Dense, name, requantize, form)
        dense, source, target = layer.node, layer.source, layer.target
        n_in, n_out = dense.weights.shape
        outputs, lanes = tile
        check_tile(name, outputs, lanes, n_in, n_out)
        finish = finish or outputs
        self._place_between(graph, layer, lanes_in, finish)

        words, groups = -(-n_in // lanes), -(-n_out // outputs)
        forms = LaneForms(form, n_out, finish, target.lows, target.highs)
        # Outputs that do not exist repeat those of the first beat: they widen no range.
        place = np.arange(outputs)
        columns = np.arange(groups)[:, None] * outputs + place  # (H, P)
        columns = np.where(columns < n_out, columns, place % finish)
        beats = -(-np.minimum(n_out - np.arange(groups) * outputs, outputs) // finish)
        missing = (0, words * lanes - n_in)
        self._shape, self._columns = (words, lanes, groups, outputs), columns
        weights, bias = self._arranged(dense.weights, dense.effective_bias(source))
        any_weights = None
        if first_address is not None:
            if dense.limits is None:
                raise ConfigurationError(f"Node {name!r} must say what its weights may become, to let them be loaded")
            present = (np.arange(words * lanes) < n_in).reshape(words, lanes)
            sums = layer.sums.lows[columns], layer.sums.highs[columns]
            any_weights = AnyWeights(dense.limits.values, present, *sums)
        self.plan: MacPlan = MacPlan(
            weights=weights,
            bias=bias,
            low=np.pad(source.lows, missing).reshape(words, lanes),
            high=np.pad(source.highs, missing).reshape(words, lanes),
            period_ns=Clock.of(clock_mhz).period_ns,
            delays=Clock.of(clock_mhz).delays,
            finish=Finish(forms.build, forms.parameters, beats),
            any_weights=any_weights,
            pair_bits=pair_bits,
        )
        if first_address is not None:
            self._place(self.plan, first_address)
        self.multipliers, self.logic_products = self.plan.multipliers, self.plan.logic_products
        self.timing = replayed(
            [Side(n_in, lanes_in, lanes)],
            words=words,
            passes=groups,
            depth=self.plan.depth,
            slots=slots_for(self.plan.depth, words, int(beats.max())),
            beats=beats,
        )
        frames = 2 * n_in * self.in_shape.width if is_stored(words, groups) else 0
        self.memory_bits = {"frames": frames} | self._core_bits()

    def _arranged(self, weights: Codes, bias: Codes) -> tuple[Codes, Codes]:
        """Weights (H, G, P, S) and biases (H, P) of a matrix and its effective bias."""
        words, lanes, groups, outputs = self._shape
        padded = np.pad(weights, ((0, words * lanes - self.n_in), (0, 0)))[:, self._columns]  # (G * S, H, P)
        tiles = padded.reshape(words, lanes, groups, outputs).transpose(2, 0, 3, 1)
        return np.ascontiguousarray(tiles), bias[self._columns]

    def component(self) -> wiring.Component:
        """Build the hardware."""
        return _DenseHardware(self)

    def evaluate(self, *codes: Codes) -> Codes:
        """Compute codes (N, n_out) from codes (N, n_in) through the datapaths."""
        missing = self.plan.words * self.plan.lanes - self.n_in
        return self.plan.evaluate(np.pad(codes[0], ((0, 0), (0, missing))))[:, : self.n_out]


class _DenseHardware(LoadableHardware):
    _stage: DenseStage

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        stage = self._stage
        plan = stage.plan
        words = adapted_input(m, wiring.flipped(self.i), stage.in_shape, stage.timing)
        m.submodules.store = store = FrameStore(stage.in_shape, plan.lanes, plan.words, plan.groups)
        wiring.connect(m, words, store.i)
        self._compute(m, store, stage.in_shape, 1)
        return m
