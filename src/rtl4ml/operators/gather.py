"""Gather: some elements of a tensor, in any order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rtl4ml.formats import Codes
from rtl4ml.graph import Operator, Tensor


@dataclass(frozen=True, eq=False)
class Gather(Operator):
    """`y[j] = x[indices[j]]`: slices, splits, gathers, and transpositions that nothing else takes up.

    Parameters:
        indices: int64 (n_out,).
        shape: of the output, without the batch.
    """

    kind: ClassVar[str] = "Gather"

    indices: Codes
    shape: tuple[int, ...]

    def infer(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The elements with their own scales, zero points and ranges."""
        (tensor,) = inputs
        scale, zero = tensor.format.scale, tensor.format.zero_point
        chosen = replace(
            tensor.format,
            scale=scale if scale.ndim == 0 else scale[self.indices],
            zero_point=zero if zero.ndim == 0 else zero[self.indices],
        )
        return Tensor(self.output, self.shape, chosen, tensor.low[self.indices], tensor.high[self.indices])

    def evaluate(self, inputs: Sequence[NDArray], tensors: Sequence[Tensor]) -> NDArray:
        """Codes (N, n_out)."""
        return np.ascontiguousarray(inputs[0][:, self.indices])
