"""ReduceSum, ReduceMean and ReduceMax: sums with weights 1 and maxima over axes; the mean divides behind its sum."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import onnx

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, spread
from rtl4ml.frontend import operand, spatial
from rtl4ml.frontend.convolution import sums
from rtl4ml.frontend.lowering import Lowering, handles
from rtl4ml.frontend.operand import Operand
from rtl4ml.frontend.pooling import divided, on_host, pooled
from rtl4ml.frontend.selection import arranged
from rtl4ml.frontend.values import Flow
from rtl4ml.operators import Dense, Window

MAX_WEIGHTS = 1 << 20
"""Of a matrix of ones that adds what no window reaches."""


def _axes(lowering: Lowering, node: onnx.NodeProto, rank: int) -> list[int]:
    axes = lowering.attributes(node).get("axes")
    if axes is None and len(node.input) > 1 and node.input[1]:
        axes = lowering.constant(node.input[1], node).value.reshape(-1).tolist()
    if not axes:
        axes = [] if lowering.attributes(node).get("noop_with_empty_axes", 0) else range(rank)
    found = sorted({int(axis) % rank for axis in axes})  # type: ignore[attr-defined]
    if 0 in found:
        raise ModelError(f"axes of node {node.name!r} ({node.op_type}) must not hold the batch, 0")
    return found


def _kept_shape(lowering: Lowering, node: onnx.NodeProto, shape: tuple[int, ...], axes: list[int]) -> tuple[int, ...]:
    keep = bool(lowering.attributes(node).get("keepdims", 1))
    return tuple(1 if a in axes else d for a, d in enumerate(shape) if keep or a not in axes)


def _runs(lowering: Lowering, flow: Flow, axes: list[int]) -> tuple[Codes, list[tuple[bool, int]]]:
    """The flow's elements as they are nested, and runs of dimensions that are reduced or kept, with their lengths.

    Where what is kept has formats of its own, it has to be channels: those of pixels cannot differ.
    """
    nested = arranged(flow.order)
    runs = _run_lengths(flow, axes, nested)
    mixed = len(runs) > 1 and runs[-1][0]
    if mixed and _kept_differs(lowering, flow, axes):
        nested = tuple(sorted(nested, key=lambda axis: axis > 0 and axis not in axes))  # the batch stays first
        runs = _run_lengths(flow, axes, nested)
    return flow.order.transpose(nested), runs


def _run_lengths(flow: Flow, axes: list[int], nested: tuple[int, ...]) -> list[tuple[bool, int]]:
    lengths = [(axis in axes, flow.order.shape[axis]) for axis in nested if flow.order.shape[axis] > 1]
    return [
        (reduced, int(np.prod([length for _, length in run])))
        for reduced, run in itertools.groupby(lengths, key=lambda pair: pair[0])
    ]


def _kept_differs(lowering: Lowering, flow: Flow, axes: list[int]) -> bool:
    """Whether scales or zero points differ, but not along the axes."""
    tensor, differ = lowering.source(flow), False
    for array in (tensor.format.scale, tensor.format.zero_point):
        whole = spread(array, tensor.size)[flow.order]
        if np.any(whole != whole[tuple(slice(0, 1) if a in axes else slice(None) for a in range(whole.ndim))]):
            return False
        differ = differ or bool(np.any(whole != whole.reshape(-1)[0]))
    return differ


def _windows(runs: list[tuple[bool, int]]) -> tuple[Window, int, bool] | None:
    """The window that adds such runs, channels of its image, and whether these are added too; None: no window does."""
    flags = "".join("R" if reduced else "K" for reduced, _ in runs)
    sizes = [size for _, size in runs]
    match flags:
        case "" | "K":
            return None
        case "RK":
            return Window(sizes[0], 1, (sizes[0], 1)), sizes[1], False
        case "KR":
            return Window(sizes[0], 1, (1, 1)), sizes[1], True
        case "KRK":
            return Window(sizes[0], sizes[1], (1, sizes[1])), sizes[2], False
        case "RKR":
            return Window(sizes[0], sizes[1], (sizes[0], 1)), sizes[2], True
    return None


@handles("ReduceSum", "ReduceMean")
def reduce(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Sums over any axes but the batch.

    Raises:
        ModelError: its scales differ along the axes, or the batch is summed.
    """
    given = lowering.flow(node.input[0], node)
    if given.opaque or given.source is None or given.steps or given.bias is not None:
        lowering.defer(node)  # real values: the host's, or refused by whoever needs them in hardware
        return
    flow = operand.hardware_flow(lowering, node)
    axes = _axes(lowering, node, flow.order.ndim)
    shape = _kept_shape(lowering, node, flow.order.shape, axes)
    count = int(np.prod([flow.order.shape[a] for a in axes], dtype=np.int64))
    counts = np.array(count, np.float32) if node.op_type == "ReduceMean" else None
    turned, runs = _runs(lowering, flow, axes)
    found = _windows(runs)
    if found is None or len(lowering.tensors[str(flow.source)].shape) == 1:
        total = _matrix(lowering, node, operand.of_flow(lowering, node, flow), axes)
        order = np.arange(total.weights.shape[1]).reshape(shape)
        divided(lowering, node, total, shape[1:], order, counts)
        return
    window, channels, mixed = found
    nested = spatial.canonical(lowering, replace(flow, order=turned), turned.ndim - 1, turned.shape[1:])
    added = sums(lowering, node, nested, window, channels, mixed)
    order, graph_shape = _result(flow.order, axes, shape)
    divided(lowering, node, added, graph_shape, order, counts)


