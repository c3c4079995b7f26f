"""Conv and ConvTranspose from integer codes: `fl32(sum * scale + bias)`, the sum an integer, rounded once."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rtl4ml.errors import ModelError
from rtl4ml.frontend.judge.arrays import Array, FloatArray, IntArray
from rtl4ml.frontend.judge.exact import scaled
from rtl4ml.frontend.judge.grids import Grid, NotIntegerError, common_scale, uniform
from rtl4ml.frontend.judge.nodes import channels_first, channels_last
from rtl4ml.frontend.judge.operands import Operand, Operands
from rtl4ml.frontend.judge.sliding import Sliding
from rtl4ml.frontend.judge.steps import Batch, Step

CONVOLUTIONS = ("Conv", "ConvTranspose")

_BLOCK = 2**22
"""Elements of patches that are multiplied at once."""


class Convolution:
    """One integer convolution, of any rank, in the place of the judge's step.

    A transposed one is the convolution of the image with zeros between its pixels with the kernel turned around.

    Args:
        step: the judge's step.
        operands: finds codes and grids.
        constants: the file's constants.
        shapes: of one sample's tensors.

    Raises:
        NotIntegerError: an operand has no codes, or scales do not factor out of the sums.

    Attributes:
        grid: of the sums.
    """

    def __init__(
        self,
        step: Step,
        operands: Operands,
        constants: Mapping[str, Array],
        shapes: Mapping[str, tuple[int, ...]],
    ):
        node = step.node
        self.name, self.reads, self.writes = step.name, step.reads, step.writes
        self._channels_last = node.channels_last
        self._transposed = node.op_type == "ConvTranspose"
        self._constants = constants
        self._bias = node.inputs[2] if len(node.inputs) > 2 else ""
        self._operand = operands.find(step.reads[0], 1)
        if self._operand.codes is not None:
            raise NotIntegerError("its image is constant")
        self.sources = (self._operand.source,)
        image = self._first(np.broadcast_to(0, shapes[step.reads[0]])).shape
        self._shape = self._first(np.broadcast_to(0, shapes[step.name])).shape
        if image[0] != 1:
            raise NotIntegerError(f"its batch is {image[0]}, not 1")
        self._groups = int(node.attribute("group", 1))
        weights = operands.weights(step.reads[1], self._arranged)
        if weights.codes is None:
            raise NotIntegerError("its weights depend on the input")
        kernel = self._arranged_shape(shapes[step.reads[1]])[2:]
        self._sliding = (
            self._turned(step, image[2:], kernel)
            if self._transposed
            else Sliding.of(node, image[2:], self._shape[2:], kernel)
        )
        self._weights, scale = self._factored(weights, weights.codes, image[1])
        self._sums_of_weights = np.abs(self._weights.astype(np.float64)).sum(axis=1).max(initial=0)
        self._scale = scale.reshape(-1, *(1,) * len(kernel))
        spread = np.broadcast_to(self._scale, self._shape[1:])[np.newaxis]
        spread = channels_last(spread) if self._channels_last else spread
        self.grid = Grid(spread, np.broadcast_to(np.int64(0), spread.shape))

    def _first(self, array: Array) -> Array:
        """A sample as standard operators have it."""
        return channels_first(array) if self._channels_last else array

    def _arranged_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if self._transposed:
            return (shape[1] * self._groups, shape[0] // self._groups, *shape[2:])
        return self._first(np.broadcast_to(0, shape)).shape

    def _arranged(self, weights: Array) -> Array:
        """Weights `[outputs, channels of a group * taps]`."""
        if self._transposed:
            parts = weights.reshape(self._groups, -1, *weights.shape[1:]).swapaxes(1, 2)
            weights = np.flip(parts, axis=tuple(range(3, parts.ndim)))
        else:
            weights = self._first(weights)
        return weights.reshape(self._shape[1], -1)

    def _turned(self, step: Step, image: tuple[int, ...], kernel: tuple[int, ...]) -> Sliding:
        """Windows of a transposed convolution over the image with zeros between its pixels."""
        node, rank = step.node, len(image)
        strides = tuple(node.attribute("strides") or (1,) * rank)
        dilations = tuple(node.attribute("dilations") or (1,) * rank)
        begins = list((node.attribute("pads") or (0,) * 2 * rank)[:rank])
        extra = node.attribute("output_padding") or (0,) * rank
        how = node.attribute("auto_pad", b"NOTSET").decode()
        outputs = self._shape[2:]
        sized = bool(node.attribute("output_shape"))
        for i in range(rank):
            whole = (image[i] - 1) * strides[i] + extra[i] + (kernel[i] - 1) * dilations[i] + 1
            if sized or how.startswith("SAME"):
                total = max(whole - (outputs[i] if sized else image[i] * strides[i]), 0)
                begins[i] = total // 2 if how == "SAME_UPPER" else total - total // 2
            elif how == "VALID":
                begins[i] = 0
        self._strides = strides
        stuffed = tuple((size - 1) * stride + 1 for size, stride in zip(image, strides, strict=True))
        fronts = tuple((k - 1) * d - b for k, d, b in zip(kernel, dilations, begins, strict=True))
        return Sliding(stuffed, outputs, kernel, (1,) * rank, dilations, fronts, (0,) * rank)

    def _factored(self, weights: Operand, codes: IntArray, channels: int) -> tuple[IntArray, FloatArray]:
        """Whole-numbered weights `[outputs, channels of a group * taps]` and the scale of each output's sum."""
        image_scale = uniform(self._first(self._operand.grid.scale), "its scales")
        image_scale = np.broadcast_to(image_scale.reshape(-1), channels).reshape(self._groups, -1)
        for scale in (image_scale, weights.grid.scale):
            if not np.array_equal(scale.astype(np.float32), scale):
                raise NotIntegerError("a scale is not a float32 number")
        image_common, weight_common = common_scale(image_scale, 1), common_scale(weights.grid.scale, 1)
        if image_common is None or weight_common is None:
            raise NotIntegerError("its scales along the summed channels are not positive with powers of two as ratios")
        each = self._shape[1] // self._groups
        numbers = (codes - weights.grid.zero_point) * weight_common[1]
        taps = numbers.shape[1] // image_scale.shape[1]
        numbers = numbers * np.repeat(np.repeat(image_common[1], taps, axis=1), each, axis=0)
        return numbers, (np.repeat(image_common[0], each, axis=0) * weight_common[0])[:, 0]  # 24 + 24 bits: exact

    def __call__(self, batch: Batch) -> None:
        """Put sums and values of the output into `batch`."""
        codes = batch.codes[self._operand.source]
        numbers = codes - self._operand.grid.zero_point
        numbers = (channels_first(numbers, 1) if self._channels_last else numbers)[:, 0]
        sums = self._sums(numbers)
        values = scaled(sums, [self._scale], self._addend(batch))
        sums, values = sums[:, np.newaxis], values[:, np.newaxis]
        if self._channels_last:
            sums, values = channels_last(sums, 1), channels_last(values, 1)
        batch.own_codes[self.name] = batch.codes[self.name] = sums
        batch.values[self.name] = values

    def _addend(self, batch: Batch) -> FloatArray | None:
        if not self._bias:
            return None
        constant = self._bias in self._constants
        bias = self._constants[self._bias] if constant else batch.values[self._bias]
        if not np.isfinite(bias).all():
            raise ModelError(f"the bias of {self.name!r} must be finite, not NaN or infinite")
        return bias.astype(np.float64).reshape(-1, self._shape[1], *(1,) * (len(self._shape) - 2))

    def _sums(self, numbers: IntArray) -> IntArray:
        """Exact sums `[n, outputs, *outputs]` of numbers `[n, channels, *image]`."""
        bound = float(np.abs(numbers).max(initial=0)) * float(self._sums_of_weights)
        if bound >= 2.0**62:
            raise ModelError(f"sums of {self.name!r} must stay below 2**62, not {bound:.0f}")
        # Any sum of a part of the terms is an integer that the type holds: neither order nor kernel matters.
        dtype = np.float32 if bound < 2.0**24 else np.float64 if bound < 2.0**53 else np.int64
        array = numbers.astype(dtype)
        if self._transposed:
            stuffed = np.zeros((*array.shape[:2], *self._sliding.inputs), dtype)
            sparse: tuple[Any, ...] = tuple(slice(None, None, stride) for stride in self._strides)
            stuffed[(slice(None), slice(None), *sparse)] = array
            array = stuffed
        padded = self._sliding.padded(array, 0)
        weights = self._weights.astype(dtype).reshape(self._groups, -1, self._weights.shape[1])
        result = np.empty((len(numbers), *self._shape[1:]), np.int64)
        rows = self._shape[2]
        row = self._weights.shape[1] * self._groups * math.prod(self._shape[3:])
        step = max(1, min(rows, _BLOCK // row))
        samples = max(1, _BLOCK // (row * rows))
        for start in range(0, len(numbers), samples):
            some = padded[start : start + samples]
            for first in range(0, rows, step):
                part = slice(first, min(first + step, rows))
                columns = self._sliding.patches(some, part).reshape(len(some), self._groups, weights.shape[2], -1)
                block = (weights @ columns).reshape(len(some), self._shape[1], -1, *self._shape[3:])
                result[start : start + samples, :, part] = block
        return result
