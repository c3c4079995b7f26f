"""Weights that are loaded at run time: which numbers they may be, where they lie, the words that load them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rtl4ml.errors import ConfigurationError
from rtl4ml.formats import Codes
from rtl4ml.graph import Graph
from rtl4ml.hdl.mac_plan import MacPlan
from rtl4ml.hdl.weight_ram import WORD_BITS, Table
from rtl4ml.passes.bipolar_bits import pack_bipolar
from rtl4ml.planning.plan import Plan
from rtl4ml.planning.settings import Linear
from rtl4ml.stages.loadable import LoadableStage


def stages_with_tables(plan: Plan) -> dict[int, LoadableStage]:
    """Stages whose weights can be loaded, by position."""
    stages = {index: planned.stage for index, planned in enumerate(plan.stages)}
    return {index: stage for index, stage in stages.items() if isinstance(stage, LoadableStage) and stage.tables}


def address_bits(plan: Plan) -> int:
    """Bits of an address; 0 where nothing can be loaded."""
    return max((stage.address_bits for stage in stages_with_tables(plan).values()), default=0)


def with_weights(
    graph: Graph, weights: Mapping[str, ArrayLike], biases: Mapping[str, ArrayLike] | None = None
) -> Graph:
    """The graph with other weights: what the hardware computes once they are loaded.

    Args:
        graph: of a design with writable weights.
        weights: by layer, codes (n_in, n_out) in the graph's order of elements; layers that are not named stay.
        biases: by layer, codes (n_out,); those of named layers that are left out stay.

    Raises:
        ConfigurationError: an unknown layer, another shape, or numbers beyond the layer's bits.
    """
    layers = {operator.name: operator for operator in graph.operators if isinstance(operator, Linear)}
    biases = biases or {}
    for name in (*weights, *biases):
        if name not in layers:
            raise ConfigurationError(
                f"Layer of new weights must be one of {', '.join(map(repr, layers))}, not {name!r}"
            )
    changed: dict[str, Linear] = {}
    for name, layer in layers.items():
        if name in weights or name in biases:
            new = _codes(weights.get(name, layer.weights), layer.weights.shape, f"Weights of layer {name!r}")
            bias = _codes(biases.get(name, layer.bias), layer.bias.shape, f"Biases of layer {name!r}")
            if layer.limits is None:
                raise ConfigurationError(f"Weights of layer {name!r} must be writable to be changed")
            layer.limits.check(new, bias, name)
            changed[name] = replace(layer, weights=new, bias=bias)
    return replace(graph, operators=tuple(changed.get(operator.name, operator) for operator in graph.operators))


def _codes(values: ArrayLike, shape: tuple[int, ...], what: str) -> Codes:
    array = np.asarray(values)
    if array.shape != shape or array.dtype.kind not in "iu":
        raise ConfigurationError(f"{what} must be integers of shape {shape}, not {array.dtype} of shape {array.shape}")
    return array.astype(np.int64)


def weight_words(
    graph: Graph, plan: Plan, weights: Mapping[str, ArrayLike], biases: Mapping[str, ArrayLike] | None = None
) -> Codes:
    """Writes that load new weights, int64 (writes, 2): address and data. A commit behind them puts them to use.

    A named layer is written whole: the bank that takes the words holds what was loaded the time before last.

    Args:
        graph: of the design.
        plan: of the design.
        weights: as for :func:`with_weights`.
        biases: likewise.

    Raises:
        ConfigurationError: likewise.
    """
    changed = pack_bipolar(with_weights(graph, weights, biases))
    stages = {stage.operators[0]: stage for stage in stages_with_tables(plan).values()}
    parts = [np.zeros((0, 2), np.int64)]
    for operator in changed.operators:
        if isinstance(operator, Linear) and (operator.name in weights or operator.name in (biases or {})):
            bias = operator.effective_bias(changed.tensors[operator.inputs[0]])
            parts.append(stages[operator.name].load(operator.weights, bias))
    return np.concatenate(parts)


def describe(graph: Graph, plan: Plan) -> dict[str, Any] | None:
    """The memory map in plain types, for the metadata; None where nothing can be loaded."""
    stages = stages_with_tables(plan)
    if not stages:
        return None
    layers = {operator.name: operator for operator in graph.operators if isinstance(operator, Linear)}
    return {
        "address_bits": address_bits(plan),
        "data_bits": WORD_BITS,
        "rules": [
            "A word is written at a clock edge with w_valid, w_ready and not w_commit; with w_commit, the load is "
            "committed: it holds for every frame whose first beat is accepted at a later edge.",
            "w_ready is low from a commit until every layer computes with the new weights.",
            "A layer is loaded whole, weights and biases, or not at all.",
            "Row r of a table begins at base + r * pitch; its numbers follow each other, per_word in a word, from the "
            "low bits on; numbers over 32 bits take two words, the low one first.",
            "Weights: row group * words + word; column k is positions[k], an output and an input of the tile. Biases: "
            "row group, column output of the tile. What does not exist: elements 0, outputs as those of group 0.",
            "code: a stored number is weight / 2**shift, or with one_bit 1 for the greater of the two weights, 0 for "
            "the other; start: a stored bias is bias + sum over the weights of the correction that was made to them.",
        ],
        "layers": [_layer(stage, layers[stage.operators[0]]) for stage in stages.values()],
    }


def _layer(stage: LoadableStage, layer: Linear) -> dict[str, Any]:
    plan = stage.plan
    assert isinstance(plan, MacPlan)
    assert stage.tables is not None
    return {
        "name": layer.name,
        "weights": _table(stage.tables[0]),
        "biases": _table(stage.tables[1]),
        "tile": {"outputs": plan.outputs, "inputs": plan.lanes},
        "positions": [list(position) for position in plan.positions],
        "groups": plan.groups,
        "words": plan.words,
        "weight_values": _values(layer),
        "bias_range": _bias_range(layer),
        "products": [_product(plan, p, s) for p, s in plan.positions],
    }


def _table(table: Table) -> dict[str, Any]:
    return {
        "base": table.base,
        "rows": table.rows,
        "pitch": table.pitch,
        "columns": table.columns,
        "bits": table.shape.width,
        "per_word": table.per_word if table.words_each == 1 else 1 / table.words_each,
    }


def _values(layer: Linear) -> list[int]:
    assert layer.limits is not None
    values = layer.limits.values
    return values.tolist() if len(values) == 2 else [int(values[0]), int(values[-1])]


def _bias_range(layer: Linear) -> list[int]:
    assert layer.limits is not None
    return [layer.limits.bias_low, layer.limits.bias_high]


def _product(plan: MacPlan, p: int, s: int) -> dict[str, Any]:
    """How the weights of a position of the tile are stored: shift, or one bit; what each adds to the start."""
    product = plan.products[p, s]
    values = np.array(product.values if len(product.values) <= 4 else product.values[:0], np.int64) << product.shift
    return {
        "shift": product.shift,
        "one_bit": product.coded,
        "corrections": {str(int(v)): int(c) for v, c in zip(values, product.correction(values), strict=True) if c},
    }
