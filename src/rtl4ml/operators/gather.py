"""Gather: some elements of a tensor, in any order, and constants between them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rtl4ml.formats import Codes, spread
from rtl4ml.graph import Operator, Tensor


@dataclass(frozen=True, eq=False)
class Gather(Operator):
    """`y[j] = x[indices[j]]`, or `fill` where the index is -1.

    Slices, splits, gathers, padding, broadcasting, nearest resizing, and transpositions that nothing else takes up.

    Parameters:
        indices: int64 (n_out,).
        shape: of the output, without the batch.
        fill: code of the elements that come from nowhere; its meaning is that of the element in its place.
    """

    kind: ClassVar[str] = "Gather"

    indices: Codes
    shape: tuple[int, ...]
    fill: int = 0

    def infer(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The elements with their own scales, zero points and ranges."""
        (tensor,) = inputs
        filled = (self.indices < 0).reshape(-1, self.shape[-1] if self.shape else 1)
        kind = tensor.format
        if kind.bipolar and filled.any() and self.fill not in (-1, 1):
            kind = replace(kind, bits=2, bipolar=False)
        scale, zero = (self._meaning(array, filled) for array in (kind.scale, kind.zero_point))
        low = self._limits(tensor, tensor.low, filled, np.min)
        high = self._limits(tensor, tensor.high, filled, np.max)
        if low.size != high.size:
            low, high = (spread(limits, len(self.indices)) for limits in (low, high))
        return Tensor(self.output, self.shape, replace(kind, scale=scale, zero_point=zero), low, high)

    def _meaning(self, array: NDArray, filled: NDArray[np.bool_]) -> NDArray:
        """A parameter of each element, as periodic as it comes out; padding is read as its channel elsewhere is."""
        if array.ndim == 0:
            return array
        rows = array[np.where(filled.reshape(-1), 0, self.indices) % array.size].reshape(filled.shape)
        first = rows[np.argmin(filled, axis=0), np.arange(filled.shape[1])]
        rows = np.where(filled, first, rows)
        if np.all(rows == rows[0, 0]):
            return rows[0, 0].reshape(())
        return rows[0] if np.all(rows == rows[0]) else rows.reshape(-1)

    def _limits(self, tensor: Tensor, limits: Codes, filled: NDArray[np.bool_], choose: Callable[..., Codes]) -> Codes:
        """Limits of each element; of each channel where they are the source's of channels, or pixels do not differ."""
        rows = limits[np.where(filled.reshape(-1), 0, self.indices) % limits.size].reshape(filled.shape)
        rows = np.where(filled, self.fill, rows)
        if limits.size < tensor.size or np.all(rows == rows[0]):
            return choose(rows, axis=0)
        return rows.reshape(-1)

    def evaluate(self, inputs: Sequence[NDArray], tensors: Sequence[Tensor]) -> NDArray:
        """Codes (N, n_out)."""
        y = np.ascontiguousarray(inputs[0][:, self.indices])
        filled = self.indices < 0
        if filled.any():
            y[:, filled] = self.fill
        return y
