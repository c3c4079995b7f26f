"""MatMul and Gemm: codes times constant weights."""

from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, spread
from rtl4ml.frontend import operand
from rtl4ml.frontend.constants import recover_grid
from rtl4ml.frontend.convolution import pointwise
from rtl4ml.frontend.lowering import Lowering, handles
from rtl4ml.frontend.operand import Operand
from rtl4ml.frontend.products import factor_rows, finish, power_ratio, times_alpha
from rtl4ml.frontend.values import Constant, Flow
from rtl4ml.operators import Dense


def multiply(node: onnx.NodeProto, activation: Operand, weights: Constant, alpha: float = 1.0) -> Dense:
    """The Dense node for `activation @ weights`.

    Raises:
        ModelError: shapes do not fit, more than one vector, or scales that do not factor out.
    """
    flow, tensor = activation.flow, activation.tensor
    recovered = recover_grid(weights, node.name, node.op_type)
    assert recovered.codes is not None and recovered.scale is not None
    codes, scale = recovered.codes, recovered.scale
    if codes.ndim != 2:
        raise ModelError(
            f"Weights of node {node.name!r} ({node.op_type}) must be a matrix, not of shape {list(codes.shape)}"
        )
    if flow.order.ndim < 1 or flow.order.shape[-1] != codes.shape[0]:
        raise ModelError(
            f"Input of node {node.name!r} ({node.op_type}) must have {codes.shape[0]} elements in its last "
            f"dimension, not shape {list(flow.order.shape)}"
        )
    if flow.order.size != flow.order.shape[-1]:
        raise ModelError(
            f"Input of node {node.name!r} ({node.op_type}) must be one vector a sample, not "
            f"{flow.order.size // flow.order.shape[-1]}: flatten it in front"
        )
    codes, scale = factor_rows(codes, scale, node)
    codes, input_scale = _factor_input(codes, activation, node)
    codes, accumulator = times_alpha(codes, input_scale * scale, alpha, node)
    accumulator = accumulator[0].reshape(()) if np.all(accumulator == accumulator[0]) else accumulator
    source_codes = np.zeros((tensor.size, codes.shape[1]), np.int64)
    source_codes[flow.order.reshape(-1)] = codes
    bias = spread(activation.offset, tensor.size) @ source_codes
    source_codes *= spread(activation.gain, tensor.size)[:, None]
    shape = (*flow.order.shape[:-1], codes.shape[1])
    name = node.name or node.output[0]
    return Dense(
        name,
        (tensor.name,),
        node.output[0],
        source_codes,
        bias,
        accumulator,
        shape[1:] or shape,
    )


def _factor_input(codes: Codes, activation: Operand, node: onnx.NodeProto) -> tuple[Codes, NDArray[np.float64]]:
    """The same for an input with a scale per element, which the product sums over."""
    scale = activation.scale
    if scale.ndim == 0:
        return codes, scale
    elements = spread(scale, activation.tensor.size)[activation.flow.order.reshape(-1)]
    lowest = elements.min()
    ratio = power_ratio(elements, lowest, f"Scales of input {node.input[0]!r} of node {node.name!r} ({node.op_type})")
    return codes * ratio[:, None], lowest


def vector_order(dense: Dense) -> Codes:
    """Layout of a product's output in the file: its shape with the batch of 1."""
    return np.arange(dense.weights.shape[1]).reshape(1, *dense.shape) if dense.shape else np.zeros((), np.int64)


def many_vectors(activation: Operand, weights: Constant) -> bool:
    """Whether a product takes several vectors of a sample, each by itself."""
    shape, matrix = activation.flow.order.shape, np.asarray(weights.value).shape
    return len(matrix) == 2 and len(shape) > 1 and shape[-1] == matrix[0] and activation.flow.order.size > shape[-1]


@handles("MatMul")
def matmul(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Activation times constant weights.

    Raises:
        ModelError: two activations, or a constant on the left.
    """
    left, right = (lowering.value(name, node) for name in node.input)
    if isinstance(left, Flow) and isinstance(right, Flow):
        raise ModelError(
            f"One operand of node {node.name!r} (MatMul) must be constant: products of two activations are not "
            "supported"
        )
    if isinstance(left, Constant):
        raise ModelError(
            f"Weights of node {node.name!r} (MatMul) must be its second operand, not its first: transpose the product"
        )
    activation, weights = operand.find(lowering, node), lowering.constant(node.input[1], node)
    if many_vectors(activation, weights):
        pointwise(lowering, node, activation.flow, weights)
        return
    dense = multiply(node, activation, weights)
    finish(lowering, node, dense, vector_order(dense), None)


@handles("Gemm")
def gemm(lowering: Lowering, node: onnx.NodeProto) -> None:
    """`alpha * A @ B + beta * C`, A and B possibly transposed.

    Raises:
        ModelError: A, transposed if it shall be, is not one vector a sample, or alpha's product with the scales is not
            exact.
    """
    attributes = lowering.attributes(node)
    activation = operand.find(lowering, node)
    if attributes.get("transA", 0):
        activation = replace(activation, flow=replace(activation.flow, order=activation.flow.order.T))
    weights = lowering.constant(node.input[1], node)
    if attributes.get("transB", 0):
        codes = None if weights.codes is None else weights.codes.T
        scale = None if weights.scale is None else weights.scale.T
        weights = Constant(weights.value.T, codes, scale)
    alpha = float(attributes.get("alpha", 1.0))  # type: ignore[arg-type]
    outputs = np.asarray(weights.value).shape[-1]
    bias = None
    if len(node.input) > 2 and node.input[2]:
        beta = float(attributes.get("beta", 1.0))  # type: ignore[arg-type]
        if not np.isfinite(beta):
            raise ModelError(f"beta of node {node.name!r} (Gemm) must be finite, not {beta}")
        value = lowering.finite(lowering.constant(node.input[2], node).value, node)
        if value.size not in (1, outputs):
            raise ModelError(f"Bias of node {node.name!r} (Gemm) must have {outputs} elements, not {value.size}")
        bias = value.reshape(-1).astype(np.float64) * beta  # 24 + 24 bits: exact
        bias = np.broadcast_to(bias, (outputs,))
    if many_vectors(activation, weights):
        pointwise(lowering, node, activation.flow, weights, alpha, bias)
        return
    dense = multiply(node, activation, weights, alpha)
    finish(lowering, node, dense, vector_order(dense), bias)
