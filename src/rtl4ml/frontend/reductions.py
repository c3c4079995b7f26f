"""ReduceSum and ReduceMean over all elements of a sample's axes: a Dense with weights 1; the mean divides behind it."""

from __future__ import annotations

import numpy as np
import onnx

from rtl4ml.errors import ModelError
from rtl4ml.frontend import operand
from rtl4ml.frontend.lowering import Lowering, handles
from rtl4ml.frontend.values import Flow, Step
from rtl4ml.operators import Dense


def _axes(lowering: Lowering, node: onnx.NodeProto, rank: int) -> list[int]:
    axes = lowering.attributes(node).get("axes")
    if axes is None and len(node.input) > 1 and node.input[1]:
        axes = lowering.constant(node.input[1], node).value.reshape(-1).tolist()
    if not axes:
        axes = [] if lowering.attributes(node).get("noop_with_empty_axes", 0) else range(rank)
    return sorted({int(axis) % rank for axis in axes})  # type: ignore[attr-defined]


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
    activation = operand.find(lowering, node)
    flow, tensor = activation.flow, activation.tensor
    rank = flow.order.ndim
    axes = _axes(lowering, node, rank)
    if 0 in axes:
        raise ModelError(f"axes of node {node.name!r} ({node.op_type}) must not hold the batch, 0")
    keep = bool(lowering.attributes(node).get("keepdims", 1))
    kept = [axis for axis in range(rank) if axis not in axes]
    groups = flow.order.transpose(*kept, *axes).reshape(int(np.prod([flow.order.shape[a] for a in kept])), -1)
    weights = np.zeros((tensor.size, len(groups)), np.int64)
    scale = np.broadcast_to(activation.scale, (tensor.size,))[groups]
    if np.any(scale != scale[:, :1]):
        raise ModelError(
            f"Scales of input {node.input[0]!r} of node {node.name!r} ({node.op_type}) must be equal along the "
            "dimension that is summed"
        )
    for output, elements in enumerate(groups):
        weights[elements, output] = np.broadcast_to(activation.gain, (tensor.size,))[elements]
    shape = tuple(1 if a in axes else flow.order.shape[a] for a in range(rank) if keep or a not in axes)
    accumulator = scale[:, 0]
    accumulator = accumulator[0].reshape(()) if np.all(accumulator == accumulator[0]) else accumulator
    name = node.output[0]
    bias = np.broadcast_to(activation.offset, (tensor.size,))[groups].sum(axis=1)
    order = np.arange(len(groups)).reshape(shape)
    source = f"{name}_sum" if node.op_type == "ReduceMean" else name
    dense = Dense(node.name or name, (tensor.name,), source, weights, bias, accumulator, shape[1:])
    lowering.append(dense, order)
    steps: tuple[Step, ...] = ()
    if node.op_type == "ReduceMean":
        divide = onnx.helper.make_node("Div", [source, f"{name}_count"], [name], name=node.name)
        count = np.array(groups.shape[1], np.float32)
        steps = (Step(divide, 0, {1: count}, order),)
    lowering.values[name] = Flow(source, source, order, steps=steps)
