"""Convolutions on multipliers that leave out the weights that are 0."""

import numpy as np
from amaranth.hdl import Shape

from rtl4ml.datapath.delays import Clock
from rtl4ml.errors import ConfigurationError
from rtl4ml.formats import spread
from rtl4ml.graph import Graph
from rtl4ml.hdl.window_gather import WindowGather
from rtl4ml.hdl.window_plan import Level, WindowPlan
from rtl4ml.hdl.window_reads import WindowReads
from rtl4ml.hdl.zero_skipping import PackedTile
from rtl4ml.operators.conv import Conv, channel_limits
from rtl4ml.stages.base import Codes
from rtl4ml.stages.conv import padded_limits, padded_shape
from rtl4ml.stages.conv_words import PATCH_ELEMENTS
from rtl4ml.stages.forms import LaneForms
from rtl4ml.stages.layer import layer_of
from rtl4ml.stages.loadable import slots_for
from rtl4ml.stages.packed import PackedStage
from rtl4ml.stages.timing import Side, windowed
from rtl4ml.staircase import Form


class SparseConvStage(PackedStage):
    """A convolution and the staircases behind it on multipliers, none of which sees a zero in vain.

    The kernel is a matrix of taps x channels in, whose elements lie in the lanes of their channels, and of channels
    out; between groups of channels it is 0, so grouped and depthwise convolutions are like any other. Each reader has a
    copy of its lane of the line buffer, and reads of each window what its weights are for, one element a cycle: so an
    output pixel takes as many cycles as the busiest readers of all passes have elements.

    Parameters:
        graph: where the nodes are.
        name: of the Conv node.
        requantize: of the Requantize node that follows; None: the accumulators' codes are the output.
        tile: whose lanes divide the channels in, and whose beats the channels out.
        lanes_in: elements a beat in.
        clock_mhz: clock frequency that the datapaths are cut for, in MHz or with a device.
        form: of the Requantize node's staircase; None without one.
        pair_bits: width of the wider operand of multiplier blocks that two products share where they can; 0: none do.

    Attributes:
        conv: the node.
        reads: what the readers read of the windows.

    Raises:
        ConfigurationError: the tile does not fit the kernel, or form and `requantize` do not go together.
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
        layer = layer_of(graph, Conv, name, requantize, form)
        self.conv = conv = layer.node
        if conv.channels_in % tile.lanes or conv.channels_out % tile.finish:
            raise ConfigurationError(
                f"Lanes of the tile of node {name!r} must divide its {conv.channels_in} channels, and its beats its "
                f"{conv.channels_out} outputs, not {tile.lanes} and {tile.finish}"
            )
        self._place_between(graph, layer, lanes_in, tile.finish)
        self.tile = tile
        source, target = layer.source, layer.target
        fill = spread(source.format.zero_point, conv.channels_in)
        low, high = padded_limits(source, conv, fill, any(conv.window.pads))
        limits = np.tile(low, len(conv.matrix)), np.tile(high, len(conv.matrix))
        forms = LaneForms(form, target.size, tile.finish, *channel_limits(target, conv.channels_out))
        matrix, bias = kernel_matrix(conv), conv.effective_bias(source)
        rounds = conv.window.pixels_out
        self._pack(matrix, bias, limits, forms, Clock.of(clock_mhz), rounds=rounds, pair_bits=pair_bits)
        self.reads = reads = self._window_reads(fill)
        self._shape = padded_shape(self.in_shape, reads.fill[:, reads.fills])
        self.latency = reads.latency
        depth = self.plan.depth + reads.latency - 1
        window, lengths, beats = reads.window, self.packed.lengths, int(self.beats.max())
        self.timing = windowed(
            [Side(self.n_in, lanes_in, tile.lanes)],
            needs=window.needs() * window.chunks,
            releases=window.write_waits(),
            unit_words=window.unit_words,
            pass_words=lengths,
            depth=depth,
            slots=slots_for(depth, int(lengths.min()), beats),
            beats=self.beats,
        )
        self._set_memory("line buffers", window.ring, window.ring)

    def _window_reads(self, fill: Codes) -> WindowReads:
        window, chunks, packed = self.conv.window, self.conv.channels_in // self.tile.lanes, self.packed
        tap, chunk = np.divmod(packed.words.reshape(len(packed.kept), -1)[packed.kept], chunks)
        row, column = np.divmod(tap, window.kernel[1])
        rows, columns = ((size - 1) * step for size, step in zip(window.kernel, window.dilation, strict=True))
        plan = WindowPlan(
            height=window.in_height,
            width=window.in_width,
            chunks=chunks,
            lanes=self.tile.lanes,
            start=(-window.pads[0], -window.pads[1], 0),
            levels=(
                Level(window.out_height, rows=window.stride[0]),
                Level(window.out_width, columns=window.stride[1]),
                Level(len(tap)),
            ),
            unit=2,
            fill=fill.reshape(chunks, -1).astype(np.int64),
            reach=(rows, columns),
        )
        return WindowReads(plan, row * window.dilation[0], column * window.dilation[1], chunk, packed.lengths)

    @property
    def store_shape(self) -> Shape:
        """Shape of an element in the line buffers: padding may have a code that no element of the input has."""
        return self._shape

    def store(self) -> WindowGather:
        """The component that holds the line buffers."""
        return WindowGather(self._shape, self.reads, self.packed.used.reshape(-1))

    def evaluate(self, *codes: Codes) -> Codes:
        """Compute codes (N, n_out) from codes (N, n_in) through the datapaths."""
        frames = np.asarray(codes[0]).reshape(len(codes[0]), -1, self.tile.lanes)
        # Rows that are never issued repeat what was issued before.
        rows = np.cumsum(self.packed.kept) - 1
        elements = self.elements.size * self.tile.outputs
        step = max(1, PATCH_ELEMENTS // max(1, len(frames) * elements))
        parts = []
        for first in range(0, self.reads.window.units, step):
            words = self.reads.issued(frames, first, step)[:, :, rows]
            results = self.plan.evaluate(words.reshape(-1, self.elements.size))
            parts.append(results.reshape(len(frames), -1))
        return np.concatenate(parts, axis=1)


def kernel_matrix(conv: Conv) -> Codes:
    """Weights of a kernel as a matrix, int64 (taps * channels in, channels out)."""
    return conv.matrix.reshape(-1, conv.channels_out)
