"""MatMul and Gemm: codes times constant weights."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import onnx
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes
from rtl4ml.frontend.constants import recover_grid
from rtl4ml.frontend.lowering import Lowering, handles
from rtl4ml.frontend.values import Constant, Flow
from rtl4ml.graph import Tensor
from rtl4ml.operators import Dense


def _operand(lowering: Lowering, node: onnx.NodeProto) -> tuple[Flow, Tensor]:
    """The activation that a product takes: it must be codes.

    Raises:
        ModelError: it is real-valued.
    """
    flow = lowering.flow(node.input[0], node)
    lowering.require_clear(flow, node)
    if flow.source is None:
        raise ModelError(
            f"Input {lowering.model.graph.input[0].name!r} of the model reaches node {node.name!r} ({node.op_type}) "
            "without a quantizer: an input format must "
            "be given, such as fixed<16,6> or uint<8>/255 (--input-format, or input_format= in Python)"
        )
    if flow.steps or flow.bias is not None:
        last = flow.steps[-1].node if flow.steps else None
        reason = (
            f"the output of node {last.name!r} ({last.op_type})" if last is not None else "an accumulator with a bias"
        )
        raise ModelError(
            f"Input {node.input[0]!r} of node {node.name!r} ({node.op_type}) must be quantized, not {reason}: put a "
            "Quant node in front of it"
        )
    return flow, lowering.tensors[flow.source]


def _multiply(
    lowering: Lowering, node: onnx.NodeProto, flow: Flow, tensor: Tensor, weights: Constant, alpha: float = 1.0
) -> Dense:
    """The Dense node for `flow @ weights`.

    Raises:
        ModelError: shapes do not fit, more than one vector, or scales that do not factor out.
    """
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
    codes, scale = _factor_rows(codes, scale, node)
    codes, input_scale = _factor_input(codes, tensor, flow, node)
    product = Fraction(float(alpha))
    if product <= 0 or product.numerator & (product.numerator - 1):
        raise ModelError(f"alpha of node {node.name!r} ({node.op_type}) must be a power of two, not {alpha}")
    accumulator = input_scale * scale * float(alpha)
    accumulator = accumulator[0].reshape(()) if np.all(accumulator == accumulator[0]) else accumulator
    source_codes = np.zeros((tensor.size, codes.shape[1]), np.int64)
    source_codes[flow.order.reshape(-1)] = codes
    shape = (*flow.order.shape[:-1], codes.shape[1])
    name = node.name or node.output[0]
    return Dense(
        name,
        (tensor.name,),
        node.output[0],
        source_codes,
        np.zeros(codes.shape[1], np.int64),
        accumulator,
        shape[1:] or shape,
    )


def _factor_rows(codes: Codes, scale: NDArray[np.float64], node: onnx.NodeProto) -> tuple[Codes, NDArray[np.float64]]:
    """Weights with one scale a column: rows whose scales differ by powers of two are shifted.

    Raises:
        ModelError: the ratios are others.
    """
    if np.all(scale == scale[:1]):
        return codes, scale[0]
    lowest = scale.min(axis=0)
    return codes * _power_ratio(scale, lowest, f"Scales of the weights of node {node.name!r} ({node.op_type})"), lowest


def _factor_input(codes: Codes, tensor: Tensor, flow: Flow, node: onnx.NodeProto) -> tuple[Codes, NDArray[np.float64]]:
    """The same for an input with a scale per element, which the product sums over."""
    scale = tensor.format.scale
    if scale.ndim == 0:
        return codes, scale
    elements = np.broadcast_to(scale, (tensor.size,))[flow.order.reshape(-1)]
    lowest = elements.min()
    ratio = _power_ratio(elements, lowest, f"Scales of input {node.input[0]!r} of node {node.name!r} ({node.op_type})")
    return codes * ratio[:, None], lowest


def _power_ratio(scale: NDArray[np.float64], lowest: NDArray[np.float64], what: str) -> Codes:
    ratio = scale / lowest
    if np.any(np.frexp(ratio)[0] != 0.5) or ratio.max() > 2.0**24:
        raise ModelError(f"{what} must be equal along the dimension that is summed, or differ by powers of two")
    return ratio.astype(np.int64)


def _finish(lowering: Lowering, node: onnx.NodeProto, dense: Dense, bias: NDArray | None) -> None:
    """Append the node; a bias on the accumulator's grid is added there, any other stays with the real value."""
    order = np.arange(dense.weights.shape[1]).reshape(1, *dense.shape) if dense.shape else np.zeros((), np.int64)
    real_bias = None
    if bias is not None:
        on_grid = integer_multiple(np.asarray(bias, np.float64), dense.scale)
        if on_grid is None:
            real_bias = np.asarray(bias, np.float32)
        else:
            dense = replace(dense, bias=np.broadcast_to(on_grid, dense.bias.shape).copy())
    lowering.append(dense, order)
    lowering.values[node.output[0]] = Flow(node.output[0], dense.output, order, bias=real_bias)


