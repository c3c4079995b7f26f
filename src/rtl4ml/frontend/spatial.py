"""Images: tensors whose pixels a window slides over, channels last in the graph however the file has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes
from rtl4ml.frontend.lowering import CHANNELS_LAST, Lowering
from rtl4ml.frontend.selection import moved
from rtl4ml.frontend.values import Flow, is_permutation
from rtl4ml.operators import Requantize, Window

SPATIAL_DIMENSIONS = 2
"""That hardware has; a third one must be of length 1."""


class LayoutFoundError(Exception):
    """The graph's input should have another layout: the first operator that sees pixels reads it channels last.

    Parameters:
        elements: int64 (n,), the input's elements as they should follow each other.
        shape: of the input, without the batch.
    """

    def __init__(self, elements: Codes, shape: tuple[int, ...]) -> None:
        super().__init__("another layout of the input")
        self.elements, self.shape = elements, shape


@dataclass(frozen=True, eq=False)
class Image:
    """A flow as rows and columns of pixels, channels last.

    Parameters:
        flow: whose source has the pixels row by row.
        axis: of the channels in the file.
        sizes: of the file's spatial dimensions.
        kept: those of them that hardware has, two at most.
    """

    flow: Flow
    axis: int
    sizes: tuple[int, ...]
    kept: tuple[int, ...]

    @property
    def channels(self) -> int:
        """Elements of a pixel."""
        return self.flow.order.shape[self.axis]

    def pair(self, numbers: Sequence[int], default: int = 1) -> tuple[int, int]:
        """Numbers of spatial dimensions as those of rows and columns; one dimension is one of rows."""
        chosen = [int(numbers[k]) for k in self.kept]
        return (chosen[0], chosen[1]) if len(chosen) > 1 else (chosen[0], default)

    @property
    def height(self) -> int:
        """Rows."""
        return self.pair(self.sizes)[0]

    @property
    def width(self) -> int:
        """Columns."""
        return self.pair(self.sizes)[1]

    def result(self, window: Window, channels: int) -> tuple[tuple[int, ...], Codes]:
        """Shape of the graph's tensor behind a window, and its layout in the file."""
        rows = [window.out_height, window.out_width][: len(self.kept)]
        spatial = [1] * len(self.sizes)
        for k, size in zip(self.kept, rows, strict=True):
            spatial[k] = size
        order = np.arange(window.pixels_out * channels).reshape(1, *spatial, channels)
        return (*rows, channels), np.moveaxis(order, -1, self.axis)


def channel_axis(node: onnx.NodeProto, flow: Flow) -> int:
    """Dimension of the channels: the second, or the last in qonnx's channels-last operators."""
    return flow.order.ndim - 1 if node.domain == CHANNELS_LAST else 1


def canonical(lowering: Lowering, flow: Flow, axis: int, shape: tuple[int, ...] | None = None) -> Flow:
    """The flow from a tensor with its elements in the file's order but for the channels, which come last.

    Args:
        lowering: the import.
        flow: with a source.
        axis: of the channels in the file.
        shape: of the graph's tensor, without the batch; None: that of the file, channels last.

    Raises:
        LayoutFoundError: the graph's input could have this order from the start.
    """
    assert flow.source is not None
    last = np.moveaxis(flow.order, axis, -1)
    elements = last.reshape(-1)
    shape = last.shape[1:] if shape is None else shape
    tensor = lowering.tensors[flow.source]
    count = np.arange(elements.size)
    in_order = tensor.size == elements.size and np.array_equal(elements, count)
    if in_order and tensor.shape == shape:
        return flow
    whole = tensor.size == elements.size and is_permutation(elements)
    if whole and lowering.input_layout is None and _is_input(lowering, flow.source):
        raise LayoutFoundError(elements, shape)
    if in_order:
        return flow
    order = np.moveaxis(count.reshape(last.shape), -1, axis)
    result = moved(lowering, flow, elements, order, shape, f"{flow.source}_channels_last")
    if flow.source not in lowering.unquantized and result.source is not None:
        lowering.unquantized.discard(result.source)
    return replace(result, tensor=flow.tensor)


def _is_input(lowering: Lowering, source: str) -> bool:
    """Whether a tensor is the graph's input, or has its elements one by one."""
    makers = {o.output: o for o in lowering.operators if isinstance(o, Requantize)}
    while source in makers:
        source = makers[source].inputs[0]
    return source == lowering.input


