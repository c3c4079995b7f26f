"""What stages with a tile of products share: tables that can be loaded, memory, and the way from words to beats."""

import abc
from dataclasses import replace

import numpy as np
from amaranth.hdl import Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from rtl4ml.errors import ConfigurationError
from rtl4ml.hdl.datapath_array import DatapathArray, DatapathPlan
from rtl4ml.hdl.delay import delay
from rtl4ml.hdl.digit_array import DigitArray
from rtl4ml.hdl.digit_plan import DigitPlan
from rtl4ml.hdl.fifo import CreditedFifo, beat_signature
from rtl4ml.hdl.frame_store import FrameStore
from rtl4ml.hdl.gather_store import GatherStore
from rtl4ml.hdl.mac_array import MacArray
from rtl4ml.hdl.mac_plan import MacPlan
from rtl4ml.hdl.tables import cycle_rows, shape_of_range
from rtl4ml.hdl.weight_ram import Table, load_signature
from rtl4ml.hdl.window_buffer import WindowBuffer
from rtl4ml.stages.base import Codes, Stage


class LoadableStage(Stage):
    """A stage on a tile of products, whose weights and biases may be loadable at run time.

    Attributes:
        plan: of the tile, or of adders that do without one.
    """

    plan: MacPlan | DatapathPlan | DigitPlan

    @abc.abstractmethod
    def _arranged(self, weights: Codes, bias: Codes) -> tuple[Codes, Codes]:
        """Weights (H, G, P, S) and biases (H, P) of the node's weights and effective bias."""

    def _place(self, plan: MacPlan, first_address: int) -> None:
        """Put the tables at the first multiples of their sizes from an address on."""
        weights = Table(0, plan.groups * plan.words, len(plan.positions), *plan.stored_range)
        bias = Table(0, plan.groups, plan.outputs, *plan.start_range)
        placed = []
        for table in (weights, bias):
            base = -(-first_address // table.size) * table.size
            placed.append(replace(table, base=base))
            first_address = base + table.size
        self.tables = placed[0], placed[1]
        self.address_bits = ceil_log2(first_address)

    def load(self, weights: Codes, bias: Codes) -> Codes:
        """Writes that load the node's weights and its effective bias: int64 (writes, 2), address and data.

        Raises:
            ConfigurationError: the stage's weights stay as they are.
        """
        if self.tables is None or not isinstance(self.plan, MacPlan):
            raise ConfigurationError(f"Weights of stage {self.name!r} must be writable to be loaded")
        contents = self.plan.contents(*self._arranged(weights, bias))
        return np.concatenate([table.load(values) for table, values in zip(self.tables, contents, strict=True)])

    def _core_bits(self) -> dict[str, int]:
        """Bits of memory behind the words: weights, parameters (biases included) and FIFO."""
        slots = self.timing.slots or 0
        fifo = slots * self.lanes_out * self.out_shape.width
        if not isinstance(self.plan, MacPlan):
            return {"weights": 0, "parameters": 0, "fifo": fifo}
        plan = self.plan
        parameters = sum(_rom_bits(values) for values in plan.parameter_columns().values())
        if self.tables:
            # Two banks each.
            weights, bias = (2 * table.rows * table.columns * table.shape.width for table in self.tables)
            return {"weights": weights, "parameters": parameters + bias, "fifo": fifo}
        rows = plan.passes
        stored = [shape_of_range(*limits).width for _, limits in plan.columns.values()]
        bias = sum(_rom_bits(values) for values in plan.start.T)
        return {"weights": rows * sum(stored) if rows > 1 else 0, "parameters": parameters + bias, "fifo": fifo}


def _rom_bits(column: Codes) -> int:
    """Bits of a column of a table; none where all rows are the same."""
    low, high = int(column.min()), int(column.max())
    return 0 if low == high else len(column) * shape_of_range(low, high).width


def slots_for(depth: int, words: int, beats: int) -> int:
    """Beats of the FIFO behind a tile: with fewer, it would wait though the reader takes every beat at once.

    A group every `words` cycles at most, its slots taken from the issue to the edge after the handover; one group more
    for readers that take beats at an uneven pace (a last beat with few elements takes them less time).

    Args:
        depth: edges from the issue of a group's last word to its first beat.
        words: of a group.
        beats: of a group, at most.
    """
    return (-(-(depth + 1 + beats) // words) + 1) * beats


class LoadableHardware(wiring.Component):
    """Streams of a stage with a tile, and the load bus where its weights are loadable.

    Parameters:
        stage: whose hardware this is.
    """

    def __init__(self, stage: LoadableStage) -> None:
        self._stage = stage
        super().__init__(
            (load_signature(stage.address_bits) if stage.tables else {})
            | {
                "i": In(beat_signature(stage.in_shape, stage.lanes_in)),
                "o": Out(beat_signature(stage.out_shape, stage.lanes_out)),
            }
        )

    def _compute(self, m: Module, store: FrameStore | GatherStore | WindowBuffer, element: Shape, latency: int) -> None:
        """Add everything behind the memory that issues words.

        Args:
            m: module to add to.
            store: issues a word where it has one and there is room for the results.
            element: shape of an element of a word.
            latency: edges from the issue of a word to its being there.
        """
        stage = self._stage
        plan, tables, slots = stage.plan, stage.tables, stage.timing.slots
        assert slots is not None
        beats = plan.beats if isinstance(plan, MacPlan) else np.ones(1, np.int64)
        m.submodules.fifo = fifo = CreditedFifo(stage.out_shape, stage.lanes_out, slots, int(beats.max()))
        wiring.connect(m, fifo.o, wiring.flipped(self.o))
        issue = Signal()
        ends = Signal(name="group_ends")
        free: Value = Const(1)
        if isinstance(plan, DigitPlan):
            # The digits of a word take their time.
            busy = Signal(range(plan.cycles))
            m.d.sync += busy.eq(Mux(issue, plan.cycles - 1, Mux(busy == 0, 0, busy - 1)))
            free = busy == 0
        m.d.comb += [
            store.permit.eq((fifo.grant | ~store.last) & free),
            issue.eq(store.available & store.permit),
            ends.eq(issue & store.last),
        ]
        # The credits of a group: those of all its beats.
        (count,) = cycle_rows(m, "credits", [beats], ends)
        m.d.comb += fifo.spend.eq(_where(ends, count))
        array: MacArray | DatapathArray | DigitArray
        if isinstance(plan, MacPlan):
            array = MacArray(plan, element, stage.out_shape, tables, stage.address_bits)
            m.d.comb += array.issue.eq(delay(m, "word_issued", issue, latency - 1))
            for name, bit in (("first", store.first), ("last", store.last)):
                m.d.comb += getattr(array, name).eq(delay(m, f"word_{name}", bit, latency - 1))
        elif isinstance(plan, DigitPlan):
            array = DigitArray(plan, element, stage.out_shape)
            m.d.comb += array.load.eq(delay(m, "word_issued", issue, latency))
        else:
            array = DatapathArray(plan, element, stage.out_shape)
            m.d.comb += array.issue.eq(delay(m, "word_issued", issue, latency - 1))
        m.submodules.array = array
        if tables:
            for name in ("address", "data", "write", "switch", "pending"):
                m.d.comb += getattr(array, f"w_{name}").eq(getattr(self, f"w_{name}"))
            m.d.comb += self.w_swapped.eq(array.w_swapped)
        m.d.comb += [
            array.word.eq(store.word),
            fifo.i_valid.eq(array.o_valid),
            fifo.i_payload.eq(array.o_payload),
        ]


def _where(bit: Value, number: Value) -> Value:
    """The number where the bit is 1, else 0."""
    return number & bit.replicate(len(number))
