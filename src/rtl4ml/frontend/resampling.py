"""Resize and Upsample: nearest pixels are chosen; between pixels, integer sums under a window, divided behind.

Linear interpolation by a factor p / q puts p outputs in the place of q pixels. Each of these phases weighs the same
neighbours in the same way, at the border copies of it: so the image gets a border of copies, and a depthwise
convolution of stride q has all phases of a channel as its outputs. Where there are no phases (align_corners), all
outputs along an axis are those of one window that covers it. Weights are integers over the axis' common denominator;
by the product of both axes' denominators the sums are divided in float32, unless float32 is exact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd

import numpy as np
import onnx
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes
from rtl4ml.frontend import kernels, operand, spatial
from rtl4ml.frontend.common_grid import FLOAT32_EXACT, dyadic
from rtl4ml.frontend.convolution import build
from rtl4ml.frontend.judge.grids import NotIntegerError
from rtl4ml.frontend.judge.interpolation import Interpolation, Places, interpolation
from rtl4ml.frontend.lowering import Lowering, handles
from rtl4ml.frontend.pooling import divided, on_host
from rtl4ml.frontend.selection import apply, executed, moved
from rtl4ml.frontend.spatial import Image
from rtl4ml.frontend.values import Constant, Flow
from rtl4ml.operators import Conv, Window

MAX_WEIGHTS = 1 << 20
"""Of one interpolation, those of 0 included."""

MIN_EXPONENT = -126
"""Of normal float32 numbers."""


def _text(lowering: Lowering, node: onnx.NodeProto, name: str, default: str) -> str:
    given = lowering.attributes(node).get(name, default)
    return given.decode(errors="replace") if isinstance(given, bytes) else str(given)


@handles("Resize", "Upsample", constants=True, integers=True)
def resize(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Every output is a pixel of the input, in all coordinate and rounding modes, or lies between two.

    Raises:
        ModelError: another mode is wanted, or weights are no small fractions.
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
    """One dimension, in windows of `stride` pixels.

    Parameters:
        before: copies of the border in front of the image.
        after: behind it.
        stride: pixels from one window to the next.
        weights: int64 (taps, phases) over the axis' denominator: of pixel `stride * k - before + tap` for the outputs
            that stand in the place of window k.
    """

    before: int
    after: int
    stride: int
    weights: Codes

    @property
    def phases(self) -> int:
        """Outputs of a window."""
        return self.weights.shape[1]


_SAME = _Axis(0, 0, 1, np.ones((1, 1), np.int64))


def _linear(lowering: Lowering, node: onnx.NodeProto) -> None:
    flow = operand.hardware_flow(lowering, node)
    accumulators = lowering.is_product(str(flow.source)) and flow.source not in lowering.unquantized
    if flow.steps or flow.bias is not None or accumulators:
        raise ModelError(
            f"Input {node.input[0]!r} of node {node.name!r} ({node.op_type}) must be quantized, not real: put a Quant "
            "node in front of it"
        )
    if flow.order.ndim not in (3, 4):
        raise ModelError(
            f"Input {node.input[0]!r} of node {node.name!r} ({node.op_type}) must have channels and 1 or 2 spatial "
            f"dimensions, not shape {list(flow.order.shape)}"
        )
    found = _interpolation(lowering, node, flow.order.shape)
    if found.unit == 1:
        apply(lowering, node, [lambda array: _taken(array, found)])
        return
    by_axis = {places.axis: _axis(places) for places in found.places}
    rows, columns = by_axis.get(2, _SAME), by_axis.get(3, _SAME)
    # Windows over all rows and columns would have as many weights as pixels times outputs: one axis after the other.
    covers = any(len(by_axis[places.axis].weights) == places.size > 2 for places in found.places)
    apart = covers and len(found.places) > 1
    for number, (first, second) in enumerate([(rows, _SAME), (_SAME, columns)] if apart else [(rows, columns)]):
        image = spatial.image_of(lowering, node, flow)
        built, order = _interpolated(lowering, node, image, first, second)
        if apart and number == 0:
            built = replace(
                built, name=lowering.new_name(f"{built.name}_rows"), output=lowering.new_name(f"{built.output}_rows")
            )
            lowering.append(built, order, learned=False)
            flow = replace(flow, source=built.output, order=order, view=None)
    _finish(lowering, node, built, order, found.unit)


def _taken(array: NDArray, found: Interpolation) -> NDArray:
    """Elements that lie where outputs do."""
    for places in found.places:
        array = array.take(places.first, places.axis)
    return array


def _finish(lowering: Lowering, node: onnx.NodeProto, built: Conv, order: Codes, unit: int) -> None:
    """Sums on a finer grid where float32 holds them, else sums that are divided."""
    tensor = built.infer((lowering.tensors[built.inputs[0]],))
    odd, exponents = dyadic(built.scale)
    finer = not unit & (unit - 1) and max(odd) == 1 and min(exponents) - unit.bit_length() > MIN_EXPONENT
    if not finer or max(abs(limit) for limit in tensor.range) >= FLOAT32_EXACT:
        divided(lowering, node, built, built.shape, order, np.array(unit, np.float32))
        return
    name = node.output[0]
    lowering.append(replace(built, scale=built.scale / unit), order, learned=False)
    lowering.unquantized.add(name)
    lowering.values[name] = Flow(name, name, order)


def _interpolated(
    lowering: Lowering, node: onnx.NodeProto, image: Image, rows: _Axis, columns: _Axis
) -> tuple[Conv, Codes]:
    """The sums of an image's outputs, not yet divided, and their layout in the file."""
    height, width, channels = image.height, image.width, image.channels
    phases = rows.phases * columns.phases
    kernel = np.einsum("ia,jb->ijab", rows.weights, columns.weights).reshape(-1, 1, phases)
    if kernel.size * channels > MAX_WEIGHTS:
        raise ModelError(
            f"Outputs of node {node.name!r} ({node.op_type}) must be found by at most {MAX_WEIGHTS} weights, not "
            f"{kernel.size * channels}: no two of them lie alike between their neighbours; use half_pixel or asymmetric"
        )
    bordered = _bordered(lowering, node, image, rows, columns)
    window = Window(
        height + rows.before + rows.after,
        width + columns.before + columns.after,
        (len(rows.weights), len(columns.weights)),
        (rows.stride, columns.stride),
    )
    codes = np.tile(kernel, (1, 1, channels)).reshape(-1, phases * channels)
    weights = Constant(codes.astype(np.float32), codes, np.ones(codes.shape))
    counts = height // rows.stride, width // columns.stride
    # Outputs of a window: channel, row of the phase, column of the phase.
    shape = (*counts[: len(image.kept)], channels * phases)
    built = build(lowering, node, bordered, weights, window, channels, shape)
    split = np.arange(counts[0] * counts[1] * channels * phases)
    split = split.reshape(*counts, channels, rows.phases, columns.phases).transpose(0, 3, 1, 4, 2)
    pixels = (counts[0] * rows.phases, counts[1] * columns.phases)[: len(image.kept)]
    return built, np.moveaxis(split.reshape(1, *pixels, channels), -1, image.axis)


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


