"""Global pooling: sums or maxima of a channel over the whole image, found while it comes in."""

import numpy as np
from amaranth.hdl import Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import memory, wiring

from rtl4ml.datapath.delays import Clock
from rtl4ml.errors import ConfigurationError
from rtl4ml.formats import spread
from rtl4ml.graph import Graph, Operator
from rtl4ml.hdl.delay import delay
from rtl4ml.hdl.fifo import CreditedFifo
from rtl4ml.hdl.tables import shape_of_range
from rtl4ml.operators import Conv, Pool
from rtl4ml.operators.conv import channel_limits
from rtl4ml.stages.base import Codes, Stage, adapted_input, edge_shape, fifo_bits, identifier, stage_signature
from rtl4ml.stages.finishing import ChannelFunction, following_form
from rtl4ml.stages.timing import NEVER, Side, Timing, Wait, credits, take
from rtl4ml.staircase import Form

BLOCK_ROWS = 64
"""Totals of more words a pixel lie in block memories, which answer late: a register stands behind them."""


def reduction_of(operator: Operator) -> Codes | None:
    """Factor of each channel, int64 (channels,), when a node is a global pooling; None when it is not.

    A sum is a depthwise convolution with one output pixel whose taps see every pixel, with one weight for a channel; a
    maximum has the factors 1.
    """
    if not isinstance(operator, Conv | Pool) or operator.window.pixels_out != 1:
        return None
    taps = operator.window.taps[0]
    inside = taps >= 0
    if not np.array_equal(np.sort(taps[inside]), np.arange(operator.window.pixels_in)):
        return None
    if isinstance(operator, Pool):
        return np.ones(operator.shape[-1], np.int64)
    if operator.weights.shape[2] != 1 or operator.groups != operator.channels_out or operator.limits is not None:
        return None
    weights = operator.weights.reshape(len(taps), -1)[inside]
    return weights[0] if np.all(weights == weights[0]) else None


class ReduceStage(Stage):
    """Global pooling without a frame in memory: a running total for each channel.

    A word holds some channels of a pixel; a pixel has `chunks` words. The first pixel's words start the totals, the
    last pixel's make the beats out. Totals of several words a pixel lie in a memory, and a word is read while the one
    before is written: they are of different channels. Those of one word a pixel are registers.

        issue of a word    t       the word is held, its channels' totals are read
        operands           t + 1   registered once more, behind block memories only
        totals             t + 1   registered and written; one later behind block memories
        finish             ...     on the last pixel's words, cut to the period

    Parameters:
        graph: where the nodes are.
        name: of a Conv or Pool node that :func:`reduction_of` knows.
        requantize: of the Requantize node that alone reads it; None: the accumulators' codes are the output.
        lanes: channels a word and a beat out; they divide the channels.
        lanes_in: elements a beat in.
        clock_mhz: clock frequency that the datapath is cut for, in MHz or with a device.
        form: of the Requantize node's staircase; None without one.

    Raises:
        ConfigurationError: the node is no global pooling, the lanes do not divide the channels, or form and
            `requantize` do not go together.
    """

    def __init__(
        self,
        graph: Graph,
        name: str,
        requantize: str | None,
        lanes: int,
        lanes_in: int,
        clock_mhz: float | Clock,
        form: Form | None,
    ) -> None:
        node = next(operator for operator in graph.operators if operator.name == name)
        factors = reduction_of(node)
        if factors is None:
            raise ConfigurationError(f"Node {name!r} must be a sum or a maximum over a whole image, not a {node.kind}")
        channels = len(factors)
        if lanes < 1 or channels % lanes:
            raise ConfigurationError(f"Lanes of node {name!r} must divide its {channels} channels, not be {lanes}")
        follower = following_form(graph, name, requantize, form)
        source = graph.tensors[node.inputs[0]]
        target = node.output if follower is None else follower.output
        self.name = identifier(name)
        self.operators = (name,) if requantize is None else (name, requantize)
        self.n_in, self.lanes_in, self.in_shape = source.size, lanes_in, edge_shape(graph, source.name)
        self.n_out, self.lanes_out, self.out_shape = channels, lanes, edge_shape(graph, target)
        self.largest = isinstance(node, Pool)
        self.pixels = source.size // channels
        self.chunks = channels // lanes

        low, high = (limit.reshape(self.chunks, lanes) for limit in channel_limits(source, channels))
        low, high = low.min(axis=0), high.max(axis=0)
        count = 1 if self.largest else self.pixels
        self.total_ranges = list(zip((count * low).tolist(), (count * high).tolist(), strict=True))
        # On the way a sum of few pixels may be beyond the sums of all.
        first, last = np.minimum(low, count * low), np.maximum(high, count * high)
        self.held_ranges = list(zip(first.tolist(), last.tolist(), strict=True))
        self.function = function = ChannelFunction(channels, lanes)
        datapath = function.datapath
        words = [datapath.input(f"total_{k}", *limits) for k, limits in enumerate(self.total_ranges)]
        if isinstance(node, Conv):
            zero = spread(source.format.zero_point, channels)
            offsets = node.bias - self.pixels * factors * zero
            products = [datapath.multiply(word, function.number("factor", k, factors)) for k, word in enumerate(words)]
            words = [datapath.add(word, function.number("offset", k, offsets)) for k, word in enumerate(products)]
        function.finish(graph, words, node.output, follower, form)
        function.close(clock_mhz)
        self.multipliers = function.multipliers
        total_bits = sum(shape_of_range(*limits).width for limits in self.held_ranges)
        # Edges from the issue of a word to its addition.
        self.add_step = 2 if self.chunks > BLOCK_ROWS else 1
        self.timing = self._events(self.add_step + 1 + function.depth)
        self.memory_bits = {
            "totals": self.chunks * total_bits,
            "parameters": function.table_bits,
            "fifo": fifo_bits(self),
        }

    def _events(self, depth: int) -> Timing:
        words = self.pixels * self.chunks
        # Beats that a busy stage can make while one of them is on its way, and one for readers of an uneven pace.
        frames, rest = divmod(depth + 2, words)
        slots = frames * self.chunks + min(rest, self.chunks) + 1
        side = Side(self.n_in, self.lanes_in, self.lanes_out)
        ends = np.arange(words - self.chunks, words)
        spent = np.full(words, NEVER)
        spent[ends] = np.arange(self.chunks)
        processes, issue = take("issue", [side], credits(spent, slots))
        return Timing((side,), processes, Wait(issue, ends, depth + 1), words, depth, slots)

    def component(self) -> wiring.Component:
        """Build the hardware."""
        return _ReduceHardware(self)

    def evaluate(self, *codes: Codes) -> Codes:
        """Compute codes (N, channels) from codes (N, pixels * channels) through the datapath."""
        images = codes[0].reshape(len(codes[0]), self.pixels, self.chunks, self.lanes_out)
        totals = images.max(axis=1) if self.largest else images.sum(axis=1)
        return self.function.evaluate({f"total_{k}": totals[:, :, k] for k in range(self.lanes_out)})


