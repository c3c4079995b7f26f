"""Elementwise operators with constants: they wait as steps until a quantizer closes the chain or the host has them."""

from dataclasses import replace

import numpy as np
import onnx

from rtl4ml.errors import ModelError
from rtl4ml.frontend.lowering import CHANNELS_LAST, Lowering, handles
from rtl4ml.frontend.values import Constant, Flow, Step, channels_of, to_source_order

VARIANCE = 4
"""Position of the variance among the inputs of BatchNormalization."""


def _append(lowering: Lowering, node: onnx.NodeProto, flow: Flow, step: Step) -> None:
    lowering.values[node.output[0]] = (
        replace(flow, opaque=(*flow.opaque, node))
        if flow.opaque
        else replace(flow, steps=(*flow.steps, step), order=step.order)
    )


@handles(
    *(
        "Relu",
        "LeakyRelu",
        "ThresholdedRelu",
        "Elu",
        "Selu",
        "Celu",
        "Softplus",
        "Softsign",
        "HardSigmoid",
        "HardSwish",
    ),
    *("Sigmoid", "Tanh", "Erf", "Gelu", "Mish", "Exp", "Log", "Sqrt", "Reciprocal", "Abs", "Neg", "Sign"),
    *("Floor", "Ceil", "Round"),
)
def function(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Functions of one operand, their parameters attributes."""
    flow = lowering.flow(node.input[0], node)
    _append(lowering, node, flow, Step(node, 0, {}, flow.order))


@handles("Add", "Sub", "Mul", "Div", "Max", "Min", "PRelu")
def with_constants(lowering: Lowering, node: onnx.NodeProto) -> None:
    """One operand is the flow, the others are constants that broadcast against it.

    Raises:
        ModelError: two flows meet, a constant divisor is 0, the slope depends on the input, or a constant enlarges the
            tensor.
    """
    values = [lowering.value(name, node) for name in node.input]
    flows = [i for i, v in enumerate(values) if isinstance(v, Flow)]
    if len(flows) != 1:
        raise ModelError(
            f"One operand of node {node.name!r} ({node.op_type}) must be an activation and the others constant, not "
            f"{len(flows)} activations: rewrite the branches as one layer"
        )
    operand = flows[0]
    flow = values[operand]
    assert isinstance(flow, Flow)
    if node.op_type == "PRelu" and operand == 1:
        raise ModelError(f"Slope of node {node.name!r} (PRelu) must be constant, not an activation")
    constants = {i: lowering.finite(v.value, node) for i, v in enumerate(values) if isinstance(v, Constant)}
    if node.op_type == "Div" and operand == 0 and np.any(constants[1] == 0):
        raise ModelError(f"Divisor of node {node.name!r} (Div) must not be 0")
    if flow.opaque:
        lowering.values[node.output[0]] = replace(flow, opaque=(*flow.opaque, node))
        return
    order = flow.order
    for constant in constants.values():
        # A constant of more dimensions than the flow adds dimensions of 1.
        shape = _broadcast(constant.shape, order.shape)
        if constant.size != 1 and (shape is None or int(np.prod(shape)) != order.size):
            raise ModelError(
                f"Constant of node {node.name!r} ({node.op_type}) must broadcast to shape {list(order.shape)}, not "
                f"have shape {list(constant.shape)}"
            )
        assert shape is not None
        order = order.reshape(shape)
    size, channels = _source_of(lowering, flow)
    parameters = {at: to_source_order(constant, order, size, channels) for at, constant in constants.items()}
    _append(lowering, node, flow, Step(node, operand, parameters, order))


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    try:
        return np.broadcast_shapes(a, b)
    except ValueError:
        return None


def _source_of(lowering: Lowering, flow: Flow) -> tuple[int, int | None]:
    """Elements and channels of a flow's source."""
    if flow.source is None:
        return int(flow.order.max()) + 1, None
    tensor = lowering.tensors[flow.source]
    return tensor.size, channels_of(tensor)


@handles("Pow")
def power(lowering: Lowering, node: onnx.NodeProto) -> None:
    """The exponent is one number: the executor squares and cubes by multiplication where it is.

    Raises:
        ModelError: it is not, or depends on the input.
    """
    flow = lowering.flow(node.input[0], node)
    exponent = lowering.finite(lowering.constant(node.input[1], node).value, node)
    if exponent.size != 1:
        raise ModelError(f"Exponent of node {node.name!r} (Pow) must be one number, not {exponent.size}")
    _append(lowering, node, flow, Step(node, 0, {1: exponent.reshape(())}, flow.order))


@handles("BatchNormalization", domains=("", CHANNELS_LAST))
def batch_normalization(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Channels are dimension 1; the last one in qonnx's operators for channels-last tensors.

    Raises:
        ModelError: training mode, or parameters of the wrong size.
    """
    flow = lowering.flow(node.input[0], node)
    attributes = lowering.attributes(node)
    if attributes.get("training_mode", 0):
        raise ModelError(
            f"training_mode of node {node.name!r} (BatchNormalization) must be 0, not 1: export the model in "
            "evaluation mode"
        )
    epsilon = float(attributes.get("epsilon", 1e-5))  # type: ignore[arg-type]
    axis = flow.order.ndim - 1 if node.domain == CHANNELS_LAST and flow.order.ndim > 1 else 1
    parameters = {}
    for position in range(1, 5):
        value = lowering.finite(lowering.constant(node.input[position], node).value, node)
        if flow.opaque:
            continue
        if position == VARIANCE and np.any(value + epsilon <= 0):
            raise ModelError(
                f"Variance of node {node.name!r} (BatchNormalization) must be positive with epsilon added, not "
                f"{value.min()}"
            )
        channels = flow.order.shape[axis] if flow.order.ndim > 1 else 1
        if value.size != channels:
            raise ModelError(
                f"Parameters of node {node.name!r} (BatchNormalization) must have {channels} elements, not {value.size}"
            )
        shaped = value.reshape([-1 if a == axis else 1 for a in range(max(flow.order.ndim, 2))])
        parameters[position] = to_source_order(shaped, flow.order, *_source_of(lowering, flow))
    _append(lowering, node, flow, Step(node, 0, parameters, flow.order))


@handles("Clip")
def clip(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Limits are attributes (old opsets) or scalar inputs."""
    flow = lowering.flow(node.input[0], node)
    parameters = {}
    for position, name in enumerate(node.input):
        if position and name:
            limit = np.asarray(lowering.constant(name, node).value)
            if np.isnan(limit).any():
                raise ModelError(f"Limits of node {node.name!r} (Clip) must be numbers, not NaN")
            parameters[position] = limit.reshape(())
    _append(lowering, node, flow, Step(node, 0, parameters, flow.order))
