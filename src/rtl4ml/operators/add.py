"""Add: a weighted sum of two tensors, element by element."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, Format, width_of
from rtl4ml.graph import Operator, Tensor
from rtl4ml.operators.elementwise import alike, exact_type, scaled_limits, terms


@dataclass(frozen=True, eq=False)
class Add(Operator):
    """`t[j] = left[j] * (a[j] - za[j]) + right[j] * (b[j] - zb[j])`, all integers.

    Parameters:
        left: int64 () or (k,), the first tensor's scale on the common grid.
        right: int64 () or (k,), the second's; negative in a difference.
        scale: float64 () or (k,), the common grid.
    """

    kind: ClassVar[str] = "Add"

    left: Codes
    right: Codes
    scale: NDArray[np.float64]

    def infer(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The sum: range by interval arithmetic.

        Raises:
            ModelError: the sums could leave 52 bits, or the operands have different sizes.
        """
        a, b = inputs
        if a.size != b.size:
            raise ModelError(
                f"Inputs of node {self.name!r} (Add) must have as many elements, not {a.size} and {b.size}"
            )
        low_a, high_a, low_b, high_b = alike(*scaled_limits(a, self.left), *scaled_limits(b, self.right))
        low, high = low_a + low_b, high_a + high_b
        bits, signed = width_of(int(low.min()), int(high.max()))
        if bits > 52:
            raise ModelError(f"Sums of node {self.name!r} (Add) must fit 52 bits, not {bits}")
        return Tensor(self.output, a.shape, Format(bits, signed, self.scale), low, high)

    def evaluate(self, inputs: Sequence[NDArray], tensors: Sequence[Tensor]) -> NDArray:
        """Codes (N, n)."""
        limits = [scaled_limits(t, f) for t, f in zip(tensors, (self.left, self.right), strict=True)]
        bound = sum(int(max(abs(low).max(), abs(high).max())) for low, high in limits)
        zeros = max(int(np.abs(limit).max()) for t in tensors for limit in (t.low, t.high, t.format.zero_point))
        a, b = terms(inputs, tensors, (self.left, self.right), exact_type(max(bound, 2 * zeros)))
        return a + b
