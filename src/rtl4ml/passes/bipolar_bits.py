"""Bipolar tensors become bits: code -1 is 0 on the wire, code +1 is 1.

1. The input, or a Requantize whose codes are -1 and +1, is packed when its format is bipolar and every node that reads
   it is a Dense.
2. A packed tensor's staircase gives bits.
3. A Dense that reads one takes `x = 2 * bit - 1`: its weights double, its bias loses the sum of each column. So its
   accumulators stay what they were.

Nothing else changes: names, accumulators, all other tensors.
"""

from dataclasses import replace

import numpy as np

from rtl4ml.formats import Codes, Format
from rtl4ml.graph import Graph, Operator, Tensor
from rtl4ml.operators import Dense, Requantize


def to_bits(codes: Codes) -> Codes:
    """Codes -1 and +1 as bits."""
    return (codes + 1) >> 1


def from_bits(bits: Codes) -> Codes:
    """Bits as codes -1 and +1."""
    return 2 * bits - 1


def packable(graph: Graph) -> frozenset[str]:
    """Names of the tensors that can be bits."""
    makers = {operator.output: operator for operator in graph.operators}
    return frozenset(
        name
        for name, tensor in graph.tensors.items()
        if tensor.format.bipolar
        and (name == graph.input or isinstance(makers.get(name), Requantize))
        and all(isinstance(reader, Dense) for reader in graph.consumers(name))
    )


def pack_bipolar(graph: Graph) -> Graph:
    """The graph with bits for all tensors of :func:`packable`."""
    names = packable(graph)
    if not names:
        return graph
    operators = [_packed(graph, operator, names) for operator in graph.operators]
    # Ranges are known: inferring them anew would forget how a new bias and new weights depend on each other.
    tensors = {name: _bits_tensor(tensor) if name in names else tensor for name, tensor in graph.tensors.items()}
    return replace(graph, operators=tuple(operators), tensors=tensors)


def _bits_format(source: Format) -> Format:
    """One bit. Scale and zero point have no part in the hardware; the zero would lie between both codes."""
    return Format(1, False, source.scale)


def _bits_tensor(tensor: Tensor) -> Tensor:
    return replace(tensor, format=_bits_format(tensor.format), low=to_bits(tensor.low), high=to_bits(tensor.high))


def _packed(graph: Graph, operator: Operator, names: frozenset[str]) -> Operator:
    if isinstance(operator, Requantize) and operator.output in names:
        staircase = operator.staircase
        codes = tuple(to_bits(row) for row in staircase.codes)
        staircase = replace(staircase, first=to_bits(staircase.first), codes=codes)
        return replace(operator, staircase=staircase, format=_bits_format(operator.format))
    if isinstance(operator, Dense) and operator.inputs[0] in names:
        bias = operator.effective_bias(graph.tensors[operator.inputs[0]])
        columns = operator.weights.sum(axis=0, dtype=np.int64)
        limits = operator.limits and replace(operator.limits, values=2 * operator.limits.values)
        return replace(operator, weights=2 * operator.weights, bias=bias - columns, limits=limits)
    return operator
