"""Convolutions as streams: a line buffer whose windows go through a tile of multipliers, or through adders."""

import numpy as np
from amaranth.hdl import Elaboratable, Module, Shape
from amaranth.lib import wiring

from rtl4ml.cmvm.solve import multiply_matrix
from rtl4ml.datapath.delays import Clock
from rtl4ml.datapath.ternary import with_ternary_sums
from rtl4ml.datapath.words import Datapath, Word
from rtl4ml.errors import ConfigurationError
from rtl4ml.formats import spread
from rtl4ml.graph import Graph, Tensor
from rtl4ml.hdl.datapath_array import DatapathPlan
from rtl4ml.hdl.digit_plan import DigitPlan
from rtl4ml.hdl.finish import Finish
from rtl4ml.hdl.mac_plan import MacPlan
from rtl4ml.hdl.mac_ranges import AnyWeights
from rtl4ml.hdl.tables import shape_of_range
from rtl4ml.hdl.window_buffer import WindowBuffer
from rtl4ml.operators.conv import Conv, channel_limits
from rtl4ml.stages.base import Codes, adapted_input
from rtl4ml.stages.conv_tile import ConvTile
from rtl4ml.stages.conv_words import ConvWords
from rtl4ml.stages.digit_matrix import digit_matrix
from rtl4ml.stages.forms import LaneForms
from rtl4ml.stages.layer import LayerStage, layer_of
from rtl4ml.stages.loadable import LoadableHardware, slots_for
from rtl4ml.stages.timing import Side, windowed
from rtl4ml.staircase import Form


