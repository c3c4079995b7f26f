"""Quantizers of random parameters, in the file's dialect, on activations and on weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tests.frontend.qdq_files import LIMITS, dtype
from tests.property.sketch import Live, Sketch

MODES = ("ROUND", "HALF_EVEN", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN")
DOMAINS = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general", "no domain")
BITS = ("4 bits", "1 bit", "2 bits", "3 bits", "4 bits", "5 bits", "6 bits", "7 bits", "8 bits", "9 bits or more")
GRANULARITY = ("scale per tensor", "scale per tensor", "scale per tensor", "scale per channel", "scale per element")
NEW_TYPES = ("int8", "uint8", "int16", "uint16", "int4", "uint4")
TYPES_OPSET = 21


def scale_of(s: Sketch, wanted: float) -> float:
    """A scale near one that is wanted: a power of two or any float32."""
    if s.choose.pick(("scales powers of two", "scales floats")) == "scales powers of two":
        s.feature("scales powers of two")
        return float(2.0 ** np.round(np.log2(wanted)))
    s.feature("scales floats")
    return float(np.float32(wanted * s.choose.number(0.7, 1.4)))


def _bits(s: Sketch, options: tuple[str, ...] = BITS) -> int:
    word = s.choose.pick(options)
    return s.choose.integer(9, 16) if word == "9 bits or more" else int(word.split()[0])


def _spread_scales(s: Sketch, scale: float, shape: tuple[int, ...]) -> NDArray:
    """Scales that a product can take: powers of two apart."""
    return (scale * 2.0 ** s.choose.rng.integers(0, 3, shape)).astype(np.float32)


def _domain(s: Sketch) -> str:
    word = s.choose.pick((DOMAINS[0], *DOMAINS))
    s.feature(f"domain {word}")
    return "" if word == "no domain" else word


def _mode(s: Sketch) -> str:
    word = s.choose.pick((MODES[0], *MODES))
    s.feature(f"mode {word}")
    return s.choose.pick((word, word, word.lower(), word.title()))


def _width(s: Sketch, bits: int) -> str:
    """Bit width as a number or as a tensor with one element."""
    shaped = s.choose.flag("bit width as a tensor", 20)
    if shaped:
        s.feature("bit width as a tensor")
    return s.parameter(np.full((1,) if shaped else (), bits))


def _note(s: Sketch, bits: int, *, signed: bool, narrow: bool) -> None:
    s.feature("9 bits or more" if bits > 8 else f"{bits} bit{'s' if bits > 1 else ''}")
    s.feature(*(["signed"] if signed else ["unsigned"]), *(["narrow"] if narrow else []))
    if bits == 1 and signed:
        s.feature("1 bit signed")
    if (bits, signed, narrow) == (2, True, True):
        s.feature("ternary")


def _binary(s: Sketch, x: Live) -> Live:
    scale = s.parameter(scale_of(s, x.spread))
    value = float(s.constants[scale].reshape(())) if scale in s.constants else x.spread
    name = s.add("BipolarQuant", x.name, scale, domain=_domain(s))
    return Live(name, x.shape, x.spread, True, np.array(value), (-1, 1))


def quant(s: Sketch, x: Live, *, scale: float | None = None, plain: bool = False, widest: int = 16) -> Live:
    """A Quant, IntQuant or BipolarQuant on an activation.

    Args:
        s: the file.
        x: real values.
        scale: to be taken; None: one that fits.
        plain: one scale, no zero point.
        widest: most bits.
    """
    c = s.choose
    kind = "Quant" if plain else c.pick(("Quant", "Quant", "Quant", "Quant", "IntQuant", "BipolarQuant"))
    if kind == "BipolarQuant" and x.signed:
        return _binary(s, x)
    bits = min(_bits(s, BITS[1:] if s.choose.rng.random() < 0.5 else BITS), widest)
    signed = c.flag("signed", 85 if x.signed else 15)
    narrow = c.flag("narrow", 15) and bits > 1
    low, high = (-1, 1) if bits == 1 and signed else limits(bits, signed=signed, narrow=narrow)
    if scale is None:
        scale = scale_of(s, max(x.spread, 1e-3) * 2.5 / max(high, 1))
    image = len(x.shape) > 2
    granularity = "scale per tensor" if plain else c.pick(GRANULARITY[: 4 if image else None])
    scales = np.array(scale, np.float32)
    if granularity != "scale per tensor":
        channels = (x.shape[1], *(1 for _ in x.shape[2:])) if image else (x.shape[-1],)
        shape = x.shape if granularity == "scale per element" else channels
        scales = _spread_scales(s, scale, shape)
    zero = 0
    if not plain and bits > 1 and c.flag("zero point", 20):
        s.feature("zero point")
        zero = c.integer(low, high)
    zeros = np.full(scales.shape if c.integer(0, 1) else (), zero)
    s.feature(granularity)
    _note(s, bits, signed=signed, narrow=narrow)
    inputs = [s.parameter(scales), s.parameter(zeros), _width(s, bits)]
    name = s.add(
        "Quant" if kind == "BipolarQuant" else kind,
        x.name,
        *inputs,
        domain=_domain(s),
        signed=int(signed),
        narrow=int(narrow),
        rounding_mode=_mode(s),
    )
    spread = min(x.spread, (max(abs(low), high) + abs(zero)) * scale)
    return Live(name, x.shape, spread, signed or zero > 0, scales, (low, high), zero=np.array(zero))


def limits(bits: int, *, signed: bool, narrow: bool) -> tuple[int, int]:
    """Lowest and highest code of qonnx's Quant."""
    if signed:
        return -(1 << bits - 1) + narrow, (1 << bits - 1) - 1
    return 0, (1 << bits) - 1 - narrow


