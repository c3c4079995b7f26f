"""Elementwise operators with constants and layout operators, of random parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tests.property.sketch import Live, Sketch

CONSTANTS = ("Add", "Sub", "Mul", "Div", "Max", "Min")
PIECEWISE = ("Relu", "LeakyRelu", "PRelu", "ThresholdedRelu", "Clip", "Abs", "Neg", "Dropout", "Identity")
CURVES = (
    *(
        "Sigmoid",
        "HardSigmoid",
        "Tanh",
        "Elu",
        "Selu",
        "Celu",
        "Softplus",
        "Softsign",
        "HardSwish",
        "Erf",
        "Exp",
        "Sqrt",
    ),
    *("Gelu", "Mish", "Log", "Reciprocal", "Pow", "Sign", "Floor", "Ceil", "Round"),
)
SINCE = {"HardSwish": 14, "Gelu": 20, "Mish": 18, "Celu": 12}
"""Opsets that brought an operator."""

FEATURES = (*CONSTANTS, "BatchNormalization", *PIECEWISE, *CURVES)

COMMON = ("Relu", "BatchNormalization", "Relu", "BatchNormalization", "Mul", "Add", "Clip", "Sub", "Div", "LeakyRelu")


def _per_channel(s: Sketch, x: Live, make: Callable[[tuple[int, ...]], np.ndarray]) -> str:
    """A constant for all elements or for each, in one of the shapes that broadcast."""
    channels = (x.shape[-1],) if len(x.shape) <= 2 else (x.shape[1], *(1 for _ in x.shape[2:]))
    shape = s.choose.pick(((), channels, (1,), (1, *channels)))
    return s.parameter(make(shape))


def _constant_operand(s: Sketch, x: Live, kind: str) -> Live:
    c, spread, signed = s.choose, x.spread, True
    first = c.flag("constant first", 25)
    if kind in ("Mul", "Div"):
        if c.flag("factors powers of two", 30):
            constant = _per_channel(s, x, lambda shape: 2.0 ** c.rng.integers(-1, 2, shape))
        else:
            constant = _per_channel(
                s, x, lambda shape: c.rng.choice([-1, 1, 1, 1], shape) * c.rng.uniform(0.5, 2, shape)
            )
        first = first and kind == "Mul"
    else:
        constant = _per_channel(s, x, lambda shape: c.rng.normal(size=shape) * spread)
        signed = kind != "Max" or x.signed
    if first:
        s.feature("constant first")
    name = s.add(kind, *((constant, x.name) if first else (x.name, constant)))
    return replace(x, name=name, spread=spread, signed=signed)


def _batch_normalization(s: Sketch, x: Live) -> Live:
    c, n = s.choose, x.shape[1]
    gain = c.rng.uniform(0.3, 1.5, n)
    if c.flag("negative gains", 50):
        s.feature("negative gains")
        gain *= c.rng.choice([-1, 1], n)
        gain[0] = -abs(gain[0])
    if c.flag("zero gain", 5):
        s.feature("zero gain")
        gain[0] = 0
    mean = c.rng.normal(size=n) * x.spread
    variance = (c.rng.uniform(0.3, 2, n) * x.spread) ** 2 + 1e-3
    inputs = [s.parameter(v) for v in (gain, c.rng.normal(size=n), mean, variance)]
    attributes = {} if c.integer(0, 1) else {"epsilon": c.pick((1e-3, 1e-6, 0.1))}
    return replace(x, name=s.add("BatchNormalization", x.name, *inputs, **attributes), spread=1.5, signed=True)


def _clip(s: Sketch, x: Live) -> Live:
    c = s.choose
    low = "" if c.integer(0, 2) == 0 else s.parameter(-x.spread * c.number(0.1, 2) * c.integer(0, 1))
    high = "" if low and c.integer(0, 2) == 0 else s.parameter(x.spread * c.number(0.5, 2))
    inputs = [x.name, low, *([high] if high else [])]
    name = s.add("Clip", *inputs)
    unsigned = low in s.constants and s.constants[low].reshape(()) == 0
    return replace(x, name=name, signed=x.signed and not unsigned)


def _piecewise(s: Sketch, x: Live, kind: str) -> Live:
    c = s.choose
    if kind == "Clip":
        return _clip(s, x)
    if kind == "PRelu":
        negative = c.flag("negative slopes", 20)
        if negative:
            s.feature("negative slopes")
        slope = _per_channel(s, x, lambda shape: c.rng.uniform(-0.5 if negative else 0.01, 0.5, shape))
        return replace(x, name=s.add(kind, x.name, slope))
    if kind == "Dropout":
        training = [s.constant(0.5), s.constant(value=False, dtype=bool)] if s.opset >= 12 and c.integer(0, 1) else []
        return replace(x, name=s.add(kind, x.name, *training))
    attributes: dict[str, float] = {}
    if kind == "LeakyRelu" and c.integer(0, 3):
        attributes["alpha"] = c.pick((0.1, 0.125, 0.3, -0.2))
    if kind == "ThresholdedRelu" and c.integer(0, 1):
        attributes["alpha"] = x.spread * c.number(0.1, 1)
    signed = x.signed and kind not in ("Relu", "ThresholdedRelu", "Abs")
    return replace(x, name=s.add(kind, x.name, **attributes), signed=signed or kind == "Neg")


def _normalised(s: Sketch, x: Live, percent: int) -> Live:
    """Brought to where curves bend, most of the time."""
    if 0.3 <= x.spread <= 3 or s.choose.integer(0, 99) >= percent:
        return x
    factor = 2.0 ** -np.round(np.log2(x.spread)) if s.choose.integer(0, 1) else 1 / x.spread
    return replace(x, name=s.add("Mul", x.name, s.constant(factor)), spread=1.0)


def _curve(s: Sketch, x: Live, kind: str) -> Live:
    c = s.choose
    x = _normalised(s, x, 100 if kind in ("Exp", "Pow", "Reciprocal", "Log") else 75)
    attributes: dict[str, float | str] = {}
    inputs: list[str] = []
    if kind in ("Sqrt", "Log", "Reciprocal") and x.signed:
        x = replace(x, name=s.add(c.pick(("Relu", "Abs")), x.name))
    if kind in ("Log", "Reciprocal"):
        x = replace(x, name=s.add("Add", x.name, s.constant(c.pick((0.25, 0.3, 1.0)))))
    if kind == "Pow":
        inputs = [s.constant(c.pick((2.0, 3.0)))]
    if kind in ("Elu", "Celu") and c.integer(0, 1):
        attributes["alpha"] = c.pick((0.5, 1.7))
    if kind == "HardSigmoid" and c.integer(0, 1):
        attributes |= {"alpha": 0.25, "beta": 0.45}
    if kind == "Gelu" and c.integer(0, 1):
        attributes["approximate"] = "tanh"
    spread, signed = x.spread, x.signed
    if kind in ("Sigmoid", "HardSigmoid", "Tanh", "Softsign", "Erf", "Sign"):
        spread = 0.6
    if kind in ("Sigmoid", "HardSigmoid", "Softplus", "Exp", "Sqrt", "Reciprocal"):
        signed = False
    if kind == "Exp":
        spread = 2.0
    if kind == "Log":
        signed = True
    return replace(x, name=s.add(kind, x.name, *inputs, **attributes), spread=spread, signed=signed)


def apply(s: Sketch, x: Live, kind: str) -> Live:
    """One operator on real values.

    Args:
        s: the file.
        x: real values.
        kind: of `FEATURES`.
    """
    x = replace(x, scale=None)
    if s.opset < SINCE.get(kind, 0):
        kind = "Relu"
    if kind in CONSTANTS:
        return _constant_operand(s, x, kind)
    if kind == "BatchNormalization":
        return _batch_normalization(s, x)
    return _piecewise(s, x, kind) if kind in PIECEWISE else _curve(s, x, kind)


def chain(s: Sketch, x: Live, longest: int = 3) -> Live:
    """Some operators one after the other; what holds codes is read as values first."""
    c = s.choose
    length = c.integer(0, longest)
    wanted = [kind for kind in FEATURES if c.flag(f"chain {kind}", 0)]
    kinds = wanted + [c.pick((*COMMON, *FEATURES)) for _ in range(length)]
    if not kinds:
        return x
    x = s.real(x)
    if len(x.shape) < 2:
        kinds = [k for k in kinds if k != "BatchNormalization"]
    for kind in kinds:
        x = apply(s, x, kind)
    return x


def layout(s: Sketch, x: Live) -> Live:
    """Operators that move elements and end in the same shape (1, n)."""
    c, n = s.choose, x.size
    kinds = ("Reshape", "Transpose", "Unsqueeze", "Flatten", "Identity", "Dropout")
    kind = c.pick(kinds)
    if x.kind is not None and kind in ("Dropout", "Identity"):
        kind = "Identity"
        x = x if x.kind in ("int8", "uint8") else s.real(x)
    if kind in ("Identity", "Dropout"):
        return replace(x, name=s.add(kind, x.name))
    plain = x.scale is None or x.scale.size == 1
    # onnxruntime moves bytes only: other codes are read first.
    x = x if plain and x.kind in (None, "int8", "uint8") else s.real(x)
    keeps = not plain and kind == "Transpose"
    divisors = [d for d in range(1, n + 1) if n % d == 0]
    a = c.pick(divisors)
    b = n // a
    if kind == "Unsqueeze":
        name = squeeze(s, "Unsqueeze", x.name, [1])
        name = squeeze(s, "Squeeze", name, [1])
        return replace(x, name=name)
    name = s.add("Reshape", x.name, s.constant((c.pick((1, 0, -1)), a, b), np.int64))
    if kind == "Transpose":
        name = s.add("Transpose", name, perm=[0, 2, 1])
    name = s.add("Flatten", name, axis=1) if c.integer(0, 1) else s.add("Reshape", name, s.constant((1, -1), np.int64))
    scale = x.scale
    if keeps and scale is not None:
        scale = np.broadcast_to(scale, x.shape).reshape(1, a, b).transpose(0, 2, 1).reshape(1, n)
    return replace(x, name=name, scale=scale)


def squeeze(s: Sketch, kind: str, name: str, axes: list[int]) -> str:
    """Squeeze or Unsqueeze, its axes where the opset has them."""
    if s.opset >= 13:
        return s.add(kind, name, s.parameter(axes, np.int64))
    return s.add(kind, name, axes=axes)
