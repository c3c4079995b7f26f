"""MaxPool, AveragePool and their global forms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes
from rtl4ml.frontend import early, kernels, operand, spatial
from rtl4ml.frontend.convolution import of_channels, sums
from rtl4ml.frontend.early import Early
from rtl4ml.frontend.lowering import CHANNELS_LAST, Lowering, handles
from rtl4ml.frontend.spatial import Image
from rtl4ml.frontend.values import Constant, Flow, Step
from rtl4ml.graph import Operator
from rtl4ml.operators import Pool, Window


def _kernel(lowering: Lowering, node: onnx.NodeProto, sizes: Sequence[int]) -> list[int]:
    if node.op_type.startswith("Global"):
        return list(sizes)
    if lowering.attributes(node).get("kernel_shape") is None:
        raise ModelError(f"kernel_shape of node {node.name!r} ({node.op_type}) must be given, not left out")
    return spatial.numbers_of(lowering, node, "kernel_shape", len(sizes), 1)


def _spatial_sizes(node: onnx.NodeProto, flow: Flow) -> tuple[int, ...]:
    axis = spatial.channel_axis(node, flow)
    return tuple(length for a, length in enumerate(flow.order.shape) if a not in (0, axis))


def _executed(lowering: Lowering, node: onnx.NodeProto, sizes: Sequence[int]) -> NDArray:
    """What the executor makes of an image of ones: its shape, and the count that it divides by."""
    single = onnx.NodeProto()
    single.CopyFrom(node)
    single.domain = ""
    del single.output[1:]
    ones = np.ones((1, 1, *sizes), np.float32)
    return np.asarray(kernels.run_node(single, {node.input[0]: ones}, lowering.opset)[0])[0, 0]


def _window(lowering: Lowering, node: onnx.NodeProto, image: Image) -> Window:
    kernel = _kernel(lowering, node, image.sizes)
    if node.op_type.startswith("Global"):
        return Window.whole(image.height, image.width)
    outputs = None
    if lowering.attributes(node).get("ceil_mode", 0):
        outputs = _executed(lowering, node, image.sizes).shape
    return spatial.window_of(lowering, node, image, kernel, outputs)


def require_pixels(lowering: Lowering, node: onnx.NodeProto, flow: Flow, channels: int) -> None:
    """Refuse to compare or add pixels whose codes mean different things.

    Raises:
        ModelError: scales or zero points differ between pixels.
    """
    meaning = lowering.source(flow).format
    of_channels(meaning.scale, channels, "Scales", node)
    of_channels(meaning.zero_point, channels, "Zero points", node)


def on_host(lowering: Lowering, node: onnx.NodeProto) -> bool:
    """Leave a node to the host where its input is real-valued; whether that was done."""
    flow = lowering.flow(node.input[0], node)
    if flow.opaque or flow.source is None:
        lowering.defer(node)
        return True
    return False


@handles("MaxPool", "GlobalMaxPool", domains=("", CHANNELS_LAST), integers=True)
def maximum(lowering: Lowering, node: onnx.NodeProto) -> None:
    """The largest code under a window; padding never wins.

    Raises:
        ModelError: indices are wanted, or a window that does not fit.
    """
    if len(node.output) > 1 and node.output[1] and lowering.uses[node.output[1]]:
        raise ModelError(f"Indices of node {node.name!r} ({node.op_type}) must not be used: hardware makes values only")
    if on_host(lowering, node):
        return
    flow = operand.hardware_flow(lowering, node, exact=False)
    image = spatial.image_of(lowering, node, flow, _kernel(lowering, node, _spatial_sizes(node, flow)))
    window = _window(lowering, node, image)
    shape, order = image.result(window, image.channels)
    lowering.values[node.output[0]] = pooled(lowering, node, image.flow, window, shape, order)


def pooled(
    lowering: Lowering,
    node: onnx.NodeProto,
    flow: Flow,
    window: Window,
    shape: tuple[int, ...],
    order: Codes,
) -> Flow:
    """The maximum of an image under a window.

    Args:
        lowering: the import.
        node: in the file.
        flow: the image, channels last, perhaps with operators pending.
        window: that slides over it.
        shape: of the result, without the batch; the last are its channels.
        order: of the result in the file.
    """
    assert flow.source is not None
    channels = shape[-1]
    require_pixels(lowering, node, flow, channels)
    source, name, title = flow.source, node.output[0], node.name or node.output[0]
    size = lowering.tensors[source].size
    biased = () if flow.bias is None else (flow.bias,)
    if not early.by_channel(flow.steps, None, size, channels) or any(b.size not in (1, channels) for b in biased):
        raise ModelError(
            f"Constants in front of node {node.name!r} ({node.op_type}) must not differ between pixels: put a Quant "
            "node in front of it"
        )

    def rebuild(title: str, source: str, output: str) -> Operator:
        return Pool(title, (source,), output, window, shape)

    if not (flow.steps or biased or source in lowering.unquantized or lowering.is_product(source)):
        lowering.append(rebuild(title, source, name), order)
        return replace(flow, tensor=name, source=name, order=order)
    pending = bool(flow.steps or biased)
    wide = lowering.new_name(f"{name}_wide") if pending else name
    lowering.append(rebuild(lowering.new_name(f"{title}_wide") if pending else title, source, wide), order)
    exact = early.rising(flow.steps, channels, lowering.opset)
    lowering.early[wide] = Early(
        flow, title, f"node {node.name!r} ({node.op_type})", channels, rebuild, maximum=True, exact=exact
    )
    if flow.steps:
        lowering.origins[wide] = flow
    if source in lowering.unquantized:
        lowering.unquantized.add(wide)
    steps = tuple(replace(step, order=order) for step in flow.steps)
    return replace(flow, tensor=name, source=wide, order=order, steps=steps)


@handles("AveragePool", "GlobalAveragePool")
def average(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Sums under a window, divided behind: by the taps on pixels, or by all of them.

    Raises:
        ModelError: real values, scales that differ between pixels, or windows that see padding only.
    """
    if on_host(lowering, node):
        return
    flow = operand.hardware_flow(lowering, node)
    if flow.steps or flow.bias is not None:
        lowering.defer(node)
        return
    image = spatial.image_of(lowering, node, flow, _kernel(lowering, node, _spatial_sizes(node, flow)))
    window = _window(lowering, node, image)
    counts = _counts(lowering, node, image, window)
    shape, order = image.result(window, image.channels)
    spread = [np.broadcast_to(counts[:, None], (window.pixels_out, image.channels)).reshape(-1)[order]]
    divided(lowering, node, sums(lowering, node, image, window, image.channels, False), shape, order, spread[0])


