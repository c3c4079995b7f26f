"""Operators between Dense and Requantize as datapaths: one element at a time, or whole frames."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rtl4ml.cmvm.solve import multiply_matrix
from rtl4ml.datapath.words import Datapath, Word
from rtl4ml.errors import ConfigurationError
from rtl4ml.graph import Graph, Operator, Tensor
from rtl4ml.operators import Add, Concat, Conv, Dense, Extreme, Gather, Multiply, Pool, Requantize, Top
from rtl4ml.stages.forms import build_form
from rtl4ml.stages.unrolled import build_concat, build_conv, build_gather, build_pool, build_top
from rtl4ml.staircase import Form, ShiftForm

Codes = NDArray[np.int64]

ELEMENTWISE = (Add, Extreme, Multiply, Requantize)
"""Operators that make element j of elements j."""


def combination_parameters(operator: Operator, tensors: Sequence[Tensor]) -> dict[str, Codes]:
    """Constants of an operator of two tensors by name, int64 (k,) each: element e takes entry e % k."""
    named: dict[str, NDArray] = {f"zero_{k}": tensor.format.zero_point for k, tensor in enumerate(tensors)}
    if isinstance(operator, Add | Extreme):
        named |= {"left": operator.left, "right": operator.right}
    if isinstance(operator, Extreme):
        named["zero"] = operator.format.zero_point
    return {name: np.asarray(values).reshape(-1).astype(np.int64) for name, values in named.items()}


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


def _added_later(graph: Graph, dense: Dense, forms: Mapping[str, Form]) -> Codes | None:
    """What a single quantizer adds to each sum before it rounds, int64 (m,); it joins the bias."""
    consumers = graph.consumers(dense.output)
    if len(consumers) != 1 or dense.output == graph.output or not isinstance(consumers[0], Requantize):
        return None
    form = forms[consumers[0].name]
    if not isinstance(form, ShiftForm) or form.sign < 0 or form.left.any():
        return None
    return np.resize(form.offset, dense.weights.shape[1])


def build_operator(
    datapath: Datapath,
    graph: Graph,
    operator: Operator,
    inputs: Sequence[list[Word]],
    forms: Mapping[str, Form],
    ternary: bool = False,
) -> list[Word]:
    """Add a node to a datapath, all elements side by side; its outputs get the ranges that the graph knows.

    Args:
        datapath: where to.
        graph: where the node is.
        operator: the node.
        inputs: words of each input tensor.
        forms: of the Requantize nodes' staircases by node name.
        ternary: whether one carry chain adds three words.

    Raises:
        ConfigurationError: an operator that has no datapath.
    """
    words = inputs[0]
    tensors = [graph.tensors[name] for name in operator.inputs]
    if isinstance(operator, Dense):
        bias, coming = operator.effective_bias(tensors[0]), _added_later(graph, operator, forms)
        results = multiply_matrix(datapath, words, operator.weights, bias, later=coming, ternary=ternary)
    elif isinstance(operator, Requantize):
        results = [build_form(datapath, word, forms[operator.name], row) for row, word in enumerate(words)]
    elif isinstance(operator, Conv):
        results = build_conv(datapath, operator, tensors[0], words, ternary)
    elif isinstance(operator, Pool):
        results = build_pool(datapath, operator, words)
    elif isinstance(operator, Gather):
        results = build_gather(datapath, operator, words)
    elif isinstance(operator, Concat):
        results = build_concat(operator, inputs)
    elif isinstance(operator, Top):
        results = build_top(datapath, operator, words)
    elif isinstance(operator, ELEMENTWISE):
        columns = combination_parameters(operator, tensors)
        results = []
        for element, (a, b) in enumerate(zip(*inputs, strict=True)):
            constants = {
                name: datapath.constant(int(values[element % len(values)])) for name, values in columns.items()
            }
            results.append(combine(datapath, operator, a, b, constants))
    else:
        raise ConfigurationError(
            f"Node {operator.name!r} of a region must be of a kind with a datapath, not {operator.kind}"
        )
    target = graph.tensors[operator.output]
    ranges = zip(results, target.lows.tolist(), target.highs.tolist(), strict=True)
    return [datapath.narrow(word, low, high) for word, low, high in ranges]
