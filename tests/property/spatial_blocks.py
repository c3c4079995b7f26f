"""The parts of a random convolutional network: each gets codes and returns codes or values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.property import elementwise
from tests.property import spatial_joins as joins
from tests.property import spatial_moves as moves
from tests.property import spatial_products as products
from tests.property import spatial_windows as windows
from tests.property.products import dense
from tests.property.quantizers import quantize
from tests.property.sketch import Live, Sketch

BLOCKS = (
    *("convolution", "convolution", "separable", "depthwise", "grouped", "ConvTranspose"),
    *("MaxPool", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "truncated average"),
    *("residual", "residual", "U-shaped", "branches", "fan-out", "broadcast", "pool of accumulators"),
    *("Slice", "Split", "Pad", "nearest", "linear", "DepthToSpace", "SpaceToDepth", "Transpose", "channel shuffle"),
    *("pixels through MatMul", "channels-last operators", "ReduceMean of an axis", "chain"),
)


def smaller(s: Sketch, x: Live) -> Live:
    """By a MaxPool of 2 along each axis, or fewer channels."""
    if min(x.shape[2:]) > 3:
        x = s.real(x)
        size = [2] * (len(x.shape) - 2)
        name = s.add("MaxPool", x.name, kernel_shape=size, strides=size)
        return replace(x, name=name, shape=(*x.shape[:2], *(n // 2 for n in x.shape[2:])))
    return quantize(s, products.convolution(s, x, 2), plain=True)


def block_of(s: Sketch, x: Live, block: str) -> Live:
    """One of `BLOCKS`, or a convolution that keeps the size; what the image is too small for becomes a convolution."""
    c, image = s.choose, x.shape[2:]
    flat = len(image) == 2
    small = {"SpaceToDepth": min(image) < 2, "Split": max(x.shape[1:]) < 2}
    if small.get(block, False) or (not flat and block in ("DepthToSpace", "SpaceToDepth", "linear")):
        block = "keeping"
    s.feature(f"block {block}")
    if block in ("convolution", "keeping"):
        same = block == "keeping" or c.flag("keeps its size", 30)
        return products.convolution(s, x, c.integer(1, 6), same=same)
    if block == "pool of accumulators":
        return windows.maximum(s, products.convolution(s, x, c.integer(1, 4), same=True))
    if block in ("depthwise", "grouped", "separable"):
        return _grouped(s, x, block)
    if block == "ConvTranspose":
        return products.transposed(s, x, c.integer(1, 4))
    if block == "MaxPool":
        if c.flag("MaxPool unsigned", 25):
            x = replace(s.real(x), name=s.add("Relu", s.real(x).name), signed=False, scale=None)
            x = quantize(s, x, plain=True)
        return windows.maximum(s, x)
    if block == "AveragePool":
        return windows.average(s, x)
    if block in ("GlobalAveragePool", "GlobalMaxPool"):
        y = windows.whole(s, x, block)
        # In front of a convolution; behind one it is at the end.
        y = quantize(s, elementwise.chain(s, y, 1), plain=True, widest=8)
        s.feature("global pooling before a convolution")
        return products.convolution(s, y, c.integer(2, 6), same=True)
    if block == "truncated average":
        return windows.truncated(s, x) if s.dialect == "qonnx" else windows.average(s, x)
    if block in _MEETING:
        return _MEETING[block](s, x)
    if block in _MOVING:
        return _MOVING[block](s, x)
    return _other(s, x, block)


_MEETING = {
    "residual": joins.residual,
    "U-shaped": joins.u_shape,
    "branches": joins.branches,
    "fan-out": joins.fan_out,
    "broadcast": joins.broadcast,
}
_MOVING = {
    "Slice": moves.slices,
    "Split": moves.split,
    "Pad": moves.pad,
    "SpaceToDepth": moves.space_to_depth,
    "Transpose": moves.transpose,
    "channel shuffle": moves.shuffle,
}


def _other(s: Sketch, x: Live, block: str) -> Live:
    c = s.choose
    if block in ("nearest", "linear"):
        if max(x.shape[2:]) > moves.LARGEST:
            x = smaller(s, x)
        return moves.resize(s, x, linear=block == "linear")
    if block == "DepthToSpace":
        if x.shape[1] % 4:
            x = quantize(s, products.convolution(s, x, 4 * c.integer(1, 2)), plain=True)
        return moves.depth_to_space(s, x)
    if block == "pixels through MatMul":
        return moves.there_and_back(s, moves.plain(s, x), lambda y: dense(s, y, c.integer(1, 6)))
    if block == "channels-last operators" and s.dialect == "qonnx":
        return moves.there_and_back(s, moves.plain(s, x), lambda y: _channels_last(s, y))
    if block == "ReduceMean of an axis":
        return mean(s, s.real(moves.plain(s, x)), [c.integer(1, len(x.shape) - 1)])
    return elementwise.chain(s, s.real(x), 2)


def _divisors(n: int) -> list[int]:
    """Beside 1 and n."""
    return [d for d in range(2, n) if n % d == 0]


def _grouped(s: Sketch, x: Live, block: str) -> Live:
    """Depthwise with a multiplier, groups, or depthwise and then pointwise."""
    c = s.choose
    if x.shape[1] == 1 or (block == "grouped" and not _divisors(x.shape[1])):
        x = quantize(s, products.convolution(s, x, 4, same=True), plain=c.integer(0, 1) == 1)
    n = x.shape[1]
    if block == "grouped":
        groups = c.pick(_divisors(n))
        return products.convolution(s, x, groups * c.integer(1, 2), groups=groups)
    multiplier = c.pick(("multiplier 1", "multiplier 1", "multiplier 2", "multiplier 3")).split()[1]
    y = products.convolution(s, x, n * (int(multiplier) if block == "depthwise" else 1), groups=n)
    if block == "depthwise":
        return y
    y = quantize(s, elementwise.chain(s, y, 2))
    one = windows.Axis(1, 1, 1, 0, 0, 0)
    window = windows.Sliding(tuple(replace(one, out=m) for m in y.shape[2:]), "auto_pad NOTSET")
    return products.convolution(s, y, c.integer(1, 6), window=window)


def _channels_last(s: Sketch, x: Live) -> Live:
    """qonnx's own operators: Conv, BatchNormalization, quantizer, MaxPool."""
    c = s.choose
    groups = x.shape[-1] if c.integer(0, 2) == 0 else 1
    y = products.convolution(s, x, x.shape[-1] if groups > 1 else c.integer(1, 6), groups=groups, last=True)
    if c.flag("channels-last BatchNormalization", 50):
        s.feature("channels-last BatchNormalization")
        n = y.shape[-1]
        gains = c.rng.uniform(0.3, 1.5, n) * c.rng.choice([-1, 1], n)
        values = (
            gains,
            c.rng.normal(size=n),
            c.rng.normal(size=n) * y.spread,
            (c.rng.uniform(0.3, 2, n) * y.spread) ** 2,
        )
        inputs = [s.constant(v) for v in values]
        name = s.add("BatchNormalization", y.name, *inputs, domain=windows.LAST, epsilon=1e-5, momentum=0.9)
        s.shapes[name] = y.shape
        y = replace(y, name=name, spread=1.5)
    if c.integer(0, 1):
        y = replace(y, name=s.add("Relu", y.name), signed=False)
    y = quantize(s, y, plain=True, widest=8)
    return windows.maximum(s, y, last=True) if c.flag("channels-last MaxPool", 60) else y


def mean(s: Sketch, x: Live, axes: list[int], *, keep: bool = True) -> Live:
    """ReduceMean; the result is (1, ...) with ones where it was reduced, or without them."""
    rank = len(x.shape)
    written = axes if s.choose.integer(0, 1) else [a - rank for a in axes]
    if s.opset >= 18:
        name = s.add("ReduceMean", x.name, s.constant(written, np.int64), keepdims=int(keep))
    else:
        name = s.add("ReduceMean", x.name, axes=written, keepdims=int(keep))
    shape = tuple(1 if a in axes else n for a, n in enumerate(x.shape) if keep or a not in axes)
    return Live(name, shape, x.spread * float(np.sqrt(np.prod(shape) / x.size)), x.signed)
