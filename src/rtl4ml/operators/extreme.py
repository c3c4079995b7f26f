"""Extreme: the larger or the smaller of two tensors, element by element."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, Format
from rtl4ml.graph import Operator, Tensor
from rtl4ml.operators.elementwise import alike, exact_type, per_element, scaled_limits, terms


@dataclass(frozen=True, eq=False)
class Extreme(Operator):
    """`y[j] = max(left[j] * (a[j] - za[j]), right[j] * (b[j] - zb[j])) + z[j]`, or the minimum; all integers.

    Parameters:
        left: int64 () or (k,), above 0: the first tensor's scale on the common grid.
        right: int64 () or (k,), above 0: the second's.
        format: of the output; z is its zero point.
        largest: True for the maximum.
    """

    kind: ClassVar[str] = "Extreme"

    left: Codes
    right: Codes
    format: Format
    largest: bool

    def infer(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The output: its limits are the extremes of the inputs' limits.

        Raises:
            ModelError: the operands have different sizes.
        """
        a, b = inputs
        if a.size != b.size:
            raise ModelError(
                f"Inputs of node {self.name!r} (Extreme) must have as many elements, not {a.size} and {b.size}"
            )
        ends = (*scaled_limits(a, self.left), *scaled_limits(b, self.right), self.format.zero_point)
        low_a, high_a, low_b, high_b, zero = alike(*ends)
        choose = np.maximum if self.largest else np.minimum
        return Tensor(self.output, a.shape, self.format, choose(low_a, low_b) + zero, choose(high_a, high_b) + zero)

    def evaluate(self, inputs: Sequence[NDArray], tensors: Sequence[Tensor]) -> NDArray:
        """Codes (N, n)."""
        limits = [scaled_limits(t, f) for t, f in zip(tensors, (self.left, self.right), strict=True)]
        bound = max(int(max(abs(low).max(), abs(high).max())) for low, high in limits)
        codes = max(int(np.abs(limit).max()) for t in tensors for limit in (t.low, t.high, t.format.zero_point))
        dtype = exact_type(2 * max(bound, codes) + int(np.abs(self.format.zero_point).max()))
        a, b = terms(inputs, tensors, (self.left, self.right), dtype)
        y = np.maximum(a, b) if self.largest else np.minimum(a, b)
        return y + per_element(self.format.zero_point, y).astype(dtype)
