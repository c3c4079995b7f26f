"""Dense: a vector of codes times a constant matrix, full width."""

import functools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, Format, width_of
from rtl4ml.graph import Operator, Tensor


@dataclass(frozen=True, eq=False)
class Dense(Operator):
    """`acc[j] = sum_i (x[i] - zx[i]) * weights[i, j] + bias[j]`, all integers.

    Parameters:
        weights: int64 (n_in, n_out).
        bias: int64 (n_out,), on the accumulator's grid.
        scale: float64 () or (n_out,), of the accumulator: exact product of the scales of input and weights.
        shape: of the output, without the batch.
    """

    kind: ClassVar[str] = "Dense"

    weights: Codes
    bias: Codes
    scale: NDArray[np.float64]
    shape: tuple[int, ...]

    @property
    def multiplications(self) -> int:
        """Products an evaluation of one sample takes."""
        return self.weights.size

    def effective_bias(self, tensor: Tensor) -> Codes:
        """Bias with the input's zero point folded in: `acc = x @ weights + effective_bias`; int64 (n_out,)."""
        zero = np.broadcast_to(tensor.format.zero_point, (self.weights.shape[0],))
        return self.bias - zero @ self.weights

    def infer(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The accumulator: range by interval arithmetic from the input's range and the actual weights.

        Raises:
            ModelError: the sums could leave 62 bits.
        """
        (tensor,) = inputs
        low, high, w = tensor.low.astype(object), tensor.high.astype(object), self.weights
        bound = int(np.maximum(abs(low), abs(high)).max()) * int(np.abs(w).sum(axis=0).max()) + int(
            np.abs(self.bias).max()
        )
        if bound >= 1 << 62:
            raise ModelError(
                f"Accumulators of node {self.name!r} (Dense) must fit 62 bits, not {bound.bit_length() + 1}"
            )
        positive, negative = np.maximum(w, 0), np.minimum(w, 0)
        bias = self.effective_bias(tensor)
        lowest = tensor.low @ positive + tensor.high @ negative + bias
        highest = tensor.high @ positive + tensor.low @ negative + bias
        bits, signed = width_of(int(lowest.min()), int(highest.max()))
        return Tensor(self.output, self.shape, Format(bits, signed, self.scale), lowest, highest)

    @functools.cached_property
    def _typed(self) -> dict[type, tuple[NDArray, NDArray]]:
        return {}

    def _exact_type(self, tensor: Tensor) -> type:
        """The fastest dtype in which every partial sum, in any order, is exact."""
        largest = np.maximum(np.abs(tensor.low), np.abs(tensor.high))
        bound = int((largest @ np.abs(self.weights)).max() + np.abs(self.effective_bias(tensor)).max())
        return np.float32 if bound < 1 << 24 else np.float64 if bound < 1 << 53 else np.int64

    @functools.cached_property
    def _type_of(self) -> dict[str, type]:
        return {}

    def evaluate(self, x: NDArray, tensor: Tensor) -> NDArray:
        """Accumulators (N, n_out): in float32 where all sums fit 24 bits, float64 where they fit 53, int64 else."""
        dtype = self._type_of.get(tensor.name)
        if dtype is None:
            dtype = self._type_of[tensor.name] = self._exact_type(tensor)
            self._typed[dtype] = (self.weights.astype(dtype), self.effective_bias(tensor).astype(dtype))
        weights, bias = self._typed[dtype]
        y = x.astype(dtype, copy=False) @ weights
        if bias.any():
            y += bias
        return y