def _counts(lowering: Lowering, node: onnx.NodeProto, image: Image, window: Window) -> NDArray:
    """What each output's sum is divided by, float32 (pixels,)."""
    inside = (window.taps >= 0).sum(axis=1)
    if not inside.all():
        raise ModelError(f"Every output of node {node.name!r} ({node.op_type}) must read a pixel, not padding only")
    if node.op_type.startswith("Global"):
        return inside.astype(np.float32)
    ratio = _executed(lowering, node, image.sizes).reshape(-1).astype(np.float64)
    return np.rint(inside / ratio).astype(np.float32)


def divided(
    lowering: Lowering,
    node: onnx.NodeProto,
    total: Operator,
    shape: tuple[int, ...],
    order: Codes,
    counts: NDArray | None,
) -> None:
    """A sum, and behind it the division that makes a mean of it.

    Args:
        lowering: the import.
        node: in the file; from here on it is the division.
        total: the operator that adds.
        shape: of its output, without the batch.
        order: of the node's output.
        counts: float32 divisors in the file's shape, or one; None: it stays a sum.
    """
    name = node.output[0]
    title = node.name or name
    if counts is None:
        lowering.append(replace(total, name=title, output=name, shape=shape), order, learned=False)  # type: ignore[call-arg]
        lowering.values[name] = Flow(name, name, order)
        return
    source, number = lowering.new_name(f"{name}_sum"), lowering.new_name(f"{name}_count")
    lowering.append(replace(total, name=title, output=source, shape=shape), order, learned=False)  # type: ignore[call-arg]
    counts = np.asarray(counts, np.float32)
    alike = counts.reshape(-1)[:1].reshape(()) if np.all(counts == counts.reshape(-1)[0]) else counts
    lowering.values[number] = Constant(alike)
    lowering.values[source] = Flow(source, source, order)
    node.CopyFrom(onnx.helper.make_node("Div", [source, number], [name], name=node.name))
    flat: NDArray = alike
    if alike.ndim:
        flat = np.empty(math.prod(shape), np.float32)
        flat[order.reshape(-1)] = counts.reshape(-1)
    lowering.values[name] = Flow(source, source, order, steps=(Step(node, 0, {1: flat}, order),))
