"""Stages on multipliers that leave out the weights that are 0, whatever they read from."""

import numpy as np
from amaranth.hdl import Elaboratable, Module, Shape
from amaranth.lib import wiring

from rtl4ml.datapath.delays import Clock
from rtl4ml.hdl.finish import Finish
from rtl4ml.hdl.gather_store import GatherStore
from rtl4ml.hdl.mac_plan import MacPlan
from rtl4ml.hdl.window_gather import WindowGather
from rtl4ml.hdl.zero_skipping import PackedMatrix, PackedTile, pack_matrix
from rtl4ml.stages.base import Codes, adapted_input
from rtl4ml.stages.forms import LaneForms
from rtl4ml.stages.layer import LayerStage
from rtl4ml.stages.loadable import LoadableHardware
from rtl4ml.stages.tile import check_tile


class PackedStage(LayerStage):
    """A constant matrix and the staircases behind it on a packed tile. What is built depends on the weights.

    Attributes:
        tile: readers and multipliers.
        packed: what each reader reads.
        beats: int64 (H,), beats out of each pass.
        elements: int64 (H, G, readers), rows of the matrix that the readers of all outputs read.
        latency: edges from the issue of a word to its being there.
    """

    plan: MacPlan
    tile: PackedTile
    packed: PackedMatrix
    beats: Codes
    elements: Codes
    latency: int = 1

    def _pack(
        self,
        matrix: Codes,
        bias: Codes,
        limits: tuple[Codes, Codes],
        forms: LaneForms,
        clock: Clock,
        *,
        rounds: int = 1,
        pair_bits: int = 0,
    ) -> None:
        """Pack the matrix for the tile and work out the arithmetic.

        Args:
            matrix: int64 (n_in, n_out), the weights.
            bias: int64 (n_out,), effective.
            limits: lowest and highest code of each element, int64 (n_in,) each.
            forms: of the lanes behind the accumulators.
            clock: that the datapaths are cut for.
            rounds: times that a frame goes through all passes.
            pair_bits: width of the wider operand of multiplier blocks that two products share where they can.
        """
        tile, (n_in, n_out) = self.tile, matrix.shape
        check_tile(self.operators[0], tile.outputs, tile.lanes, n_in, n_out)
        self.packed = packed = pack_matrix(matrix, tile)
        groups, length = packed.weights.shape[:2]
        # Outputs that do not exist repeat those of the first beat: they widen no range.
        place = np.arange(tile.outputs)
        columns = np.arange(groups)[:, None] * tile.outputs + place
        self._columns = np.where(columns < n_out, columns, place % tile.finish)
        self.beats = -(-np.minimum(n_out - np.arange(groups) * tile.outputs, tile.outputs) // tile.finish)
        lane = np.arange(tile.readers) % tile.lanes
        self.elements = np.minimum(packed.words * tile.lanes + lane, n_in - 1).reshape(groups, length, -1)
        weights, starts = self._arranged(matrix, bias)
        self.plan = MacPlan(
            weights=weights,
            bias=starts,
            low=limits[0][self.elements],
            high=limits[1][self.elements],
            period_ns=clock.period_ns,
            finish=Finish(forms.build, forms.parameters, self.beats),
            rounds=rounds,
            delays=clock.delays,
            lengths=packed.lengths,
            pair_bits=pair_bits,
        )
        self.multipliers, self.logic_products = self.plan.multipliers, self.plan.logic_products

    def _arranged(self, weights: Codes, bias: Codes) -> tuple[Codes, Codes]:
        """Weights (H, G, P, readers of all outputs) and biases (H, P) of a matrix (n_in, n_out) and its bias."""
        return pack_matrix(weights, self.tile).apart(), bias[self._columns]

    def _set_memory(self, name: str, words: int, places: int) -> None:
        """Say what is held.

        Args:
            name: of the memory that the readers read.
            words: elements that each reader's copy has room for.
            places: that a reader chooses from.
        """
        readers, rows = int(self.packed.used.sum()), self.plan.passes
        held = words * readers * self.store_shape.width
        table = rows * readers * max(1, places - 1).bit_length() if rows > 1 else 0
        self.memory_bits = {name: held, "places": table} | self._core_bits()

    @property
    def store_shape(self) -> Shape:
        """Shape of an element where the readers read it."""
        return self.in_shape

    def store(self) -> GatherStore | WindowGather:
        """The component that holds what the readers read."""
        raise NotImplementedError

    def component(self) -> wiring.Component:
        """Build the hardware."""
        return _PackedHardware(self)


class _PackedHardware(LoadableHardware):
    _stage: PackedStage

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        stage = self._stage
        words = adapted_input(m, wiring.flipped(self.i), stage.in_shape, stage.timing)
        m.submodules.store = store = stage.store()
        lanes = stage.tile.lanes
        m.d.comb += [store.i.valid.eq(words.valid), words.ready.eq(store.i.ready)]
        m.d.comb += [store.i.payload[lane].eq(words.payload[lane]) for lane in range(lanes)]
        self._compute(m, store, stage.store_shape, stage.latency)
        return m
