"""Windows of random sizes, and the pools that slide them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.property.quantizers import DOMAINS, quantize
from tests.property.sketch import Live, Sketch

AUTO = ("auto_pad SAME_UPPER", "auto_pad SAME_LOWER", "auto_pad VALID")
LAST = "qonnx.custom_op.channels_last"


@dataclass(frozen=True)
class Wish:
    """What a window may be.

    Parameters:
        same: the result has the size of the input.
        ceiling: of pools: the last window may reach over the end.
        widest: most taps along an axis.
        dilated: how often there are dilations, in percent.
        padded: how often there are pads, in percent; with 100 there are at least two taps, and one in the padding.
        automatic: `auto_pad` may be.
    """

    same: bool = False
    ceiling: bool = False
    widest: int = 4
    dilated: int = 20
    padded: int = 50
    automatic: bool = True


@dataclass(frozen=True)
class Axis:
    """A window along one axis; `out` is how often it fits."""

    kernel: int
    stride: int
    dilation: int
    begin: int
    end: int
    out: int

    @property
    def reach(self) -> int:
        """Elements from the first tap to the last."""
        return self.dilation * (self.kernel - 1) + 1


def _fits(length: int, axis: Axis, *, ceiling: bool = False) -> int:
    """How often a window fits; with `ceiling` the last one may reach over the end."""
    over = length + axis.begin + axis.end - axis.reach
    return (-(-over // axis.stride) if ceiling else over // axis.stride) + 1


def _void(length: int, axis: Axis) -> bool:
    """Whether the window sees nothing but padding somewhere: no pool has a value there."""
    places = np.arange(axis.out)[:, None] * axis.stride + np.arange(axis.kernel) * axis.dilation - axis.begin
    return bool(np.any(~np.any((places >= 0) & (places < length), axis=1)))


def _axis(s: Sketch, length: int, wish: Wish, auto: str) -> Axis:
    """One axis that fits."""
    c = s.choose
    padded = auto != "auto_pad VALID"
    dilate = wish.dilated and c.flag("dilation", wish.dilated)
    most = min(wish.widest, length + (2 if padded else 0))
    kernel = c.integer(min(2, most) if dilate or wish.padded == 100 else 1, most)
    stride = 1 if wish.same else c.pick((1, 1, 2, 3))
    dilation = 1
    if dilate and kernel > 1:
        room = (length + (2 * (kernel - 1) if padded else 0) - 1) // (kernel - 1)
        dilation = c.integer(min(2, max(1, room)), max(1, min(3, room)))
    axis = Axis(kernel, stride, dilation, 0, 0, 0)
    if auto.startswith("auto_pad SAME"):
        # A stride over the kernel would need a negative padding, which onnxruntime's pools refuse.
        stride = min(stride, kernel)
        return replace(axis, stride=stride, out=-(-length // stride))
    if wish.same:
        begin = c.integer(0, axis.reach - 1) if c.integer(0, 1) else (axis.reach - 1) // 2
        return replace(axis, begin=begin, end=axis.reach - 1 - begin, out=length)
    if padded and kernel > 1 and c.integer(0, 99) < wish.padded:
        # Pools refuse a padding as long as their kernel.
        axis = replace(axis, begin=c.integer(int(wish.padded == 100), kernel - 1), end=c.integer(0, kernel - 1))
    short = max(0, axis.reach - length - axis.begin - axis.end)
    if short:
        axis = replace(axis, begin=min(kernel - 1, axis.begin + short) if padded and wish.padded else axis.begin)
        short = max(0, axis.reach - length - axis.begin - axis.end)
        axis = replace(axis, end=min(kernel - 1, axis.end + short) if padded and wish.padded else axis.end)
    if axis.reach > length + axis.begin + axis.end:
        axis = Axis(1, stride, 1, 0, 0, 0)
    axis = replace(axis, out=_fits(length, axis, ceiling=wish.ceiling))
    # A last window that begins in the padding is dropped by onnxruntime, but not by its inference of shapes.
    over = wish.ceiling and (axis.out - 1) * stride >= length + axis.begin
    if over or _void(length, axis):
        kernel = min(kernel, length)
        axis = Axis(kernel, 1, 1, 0, 0, length - kernel + 1)
    return axis


@dataclass(frozen=True)
class Sliding:
    """A window over all axes of an image, and how the file writes it."""

    axes: tuple[Axis, ...]
    auto: str

    @property
    def kernel(self) -> tuple[int, ...]:
        """Taps along each axis."""
        return tuple(a.kernel for a in self.axes)

    @property
    def out(self) -> tuple[int, ...]:
        """Size of the result."""
        return tuple(a.out for a in self.axes)


def sliding(s: Sketch, shape: tuple[int, ...], wish: Wish) -> Sliding:
    """A window that fits an image of this shape, without channels."""
    auto = "auto_pad NOTSET"
    if wish.automatic and not wish.same and not wish.ceiling:
        auto = s.choose.pick((*(auto,) * 7, *AUTO))
    if auto.startswith("auto_pad SAME"):
        # SAME with a dilation is computed in more than one way: executors disagree.
        wish = replace(wish, dilated=0)
    return Sliding(tuple(_axis(s, n, wish, auto) for n in shape), auto)


def attributes(s: Sketch, window: Sliding, *, names: tuple[str, ...], all_of_them: bool = False) -> dict[str, Any]:
    """The attributes of a node; those with their defaults may be missing."""
    axes = window.axes
    pads = [a.begin for a in axes] + [a.end for a in axes]
    given: dict[str, Any] = {
        "kernel_shape": list(window.kernel),
        "strides": [a.stride for a in axes],
        "dilations": [a.dilation for a in axes],
        "pads": pads,
    }
    half = len(axes)
    if any(pads):
        s.feature("pads", "asymmetric pads" if pads[:half] != pads[half:] else "symmetric pads")
    if any(a.stride > 1 for a in axes):
        s.feature("strides")
    if any(a.dilation > 1 for a in axes):
        s.feature("dilation")
    if len({(a.kernel, a.stride, a.dilation) for a in axes}) > 1:
        s.feature("window not square")
    if window.auto != "auto_pad NOTSET":
        s.feature(window.auto)
        given["auto_pad"] = window.auto.split()[1]
        del given["pads"]
    given = {name: value for name, value in given.items() if name in (*names, "auto_pad")}
    defaults = {"strides": [1] * half, "dilations": [1] * half, "pads": [0] * (2 * half)}
    if all_of_them:
        return given
    for name, value in defaults.items():
        if given.get(name) == value and s.choose.flag(f"missing {name}", 40):
            s.feature(f"missing {name}")
            del given[name]
    return given


def maximum(s: Sketch, x: Live, *, last: bool = False) -> Live:
    """A MaxPool: on codes that onnxruntime pools, on values, or on accumulators."""
    c = s.choose
    if x.kind not in (None, "int8", "uint8") or (x.kind and (x.scale is None or c.integer(0, 2) or s.opset < 12)):
        x = s.real(x)
    if x.kind is not None:
        s.feature("MaxPool of codes")
    ceiling = not last and c.flag("MaxPool ceil_mode", 30)
    image = x.shape[1:-1] if last else x.shape[2:]
    dilated = 0 if last else 100 if c.flag("MaxPool dilation", 10) else 20
    padded = 100 if c.flag("MaxPool pads", 20) else 40
    wish = Wish(ceiling=ceiling, widest=3, dilated=dilated, padded=padded, automatic=not last)
    window = sliding(s, image, wish)
    if last:
        # qonnx reads one padding for both ends.
        axes = tuple(replace(a, begin=min(a.begin, a.end), end=min(a.begin, a.end)) for a in window.axes)
        one = Axis(1, 1, 1, 0, 0, 0)
        axes = tuple(a if a.reach <= n + 2 * a.begin else one for a, n in zip(axes, image, strict=True))
        axes = tuple(replace(a, out=_fits(n, a)) for a, n in zip(axes, image, strict=True))
        window = Sliding(axes, window.auto)
    names = ("kernel_shape", "strides", "pads", *([] if last else ["dilations"]))
    given = attributes(s, window, names=names, all_of_them=last)
    if any(a.begin or a.end for a in window.axes):
        s.feature("MaxPool pads signed" if x.signed else "MaxPool pads unsigned")
    if any(a.dilation > 1 for a in window.axes):
        s.feature("MaxPool dilation")
    if last:
        s.feature("channels-last MaxPool")
        name, shape = s.add("MaxPool", x.name, domain=LAST, **given), (1, *window.out, x.shape[-1])
        s.shapes |= {x.name: x.shape, name: shape}
        return replace(x, name=name, shape=shape)
    if ceiling:
        s.feature("MaxPool ceil_mode")
        given["ceil_mode"] = 1
    return replace(x, name=s.add("MaxPool", x.name, **given), shape=(*x.shape[:2], *window.out))


def average(s: Sketch, x: Live) -> Live:
    """An AveragePool; the result is not quantized."""
    c = s.choose
    x = s.real(x)
    ceiling = c.flag("AveragePool ceil_mode", 30)
    window = sliding(s, x.shape[2:], Wish(ceiling=ceiling, dilated=20 if s.opset >= 19 else 0))
    names = ("kernel_shape", "strides", "pads", *(["dilations"] if s.opset >= 19 else []))
    given = attributes(s, window, names=names)
    included = c.flag("count_include_pad", 40)
    padded = any(a.begin or a.end for a in window.axes) or window.auto.startswith("auto_pad SAME")
    if included or c.integer(0, 1):
        given["count_include_pad"] = int(included)
    if padded:
        s.feature("AveragePool pads counted" if included else "AveragePool pads not counted")
    if included:
        s.feature("count_include_pad")
    if ceiling:
        s.feature("AveragePool ceil_mode")
        given["ceil_mode"] = 1
    name = s.add("AveragePool", x.name, **given)
    return Live(name, (*x.shape[:2], *window.out), x.spread / math.sqrt(math.prod(window.kernel)), x.signed)


def truncated(s: Sketch, x: Live) -> Live:
    """The sum of some codes without its low bits, as Brevitas writes an average: AveragePool, then Trunc."""
    c = s.choose
    if x.kind is not None or x.scale is None or x.scale.size > 1 or np.any(x.zero) or x.levels > 256:
        x = quantize(s, x, plain=True, widest=8)
    assert x.scale is not None
    size = [c.integer(1, min(3, n)) for n in x.shape[2:]]
    whole = c.flag("truncated average of the whole image", 20)
    if whole:
        s.feature("truncated average of the whole image")
        size = list(x.shape[2:])
    area, scale = math.prod(size), float(x.scale.reshape(()))
    signed = x.codes[0] < 0
    bits = max(abs(x.codes[0] + signed), x.codes[1]).bit_length() + signed
    more = math.ceil(math.log2(area))
    shape = (*x.shape[:2], *(n // k for n, k in zip(x.shape[2:], size, strict=True)))
    name = s.add("AveragePool", x.name, kernel_shape=size, strides=size)
    version = s.imports["qonnx.custom_op.general"]
    s.feature("Trunc after AveragePool", f"Trunc version {version}")
    domain = c.pick([d for d in DOMAINS[:3] if d in s.imports])
    modes = ("FLOOR", "FLOOR", "ROUND", "CEIL") if version == 2 else ("FLOOR", "FLOOR", "ROUND")
    mode = c.pick(modes)
    if version == 1:
        name = s.add("Mul", name, s.constant(float(area)))
        parts = [scale, 0, bits + more, bits]
        name = s.add("Trunc", name, *(s.parameter(p) for p in parts), domain=domain, rounding_mode=mode)
        result, spread = scale, x.spread * area / 2**more
    else:
        given = float(np.float32(scale / area))
        result = float(np.float32(given * 2**more))
        parts = [given, 0, bits + more, result, bits]
        extra: dict[str, Any] = {"signed": int(signed), "narrow": 0}
        name = s.add("Trunc", name, *(s.parameter(p) for p in parts), domain=domain, rounding_mode=mode, **extra)
        spread = x.spread
    codes = (x.codes[0] - 1, x.codes[1] + 1)
    return Live(name, shape, spread, signed, np.array(result, np.float32), codes)


def whole(s: Sketch, x: Live, kind: str) -> Live:
    """GlobalAveragePool or GlobalMaxPool."""
    x = s.real(x)
    name = s.add(kind, x.name)
    shape = (*x.shape[:2], *(1 for _ in x.shape[2:]))
    if kind == "GlobalMaxPool":
        return replace(x, name=name, shape=shape)
    return Live(name, shape, x.spread / math.sqrt(math.prod(x.shape[2:])), x.signed)
