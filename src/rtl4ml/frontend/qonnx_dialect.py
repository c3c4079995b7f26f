"""QONNX's quantizers: Quant (IntQuant), BipolarQuant and Trunc, in all the domains that exporters write them in."""

import numpy as np
import onnx
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.frontend.activation import quantize
from rtl4ml.frontend.constants import quantize_constant
from rtl4ml.frontend.lowering import CUSTOM_DOMAINS, Lowering, handles
from rtl4ml.frontend.quantizer import AnyQuantizer, Quantizer, Truncation
from rtl4ml.frontend.values import Constant, Flow

DOMAINS = ("", *CUSTOM_DOMAINS)

WIDTH_TYPES = ("float32", "float64", "int32", "int64")
"""Of bit widths."""

TRUNC_INPUTS = {1: 5, 2: 6}
"""Inputs of Trunc, by version of its domain."""


def _width(width: NDArray, what: str, node: onnx.NodeProto) -> int:
    """A bit width: one integer, in a tensor of any shape.

    Raises:
        ModelError: it is something else.
    """
    if width.dtype.name not in WIDTH_TYPES:
        raise ModelError(
            f"{what} of node {node.name!r} ({node.op_type}) must be {', '.join(WIDTH_TYPES)}, not {width.dtype}: qonnx "
            "computes the limits of codes in it"
        )
    number = float(width.reshape(-1)[0]) if width.size == 1 else None
    if number is None or not number.is_integer() or not 1 <= number <= 64:
        raise ModelError(
            f"{what} of node {node.name!r} ({node.op_type}) must be one integer from 1 to 64, not "
            f"{width.reshape(-1)[:8].tolist()}"
        )
    return int(number)


def _rounding_mode(lowering: Lowering, node: onnx.NodeProto, default: str | None) -> str:
    mode = lowering.attributes(node).get("rounding_mode", default)
    if mode is None:
        raise ModelError(f"Rounding mode of node {node.name!r} ({node.op_type}) must be given: qonnx requires it")
    return (mode.decode(errors="replace") if isinstance(mode, bytes) else str(mode)).upper()


def _parameters(lowering: Lowering, node: onnx.NodeProto, count: int) -> list[NDArray]:
    """The node's inputs behind the first, which must be constant.

    Raises:
        ModelError: more or fewer than `count` inputs, empty ones, or some that depend on the network's input.
    """
    if len(node.input) != count or not all(node.input):
        raise ModelError(f"Node {node.name!r} ({node.op_type}) must have {count} inputs, not {len(node.input)}")
    parameters = [np.asarray(lowering.constant(name, node).value) for name in node.input[1:]]
    value = lowering.value(node.input[0], node)
    rank = np.ndim(value.value) if isinstance(value, Constant) else value.order.ndim
    if not (isinstance(value, Flow) and value.opaque) and max(p.ndim for p in parameters) > max(rank, 1):
        raise ModelError(
            f"Parameters of node {node.name!r} ({node.op_type}) must have at most the {rank} dimensions of its input, "
            f"not {max(p.ndim for p in parameters)}: they would add dimensions to it"
        )
    for name, parameter in zip(node.input[1:], parameters, strict=True):
        if not parameter.size or parameter.dtype.kind not in "fiu":
            raise ModelError(f"Input {name!r} of node {node.name!r} ({node.op_type}) must hold numbers, not none")
    return parameters


def _quantizer(lowering: Lowering, node: onnx.NodeProto) -> Quantizer:
    """Parameters of Quant, IntQuant or BipolarQuant.

    Raises:
        ModelError: one of them depends on the input or has no meaning.
    """
    if node.op_type == "BipolarQuant":
        (scale,) = _parameters(lowering, node, 2)
        return Quantizer(
            node.name, node.op_type, scale, np.zeros((), np.float32), 1, True, False, "ROUND", divides=False
        )
    attributes = lowering.attributes(node)
    scale, zero_point, width = _parameters(lowering, node, 4)
    return Quantizer(
        node.name,
        node.op_type,
        scale,
        zero_point,
        _width(width, "Bit width", node),
        bool(attributes.get("signed", 1)),
        bool(attributes.get("narrow", 0)),
        _rounding_mode(lowering, node, "ROUND"),
    )


def _truncation(lowering: Lowering, node: onnx.NodeProto) -> Truncation:
    """Parameters of Trunc; the model's import of its domain says which version it is, as qonnx reads it.

    Raises:
        ModelError: one of them depends on the input or has no meaning.
    """
    imports = {entry.domain: entry.version for entry in lowering.model.opset_import}
    version = 2 if node.domain and imports.get(node.domain, 1) >= 2 else 1
    scale, zero_point, *rest = _parameters(lowering, node, TRUNC_INPUTS[version])
    input_bits, output_bits = rest[0].reshape(()) if rest[0].size == 1 else rest[0], rest[-1]
    _width(rest[0], "Input bit width", node)
    _width(output_bits, "Output bit width", node)
    attributes = lowering.attributes(node)
    return Truncation(
        node.name,
        node.op_type,
        scale,
        zero_point,
        rest[1] if version > 1 else None,
        input_bits,
        output_bits.reshape(()),
        bool(attributes.get("signed", 1)),
        bool(attributes.get("narrow", 0)),
        _rounding_mode(lowering, node, None),
    )


def _lower(lowering: Lowering, node: onnx.NodeProto, quantizer: AnyQuantizer) -> None:
    value = lowering.value(node.input[0], node)
    lowering.values[node.output[0]] = (
        quantize_constant(np.asarray(value.value), quantizer)
        if isinstance(value, Constant)
        else quantize(lowering, node, quantizer, value)
    )


@handles("Quant", "IntQuant", "BipolarQuant", domains=DOMAINS, constants=True)
def quant(lowering: Lowering, node: onnx.NodeProto) -> None:
    """On a constant: its codes. On the file's input: the graph's input. Else: the end of a chain."""
    _lower(lowering, node, _quantizer(lowering, node))


@handles("Trunc", domains=DOMAINS, constants=True)
def trunc(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Codes to fewer bits: a chain of its own, whose input is quantized."""
    _lower(lowering, node, _truncation(lowering, node))
