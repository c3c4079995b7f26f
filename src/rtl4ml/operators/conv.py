"""Conv: a kernel of constant weights that slides over an image, full width."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, Format, spread, width_of
from rtl4ml.graph import Operator, Tensor
from rtl4ml.operators.dense import WeightLimits
from rtl4ml.operators.elementwise import exact_type
from rtl4ml.operators.window import Window

PATCH_BYTES = 1 << 24
"""Patches of the images are gathered in parts of about this much memory."""


@dataclass(frozen=True, eq=False)
class Conv(Operator):
    """`acc[pixel, o] = sum over taps and channels of (x - zx) * weights + bias[o]`; padding is x = zx.

    Output o belongs to group `o // (outputs / groups)` and reads the channels of that group. Depthwise convolutions
    have as many groups as channels; sums over windows are depthwise with weights of 1.

    Parameters:
        window: kernel, strides, dilations, padding.
        weights: int64 (kernel rows, kernel columns, channels / groups, outputs).
        bias: int64 (outputs,), on the accumulator's grid.
        scale: float64 () or (outputs,), of the accumulator.
        groups: of channels.
        shape: of the output, without the batch, channels last.
        limits: what weights and bias may become at run time; None: they stay.
    """

    kind: ClassVar[str] = "Conv"

    window: Window
    weights: Codes
    bias: Codes
    scale: NDArray[np.float64]
    groups: int
    shape: tuple[int, ...]
    limits: WeightLimits | None = None

    @property
    def channels_in(self) -> int:
        """Channels of the image."""
        return self.weights.shape[2] * self.groups

    @property
    def channels_out(self) -> int:
        """Outputs of a pixel."""
        return self.weights.shape[3]

    @property
    def multiplications(self) -> int:
        """Products an evaluation of one sample takes; those with padding count."""
        return self.window.pixels_out * self.weights.size

    @property
    def matrix(self) -> Codes:
        """Weights of all channels, int64 (taps, channels_in, outputs): 0 between groups."""
        rows, columns, channels, outputs = self.weights.shape
        flat = self.weights.reshape(rows * columns, channels, outputs)
        if self.groups == 1:
            return flat
        whole = np.zeros((rows * columns, self.channels_in, outputs), np.int64)
        each = outputs // self.groups
        for group in range(self.groups):
            part = slice(group * each, (group + 1) * each)
            whole[:, group * channels : (group + 1) * channels, part] = flat[:, :, part]
        return whole

    def effective_bias(self, tensor: Tensor) -> Codes:
        """Bias with the input's zero point folded in, where padding carries the zero point; int64 (outputs,)."""
        zero = spread(tensor.format.zero_point, self.channels_in)
        if not zero.any():
            return self.bias
        sums = self.weights.sum(axis=(0, 1))  # (channels / groups, outputs)
        group = np.arange(self.channels_out) // (self.channels_out // self.groups)
        of_output = zero.reshape(self.groups, -1)[group]  # (outputs, channels / groups)
        return self.bias - (sums.T * of_output).sum(axis=1)

    def infer(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The accumulators: a range for each output, by interval arithmetic from the channels' ranges and the weights.

        Raises:
            ModelError: the sizes contradict each other, or the sums could leave 62 bits.
        """
        (tensor,) = inputs
        if tensor.size != self.window.pixels_in * self.channels_in or self.channels_out % self.groups:
            raise ModelError(
                f"Input of node {self.name!r} (Conv) must have {self.window.pixels_in} pixels of {self.channels_in} "
                f"channels, not {tensor.size} elements; its {self.channels_out} outputs must split into {self.groups} "
                "groups"
            )
        low, high = channel_limits(tensor, self.channels_in)
        zero = spread(tensor.format.zero_point, self.channels_in)
        low, high = low - zero, high - zero
        # A tap on padding is 0, whatever the codes.
        if any(self.window.pads):
            low, high = np.minimum(low, 0), np.maximum(high, 0)
        group = np.arange(self.channels_out) // (self.channels_out // self.groups)
        low, high = (limit.reshape(self.groups, -1)[group].T for limit in (low, high))  # (channels / groups, outputs)
        bias_low = bias_high = self.bias
        if self.limits is not None:
            ends = np.stack([low * self.limits.values[0], low * self.limits.values[-1]])
            ends = np.concatenate([ends, high * self.limits.values[[0, -1], None, None]])
            taps = self.window.kernel[0] * self.window.kernel[1]
            lowest, highest = taps * ends.min(axis=0).sum(axis=0), taps * ends.max(axis=0).sum(axis=0)
            bias_low, bias_high = (np.full_like(self.bias, b) for b in (self.limits.bias_low, self.limits.bias_high))
        else:
            bound = float(np.maximum(np.abs(low), np.abs(high)).max()) * float(
                np.abs(self.weights).sum(axis=(0, 1, 2)).max()
            )
            if bound + float(np.abs(self.bias).max()) >= 2.0**62:
                raise ModelError(f"Accumulators of node {self.name!r} (Conv) must fit 62 bits, not more")
            positive, negative = (limit(self.weights, 0).sum(axis=(0, 1)) for limit in (np.maximum, np.minimum))
            lowest = (low * positive + high * negative).sum(axis=0)
            highest = (high * positive + low * negative).sum(axis=0)
        lowest, highest = lowest + bias_low, highest + bias_high
        bits, signed = width_of(int(lowest.min()), int(highest.max()))
        return Tensor(self.output, self.shape, Format(bits, signed, self.scale), lowest, highest)

    @functools.cached_property
    def _prepared(self) -> dict[Tensor, tuple[NDArray, NDArray, NDArray]]:
        return {}

    def _prepare(self, tensor: Tensor) -> tuple[NDArray, NDArray, NDArray]:
        """Weights (groups, taps * channels / groups, outputs / groups), bias and zero points in an exact dtype."""
        low, high = channel_limits(tensor, self.channels_in)
        zero = spread(tensor.format.zero_point, self.channels_in)
        largest = np.maximum(np.abs(low - zero), np.abs(high - zero)).max()
        bound = int(largest) * int(np.abs(self.weights).sum(axis=(0, 1, 2)).max()) + int(np.abs(self.bias).max())
        dtype = exact_type(max(bound, int(np.abs(zero).max()) + int(largest)))
        rows, columns, channels, outputs = self.weights.shape
        weights = self.weights.reshape(rows * columns * channels, self.groups, outputs // self.groups)
        return (
            np.ascontiguousarray(weights.transpose(1, 0, 2)).astype(dtype),
            self.bias.astype(dtype),
            zero.astype(dtype),
        )

    def evaluate(self, inputs: Sequence[NDArray], tensors: Sequence[Tensor]) -> NDArray:
        """Accumulators (N, n_out), in the fastest dtype in which every partial sum is exact."""
        (x,), (tensor,) = inputs, tensors
        if tensor not in self._prepared:
            self._prepared[tensor] = self._prepare(tensor)
        weights, bias, zero = self._prepared[tensor]
        samples = len(x)
        pixels = x.reshape(samples, self.window.pixels_in, self.channels_in).astype(weights.dtype, copy=False)
        if zero.any():
            pixels = pixels - zero
        taps = self.window.taps
        if np.any(taps < 0):
            pixels = np.concatenate([pixels, np.zeros((samples, 1, self.channels_in), weights.dtype)], axis=1)
        result = np.empty((samples, self.window.pixels_out, self.channels_out), weights.dtype)
        step = max(1, PATCH_BYTES // max(1, samples * taps.shape[1] * self.channels_in * weights.itemsize))
        for start in range(0, len(taps), step):
            part = taps[start : start + step]
            patches = pixels[:, part]  # (N, pixels, taps, channels)
            if self.groups == 1:
                rows = patches.reshape(samples * len(part), -1)
                result[:, start : start + step] = (rows @ weights[0]).reshape(samples, len(part), -1)
                continue
            split = patches.reshape(samples, len(part), taps.shape[1], self.groups, -1)
            grouped = np.moveaxis(split, 3, 0).reshape(self.groups, samples * len(part), -1)
            products = np.moveaxis(grouped @ weights, 0, 1)  # (rows, groups, outputs / groups)
            result[:, start : start + step] = products.reshape(samples, len(part), -1)
        if bias.any():
            result += bias
        return result.reshape(samples, -1)


def channel_limits(tensor: Tensor, channels: int) -> tuple[Codes, Codes]:
    """Lowest and highest code of each channel of a feature map, int64 (channels,) each."""
    if tensor.low.size <= channels:
        return spread(tensor.low, channels), spread(tensor.high, channels)
    return tensor.low.reshape(-1, channels).min(axis=0), tensor.high.reshape(-1, channels).max(axis=0)
