"""The border between real values and codes as plain numbers, for twins and drivers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtl4ml.formats import InputFormat, spread
from rtl4ml.frontend.quantizer import IntegerInput, LinearQuantizer, Quantizer
from rtl4ml.graph import Graph


def _values(array: NDArray, shape: tuple[int, ...]) -> list[Any]:
    """A quantizer's parameter for every element at the border, or the one value of all."""
    whole = np.broadcast_to(array, (1, *shape)).reshape(-1)
    return whole[:1].tolist() if np.all(whole == whole[0]) else whole.tolist()


def encoder(graph: Graph) -> dict[str, Any] | None:
    """How real values behind the host's prologue become input codes; None where only the executor can say.

    `order[e]` is the element of the hardware's tensor that element e at the border becomes (None: the same). Arithmetic
    is float32 for the kinds "quant" and "linear", float64 for "fixed".
    """
    owner = getattr(graph.encode, "__self__", None)
    order = graph.prologue.order
    shape = graph.prologue.shape
    common = {
        "shape": list(shape),
        "order": None if np.array_equal(order, np.arange(order.size)) else order.tolist(),
        "prologue": list(graph.prologue.description),
    }
    match owner:
        case Quantizer():
            if owner.scale.dtype != np.float32 or owner.zero_point.dtype != np.float32:
                return None  # a mixture of precisions
            kind: dict[str, Any] = {
                "kind": "bipolar" if owner.bipolar else "quant",
                "scale": _values(owner.scale if owner.divides else np.ones((), np.float32), shape),
                "zero_point": _values(owner.zero_point if owner.divides else np.zeros((), np.float32), shape),
                "low": owner.limits[0],
                "high": owner.limits[1],
                "rounding": owner.rounding_mode,
            }
        case LinearQuantizer() if type(owner) is LinearQuantizer:
            kind = {
                "kind": "linear",
                "scale": _values(owner.scale.astype(np.float32), shape),
                "zero_point": _values(owner.zero_point, shape),
                "low": owner.low,
                "high": owner.high,
            }
        case InputFormat():
            tensor = owner.format
            kind = {
                "kind": "bipolar" if owner.bipolar else "fixed",
                "scale": [1.0],
                "zero_point": [0.0],
                "fraction_bits": owner.fraction_bits,
                "factor": owner.factor,
                "divisor": owner.divisor,
                "low": tensor.low,
                "high": tensor.high,
            }
        case IntegerInput():
            kind = {"kind": "integer", "low": owner.low, "high": owner.high}
        case _:
            return None
    return common | kind


def decoder(graph: Graph) -> dict[str, Any]:
    """How output codes become the real values that the host's epilogue takes.

    `value[e] = float32((codes[order[e]] - zero_point) * scale + bias)`, rounded once.
    """
    tensor, epilogue = graph.output_tensor, graph.epilogue
    n = tensor.size

    def each(array: NDArray) -> list[Any]:
        return array.reshape(-1).tolist() if array.size == 1 else spread(array, n).tolist()

    return {
        "shape": list(epilogue.shape),
        "order": None if np.array_equal(epilogue.order, np.arange(n)) else epilogue.order.tolist(),
        "scale": each(tensor.format.scale),
        "zero_point": each(tensor.format.zero_point),
        "bias": None if epilogue.bias is None else each(epilogue.bias),
        "epilogue": list(epilogue.description),
    }
