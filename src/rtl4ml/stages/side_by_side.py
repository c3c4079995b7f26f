"""Several output pixels of a convolution side by side: the same numbers, written as a convolution of wider pixels.

Neighbouring pixels of a row, or whole rows, lie next to each other in a frame. Read as one pixel of more channels, q
outputs at a time are a convolution again, whose kernel holds the old one q times, shifted; the rest of it is 0 and is
not built. So a pixel a cycle becomes q pixels a cycle, up to the whole image.
"""

from dataclasses import dataclass, replace

import numpy as np

from rtl4ml.errors import ConfigurationError
from rtl4ml.formats import Codes, spread
from rtl4ml.graph import Graph
from rtl4ml.operators import Conv, Window


@dataclass(frozen=True)
class _Axis:
    """One dimension of a window.

    Parameters:
        size: of the image.
        outputs: of the window.
        kernel: taps.
        stride: between outputs.
        dilation: between taps.
        pad: in front.
    """

    size: int
    outputs: int
    kernel: int
    stride: int
    dilation: int
    pad: int


@dataclass(frozen=True)
class _Wide:
    """An axis of which some outputs are computed at once.

    Parameters:
        together: pixels of the image in one wide pixel.
        kernel: wide taps.
        stride: between wide outputs.
        pads: wide pixels in front and behind.
        first: pixel under the first place of the first wide tap of output 0.
    """

    together: int
    kernel: int
    stride: int
    pads: tuple[int, int]
    first: int


def _widen(axis: _Axis, outputs: int) -> _Wide | None:
    """An axis with some outputs at once, in the widest pixels that fit; None where the image does not split so."""
    if outputs == axis.outputs:
        # All of it at once: what lies in the padding is 0 for good.
        return _Wide(axis.size, 1, 1, (0, 0), 0)
    step = outputs * axis.stride
    together = int(np.gcd(axis.size, step))
    front = -(-axis.pad // together)
    last = (outputs - 1) * axis.stride + (axis.kernel - 1) * axis.dilation - axis.pad
    kernel = last // together + front + 1
    stride = step // together
    wide_outputs = axis.outputs // outputs
    behind = (wide_outputs - 1) * stride + kernel - axis.size // together - front
    found = (axis.size // together + front + max(0, behind) - kernel) // stride + 1
    if found != wide_outputs:
        return None
    return _Wide(together, kernel, stride, (front, max(0, behind)), -front * together)


def counts(conv: Conv) -> list[int]:
    """How many output pixels can be computed at once: parts of a row that divide it, then rows, ascending."""
    window = conv.window
    parts = [q for q in range(1, window.out_width + 1) if window.out_width % q == 0]
    rows = [q * window.out_width for q in range(2, window.out_height + 1) if window.out_height % q == 0]
    return [q for q in (*parts, *rows) if side_by_side(conv, q, weights=False) is not None]


def side_by_side(conv: Conv, pixels: int, *, weights: bool = True) -> Conv | None:
    """The convolution of wide pixels; None where the image does not split so.

    Args:
        conv: the node.
        pixels: output pixels at once: a divisor of a row's, or a number of rows that divides all.
        weights: False: only to see whether it exists; weights are left as they are.
    """
    window = conv.window
    width = window.out_width
    in_row, rows = (pixels, 1) if pixels < width else (width, pixels // width)
    across = _widen(_axis(window, 1), in_row)
    down = _widen(_axis(window, 0), rows) if rows > 1 else _plain(_axis(window, 0))
    if across is None or down is None:
        return None
    wide = Window(
        window.in_height // down.together,
        window.in_width // across.together,
        (down.kernel, across.kernel),
        (down.stride, across.stride),
        (1 if rows > 1 else window.dilation[0], 1),
        (down.pads[0], across.pads[0], down.pads[1], across.pads[1]),
    )
    if (wide.out_height, wide.out_width) != (window.out_height // rows, width // in_row):
        return None
    if not weights:
        return conv
    kernel = _kernel(conv, (down, across), (rows, in_row), wide)
    scale = conv.scale if conv.scale.ndim == 0 else spread(conv.scale, pixels * conv.channels_out)
    return replace(
        conv, window=wide, weights=kernel, bias=spread(conv.bias, pixels * conv.channels_out), scale=scale, groups=1
    )


def pixels_at_once(conv: Conv, pixels: int) -> Conv:
    """The convolution of wide pixels.

    Raises:
        ConfigurationError: the image does not split so.
    """
    wide = side_by_side(conv, pixels) if pixels in counts(conv) else None
    if wide is None:
        raise ConfigurationError(
            f"Pixels of node {conv.name!r} at once must be one of {', '.join(map(str, counts(conv)))}, not {pixels}"
        )
    return wide


def graph_with(graph: Graph, conv: Conv) -> Graph:
    """The graph with another convolution in the place of the one of that name; tensors are read as they are."""
    return replace(graph, operators=tuple(conv if node.name == conv.name else node for node in graph.operators))


def _axis(window: Window, axis: int) -> _Axis:
    sizes = (window.in_height, window.in_width), (window.out_height, window.out_width)
    return _Axis(
        sizes[0][axis],
        sizes[1][axis],
        window.kernel[axis],
        window.stride[axis],
        window.dilation[axis],
        window.pads[axis],
    )


def _plain(axis: _Axis) -> _Wide:
    """An axis as it is."""
    behind = (axis.outputs - 1) * axis.stride + (axis.kernel - 1) * axis.dilation + 1 - axis.size - axis.pad
    return _Wide(1, axis.kernel, axis.stride, (axis.pad, max(0, behind)), -axis.pad)


def _kernel(conv: Conv, wides: tuple[_Wide, _Wide], outputs: tuple[int, int], wide: Window) -> Codes:
    """Weights (rows, columns, wide channels, wide outputs): each output's own kernel at its place, 0 elsewhere."""
    window, matrix = conv.window, conv.matrix.reshape(*conv.window.kernel, conv.channels_in, conv.channels_out)
    down, across = wides
    shape = (down.together, across.together, conv.channels_in)
    kernel = np.zeros((*wide.kernel, *shape, *outputs, conv.channels_out), np.int64)
    for row in range(outputs[0]):
        for column in range(outputs[1]):
            for tap_row in range(window.kernel[0]):
                y, dy = _place(_axis(window, 0), down, row, tap_row, plain=outputs[0] == 1)
                for tap_column in range(window.kernel[1]):
                    x, dx = _place(_axis(window, 1), across, column, tap_column, plain=False)
                    if 0 <= y < wide.kernel[0] and 0 <= x < wide.kernel[1]:
                        kernel[y, x, dy, dx, :, row, column, :] = matrix[tap_row, tap_column]
    return kernel.reshape(*wide.kernel, -1, outputs[0] * outputs[1] * conv.channels_out)


def _place(axis: _Axis, wide: _Wide, output: int, tap: int, *, plain: bool) -> tuple[int, int]:
    """Wide tap under a tap of an output, and the pixel inside it."""
    if plain:
        return tap, 0
    pixel = output * axis.stride + tap * axis.dilation - axis.pad - wide.first
    return pixel // wide.together, pixel % wide.together
