"""ConvTranspose without products with inserted zeros: a convolution makes all phases of a pixel, a choice deals them.

Output o of one dimension is `sum of x[i] * w[t] with stride * i + dilation * t = o`. With `o = stride * q + r` each tap
has `dilation * t = r + stride * m` and meets pixel `q - m`: for each phase r a convolution of stride 1, all over the
same pixels. So there are `stride` outputs for one, and their kernels have only the taps of their phase.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes
from rtl4ml.frontend import kernels, operand, spatial
from rtl4ml.frontend.convolution import bias_of, build, check_groups
from rtl4ml.frontend.early import Early
from rtl4ml.frontend.lowering import Lowering, handles
from rtl4ml.frontend.products import integer_multiple
from rtl4ml.frontend.selection import moved
from rtl4ml.frontend.spatial import Image, numbers_of
from rtl4ml.frontend.values import Constant, Flow
from rtl4ml.graph import Operator
from rtl4ml.operators import Gather, Window


@dataclass(frozen=True)
class _Axis:
    """One dimension.

    Parameters:
        size: of the image.
        stride: between the outputs of neighbouring pixels.
        dilation: between taps.
        taps: of the kernel.
        begin: outputs cut off in front.
        outputs: that are left.
    """

    size: int
    stride: int
    dilation: int
    taps: int
    begin: int
    outputs: int

    @property
    def reach(self) -> int:
        """Pixels that an output looks back."""
        return (self.taps - 1) * self.dilation // self.stride

    @property
    def first(self) -> int:
        """The pixel at whose place the first outputs lie."""
        return min(self.begin // self.stride, self.reach)

    @property
    def pads(self) -> tuple[int, int]:
        """Padding in front and behind."""
        last = (self.begin + self.outputs - 1) // self.stride
        return self.reach - self.first, max(0, last - (self.size - 1))

    def place(self, tap: int) -> tuple[int, int]:
        """Phase of a tap, and its place in the kernel of stride 1."""
        back, phase = divmod(tap * self.dilation, self.stride)
        return phase, self.reach - back

    def outputs_of(self) -> tuple[Codes, Codes]:
        """For every output the place among those of stride 1, and its phase."""
        places, phases = np.divmod(self.begin + np.arange(self.outputs), self.stride)
        return places - self.first, phases


@handles("ConvTranspose")
def conv_transpose(lowering: Lowering, node: onnx.NodeProto) -> None:
    """A transposed convolution of codes with constant weights.

    Raises:
        ModelError: real-valued input, weights that depend on it, or attributes that do not fit.
    """
    flow = operand.hardware_flow(lowering, node)
    weights = lowering.constant(node.input[1], node)
    channels, each, *kernel = np.shape(weights.value)
    image = spatial.image_of(lowering, node, flow, kernel)
    groups = int(lowering.attributes(node).get("group", 1))  # type: ignore[call-overload]
    check_groups(node, image.channels, channels // max(1, groups), each * groups, groups)
    rows, columns = _axes_of(lowering, node, image, kernel)
    outputs, phases = each * groups, rows.stride * columns.stride
    turned = _phases_of(weights, groups, rows, columns)
    (top, bottom), (left, right) = rows.pads, columns.pads
    reaches = rows.reach + 1, columns.reach + 1
    window = Window(image.height, image.width, reaches, pads=(top, left, bottom, right))
    # Outputs of a pixel: group, phase, output of the group.
    group, _, which = np.unravel_index(np.arange(outputs * phases), (groups, phases, each))
    place = group * each + which
    shape, order = image.result(window, outputs * phases)
    name = node.output[0]
    made = name if phases == 1 else lowering.new_name(f"{name}_phases")
    product = replace(build(lowering, node, image.flow, turned, window, groups, shape), output=made)
    bias = bias_of(lowering, node, outputs)
    real = None
    if bias is not None:
        on_grid = integer_multiple(bias[place], product.scale)
        real = bias[place].astype(np.float32) if on_grid is None else None
        product = product if on_grid is None else replace(product, bias=product.bias + on_grid)
    lowering.append(product, order)
    elements, dealt, order = _deal(image, window, rows, columns, groups, each)
    phased = Flow(made, made, order, bias=real)
    result = moved(lowering, phased, elements, order, dealt, name)
    lowering.values[name] = replace(result, tensor=name)
    if result.source != made and result.source is not None:

        def rebuild(title: str, given: str, output: str) -> Operator:
            return Gather(title, (given,), output, elements, dealt)

        where = f"node {node.name!r} ({node.op_type})"
        title = f"{node.name or name}_interleave"
        lowering.early[result.source] = Early(phased, title, where, outputs, rebuild, False, True, place)


def _axes_of(lowering: Lowering, node: onnx.NodeProto, image: Image, kernel: Sequence[int]) -> tuple[_Axis, _Axis]:
    rank = len(image.sizes)
    strides = numbers_of(lowering, node, "strides", rank, 1)
    dilations = numbers_of(lowering, node, "dilations", rank, 1)
    extra = numbers_of(lowering, node, "output_padding", rank, 0)
    begins = numbers_of(lowering, node, "pads", 2 * rank, 0)[:rank]
    if min(*strides, *dilations) < 1 or min(*extra, *begins) < 0:
        raise ModelError(
            f"Strides and dilations of node {node.name!r} ({node.op_type}) must be 1 or more and its pads 0 or more, "
            f"not {strides}, {dilations}, {extra} and {begins}"
        )
    sizes = _executed_shape(lowering, node, image.sizes, kernel)
    given = lowering.attributes(node).get("auto_pad", b"NOTSET")
    mode = given.decode(errors="replace") if isinstance(given, bytes) else str(given)
    sized = lowering.attributes(node).get("output_shape") is not None
    for k in range(rank):
        whole = (image.sizes[k] - 1) * strides[k] + extra[k] + (kernel[k] - 1) * dilations[k] + 1
        if sized or mode.startswith("SAME"):
            total = max(0, whole - sizes[k])
            begins[k] = total // 2 if mode == "SAME_UPPER" else total - total // 2
        elif mode == "VALID":
            begins[k] = 0
    columns = [image.pair(numbers, default) for numbers, default in ((strides, 1), (dilations, 1), (kernel, 1))]
    cut, left = image.pair(begins, 0), image.pair(sizes)
    rows_and_columns = zip((image.height, image.width), *columns, cut, left, strict=True)
    first, second = (_Axis(*numbers) for numbers in rows_and_columns)
    return first, second


def _executed_shape(
    lowering: Lowering, node: onnx.NodeProto, sizes: Sequence[int], kernel: Sequence[int]
) -> tuple[int, ...]:
    """Outputs in each dimension, as the executor has them, from one channel of zeros."""
    single = onnx.NodeProto()
    single.CopyFrom(node)
    del single.input[2:]
    kept = [a for a in single.attribute if a.name != "group"]
    del single.attribute[:]
    single.attribute.extend(kept)
    zeros = {
        single.input[0]: np.zeros((1, 1, *sizes), np.float32),
        single.input[1]: np.zeros((1, 1, *kernel), np.float32),
    }
    return np.shape(kernels.run_node(single, zeros, lowering.opset)[0])[2:]


def _phases_of(weights: Constant, groups: int, rows: _Axis, columns: _Axis) -> Constant:
    """Weights as those of all phases: codes of taps that a phase does not have are 0, with scales that others have."""
    codes = None if weights.codes is None else _phases(weights.codes, groups, rows, columns)
    scale = None if weights.scale is None else _phases(weights.scale, groups, rows, columns, absent=np.max)
    return Constant(_phases(np.asarray(weights.value), groups, rows, columns), codes, scale)


def _phases(
    weights: NDArray, groups: int, rows: _Axis, columns: _Axis, absent: Callable[..., NDArray] | None = None
) -> NDArray:
    """An array (channels, outputs of a group, *kernel) as that of all phases, (taps * channels of a group, outputs).

    Args:
        weights: the array.
        groups: of channels.
        rows: the first dimension.
        columns: the second.
        absent: chooses an entry of each output for taps that its phase does not have; None: 0.
    """
    channels, each = weights.shape[:2]
    flat = weights.reshape(channels, each, rows.taps, columns.taps)
    split = flat.reshape(groups, channels // groups, each, rows.taps, columns.taps)
    reach = rows.reach + 1, columns.reach + 1
    result = np.zeros((*reach, channels // groups, groups, rows.stride, columns.stride, each), weights.dtype)
    if absent is not None:
        result[...] = absent(split, axis=(1, 3, 4))[None, None, None, :, None, None, :]
    for i in range(rows.taps):
        for j in range(columns.taps):
            (ry, u), (rx, v) = rows.place(i), columns.place(j)
            result[u, v, :, :, ry, rx, :] = split[:, :, :, i, j].transpose(1, 0, 2)
    return result.reshape(reach[0] * reach[1] * (channels // groups), -1)


def _deal(
    image: Image, window: Window, rows: _Axis, columns: _Axis, groups: int, each: int
) -> tuple[Codes, tuple[int, ...], Codes]:
    """Elements of the phases in the order of the outputs; shape and layout of these."""
    (y, ry), (x, rx) = rows.outputs_of(), columns.outputs_of()
    outputs = groups * each
    pixel = y[:, None] * window.out_width + x[None, :]
    phase = ry[:, None] * columns.stride + rx[None, :]
    group, which = np.divmod(np.arange(outputs), each)
    phases = rows.stride * columns.stride
    channel = (group * phases)[None, None, :] + phase[:, :, None]
    elements = pixel[:, :, None] * (outputs * phases) + channel * each + which
    whole = Window(len(y), len(x), (1, 1))
    shape, order = image.result(whole, outputs)
    return elements.reshape(-1), shape, order
