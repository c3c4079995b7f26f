"""Requantize: a staircase per channel, from codes to codes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from numpy.typing import NDArray

from rtl4ml.formats import Format
from rtl4ml.graph import Operator, Tensor
from rtl4ml.staircase import Difference, Staircase


@dataclass(frozen=True, eq=False)
class Requantize(Operator):
    """`y[j] = staircase_j(x[j])`.

    Parameters:
        staircase: the integer function, one row or one a channel.
        format: of the output.
        chain: the file's operators that it stands for, in words.
        inside: the file's tensors between its input and its output.
        departures: where the staircase is not that of the executor's float32 kernels, because exact arithmetic was
            asked for; None: nowhere, by definition.
    """

    kind: ClassVar[str] = "Requantize"

    staircase: Staircase
    format: Format
    chain: tuple[str, ...]
    inside: tuple[str, ...] = ()
    departures: Difference | None = None

    def infer(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The quantized tensor: each channel's range is what its function reaches on the input's range."""
        (tensor,) = inputs
        return Tensor(self.output, tensor.shape, self.format, *self.staircase.reach(tensor.low, tensor.high))

    def evaluate(self, inputs: Sequence[NDArray], tensors: Sequence[Tensor]) -> NDArray:
        """Codes (N, n)."""
        return self.staircase.evaluate(inputs[0])
