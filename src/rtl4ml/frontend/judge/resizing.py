"""Resize in linear mode: an integer-weighted sum of codes times its scale, rounded once, divided by the denominator."""

from collections.abc import Mapping

import numpy as np

from rtl4ml.frontend.judge.arrays import Array
from rtl4ml.frontend.judge.exact import scaled
from rtl4ml.frontend.judge.grids import Grid, NotIntegerError, uniform
from rtl4ml.frontend.judge.interpolation import interpolation
from rtl4ml.frontend.judge.operands import Operands
from rtl4ml.frontend.judge.selection import lone
from rtl4ml.frontend.judge.steps import Batch, Step


class LinearResize:
    """Linear interpolation in the place of the judge's step: `codes[tap] * weights` along each resized axis.

    Values are `fl32(sum * scale) / D`, D being the product of the axes' common denominators, as averages divide by
    their count. Where scale and D are powers of two that is one rounding, and the sums are codes on a finer grid.

    Args:
        step: the judge's step.
        operands: finds codes and grids.
        constants: the file's constants.
        shapes: of one sample's tensors.
        opset: of the file's standard operators.

    Raises:
        NotIntegerError: there are no codes, scales differ within an image, or weights are no small fractions.

    Attributes:
        grid: of the result, whose codes are the sums; None where these are divided in float32.
        exact: float32 has the executor's own weights exactly.
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
        node = lone(step, opset)
        others = {name: constants[name] for name in step.reads[1:]}
        found = interpolation(
            node.proto, others, before, after, opset, lambda ramp: node.execute({**others, step.reads[0]: ramp})[0]
        )
        if any(places.axis < 2 for places in found.places):
            raise NotIntegerError("it interpolates between channels")
        self._places, self._unit, self.exact = found.places, found.unit, found.exact
        self._scale = uniform(self._operand.grid.scale, "its scales")
        self._zero = uniform(self._operand.grid.zero_point, "its zero points")
        dyadic = not self._unit & (self._unit - 1) and bool(np.all(np.frexp(self._scale)[0] == 0.5))
        self.grid: Grid | None = None
        if dyadic or self._unit == 1:
            self._scale = self._scale / self._unit
            self._unit = 1
            self.grid = Grid(np.broadcast_to(self._scale, after), np.broadcast_to(np.int64(0), after))

    def __call__(self, batch: Batch) -> None:
        """Put values of the output, and its codes if it has any, into `batch`."""
        numbers = batch.codes[self._operand.source] - self._zero
        for places in self._places:
            axis = places.axis + 1
            second = np.minimum(places.first + 1, places.size - 1)
            along = [1] * numbers.ndim
            along[axis] = -1
            near, far = (places.unit - places.rest).reshape(along), places.rest.reshape(along)
            numbers = numbers.take(places.first, axis) * near + numbers.take(second, axis) * far
        values = scaled(numbers, [self._scale])
        if self.grid is not None:
            batch.codes[self.name] = numbers
        batch.values[self.name] = values if self._unit == 1 else values / np.float32(self._unit)
