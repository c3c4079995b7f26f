"""Resize and Upsample: nearest pixels are chosen; between pixels, sums under a window where float32 is exact.

Linear interpolation by a factor f, a power of two, puts f outputs in the place of a pixel. Each of these phases weighs
the same neighbours in the same way, at the border copies of it: so the image gets a border of copies, and a depthwise
convolution has all phases of a channel as its outputs. Their weights are multiples of 1 / (2 f) in each dimension, and
float32 computes them exactly if scales are powers of two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes
from rtl4ml.frontend import kernels, operand, spatial
from rtl4ml.frontend.common_grid import FLOAT32_EXACT, dyadic
from rtl4ml.frontend.convolution import build
from rtl4ml.frontend.lowering import Lowering, handles
from rtl4ml.frontend.pooling import on_host
from rtl4ml.frontend.selection import apply, executed, moved
from rtl4ml.frontend.spatial import Image
from rtl4ml.frontend.values import Constant, Flow
from rtl4ml.operators import Window


def _text(lowering: Lowering, node: onnx.NodeProto, name: str, default: str) -> str:
    given = lowering.attributes(node).get(name, default)
    return given.decode(errors="replace") if isinstance(given, bytes) else str(given)


@handles("Resize", "Upsample", constants=True, integers=True)
def resize(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Every output is a pixel of the input, in all coordinate and rounding modes, or lies between two.

    Raises:
        ModelError: another mode is wanted, or float32 would round.
    """
    mode = _text(lowering, node, "mode", "nearest")
    value = lowering.value(node.input[0], node)
    if isinstance(value, Flow) and mode == "linear" and not value.integer:
        if not on_host(lowering, node):
            _linear(lowering, node)
        return
    if mode != "nearest":
        raise ModelError(
            f"mode of node {node.name!r} ({node.op_type}) must be nearest, or linear on real values, not {mode!r}: "
            "replace it by a ConvTranspose, or move it behind the last quantizer, where the host runs it"
        )
    if _text(lowering, node, "coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        raise ModelError(
            f"coordinate_transformation_mode of node {node.name!r} ({node.op_type}) must not be tf_crop_and_resize: "
            "crop with a Slice in front of it"
        )
    apply(lowering, node, executed(lowering, node))


@dataclass(frozen=True, eq=False)
class _Axis:
    """One dimension.

    Parameters:
        factor: outputs for a pixel.
        before: copies of the border in front of the image.
        after: behind it.
        weights: int64 (taps, factor), in units of 1 / (2 factor); of pixel `q - before + tap` for outputs of pixel q.
    """

    factor: int
    before: int
    after: int
    weights: Codes

    @property
    def unit(self) -> int:
        """What the weights of one output add up to."""
        return int(self.weights[:, 0].sum())


def _linear(lowering: Lowering, node: onnx.NodeProto) -> None:
    flow = operand.hardware_flow(lowering, node)
    if flow.steps or flow.bias is not None:
        raise ModelError(
            f"Input {node.input[0]!r} of node {node.name!r} ({node.op_type}) must be quantized, not real: put a Quant "
            "node in front of it"
        )
    if flow.order.ndim not in (3, 4):
        raise ModelError(
            f"Input {node.input[0]!r} of node {node.name!r} ({node.op_type}) must have channels and 1 or 2 spatial "
            f"dimensions, not shape {list(flow.order.shape)}"
        )
    axes = _axes(lowering, node, flow.order.shape)
    image = spatial.image_of(lowering, node, flow)
    rows, columns = axes[0], axes[1] if len(axes) > 1 else _Axis(1, 0, 0, np.ones((1, 1), np.int64))
    height, width, channels = image.height, image.width, image.channels
    bordered = _bordered(lowering, node, image, rows, columns)
    window = Window(
        height + rows.before + rows.after,
        width + columns.before + columns.after,
        (len(rows.weights), len(columns.weights)),
    )
    phases = rows.factor * columns.factor
    kernel = np.einsum("ia,jb->ijab", rows.weights, columns.weights).reshape(-1, 1, phases)
    codes = np.tile(kernel, (1, 1, channels)).reshape(-1, phases * channels)
    scale = np.full(codes.shape, 1.0 / (rows.unit * columns.unit))
    name = node.output[0]
    # Outputs of a pixel: channel, row of the phase, column of the phase.
    shape = (*((height, width) if len(image.kept) > 1 else (height,)), channels * phases)
    built = build(lowering, node, bordered, Constant(codes.astype(np.float32), codes, scale), window, channels, shape)
    split = np.arange(height * width * channels * phases)
    split = split.reshape(height, width, channels, rows.factor, columns.factor).transpose(0, 3, 1, 4, 2)
    pixels = (height * rows.factor, width * columns.factor)[: len(image.kept)]
    order = np.moveaxis(split.reshape(1, *pixels, channels), -1, image.axis)
    lowering.append(built, order, learned=False)
    tensor = lowering.tensors[name]
    odd = max(dyadic(tensor.format.scale)[0])
    if odd != 1 or max(abs(limit) for limit in tensor.range) >= FLOAT32_EXACT:
        raise ModelError(
            f"Scale of input {node.input[0]!r} of node {node.name!r} ({node.op_type}) must be a power of two, and its "
            f"sums must fit 24 bits, for float32 to be exact, not {float(tensor.format.scale.reshape(-1)[0]):.8g} with "
            f"sums up to {max(abs(limit) for limit in tensor.range)}: use mode nearest, or move it behind the last "
            "quantizer, where the host runs it"
        )
    lowering.unquantized.add(name)
    lowering.values[name] = Flow(name, name, order)


