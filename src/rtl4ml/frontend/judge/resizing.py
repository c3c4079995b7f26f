"""Resize in linear mode by powers of two: interpolated values lie on a finer grid, where float32 is exact."""

from collections.abc import Mapping

import numpy as np

from rtl4ml.errors import ModelError
from rtl4ml.frontend.judge.arrays import Array, IntArray
from rtl4ml.frontend.judge.exact import scaled
from rtl4ml.frontend.judge.grids import Grid, NotIntegerError, uniform
from rtl4ml.frontend.judge.operands import Operands
from rtl4ml.frontend.judge.selection import lone
from rtl4ml.frontend.judge.steps import Batch, Step


class LinearResize:
    """Linear interpolation in the place of the judge's step: `codes[tap] * weights` along each resized axis.

    Where onnxruntime interpolates comes from running the node on ramps: the interpolated ramp is the position. With a
    factor f, a power of two, positions are multiples of 1 / (2 f), and weights whole multiples of that.

    Args:
        step: the judge's step.
        operands: finds codes and grids.
        constants: the file's constants.
        shapes: of one sample's tensors.
        opset: of the file's standard operators.

    Raises:
        NotIntegerError: there are no codes, a scale or a factor is not a power of two, or values are extrapolated.

    Attributes:
        grid: of the result.
    """

    def __init__(
        self,
        step: Step,
        operands: Operands,
        constants: Mapping[str, Array],
        shapes: Mapping[str, tuple[int, ...]],
        opset: int,
    ):
        self.name, self.reads, self.writes = step.name, step.reads, step.writes
        self._operand = operands.find(step.reads[0], 1)
        self.sources = (self._operand.source,)
        before, after = shapes[step.reads[0]], shapes[step.name]
        if any(name not in constants for name in step.reads[1:]):
            raise NotIntegerError("its sizes depend on the input")
        coordinates = step.node.attribute("coordinate_transformation_mode", b"half_pixel")
        if step.node.attribute("antialias", 0) or coordinates == b"tf_crop_and_resize" or len(before) != len(after):
            raise NotIntegerError("antialias and extrapolation are not linear interpolation between codes")
        scale = uniform(self._operand.grid.scale, "its scales", first=0)
        zero = uniform(self._operand.grid.zero_point, "its zero points", first=0)
        if np.any(np.frexp(scale)[0] != 0.5):
            raise NotIntegerError("linear interpolation is exact in float32 only for scales that are powers of two")
        node = lone(step, opset)
        self._axes: list[tuple[int, IntArray, IntArray, int]] = []
        self._zero = zero.reshape(-1)[0]
        unit = 1
        for axis, (size, length) in enumerate(zip(before, after, strict=True)):
            if size == length:
                continue
            factor = length // size
            if factor * size != length or factor & (factor - 1):
                raise NotIntegerError(f"its factor along axis {axis} is {length}/{size}, not a power of two")
            along = [1] * len(before)
            along[axis] = size
            ramp = np.broadcast_to(np.arange(size, dtype=np.float32).reshape(along), before)
            inputs = {name: constants[name] for name in step.reads[1:]}
            moved = node.execute({**inputs, step.reads[0]: np.ascontiguousarray(ramp)})[0]
            places = np.moveaxis(moved, axis, 0).reshape(length, -1)[:, 0].astype(np.float64) * (2 * factor)
            if not np.array_equal(places, np.rint(places)):
                raise NotIntegerError(f"its positions along axis {axis} are not multiples of 1/{2 * factor}")
            first, rest = np.divmod(places.astype(np.int64), 2 * factor)
            self._axes.append((axis, first, rest, 2 * factor))
            unit *= 2 * factor
        self.grid = Grid(np.broadcast_to(scale.reshape(-1)[0] / unit, after), np.broadcast_to(np.int64(0), after))

    def __call__(self, batch: Batch) -> None:
        """Put codes and values of the output into `batch`."""
        numbers = batch.codes[self._operand.source] - self._zero
        for axis, first, rest, unit in self._axes:
            second = np.minimum(first + 1, numbers.shape[axis + 1] - 1)
            along = [1] * numbers.ndim
            along[axis + 1] = -1
            near, far = (unit - rest).reshape(along), rest.reshape(along)
            numbers = numbers.take(first, axis + 1) * near + numbers.take(second, axis + 1) * far
        if numbers.size and np.abs(numbers).max() >= 1 << 24:
            raise ModelError(f"sums of {self.name!r} must stay below 2**24 to be exact in float32, not reach it")
        batch.codes[self.name] = numbers
        batch.values[self.name] = scaled(numbers, [self.grid.scale])
