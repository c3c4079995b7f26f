"""MatMulInteger, QLinearMatMul and QGemm with exact sums, in the place of the executor's kernels.

On processors without VNNI onnxruntime adds pairs of uint8 x int8 products in 16 bits, which saturates. The sums here
are exact; the requantisation is the kernel's own formula (MlasRequantizeOutput): the sum rounded to float32, times
`alpha * a_scale * b_scale / y_scale` (float32, from left to right), clamped, rounded half to even, plus the zero point.
"""

from collections.abc import Mapping

import numpy as np

from rtl4ml.frontend.judge.arrays import Array, IntArray
from rtl4ml.frontend.judge.steps import Batch, Step

INTEGER_PRODUCTS = ("MatMulInteger", "QLinearMatMul", "QGemm")

_INPUTS = {
    "MatMulInteger": ("a", "b", "a_zero", "b_zero"),
    "QLinearMatMul": ("a", "a_scale", "a_zero", "b", "b_scale", "b_zero", "y_scale", "y_zero"),
    "QGemm": ("a", "a_scale", "a_zero", "b", "b_scale", "b_zero", "c", "y_scale", "y_zero"),
}


class IntegerProduct:
    """One of these nodes, for vectors or matrices of activations.

    Args:
        step: the judge's step.
        constants: the file's constants.
        shape: of the output.
    """

    def __init__(self, step: Step, constants: Mapping[str, Array], shape: tuple[int, ...]):
        self.name, self.reads, self.writes = step.name, step.reads, step.writes
        self.sources: tuple[str, ...] = ()
        self._step, self._constants, self._shape = step, constants, shape
        names = step.node.proto.input
        self._names = dict(zip(_INPUTS[step.node.op_type], names, strict=False))

    def __call__(self, batch: Batch) -> None:
        """Put the output into `batch`, and its codes if it is of an integer type."""
        acc = self._sum(batch)
        kind = self._step.node.op_type
        if kind == "MatMulInteger":
            result: Array = acc.astype(np.int32)
        else:
            alpha = np.float32(self._step.node.attribute("alpha", 1.0))
            scale = alpha * self._input(batch, "a_scale") * self._input(batch, "b_scale")
            if self._names.get("y_scale"):
                result = self._requantized(batch, acc, scale)
            else:
                result = acc.astype(np.float32) * scale
        batch.values[self.name] = np.asarray(result).reshape(batch.count, *self._shape)
        if self._step.integer:
            self._step.add_integers(batch)

    def _requantized(self, batch: Batch, acc: IntArray, scale: Array) -> Array:
        zero = self._input(batch, "y_zero", np.zeros((), np.uint8))
        limits = np.iinfo(zero.dtype)
        low, high = np.float32(limits.min - int(zero)), np.float32(limits.max - int(zero))
        y = np.clip(acc.astype(np.float32) * (scale / self._input(batch, "y_scale")), low, high)
        return (np.rint(y).astype(np.int64) + int(zero)).astype(zero.dtype)

    def _input(self, batch: Batch, which: str, default: Array | None = None) -> Array:
        """An input by its role; parameters with one element as scalars."""
        name = self._names.get(which, "")
        if not name and default is not None:
            return default
        value = self._constants[name] if name in self._constants else batch.values[name]
        return value.reshape(()) if value.size == 1 else value

    def _sum(self, batch: Batch) -> IntArray:
        transposed = [self._step.node.attribute(name, 0) for name in ("transA", "transB")]
        factors = []
        for side, transpose in zip("ab", transposed, strict=True):
            name = self._names[side]
            codes = self._constants[name] if name in self._constants else batch.values[name]
            codes = codes.astype(np.int64)
            codes = codes.swapaxes(-1, -2) if transpose and self._step.node.op_type == "QGemm" else codes
            zero = self._input(batch, f"{side}_zero", np.zeros((), np.int64)).astype(np.int64)
            if side == "a" and zero.ndim:
                zero = zero.reshape(-1, 1)  # one for each row
            factors.append((codes - zero).astype(np.float64))  # 9 bits each: sums are exact
        acc = (factors[0] @ factors[1]).astype(np.int64)
        return acc + self._constants[self._names["c"]].astype(np.int64) if self._names.get("c") else acc
