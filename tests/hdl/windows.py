"""Plans of window buffers: convolutions, moves, and random nests."""

import numpy as np

from rtl4ml.hdl.window_plan import Level, WindowPlan


def convolution(shape, kernel=(3, 3), stride=(1, 1), dilation=(1, 1), pads=(1, 1, 1, 1), taps=None, lanes=1, **kw):
    """Windows of a convolution over (height, width, channels); taps of other words come one after the other."""
    height, width, channels = shape
    chunks = channels // lanes
    taps = taps or kernel
    rows, columns = (
        (size + before + after - step * (taps_ - 1) - 1) // by + 1
        for size, before, after, step, taps_, by in zip(
            (height, width), pads[:2], pads[2:], dilation, kernel, stride, strict=True
        )
    )
    levels = [Level(rows, stride[0]), Level(columns, 0, stride[1])]
    levels += [Level(kernel[0], dilation[0])] * (taps[0] == 1) + [Level(kernel[1], 0, dilation[1])] * (taps[1] == 1)
    levels += [Level(chunks, 0, 0, 1)]
    kw.setdefault("fill", np.arange(channels).reshape(chunks, lanes) - 3)
    kw.setdefault("pass_levels", len(levels) - 2)
    kw.setdefault("unit", 2)
    return WindowPlan(height, width, chunks, lanes, taps, dilation, (-pads[0], -pads[1], 0), tuple(levels), **kw)


def moves(height, width, chunks, levels, lanes=1, **kw):
    return WindowPlan(height, width, chunks, lanes, levels=tuple(Level(*level) for level in levels), **kw)


PLANS = {
    "copy": moves(3, 4, 2, [(3, 1), (4, 0, 1), (2, 0, 0, 1)], lanes=2),
    "copy by pixels": moves(3, 4, 2, [(3, 1), (4, 0, 1), (2, 0, 0, 1)], unit=2, pass_levels=1),
    "copy of one word": moves(1, 1, 1, []),
    "one pixel, chunks repeated": moves(1, 1, 3, [(4,), (3, 0, 0, 1)], unit=0, pass_levels=1),
    "crop and stride": moves(5, 6, 1, [(2, 2), (3, 0, 1)], start=(1, 2, 0)),
    "last pixel": moves(3, 3, 1, [], start=(2, 2, 0)),
    "first pixel": moves(3, 3, 1, []),
    "pad": moves(2, 3, 2, [(6, 1), (8, 0, 1), (2, 0, 0, 1)], start=(-2, -3, 0), fill=np.array([[3], [-4]])),
    "flipped columns": moves(3, 4, 2, [(3, 1), (4, 0, -1), (2, 0, 0, 1)], start=(0, 3, 0)),
    "flipped": moves(3, 4, 1, [(3, -1), (4, 0, -1)], start=(2, 3, 0)),
    "flipped and padded": moves(3, 4, 1, [(6, -1), (7, 0, -1)], start=(4, 5, 0)),
    "transposed": moves(3, 4, 1, [(4, 0, 1), (3, 1)]),
    "nearest resize": moves(3, 4, 2, [(3, 1), (2,), (4, 0, 1), (2,), (2, 0, 0, 1)]),
    "channels first": moves(2, 3, 3, [(3, 0, 0, 1), (2, 1), (3, 0, 1)]),
    "order": WindowPlan(2, 3, 2, 1, order=np.random.default_rng(1).permutation(12)),
    "order with fill": WindowPlan(2, 4, 1, 2, order=np.array([-1, 3, 0, 3, -1, 5, 6, -1]), fill=np.full((), 7)),
    "order by frames": WindowPlan(2, 3, 1, 1, order=np.array([5, 4, 1]), unit=0, pass_levels=1),
    "3x3": convolution((5, 6, 1)),
    "3x3, wide": convolution((4, 9, 2), lanes=2, banks=(3, 3)),
    "3x3, five columns of banks": convolution((4, 9, 2), banks=(4, 5)),
    "3x3, serial": convolution((4, 5, 2), taps=(1, 1)),
    "3x3, rows at once": convolution((4, 5, 2), taps=(3, 1)),
    "3x3, columns at once": convolution((4, 5, 1), taps=(1, 3)),
    "stride 2": convolution((5, 6, 1), stride=(2, 2)),
    "stride 3, kernel 2": convolution((7, 8, 1), kernel=(2, 2), stride=(3, 3), pads=(0, 0, 0, 0)),
    "stride 4, kernel 1": convolution((7, 9, 2), kernel=(1, 1), stride=(4, 4), pads=(0, 0, 0, 0)),
    "dilation 2": convolution((5, 6, 1), dilation=(2, 2), pads=(2, 2, 2, 2)),
    "dilation 3, 2": convolution((7, 6, 1), kernel=(2, 3), dilation=(3, 2), pads=(0, 1, 2, 3)),
    "5x3, large padding": convolution((3, 3, 1), kernel=(2, 2), pads=(4, 3, 5, 4)),
    "whole image": convolution((3, 4, 2), kernel=(3, 4), pads=(0, 0, 0, 0)),
    "whole image, serial": convolution((3, 4, 2), kernel=(3, 4), pads=(0, 0, 0, 0), taps=(1, 1)),
    "1-D": convolution((9, 1, 2), kernel=(3, 1), pads=(1, 0, 1, 0), lanes=2),
    "1-D, stride 2": convolution((9, 1, 2), kernel=(4, 1), stride=(2, 1), pads=(1, 0, 2, 0)),
    "single row": convolution((1, 9, 1), kernel=(3, 3)),
    "chunks outside the kernel": moves(
        4, 5, 2, [(4, 1), (5, 0, 1), (2, 0, 0, 1), (3, 1), (3, 0, 1)], start=(-1, -1, 0), unit=2, pass_levels=2
    ),
    "repeated per output group": moves(
        4, 4, 2, [(4, 1), (4, 0, 1), (3,), (2, 0, 0, 1)], taps=(3, 3), start=(-1, -1, 0), unit=2, pass_levels=1
    ),
}


