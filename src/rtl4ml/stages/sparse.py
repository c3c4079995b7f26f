"""Dense with a reuse factor above 1, on multipliers that leave out the weights that are 0."""

import numpy as np

from rtl4ml.datapath.delays import Clock
from rtl4ml.errors import ConfigurationError
from rtl4ml.graph import Graph
from rtl4ml.hdl.gather_store import GatherStore
from rtl4ml.hdl.zero_skipping import PackedTile
from rtl4ml.operators.dense import Dense
from rtl4ml.stages.base import Codes
from rtl4ml.stages.forms import LaneForms
from rtl4ml.stages.layer import layer_of
from rtl4ml.stages.loadable import slots_for
from rtl4ml.stages.packed import PackedStage
from rtl4ml.stages.timing import Side, gathered
from rtl4ml.staircase import Form


class SparseStage(PackedStage):
    """A matrix-vector product and the staircases behind it on multipliers, none of which sees a zero in vain.

    Each reader of the tile has a copy of its lane of the frame, from which it takes the elements that its weights are
    for, one a cycle. So a pass takes as many cycles as the busiest reader has elements.

    Parameters:
        graph: where the nodes are.
        name: of the Dense node.
        requantize: of the Requantize node that follows; None: the accumulators' codes are the output.
        tile: of the matrix, with a beat a pass.
        lanes_in: elements a beat in.
        clock_mhz: clock frequency that the datapaths are cut for, in MHz or with a device.
        form: of the Requantize node's staircase; None without one.
        pair_bits: width of the wider operand of multiplier blocks that two products share where they can; 0: none do.

    Raises:
        ConfigurationError: the tile does not fit the matrix, or form and `requantize` do not go together.
    """

    def __init__(
        self,
        graph: Graph,
        name: str,
        requantize: str | None,
        tile: PackedTile,
        lanes_in: int,
        clock_mhz: float | Clock,
        form: Form | None,
        pair_bits: int = 0,
    ) -> None:
        layer = layer_of(graph, Dense, name, requantize, form)
        dense, source, target = layer.node, layer.source, layer.target
        if tile.finish != tile.outputs:
            raise ConfigurationError(
                f"Tile of node {name!r} must have a beat a pass, not {tile.beats} of {tile.finish} outputs"
            )
        self._place_between(graph, layer, lanes_in, tile.finish)
        self.tile = tile
        forms = LaneForms(form, self.n_out, tile.finish, target.lows, target.highs)
        limits = source.lows, source.highs
        bias = dense.effective_bias(source)
        self._pack(dense.weights, bias, limits, forms, Clock.of(clock_mhz), pair_bits=pair_bits)
        lengths = self.packed.lengths
        self.timing = gathered(
            [Side(self.n_in, lanes_in, tile.lanes)],
            lengths=lengths,
            depth=self.plan.depth,
            slots=slots_for(self.plan.depth, int(lengths.min()), 1),
        )
        self._words = -(-self.n_in // tile.lanes)
        self._set_memory("frames", 2 * self._words, self._words)

    def store(self) -> GatherStore:
        """The component that holds the frames."""
        packed = self.packed
        words = packed.words.reshape(-1, *packed.used.shape)[packed.kept]
        return GatherStore(self.in_shape, words, packed.used, packed.lengths, self._words, self.tile.lanes)

    def evaluate(self, *codes: Codes) -> Codes:
        """Compute codes (N, n_out) from codes (N, n_in) through the datapaths."""
        words = np.asarray(codes[0])[:, self.elements.reshape(-1)]
        return self.plan.evaluate(words)[:, : self.n_out]