def integer_multiple(bias: NDArray[np.float64], scale: NDArray[np.float64]) -> Codes | None:
    """`bias / scale` where that is exactly an integer of at most 40 bits everywhere, else None."""
    quotient = np.rint(bias / scale)
    if np.any(np.abs(quotient) >= 2.0**40):
        return None
    pairs = zip(*(a.reshape(-1).tolist() for a in np.broadcast_arrays(bias, scale, quotient)), strict=True)
    if any(Fraction(b) != Fraction(s) * int(q) for b, s, q in pairs):
        return None
    return quotient.astype(np.int64)


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
    flow, tensor = _operand(lowering, node)
    _finish(lowering, node, _multiply(lowering, node, flow, tensor, lowering.constant(node.input[1], node)), None)


@handles("Gemm")
def gemm(lowering: Lowering, node: onnx.NodeProto) -> None:
    """`alpha * A @ B + beta * C`, B possibly transposed.

    Raises:
        ModelError: A is transposed (a batch of vectors has no transpose), or beta is no power of two.
    """
    attributes = lowering.attributes(node)
    if attributes.get("transA", 0):
        raise ModelError(
            f"transA of node {node.name!r} (Gemm) must be 0, not 1: the first operand is one vector a sample"
        )
    flow, tensor = _operand(lowering, node)
    weights = lowering.constant(node.input[1], node)
    if attributes.get("transB", 0):
        codes = None if weights.codes is None else weights.codes.T
        scale = None if weights.scale is None else weights.scale.T
        weights = Constant(weights.value.T, codes, scale)
    dense = _multiply(lowering, node, flow, tensor, weights, float(attributes.get("alpha", 1.0)))  # type: ignore[arg-type]
    bias = None
    if len(node.input) > 2 and node.input[2]:
        beta = float(attributes.get("beta", 1.0))  # type: ignore[arg-type]
        if beta == 0 or np.frexp(abs(beta))[0] != 0.5:
            raise ModelError(f"beta of node {node.name!r} (Gemm) must be a power of two, not {beta}")
        value = lowering.finite(lowering.constant(node.input[2], node).value, node)
        if value.size not in (1, dense.weights.shape[1]):
            raise ModelError(
                f"Bias of node {node.name!r} (Gemm) must have {dense.weights.shape[1]} elements, not {value.size}"
            )
        bias = value.reshape(-1) * np.float32(beta)
        bias = np.broadcast_to(bias, dense.bias.shape)
    _finish(lowering, node, dense, bias)


def fold_bias(lowering: Lowering, flow: Flow) -> Flow:
    """An Add or Sub right behind a product joins the accumulator where float32 cannot tell the difference.

    That is: the scale is a power of two, the constant is on its grid, and all sums stay within 24 bits.
    """
    while flow.steps and flow.bias is None and lowering.operators and isinstance(lowering.operators[-1], Dense):
        dense, step = lowering.operators[-1], flow.steps[0]
        if (
            dense.output != flow.source
            or step.node.op_type not in ("Add", "Sub")
            or (step.node.op_type == "Sub" and step.operand == 1)
        ):
            break
        if lowering.uses[flow.tensor] != 1 or np.any(np.frexp(dense.scale)[0] != 0.5):
            break
        constant = step.parameters[1 - step.operand].astype(np.float64)
        multiple = integer_multiple(-constant if step.node.op_type == "Sub" else constant, dense.scale)
        if multiple is None:
            break
        folded = replace(dense, output=step.node.output[0], bias=dense.bias + multiple)
        before, after = lowering.tensors[dense.output], folded.infer((lowering.tensors[dense.inputs[0]],))
        if max(abs(limit) for tensor in (before, after) for limit in tensor.range) >= 1 << 24:
            break
        lowering.operators.pop()
        del lowering.tensors[dense.output], lowering.layouts[dense.output]
        lowering.append(folded, step.order)
        flow = replace(flow, tensor=folded.output, source=folded.output, steps=flow.steps[1:])
    return flow
