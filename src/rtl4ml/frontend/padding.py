"""Pad: copies of the border, or a constant that has a code."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, spread
from rtl4ml.frontend.lowering import Lowering, handles
from rtl4ml.frontend.selection import rebase, require_chosen
from rtl4ml.frontend.values import Flow, alike

MODES = ("constant", "edge", "reflect", "wrap")


@dataclass(frozen=True, eq=False)
class Padded:
    """A flow around which zeros were put, which a convolution can take as its own padding.

    Parameters:
        flow: without them.
        begins: in front of each dimension of the file.
        ends: behind it.
    """

    flow: Flow
    begins: tuple[int, ...]
    ends: tuple[int, ...]


def _pads(lowering: Lowering, node: onnx.NodeProto, rank: int) -> list[tuple[int, int]]:
    """Padding in front of each dimension and behind it; negative numbers cut off.

    Raises:
        ModelError: there are more or fewer than the tensor has dimensions.
    """
    attributes = lowering.attributes(node)
    if len(node.input) > 1 and node.input[1]:
        numbers = [int(n) for n in np.reshape(lowering.constant(node.input[1], node).value, -1)]
    else:
        numbers = [int(n) for n in attributes.get("pads", attributes.get("paddings", []))]  # type: ignore[attr-defined]
    axes = list(range(rank))
    if len(node.input) > 3 and node.input[3]:
        axes = [int(a) % rank for a in np.reshape(lowering.constant(node.input[3], node).value, -1)]
    if len(numbers) != 2 * len(axes):
        raise ModelError(
            f"Pads of node {node.name!r} (Pad) must be {2 * len(axes)} numbers, two a dimension, not {len(numbers)}"
        )
    result = [(0, 0)] * rank
    for position, axis in enumerate(axes):
        result[axis] = numbers[position], numbers[position + len(axes)]
    return result


def _value(lowering: Lowering, node: onnx.NodeProto) -> float:
    if len(node.input) > 2 and node.input[2]:
        value = lowering.finite(lowering.constant(node.input[2], node).value, node)
        if value.size != 1:
            raise ModelError(f"Constant of node {node.name!r} (Pad) must be one number, not {value.size}")
        return float(value.reshape(()))
    return float(lowering.attributes(node).get("value", 0.0))  # type: ignore[arg-type]


def _padded(array: NDArray, pads: list[tuple[int, int]], mode: str, fill: int = -1) -> NDArray:
    cut = tuple(slice(max(0, -b), d - max(0, -e)) for (b, e), d in zip(pads, array.shape, strict=True))
    grown = [(max(0, b), max(0, e)) for b, e in pads]
    if mode == "constant":
        return np.pad(array[cut], grown, constant_values=fill)
    return np.pad(array[cut], grown, mode=mode)  # type: ignore[call-overload]


@handles("Pad", integers=True)
def pad(lowering: Lowering, node: onnx.NodeProto) -> None:
    """The graph's tensor gets elements that are copies, or a constant code.

    Raises:
        ModelError: the constant has no code, real values are padded, or the mode is unknown.
    """
    flow = lowering.flow(node.input[0], node)
    if flow.opaque or flow.source is None:
        lowering.defer(node)
        return
    given = lowering.attributes(node).get("mode", b"constant")
    mode = given.decode(errors="replace") if isinstance(given, bytes) else str(given)
    if mode not in MODES:
        raise ModelError(f"mode of node {node.name!r} (Pad) must be one of {', '.join(MODES)}, not {mode!r}")
    pads = _pads(lowering, node, flow.order.ndim)
    if pads[0] != (0, 0):
        raise ModelError(f"Node {node.name!r} (Pad) must not pad the batch, dimension 0")
    if mode != "constant" and any(min(b, e) < 0 for b, e in pads):
        raise ModelError(f"Pads of node {node.name!r} (Pad) must not be negative in mode {mode!r}")
    sizes = [d + b + e for d, (b, e) in zip(flow.order.shape, pads, strict=True)]
    if min(sizes) < 1:
        raise ModelError(f"Output of node {node.name!r} (Pad) must have elements, not shape {sizes}")
    require_chosen(lowering, node, flow)
    order = _padded(flow.order, pads, mode)
    fill = _fill(lowering, node, flow) if np.any(order < 0) else 0
    name = node.output[0]
    result = rebase(lowering, replace(flow, order=order), name, fill, like=flow.order)
    lowering.values[name] = result
    if result.source is not None and not (flow.integer or flow.steps or flow.bias is not None):
        scale = lowering.source(result).format.scale
        lowering.grids[name] = scale if scale.ndim == 0 else spread(scale, result.order.size)[result.order]
        zeros = mode == "constant" and _value(lowering, node) == 0
        if zeros and all(min(b, e) >= 0 for b, e in pads):
            begins, ends = zip(*pads, strict=True)
            lowering.padded[result.source] = Padded(flow, begins, ends)


def _fill(lowering: Lowering, node: onnx.NodeProto, flow: Flow) -> int:
    """The code of the constant.

    Raises:
        ModelError: it has none, or another one for each channel.
    """
    if flow.steps or flow.bias is not None:
        raise ModelError(
            f"Input {node.input[0]!r} of node {node.name!r} (Pad) must be quantized, not real: put a Quant node in "
            "front of it"
        )
    value = _value(lowering, node)
    if flow.integer:
        return int(value)
    kind = lowering.source(flow).format
    scale, zero = alike(kind.scale, kind.zero_point)
    codes = np.rint(value / scale)
    if np.any((codes * scale).astype(np.float32) != np.float32(value)):
        raise ModelError(
            f"Constant of node {node.name!r} (Pad) must be a multiple of the scale of its input, "
            f"{float(scale.reshape(-1)[0]):.8g}, not {value:.8g}"
        )
    found: Codes = np.unique(codes.astype(np.int64) + zero)
    if len(found) > 1:
        raise ModelError(
            f"Constant of node {node.name!r} (Pad) must have one code for all channels, not {len(found)}: give them "
            "one scale and zero point"
        )
    return int(found[0])


def absorbed(lowering: Lowering, flow: Flow, axis: int) -> tuple[Flow, list[int], list[int]]:
    """A flow without zeros that only were put around its pixels, and how many there were in each dimension.

    Args:
        lowering: the import.
        flow: the image of a convolution.
        axis: of its channels.

    Returns:
        The flow, and padding in front of each spatial dimension and behind it.
    """
    found = lowering.padded.get(flow.source or "")
    rank = flow.order.ndim - 2
    nothing = [0] * rank
    if found is None or flow.steps or found.begins[axis] or found.ends[axis]:
        return flow, nothing, nothing
    grown = tuple(d + b + e for d, b, e in zip(found.flow.order.shape, found.begins, found.ends, strict=True))
    if flow.order.shape != grown or flow is not lowering.values.get(flow.tensor):
        return flow, nothing, nothing
    spatial = [a for a in range(flow.order.ndim) if a not in (0, axis)]
    return found.flow, [found.begins[a] for a in spatial], [found.ends[a] for a in spatial]
