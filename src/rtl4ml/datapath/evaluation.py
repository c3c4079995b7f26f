"""A datapath in NumPy: the meaning of every kind of node, which the hardware must repeat."""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtl4ml.datapath import nodes as kinds
from rtl4ml.datapath.nodes import Node
from rtl4ml.errors import ConfigurationError

_LIMIT = 1 << 63

Values = NDArray[Any]
_MEANING: dict[str, Callable[[Node, list[Values]], Values]] = {
    kinds.ADD: lambda node, x: x[0] + x[1],
    kinds.SUBTRACT: lambda node, x: x[0] - x[1],
    kinds.TERNARY: lambda node, x: x[0] + node.parameter[0] * x[1] + node.parameter[1] * x[2],
    kinds.WEIGHTED: lambda node, x: sum(map(operator.mul, node.parameter[1:], x[1:]), x[0] + node.parameter[0]),
    kinds.SHIFT_LEFT: lambda node, x: x[0] << node.parameter,
    kinds.SHIFT_RIGHT: lambda node, x: x[0] >> node.parameter,
    kinds.LOW_BITS: lambda node, x: x[0] & ((1 << node.parameter) - 1),
    kinds.INVERT: lambda node, x: -1 - x[0],
    kinds.MULTIPLY: lambda node, x: x[0] * x[1],
    kinds.AT_LEAST: lambda node, x: x[0] >= x[1],
    kinds.EQUAL: lambda node, x: x[0] == x[1],
    kinds.SELECT: lambda node, x: np.where(x[0] != 0, x[1], x[2]),
    kinds.CLIP: lambda node, x: np.minimum(np.maximum(x[0], node.low), node.high),
    kinds.NARROW: lambda node, x: x[0],
}


def evaluate(
    nodes: Sequence[Node], outputs: Mapping[str, int], inputs: Mapping[str, NDArray[np.int64]]
) -> dict[str, NDArray[np.int64]]:
    """Computes the values of the ``outputs`` (indices of nodes by name); see :meth:`Datapath.evaluate`."""
    names = {node.parameter for node in nodes if node.kind is kinds.INPUT}
    if names != set(inputs):
        raise ConfigurationError(f"inputs must be {sorted(names)}, not {sorted(inputs)}")
    shape = np.broadcast_shapes(*(np.shape(array) for array in inputs.values()))
    uses = _uses(nodes, outputs.values())
    # Words beyond 64 bits are rare and small: Python's own integers do them.
    wide = any(uses[i] and (node.low < -_LIMIT or node.high >= _LIMIT) for i, node in enumerate(nodes))
    dtype = np.dtype(object) if wide else np.dtype(np.int64)
    values: dict[int, Values] = {}
    for index, node in enumerate(nodes):
        if node.kind is kinds.INPUT:
            array = _checked(node, np.asarray(inputs[node.parameter]))
            if uses[index]:
                values[index] = array.astype(dtype)
            continue
        if not uses[index]:
            continue
        if node.kind is kinds.CONSTANT:
            values[index] = np.asarray(node.low, dtype=dtype)
            continue
        operands = [values[operand] for operand in node.operands]
        if node.kind is kinds.TABLE:
            low = nodes[node.operands[0]].low
            result = np.asarray(node.parameter, dtype=dtype)[(operands[0] - low).astype(np.int64)]
        else:
            result = np.asarray(_MEANING[node.kind](node, operands)).astype(dtype, copy=False)
        if node.kind is kinds.NARROW or node.parameter is kinds.PROVEN:
            _check_range(index, node, result)
        values[index] = result
        for operand in node.operands:
            uses[operand] -= 1
            if not uses[operand]:
                del values[operand]  # a large datapath over many samples would not fit otherwise
    return {
        name: np.array(np.broadcast_to(values[index], shape), dtype=np.int64 if _fits(nodes[index]) else object)
        for name, index in outputs.items()
    }


def _fits(node: Node) -> bool:
    return node.low >= -_LIMIT and node.high < _LIMIT


def _uses(nodes: Sequence[Node], roots: Any) -> list[int]:
    """Returns how often each node is needed for the roots (0: not at all)."""
    uses = [0] * len(nodes)
    for root in roots:
        uses[root] += 1
    for index in range(len(nodes) - 1, -1, -1):
        if uses[index]:
            for operand in nodes[index].operands:
                uses[operand] += 1
    return uses


def _checked(node: Node, array: Values) -> Values:
    if array.dtype.kind not in "iu" and array.dtype != object:
        raise ConfigurationError(f"values of input {node.parameter!r} must be integers, not {array.dtype}")
    if array.size and (array.min() < node.low or array.max() > node.high):
        raise ConfigurationError(
            f"values of input {node.parameter!r} must be in [{node.low}, {node.high}],"
            f" not in [{array.min()}, {array.max()}]"
        )
    return array


def _check_range(index: int, node: Node, array: Values) -> None:
    if array.size and (array.min() < node.low or array.max() > node.high):
        raise ConfigurationError(
            f"word {index} must stay in [{node.low}, {node.high}] as promised, not reach [{array.min()}, {array.max()}]"
        )
