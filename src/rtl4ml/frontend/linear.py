"""MatMul and Gemm: codes times constant weights."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import onnx
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes
from rtl4ml.frontend import operand
from rtl4ml.frontend.constants import recover_grid
from rtl4ml.frontend.lowering import Lowering, handles
from rtl4ml.frontend.operand import Operand
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
    codes, scale = _factor_rows(codes, scale, node)
    codes, input_scale = _factor_input(codes, activation, node)
    codes, accumulator = _times_alpha(codes, input_scale * scale, alpha, node)
    accumulator = accumulator[0].reshape(()) if np.all(accumulator == accumulator[0]) else accumulator
    source_codes = np.zeros((tensor.size, codes.shape[1]), np.int64)
    source_codes[flow.order.reshape(-1)] = codes
    bias = np.broadcast_to(activation.offset, (tensor.size,)) @ source_codes
    source_codes *= np.broadcast_to(activation.gain, (tensor.size,))[:, None]
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


def _times_alpha(
    codes: Codes, scale: NDArray[np.float64], alpha: float, node: onnx.NodeProto
) -> tuple[Codes, NDArray[np.float64]]:
    """Gemm's alpha as part of the scale, its sign and a 0 as part of the weights.

    Raises:
        ModelError: the product of the scales with it is no float64.
    """
    if alpha == 0:
        return np.zeros_like(codes), scale
    for exact in np.unique(scale).tolist():
        product = exact * abs(alpha)
        if not np.isfinite(product) or Fraction(exact) * Fraction(abs(alpha)) != Fraction(product):
            raise ModelError(
                f"alpha of node {node.name!r} ({node.op_type}) must have an exact product of 53 bits with the scales, "
                f"not {alpha}: use a power of two, or scales that are"
            )
    return codes if alpha > 0 else -codes, scale * abs(alpha)


def _factor_rows(codes: Codes, scale: NDArray[np.float64], node: onnx.NodeProto) -> tuple[Codes, NDArray[np.float64]]:
    """Weights with one scale a column: rows whose scales differ by powers of two are shifted.

    Raises:
        ModelError: the ratios are others.
    """
    if np.all(scale == scale[:1]):
        return codes, scale[0]
    lowest = scale.min(axis=0)
    return codes * _power_ratio(scale, lowest, f"Scales of the weights of node {node.name!r} ({node.op_type})"), lowest


def _factor_input(codes: Codes, activation: Operand, node: onnx.NodeProto) -> tuple[Codes, NDArray[np.float64]]:
    """The same for an input with a scale per element, which the product sums over."""
    scale = activation.scale
    if scale.ndim == 0:
        return codes, scale
    elements = np.broadcast_to(scale, (activation.tensor.size,))[activation.flow.order.reshape(-1)]
    lowest = elements.min()
    ratio = _power_ratio(elements, lowest, f"Scales of input {node.input[0]!r} of node {node.name!r} ({node.op_type})")
    return codes * ratio[:, None], lowest


def _power_ratio(scale: NDArray[np.float64], lowest: NDArray[np.float64], what: str) -> Codes:
    ratio = scale / lowest
    if np.any(np.frexp(ratio)[0] != 0.5) or ratio.max() > 2.0**24:
        raise ModelError(f"{what} must be equal along the dimension that is summed, or differ by powers of two")
    return ratio.astype(np.int64)


def vector_order(dense: Dense) -> Codes:
    """Layout of a product's output in the file: its shape with the batch of 1."""
    return np.arange(dense.weights.shape[1]).reshape(1, *dense.shape) if dense.shape else np.zeros((), np.int64)


def _finish(lowering: Lowering, node: onnx.NodeProto, dense: Dense, bias: NDArray | None) -> None:
    """Append the node; a bias on the accumulator's grid is added there, any other stays with the real value."""
    order = vector_order(dense)
    real_bias = None
    if bias is not None:
        on_grid = integer_multiple(np.asarray(bias, np.float64), dense.scale)
        if on_grid is None:
            # Gemm's beta can make it longer than a float32.
            long = np.asarray(bias)
            real_bias = long.astype(np.float32) if np.array_equal(long.astype(np.float32), long) else long
        else:
            dense = replace(dense, bias=dense.bias + on_grid)
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
    _finish(lowering, node, multiply(node, operand.find(lowering, node), lowering.constant(node.input[1], node)), None)


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
    dense = multiply(node, activation, weights, float(attributes.get("alpha", 1.0)))  # type: ignore[arg-type]
    bias = None
    if len(node.input) > 2 and node.input[2]:
        beta = float(attributes.get("beta", 1.0))  # type: ignore[arg-type]
        if not np.isfinite(beta):
            raise ModelError(f"beta of node {node.name!r} (Gemm) must be finite, not {beta}")
        value = lowering.finite(lowering.constant(node.input[2], node).value, node)
        if value.size not in (1, dense.weights.shape[1]):
            raise ModelError(
                f"Bias of node {node.name!r} (Gemm) must have {dense.weights.shape[1]} elements, not {value.size}"
            )
        bias = value.reshape(-1).astype(np.float64) * beta  # 24 + 24 bits: exact
        bias = np.broadcast_to(bias, dense.bias.shape)
    _finish(lowering, node, dense, bias)


def fold_bias(lowering: Lowering, flow: Flow) -> Flow:
    """An Add or Sub right behind a product joins the accumulator where float32 cannot tell the difference.

    That is: the scale is a power of two, the constant is on its grid, and all sums stay within 24 bits.
    """
    while flow.steps and flow.bias is None:
        index, step = _product_of(lowering, flow), flow.steps[0]
        if index is None or flow.tensor != flow.source or step.node.op_type not in ("Add", "Sub"):
            break
        if step.node.op_type == "Sub" and step.operand == 1:
            break
        dense = lowering.operators[index]
        assert isinstance(dense, Dense)
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
        lowering.operators[index] = folded
        del lowering.tensors[dense.output], lowering.layouts[dense.output]
        lowering.tensors[folded.output], lowering.layouts[folded.output] = after, step.order
        # Whatever else reads the sum reads it from the new accumulator too.
        for name, value in lowering.values.items():
            if isinstance(value, Flow) and value.source == flow.source and value.steps[:1] == (step,):
                lowering.values[name] = _without_first_step(value, folded.output)
        flow = _without_first_step(flow, folded.output)
    return flow


def _product_of(lowering: Lowering, flow: Flow) -> int | None:
    """Position of the Dense that makes a flow's source."""
    found = (i for i, o in enumerate(lowering.operators) if isinstance(o, Dense) and o.output == flow.source)
    return next(found, None)


def _without_first_step(flow: Flow, output: str) -> Flow:
    return replace(flow, tensor=output, source=output, steps=flow.steps[1:])
