"""Operators between Dense and Requantize as datapaths: one element at a time, or whole frames."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rtl4ml.cmvm.solve import multiply_matrix
from rtl4ml.datapath.words import Datapath, Word
from rtl4ml.errors import ConfigurationError
from rtl4ml.graph import Graph, Operator, Tensor
from rtl4ml.operators import Add, Concat, Dense, Extreme, Gather, Multiply, Requantize, Top
from rtl4ml.stages.forms import build_form
from rtl4ml.staircase import Form

Codes = NDArray[np.int64]

ELEMENTWISE = (Add, Extreme, Multiply, Requantize)
"""Operators that make element j of elements j."""


def combination_parameters(operator: Operator, tensors: Sequence[Tensor]) -> dict[str, Codes]:
    """Constants of an operator of two tensors by name, int64 (n,) each."""
    n = tensors[0].size
    named: dict[str, NDArray] = {f"zero_{k}": tensor.format.zero_point for k, tensor in enumerate(tensors)}
    if isinstance(operator, Add | Extreme):
        named |= {"left": operator.left, "right": operator.right}
    if isinstance(operator, Extreme):
        named["zero"] = operator.format.zero_point
    return {name: np.broadcast_to(values, (n,)).astype(np.int64) for name, values in named.items()}


def combine(datapath: Datapath, operator: Operator, a: Word, b: Word, parameters: Mapping[str, Word]) -> Word:
    """Add an operator of two tensors to a datapath, for one element.

    Args:
        datapath: where to.
        operator: an Add, Extreme or Multiply.
        a: code of the first tensor.
        b: of the second.
        parameters: those of :func:`combination_parameters`, constants or words.

    Raises:
        ConfigurationError: another operator.
    """
    a = datapath.subtract(a, parameters["zero_0"])
    b = datapath.subtract(b, parameters["zero_1"])
    if isinstance(operator, Multiply):
        return datapath.multiply(a, b)
    if not isinstance(operator, Add | Extreme):
        raise ConfigurationError(f"Node {operator.name!r} must be of two tensors, not a {operator.kind}")
    a, b = datapath.multiply(a, parameters["left"]), datapath.multiply(b, parameters["right"])
    if isinstance(operator, Add):
        return datapath.add(a, b)
    first = datapath.at_least(a, b)
    chosen = datapath.select(first, a, b) if operator.largest else datapath.select(first, b, a)
    return datapath.add(chosen, parameters["zero"])


def build_operator(
    datapath: Datapath, graph: Graph, operator: Operator, inputs: Sequence[list[Word]], forms: Mapping[str, Form]
) -> list[Word]:
    """Add a node to a datapath, all elements side by side; its outputs get the ranges that the graph knows.

    Args:
        datapath: where to.
        graph: where the node is.
        operator: the node.
        inputs: words of each input tensor.
        forms: of the Requantize nodes' staircases by node name.

    Raises:
        ConfigurationError: an operator that has no datapath.
    """
    words = inputs[0]
    tensors = [graph.tensors[name] for name in operator.inputs]
    if isinstance(operator, Dense):
        results = multiply_matrix(datapath, words, operator.weights, operator.effective_bias(tensors[0]))
    elif isinstance(operator, Requantize):
        results = [build_form(datapath, word, forms[operator.name], row) for row, word in enumerate(words)]
    elif isinstance(operator, Gather):
        results = [words[index] for index in operator.indices.tolist()]
    elif isinstance(operator, Concat):
        results = [word for part in inputs for word in part]
    elif isinstance(operator, Top):
        results = _top(datapath, operator, words)
    elif isinstance(operator, ELEMENTWISE):
        columns = combination_parameters(operator, tensors)
        results = []
        for element, (a, b) in enumerate(zip(*inputs, strict=True)):
            constants = {name: datapath.constant(int(values[element])) for name, values in columns.items()}
            results.append(combine(datapath, operator, a, b, constants))
    else:
        raise ConfigurationError(
            f"Node {operator.name!r} of a region must be of a kind with a datapath, not {operator.kind}"
        )
    target = graph.tensors[operator.output]
    ranges = zip(results, target.low.tolist(), target.high.tolist(), strict=True)
    return [datapath.narrow(word, low, high) for word, low, high in ranges]


def _top(datapath: Datapath, operator: Top, words: list[Word]) -> list[Word]:
    """Rounds of a tournament; the winner of a round does not play in the next."""
    n = len(words)
    factors, offsets = (np.broadcast_to(a, (n,)).tolist() for a in (operator.factors, operator.offsets))
    values = [
        datapath.add(datapath.multiply(word, datapath.constant(factor)), datapath.constant(offset))
        for word, factor, offset in zip(words, factors, offsets, strict=True)
    ]
    out = datapath.constant(min(value.low for value in values) - 1)
    winners = []
    for round_ in range(operator.count):
        players = [(value, datapath.constant(index)) for index, value in enumerate(values)]
        while len(players) > 1:
            # Neighbours meet, so the first of a pair has the lower numbers: it wins a tie.
            pairs = list(zip(players[::2], players[1::2], strict=False))
            rest = players[2 * len(pairs) :]
            players = [_duel(datapath, a, b) for a, b in pairs] + rest
        winner = players[0][1]
        winners.append(winner)
        if round_ < operator.count - 1:
            values = [
                datapath.select(datapath.equal(winner, datapath.constant(index)), out, value)
                for index, value in enumerate(values)
            ]
    return winners


def _duel(datapath: Datapath, a: tuple[Word, Word], b: tuple[Word, Word]) -> tuple[Word, Word]:
    first = datapath.at_least(a[0], b[0])
    return datapath.select(first, a[0], b[0]), datapath.select(first, a[1], b[1])
