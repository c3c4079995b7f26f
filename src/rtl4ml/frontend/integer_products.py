"""Products that the file itself has in integers: MatMulInteger, QLinearMatMul and onnxruntime's QGemm."""

from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes
from rtl4ml.frontend.activation import close
from rtl4ml.frontend.linear import multiply, vector_order
from rtl4ml.frontend.lowering import Lowering, handles
from rtl4ml.frontend.operand import Operand
from rtl4ml.frontend.qdq_dialect import EXACT, INTEGERS
from rtl4ml.frontend.quantizer import Rescaling, check_scale
from rtl4ml.frontend.values import Constant, Flow
from rtl4ml.operators import Conv, Dense

TYPES = ("int8", "uint8")
"""Types of both operands and of the output, as onnxruntime has them."""

MICROSOFT = "com.microsoft"


def optional(lowering: Lowering, node: onnx.NodeProto, position: int) -> NDArray | None:
    """A constant input of a node, or None where it is left out."""
    if len(node.input) <= position or not node.input[position]:
        return None
    return np.asarray(lowering.constant(node.input[position], node).value)


def _required(lowering: Lowering, node: onnx.NodeProto, position: int, what: str) -> NDArray:
    value = optional(lowering, node, position)
    if value is None:
        raise ModelError(f"{what} of node {node.name!r} ({node.op_type}) must be given, not left out")
    return value


def scale_of(lowering: Lowering, node: onnx.NodeProto, position: int, what: str, size: int = 1) -> NDArray:
    """A float32 scale: one number, or `size`.

    Raises:
        ModelError: it is something else.
    """
    scale = _required(lowering, node, position, what)
    if scale.dtype != np.float32 or scale.size not in (1, size):
        numbers = "one float32 number" if size == 1 else f"1 or {size} float32 numbers"
        raise ModelError(
            f"{what} of node {node.name!r} ({node.op_type}) must be {numbers}, "
            f"not {scale.dtype} of shape {list(scale.shape)}"
        )
    check_scale(scale, f"node {node.name!r} ({node.op_type})")
    return scale.reshape(()) if scale.size == 1 else scale.reshape(-1)


def zero_point_of(lowering: Lowering, node: onnx.NodeProto, position: int, size: int = 1) -> tuple[Codes, str | None]:
    """A zero point, 0 where there is none, and the name of its type."""
    value = optional(lowering, node, position)
    if value is None:
        return np.zeros((), np.int64), None
    if value.size not in (1, size) or value.dtype.name not in TYPES:
        raise ModelError(
            f"Zero point {node.input[position]!r} of node {node.name!r} ({node.op_type}) must be {' or '.join(TYPES)} "
            f"and one number{f' or {size}' if size > 1 else ''}, not {value.dtype} of shape {list(value.shape)}"
        )
    codes = value.astype(np.int64)
    return (codes.reshape(()) if codes.size == 1 else codes.reshape(-1)), value.dtype.name


def _accumulate(
    lowering: Lowering, node: onnx.NodeProto, activation: int, weights: int, zero_points: tuple[int, int]
) -> Dense:
    """`(A - a_zero_point) @ (B - b_zero_point)` as integers.

    Args:
        lowering: the import.
        node: the product.
        activation: position of A among its inputs.
        weights: position of B.
        zero_points: positions of theirs.

    Raises:
        ModelError: A is constant, B is not, or a type is not one of integers.
    """
    if len(node.input) <= max(activation, weights):
        raise ModelError(f"Node {node.name!r} ({node.op_type}) must have all its inputs, not {len(node.input)}")
    left, right = (lowering.value(node.input[i], node) for i in (activation, weights))
    if not isinstance(left, Flow) or not isinstance(right, Constant):
        raise ModelError(
            f"Node {node.name!r} ({node.op_type}) must multiply the network's activations with constant weights, not "
            f"{'two activations' if isinstance(right, Flow) and isinstance(left, Flow) else 'the other way round'}"
        )
    matrix = np.asarray(right.value)
    if matrix.dtype.name not in TYPES or matrix.ndim != 2:
        raise ModelError(
            f"Weights of node {node.name!r} ({node.op_type}) must be a matrix of {' or '.join(TYPES)}, not "
            f"{matrix.dtype} of shape {list(matrix.shape)}"
        )
    transposed = node.op_type == "QGemm" and bool(lowering.attributes(node).get("transB", 0))
    matrix = matrix.T if transposed else matrix
    tensor = lowering.tensors[left.source or ""]
    zero_left, _ = zero_point_of(lowering, node, zero_points[0])
    zero_right, _ = zero_point_of(lowering, node, zero_points[1], matrix.shape[1])
    operand = Operand(left, tensor, np.ones(()), tensor.format.zero_point - zero_left, np.ones((), np.int64))
    codes = matrix.astype(np.int64) - zero_right
    dense = multiply(node, operand, Constant(matrix, codes, np.ones(codes.shape)))
    check_accumulator(lowering, node, dense)
    return dense


def check_accumulator(lowering: Lowering, node: onnx.NodeProto, dense: Dense | Conv) -> None:
    """Refuse sums that the executor's int32 does not hold.

    Raises:
        ModelError: they reach further.
    """
    low, high = dense.infer((lowering.tensors[dense.inputs[0]],)).range
    if low < -(1 << 31) or high >= 1 << 31:
        raise ModelError(
            f"Accumulators of node {node.name!r} ({node.op_type}) must fit int32, not reach {low} or {high}"
        )


