"""ONNX's own quantizers: QuantizeLinear and DequantizeLinear, what stands between them, and Cast.

A tensor of an integer type is a flow of codes. QuantizeLinear makes one as it closes a chain; Clip and Relu narrow it;
DequantizeLinear says what the codes mean from there on, with a scale and zero point of its own.
"""

from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, Format
from rtl4ml.frontend.activation import quantize
from rtl4ml.frontend.lowering import Lowering, handles
from rtl4ml.frontend.quantizer import LinearQuantizer, check_scale
from rtl4ml.frontend.saturation import saturate
from rtl4ml.frontend.values import Constant, Flow, alike, channels_of, to_source_order

INTEGERS = {
    "int4": (-8, 7),
    "uint4": (0, 15),
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-(1 << 15), (1 << 15) - 1),
    "uint16": (0, (1 << 16) - 1),
}
"""Types of codes, by NumPy's names: lowest and highest."""

INPUTS = ("int8", "uint8", "int16", "uint16")
"""Types of a file's input that are codes."""

CONSTANTS = {**INTEGERS, "int32": (-(1 << 31), (1 << 31) - 1)}
"""Types of constants."""

CASTS = {**CONSTANTS, "int64": (-(1 << 63), (1 << 63) - 1), "uint32": (0, (1 << 32) - 1)}
"""Integers that codes may be cast to, where their type holds them."""

EXACT = 1 << 24
"""A float32 holds integers up to here."""


def _element_type(lowering: Lowering, node: onnx.NodeProto) -> np.dtype:
    """Type of QuantizeLinear's output: that of its zero point, or its attribute, or uint8."""
    if len(node.input) > 2 and node.input[2]:
        return np.asarray(lowering.constant(node.input[2], node).value).dtype
    wanted = int(lowering.attributes(node).get("output_dtype", 0))  # type: ignore[call-overload]
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(wanted or onnx.TensorProto.UINT8))


