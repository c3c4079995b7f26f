"""Quantizers on activations, of any dialect: on the file's input they begin the hardware, else they close a chain."""

from dataclasses import replace

import numpy as np
import onnx

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes
from rtl4ml.frontend import early, host, join_closing, join_extremes
from rtl4ml.frontend.chain import PRODUCT_BIAS, Chain
from rtl4ml.frontend.lowering import Lowering
from rtl4ml.frontend.products import fold_bias
from rtl4ml.frontend.quantizer import AnyQuantizer
from rtl4ml.frontend.values import Constant, Flow, channels_of, to_source_order
from rtl4ml.graph import Tensor
from rtl4ml.operators import Requantize

MAX_ACTIVATION_BITS = 24
"""A float32 holds no more."""


def quantize(lowering: Lowering, node: onnx.NodeProto, quantizer: AnyQuantizer, flow: Flow) -> Flow:
    """A quantizer on a tensor that depends on the input.

    Args:
        lowering: the import.
        node: the quantizer's node.
        quantizer: what it does.
        flow: its input.

    Returns:
        The codes, as the graph's tensor of the name of the node's output.

    Raises:
        ModelError: too wide for an activation, or scales that the tensor's shape does not allow.
    """
    if flow.source is None and flow.opaque:
        flow = replace(flow, order=_shaped_by_host(lowering, node, flow))
    if flow.order.shape[:1] != (1,):
        raise ModelError(
            f"Input {node.input[0]!r} of node {node.name!r} ({node.op_type}) must keep the batch of 1 as its first "
            f"dimension, not have shape {list(flow.order.shape)}"
        )
    for parameter in quantizer.parameters:
        if parameter.size > 1 and _broadcast(parameter.shape, flow.order.shape) != flow.order.shape:
            raise ModelError(
                f"Scale and zero point of node {node.name!r} ({node.op_type}) must broadcast to shape "
                f"{list(flow.order.shape)}, not have shape {list(parameter.shape)}"
            )
    if flow.source is None:
        return _start(lowering, node, quantizer, flow)
    lowering.require_clear(flow, node)
    return close(lowering, node, quantizer, flow)


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    try:
        return np.broadcast_shapes(a, b)
    except ValueError:
        return None


def _shaped_by_host(lowering: Lowering, node: onnx.NodeProto, flow: Flow) -> Codes:
    """Layout of the first quantizer's input behind operators that only the host knows: in the shape that they give."""
    known = {name: np.asarray(v.value) for name, v in lowering.values.items() if isinstance(v, Constant)}
    shape = lowering.values[flow.tensor].order.shape  # type: ignore[union-attr]
    order = np.arange(int(np.prod(shape, dtype=np.int64)))
    part = host.extract(lowering.model, flow.tensor, node.input[0], shape, known, lowering.opset, order)
    result = (1, *host.output_shape(part, shape[1:]))
    return np.arange(int(np.prod(result, dtype=np.int64))).reshape(result)


def _check_width(node: onnx.NodeProto, quantizer: AnyQuantizer, low: int, high: int) -> None:
    if max(high, -low) >= 1 << MAX_ACTIVATION_BITS:
        raise ModelError(
            f"Bit width of node {node.name!r} ({node.op_type}) must be at most {MAX_ACTIVATION_BITS} on "
            "activations, unless its limits are never reached, not "
            f"{quantizer.width}: float32 cannot hold its codes"
        )


def _start(lowering: Lowering, node: onnx.NodeProto, quantizer: AnyQuantizer, flow: Flow) -> Flow:
    """The first quantizer: its codes are what the hardware takes; the host does what stands in front of it."""
    if lowering.input is not None:
        raise ModelError(
            f"The model's input must meet one quantizer first, not two ({lowering.border!r} and {node.input[0]!r}): "
            "give an input format (--input-format), so "
            "that both stand in hardware"
        )
    if quantizer.limits is None:
        raise ModelError(
            f"Input {node.input[0]!r} of node {node.name!r} ({node.op_type}) must be quantized: nothing bounds its "
            "codes; put a Quant node in front of it"
        )
    order, shape = lowering.place_input(flow.order.shape)
    channels = shape[-1] if shape else 1
    limits = [np.full(channels, limit, np.int64) for limit in quantizer.limits]
    ordered = quantizer.moved(lambda a: to_source_order(a, order, order.size, channels))
    tensor_format = ordered.format(*quantizer.limits)
    _check_width(node, quantizer, *quantizer.limits)
    name = node.output[0]
    lowering.tensors[name] = Tensor(name, shape, tensor_format, *limits)
    lowering.input, lowering.border = name, node.input[0]
    lowering.input_quantizer = quantizer
    lowering.layouts[name] = order
    return Flow(name, name, order)


def close(lowering: Lowering, node: onnx.NodeProto, quantizer: AnyQuantizer, flow: Flow) -> Flow:
    """A chain ends: it becomes one staircase."""
    flow = fold_bias(lowering, flow)
    tensor = lowering.source(flow)
    ordered = quantizer.moved(lambda a: to_source_order(a, flow.order, tensor.size, channels_of(tensor)))
    return _close(lowering, node, ordered, flow, node.output[0])


def _close(lowering: Lowering, node: onnx.NodeProto, ordered: AnyQuantizer, flow: Flow, name: str) -> Flow:
    """The same as a tensor of a name, the quantizer's parameters () or (k,) in the order of the source."""
    flow = fold_bias(lowering, flow)
    moved = early.close(
        lowering, flow, ordered, name, lambda before, given, to: _close(lowering, node, given, before, to)
    )
    if moved is not None:
        return moved
    tensor = lowering.source(flow)
    steps, departures = flow.steps, None
    if flow.source in lowering.joins:
        steps += tuple(step for operand in lowering.joins[flow.source].operands for step in operand.steps)
        extreme = join_extremes.close(lowering, flow, ordered)
        flow, staircase = extreme or join_closing.close(lowering, flow, ordered)
        tensor = lowering.source(flow)
    else:
        staircase, departures = Chain(tensor, flow.bias, flow.steps, ordered, lowering.opset).function(lowering.chains)
    _check_width(node, ordered, staircase.code_low, staircase.code_high)
    output_format = ordered.format(staircase.code_low, staircase.code_high)
    bias = () if flow.bias is None else (PRODUCT_BIAS,)
    words = (*bias, *(step.node.op_type for step in flow.steps), node.op_type)
    inside = tuple(step.node.output[0] for step in steps)
    lowering.append(
        Requantize(node.name, (tensor.name,), name, staircase, output_format, words, inside, departures), flow.order
    )
    return Flow(name, name, flow.order)
