"""QONNX's quantizers: Quant (IntQuant) and BipolarQuant, in all the domains that exporters write them in."""

import numpy as np
import onnx

from rtl4ml.errors import ModelError
from rtl4ml.formats import Format
from rtl4ml.frontend.chain import PRODUCT_BIAS, Chain
from rtl4ml.frontend.constants import quantize_constant
from rtl4ml.frontend.linear import fold_bias
from rtl4ml.frontend.lowering import CUSTOM_DOMAINS, Lowering, handles
from rtl4ml.frontend.quantizer import Quantizer
from rtl4ml.frontend.values import Constant, Flow, to_source_order
from rtl4ml.graph import Tensor
from rtl4ml.operators import Requantize

MAX_ACTIVATION_BITS = 24
"""A float32 holds no more."""

DOMAINS = ("", *CUSTOM_DOMAINS)


def _quantizer(lowering: Lowering, node: onnx.NodeProto) -> Quantizer:
    """The node's parameters.

    Raises:
        ModelError: one of them depends on the input or has no meaning.
    """
    parameters = [np.asarray(lowering.constant(name, node).value) for name in node.input[1:]]
    attributes = lowering.attributes(node)
    if node.op_type == "BipolarQuant":
        return Quantizer(
            node.name, node.op_type, parameters[0], np.zeros((), np.float32), 1, True, False, "ROUND", divides=False
        )
    scale, zero_point, width = parameters
    widths = np.unique(width)
    if len(widths) != 1 or widths[0] != np.round(widths[0]) or not 1 <= widths[0] <= 64:
        raise ModelError(
            f"Bit width of node {node.name!r} ({node.op_type}) must be one integer from 1 to 64, not {widths.tolist()}"
        )
    mode = attributes.get("rounding_mode", b"ROUND")
    return Quantizer(
        node.name,
        node.op_type,
        scale,
        zero_point,
        int(widths[0]),
        bool(attributes.get("signed", 1)),
        bool(attributes.get("narrow", 0)),
        (mode.decode() if isinstance(mode, bytes) else str(mode)).upper(),
    )


@handles("Quant", "IntQuant", "BipolarQuant", domains=DOMAINS, constants=True)
def quant(lowering: Lowering, node: onnx.NodeProto) -> None:
    """On a constant: its codes. On the file's input: the graph's input. Else: the end of a chain.

    Raises:
        ModelError: too wide for an activation, or scales that the tensor's shape does not allow.
    """
    quantizer = _quantizer(lowering, node)
    value = lowering.value(node.input[0], node)
    if isinstance(value, Constant):
        lowering.values[node.output[0]] = quantize_constant(np.asarray(value.value), quantizer)
        return
    for parameter in (quantizer.scale, quantizer.zero_point):
        if parameter.size > 1 and np.broadcast_shapes(parameter.shape, value.order.shape) != value.order.shape:
            raise ModelError(
                f"Scale and zero point of node {node.name!r} ({node.op_type}) must broadcast to shape "
                f"{list(value.order.shape)}, not have shape "
                f"{list(parameter.shape)}"
            )
    if value.source is None:
        _start(lowering, node, quantizer, value)
    else:
        lowering.require_clear(value, node)
        _close(lowering, node, quantizer, value)


def _check_width(node: onnx.NodeProto, quantizer: Quantizer, low: int, high: int) -> None:
    if max(high, -low) >= 1 << MAX_ACTIVATION_BITS:
        raise ModelError(
            f"Bit width of node {node.name!r} ({node.op_type}) must be at most {MAX_ACTIVATION_BITS} on "
            "activations, unless its limits are never reached, not "
            f"{quantizer.bits}: float32 cannot hold its codes"
        )


def _start(lowering: Lowering, node: onnx.NodeProto, quantizer: Quantizer, flow: Flow) -> None:
    """The first quantizer: its codes are what the hardware takes; the host does what stands in front of it."""
    if lowering.input is not None:
        raise ModelError(
            f"The model's input must meet one quantizer first, not two ({lowering.border!r} and {node.input[0]!r}): "
            "give an input format (--input-format), so "
            "that both stand in hardware"
        )
    order = np.arange(flow.order.size).reshape(flow.order.shape)
    tensor_format = quantizer.format(lambda a: to_source_order(a, order, order.size))
    _check_width(node, quantizer, tensor_format.low, tensor_format.high)
    limits = [np.full(order.size, limit, np.int64) for limit in (tensor_format.low, tensor_format.high)]
    name = node.output[0]
    lowering.tensors[name] = Tensor(name, order.shape[1:], tensor_format, *limits)
    lowering.input, lowering.border = name, node.input[0]
    lowering.input_quantizer = quantizer
    lowering.layouts[name] = order
    lowering.values[name] = Flow(name, name, order)


def _close(lowering: Lowering, node: onnx.NodeProto, quantizer: Quantizer, flow: Flow) -> None:
    """A chain ends: it becomes one staircase."""
    flow = fold_bias(lowering, flow)
    assert flow.source is not None
    tensor = lowering.tensors[flow.source]
    scale = to_source_order(quantizer.scale, flow.order, tensor.size)
    zero_point = to_source_order(quantizer.zero_point, flow.order, tensor.size)
    staircase = Chain(tensor, flow.bias, flow.steps, quantizer, scale, zero_point, lowering.opset).staircase()
    _check_width(node, quantizer, staircase.code_low, staircase.code_high)
    output_format = Format(
        quantizer.bits,
        quantizer.signed,
        scale.astype(np.float64),
        zero_point.astype(np.int64),
        narrow=quantizer.narrow,
        bipolar=quantizer.bipolar,
    )
    bias = () if flow.bias is None else (PRODUCT_BIAS,)
    words = (*bias, *(step.node.op_type for step in flow.steps), node.op_type)
    name = node.name or node.output[0]
    lowering.append(Requantize(name, (tensor.name,), node.output[0], staircase, output_format, words), flow.order)
    lowering.values[node.output[0]] = Flow(node.output[0], node.output[0], flow.order)
