"""The order in which a tile of a convolution sees its elements: windows, weights and channels as words."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rtl4ml.formats import Codes
from rtl4ml.hdl.window_plan import Level, WindowPlan
from rtl4ml.operators.conv import Conv
from rtl4ml.stages.conv_tile import ConvTile

PATCH_ELEMENTS = 1 << 22
"""Products of windows that are worked out together."""


class ConvWords:
    """Elements and weights of a convolution in the order of its loops.

    An output pixel takes, outermost first: blocks of channels (groups, `tile.groups` side by side), passes of a block's
    outputs, tap rows, tap columns, chunks of channels; a word holds tap rows, tap columns, channels.

    Parameters:
        conv: the node.
        tile: of its kernel.
        zero: int64 (channels,), codes of padding.

    Attributes:
        window: what the line buffer holds and issues.
        blocks: of channels.
    """

    def __init__(self, conv: Conv, tile: ConvTile, zero: Codes) -> None:
        self._conv, self._tile = conv, tile
        self.blocks = conv.groups // tile.groups
        self._outputs = conv.channels_out // self.blocks  # of a block
        self._passes = -(-self._outputs // tile.outputs)
        self._chunks = conv.channels_in // self.blocks // tile.channels
        window = conv.window
        (rows, columns), (tap_rows, tap_columns), (dy, dx) = window.kernel, tile.taps, window.dilation
        self.window = WindowPlan(
            height=window.in_height,
            width=window.in_width,
            chunks=self.blocks * self._chunks,
            lanes=tile.channels,
            taps=tile.taps,
            dilation=(dy if tap_rows > 1 else 1, dx if tap_columns > 1 else 1),
            start=(-window.pads[0], -window.pads[1], 0),
            levels=(
                Level(window.out_height, rows=window.stride[0]),
                Level(window.out_width, columns=window.stride[1]),
                Level(self.blocks, chunks=self._chunks),
                Level(self._passes),
                Level(rows // tap_rows, rows=dy),
                Level(columns // tap_columns, columns=dx),
                Level(self._chunks, chunks=1),
            ),
            unit=2,
            pass_levels=3,
            fill=zero.reshape(-1, tile.channels).astype(np.int64),
        )

    @property
    def beats(self) -> Codes:
        """Beats of `tile.finish` outputs that each pass of a pixel makes, int64 (H,)."""
        last = self._outputs - (self._passes - 1) * self._tile.outputs
        counts = np.append(np.full(self._passes - 1, self._tile.outputs, np.int64), last)
        return np.tile(counts // self._tile.finish, self.blocks)

    @cached_property
    def columns(self) -> Codes:
        """Output in each place of each pass, int64 (H, P); where there is none, that of the block's first pass."""
        place = np.arange(self._passes * self._tile.outputs).reshape(1, self._passes, -1)
        place = np.where(place < self._outputs, place, place[:, :1])
        return (np.arange(self.blocks)[:, None, None] * self._outputs + place).reshape(-1, self._tile.outputs)

    def weights(self, weights: Codes) -> Codes:
        """Weights of the node, (kernel rows, columns, channels / groups, outputs), as words: int64 (H, G, P, S)."""
        tile, columns = self._tile, self.columns
        rows, cols, channels, outputs = weights.shape
        # Groups side by side make a block-diagonal matrix: a place reads the channels of its output's group.
        diagonal = np.zeros((rows, cols, tile.groups, channels, *columns.shape), np.int64)
        group = columns[0] // (outputs // self._conv.groups)
        for number in range(tile.groups):
            mine = group == number
            diagonal[:, :, number, :, :, mine] = weights[:, :, :, columns[:, mine]].transpose(4, 0, 1, 2, 3)
        (height, width), words = tile.taps, tile.channels
        split = diagonal.reshape(rows // height, height, cols // width, width, self._chunks, words, *columns.shape)
        ordered = split.transpose(6, 0, 2, 4, 7, 1, 3, 5)  # (H, tap rows, columns, chunks, P, rows, columns, channels)
        shape = len(columns), self.window.pass_words, tile.outputs, height * width * words
        return np.ascontiguousarray(ordered.reshape(shape))

    def channels(self, values: Codes) -> Codes:
        """Numbers of the channels, (channels,), for the elements of each word: int64 (H, G, S)."""
        rows, columns = self._conv.window.kernel
        taps = self._tile.taps[0] * self._tile.taps[1]
        split = values.reshape(self.blocks, 1, 1, self._chunks, 1, self._tile.channels)
        shape = self.blocks, self._passes, rows * columns // taps, self._chunks, taps, self._tile.channels
        return np.broadcast_to(split, shape).reshape(self.blocks * self._passes, self.window.pass_words, -1)

    def patches(self, codes: NDArray[np.int64]) -> Iterator[Codes]:
        """Words of frames (N, n) for some output pixels after the other: int64 (N * pixels, H * G * S) each."""
        window = self.window
        sources = window.sources()
        chunk = window.positions()[:, 2]
        fill = np.broadcast_to(window.fill, (window.chunks, window.lanes))[chunk][:, None]
        words = codes.reshape(len(codes), -1, window.lanes)
        elements = window.unit_words * window.lanes * sources.shape[1]
        pixels = max(1, PATCH_ELEMENTS // max(1, len(codes) * elements * self._tile.outputs))
        for first in range(0, len(sources), pixels * window.unit_words):
            part = slice(first, first + pixels * window.unit_words)
            patch = np.where(sources[part, :, None] < 0, fill[part], words[:, sources[part]])
            yield patch.reshape(-1, elements)
