"""Convolutions that the file itself has in integers: ConvInteger and QLinearConv."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes
from rtl4ml.frontend import spatial
from rtl4ml.frontend.convolution import build, check_groups
from rtl4ml.frontend.integer_products import (
    TYPES,
    check_accumulator,
    check_types,
    optional,
    requantize,
    scale_of,
    zero_point_of,
)
from rtl4ml.frontend.lowering import Lowering, handles
from rtl4ml.frontend.values import Constant, Flow
from rtl4ml.operators import Conv


def _accumulate(
    lowering: Lowering, node: onnx.NodeProto, weights: int, zero_points: tuple[int, int]
) -> tuple[Conv, Codes]:
    """Sums of `(x - x_zero_point) * (w - w_zero_point)` as integers, and their layout in the file.

    Args:
        lowering: the import.
        node: the convolution, whose first input is the image.
        weights: position of the weights among its inputs.
        zero_points: positions of theirs.

    Raises:
        ModelError: the image is constant, the weights are not, or a type is not one of integers.
    """
    image_flow, given = lowering.value(node.input[0], node), lowering.value(node.input[weights], node)
    if not isinstance(image_flow, Flow) or not isinstance(given, Constant):
        raise ModelError(
            f"Node {node.name!r} ({node.op_type}) must slide constant weights over the network's activations, not "
            "others"
        )
    matrix = np.asarray(given.value)
    if matrix.dtype.name not in TYPES or matrix.ndim < 3:
        raise ModelError(
            f"Weights of node {node.name!r} ({node.op_type}) must be {' or '.join(TYPES)} with 3 dimensions or more, "
            f"not {matrix.dtype} of shape {list(matrix.shape)}"
        )
    outputs, each, *kernel = matrix.shape
    zero_image, _ = zero_point_of(lowering, node, zero_points[0])
    zero_weights, _ = zero_point_of(lowering, node, zero_points[1], outputs)
    meaning = replace(lowering.source(image_flow).format, scale=np.ones(()), zero_point=zero_image, bipolar=False)
    image = spatial.image_of(lowering, node, replace(image_flow, view=meaning, integer=False), kernel)
    groups = int(lowering.attributes(node).get("group", 1))  # type: ignore[call-overload]
    check_groups(node, image.channels, each, outputs, groups)
    window = spatial.window_of(lowering, node, image, kernel)
    codes = matrix.astype(np.int64) - zero_weights.reshape(-1, *(1,) * (matrix.ndim - 1))
    turned = np.moveaxis(codes, (0, 1), (-1, -2)).reshape(-1, outputs)
    constant = Constant(turned.astype(np.float32), turned, np.ones(turned.shape))
    shape, order = image.result(window, outputs)
    return build(lowering, node, image.flow, constant, window, groups, shape), order


@handles("ConvInteger", reals=False, integers=True)
def conv_integer(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Integers in, accumulators out: what they mean is said behind it, by Cast and Mul."""
    sums, order = _accumulate(lowering, node, 1, (2, 3))
    check_accumulator(lowering, node, sums)
    lowering.append(sums, order)
    lowering.values[node.output[0]] = Flow(node.output[0], sums.output, order, integer=True)


@handles("QLinearConv", reals=False, integers=True)
def qlinear_conv(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Integers in, integers out, with an int32 bias on the accumulator.

    Raises:
        ModelError: the bias does not fit.
    """
    check_types(lowering, node, 3, 2, 5)
    sums, order = _accumulate(lowering, node, 3, (2, 5))
    bias = optional(lowering, node, 8)
    if bias is not None:
        if bias.dtype != np.int32 or bias.size != len(sums.bias):
            raise ModelError(
                f"Bias of node {node.name!r} (QLinearConv) must have {len(sums.bias)} elements of int32, not "
                f"{bias.size} of {bias.dtype}"
            )
        sums = replace(sums, bias=sums.bias + bias.astype(np.int64).reshape(-1))
    check_accumulator(lowering, node, sums)
    left = scale_of(lowering, node, 1, "First scale")
    right = scale_of(lowering, node, 4, "Second scale", len(sums.bias))
    requantize(lowering, node, sums, order, (left, right), (6, 7))