class _ReduceHardware(wiring.Component):
    def __init__(self, stage: ReduceStage) -> None:
        self._stage = stage
        super().__init__(stage_signature(stage))

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        stage = self._stage
        slots = stage.timing.slots
        assert slots is not None
        words = adapted_input(m, wiring.flipped(self.i), stage.in_shape, stage.timing)
        m.submodules.fifo = fifo = CreditedFifo(stage.out_shape, stage.lanes_out, slots)
        wiring.connect(m, fifo.o, wiring.flipped(self.o))

        issue, first, last = Signal(), Signal(), Signal()
        chunk = Signal(range(max(2, stage.chunks)))
        pixel = Signal(range(max(2, stage.pixels)))
        permit = fifo.grant | ~last
        m.d.comb += [
            first.eq(pixel == 0),
            last.eq(pixel == stage.pixels - 1),
            words.ready.eq(permit),
            issue.eq(words.valid & permit),
            fifo.spend.eq(issue & last),
        ]
        end_of_pixel = chunk == stage.chunks - 1
        with m.If(issue):
            if stage.chunks > 1:
                m.d.sync += chunk.eq(Mux(end_of_pixel, 0, chunk + 1))
            if stage.pixels > 1:
                with m.If(end_of_pixel):
                    m.d.sync += pixel.eq(Mux(last, 0, pixel + 1))

        totals = self._totals(m, words.payload, issue, first, chunk)
        final = delay(m, "final", issue & last, stage.add_step + 1)
        results = stage.function.build(m, {f"total_{k}": value for k, value in enumerate(totals)}, final)
        m.d.comb += [fifo.i_payload[k].eq(value) for k, value in enumerate(results)]
        m.d.comb += fifo.i_valid.eq(delay(m, "result", final, stage.function.depth))
        return m

    def _totals(
        self, m: Module, payload: wiring.PureInterface, issue: Signal, first: Signal, chunk: Signal
    ) -> list[Signal]:
        """Totals of the lanes after a word, an edge after its addition."""
        stage = self._stage
        steps = stage.add_step
        shapes = [shape_of_range(*limits) for limits in stage.held_ranges]
        widths = [shape.width for shape in shapes]
        adds, starts = delay(m, "issued", issue, steps), delay(m, "first_issued", first, steps)
        new = Signal(sum(widths), name="new_totals")
        before = Signal(sum(widths), name="totals", reset_less=True)
        if stage.chunks > 1:
            m.submodules.memory = rows = memory.Memory(shape=sum(widths), depth=stage.chunks, init=[])
            port_in, port_out = rows.write_port(), rows.read_port(domain="sync")
            written = _later(m, "chunk", chunk, steps)
            m.d.sync += before.eq(new)
            m.d.comb += [
                port_out.addr.eq(chunk),
                port_out.en.eq(1),
                port_in.addr.eq(written),
                port_in.data.eq(new),
                port_in.en.eq(adds),
            ]
            read = _later(m, "read", port_out.data, steps - 1)
        else:
            with m.If(adds):
                m.d.sync += before.eq(new)
            read = before
        totals = []
        start = 0
        for k, shape in enumerate(shapes):
            element = _later(m, f"x_{k}", payload[k], steps)
            old = Signal(shape, name=f"old_{k}")
            value = Signal(shape, name=f"new_{k}")
            bits = slice(start, start + shape.width)
            m.d.comb += [old.eq(read[bits]), new[bits].eq(value)]
            if stage.largest:
                m.d.comb += value.eq(Mux(starts | (element > old), element, old))
            else:
                m.d.comb += value.eq(element + Mux(starts, 0, old))
            total = Signal(shape_of_range(*stage.total_ranges[k]), name=f"total_{k}")
            m.d.comb += total.eq(before[bits].as_signed() if shape.signed else before[bits])
            totals.append(total)
            start += shape.width
        return totals


def _later(m: Module, name: str, value: Value, edges: int) -> Value:
    """A value some edges later, without reset."""
    for edge in range(edges):
        register = Signal(value.shape(), name=f"{name}_{edge + 1}", reset_less=True)
        m.d.sync += register.eq(value)
        value = register
    return value
