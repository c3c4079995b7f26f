"""The integer graph as JSON: every number that the software twins need, readable without rtl4ml."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.export.ip.border import decoder, encoder
from rtl4ml.graph import Graph, Operator, Tensor
from rtl4ml.operators import Add, Concat, Conv, Dense, Extreme, Gather, Multiply, Pool, Requantize, Top, Window

SCHEMA_VERSION = 1


def _flat(array: NDArray) -> list[Any]:
    return np.asarray(array).reshape(-1).tolist()


def _window(window: Window) -> dict[str, Any]:
    return {
        "in": [window.in_height, window.in_width],
        "out": [window.out_height, window.out_width],
        "kernel": list(window.kernel),
        "stride": list(window.stride),
        "dilation": list(window.dilation),
        "pads": list(window.pads),
    }


def _dense(node: Dense) -> dict[str, Any]:
    return {"weights": node.weights.tolist(), "bias": node.bias.tolist()}


def _conv(node: Conv) -> dict[str, Any]:
    weights = {"weights": node.weights.tolist(), "bias": node.bias.tolist()}
    return {"window": _window(node.window), "groups": node.groups, **weights}


def _requantize(node: Requantize) -> dict[str, Any]:
    staircase = node.staircase
    return {
        "low": staircase.low.tolist(),
        "high": staircase.high.tolist(),
        "first": staircase.first.tolist(),
        "positions": [row.tolist() for row in staircase.positions],
        "codes": [row.tolist() for row in staircase.codes],
    }


PARAMETERS: dict[type[Operator], Callable[[Any], dict[str, Any]]] = {
    Add: lambda node: {"left": _flat(node.left), "right": _flat(node.right)},
    Concat: lambda node: {"blocks": node.blocks},
    Conv: _conv,
    Dense: _dense,
    Extreme: lambda node: {"left": _flat(node.left), "right": _flat(node.right), "largest": node.largest},
    Gather: lambda node: {"indices": node.indices.tolist(), "fill": node.fill},
    Multiply: lambda node: {},
    Pool: lambda node: {"window": _window(node.window)},
    Requantize: _requantize,
    Top: lambda node: {
        "factors": _flat(node.factors),
        "offsets": _flat(node.offsets),
        "count": node.count,
        "blocks": node.blocks,
    },
}
"""How each operator's numbers are written down; periodic arrays as flat lists."""


def _tensor(tensor: Tensor) -> dict[str, Any]:
    kind = tensor.format
    return {
        "shape": list(tensor.shape),
        "low": tensor.low.tolist(),
        "high": tensor.high.tolist(),
        "bits": kind.bits,
        "signed": kind.signed,
        "bipolar": kind.bipolar,
        "scale": _flat(kind.scale),
        "zero_point": _flat(kind.zero_point),
    }


def _operator(operator: Operator) -> dict[str, Any]:
    head = {
        "name": operator.name,
        "kind": operator.kind,
        "inputs": list(operator.inputs),
        "output": operator.output,
    }
    return head | PARAMETERS[type(operator)](operator)


def graph_json(graph: Graph, name: str, version: str) -> str:
    """The graph, one line a tensor and an operator.

    Args:
        graph: what is computed.
        name: of the IP.
        version: of rtl4ml.

    Raises:
        ModelError: an operator of a kind that the twins do not know.
    """
    unknown = [o for o in graph.operators if type(o) not in PARAMETERS]
    if unknown:
        known = ", ".join(kind.__name__ for kind in PARAMETERS)
        raise ModelError(
            f"Node {unknown[0].name!r} must be one of {known} to have a software twin, not {unknown[0].kind}"
        )

    def line(value: object) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    used = dict.fromkeys([graph.input, *(name for o in graph.operators for name in (*o.inputs, o.output))])
    tensors = ",\n".join(f"{line(name)}:{line(_tensor(graph.tensors[name]))}" for name in used)
    operators = ",\n".join(line(_operator(operator)) for operator in graph.operators)
    head = {"schema_version": SCHEMA_VERSION, "name": name, "network": graph.name, "rtl4ml": version}
    fields = [f"{line(key)}:{line(value)}" for key, value in head.items()]
    fields += [
        f'"input":{line(graph.input)}',
        f'"output":{line(graph.output)}',
        f'"encode":{line(encoder(graph))}',
        f'"decode":{line(decoder(graph))}',
        f'"tensors":{{\n{tensors}\n}}',
        f'"operators":[\n{operators}\n]',
    ]
    return "{" + ",\n".join(fields) + "}\n"
