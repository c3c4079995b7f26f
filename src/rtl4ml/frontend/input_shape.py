"""The same network on inputs of another size, where its file leaves the sizes inside to inference."""

from collections.abc import Sequence
from operator import index

import onnx

from rtl4ml.errors import ConfigurationError, ModelError
from rtl4ml.frontend.judge.executor import Executor


def with_input_shape(model: onnx.ModelProto, shape: Sequence[int]) -> onnx.ModelProto:
    """A copy of a model that takes another input shape; the sizes it states of other tensors are written anew.

    Args:
        model: the model; it is not changed.
        shape: of the input, with or without the batch, which stays 1.

    Raises:
        ConfigurationError: the shape is no sequence of integers.
        ModelError: the shape has another rank, or the file has sizes of the old one in it, in a Reshape, say.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    known = {initializer.name for initializer in graph.initializer}
    inputs = [tensor for tensor in graph.input if tensor.name not in known]
    if len(inputs) != 1:
        raise ModelError(f"Model must have one input, not {len(inputs)}: {', '.join(repr(i.name) for i in inputs)}")
    dims = inputs[0].type.tensor_type.shape.dim
    try:
        sizes = [index(size) for size in shape]
    except TypeError as error:
        raise ConfigurationError(f"input_shape must be integers, such as (1, 16), not {shape!r}") from error
    if len(sizes) == len(dims) - 1:
        sizes = [1, *sizes]
    if len(sizes) != len(dims) or sizes[0] != 1 or min(sizes) < 1:
        old = [dim.dim_value or dim.dim_param or "?" for dim in dims]
        raise ModelError(
            f"Shape for input {inputs[0].name!r} must have {len(dims) - 1} positive dimensions and a batch of 1, as "
            f"{old} has, not be {list(shape)}"
        )
    for dim, size in zip(dims, sizes, strict=True):
        dim.Clear()
        dim.dim_value = size
    shapes = _checked(model, changed, sizes).shapes
    for tensor in (*graph.output, *graph.value_info):
        if tensor.name in shapes:
            tensor.type.tensor_type.ClearField("shape")
            tensor.type.tensor_type.shape.dim.extend(
                onnx.TensorShapeProto.Dimension(dim_value=size) for size in shapes[tensor.name]
            )
    return changed


def _checked(model: onnx.ModelProto, changed: onnx.ModelProto, sizes: list[int]) -> Executor:
    """Run the changed model on zeros.

    Raises:
        ModelError: a node does not take the new sizes, or a Reshape takes elements for batches.
    """
    try:
        new = Executor(changed)
    except ModelError as error:
        raise ModelError(f"Every node must take an input of {sizes}, but {error}") from error
    turned = [
        node
        for node in changed.graph.node
        if node.op_type == "Reshape" and new.shapes[node.output[0]][:1] != new.shapes[node.input[0]][:1]
    ]
    old = Executor(model) if turned else new
    for node in turned:
        if old.shapes[node.output[0]][:1] == old.shapes[node.input[0]][:1]:
            target = list(old.shapes[node.output[0]])
            raise ModelError(
                f"Shape of node {node.name or node.output[0]!r} (Reshape) must hold an input of {sizes}, not be made "
                f"for another: it gives {target} there, and {list(new.shapes[node.output[0]])} here"
            )
    return new
