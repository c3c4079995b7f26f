"""Max pooling: the largest code under a window that slides over the image."""

import numpy as np
from amaranth.hdl import Elaboratable, Module, Signal, Value
from amaranth.lib import wiring

from rtl4ml.datapath.delays import Clock
from rtl4ml.datapath.lowering import lower
from rtl4ml.datapath.pipeline import cut_at
from rtl4ml.datapath.words import Datapath, Word
from rtl4ml.errors import ConfigurationError
from rtl4ml.graph import Graph
from rtl4ml.hdl.delay import delay
from rtl4ml.hdl.fifo import CreditedFifo
from rtl4ml.hdl.tables import shape_of_range
from rtl4ml.hdl.window_buffer import WindowBuffer
from rtl4ml.hdl.window_plan import Level, WindowPlan
from rtl4ml.operators import Pool, Window
from rtl4ml.operators.conv import channel_limits
from rtl4ml.stages.base import Codes, Stage, adapted_input, edge_shape, fifo_bits, identifier, stage_signature
from rtl4ml.stages.finishing import ChannelFunction, following_form
from rtl4ml.stages.gather import window_timing
from rtl4ml.stages.timing import Side
from rtl4ml.stages.unrolled import largest
from rtl4ml.staircase import Form


class PoolStage(Stage):
    """Maxima under windows, some channels at a time, behind a buffer of the image's last rows.

    A word holds `taps` pixels of some channels; the maximum of an output's channels takes as many words as it has
    taps left, a pass. Padding is the lowest code of the channel, which never wins.

        issue of a word    t
        word               t + plan.latency   one more with a register in front of single words
        tree of its taps   ...                cut to the period
        running maximum    ...                one, with several words a pass
        finish             ...                cut to the period; with one word a pass, tree and this are one

    Parameters:
        graph: where the nodes are.
        name: of a Pool node.
        requantize: of the Requantize node that alone reads it; None: the codes are the output.
        lanes: channels a word and a beat out; they divide the channels.
        taps: rows and columns of the window in a word: 1 or all of them each.
        lanes_in: elements a beat in.
        clock_mhz: clock frequency that the datapaths are cut for, in MHz or with a device.
        form: of the Requantize node's staircase; None without one.

    Attributes:
        plan: of the buffer.
        taps: rows and columns in a word.

    Raises:
        ConfigurationError: another kind of node, lanes that do not divide the channels, other taps, or form and
            `requantize` that do not go together.
    """

    def __init__(
        self,
        graph: Graph,
        name: str,
        requantize: str | None,
        lanes: int,
        taps: tuple[int, int],
        lanes_in: int,
        clock_mhz: float | Clock,
        form: Form | None,
    ) -> None:
        node = next(operator for operator in graph.operators if operator.name == name)
        if not isinstance(node, Pool):
            raise ConfigurationError(f"Node {name!r} must be a Pool, not a {node.kind}")
        channels, window = node.shape[-1], node.window
        if lanes < 1 or channels % lanes:
            raise ConfigurationError(f"Lanes of node {name!r} must divide its {channels} channels, not be {lanes}")
        if any(some not in (1, every) for some, every in zip(taps, window.kernel, strict=True)):
            raise ConfigurationError(
                f"Taps of node {name!r} must be 1 or all of {window.kernel[0]} x {window.kernel[1]}, not "
                f"{taps[0]} x {taps[1]}"
            )
        follower = following_form(graph, name, requantize, form)
        source = graph.tensors[node.inputs[0]]
        target = node.output if follower is None else follower.output
        self.name = identifier(name)
        self.operators = (name,) if requantize is None else (name, requantize)
        self.n_in, self.lanes_in, self.in_shape = source.size, lanes_in, edge_shape(graph, source.name)
        self.n_out = window.pixels_out * channels
        self.lanes_out, self.out_shape = lanes, edge_shape(graph, target)
        self._window, self.taps = window, taps

        low, high = (limit.reshape(-1, lanes) for limit in channel_limits(source, channels))
        self._lowest = low
        self.plan = _plan_window(window, taps, low)
        ranges = list(zip(low.min(axis=0).tolist(), high.max(axis=0).tolist(), strict=True))
        self.function = function = ChannelFunction(channels, lanes)
        self.tree: Datapath | None = None
        if self.plan.pass_words == 1:
            words = _maxima(function.datapath, taps, ranges)
        else:
            self.tree = Datapath()
            for k, word in enumerate(_maxima(self.tree, taps, ranges)):
                self.tree.output(f"largest_{k}", word)
            self.tree_pipeline = cut_at(self.tree, clock_mhz)
            words = [function.datapath.input(f"total_{k}", *limits) for k, limits in enumerate(ranges)]
        function.finish(graph, words, node.output, follower, form)
        function.close(clock_mhz)
        self.multipliers = function.multipliers
        # Memories answer late: what comes straight out of one is registered before it is compared.
        self.holds = self.tree is not None and self.plan.latency == 1
        self.tree_step = self.plan.latency + self.holds
        depth = self.tree_step + function.depth
        if self.tree is not None:
            depth += self.tree_pipeline.depth + 1
        # A beat every `pass_words` cycles, each slot taken from the issue to the edge after the handover; one more for
        # readers that take beats at an uneven pace.
        slots = -(-(depth + 2) // self.plan.pass_words) + 1
        self.timing = window_timing(Side(self.n_in, lanes_in, lanes), self.plan, depth, slots)
        self.memory_bits = {
            "line buffer": self.plan.held * lanes * self.in_shape.width,
            "parameters": function.table_bits,
            "fifo": fifo_bits(self),
        }

    def component(self) -> wiring.Component:
        """Build the hardware."""
        return _PoolHardware(self)

    def evaluate(self, *codes: Codes) -> Codes:
        """Compute codes (N, n_out) from codes (N, n_in) through the datapaths."""
        samples, lanes, window = len(codes[0]), self.lanes_out, self._window
        pixels = codes[0].reshape(samples, window.pixels_in, -1, lanes)
        padding = np.broadcast_to(self._lowest, (samples, 1, *self._lowest.shape))
        places = window.taps.reshape(-1, *window.kernel)
        rows, columns = self.taps
        places = places.reshape(len(places), window.kernel[0] // rows, rows, window.kernel[1] // columns, columns)
        places = places.transpose(0, 1, 3, 2, 4).reshape(len(places), self.plan.pass_words, rows * columns)
        # (N, outputs, words of a pass, taps of a word, chunks, lanes)
        words = np.concatenate([pixels, padding], axis=1)[:, places]
        inputs = {_tap(t, k): words[:, :, :, t, :, k] for t in range(rows * columns) for k in range(lanes)}
        if self.tree is None:
            alone = {name: values[:, :, 0].reshape(-1, self.function.chunks) for name, values in inputs.items()}
            return self.function.evaluate(alone).reshape(samples, -1)
        maxima = self.tree.evaluate(inputs)
        totals = {
            f"total_{k}": maxima[f"largest_{k}"].max(axis=2).reshape(-1, self.function.chunks) for k in range(lanes)
        }
        return self.function.evaluate(totals).reshape(samples, -1)


def _tap(tap: int, lane: int) -> str:
    return f"x_{tap}_{lane}"


def _plan_window(window: Window, taps: tuple[int, int], lowest: Codes) -> WindowPlan:
    """Words of the windows: output rows, output columns, chunks, and the words of a pass."""
    (rows, columns), (dy, dx) = window.kernel, window.dilation
    chunks, lanes = lowest.shape
    return WindowPlan(
        window.in_height,
        window.in_width,
        chunks,
        lanes,
        taps=taps,
        # A word of single pixels has no distance between its taps.
        dilation=(dy if taps[0] > 1 else 1, dx if taps[1] > 1 else 1),
        start=(-window.pads[0], -window.pads[1], 0),
        levels=(
            Level(window.out_height, rows=window.stride[0]),
            Level(window.out_width, columns=window.stride[1]),
            Level(chunks, chunks=1),
            Level(rows // taps[0], rows=dy),
            Level(columns // taps[1], columns=dx),
        ),
        unit=2,
        fill=lowest,
        pass_levels=2,
    )


def _maxima(datapath: Datapath, taps: tuple[int, int], ranges: list[tuple[int, int]]) -> list[Word]:
    """Add the maximum of a word's taps for each lane; inputs are the taps' elements."""
    count = taps[0] * taps[1]
    return [
        largest(datapath, [datapath.input(_tap(t, k), *limits) for t in range(count)])
        for k, limits in enumerate(ranges)
    ]


class _PoolHardware(wiring.Component):
    def __init__(self, stage: PoolStage) -> None:
        self._stage = stage
        super().__init__(stage_signature(stage))

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        stage = self._stage
        slots = stage.timing.slots
        assert slots is not None
        words = adapted_input(m, wiring.flipped(self.i), stage.in_shape, stage.timing)
        m.submodules.window = window = WindowBuffer(stage.in_shape, stage.plan)
        m.submodules.fifo = fifo = CreditedFifo(stage.out_shape, stage.lanes_out, slots)
        wiring.connect(m, words, window.i)
        wiring.connect(m, fifo.o, wiring.flipped(self.o))
        issue = Signal()
        m.d.comb += [
            window.permit.eq(fifo.grant | ~window.last),
            issue.eq(window.available & window.permit),
            fifo.spend.eq(issue & window.last),
        ]
        lanes = stage.lanes_out
        inputs: dict[str, Value] = {}
        for index in range(len(window.word)):
            name = _tap(index // lanes, index % lanes)
            inputs[name] = window.word[index]
            if stage.holds:
                inputs[name] = Signal(stage.in_shape, name=name, reset_less=True)
                m.d.sync += inputs[name].eq(window.word[index])
        valid = delay(m, "issued", issue, stage.tree_step)
        if stage.tree is not None:
            first = delay(m, "first_issued", window.first, stage.tree_step)
            last = delay(m, "last_issued", issue & window.last, stage.tree_step)
            valid, inputs = self._totals(m, inputs, valid, first, last)
        results = stage.function.build(m, inputs, valid)
        m.d.comb += [fifo.i_payload[k].eq(value) for k, value in enumerate(results)]
        m.d.comb += fifo.i_valid.eq(delay(m, "result", valid, stage.function.depth))
        return m

    def _totals(
        self, m: Module, inputs: dict[str, Value], valid: Value, first: Value, last: Value
    ) -> tuple[Value, dict[str, Value]]:
        """Running maxima over the words of a pass; the flag that they are final."""
        stage = self._stage
        assert stage.tree is not None
        m.submodules.tree = tree = Module()
        largest_of_word = lower(tree, stage.tree, stage.tree_pipeline, inputs)
        steps = stage.tree_pipeline.depth
        valid, first = delay(m, "valid", valid, steps), delay(m, "first", first, steps)
        totals: dict[str, Value] = {}
        for k in range(stage.lanes_out):
            element = largest_of_word[f"largest_{k}"]
            word = stage.tree.outputs[f"largest_{k}"]
            total = Signal(shape_of_range(word.low, word.high), name=f"total_{k}", reset_less=True)
            with m.If(valid & (first | (element > total))):
                m.d.sync += total.eq(element)
            totals[total.name] = total
        return delay(m, "final", last, steps + 1), totals
