"""The decision in hardware: ArgMax of the real values behind the output tensor, the lowest index winning a tie.

The values compared are exact: `(code - zero_point) * scale + bias`, as integers on the coarsest grid that holds all
scales and biases. What the host would still do to them must not change their order: Softmax, Sigmoid, a positive
factor, a shift of all.
"""

from dataclasses import replace
from math import gcd

import numpy as np
import onnx
from onnx import helper, numpy_helper

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, spread
from rtl4ml.frontend.common_grid import dyadic
from rtl4ml.graph import Graph, HostFunction
from rtl4ml.operators import Top

ORDER_KEEPING = frozenset(
    {"Softmax", "LogSoftmax", "Sigmoid", "Tanh", "Identity", "Dropout", "Flatten", "Reshape", "Squeeze", "Unsqueeze"}
)
MAX_BITS = 60


def decide(graph: Graph) -> Graph:
    """The graph with the decision behind its output; its file gets the same ArgMax, for the judges.

    Raises:
        ModelError: the host's part could change the order of the values, or their scales have no common grid.
    """
    tensor = graph.output_tensor
    _check_epilogue(graph)
    factors, offsets = _integers(graph)
    # Class k of the file is element order[k] of the tensor.
    order = graph.layouts[graph.output].reshape(-1)
    if not np.array_equal(order, np.arange(tensor.size)):
        raise ModelError(f"Output {graph.output!r} must be one vector to be decided on, not {list(tensor.shape)}")
    name = f"{graph.output}_argmax"
    top = Top(name, (graph.output,), name, factors, offsets, 1, (1,))
    nothing = HostFunction(b"", (), np.arange(1), (1,))
    layout = np.zeros((1, 1), np.int64)
    return replace(
        graph,
        operators=(*graph.operators, top),
        tensors={**graph.tensors, name: top.infer((tensor,))},
        layouts={**graph.layouts, name: layout},
        output=name,
        epilogue=nothing,
        output_shape=(1,),
        model=_with_argmax(graph, name),
    )


def _check_epilogue(graph: Graph) -> None:
    if not graph.epilogue.model:
        return
    model = onnx.ModelProto.FromString(graph.epilogue.model)
    constants = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in ORDER_KEEPING:
            continue
        number = constants.get(node.input[1]) if len(node.input) == 2 else None
        shifts = node.op_type in ("Add", "Sub") and number is not None and number.size == 1
        scales = node.op_type in ("Mul", "Div") and number is not None and number.size == 1 and number.min() > 0
        if not (shifts or scales):
            raise ModelError(
                f"Operators behind the output {graph.output!r} must keep the order of its values to be decided on, "
                f"such as {', '.join(sorted(ORDER_KEEPING))}, not {node.op_type} (node {node.name!r}): take it out of "
                "the file, or decide on the host"
            )


def _integers(graph: Graph) -> tuple[Codes, Codes]:
    """Factors and offsets that compare as the real values do.

    Raises:
        ModelError: they are too wide.
    """
    tensor = graph.output_tensor
    n = tensor.size
    scale = spread(tensor.format.scale, n)
    zero = spread(tensor.format.zero_point, n).tolist()
    bias = np.zeros(n) if graph.epilogue.bias is None else spread(graph.epilogue.bias, n).astype(np.float64)
    numbers = np.concatenate([scale, np.where(bias == 0, scale, bias)])
    mantissas, exponents = dyadic(numbers)
    lowest = min(exponents)
    whole = [m << (e - lowest) if e - lowest < 1 << 10 else 0 for m, e in zip(mantissas, exponents, strict=True)]
    factors, shifts = whole[:n], [w if b else 0 for w, b in zip(whole[n:], bias.tolist(), strict=True)]
    common = gcd(*factors, *shifts)
    factors, shifts = [f // common for f in factors], [s // common for s in shifts]
    offsets = [s - z * f for s, z, f in zip(shifts, zero, factors, strict=True)]
    codes = max(abs(limit) for limit in tensor.range)
    bits = (max(factors) * codes + max(map(abs, offsets))).bit_length()
    if bits > MAX_BITS or 0 in factors:
        raise ModelError(
            f"Values of output {graph.output!r} must be comparable as integers of at most {MAX_BITS} bits, not {bits}: "
            "quantize the output or the last bias, or give all channels one scale"
        )
    return np.array(factors, np.int64), np.array(offsets, np.int64)


def _with_argmax(graph: Graph, name: str) -> bytes:
    """The file with ArgMax in the place of what the host would do."""
    if not graph.model:
        return b""
    model = onnx.ModelProto.FromString(graph.model)
    rank = graph.layouts[graph.output].ndim
    node = helper.make_node("ArgMax", [graph.output], [name], name=name, axis=rank - 1, keepdims=1)
    model.graph.node.append(node)
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.INT64, None))
    needed, kept = {name}, []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(kept))
    return model.SerializeToString()
