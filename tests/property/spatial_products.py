"""Convolutions and their transposes, with random weights and windows."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from tests.property.products import Storage, constant_bias, constant_weights
from tests.property.sketch import Live, Sketch
from tests.property.spatial_windows import LAST, Sliding, Wish, attributes, sliding


def convolution(
    s: Sketch,
    x: Live,
    n_out: int,
    *,
    groups: int = 1,
    window: Sliding | None = None,
    same: bool = False,
    last: bool = False,
) -> Live:
    """A Conv with random weights, with or without a bias.

    Args:
        s: the file.
        x: quantized, (1, channels, *image); with `last` (1, *image, channels).
        n_out: channels of the result, a multiple of the groups.
        groups: that divide the channels.
        window: None: a random one.
        same: the result has the size of the input.
        last: qonnx's operator on channels that are last.
    """
    x = s.real(x)
    n_in, image = (x.shape[-1], x.shape[1:-1]) if last else (x.shape[1], x.shape[2:])
    if window is None:
        unpadded = not same and s.choose.flag("unpadded", 25)
        window = sliding(s, image, Wish(same=same, padded=0 if unpadded else 50, automatic=not last))
    n_taps = n_in // groups * math.prod(window.kernel)
    s.feature(f"Conv {len(image)}-D", *_kinds(n_in, n_out, groups, window))
    weights = constant_weights(s, n_taps, n_out, Storage(0, (n_in // groups, *window.kernel), last))
    given = attributes(s, window, names=("kernel_shape", "strides", "dilations", "pads"), all_of_them=last)
    if not last and s.choose.flag("missing kernel_shape", 30):
        s.feature("missing kernel_shape")
        del given["kernel_shape"]
    if groups > 1 or last or not s.choose.flag("missing group", 50):
        given["group"] = groups
    else:
        s.feature("missing group")
    spread = float(x.spread * weights.spread * np.sqrt(n_taps))
    bias = constant_bias(s, x, weights, n_out, spread)
    inputs = [x.name, weights.name, *([] if bias is None else [bias])]
    if last:
        s.feature("channels-last Conv")
        name = s.add("Conv", *inputs, domain=LAST, **given)
        s.shapes[weights.name] = (n_out, *window.kernel, n_in // groups)
        s.shapes |= {x.name: x.shape, name: (1, *window.out, n_out)}
        return Live(name, (1, *window.out, n_out), spread)
    return Live(s.add("Conv", *inputs, **given), (1, n_out, *window.out), spread)


def _kinds(n_in: int, n_out: int, groups: int, window: Sliding) -> list[str]:
    kinds = []
    if math.prod(window.kernel) == 1:
        kinds.append("pointwise")
    if groups > 1:
        multiplier = n_out // n_in
        kinds.append(f"depthwise multiplier {multiplier}" if groups == n_in and n_out % n_in == 0 else "groups")
    return kinds


def transposed(s: Sketch, x: Live, n_out: int) -> Live:
    """A ConvTranspose of random weights; the result is not much larger than 12 pixels along each axis."""
    c = s.choose
    x = s.real(x)
    n_in, image = x.shape[1], x.shape[2:]
    groups = 1
    if c.flag("ConvTranspose groups", 30) and n_in > 1:
        groups = c.pick([g for g in range(2, n_in + 1) if n_in % g == 0])
        n_out = groups * c.integer(1, 2)
    if groups > 1:
        s.feature("ConvTranspose groups")
    rows: list[tuple[int, ...]] = []
    for n in image:
        stride = c.pick((2, 1, 3)) if n <= 5 else c.pick((1, 1, 2))
        taps, dilation = c.integer(1, 4), c.pick((1, 1, 1, 2))
        reach = dilation * (taps - 1) + 1
        extra = c.integer(1, stride - 1) if stride > 1 and c.flag("output_padding", 40) else 0
        full = (n - 1) * stride + reach + extra
        begin = c.integer(0, min(reach - 1, (full - 1) // 2)) if c.integer(0, 1) else 0
        end = c.integer(0, min(reach - 1, (full - 1) // 2)) if c.integer(0, 1) else begin
        rows.append((taps, stride, dilation, begin, end, extra, full - begin - end))
    kernel, strides, dilations, begins, ends, more, out = (list(column) for column in zip(*rows, strict=True))
    s.feature(*(["output_padding"] if any(more) else []), *(["ConvTranspose strides"] if max(strides) > 1 else []))
    s.feature(*(["ConvTranspose dilation"] if max(dilations) > 1 else []))
    given: dict[str, Any] = {"kernel_shape": kernel, "strides": strides}
    defaults = (
        ("dilations", dilations, 1),
        ("pads", begins + ends, 0),
        ("output_padding", more, 0),
        ("group", groups, 1),
    )
    given |= {n: v for n, v, default in defaults if np.any(np.array(v) != default) or c.integer(0, 1)}
    storage = Storage(1, (n_in, *kernel))
    n_group = n_out // groups
    weights = constant_weights(s, n_in * math.prod(kernel), n_group, storage)
    if weights.scale.ndim:
        weights = replace(weights, scale=np.tile(weights.scale, groups))
    met = n_in // groups * math.prod(kernel) / math.prod(strides)
    spread = float(x.spread * weights.spread * np.sqrt(max(1.0, met)))
    bias = constant_bias(s, x, weights, n_out, spread)
    inputs = [x.name, weights.name, *([] if bias is None else [bias])]
    return Live(s.add("ConvTranspose", *inputs, **given), (1, n_out, *out), spread)
