"""Requantize: a staircase per channel, from codes to codes."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rtl4ml.formats import Format
from rtl4ml.graph import Operator, Tensor
from rtl4ml.staircase import Staircase


@dataclass(frozen=True, eq=False)
class Requantize(Operator):
    """`y[j] = staircase_j(x[j])`.

    Parameters:
        staircase: the integer function, one row or one a channel.
        format: of the output.
        chain: the file's operators that it stands for, in words.
    """

    kind: ClassVar[str] = "Requantize"

    staircase: Staircase
    format: Format
    chain: tuple[str, ...]

    def infer(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The quantized tensor: each channel's range is what its function reaches on the input's range."""
        (tensor,) = inputs
        ends = np.stack([tensor.low, tensor.high])
        codes = np.sort(self.staircase.evaluate(ends).astype(np.int64), axis=0)
        return Tensor(self.output, tensor.shape, self.format, codes[0], codes[1])

    def evaluate(self, x: NDArray, tensor: Tensor) -> NDArray:
        """Codes (N, n)."""
        return self.staircase.evaluate(x)
