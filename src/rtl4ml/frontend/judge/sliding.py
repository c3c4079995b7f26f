"""Sliding: where the windows of convolutions and pools lie, in any number of spatial dimensions."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from rtl4ml.frontend.judge.arrays import Array, IntArray
from rtl4ml.frontend.judge.nodes import Node


@dataclass(frozen=True)
class Sliding:
    """Windows over the spatial dimensions, the axes behind sample and channel.

    Attributes:
        inputs: sizes of the image.
        outputs: number of windows along each axis, as the executor has it.
        kernel: taps.
        strides: between windows.
        dilations: between taps.
        begins: padding in front of the image; negative: it is cropped.
        ends: padding behind it, as the node has it; windows may reach further (`ceil_mode`).
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]

    @classmethod
    def of(
        cls, node: Node, inputs: tuple[int, ...], outputs: tuple[int, ...], kernel: tuple[int, ...] | None = None
    ) -> "Sliding":
        """The windows of a Conv or pooling node.

        Args:
            node: the node.
            inputs: spatial sizes of its input.
            outputs: of its output.
            kernel: from the shape of the weights; None: the attribute.
        """
        rank = len(inputs)
        taps = tuple(node.attribute("kernel_shape", ())) if kernel is None else kernel
        strides = tuple(node.attribute("strides") or (1,) * rank)
        dilations = tuple(node.attribute("dilations") or (1,) * rank)
        pads = tuple(node.attribute("pads") or (0,) * 2 * rank)
        how = node.attribute("auto_pad", b"NOTSET").decode()
        if how == "VALID":
            pads = (0,) * 2 * rank
        elif how.startswith("SAME"):
            reach = [(k - 1) * d + 1 for k, d in zip(taps, dilations, strict=True)]
            totals = [max((o - 1) * s + r - i, 0) for o, s, r, i in zip(outputs, strides, reach, inputs, strict=True)]
            small = [total // 2 for total in totals]
            large = [total - total // 2 for total in totals]
            pads = (*small, *large) if how == "SAME_UPPER" else (*large, *small)
        return cls(inputs, outputs, taps, strides, dilations, pads[:rank], pads[rank:])

    def padded(self, array: Array, fill: int) -> Array:
        """Images `[n, c, *inputs]` in just the size that the windows reach, with `fill` around them."""
        sizes, here, there = [], [], []
        axes = (self.inputs, self.outputs, self.kernel, self.strides, self.dilations, self.begins)
        for size, out, taps, stride, dilation, begin in zip(*axes, strict=True):
            reach = (out - 1) * stride + (taps - 1) * dilation + 1
            stop = min(reach - begin, size)  # first pixel that no window reads
            first = max(0, -begin)
            sizes.append(reach)
            there.append(slice(first, max(first, stop)))
            here.append(slice(first + begin, max(first, stop) + begin))
        inside: tuple[Any, ...] = (slice(None), slice(None), *there)
        if all(part == slice(0, size) for part, size in zip(here, sizes, strict=True)):
            return array[inside]
        result = np.full((*array.shape[:2], *sizes), fill, array.dtype)
        target: tuple[Any, ...] = (slice(None), slice(None), *here)
        result[target] = array[inside]
        return result

    def patches(self, padded: Array, rows: slice) -> Array:
        """A view `[n, c, *kernel, *outputs]` of what `padded` gave, of some of the windows along the first axis."""
        spatial = padded.strides[2:]
        start = rows.start * self.strides[0]
        outputs = (rows.stop - rows.start, *self.outputs[1:])
        strides = [
            *padded.strides[:2],
            *(step * d for step, d in zip(spatial, self.dilations, strict=True)),
            *(step * s for step, s in zip(spatial, self.strides, strict=True)),
        ]
        shape = (*padded.shape[:2], *self.kernel, *outputs)
        return np.lib.stride_tricks.as_strided(padded[:, :, start:], shape, strides, writeable=False)

    def taps(self, padded: Array) -> list[Array]:
        """One view `[n, c, *outputs]` of what `padded` gave for each tap of the kernel."""
        views = []
        for tap in np.ndindex(*self.kernel):
            parts: tuple[Any, ...] = tuple(
                slice(t * d, t * d + (o - 1) * s + 1, s)
                for t, d, o, s in zip(tap, self.dilations, self.outputs, self.strides, strict=True)
            )
            views.append(padded[(slice(None), slice(None), *parts)])
        return views

    def counts(self, padding: bool) -> IntArray:
        """Taps of each window that lie in the image, or in the image and its padding; int64 of the outputs' shape."""
        result = np.ones((), np.int64)
        for axis, out in enumerate(self.outputs):
            first = np.arange(out)[:, np.newaxis] * self.strides[axis] - self.begins[axis]
            at = first + np.arange(self.kernel[axis]) * self.dilations[axis]
            low = -self.begins[axis] if padding else 0
            high = self.inputs[axis] + (self.ends[axis] if padding else 0)
            result = np.multiply.outer(result, ((at >= low) & (at < high)).sum(axis=1))
        return result
