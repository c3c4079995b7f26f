"""Top: which elements are the largest: ArgMax, and TopK's indices."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, Format, width_of
from rtl4ml.graph import Operator, Tensor


@dataclass(frozen=True, eq=False)
class Top(Operator):
    """Numbers of a block's `count` elements with the largest `factor[j] * x[j] + offset[j]`; of equal ones the first.

    Parameters:
        factors: int64 () or (m,) for the m elements of a block, above 0, or below 0 everywhere for the smallest: scales
            on a common grid.
        offsets: int64 () or (m,), on that grid: zero points and biases.
        count: how many of a block.
        shape: of the output, without the batch.
        blocks: that decide by themselves: 1 for vectors, pixels for channels of feature maps.
    """

    kind: ClassVar[str] = "Top"

    factors: Codes
    offsets: Codes
    count: int
    shape: tuple[int, ...]
    blocks: int = 1

    def infer(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The numbers, as unsigned integers.

        Raises:
            ModelError: the compared integers could leave 62 bits.
        """
        (tensor,) = inputs
        largest = max(abs(int(limit)) for limit in (*tensor.low.tolist(), *tensor.high.tolist()))
        bound = largest * int(np.abs(self.factors).max()) + int(np.abs(self.offsets).max())
        if bound >= 1 << 61:
            raise ModelError(
                f"Integers compared by node {self.name!r} (Top) must fit 62 bits, not {bound.bit_length() + 1}: their "
                "scales have no common grid that is coarse enough"
            )
        last = tensor.size // self.blocks - 1
        bits = width_of(0, last)[0]
        limits = np.zeros(self.count, np.int64), np.full(self.count, last, np.int64)
        return Tensor(self.output, self.shape, Format(bits, False, np.ones(())), *limits)

    def evaluate(self, inputs: Sequence[NDArray], tensors: Sequence[Tensor]) -> NDArray:
        """Codes (N, count)."""
        values = inputs[0].reshape(len(inputs[0]), self.blocks, -1).astype(np.int64) * self.factors + self.offsets
        if self.count == 1:
            return values.argmax(axis=2)
        return np.argsort(-values, axis=2, kind="stable")[..., : self.count].reshape(len(values), -1)