def image_of(lowering: Lowering, node: onnx.NodeProto, flow: Flow, kernel: Sequence[int] | None = None) -> Image:
    """A flow with a source as an image, channels last.

    Args:
        lowering: the import.
        node: that reads it.
        flow: what it reads.
        kernel: of the node, if it has one.

    Raises:
        ModelError: it has no spatial dimension, or more than two of a length.
    """
    shape = flow.order.shape
    if len(shape) < 3 or shape[0] != 1:
        raise ModelError(
            f"Input {node.input[0]!r} of node {node.name!r} ({node.op_type}) must have a batch of 1, channels and 1 or "
            f"2 spatial dimensions, not shape {list(shape)}"
        )
    axis = channel_axis(node, flow)
    sizes = tuple(length for a, length in enumerate(shape) if a not in (0, axis))
    if kernel is not None and len(kernel) != len(sizes):
        raise ModelError(
            f"Kernel of node {node.name!r} ({node.op_type}) must have {len(sizes)} dimensions, as its input has, not "
            f"{len(kernel)}"
        )
    kept = tuple(range(len(sizes)))
    for k in kept[::-1]:
        if len(kept) > SPATIAL_DIMENSIONS and sizes[k] == 1 and (kernel is None or kernel[k] == 1):
            kept = tuple(other for other in kept if other != k)
    if len(kept) > SPATIAL_DIMENSIONS:
        raise ModelError(
            f"Input {node.input[0]!r} of node {node.name!r} ({node.op_type}) must have 1 or 2 spatial dimensions, or "
            f"more where all but 2 are 1 with a kernel of 1, not shape {list(shape)}: convolutions in three dimensions "
            "have no hardware"
        )
    channels = shape[axis]
    graph_shape = (*(sizes[k] for k in kept), channels)
    return Image(canonical(lowering, flow, axis, graph_shape), axis, sizes, kept)


def numbers_of(lowering: Lowering, node: onnx.NodeProto, name: str, count: int, default: int) -> list[int]:
    """An attribute of `count` integers.

    Raises:
        ModelError: it has another count.
    """
    given = lowering.attributes(node).get(name)
    found = [default] * count if given is None else [int(n) for n in given]  # type: ignore[attr-defined]
    if len(found) != count:
        raise ModelError(
            f"Attribute {name!r} of node {node.name!r} ({node.op_type}) must have {count} numbers, not {len(found)}"
        )
    return found


def window_of(
    lowering: Lowering,
    node: onnx.NodeProto,
    image: Image,
    kernel: Sequence[int],
    outputs: Sequence[int] | None = None,
    more: tuple[Sequence[int], Sequence[int]] | None = None,
) -> Window:
    """The window of a node over an image.

    Args:
        lowering: the import.
        node: with attributes `strides`, `dilations`, `pads` and `auto_pad`.
        image: what it slides over.
        kernel: its taps in each of the file's spatial dimensions.
        outputs: in each of them, where `ceil_mode` may add some; None: those that fit.
        more: padding beside the node's own, in front of each of them and behind.

    Raises:
        ModelError: an attribute has no meaning.
    """
    rank = len(image.sizes)
    strides = numbers_of(lowering, node, "strides", rank, 1)
    dilations = numbers_of(lowering, node, "dilations", rank, 1)
    outer = ([0] * rank, [0] * rank) if more is None else more
    sizes = [size + b + e for size, b, e in zip(image.sizes, *outer, strict=True)]
    begins, ends = pads_of(lowering, node, sizes, kernel, strides, dilations)
    begins, ends = ([a + b for a, b in zip(*pair, strict=True)] for pair in ((begins, outer[0]), (ends, outer[1])))
    if outputs is not None:
        for k in range(rank):
            reach = (kernel[k] - 1) * dilations[k] + 1
            ends[k] = max(ends[k], (outputs[k] - 1) * strides[k] + reach - image.sizes[k] - begins[k])
    if any(begins[k] or ends[k] for k in range(rank) if k not in image.kept):
        raise ModelError(
            f"Pads of node {node.name!r} ({node.op_type}) must be 0 in the dimension of length 1 that has no hardware"
        )
    (top, left), (bottom, right) = image.pair(begins, 0), image.pair(ends, 0)
    try:
        return Window(
            image.height,
            image.width,
            image.pair(kernel),
            image.pair(strides),
            image.pair(dilations),
            (top, left, bottom, right),
        )
    except ModelError as error:
        raise ModelError(f"Node {node.name!r} ({node.op_type}) must have a window that fits: {error}") from error


def pads_of(
    lowering: Lowering,
    node: onnx.NodeProto,
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> tuple[list[int], list[int]]:
    """Padding in front of each spatial dimension and behind it.

    Raises:
        ModelError: `auto_pad` is unknown, or given beside `pads`.
    """
    rank = len(sizes)
    given = lowering.attributes(node).get("auto_pad", b"NOTSET")
    mode = given.decode(errors="replace") if isinstance(given, bytes) else str(given)
    pads = numbers_of(lowering, node, "pads", 2 * rank, 0)
    if mode in ("NOTSET", ""):
        return pads[:rank], pads[rank:]
    if mode == "VALID":
        return [0] * rank, [0] * rank
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise ModelError(
            f"auto_pad of node {node.name!r} ({node.op_type}) must be NOTSET, VALID, SAME_UPPER or SAME_LOWER, not "
            f"{mode!r}"
        )
    begins, ends = [], []
    for size, taps, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        total = max(0, (-(-size // stride) - 1) * stride + (taps - 1) * dilation + 1 - size)
        less, more = total // 2, total - total // 2
        begins.append(less if mode == "SAME_UPPER" else more)
        ends.append(more if mode == "SAME_UPPER" else less)
    return begins, ends
