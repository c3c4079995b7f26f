"""A MatMul or Gemm from integer codes: `fl32(sum * scale * alpha + beta * bias)`, the sum an integer, rounded once."""

from collections.abc import Mapping

import numpy as np

from rtl4ml.errors import ModelError
from rtl4ml.frontend.judge.arrays import Array, FloatArray, IntArray, expand
from rtl4ml.frontend.judge.exact import scaled, two_product
from rtl4ml.frontend.judge.grids import Grid, NotIntegerError, common_scale
from rtl4ml.frontend.judge.operands import Operand
from rtl4ml.frontend.judge.steps import Batch, Step

_EXACT_FLOAT = 2**53
_EXACT_INTEGER = 2**63


class _Factor:
    """An operand made ready for summation: whole numbers on a scale that does not vary along the summed axis.

    Args:
        operand: the operand.
        axis: the summed axis, -1 or -2.
        transpose: Gemm's transA or transB.
    """

    def __init__(self, operand: Operand, axis: int, transpose: bool):
        self._operand, self._transpose = operand, transpose
        grid = operand.grid
        scale = grid.scale.T if transpose else grid.scale
        if not np.array_equal(scale.astype(np.float32), scale):
            raise NotIntegerError("a scale is not a float32 number")
        common = common_scale(scale, axis)
        if common is None:
            raise NotIntegerError("its scales along the summed axis are not positive with powers of two as ratios")
        self.scale, self._shifts = common
        self._zero = grid.zero_point.T if transpose else grid.zero_point
        self.rank = scale.ndim
        self.constant = None if operand.codes is None else self._prepare(operand.codes[np.newaxis])

    def _prepare(self, codes: IntArray) -> IntArray:
        if self._transpose:
            codes = codes.swapaxes(-1, -2)
        numbers: IntArray = codes - self._zero
        if int(np.abs(numbers).max(initial=0)) * int(self._shifts.max(initial=1)) >= _EXACT_INTEGER:
            raise ModelError("codes on a common scale must stay below 2**63, not exceed it")
        return numbers * self._shifts

    def numbers(self, batch: Batch) -> IntArray:
        """The whole numbers, `[count or 1, *shape]`."""
        if self.constant is not None:
            return self.constant
        return self._prepare(batch.codes[self._operand.source])


class Product:
    """One integer MatMul or Gemm in the place of the judge's step.

    Args:
        step: the judge's step.
        left: first operand.
        right: second operand.
        constants: the file's constants.
        shape: shape of the output.

    Raises:
        NotIntegerError: scales do not factor out of the sum.
    """

    def __init__(
        self, step: Step, left: Operand, right: Operand, constants: Mapping[str, Array], shape: tuple[int, ...]
    ):
        node = step.node
        gemm = node.op_type == "Gemm"
        self.name = step.name
        self.reads, self.writes = step.reads, step.writes
        self.sources = tuple(operand.source for operand in (left, right) if operand.codes is None)
        self._shape = shape
        self._left = _Factor(left, -1, bool(gemm and node.attribute("transA", 0)))
        self._right = _Factor(right, -2, bool(gemm and node.attribute("transB", 0)))
        alpha = float(node.attribute("alpha", 1.0)) if gemm else 1.0
        scale = np.broadcast_to(self._left.scale * self._right.scale, shape)  # 24 + 24 bits: exact
        self.grid = Grid(scale, np.zeros(shape, np.int64), alpha)
        self._scale: list[FloatArray] = [scale] if alpha == 1.0 else list(two_product(scale, np.asarray(alpha)))
        self._beta = float(node.attribute("beta", 1.0)) if gemm and len(node.inputs) > 2 else 0.0
        self._addend = node.inputs[2] if self._beta else ""
        self._constants = constants

    def __call__(self, batch: Batch) -> None:
        """Put sums and values of the output into `batch`."""
        sums = np.broadcast_to(self._sum(batch), (batch.count, *self._shape))
        addend: FloatArray | None = None
        if self._addend:
            value = self._constants[self._addend] if self._addend in self._constants else batch.values[self._addend]
            if self._addend not in self._constants:
                value = expand(value, 2)
            if not np.isfinite(value).all():
                raise ModelError(f"the bias of {self.name!r} must be finite, not NaN or infinite")
            addend = value.astype(np.float64) * self._beta  # 24 + 24 bits: exact
        batch.own_codes[self.name] = batch.codes[self.name] = sums
        batch.values[self.name] = scaled(sums, self._scale, addend)

    def _sum(self, batch: Batch) -> IntArray:
        """The exact integer product, through float64 matrix products where no partial sum can exceed 2**53."""
        rank = max(self._left.rank, self._right.rank)
        left, right = expand(self._left.numbers(batch), rank), expand(self._right.numbers(batch), rank)
        bound = int(np.abs(left).max(initial=0)) * int(np.abs(right).max(initial=0)) * left.shape[-1]
        if bound >= _EXACT_INTEGER:
            raise ModelError(f"sums of {self.name!r} must stay below 2**63, not {bound}")
        if bound >= _EXACT_FLOAT:
            return left @ right
        if right.size == right.shape[-1] * right.shape[-2]:  # one matrix for all rows of all samples
            rows = left.reshape(-1, left.shape[-1]).astype(np.float64)
            product = rows @ right.reshape(right.shape[-2:]).astype(np.float64)
            return product.reshape(*left.shape[:-1], right.shape[-1]).astype(np.int64)
        return (left.astype(np.float64) @ right.astype(np.float64)).astype(np.int64)
