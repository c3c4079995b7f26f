"""Elementwise operators with constants: they wait as steps until a quantizer closes the chain or the host takes them."""

from dataclasses import replace

import numpy as np
import onnx

from rtl4ml.errors import ModelError
from rtl4ml.frontend.lowering import Lowering, handles
from rtl4ml.frontend.values import Constant, Flow, Step, to_source_order


def _append(lowering: Lowering, node: onnx.NodeProto, flow: Flow, step: Step) -> None:
    lowering.values[node.output[0]] = (
        replace(flow, opaque=(*flow.opaque, node))
        if flow.opaque
        else replace(flow, steps=(*flow.steps, step), order=step.order)
    )


@handles("Relu")
def relu(lowering: Lowering, node: onnx.NodeProto) -> None:
    """No parameters."""
    flow = lowering.flow(node.input[0], node)
    _append(lowering, node, flow, Step(node, 0, {}, flow.order))


@handles("Add", "Sub", "Mul", "Div")
def with_constant(lowering: Lowering, node: onnx.NodeProto) -> None:
    """One operand is the flow, the other a constant that broadcasts against it.

    Raises:
        ModelError: two flows meet, the flow is a divisor, or the constant enlarges the tensor.
    """
    values = [lowering.value(name, node) for name in node.input]
    flows = [i for i, v in enumerate(values) if isinstance(v, Flow)]
    if len(flows) != 1:
        raise ModelError(
            f"One operand of node {node.name!r} ({node.op_type}) must be constant: sums and products of two "
            "activations are not supported; rewrite the "
            "branches as one layer"
        )
    operand = flows[0]
    flow, constant = values[operand], values[1 - operand]
    assert isinstance(flow, Flow) and isinstance(constant, Constant)
    if node.op_type == "Div" and operand == 1:
        raise ModelError(
            f"Divisor of node {node.name!r} (Div) must be constant, not an activation: its chain would not be monotone"
        )
    parameter = lowering.finite(constant.value, node)
    if node.op_type == "Div" and np.any(parameter == 0):
        raise ModelError(f"Divisor of node {node.name!r} (Div) must not be 0")
    if flow.opaque:
        lowering.values[node.output[0]] = replace(flow, opaque=(*flow.opaque, node))
        return
    if parameter.size != 1 and np.broadcast_shapes(parameter.shape, flow.order.shape) != flow.order.shape:
        raise ModelError(
            f"Constant of node {node.name!r} ({node.op_type}) must broadcast to shape {list(flow.order.shape)}, not "
            f"have shape {list(parameter.shape)}"
        )
    # A constant of more dimensions than the flow adds dimensions of 1.
    order = flow.order.reshape(np.broadcast_shapes(parameter.shape, flow.order.shape))
    size = int(order.max()) + 1
    _append(lowering, node, flow, Step(node, operand, {1 - operand: to_source_order(parameter, order, size)}, order))


@handles("BatchNormalization")
def batch_normalization(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Channels are dimension 1.

    Raises:
        ModelError: training mode, or parameters of the wrong size.
    """
    flow = lowering.flow(node.input[0], node)
    if lowering.attributes(node).get("training_mode", 0):
        raise ModelError(
            f"training_mode of node {node.name!r} (BatchNormalization) must be 0, not 1: export the model in "
            "evaluation mode"
        )
    parameters = {}
    for position in range(1, 5):
        value = lowering.finite(lowering.constant(node.input[position], node).value, node)
        if flow.opaque:
            continue
        channels = flow.order.shape[1] if flow.order.ndim > 1 else 1
        if value.size != channels:
            raise ModelError(
                f"Parameters of node {node.name!r} (BatchNormalization) must have {channels} elements, not {value.size}"
            )
        shaped = value.reshape(1, -1, *(1 for _ in flow.order.shape[2:]))
        parameters[position] = to_source_order(
            np.broadcast_to(shaped, flow.order.shape), flow.order, int(flow.order.max()) + 1
        )
    _append(lowering, node, flow, Step(node, 0, parameters, flow.order))


@handles("Clip")
def clip(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Limits are attributes (old opsets) or scalar inputs."""
    flow = lowering.flow(node.input[0], node)
    parameters = {}
    for position, name in enumerate(node.input):
        if position and name:
            parameters[position] = np.asarray(lowering.constant(name, node).value, np.float32).reshape(())
    _append(lowering, node, flow, Step(node, 0, parameters, flow.order))