def _bordered(lowering: Lowering, node: onnx.NodeProto, image: Image, rows: _Axis, columns: _Axis) -> Flow:
    """The image with copies of its border around it."""
    height, width, channels = image.height, image.width, image.channels
    y = np.clip(np.arange(-rows.before, height + rows.after), 0, height - 1)
    x = np.clip(np.arange(-columns.before, width + columns.after), 0, width - 1)
    pixels = y[:, None] * width + x[None, :]
    elements = (pixels[:, :, None] * channels + np.arange(channels)).reshape(-1)
    shape = (len(y), len(x), channels) if len(image.kept) > 1 else (len(y), channels)
    order = np.moveaxis(np.arange(len(elements)).reshape(1, *shape), -1, image.axis)
    result = moved(lowering, image.flow, elements, order, shape, f"{node.output[0]}_border")
    return replace(result, tensor=image.flow.tensor, order=order)


def _axes(lowering: Lowering, node: onnx.NodeProto, shape: tuple[int, ...]) -> list[_Axis]:
    """The spatial dimensions; where the executor interpolates comes from running it on ramps.

    Raises:
        ModelError: a factor is no power of two, or positions are others than those of a factor.
    """
    constants = {name: lowering.constant(name, node).value for name in node.input[1:] if name}
    axes = []
    for axis, size in enumerate(shape):
        along = [1] * len(shape)
        along[axis] = size
        # Other dimensions of the ramp keep their lengths: sizes may be given in numbers, not in factors.
        ramp = np.broadcast_to(np.arange(size, dtype=np.float32).reshape(along), shape)
        found = kernels.run_node(node, {**constants, node.input[0]: np.ascontiguousarray(ramp)}, lowering.opset)[0]
        length = found.shape[axis]
        factor = length // size
        if factor * size != length or factor & (factor - 1) or (axis < 2 and factor != 1):
            raise ModelError(
                f"Factors of node {node.name!r} ({node.op_type}) must be powers of two in spatial dimensions, not "
                f"{length}/{size} in dimension {axis}: float32 is not exact else"
            )
        places = np.moveaxis(found, axis, 0).reshape(length, -1)[:, 0].astype(np.float64) * 2 * factor
        if axis >= 2:
            axes.append(_axis(node, axis, factor, size, places))
    return axes


def _axis(node: onnx.NodeProto, axis: int, factor: int, size: int, places: np.ndarray) -> _Axis:
    message = (
        f"coordinate_transformation_mode of node {node.name!r} ({node.op_type}) must put outputs at multiples of "
        f"1/{2 * factor} of a pixel, the same for all pixels, not elsewhere in dimension {axis}: use half_pixel or "
        "asymmetric"
    )
    if not np.array_equal(places, np.rint(places)):
        raise ModelError(message)
    unit = 2 * factor
    # Of all pixels, those whose outputs the border has not moved: the most common offset of each phase.
    offsets = (places.astype(np.int64) - np.repeat(np.arange(size), factor) * unit).reshape(size, factor)
    middle = offsets[size // 2] if size > 2 else _free(offsets, factor)
    base, rest = np.divmod(middle, unit)
    before, after = max(0, -int(base.min())), max(0, int((base + (rest > 0)).max()))
    weights = np.zeros((before + after + 1, factor), np.int64)
    phase = np.arange(factor)
    np.add.at(weights, (base + before, phase), unit - rest)
    np.add.at(weights, (base + before + (rest > 0), phase), rest)
    wanted = np.clip(np.repeat(np.arange(size), factor) * unit + np.tile(middle, size), 0, (size - 1) * unit)
    if not np.array_equal(np.clip(places, 0, (size - 1) * unit), wanted):
        raise ModelError(message)
    divisor = int(np.gcd.reduce(weights.reshape(-1)))
    return _Axis(factor, before, after, weights // divisor)


def _free(offsets: Codes, factor: int) -> Codes:
    """Offsets of phases that half_pixel or asymmetric would have, whichever the outputs agree with."""
    half = 2 * np.arange(factor) + 1 - factor
    plain = 2 * np.arange(factor)
    inner = offsets[0] if len(offsets) else half
    return half if np.all((inner == half) | (half < 0)) else plain
