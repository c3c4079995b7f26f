"""Images that meet: residual and U-shaped parts, broadcasting, branches, many consumers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.property import elementwise
from tests.property.joins import JOINS, exact, join, like, operand
from tests.property.quantizers import quantize
from tests.property.sketch import Live, Sketch
from tests.property.spatial_products import convolution, transposed
from tests.property.spatial_windows import Wish, maximum, sliding, whole


def _deep(s: Sketch, x: Live, n_out: int, layers: int) -> Live:
    """Convolutions one behind the other that keep the size; the last is not quantized."""
    for index in range(layers):
        if index:
            x = quantize(s, elementwise.chain(s, x, 1), plain=True, widest=8)
        x = convolution(s, x, n_out, same=True)
    return x


def _near(s: Sketch, x: Live, reference: Live, *, same: bool = False) -> Live:
    """Quantized like another tensor, mostly multiplied first so that the two are of one magnitude."""
    ratio = reference.spread / max(x.spread, 1e-6)
    if not 0.4 <= ratio <= 2.5 and s.choose.integer(0, 3):
        x = s.real(x)
        factor = float(2.0 ** np.round(np.log2(ratio))) if s.choose.integer(0, 1) else float(np.float32(ratio))
        x = replace(x, name=s.add("Mul", x.name, s.constant(factor)), spread=reference.spread, scale=None)
    return like(s, x, reference, same=same)


def residual(s: Sketch, x: Live) -> Live:
    """`x + f(x)` and its like; f is one to four convolutions, the other side now and then one as well."""
    c = s.choose
    s.feature("residual")
    x = operand(s, x)
    n_out, skip = x.shape[1], x
    strides = c.flag("residual with strides", 20) and max(x.shape[2:]) > 2
    depth = c.integer(1, 2)
    if c.flag("skip over three or more", 25):
        s.feature("skip over three or more")
        depth = c.integer(3, 4)
    if strides:
        s.feature("residual with strides")
        n_out = c.integer(1, 6)
        window = sliding(s, x.shape[2:], Wish(dilated=0, automatic=False))
        first = quantize(s, elementwise.chain(s, convolution(s, x, n_out, window=window), 1), plain=True, widest=8)
        y = _deep(s, first, n_out, depth)
        skip = operand(s, quantize(s, convolution(s, x, n_out, window=window), plain=True, widest=8))
    else:
        y = _deep(s, x, n_out, depth)
    y = _near(s, elementwise.chain(s, y, 1), skip)
    return elementwise.chain(s, join(s, skip, y), 1)


def broadcast(s: Sketch, x: Live) -> Live:
    """An image meets one number a channel, one a pixel, or one a row, made from it."""
    c = s.choose
    x = operand(s, x)
    kind = c.pick(("broadcast channels", "broadcast pixels", "broadcast of a slice"))
    s.feature(kind)
    if kind == "broadcast channels":
        y = whole(s, x, c.pick(("GlobalAveragePool", "GlobalMaxPool")))
        y = quantize(s, y, plain=True, widest=8)
        y = convolution(s, y, x.shape[1], same=True)
        y = elementwise.apply(s, y, c.pick(("Sigmoid", "Relu", "HardSigmoid"))) if c.integer(0, 1) else y
    elif kind == "broadcast pixels":
        y = convolution(s, x, 1, same=True)
    else:
        axis = c.integer(1, len(x.shape) - 1)
        inputs = [s.constant([v], np.int64) for v in (0, 1, axis)]
        real = s.real(x)
        shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
        y = replace(real, name=s.add("Slice", real.name, *inputs), shape=shape)
    y = _near(s, y, x)
    return elementwise.chain(s, join(s, x, y), 1)


def concat(s: Sketch, parts: list[Live], axis: int = 1) -> Live:
    """One behind the other; where the scales differ freely, quantized once more."""
    parts = [s.real(p) for p in parts]
    shape = list(parts[0].shape)
    shape[axis] = sum(p.shape[axis] for p in parts)
    name = s.add("Concat", *(p.name for p in parts), axis=s.choose.pick((axis, axis - len(shape))))
    scales = [float(p.scale.reshape(-1)[0]) for p in parts if p.scale is not None]
    codes = min(p.codes[0] for p in parts), max(p.codes[1] for p in parts)
    spread, signed = max(p.spread for p in parts), any(p.signed for p in parts)
    s.feature("Concat of channels" if axis == 1 else "Concat of pixels")
    x = Live(name, tuple(shape), spread, signed)
    if axis != 1 and len(set(scales)) > 1:
        return quantize(s, x, plain=True)
    column = np.concatenate([np.full(p.shape[1], v) for p, v in zip(parts, scales, strict=True)])
    same = axis != 1 or bool(np.all(column == column[0]))
    scale = np.array(scales[0]) if same else column.reshape(-1, *[1] * (len(shape) - 2))
    x = replace(x, scale=scale, codes=codes)
    return x if exact(x) else quantize(s, x, plain=True)


def branches(s: Sketch, x: Live) -> Live:
    """Convolutions of several depths side by side, then Concat."""
    c = s.choose
    s.feature("branches")
    first = quantize(s, convolution(s, x, c.integer(1, 3), same=True), plain=True, widest=8)
    parts = [first]
    alike = c.flag("Concat of pixels", 30)
    for _ in range(c.integer(1, 2)):
        y = _deep(s, x, first.shape[1] if alike else c.integer(1, 3), c.integer(1, 2))
        parts.append(_near(s, elementwise.chain(s, y, 1), first))
    if c.integer(0, 1):
        parts.reverse()
    return concat(s, parts, c.integer(2, len(x.shape) - 1) if alike else 1)


def u_shape(s: Sketch, x: Live) -> Live:
    """Down, something, and up again, where it meets what was before: Add or Concat."""
    c = s.choose
    s.feature("U-shaped")
    image = x.shape[2:]
    x = operand(s, x)
    small = maximum(s, x) if c.integer(0, 1) else convolution(s, x, c.integer(1, 4))
    small = quantize(s, small, plain=True, widest=8)
    small = quantize(s, _deep(s, small, c.integer(1, 4), c.integer(1, 2)), plain=True, widest=8)
    if c.flag("up by ConvTranspose", 40) and len(image) > 0:
        s.feature("up by ConvTranspose")
        large = transposed(s, small, c.integer(1, 4))
        large = quantize(s, large, plain=True, widest=8)
    else:
        large = small
    if large.shape[2:] != image:
        sizes = s.constant([1, large.shape[1], *image], np.int64)
        real = s.real(large)
        empty = [s.constant(np.zeros(0)), s.constant(np.zeros(0))] if s.opset < 13 else ["", ""]
        s.feature("Resize nearest", "up by Resize")
        name = s.add("Resize", real.name, *empty, sizes, mode="nearest", coordinate_transformation_mode="asymmetric")
        large = replace(real, name=name, shape=(*large.shape[:2], *image))
    if c.integer(0, 1):
        y = _near(s, large, x)
        return concat(s, [x, y])
    y = _near(s, convolution(s, large, x.shape[1], same=True), x)
    return elementwise.chain(s, join(s, x, y), 1)


def fan_out(s: Sketch, x: Live) -> Live:
    """One tensor with three to eight consumers, whose results are added or put side by side."""
    c = s.choose
    x = operand(s, x)
    count = c.pick((3, 4, 5, 8))
    if c.flag("eight consumers", 15):
        count = 8
    s.feature("fan-out", *(["eight consumers"] if count == 8 else []))
    adds = c.integer(0, 1) == 1
    parts: list[Live] = []
    for index in range(count):
        n_out = x.shape[1] if adds else 1
        y = convolution(s, x, n_out, same=True) if index == 0 or c.integer(0, 3) else s.real(x)
        if y.scale is None or not parts:
            reference = parts[0] if parts else None
            y = quantize(s, y, plain=True, widest=6) if reference is None else _near(s, y, reference, same=True)
        parts.append(y)
    if not adds:
        return concat(s, parts)
    total = parts[0]
    for part in parts[1:]:
        total = like(s, join(s, operand(s, total), operand(s, part), only="Add"), parts[0], same=True)
    return total


KINDS = tuple(dict.fromkeys(JOINS))
