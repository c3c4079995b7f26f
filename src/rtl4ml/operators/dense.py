"""Dense: a vector of codes times a constant matrix, full width."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ConfigurationError, ModelError
from rtl4ml.formats import Codes, Format, spread, width_of
from rtl4ml.graph import Operator, Tensor


@dataclass(frozen=True, eq=False)
class WeightLimits:
    """What a layer's numbers may become at run time.

    Parameters:
        values: int64 (k,), ascending: each weight is one of them.
        bias_low: lowest bias.
        bias_high: highest.
    """

    values: Codes
    bias_low: int
    bias_high: int

    @classmethod
    def of(cls, weights: Codes, bias: Codes) -> "WeightLimits":
        """All numbers of the bits that a layer's own take: two's complement where any is negative; -m and m alone stay.

        A layer without biases gets none.
        """
        found = np.unique(weights)
        if len(found) == 2 and found[0] == -found[1]:
            values = found.astype(np.int64)
        else:
            values = np.arange(*_whole(int(found[0]), int(found[-1])), dtype=np.int64)
        bias_low, bias_end = _whole(int(bias.min()), int(bias.max())) if bias.any() else (0, 1)
        return cls(values, bias_low, bias_end - 1)

    def check(self, weights: Codes, bias: Codes, layer: str) -> None:
        """Check new numbers.

        Raises:
            ConfigurationError: one does not fit.
        """
        if not np.all(np.isin(weights, self.values)):
            what = (
                f"{self.values[0]} .. {self.values[-1]}" if len(self.values) > 2 else " or ".join(map(str, self.values))
            )
            raise ConfigurationError(f"Weights of layer {layer!r} must be {what}, as far as its bits reach")
        if bias.size and not self.bias_low <= int(bias.min()) <= int(bias.max()) <= self.bias_high:
            raise ConfigurationError(
                f"Biases of layer {layer!r} must be {self.bias_low} .. {self.bias_high}, not "
                f"{bias.min()} .. {bias.max()}"
            )


def _whole(low: int, high: int) -> tuple[int, int]:
    """First integer and the one after the last of the two's complement or unsigned numbers that hold both."""
    bits, signed = width_of(low, high)
    return (-(1 << (bits - 1)), 1 << (bits - 1)) if signed else (0, 1 << bits)


@dataclass(frozen=True, eq=False)
class Dense(Operator):
    """`acc[j] = sum_i (x[i] - zx[i]) * weights[i, j] + bias[j]`, all integers.

    Parameters:
        weights: int64 (n_in, n_out).
        bias: int64 (n_out,), on the accumulator's grid.
        scale: float64 () or (n_out,), of the accumulator: exact product of the scales of input and weights.
        shape: of the output, without the batch.
        limits: what weights and bias may become at run time: the accumulator's range is that of all of them; None:
            they stay.
    """

    kind: ClassVar[str] = "Dense"

    weights: Codes
    bias: Codes
    scale: NDArray[np.float64]
    shape: tuple[int, ...]
    limits: WeightLimits | None = None

    @property
    def multiplications(self) -> int:
        """Products an evaluation of one sample takes."""
        return self.weights.size

    def effective_bias(self, tensor: Tensor) -> Codes:
        """Bias with the input's zero point folded in: `acc = x @ weights + effective_bias`; int64 (n_out,)."""
        zero: Codes = spread(tensor.format.zero_point, self.weights.shape[0])
        return self.bias - zero @ self.weights

    def infer(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The accumulator: range by interval arithmetic from the input's range and the actual weights.

        Raises:
            ModelError: the sums could leave 62 bits.
        """
        (tensor,) = inputs
        if self.limits is not None:
            return self._infer_any(tensor, self.limits)
        w = self.weights
        low, high = tensor.lows, tensor.highs
        largest = max(abs(int(low.min())), abs(int(high.max())))
        bound = largest * int(np.abs(w).sum(axis=0).max()) + int(np.abs(self.bias).max())
        if bound >= 1 << 62:
            raise ModelError(
                f"Accumulators of node {self.name!r} (Dense) must fit 62 bits, not {bound.bit_length() + 1}"
            )
        positive, negative = np.maximum(w, 0), np.minimum(w, 0)
        bias = self.effective_bias(tensor)
        lowest = low @ positive + high @ negative + bias
        highest = high @ positive + low @ negative + bias
        bits, signed = width_of(int(lowest.min()), int(highest.max()))
        return Tensor(self.output, self.shape, Format(bits, signed, self.scale), lowest, highest)

    def _infer_any(self, tensor: Tensor, limits: WeightLimits) -> Tensor:
        """The accumulator with any weights and bias within the limits."""
        ends = np.stack([tensor.lows, tensor.highs]) - spread(tensor.format.zero_point, tensor.size)
        products = ends[:, None] * limits.values[[0, -1], None]
        low = int(products.min(axis=(0, 1)).sum()) + limits.bias_low
        high = int(products.max(axis=(0, 1)).sum()) + limits.bias_high
        n_out = self.weights.shape[1]
        bits, signed = width_of(low, high)
        lows, highs = (np.full(n_out, limit, np.int64) for limit in (low, high))
        return Tensor(self.output, self.shape, Format(bits, signed, self.scale), lows, highs)

    @functools.cached_property
    def _prepared(self) -> dict[Tensor, tuple[NDArray, NDArray]]:
        """Weights and effective bias in the dtype that suits an input tensor, which knows its range and zero point."""
        return {}

    def _exact_type(self, tensor: Tensor) -> type:
        """The fastest dtype in which every partial sum, in any order, is exact."""
        largest = np.maximum(np.abs(tensor.lows), np.abs(tensor.highs))
        bound = int((largest @ np.abs(self.weights)).max() + np.abs(self.effective_bias(tensor)).max())
        return np.float32 if bound < 1 << 24 else np.float64 if bound < 1 << 53 else np.int64

    def evaluate(self, inputs: Sequence[NDArray], tensors: Sequence[Tensor]) -> NDArray:
        """Accumulators (N, n_out): in float32 where all sums fit 24 bits, float64 where they fit 53, int64 else."""
        (x,), (tensor,) = inputs, tensors
        prepared = self._prepared.get(tensor)
        if prepared is None:
            dtype = self._exact_type(tensor)
            prepared = self.weights.astype(dtype), self.effective_bias(tensor).astype(dtype)
            self._prepared[tensor] = prepared
        weights, bias = prepared
        y = x.astype(weights.dtype, copy=False) @ weights
        if bias.any():
            y += bias
        return y
