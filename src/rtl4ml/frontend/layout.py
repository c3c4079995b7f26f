"""Operators that only move or rename elements: Reshape, Flatten, Transpose, Squeeze, Unsqueeze, Identity, Dropout."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.frontend.lowering import Lowering, handles
from rtl4ml.frontend.values import Constant, Flow


def _move(lowering: Lowering, node: onnx.NodeProto, move: Callable[[NDArray], NDArray]) -> None:
    value = lowering.value(node.input[0], node)
    result: Constant | Flow
    if isinstance(value, Constant):
        codes = None if value.codes is None else move(value.codes)
        scale = None if value.scale is None else move(value.scale)
        result = Constant(move(np.asarray(value.value)), codes, scale)
    elif value.opaque:
        result = replace(value, opaque=(*value.opaque, node))
    else:
        result = replace(value, order=move(value.order))
    lowering.values[node.output[0]] = result


@handles("Identity", "Dropout", constants=True, integers=True)
def identity(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Nothing moves.

    Raises:
        ModelError: Dropout drops, because it is in training mode.
    """
    training = node.input[2] if node.op_type == "Dropout" and len(node.input) > 2 else ""
    if training and np.any(lowering.constant(training, node).value):
        raise ModelError(
            f"training_mode of node {node.name!r} (Dropout) must be false, not true: export the model in evaluation "
            "mode"
        )
    _move(lowering, node, lambda a: a)


@handles("Reshape", constants=True, integers=True)
def reshape(lowering: Lowering, node: onnx.NodeProto) -> None:
    """The target may hold 0 (keep the dimension) and one -1."""
    target = [int(d) for d in lowering.constant(node.input[1], node).value.reshape(-1)]
    allow_zero = bool(lowering.attributes(node).get("allowzero", 0))

    def move(array: NDArray) -> NDArray:
        shape = [array.shape[i] if d == 0 and not allow_zero else d for i, d in enumerate(target)]
        try:
            return array.reshape(shape)
        except ValueError as error:
            raise ModelError(
                f"Shape of node {node.name!r} (Reshape) must hold {array.size} elements, not {target}"
            ) from error

    _move(lowering, node, move)


@handles("Flatten", constants=True, integers=True)
def flatten(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Everything before `axis` and everything from it on."""
    axis = int(lowering.attributes(node).get("axis", 1))  # type: ignore[call-overload]

    def move(array: NDArray) -> NDArray:
        at = axis + array.ndim if axis < 0 else axis
        return array.reshape(int(np.prod(array.shape[:at], dtype=np.int64)), -1)

    _move(lowering, node, move)


@handles("Transpose", constants=True, integers=True)
def transpose(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Without `perm` the dimensions are reversed."""
    given = lowering.attributes(node).get("perm")
    permutation = None if given is None else [int(axis) for axis in given]  # type: ignore[attr-defined]
    _move(lowering, node, lambda a: np.transpose(a, permutation))


def _axes(lowering: Lowering, node: onnx.NodeProto) -> list[int] | None:
    if len(node.input) > 1 and node.input[1]:
        return [int(a) for a in lowering.constant(node.input[1], node).value.reshape(-1)]
    axes = lowering.attributes(node).get("axes")
    return None if axes is None else [int(a) for a in axes]  # type: ignore[attr-defined]


@handles("Squeeze", constants=True, integers=True)
def squeeze(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Drop dimensions of 1."""
    axes = _axes(lowering, node)
    _move(lowering, node, lambda a: np.squeeze(a, None if axes is None else tuple(axes)))


@handles("Unsqueeze", constants=True, integers=True)
def unsqueeze(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Add dimensions of 1."""
    axes = _axes(lowering, node)
    _move(lowering, node, lambda a: np.expand_dims(a, tuple(axes or ())))


@handles("DepthToSpace", constants=True, integers=True)
def depth_to_space(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Blocks of channels become blocks of pixels."""
    block, columns_first = _block(lowering, node), lowering.attributes(node).get("mode", b"DCR") == b"CRD"

    def move(array: NDArray) -> NDArray:
        n, channels, height, width = array.shape
        rest = channels // (block * block)
        if columns_first:
            split = array.reshape(n, rest, block, block, height, width).transpose(0, 1, 4, 2, 5, 3)
        else:
            split = array.reshape(n, block, block, rest, height, width).transpose(0, 3, 4, 1, 5, 2)
        return split.reshape(n, rest, height * block, width * block)

    _move(lowering, node, move)


@handles("SpaceToDepth", constants=True, integers=True)
def space_to_depth(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Blocks of pixels become channels."""
    block = _block(lowering, node)

    def move(array: NDArray) -> NDArray:
        n, channels, height, width = array.shape
        split = array.reshape(n, channels, height // block, block, width // block, block).transpose(0, 3, 5, 1, 2, 4)
        return split.reshape(n, channels * block * block, height // block, width // block)

    _move(lowering, node, move)


def _block(lowering: Lowering, node: onnx.NodeProto) -> int:
    block = int(lowering.attributes(node)["blocksize"])  # type: ignore[call-overload]
    if block < 1:
        raise ModelError(f"blocksize of node {node.name!r} ({node.op_type}) must be at least 1, not {block}")
    return block


@handles("Shape", integers=True)
def shape(lowering: Lowering, node: onnx.NodeProto) -> None:
    """A constant: all dimensions are known at import."""
    flow = lowering.flow(node.input[0], node)
    lowering.require_clear(flow, node)
    lowering.values[node.output[0]] = Constant(np.array(flow.order.shape, np.int64))