class ConvStage(LayerStage):
    """A convolution and the staircases behind it on a tile of products, or on adders alone.

    The frame goes through a line buffer. For every output pixel, words of its window are issued in the order of the
    levels: group of channels, pass, tap row, tap column, chunk of channels. A word is issued in every cycle in which
    the pixel's window is there and, for the last word of a pass, there is room in the FIFO for all beats of the pass.

    Where the tile is the whole kernel, a window is one word, and a datapath of adders computes a pixel in every cycle.

    Parameters:
        graph: where the nodes are.
        name: of the Conv node.
        requantize: of the Requantize node that follows; None: the accumulators' codes are the output.
        tile: of the kernel.
        lanes_in: elements a beat in.
        clock_mhz: clock frequency that the datapaths are cut for, in MHz or with a device.
        form: of the Requantize node's staircase; None without one.
        first_address: weights and biases can be loaded at run time, and their tables lie at this address or behind it;
            None: they stay.
        digit: bits of each element of a window that go through the adders in a cycle, where the tile is the whole
            kernel; 0: all.
        pair_bits: width of the wider operand of multiplier blocks that two products share where they can; 0: none do.

    Attributes:
        conv: the node.
        tile: as given.
        words: what the line buffer holds and issues, and the weights in the same order.
        element: shape of an element there: padding may have a code that no element of the input has.

    Raises:
        ConfigurationError: the tile does not fit the kernel, form and `requantize` do not go together, or weights shall
            be loadable but the node does not say what they may become, or the tile is the whole kernel.
    """

    def __init__(
        self,
        graph: Graph,
        name: str,
        requantize: str | None,
        tile: ConvTile,
        lanes_in: int,
        clock_mhz: float | Clock,
        form: Form | None,
        first_address: int | None = None,
        digit: int = 0,
        pair_bits: int = 0,
    ) -> None:
        layer = layer_of(graph, Conv, name, requantize, form)
        conv, source, target = layer.node, layer.source, layer.target
        tile.check(conv)
        self._pair_bits = pair_bits
        self._place_between(graph, layer, lanes_in, tile.finish)
        self.tile = tile
        self.conv = conv

        self.words = ConvWords(conv, tile, spread(source.format.zero_point, conv.channels_in))
        window = self.words.window
        self.element = padded_shape(self.in_shape, window.fill if window.fills else np.zeros(0, np.int64))
        forms = LaneForms(form, target.size, tile.finish, *channel_limits(target, conv.channels_out))
        if tile.cycles(conv) > 1:
            self.plan = self._tile_plan(source, layer.sums, forms, Clock.of(clock_mhz), first_address)
            if first_address is not None:
                self._place(self.plan, first_address)
            self.logic_products = self.plan.logic_products
        elif first_address is not None:
            raise ConfigurationError(
                f"Tile of node {name!r} must not be the whole kernel for its weights to be loaded: they are logic"
            )
        elif digit:
            self.plan = self._digit_plan(graph, forms, digit, Clock.of(clock_mhz))
        else:
            self.plan = self._whole_plan(source, forms, Clock.of(clock_mhz))
        self.multipliers = self.plan.multipliers
        # A word of digits goes into registers first.
        gap = self.plan.cycles if isinstance(self.plan, DigitPlan) else 1
        depth = self.plan.depth + window.latency - (gap == 1)
        beats = self.words.beats
        self.timing = windowed(
            [Side(self.n_in, lanes_in, window.lanes)],
            needs=window.needs() * window.chunks,
            releases=window.write_waits(),
            unit_words=window.unit_words,
            pass_words=window.pass_words,
            depth=depth,
            slots=slots_for(depth, window.pass_words * gap, int(beats.max())),
            beats=beats,
            gap=gap,
        )
        self.memory_bits = {"line buffer": window.held * window.lanes * self.element.width} | self._core_bits()

    def _ranges(self, tensor: Tensor) -> tuple[Codes, Codes]:
        """Lowest and highest code of each channel under any tap, int64 (channels,) each."""
        window = self.words.window
        return padded_limits(tensor, self.conv, window.fill.reshape(-1), window.fills)

    def _tile_plan(
        self, source: Tensor, sums: Tensor, forms: LaneForms, clock: Clock, first_address: int | None
    ) -> MacPlan:
        conv, words = self.conv, self.words
        any_weights = None
        if first_address is not None:
            if conv.limits is None:
                raise ConfigurationError(
                    f"Node {conv.name!r} must say what its weights may become, to let them be loaded"
                )
            present = words.weights(np.ones_like(conv.weights))[0] != 0  # (G, P, S)
            low, high = (spread(limit, conv.channels_out)[words.columns] for limit in (sums.low, sums.high))
            any_weights = AnyWeights(conv.limits.values, present, low, high)
        weights, bias = self._arranged(conv.weights, conv.effective_bias(source))
        low, high = (words.channels(limit) for limit in self._ranges(source))
        return MacPlan(
            weights=weights,
            bias=bias,
            low=low,
            high=high,
            period_ns=clock.period_ns,
            delays=clock.delays,
            finish=Finish(forms.build, forms.parameters, words.beats),
            any_weights=any_weights,
            rounds=conv.window.pixels_out,
            pair_bits=self._pair_bits,
        )

    def _digit_plan(self, graph: Graph, forms: LaneForms, digit: int, clock: Clock) -> DigitPlan:
        """Adders and shifts of the whole kernel for digits of a window, and a staircase for each output."""

        def finish(datapath: Datapath, lane: int, word: Word) -> Word:
            constants = {name: datapath.constant(int(v[0])) for name, v in forms.parameters[lane].items()}
            return forms.build(datapath, lane, word, constants)

        return digit_matrix(graph, self.conv).plan(digit, clock, finish)

    def _whole_plan(self, source: Tensor, forms: LaneForms, clock: Clock) -> DatapathPlan:
        """Adders and shifts of the whole kernel, group by group, and a staircase for each output."""
        conv = self.conv
        rows, columns, channels, outputs = conv.weights.shape
        taps, each = rows * columns, outputs // conv.groups
        low, high = (np.tile(limit, taps).tolist() for limit in self._ranges(source))
        offsets = conv.effective_bias(source)
        datapath = Datapath()
        sums: list[Word] = []
        for group in range(conv.groups):
            part = slice(group * each, (group + 1) * each)
            matrix = conv.weights[..., part].reshape(taps * channels, each)
            elements = np.arange(taps)[:, None] * conv.channels_in + group * channels + np.arange(channels)
            words = [datapath.input(f"x_{s}", low[s], high[s]) for s in elements.reshape(-1).tolist()]
            sums += multiply_matrix(datapath, words, matrix, offsets[part], ternary=clock.delays.ternary)
        for lane, (word, parameters) in enumerate(zip(sums, forms.parameters, strict=True)):
            constants = {name: datapath.constant(int(values[0])) for name, values in parameters.items()}
            datapath.output(f"o_{lane}", forms.build(datapath, lane, word, constants))
        datapath = with_ternary_sums(datapath) if clock.delays.ternary else datapath
        return DatapathPlan(datapath, taps * conv.channels_in, clock.period_ns, clock.delays)

    def _arranged(self, weights: Codes, bias: Codes) -> tuple[Codes, Codes]:
        return self.words.weights(weights), bias[self.words.columns]

    def component(self) -> wiring.Component:
        """Build the hardware."""
        return _ConvHardware(self)

    def evaluate(self, *codes: Codes) -> Codes:
        """Compute codes (N, n_out) from codes (N, n_in) through the datapaths."""
        parts = [self.plan.evaluate(patch) for patch in self.words.patches(codes[0])]
        return np.concatenate([part.reshape(len(codes[0]), -1) for part in parts], axis=1)


def padded_limits(tensor: Tensor, conv: Conv, fill: Codes, fills: bool) -> tuple[Codes, Codes]:
    """Lowest and highest code of each channel of a convolution's input under any tap, int64 (channels,) each.

    Args:
        tensor: the input.
        conv: the node.
        fill: int64 (channels,), codes of padding.
        fills: whether any tap lies on padding.
    """
    low, high = channel_limits(tensor, conv.channels_in)
    return (np.minimum(low, fill), np.maximum(high, fill)) if fills else (low, high)


def padded_shape(shape: Shape, codes: Codes) -> Shape:
    """Shape that holds all numbers of another, and codes of padding besides."""
    half = 1 << (shape.width - 1)
    ends = [-half, half - 1] if shape.signed else [0, 2 * half - 1]
    return shape_of_range(min([*ends, *codes.flat]), max([*ends, *codes.flat]))


class _ConvHardware(LoadableHardware):
    _stage: ConvStage

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        stage = self._stage
        words = adapted_input(m, wiring.flipped(self.i), stage.in_shape, stage.timing)
        window = stage.words.window
        m.submodules.window = buffer = WindowBuffer(stage.element, window)
        m.d.comb += [buffer.i.valid.eq(words.valid), words.ready.eq(buffer.i.ready)]
        m.d.comb += [buffer.i.payload[lane].eq(words.payload[lane]) for lane in range(window.lanes)]
        self._compute(m, buffer, stage.element, window.latency)
        return m
