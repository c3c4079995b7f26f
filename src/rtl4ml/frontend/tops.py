"""ArgMax, ArgMin and TopK's indices at the output: the decision in hardware, where integers can make it."""

from __future__ import annotations

import numpy as np
import onnx

from rtl4ml.frontend import common_grid, spatial
from rtl4ml.frontend.lowering import Lowering, handles
from rtl4ml.frontend.selection import rebase
from rtl4ml.frontend.values import Flow
from rtl4ml.operators import Top

DISTINCT = 1 << 23
"""Codes of smaller magnitude keep their order and their differences in float32, whatever their common scale."""


def _decides(lowering: Lowering, flow: Flow) -> bool:
    """Whether codes compare as the file's float32 values do: one scale, no operator pending, few enough bits."""
    if flow.opaque or flow.source is None or flow.steps or flow.bias is not None or flow.integer:
        return False
    if flow.source in lowering.joins or flow.view is not None:
        return False
    found = lowering.early.get(flow.source)
    if found is not None and not found.exact:
        return False
    tensor = lowering.tensors[flow.source]
    scale, zero = tensor.format.scale, tensor.format.zero_point
    if np.any(scale != scale.reshape(-1)[0]) or np.any(zero != zero.reshape(-1)[0]):
        return False
    largest = max(int(np.abs(limit - zero.reshape(-1)[0]).max()) for limit in (tensor.low, tensor.high))
    exact = common_grid.dyadic(scale.reshape(-1)[:1])[0][0] == 1
    return largest < (common_grid.FLOAT32_EXACT if exact else DISTINCT)


def _build(
    lowering: Lowering, node: onnx.NodeProto, output: str, axis: int, count: int, keep: bool, *, largest: bool
) -> bool:
    """The decision over one axis, for each pixel by itself; False where the host must make it."""
    flow = lowering.flow(node.input[0], node)
    shape = flow.order.shape
    if not _decides(lowering, flow) or not -len(shape) <= axis < len(shape):
        return False
    if axis % len(shape) == 0 or count > shape[axis] or shape[0] != 1:
        return False
    axis %= len(shape)
    assert flow.source is not None
    if flow.order.size == shape[axis]:
        flow = rebase(lowering, flow, f"{node.input[0]}_in_order")
        blocks = 1
    else:
        flow = spatial.canonical(lowering, flow, axis)
        blocks = flow.order.size // shape[axis]
    assert flow.source is not None
    pixels = tuple(d for a, d in enumerate(shape) if a not in (0, axis))
    order = np.moveaxis(np.arange(blocks * count).reshape(1, *pixels, count), -1, axis)
    result = tuple(count if a == axis else d for a, d in enumerate(shape) if keep or a != axis)
    order = order.reshape(result)
    inner = result[1:] if blocks == 1 else (*pixels, count)
    one, zero = np.array(1 if largest else -1, np.int64), np.zeros((), np.int64)
    lowering.append(Top(node.name or output, (flow.source,), output, one, zero, count, inner, blocks), order)
    lowering.values[output] = Flow(output, output, order)
    return True


@handles("ArgMax", "ArgMin")
def argmax(lowering: Lowering, node: onnx.NodeProto) -> None:
    """The first of equal values wins; the last one only on the host."""
    attributes = lowering.attributes(node)
    done = not attributes.get("select_last_index", 0) and _build(
        lowering,
        node,
        node.output[0],
        int(attributes.get("axis", 0)),  # type: ignore[call-overload]
        1,
        bool(attributes.get("keepdims", 1)),
        largest=node.op_type == "ArgMax",
    )
    if not done:
        lowering.defer(node)


@handles("TopK")
def topk(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Indices in the order of the values; where the values themselves are used too, the host finds both."""
    attributes = lowering.attributes(node)
    values, indices = (*node.output, "")[:2]
    count = int(lowering.constant(node.input[1], node).value.reshape(-1)[0]) if len(node.input) > 1 else 0
    done = (
        bool(indices)
        and not (values and lowering.uses[values])
        and len(node.input) > 1
        and bool(attributes.get("sorted", 1))
        and count > 0
        and _build(
            lowering,
            node,
            indices,
            int(attributes.get("axis", -1)),  # type: ignore[call-overload]
            count,
            True,
            largest=bool(attributes.get("largest", 1)),
        )
    )
    if not done:
        lowering.defer(node)
