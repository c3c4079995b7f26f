"""Pool: the maximum under a window that slides over an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.graph import Operator, Tensor
from rtl4ml.operators.conv import PATCH_BYTES, channel_limits
from rtl4ml.operators.window import Window


@dataclass(frozen=True, eq=False)
class Pool(Operator):
    """`y[pixel, c] = max over the taps inside the image of x[tap, c]`, on codes: padding never wins.

    Parameters:
        window: kernel, strides, dilations, padding; every output reads one pixel at least.
        shape: of the output, without the batch, channels last.
    """

    kind: ClassVar[str] = "Pool"

    window: Window
    shape: tuple[int, ...]

    def infer(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The same codes; limits are those of the channels.

        Raises:
            ModelError: the sizes contradict each other, or an output would see padding only.
        """
        (tensor,) = inputs
        channels = self.shape[-1]
        if tensor.size != self.window.pixels_in * channels:
            raise ModelError(
                f"Input of node {self.name!r} (Pool) must have {self.window.pixels_in} pixels of {channels} channels, "
                f"not {tensor.size} elements"
            )
        if np.any(np.all(self.window.taps < 0, axis=1)):
            raise ModelError(f"Every output of node {self.name!r} (Pool) must read a pixel, not padding only")
        low, high = channel_limits(tensor, channels)
        kind = tensor.format
        if max(kind.scale.size, kind.zero_point.size) > channels:
            raise ModelError(f"Scales of the input of node {self.name!r} (Pool) must be per channel, not per element")
        return Tensor(self.output, self.shape, kind, low, high)

    def evaluate(self, inputs: Sequence[NDArray], tensors: Sequence[Tensor]) -> NDArray:
        """Codes (N, n_out)."""
        x, samples, channels = inputs[0], len(inputs[0]), self.shape[-1]
        lowest = x.dtype.type(int(tensors[0].low.min()))
        pixels = x.reshape(samples, -1, channels)
        pixels = np.concatenate([pixels, np.full((samples, 1, channels), lowest, x.dtype)], axis=1)
        taps = self.window.taps
        result = np.empty((samples, self.window.pixels_out, channels), x.dtype)
        step = max(1, PATCH_BYTES // max(1, samples * taps.shape[1] * channels * x.itemsize))
        for start in range(0, len(taps), step):
            result[:, start : start + step] = pixels[:, taps[start : start + step]].max(axis=2)
        return result.reshape(samples, -1)
