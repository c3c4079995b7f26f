"""Multiply: the product of two tensors, element by element."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Format, width_of
from rtl4ml.graph import Operator, Tensor
from rtl4ml.operators.elementwise import alike, centred, exact_type, terms

ONE = np.ones((), np.int64)


@dataclass(frozen=True, eq=False)
class Multiply(Operator):
    """`t[j] = (a[j] - za[j]) * (b[j] - zb[j])`, all integers.

    Parameters:
        scale: float64 () or (k,), product of the inputs' scales.
    """

    kind: ClassVar[str] = "Multiply"

    scale: NDArray[np.float64]

    def infer(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The product: range from the corners of the inputs' ranges.

        Raises:
            ModelError: the products could leave 52 bits, or the operands have different sizes.
        """
        a, b = inputs
        if a.size != b.size:
            raise ModelError(
                f"Inputs of node {self.name!r} (Multiply) must have as many elements, not {a.size} and {b.size}"
            )
        low_a, high_a, low_b, high_b = alike(*centred(a), *centred(b))
        bits = max(width_of(int(x.min()), int(y.max()))[0] for x, y in ((low_a, high_a), (low_b, high_b)))
        if 2 * bits > 52:
            raise ModelError(f"Factors of node {self.name!r} (Multiply) must have 26 bits at most, not {bits}")
        corners = np.stack([low_a * low_b, low_a * high_b, high_a * low_b, high_a * high_b])
        low, high = corners.min(axis=0), corners.max(axis=0)
        if a.name == b.name:
            low = np.where((low_a <= 0) & (high_a >= 0), 0, np.minimum(low_a**2, high_a**2))
        bits, signed = width_of(int(low.min()), int(high.max()))
        return Tensor(self.output, a.shape, Format(bits, signed, self.scale), low, high)

    def evaluate(self, inputs: Sequence[NDArray], tensors: Sequence[Tensor]) -> NDArray:
        """Codes (N, n)."""
        bound = 1
        for tensor in tensors:
            bound *= max(1, *(int(np.abs(limit).max()) for limit in centred(tensor)))
        codes = max(int(np.abs(limit).max()) for t in tensors for limit in (t.low, t.high, t.format.zero_point))
        a, b = terms(inputs, tensors, (ONE, ONE), exact_type(max(bound, 2 * codes)))
        return a * b