def _result(order: Codes, axes: list[int], shape: tuple[int, ...]) -> tuple[Codes, tuple[int, ...]]:
    """Layout of what is left in the file, and the shape of the graph's tensor: dimensions nest as they did."""
    nested = arranged(order)
    left = [1 if axis in axes else order.shape[axis] for axis in nested]
    numbers = np.arange(int(np.prod(left, dtype=np.int64))).reshape(left).transpose(np.argsort(nested))
    lengths = tuple(length for length in left[1:] if length > 1) or (1,)
    return numbers.reshape(shape), lengths


def _matrix(lowering: Lowering, node: onnx.NodeProto, activation: Operand, axes: list[int]) -> Dense:
    """The same as a matrix of ones."""
    flow, tensor = activation.flow, activation.tensor
    kept = [axis for axis in range(flow.order.ndim) if axis not in axes]
    groups = flow.order.transpose(*kept, *axes).reshape(int(np.prod([flow.order.shape[a] for a in kept])), -1)
    if tensor.size * len(groups) > MAX_WEIGHTS:
        raise ModelError(
            f"axes of node {node.name!r} ({node.op_type}) must be those of pixels, of channels or of both, not {axes}: "
            "nothing else slides over its input"
        )
    scale = spread(activation.scale, tensor.size)[groups]
    if np.any(scale != scale[:, :1]):
        raise ModelError(
            f"Scales of input {node.input[0]!r} of node {node.name!r} ({node.op_type}) must be equal along the "
            "dimension that is summed"
        )
    weights = np.zeros((tensor.size, len(groups)), np.int64)
    for output, elements in enumerate(groups):
        weights[elements, output] = spread(activation.gain, tensor.size)[elements]
    accumulator = scale[:, 0]
    accumulator = accumulator[0].reshape(()) if np.all(accumulator == accumulator[0]) else accumulator
    bias = spread(activation.offset, tensor.size)[groups].sum(axis=1)
    name = node.output[0]
    return Dense(node.name or name, (tensor.name,), name, weights, bias, accumulator, (len(groups),))


@handles("ReduceMax", integers=True)
def largest(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Maxima over any axes but the batch, of codes: pixels, channels or both.

    Raises:
        ModelError: its scales differ along the axes, or the batch is among them.
    """
    if on_host(lowering, node):
        return
    flow = operand.hardware_flow(lowering, node, exact=False)
    axes = _axes(lowering, node, flow.order.ndim)
    shape = _kept_shape(lowering, node, flow.order.shape, axes)
    turned, runs = _runs(lowering, flow, axes)
    flags = "".join("R" if reduced else "K" for reduced, _ in runs)
    if flags in ("", "K"):
        nested = flow.order.reshape(shape)
        lowering.values[node.output[0]] = replace(flow, order=nested)
        return
    found = _windows(runs)
    if flags == "R":
        found = Window(1, 1, (1, 1)), runs[0][1], True
    if found is None:
        raise ModelError(
            f"axes of node {node.name!r} ({node.op_type}) must be those of pixels, of channels or of both, not {axes}: "
            "nothing else slides over its input"
        )
    window, channels, mixed = found
    order, graph_shape = _result(flow.order, axes, shape)
    nested_flow = spatial.canonical(lowering, replace(flow, order=turned), turned.ndim - 1, turned.shape[1:])
    if mixed:
        # Channels are columns of pixels with one channel; pixels are compared before them.
        if window.kernel != (1, 1):
            middle = np.arange(window.pixels_out * channels)
            first = onnx.NodeProto()
            first.CopyFrom(node)
            first.output[0] = lowering.new_name(f"{node.output[0]}_pixels")
            first.name = lowering.new_name(f"{node.name or node.output[0]}_pixels")
            made = (window.pixels_out, channels)
            nested_flow = pooled(lowering, first, nested_flow, window, made, middle.reshape(1, *made))
        columns = Window(window.pixels_out, channels, (1, channels), (1, channels))
        lowering.values[node.output[0]] = pooled(lowering, node, nested_flow, columns, (*graph_shape, 1), order)
        return
    if graph_shape[-1] != channels:
        graph_shape = window.pixels_out, channels  # rows are reduced: a column with its channels is one pixel
    lowering.values[node.output[0]] = pooled(lowering, node, nested_flow, window, graph_shape, order)
