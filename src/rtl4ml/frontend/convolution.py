"""Conv, and products with several vectors of a sample: codes under a sliding kernel of constant weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, spread, width_of
from rtl4ml.frontend import operand, spatial
from rtl4ml.frontend.constants import recover_grid
from rtl4ml.frontend.lowering import CHANNELS_LAST, Lowering, handles
from rtl4ml.frontend.operand import Operand
from rtl4ml.frontend.padding import absorbed
from rtl4ml.frontend.products import factor_rows, finish, power_ratio, times_alpha
from rtl4ml.frontend.selection import viewed
from rtl4ml.frontend.spatial import Image
from rtl4ml.frontend.values import Constant, Flow, alike, shortened
from rtl4ml.operators import Conv, Requantize, Window
from rtl4ml.staircase import Staircase


@handles("Conv", domains=("", CHANNELS_LAST))
def conv(lowering: Lowering, node: onnx.NodeProto) -> None:
    """A convolution of codes with constant weights; the bias joins the accumulator where it is on its grid.

    Raises:
        ModelError: real-valued input, weights that depend on it, or attributes that do not fit.
    """
    flow = operand.hardware_flow(lowering, node)
    weights = lowering.constant(node.input[1], node)
    if node.domain == CHANNELS_LAST:
        weights = moved_constant(weights, lambda a: np.moveaxis(a, -1, 1))
    shape = np.shape(weights.value)
    kernel = shape[2:]
    flow, begins, ends = absorbed(lowering, flow, spatial.channel_axis(node, flow))
    image = spatial.image_of(lowering, node, flow, kernel)
    groups = int(lowering.attributes(node).get("group", 1))  # type: ignore[call-overload]
    check_groups(node, image.channels, shape[1], shape[0], groups)
    given = lowering.attributes(node).get("kernel_shape")
    if given is not None and tuple(given) != kernel:  # type: ignore[arg-type]
        raise ModelError(
            f"kernel_shape of node {node.name!r} ({node.op_type}) must be that of the weights, {list(kernel)}, not "
            f"{list(given)}"  # type: ignore[call-overload]
        )
    window = spatial.window_of(lowering, node, image, kernel, more=(begins, ends))
    # (outputs, channels, *kernel) to (*kernel, channels, outputs).
    turned = moved_constant(weights, lambda a: np.moveaxis(a, (0, 1), (-1, -2)).reshape(-1, shape[0]))
    tensor_shape, order = image.result(window, shape[0])
    built = build(lowering, node, image.flow, turned, window, groups, tensor_shape)
    finish(lowering, node, built, order, bias_of(lowering, node, shape[0]))


def moved_constant(constant: Constant, move: object) -> Constant:
    """A constant with its codes and scales in another shape."""
    assert callable(move)
    codes = None if constant.codes is None else move(constant.codes)
    scale = None if constant.scale is None else move(constant.scale)
    return Constant(move(np.asarray(constant.value)), codes, scale)


def check_groups(node: onnx.NodeProto, channels: int, each: int, outputs: int, groups: int) -> None:
    """Refuse weights that do not fit the image.

    Raises:
        ModelError: naming what does not fit.
    """
    if groups < 1 or outputs % groups:
        raise ModelError(
            f"Outputs of node {node.name!r} ({node.op_type}) must split into its {groups} groups, not be {outputs}"
        )
    if each * groups != channels:
        raise ModelError(
            f"Input of node {node.name!r} ({node.op_type}) must have {each * groups} channels, {each} for each of its "
            f"{groups} groups, not {channels}"
        )


def bias_of(lowering: Lowering, node: onnx.NodeProto, outputs: int) -> NDArray | None:
    """The node's third input, one number an output.

    Raises:
        ModelError: it has another size, or depends on the input.
    """
    if len(node.input) < 3 or not node.input[2]:
        return None
    value = lowering.finite(lowering.constant(node.input[2], node).value, node)
    if value.size != outputs:
        raise ModelError(f"Bias of node {node.name!r} ({node.op_type}) must have {outputs} elements, not {value.size}")
    return value.reshape(-1).astype(np.float64)


def build(
    lowering: Lowering,
    node: onnx.NodeProto,
    flow: Flow,
    weights: Constant,
    window: Window,
    groups: int,
    shape: tuple[int, ...],
    alpha: float = 1.0,
) -> Conv:
    """The Conv of an image with constant weights, without their bias.

    Args:
        lowering: the import.
        node: the product.
        flow: the image, channels last in its source.
        weights: (taps * channels of a group, outputs).
        window: that slides over it.
        groups: of channels.
        shape: of the result, without the batch.
        alpha: a factor of the result.

    Raises:
        ModelError: real values, or scales that do not factor out of the sums.
    """
    activation = operand.of_flow(lowering, node, flow)
    channels = groups * (weights.value.shape[0] // (window.kernel[0] * window.kernel[1]))
    if shortened(activation.tensor.format.zero_point, channels).size > channels:
        activation = _without_zero_points(lowering, activation)
    if any(window.pads) and np.any(activation.offset):
        activation = _centred(lowering, node, activation)
    recovered = recover_grid(weights, node.name, node.op_type)
    assert recovered.codes is not None and recovered.scale is not None
    codes, scale = factor_rows(recovered.codes, recovered.scale, node)
    taps, outputs = window.kernel[0] * window.kernel[1], codes.shape[1]
    group = np.arange(outputs) // (outputs // groups)

    def of_outputs(array: NDArray, what: str) -> NDArray:
        """Numbers of channels () or (k,) as those of the channels that each output reads, (channels / groups, n)."""
        return of_channels(array, channels, what, node).reshape(groups, -1)[group].T

    inputs = of_outputs(activation.scale, "Scales")
    lowest = inputs.min(axis=0)
    what = f"Scales of input {node.input[0]!r} of node {node.name!r} ({node.op_type})"
    ratio = np.ones(inputs.shape, np.int64) if np.all(inputs == lowest) else power_ratio(inputs, lowest, what)
    kernel = codes.reshape(taps, -1, outputs) * ratio
    flat, accumulator = times_alpha(kernel.reshape(-1, outputs), lowest * scale, alpha, node)
    kernel = flat.reshape(kernel.shape)
    bias = (kernel * of_outputs(activation.offset, "Offsets")).sum(axis=(0, 1))
    kernel = kernel * of_outputs(activation.gain, "Factors")
    of_channels(activation.tensor.format.zero_point, channels, "Zero points", node)
    accumulator = accumulator[0].reshape(()) if np.all(accumulator == accumulator[0]) else accumulator
    return Conv(
        node.name or node.output[0],
        (activation.tensor.name,),
        node.output[0],
        window,
        np.ascontiguousarray(kernel.reshape(*window.kernel, -1, outputs)),
        bias,
        accumulator,
        groups,
        shape,
    )


def of_channels(array: NDArray, channels: int, what: str, node: onnx.NodeProto) -> NDArray:
    """A parameter of an image () or (k,) as that of its channels, (channels,).

    Raises:
        ModelError: it differs between pixels.
    """
    short = shortened(np.asarray(array), channels)
    if short.size > channels or channels % short.size:
        raise ModelError(
            f"{what} of input {node.input[0]!r} of node {node.name!r} ({node.op_type}) must be one for all pixels or "
            "one for each channel, not differ between pixels"
        )
    return spread(short, channels)


def _centred(lowering: Lowering, node: onnx.NodeProto, activation: Operand) -> Operand:
    """An activation whose offset is part of the zero point: padding is the value 0 then.

    Raises:
        ModelError: the value 0 lies between two codes.
    """
    offset, gain, zero, scale = alike(
        activation.offset, activation.gain, activation.tensor.format.zero_point, activation.scale
    )
    if np.any(gain == 0) or np.any(offset % np.where(gain == 0, 1, gain)):
        raise ModelError(
            f"Input {node.input[0]!r} of node {node.name!r} ({node.op_type}) must have a code for 0, since it is "
            "padded: put a Quant node in front of it"
        )
    meaning = replace(activation.tensor.format, scale=scale, zero_point=zero - offset // gain, bipolar=False)
    flow = viewed(lowering, replace(activation.flow, view=meaning))
    return replace(
        activation, flow=flow, tensor=lowering.tensors[str(flow.source)], offset=np.zeros((), np.int64), scale=scale
    )


def _without_zero_points(lowering: Lowering, activation: Operand) -> Operand:
    """An activation whose zero points differ between pixels, with codes from which they are taken off."""
    tensor = activation.tensor
    low, high, zero = (spread(a, tensor.size) for a in (tensor.low, tensor.high, tensor.format.zero_point))
    steps = [np.arange(a + 1, b + 1) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
    codes = tuple(s - z for s, z in zip(steps, zero.tolist(), strict=True))
    shift = Staircase(low, high, low - zero, tuple(steps), codes)
    bits, signed = width_of(shift.code_low, shift.code_high)
    plain = replace(
        tensor.format, bits=bits, signed=signed, zero_point=np.zeros((), np.int64), bipolar=False, narrow=False
    )
    name = lowering.new_name(f"{tensor.name}_centred")
    lowering.append(Requantize(name, (tensor.name,), name, shift, plain, ()), lowering.layouts[tensor.name])
    return replace(activation, tensor=lowering.tensors[name])


def pointwise(
    lowering: Lowering,
    node: onnx.NodeProto,
    flow: Flow,
    weights: Constant,
    alpha: float = 1.0,
    bias: NDArray | None = None,
) -> None:
    """A matrix times several vectors, which lie along the last dimension: a convolution with a kernel of one pixel.

    Args:
        lowering: the import.
        node: the product.
        flow: the vectors.
        weights: (elements of a vector, outputs).
        alpha: a factor of the product.
        bias: (outputs,) or None.
    """
    leading = flow.order.shape[:-1]
    channels, outputs = np.shape(weights.value)
    inner = leading[1:] if leading[0] == 1 and len(leading) > 1 else leading
    image = spatial.canonical(lowering, flow, flow.order.ndim - 1, (*inner, channels))
    pixels = flow.order.size // channels
    # One dimension is one of rows, several are those of an image: rows are what line buffers hold.
    height = pixels if len(inner) != 2 else inner[0]
    window = Window(height, pixels // height, (1, 1))
    built = build(lowering, node, image, weights, window, 1, (*inner, outputs), alpha)
    order = np.arange(pixels * outputs).reshape(*leading, outputs)
    finish(lowering, node, built, order, bias)


def sums(
    lowering: Lowering, node: onnx.NodeProto, image: Image | Flow, window: Window, channels: int, mixed: bool
) -> Conv:
    """Sums of an image's values under a window: of each channel by itself, or of all of them together.

    Args:
        lowering: the import.
        node: the file's node.
        image: channels last.
        window: that slides over it.
        channels: of the image.
        mixed: all channels are summed.
    """
    flow = image.flow if isinstance(image, Image) else image
    taps = window.kernel[0] * window.kernel[1]
    outputs = 1 if mixed else channels
    ones: Codes = np.ones((taps * (channels if mixed else 1), outputs), np.int64)
    weights = Constant(ones.astype(np.float32), ones, np.ones(ones.shape))
    return build(lowering, node, flow, weights, window, 1 if mixed else channels, (outputs,))
