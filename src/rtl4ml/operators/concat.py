"""Concat: tensors one after the other, whole or block by block."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rtl4ml.formats import Format, spread
from rtl4ml.graph import Operator, Tensor


@dataclass(frozen=True, eq=False)
class Concat(Operator):
    """For each block: its elements of the first input, then those of the second, and so on; codes stay as they are.

    Parameters:
        shape: of the output, without the batch.
        blocks: that every input has: 1 for vectors, the pixels for channels of feature maps.
    """

    kind: ClassVar[str] = "Concat"

    shape: tuple[int, ...]
    blocks: int = 1

    def infer(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The output: its format holds every input's, scales and zero points per element where they differ."""
        formats = [t.format for t in inputs]
        scale = self._line_up([(t.format.scale, t.size) for t in inputs])
        zero = self._line_up([(t.format.zero_point, t.size) for t in inputs])
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
        low, high = (self._line_up([(getattr(t, field), t.size) for t in inputs]) for field in ("low", "high"))
        return Tensor(self.output, self.shape, merged, low, high)

    def _line_up(self, parts: Sequence[tuple[NDArray, int]]) -> NDArray:
        """Periodic arrays of inputs, with their element counts, as one of the output: of one block if that will do."""
        each = [size // self.blocks for _, size in parts]
        if all(count % array.size == 0 for (array, _), count in zip(parts, each, strict=True)):
            return np.concatenate([spread(array, count) for (array, _), count in zip(parts, each, strict=True)])
        rows = [spread(array, size).reshape(self.blocks, -1) for array, size in parts]
        return np.concatenate(rows, axis=1).reshape(-1)

    def evaluate(self, inputs: Sequence[NDArray], tensors: Sequence[Tensor]) -> NDArray:
        """Codes (N, n)."""
        parts = [part.reshape(len(part), self.blocks, -1) for part in inputs]
        return np.concatenate(parts, axis=2).reshape(len(inputs[0]), -1)