def truncate(s: Sketch, x: Live) -> Live:
    """A Trunc behind a quantizer with one scale; other tensors stay."""
    if x.kind is not None or x.scale is None or x.scale.size > 1 or x.codes[1] < 3:
        return x
    c, scale = s.choose, float(x.scale.reshape(()))
    drop = c.integer(1, 2)
    bits = max(x.codes[1].bit_length(), abs(x.codes[0]).bit_length()) + (x.codes[0] < 0)
    version = s.imports["qonnx.custom_op.general"]
    domain = c.pick([d for d in DOMAINS[:3] if d in s.imports])
    zero = float(x.zero.reshape(-1)[0])
    if version == 2 and zero % (1 << drop):
        return x
    s.feature(f"Trunc version {version}", f"domain {domain}")
    mode = "FLOOR" if version == 2 and c.integer(0, 1) else _mode(s)
    inputs = [scale, zero, bits, *([scale * (1 << drop)] if version == 2 else []), max(1, bits - drop)]
    attributes: dict[str, int] = {}
    if version == 2:
        attributes = {"signed": int(x.codes[0] < 0), "narrow": int(c.flag("narrow", 10) and bits - drop > 2)}
    name = s.add("Trunc", x.name, *(s.parameter(v) for v in inputs), domain=domain, rounding_mode=mode, **attributes)
    factor = (1 << drop) if version == 2 else 1
    codes = (x.codes[0] >> drop, (x.codes[1] >> drop) + 1)
    result = replace(x, name=name, scale=np.array(scale * factor, np.float32), codes=codes)
    return replace(result, spread=x.spread / (1 << drop) * factor, zero=np.array(zero / factor))


def linear(s: Sketch, x: Live, *, scale: float | None = None, plain: bool = False) -> Live:
    """A QuantizeLinear on an activation, with or without a Clip behind; its DequantizeLinear comes where it is read."""
    c = s.choose
    new = s.opset >= TYPES_OPSET
    kinds = [k for k in ("int8", "int8", "uint8", *NEW_TYPES[2:]) if new or k in ("int8", "uint8")]
    if s.dialect == "integer" or plain:
        kinds = ["int8", "uint8"]
    kind = c.pick(kinds)
    low, high = LIMITS[kind]
    absent = c.flag("zero point absent", 12) and not plain
    if absent:
        kind, (low, high) = "uint8", LIMITS["uint8"]
    lowest, highest = low, high
    clip = c.flag("Clip", 20) and kind in ("int8", "uint8") and s.dialect == "qdq"
    if clip:
        bits = c.integer(2, 7)
        lowest, highest = limits(bits, signed=low < 0, narrow=low < 0 and c.integer(0, 1) == 1)
    if scale is None:
        scale = scale_of(s, max(x.spread, 1e-3) * 2.5 / max(1, highest if x.signed and low < 0 else highest / 2))
    zero = 0 if low < 0 or absent or not x.signed else (lowest + highest) // 2
    if not absent and not plain and c.flag("zero point", 50):
        zero = c.integer(lowest, highest)
    if zero:
        s.feature("zero point")
    scales, zeros = np.array(scale, np.float32), np.array(zero)
    attributes: dict[str, int] = {}
    granularity = c.pick(GRANULARITY) if s.dialect == "qdq" and not plain and len(x.shape) > 1 else GRANULARITY[0]
    if granularity == "scale per channel" and s.opset >= 13:
        axis = 1 if len(x.shape) > 2 else c.integer(1, len(x.shape) - 1)
        scales = _spread_scales(s, scale, (x.shape[axis],))
        zeros = np.full(scales.shape, zero)
        if not absent:
            zeros = np.clip(zeros + c.rng.integers(-1, 2, zeros.shape), lowest, highest)
        attributes = {"axis": axis if c.integer(0, 1) else axis - len(x.shape)}
    granularity = "scale per channel" if scales.size > 1 or attributes else "scale per tensor"
    s.feature(granularity, f"codes {kind}", *(["zero point absent"] if absent else []))
    inputs = [s.parameter(scales), *([] if absent else [s.constant(zeros, dtype(kind))])]
    name = s.add("QuantizeLinear", x.name, *inputs, **attributes)
    if clip:
        s.feature("Clip of codes")
        ends = [s.constant(v, dtype(kind)) for v in (lowest, highest)]
        name = s.add("Clip", name, *ends)
    if s.dialect == "qdq" and c.flag("scale behind is another", 5):
        s.feature("scale behind is another")
        scales = np.asarray(scales * np.float32(c.pick((0.5, 2.0, 1.3))), np.float32)
    spread = min(x.spread, max(highest - zero, zero - lowest) * scale)
    return Live(
        name,
        x.shape,
        spread,
        low < 0 or zero > lowest,
        scales,
        (lowest, highest),
        kind,
        zeros,
        tuple(attributes.items()),
    )


def quantize(s: Sketch, x: Live, *, scale: float | None = None, plain: bool = False, widest: int = 16) -> Live:
    """A quantizer of the file's dialect."""
    x = s.real(x)
    if s.dialect == "qonnx":
        return quant(s, x, scale=scale, plain=plain, widest=widest)
    return linear(s, x, scale=scale, plain=plain)
