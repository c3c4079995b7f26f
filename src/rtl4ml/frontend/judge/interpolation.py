"""Where a linear Resize looks: the exact positions of its outputs, as fractions of a pixel.

The executor computes positions in float32, and has 3 / 3 now and then as 0.99999994. What is meant are the rational
numbers of the ONNX operator's specification (Resize, `coordinate_transformation_mode`); the executor, run on a ramp,
has to agree with them but for its last bits, so that its version's reading of the specification is the one that counts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm, prod

import numpy as np
import onnx

from rtl4ml.frontend.judge.arrays import Array, IntArray
from rtl4ml.frontend.judge.grids import NotIntegerError

MAX_UNIT = 1 << 16
"""Largest common denominator of all weights: sums grow by it."""

_MAX_RATIO = 64
"""A factor such as 0.6666667 is the fraction that it rounds, if that has no larger denominator."""

_CLOSE = 2.0**-17
"""Relative to the size: how far the executor's float32 positions may be from the exact ones."""


@dataclass(frozen=True, eq=False)
class Places:
    """One axis: output k is `(unit - rest[k]) / unit` of pixel `first[k]` and `rest[k] / unit` of the next one.

    Parameters:
        axis: of the tensor.
        size: pixels in front of the node.
        first: int64 (length,); the last pixel is the next one of itself.
        rest: int64 (length,), below `unit`.
        unit: the smallest common denominator.
        ideal: positions before they are kept within the image.
    """

    axis: int
    size: int
    first: IntArray
    rest: IntArray
    unit: int
    ideal: tuple[Fraction, ...]


@dataclass(frozen=True, eq=False)
class Interpolation:
    """All axes along which anything moves.

    Parameters:
        places: one for each such axis.
        exact: positions are multiples of a power of two, and the executor has exactly these.
    """

    places: tuple[Places, ...]
    exact: bool

    @property
    def unit(self) -> int:
        """What the integer weights of one output add up to."""
        return prod(places.unit for places in self.places)


def interpolation(
    node: onnx.NodeProto,
    constants: Mapping[str, Array],
    before: Sequence[int],
    after: Sequence[int],
    opset: int,
    run: Callable[[Array], Array],
) -> Interpolation:
    """The positions of a Resize or Upsample node in mode linear.

    Args:
        node: the node.
        constants: its inputs but the first, by name.
        before: shape of its first input.
        after: shape of its output.
        opset: of the file's standard operators.
        run: the executor's output for a first input, float32.

    Raises:
        NotIntegerError: no small fractions, or the executor interpolates in another way; the text says why.
    """
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if attributes.get("antialias", 0) or len(before) != len(after):
        raise NotIntegerError("antialias must be 0 for linear interpolation to be that of two neighbours")
    ratios = _ratios(node, attributes, constants, before, after, opset)
    old = node.op_type == "Upsample" or opset < 11
    mode = b"asymmetric" if old else attributes.get("coordinate_transformation_mode", b"half_pixel")
    places, exact = [], True
    for axis, (size, length, ratio) in enumerate(zip(before, after, ratios, strict=True)):
        if size == length and ratio == 1:
            continue
        ideal = tuple(_position(mode, Fraction(k), size, length, ratio) for k in range(length))
        within = [min(max(position, Fraction(0)), Fraction(size - 1)) for position in ideal]
        unit = lcm(*(position.denominator for position in within))
        if unit > MAX_UNIT:
            raise NotIntegerError(
                f"its positions must have a common denominator of at most {MAX_UNIT}, not {unit}, along axis {axis}"
            )
        scaled = np.array([int(position * unit) for position in within], np.int64)
        along = [1] * len(before)
        along[axis] = size
        # Other dimensions of the ramp keep their lengths: sizes may be given in numbers, not in factors.
        ramp = np.broadcast_to(np.arange(size, dtype=np.float32).reshape(along), before)
        moved = run(np.ascontiguousarray(ramp))
        found = np.moveaxis(moved, axis, 0).reshape(length, -1)[:, 0].astype(np.float64)
        if np.abs(found - scaled / unit).max() > _CLOSE * size:
            raise NotIntegerError(f"the executor interpolates between other pixels than it should along axis {axis}")
        exact = exact and not unit & (unit - 1) and np.array_equal(found * unit, scaled)
        first, rest = np.divmod(scaled, unit)
        places.append(Places(axis, size, first, rest, unit, ideal))
    result = Interpolation(tuple(places), exact)
    if result.unit > MAX_UNIT:
        raise NotIntegerError(
            f"its weights must have a common denominator of at most {MAX_UNIT}, not {result.unit}, over all axes"
        )
    return result


def _ratios(
    node: onnx.NodeProto,
    attributes: Mapping[str, object],
    constants: Mapping[str, Array],
    before: Sequence[int],
    after: Sequence[int],
    opset: int,
) -> list[Fraction]:
    """Output pixels for an input pixel, along each axis."""
    names = list(node.input)
    at = 1 if node.op_type == "Upsample" or opset < 11 else 2
    given = constants[names[at]].reshape(-1) if len(names) > at and names[at] else np.zeros(0)
    if node.op_type == "Upsample" and "scales" in attributes:
        given = np.array(attributes["scales"], np.float32)
    if not given.size:
        return [Fraction(int(length), int(size)) for size, length in zip(before, after, strict=True)]
    axes = attributes.get("axes", range(len(before)))
    ratios = [Fraction(1)] * len(before)
    for axis, factor in zip(axes, given.tolist(), strict=True):  # type: ignore[call-overload]
        near = Fraction(factor).limit_denominator(_MAX_RATIO)
        if np.float32(float(near)) != np.float32(factor):
            raise NotIntegerError(f"its factors must be small fractions, not {factor:.8g} along axis {axis}")
        ratios[int(axis) % len(before)] = near
    return ratios


def _position(mode: object, k: Fraction, size: int, length: int, ratio: Fraction) -> Fraction:
    """Position of output k, not yet kept within the image."""
    half = Fraction(1, 2)
    match mode:
        case b"asymmetric":
            return k / ratio
        case b"align_corners":
            return k * (size - 1) / (length - 1) if length > 1 else Fraction(0)
        case b"pytorch_half_pixel" if length == 1:
            return Fraction(0)
        case b"half_pixel" | b"pytorch_half_pixel":
            return (k + half) / ratio - half
        case b"half_pixel_symmetric":
            return Fraction(size, 2) * (1 - length / (ratio * size)) + (k + half) / ratio - half
    name = mode.decode(errors="replace") if isinstance(mode, bytes) else mode
    raise NotIntegerError(
        "coordinate_transformation_mode must be half_pixel, half_pixel_symmetric, pytorch_half_pixel, asymmetric or "
        f"align_corners, not {name}"
    )