@handles("MatMulInteger", reals=False, integers=True)
def matmul_integer(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Integers in, accumulators out: what they mean is said behind it, by Cast and Mul."""
    dense = _accumulate(lowering, node, 0, 1, (2, 3))
    order = vector_order(dense)
    lowering.append(dense, order)
    lowering.values[node.output[0]] = Flow(node.output[0], dense.output, order, integer=True)


def requantize(
    lowering: Lowering,
    node: onnx.NodeProto,
    dense: Dense | Conv,
    order: Codes,
    product: tuple[NDArray, ...],
    output: tuple[int, int],
) -> None:
    """The accumulator's tensor, and its requantisation by the executor's kernel.

    Args:
        lowering: the import.
        node: the product.
        dense: its sums.
        order: their layout in the file.
        product: factors of the accumulator's scale, float32, in the order in which the kernel multiplies them.
        output: positions of the output's scale and zero point.
    """
    scale = scale_of(lowering, node, output[0], "Output scale")
    zero_point, kind = zero_point_of(lowering, node, output[1])
    multiplier = product[0]
    for factor in product[1:]:
        multiplier = multiplier * factor
    multiplier = np.asarray(multiplier / scale, np.float32)
    if multiplier.ndim:
        # One for each output, which images have as their second dimension.
        multiplier = multiplier.reshape(-1, *(1,) * max(0, order.ndim - 2))
    name = f"{node.output[0]}_accumulator"
    while name in lowering.names:
        name += "_"
    lowering.append(replace(dense, name=name, output=name), order)
    quantizer = Rescaling(
        node.name,
        node.op_type,
        scale,
        zero_point,
        *INTEGERS[kind or "uint8"],
        multiplier,
    )
    flow = close(lowering, node, quantizer, Flow(name, name, order))
    lowering.values[node.output[0]] = replace(flow, integer=True)


def check_types(lowering: Lowering, node: onnx.NodeProto, weights: int, left: int, right: int) -> None:
    """Refuse what onnxruntime has no kernel for: signed activations with unsigned weights.

    Raises:
        ModelError: the types are these.
    """
    signs = [
        np.asarray(lowering.constant(node.input[i], node).value).dtype.name
        for i in (left, right, weights)
        if node.input[i]
    ]
    if signs[0] == "int8" and "uint8" in signs[1:]:
        raise ModelError(
            f"Weights of node {node.name!r} ({node.op_type}) must be int8 where activations are, not uint8: "
            "onnxruntime has no such product"
        )


@handles("QLinearMatMul", reals=False, integers=True)
def qlinear_matmul(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Integers in, integers out."""
    check_types(lowering, node, 3, 2, 5)
    dense = _accumulate(lowering, node, 0, 3, (2, 5))
    left = scale_of(lowering, node, 1, "First scale")
    right = scale_of(lowering, node, 4, "Second scale", dense.weights.shape[1])
    requantize(lowering, node, dense, vector_order(dense), (left, right), (6, 7))


@handles("QGemm", domains=(MICROSOFT,), reals=False, integers=True)
def qgemm(lowering: Lowering, node: onnx.NodeProto) -> None:
    """`alpha * A @ B + C` with an int32 bias on the accumulator; integers out, or float32 without an output scale.

    Raises:
        ModelError: A is transposed, or the bias does not fit.
    """
    attributes = lowering.attributes(node)
    if attributes.get("transA", 0):
        raise ModelError(
            f"transA of node {node.name!r} (QGemm) must be 0, not 1: the first operand is one vector a sample"
        )
    check_types(lowering, node, 3, 2, 5)
    dense = _accumulate(lowering, node, 0, 3, (2, 5))
    size = dense.weights.shape[1]
    bias = optional(lowering, node, 6)
    if bias is not None:
        if bias.dtype != np.int32 or bias.size not in (1, size):
            raise ModelError(
                f"Bias of node {node.name!r} (QGemm) must have {size} elements of int32, not {bias.size} of "
                f"{bias.dtype}"
            )
        dense = replace(dense, bias=dense.bias + bias.astype(np.int64).reshape(-1))
        check_accumulator(lowering, node, dense)
    alpha = np.array(attributes.get("alpha", 1.0), np.float32)
    if not np.isfinite(alpha) or alpha <= 0:
        raise ModelError(f"alpha of node {node.name!r} (QGemm) must be positive, not {alpha}")
    left = scale_of(lowering, node, 1, "First scale")
    right = scale_of(lowering, node, 4, "Second scale", size)
    if optional(lowering, node, 7) is not None:
        requantize(lowering, node, dense, vector_order(dense), (alpha, left, right), (7, 8))
        return
    order = vector_order(dense)
    # One rounding in the kernel's float32 product, and one in ours, as long as the sum itself is a float32.
    dense = replace(dense, scale=np.asarray(alpha * left * right, np.float64))
    low, high = dense.infer((lowering.tensors[dense.inputs[0]],)).range
    if max(high, -low) > EXACT:
        raise ModelError(
            f"Accumulators of node {node.name!r} (QGemm) must stay within 24 bits for a float32 output, not reach "
            f"{low} or {high}"
        )
    lowering.append(dense, order)
    lowering.values[node.output[0]] = Flow(node.output[0], dense.output, order)
