"""Concat: tensors one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rtl4ml.formats import Format
from rtl4ml.graph import Operator, Tensor


@dataclass(frozen=True, eq=False)
class Concat(Operator):
    """All elements of the first input, then all of the second, and so on; codes stay as they are.

    Parameters:
        shape: of the output, without the batch.
    """

    kind: ClassVar[str] = "Concat"

    shape: tuple[int, ...]

    def infer(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The output: its format holds every input's, scales and zero points per element where they differ."""
        formats = [t.format for t in inputs]
        scale, zero = (
            np.concatenate([np.broadcast_to(getattr(t.format, field), (t.size,)) for t in inputs])
            for field in ("scale", "zero_point")
        )
        signed = any(f.signed for f in formats)
        bits = max(f.bits + (signed and not f.signed) for f in formats)
        bipolar = all(f.bipolar for f in formats)
        if any(f.bipolar for f in formats) and not bipolar:
            bits = max(bits, 2)  # a bipolar code of 1 needs a second bit beside others
        merged = Format(
            bits,
            signed,
            scale[0].reshape(()) if np.all(scale == scale[0]) else scale,
            zero[0].reshape(()) if np.all(zero == zero[0]) else zero,
            narrow=all(f.narrow for f in formats) and len({(f.bits, f.signed) for f in formats}) == 1,
            bipolar=bipolar,
        )
        low, high = (np.concatenate([getattr(t, field) for t in inputs]) for field in ("low", "high"))
        return Tensor(self.output, self.shape, merged, low, high)

    def evaluate(self, inputs: Sequence[NDArray], tensors: Sequence[Tensor]) -> NDArray:
        """Codes (N, n)."""
        return np.concatenate(inputs, axis=1)
