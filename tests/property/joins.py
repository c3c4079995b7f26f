"""Networks that are no chains: residual and branched parts, choices of elements, reductions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.property import elementwise
from tests.property.products import dense
from tests.property.quantizers import quantize
from tests.property.sketch import Live, Sketch

JOINS = ("join Add", "join Add", "join Sub", "join Mul", "join Max", "join Min")


def like(s: Sketch, x: Live, reference: Live, *, same: bool = False) -> Live:
    """Quantized on the scale of another tensor; if it need not be the same, on a power of two of it or on its own."""
    assert reference.scale is not None
    scale = float(reference.scale.reshape(-1)[0])
    kinds = ("same scale", "scales a power of two apart", "scales of their own")
    kind = kinds[0] if same else s.choose.pick(kinds)
    s.feature(kind)
    if kind == "scales a power of two apart":
        scale *= s.choose.pick((0.5, 2.0, 4.0))
    return quantize(s, x, scale=None if kind == "scales of their own" else scale, plain=True, widest=8)


def operand(s: Sketch, x: Live) -> Live:
    """Quantized with one scale, no more than 8 bits: what meets another tensor."""
    if x.scale is not None and x.scale.size == 1 and x.levels <= 256:
        return x
    return quantize(s, x, plain=True, widest=8)


def join(s: Sketch, a: Live, b: Live, *, only: str | None = None) -> Live:
    """Two tensors meet, by one operator only if it is given; the result is not quantized."""
    kind = only or s.choose.pick(JOINS).removeprefix("join ")
    s.feature(f"two tensors {kind}")
    a, b = s.real(a), s.real(b)
    if s.choose.integer(0, 1):
        a, b = b, a
    spread = a.spread * b.spread if kind == "Mul" else a.spread + b.spread
    shape = np.broadcast_shapes(a.shape, b.shape)
    return Live(s.add(kind, a.name, b.name), shape, spread, a.signed or b.signed or kind == "Sub")


def residual(s: Sketch, x: Live) -> Live:
    """`x + f(x)` and its like."""
    s.feature("residual")
    x = operand(s, x)
    y = elementwise.chain(s, dense(s, x, x.shape[-1]), 2)
    y = like(s, y, x)
    if s.choose.flag("operators in front of a join", 15):
        s.feature("operators in front of a join")
        y = elementwise.apply(s, s.real(y), s.choose.pick(("Relu", "Neg", "Mul", "LeakyRelu")))
    return elementwise.chain(s, join(s, x, y), 1)


def sums(s: Sketch, x: Live) -> Live:
    """Two products added, accumulator to accumulator; or the input of a product met again broadcast."""
    s.feature("sum of products")
    x = operand(s, x)
    n = s.choose.integer(1, 12)
    a, b = s.real(dense(s, x, n)), s.real(dense(s, x, n))
    if s.choose.integer(0, 2):
        a = operand(s, a)
        b = like(s, b, a)
    else:
        s.feature("sum of accumulators")
    return join(s, a, b)


def branches(s: Sketch, x: Live) -> Live:
    """Layers side by side, then Concat."""
    s.feature("branches")
    x = x if x.scale is not None and exact(x) else quantize(s, x, plain=True)
    first = quantize(s, elementwise.chain(s, dense(s, x, s.choose.integer(2, 9)), 1), plain=True, widest=8)
    parts = [first]
    for _ in range(s.choose.integer(1, 2)):
        y = elementwise.chain(s, dense(s, x, s.choose.integer(1, 8)), 1)
        parts.append(like(s, y, first))
    return concat(s, parts)


def concat(s: Sketch, parts: list[Live]) -> Live:
    """One behind the other; where the scales differ freely, quantized once more."""
    parts = [s.real(p) for p in parts]
    name = s.add("Concat", *(p.name for p in parts), axis=s.choose.pick((1, -1)))
    scales = np.concatenate([np.full(p.size, float(p.scale.reshape(-1)[0])) for p in parts if p.scale is not None])
    codes = min(p.codes[0] for p in parts), max(p.codes[1] for p in parts)
    shape = (1, sum(p.size for p in parts))
    spread, signed = max(p.spread for p in parts), any(p.signed for p in parts)
    same = bool(np.all(scales == scales[0]))
    x = Live(name, shape, spread, signed, scales[:1].reshape(()) if same else scales, codes)
    return x if exact(x) else quantize(s, x, plain=True)


def choice(s: Sketch, x: Live) -> Live:
    """Some of the elements: Slice, Gather, or Split and a join of the halves."""
    c, n = s.choose, x.shape[-1]
    if n < 4:
        x, n = quantize(s, dense(s, x, 8), plain=True), 8
    if x.scale is not None and x.scale.size > 1:
        x = quantize(s, x, plain=True)
    kind = c.pick(("Slice", "Gather", "Split"))
    x = x if x.kind in ("int8", "uint8") else s.real(x)
    if kind == "Slice":
        start, end, step = c.integer(0, n // 2 - 1), c.integer(n // 2 + 1, n), c.integer(1, 2)
        ends = [start, end - n if end < n and c.integer(0, 1) else end]
        inputs = [s.constant([v], np.int64) for v in (*ends, c.pick((1, -1)), step)]
        size = len(range(start, end, step))
        return replace(x, name=s.add("Slice", x.name, *inputs), shape=(1, size))
    if kind == "Gather":
        indices = c.rng.integers(-n, n, c.integer(2, n))
        name = s.add("Gather", x.name, s.constant(indices, np.int64), axis=1)
        return replace(x, name=name, shape=(1, len(indices)))
    sizes = [n // 2, n // 2, n - 2 * (n // 2)] if n % 2 else [n // 2, n // 2]
    if s.opset >= 13:
        names = s.several("Split", len(sizes), x.name, s.constant(sizes, np.int64), axis=1)
    else:
        names = s.several("Split", len(sizes), x.name, split=sizes, axis=1)
    a, b = (replace(x, name=name, shape=(1, n // 2)) for name in names[:2])
    if c.integer(0, 1) or x.scale is None:
        return a if c.integer(0, 1) else b
    return quantize(s, join(s, operand(s, a), operand(s, b)), plain=True)


def reduction(s: Sketch, x: Live) -> Live:
    """ReduceSum or ReduceMean over rows or columns of a reshaped vector; the result is (1, m)."""
    c = s.choose
    x = s.real(x)
    kind = c.pick(("ReduceMean", "ReduceSum"))
    n = x.shape[-1]
    divisors = [d for d in range(1, n + 1) if n % d == 0]
    a = c.pick(divisors)
    if a == 1 and n > 1 and c.integer(0, 1):
        a = n
    name = s.add("Reshape", x.name, s.constant((1, a, n // a), np.int64))
    axis = c.pick((1, 2, -1))
    summed, left = (a, n // a) if axis == 1 else (n // a, a)
    keep = c.integer(0, 1)
    since = 13 if kind == "ReduceSum" else 18
    if s.opset >= since:
        name = s.add(kind, name, s.constant([axis], np.int64), keepdims=keep)
    else:
        name = s.add(kind, name, axes=[axis], keepdims=keep)
    if keep:
        name = s.add("Flatten", name) if c.integer(0, 1) else s.add("Reshape", name, s.constant((1, -1), np.int64))
    spread = x.spread * (np.sqrt(summed) if kind == "ReduceSum" else 1)
    return Live(name, (1, left), float(spread), x.signed)


def exact(x: Live) -> bool:
    """Whether scales differ by powers of two, so that a product may take the tensor."""
    assert x.scale is not None
    ratio = x.scale.reshape(-1).astype(np.float64) / x.scale.min()
    return bool(np.all(np.frexp(ratio)[0] == 0.5))