def random_convolution(seed):
    random = np.random.default_rng(seed)

    def pair(low, high):
        return tuple(random.integers(low, high + 1, 2).tolist())

    kernel, dilation = pair(1, 3), pair(1, 3)
    extent = [(size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True)]
    pads = tuple(min(pad, size - 1) for pad, size in zip(pair(0, 2) + pair(0, 2), extent * 2, strict=True))
    shape = [max(int(random.integers(1, 8)), size - pads[i] - pads[i + 2]) for i, size in enumerate(extent)]
    lanes = int(random.integers(1, 3))
    return convolution(
        (*shape, lanes * int(random.integers(1, 4))),
        kernel,
        pair(1, 3),
        dilation,
        pads,
        taps=tuple(random.choice([1, size]).item() for size in kernel),
        lanes=lanes,
    )


def random_nest(seed):
    """Loops of any order and direction, partly outside the frame; units and passes of any depth."""
    random = np.random.default_rng(seed)
    sizes = random.integers(1, (5, 6, 3)).tolist()
    levels = [
        Level(int(random.integers(1, sizes[0] + 3)), rows=int(random.integers(-2, 3))),
        Level(int(random.integers(1, sizes[1] + 3)), columns=int(random.integers(-2, 3))),
        Level(int(random.integers(1, 3))),
        Level(sizes[2], chunks=int(random.choice([-1, 1]))),
    ]
    taps = tuple(random.integers(1, 4, 2).tolist())
    start = []
    for size, extent, level, step in zip(sizes, taps, levels, (levels[0].rows, levels[1].columns), strict=False):
        span = (level.count - 1) * step
        # So that something of the frame is read.
        start.append(int(random.integers(1 - extent - max(span, 0), size - min(span, 0))))
    return WindowPlan(
        *sizes,
        lanes=1,
        taps=taps,
        start=(*start, 0 if levels[3].chunks > 0 else sizes[2] - 1),
        levels=tuple(levels[index] for index in random.permutation(4)),
        unit=int(random.integers(-1, 5)),
        pass_levels=int(random.integers(0, 5)),
        fill=random.integers(-8, 8, (sizes[2], 1)),
    )