def _interpolation(lowering: Lowering, node: onnx.NodeProto, shape: tuple[int, ...]) -> Interpolation:
    """Where the outputs lie.

    Raises:
        ModelError: no small fractions, or not along spatial dimensions only.
    """
    constants = {name: lowering.constant(name, node).value for name in node.input[1:] if name}

    def run(ramp: NDArray) -> NDArray:
        return np.asarray(kernels.run_node(node, {**constants, node.input[0]: ramp}, lowering.opset)[0])

    after = run(np.zeros(shape, np.float32)).shape
    try:
        found = interpolation(node, constants, shape, after, lowering.opset, run)
    except NotIntegerError as reason:
        raise ModelError(
            f"Node {node.name!r} ({node.op_type}) must interpolate by small fractions: {reason}; use mode nearest, or "
            "move it behind the last quantizer, where the host runs it"
        ) from reason
    if any(places.axis < 2 for places in found.places):
        raise ModelError(f"Factors of node {node.name!r} ({node.op_type}) must be 1 but for spatial dimensions")
    return found


def _axis(places: Places) -> _Axis:
    """An axis in windows as small as they can be: all outputs of one weigh its pixels as those of the others do."""
    size, length = places.size, len(places.first)
    for windows in range(gcd(size, length), 1, -1):
        if gcd(size, length) % windows:
            continue
        phases, stride = length // windows, size // windows
        ahead = zip(places.ideal, places.ideal[phases:], strict=False)
        small = all(places.unit % position.denominator == 0 for position in places.ideal[:phases])
        if small and all(b - a == stride for a, b in ahead):
            return _phased(places, phases, stride)
    weights = np.zeros((size, length), np.int64)
    np.add.at(weights, (places.first, np.arange(length)), places.unit - places.rest)
    np.add.at(weights, (np.minimum(places.first + 1, size - 1), np.arange(length)), places.rest)
    return _Axis(0, 0, size, weights)


def _phased(places: Places, phases: int, stride: int) -> _Axis:
    """An axis whose outputs repeat: beyond the border lie copies of it."""
    scaled = np.array([int(position * places.unit) for position in places.ideal[:phases]], np.int64)
    base, rest = np.divmod(scaled, places.unit)
    before, top = max(0, -int(base.min())), max(0, int((base + (rest > 0)).max()))
    weights = np.zeros((before + top + 1, phases), np.int64)
    phase = np.arange(phases)
    np.add.at(weights, (base + before, phase), places.unit - rest)
    np.add.at(weights, (base + before + (rest > 0), phase), rest)
    return _Axis(before, max(0, top + 1 - stride), stride, weights)
