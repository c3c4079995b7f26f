"""Operators that move the pixels and channels of an image: nothing is computed, but for the linear Resize."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from tests.property.joins import join
from tests.property.quantizers import quantize
from tests.property.sketch import Live, Sketch

LARGEST = 12
"""Pixels along an axis, behind what makes images larger."""

NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
COORDINATES = ("half_pixel", "asymmetric", "pytorch_half_pixel", "align_corners")


def plain(s: Sketch, x: Live) -> Live:
    """With one scale for all channels, so that these may change places."""
    return x if x.scale is None or x.scale.size == 1 else quantize(s, x, plain=True)


def movable(s: Sketch, x: Live) -> Live:
    """With one scale: its values, or now and then bytes that are moved as codes."""
    x = plain(s, x)
    if x.kind in ("int8", "uint8") and not x.attributes and s.choose.flag("moved as codes", 30):
        s.feature("moved as codes")
        return x
    return s.real(x)


def _moved(x: Live, name: str, shape: tuple[int, ...]) -> Live:
    return replace(x, name=name, shape=shape)


def _integers(s: Sketch, values: ArrayLike) -> str:
    return s.constant(values, np.int64)


def slices(s: Sketch, x: Live) -> Live:
    """Slice along one or more axes; steps of 1, 2 or backwards, ends counted from either side."""
    c, x = s.choose, movable(s, x)
    axes = [a for a in range(1, len(x.shape)) if x.shape[a] > 1 and c.integer(0, 1)]
    if c.flag("Slice of channels", 20) and x.shape[1] > 1:
        axes = [1]
    axes = axes or [max(range(1, len(x.shape)), key=lambda a: x.shape[a])]
    starts, ends, steps, shape = [], [], [], list(x.shape)
    for axis in axes:
        n = x.shape[axis]
        start, end = sorted((c.integer(0, (n - 1) // 2), c.integer(n // 2 + 1, n) if n > 1 else n))
        word = "steps of 1" if n < 3 else c.pick(("steps of 1", "steps of 1", "Slice step 2", "Slice backwards"))
        step = {"Slice step 2": 2, "Slice backwards": -1}.get(word, 1)
        if step < 0:
            s.feature("Slice backwards")
            start, end, size = end - 1, start - 1 if start else -n - 1, end - start
        else:
            size = len(range(start, end, step))
            start, end = (start - n if c.integer(0, 1) else start), (2**31 if end == n and c.integer(0, 1) else end)
        if step == 2:
            s.feature("Slice step 2")
        starts.append(start)
        ends.append(end)
        steps.append(step)
        shape[axis] = size
    s.feature(*(f"Slice of {'channels' if a == 1 else 'pixels'}" for a in axes))
    inputs = [_integers(s, v) for v in (starts, ends, axes, steps)]
    return _moved(x, s.add("Slice", x.name, *inputs), tuple(shape))


def split(s: Sketch, x: Live) -> Live:
    """Split into parts that differ in size; some come together again, in another order."""
    c, x = s.choose, movable(s, x)
    axes = [a for a in range(1, len(x.shape)) if x.shape[a] > 1]
    if not axes:
        return x
    pixels = c.flag("Split of pixels", 40)
    axis = 1 if 1 in axes and not pixels else axes[-1]
    n = x.shape[axis]
    parts = c.integer(2, min(3, n))
    if n % parts == 0 and c.integer(0, 2):
        sizes = [n // parts] * parts
    else:
        cuts = sorted(c.rng.choice(np.arange(1, n), parts - 1, replace=False).tolist())
        sizes = np.diff([0, *cuts, n]).tolist()
    written = axis if c.integer(0, 1) else axis - len(x.shape)
    if s.opset < 13:
        names = s.several("Split", parts, x.name, split=sizes, axis=written)
    elif len(set(sizes)) == 1 and s.opset >= 18 and c.integer(0, 1):
        names = s.several("Split", parts, x.name, num_outputs=parts, axis=written)
    else:
        names = s.several("Split", parts, x.name, _integers(s, sizes), axis=written)
    s.feature(
        "Split of channels" if axis == 1 else "Split of pixels", *(["Split evenly"] if len(set(sizes)) == 1 else [])
    )
    lives = [
        _moved(x, name, (*x.shape[:axis], size, *x.shape[axis + 1 :])) for name, size in zip(names, sizes, strict=True)
    ]
    if sizes[0] == sizes[1] and x.scale is not None and c.flag("Split and join", 60):
        s.feature("Split and join")
        return join(s, lives[0], lives[1])
    kept = lives[: c.integer(1, parts)][::-1]
    if len(kept) == 1:
        return kept[0]
    s.feature("Split and Concat")
    kept = [s.real(k) for k in kept]
    shape = (*x.shape[:axis], sum(k.shape[axis] for k in kept), *x.shape[axis + 1 :])
    return _moved(kept[0], s.add("Concat", *(k.name for k in kept), axis=written), shape)


def pad(s: Sketch, x: Live) -> Live:
    """Pad with 0, with another code, by reflection or by the edge; now and then it cuts instead."""
    c, x = s.choose, s.real(plain(s, x))
    mode = c.pick(("Pad constant 0", "Pad constant 0", "Pad constant", "Pad reflect", "Pad edge"))
    rank = len(x.shape)
    begins, ends = np.zeros(rank, int), np.zeros(rank, int)
    axes = list(range(2, rank))
    if mode.startswith("Pad constant") and c.flag("Pad of channels", 20):
        s.feature("Pad of channels")
        axes.append(1)
    for axis in axes:
        most = min(2, x.shape[axis] - 1) if mode == "Pad reflect" else 2
        begins[axis], ends[axis] = c.integer(0, most), c.integer(0, most)
    if mode.startswith("Pad constant") and x.shape[2] > 2 and c.flag("Pad cuts", 20):
        s.feature("Pad cuts")
        begins[2] = -1
    s.feature(mode)
    inputs = [x.name, _integers(s, [*begins, *ends])]
    if mode == "Pad constant":
        assert x.scale is not None
        # A value that has a code.
        code = c.integer(x.codes[0], x.codes[1])
        value = np.float32((code - int(x.zero.reshape(-1)[0])) * x.scale.reshape(-1)[0])
        inputs.append(s.constant(value))
    given = {} if mode.startswith("Pad constant") and c.integer(0, 1) else {"mode": mode.split()[1]}
    shape = tuple(int(n + b + e) for n, b, e in zip(x.shape, begins, ends, strict=True))
    return _moved(x, s.add("Pad", *inputs, **given), shape)


def resize(s: Sketch, x: Live, *, linear: bool) -> Live:
    """Resize: to the nearest pixel by any factors, or linearly by integers, which gives values off the grid."""
    c = s.choose
    image = x.shape[2:]
    linear = linear and len(image) == 2
    x = s.real(x) if linear else (s.real(plain(s, x)) if c.integer(0, 3) or s.opset < 13 else movable(s, x))
    whole = linear or not c.flag("Resize by fractions", 30)
    factors = []
    for n in image:
        most = max(1, LARGEST // n)
        if whole:
            factors.append(float(c.integer(1, min(3, most))))
        else:
            options = [f for f in (0.5, 1.5, 2.5, 2.0 / 3.0, 1.0) if 1 <= int(n * f) <= LARGEST]
            factors.append(c.pick(options))
    if whole and all(f == 1 for f in factors) and min(image) <= LARGEST // 2:
        factors[int(np.argmin(image))] = 2.0
    sizes = [int(np.floor(n * np.float32(f))) for n, f in zip(image, factors, strict=True)]
    if not whole:
        s.feature("Resize by fractions")
    if len(set(factors)) > 1:
        s.feature("Resize factors differ")
    if len(set(image)) > 1:
        s.feature("Resize of an image that is not square")
    s.feature("Resize linear" if linear else "Resize nearest")
    given: dict[str, str] = {"mode": "linear" if linear else "nearest"}
    coordinates = c.pick(COORDINATES[:3] if linear else COORDINATES)
    if coordinates != "half_pixel" or c.integer(0, 1):
        given["coordinate_transformation_mode"] = coordinates
    s.feature(f"{'linear' if linear else 'nearest'} {coordinates}")
    if not linear:
        rounding = c.pick(NEAREST)
        s.feature(f"nearest_mode {rounding}")
        if rounding != NEAREST[0] or c.integer(0, 1):
            given["nearest_mode"] = rounding
    if c.flag("Resize by sizes", 40):
        s.feature("Resize by sizes")
        inputs = ["", "", _integers(s, [*x.shape[:2], *sizes])]
    else:
        inputs = ["", s.constant([1, 1, *factors])]
    if s.opset < 13:
        inputs[0] = s.constant(np.zeros(0))
        if len(inputs) == 3:
            inputs[1] = s.constant(np.zeros(0))
    name = s.add("Resize", x.name, *inputs, **given)
    shape = (*x.shape[:2], *sizes)
    return Live(name, shape, x.spread, x.signed) if linear else _moved(x, name, shape)


def depth_to_space(s: Sketch, x: Live) -> Live:
    """DepthToSpace in both orders; the channels must be a multiple of 4."""
    x = s.real(plain(s, x))
    mode = s.choose.pick(("DCR", "CRD"))
    s.feature(f"DepthToSpace {mode}")
    given = {"blocksize": 2} if mode == "DCR" and s.choose.integer(0, 1) else {"blocksize": 2, "mode": mode}
    _, n, height, width = x.shape
    return _moved(x, s.add("DepthToSpace", x.name, **given), (1, n // 4, 2 * height, 2 * width))


def space_to_depth(s: Sketch, x: Live) -> Live:
    """SpaceToDepth; an image with an odd height or width is cut first."""
    x = s.real(plain(s, x))
    _, n, height, width = x.shape
    if height % 2 or width % 2:
        ends = _integers(s, [height // 2 * 2, width // 2 * 2])
        x = _moved(x, s.add("Slice", x.name, _integers(s, [0, 0]), ends, _integers(s, [2, 3])), (1, n, height, width))
    shape = (1, 4 * n, height // 2, width // 2)
    return _moved(x, s.add("SpaceToDepth", x.name, blocksize=2), shape)


def transpose(s: Sketch, x: Live) -> Live:
    """Axes change places; what were rows may be channels afterwards."""
    x = movable(s, x)
    rank = len(x.shape)
    orders = {3: ((0, 2, 1),), 4: ((0, 1, 3, 2), (0, 2, 3, 1), (0, 3, 1, 2), (0, 2, 1, 3), (0, 3, 2, 1))}[rank]
    order = s.choose.pick(orders)
    if order[1] != 1:
        s.feature("Transpose of channels")
    name = s.add("Transpose", x.name, perm=list(order))
    return _moved(x, name, tuple(x.shape[a] for a in order))


def there_and_back(s: Sketch, x: Live, inner: Callable[[Live], Live]) -> Live:
    """Channels last, something done to them, channels first again.

    Args:
        s: the file.
        x: (1, channels, *image).
        inner: gets and returns (1, *image, channels).
    """
    rank = len(x.shape)
    last, first = [0, *range(2, rank), 1], [0, rank - 1, *range(1, rank - 1)]
    name = s.add("Transpose", x.name, perm=last)
    y = inner(_moved(x, name, tuple(x.shape[a] for a in last)))
    y = s.real(plain(s, y))
    return _moved(y, s.add("Transpose", y.name, perm=first), tuple(y.shape[a] for a in first))


def shuffle(s: Sketch, x: Live) -> Live:
    """Channels of groups interleaved: Reshape, Transpose, Reshape."""
    x = s.real(plain(s, x))
    n, image = x.shape[1], x.shape[2:]
    groups = s.choose.pick([g for g in range(1, n + 1) if n % g == 0][::-1])
    s.feature("channel shuffle")
    name = s.add("Reshape", x.name, _integers(s, [1, groups, n // groups, *image]))
    name = s.add("Transpose", name, perm=[0, 2, 1, *range(3, 3 + len(image))])
    return _moved(x, s.add("Reshape", name, _integers(s, [1, n, *image])), x.shape)