def _parameters(lowering: Lowering, node: onnx.NodeProto, shape: tuple[int, ...]) -> tuple[NDArray, Codes]:
    """Scale and zero point, shaped so that they broadcast against a tensor.

    Raises:
        ModelError: they depend on the input, have no meaning, or do not fit the tensor.
    """
    where = f"node {node.name!r} ({node.op_type})"
    if len(node.input) < 2 or not node.input[1]:
        raise ModelError(f"Scale of {where} must be given, not left out")
    scale = np.asarray(lowering.constant(node.input[1], node).value)
    if scale.dtype != np.float32:
        raise ModelError(f"Scale of {where} must be float32, not {scale.dtype}")
    check_scale(scale, where)
    zero_point = np.zeros(scale.shape, np.int64)
    if len(node.input) > 2 and node.input[2]:
        given = np.asarray(lowering.constant(node.input[2], node).value)
        if given.dtype.name not in CONSTANTS:
            raise ModelError(f"Zero point of {where} must be of type {', '.join(CONSTANTS)}, not {given.dtype}")
        zero_point = given.astype(np.int64)
    if zero_point.shape != scale.shape and not zero_point.size == scale.size == 1:
        raise ModelError(
            f"Zero point of {where} must have the shape of the scale, {list(scale.shape)}, not {list(zero_point.shape)}"
        )
    if scale.size == 1:
        return scale.reshape(()), zero_point.reshape(())
    attributes = lowering.attributes(node)
    axis = int(attributes.get("axis", 1))  # type: ignore[call-overload]
    block = int(attributes.get("block_size", 0))  # type: ignore[call-overload]
    if not -len(shape) <= axis < len(shape):
        raise ModelError(f"axis of {where} must lie within the {len(shape)} dimensions of its input, not {axis}")
    axis %= len(shape)
    if block:
        wanted = [*shape[:axis], -(-shape[axis] // block), *shape[axis + 1 :]]
        if list(scale.shape) != wanted:
            raise ModelError(f"Scale of {where} must have shape {wanted}, not {list(scale.shape)}")
        blocks = np.arange(shape[axis]) // block
        return np.take(scale, blocks, axis), np.take(zero_point, blocks, axis)
    if scale.shape != (shape[axis],):
        raise ModelError(
            f"Scale of {where} must be one number or have {shape[axis]} elements, as axis {axis} of its input has, not "
            f"shape {list(scale.shape)}"
        )
    spread = [-1 if i == axis else 1 for i in range(len(shape))]
    return scale.reshape(spread), zero_point.reshape(spread)


@handles("QuantizeLinear", constants=True)
def quantize_linear(lowering: Lowering, node: onnx.NodeProto) -> None:
    """On a constant: integers. On the file's input: the graph's input. Else: the end of a chain.

    Raises:
        ModelError: the type of the codes is not an integer, or a parameter has no meaning.
    """
    kind = _element_type(lowering, node)
    if kind.name not in INTEGERS:
        raise ModelError(
            f"Output of node {node.name!r} ({node.op_type}) must be {', '.join(INTEGERS)}, not {kind.name}"
        )
    value = lowering.value(node.input[0], node)
    shape = value.order.shape if isinstance(value, Flow) else np.shape(value.value)
    if isinstance(value, Constant) and np.asarray(value.value).dtype != np.float32:
        raise ModelError(
            f"Input {node.input[0]!r} of node {node.name!r} ({node.op_type}) must be float32, not "
            f"{np.asarray(value.value).dtype}"
        )
    scale, zero_point = _parameters(lowering, node, shape)
    quantizer = LinearQuantizer(node.name, node.op_type, scale, zero_point, *INTEGERS[kind.name])
    if isinstance(value, Constant):
        codes = quantizer.codes(lowering.finite(value.value, node))
        lowering.values[node.output[0]] = Constant(codes.astype(kind))
    else:
        flow = quantize(lowering, node, quantizer, value)
        lowering.values[node.output[0]] = replace(flow, integer=True)


@handles("DynamicQuantizeLinear")
def dynamic_quantize_linear(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Its scale is another for every sample.

    Raises:
        ModelError: always.
    """
    raise ModelError(
        f"Node {node.name!r} (DynamicQuantizeLinear) must be a QuantizeLinear: its scale depends on each sample, and "
        "hardware needs constant ones; quantize the model statically"
    )


@handles("DequantizeLinear", constants=True, integers=True)
def dequantize_linear(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Says what codes mean; on constants: their codes and scales.

    Raises:
        ModelError: a parameter has no meaning, or float32 cannot hold the codes.
    """
    value = lowering.value(node.input[0], node)
    if isinstance(value, Constant):
        lowering.values[node.output[0]] = _dequantized(lowering, node, np.asarray(value.value))
        return
    if not value.integer:
        raise ModelError(
            f"Input {node.input[0]!r} of node {node.name!r} ({node.op_type}) must be integers, not real values"
        )
    tensor = lowering.source(value)
    scale, zero_point = _parameters(lowering, node, value.order.shape)
    meaning = replace(
        tensor.format,
        scale=to_source_order(scale, value.order, tensor.size, channels_of(tensor)).astype(np.float64),
        zero_point=to_source_order(zero_point, value.order, tensor.size, channels_of(tensor)),
        bipolar=False,
    )
    low, high, zero = alike(tensor.low, tensor.high, meaning.zero_point)
    low, high = low - zero, high - zero
    if max(int(high.max()), -int(low.min())) > EXACT:
        raise ModelError(
            f"Codes into node {node.name!r} ({node.op_type}) must stay within 24 bits, not reach {high.max()}: float32 "
            "cannot hold them"
        )
    view = None if _same(meaning, tensor.format) else meaning
    lowering.values[node.output[0]] = Flow(node.output[0], value.source, value.order, view=view)


def _same(a: Format, b: Format) -> bool:
    pairs = alike(a.scale, b.scale), alike(a.zero_point, b.zero_point)
    return all(bool(np.all(one == other)) for one, other in pairs)


def _dequantized(lowering: Lowering, node: onnx.NodeProto, integers: NDArray) -> Constant:
    if integers.dtype.name not in CONSTANTS:
        raise ModelError(
            f"Input {node.input[0]!r} of node {node.name!r} ({node.op_type}) must be of type {', '.join(CONSTANTS)}, "
            f"not {integers.dtype.name}"
        )
    scale, zero_point = _parameters(lowering, node, integers.shape)
    if integers.dtype == np.int32 and np.any(zero_point):
        raise ModelError(f"Zero point of node {node.name!r} ({node.op_type}) must be 0 for int32, not others")
    codes = integers.astype(np.int64) - zero_point
    return Constant(codes.astype(np.float32) * scale, codes, np.broadcast_to(scale.astype(np.float64), codes.shape))


def _limit(lowering: Lowering, node: onnx.NodeProto, position: int, default: int) -> int:
    if len(node.input) <= position or not node.input[position]:
        return default
    value = np.asarray(lowering.constant(node.input[position], node).value)
    if value.size != 1 or value.dtype.name not in CASTS:
        raise ModelError(f"Limits of node {node.name!r} ({node.op_type}) must be one integer each, not {value.dtype}")
    return int(value.reshape(())) if value.dtype.kind in "iu" else int(value.astype(np.int64).reshape(()))


@handles("Clip", reals=False, integers=True)
def clip_integers(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Behind a quantizer: narrower limits, as QCDQ files have them for widths that ONNX has no type for."""
    flow = lowering.flow(node.input[0], node)
    low, high = (int(f(getattr(lowering.source(flow), n))) for f, n in ((np.min, "low"), (np.max, "high")))
    limits = _limit(lowering, node, 1, low), _limit(lowering, node, 2, high)
    lowering.values[node.output[0]] = saturate(lowering, node, flow, *limits)


@handles("Relu", reals=False, integers=True)
def relu_integers(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Codes below 0 become 0, whatever they mean."""
    flow = lowering.flow(node.input[0], node)
    lowering.values[node.output[0]] = saturate(lowering, node, flow, 0, max(0, int(lowering.source(flow).high.max())))


@handles("Cast", integers=True)
def cast(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Codes to float32 or to a type that holds them all; float32 to float32.

    Raises:
        ModelError: the cast would lose something.
    """
    flow = lowering.flow(node.input[0], node)
    wanted = int(lowering.attributes(node).get("to", 0))  # type: ignore[call-overload]
    if wanted == onnx.TensorProto.FLOAT and not flow.integer:
        opaque = (*flow.opaque, node) if flow.opaque else ()
        lowering.values[node.output[0]] = replace(flow, opaque=opaque)
        return
    if wanted == onnx.TensorProto.FLOAT:
        tensor = lowering.source(flow)
        meaning = replace(tensor.format, scale=np.ones(()), zero_point=np.zeros((), np.int64), bipolar=False)
        view = None if _same(meaning, tensor.format) else meaning
        lowering.values[node.output[0]] = Flow(node.output[0], flow.source, flow.order, view=view)
        lowering.grids[node.output[0]] = 1.0
        return
    name = onnx.TensorProto.DataType.Name(wanted).lower() if wanted in onnx.TensorProto.DataType.values() else "unknown"
    if not flow.integer:
        raise ModelError(
            f"Node {node.name!r} (Cast) must cast real values to float, not to {name}: quantize with QuantizeLinear"
        )
    low, high = CASTS.get(name, (1, 0))
    if lowering.source(flow).low.min() < low or lowering.source(flow).high.max() > high:
        raise ModelError(
            f"Node {node.name!r} (Cast) must cast codes from {lowering.source(flow).low.min()} to "
            f"{lowering.source(flow).high.max()} to float or an integer type that holds them, not to {name}"
        )
    lowering.values[node.output[0]] = flow
