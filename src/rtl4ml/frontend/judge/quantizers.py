"""Codes of quantizer nodes: the integers that qonnx computes on the way to its float32 outputs.

The formulas are those of qonnx 1.0.0 (`custom_op/general/intquant.py`, `bipolar_quant.py`, `trunc.py`), stopped
before the last step, in the data types that the file's own tensors have there.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from qonnx.custom_op.general.intquant import max_int, min_int, resolve_rounding_mode

from rtl4ml.errors import ModelError
from rtl4ml.frontend.judge.arrays import Array, IntArray

_SMALLEST, _LARGEST = -(2.0**62), 2.0**62


def integers(values: Array, what: str) -> IntArray:
    """Convert whole numbers held in floats to int64.

    Raises:
        ModelError: a value is NaN, or too large for 62 bits.
    """
    if values.size and not (values.min() >= _SMALLEST and values.max() <= _LARGEST):  # false for NaN as well
        raise ModelError(f"codes of {what} must be integers of at most 62 bits, not NaN or larger")
    return values.astype(np.int64)


def intquant_codes(
    x: Array, scale: Array, zero_point: Array, bits: Array, signed: int, narrow: int, rounding_mode: str
) -> Array:
    """Return what `int_quant` has after rounding and before re-scaling."""
    y = x / scale + zero_point
    if bits == 1 and signed:
        return np.where(y >= 0.0, np.ones_like(y), -np.ones_like(y))
    low, high = np.asarray(min_int(signed, narrow, bits)), np.asarray(max_int(signed, narrow, bits))
    y = np.where(y > high, high.astype(y.dtype), y)
    y = np.where(y < low, low.astype(y.dtype), y)
    rounded: Array = resolve_rounding_mode(rounding_mode)(y)
    return rounded


def bipolar_codes(x: Array) -> Array:
    """Return +1 where `BipolarQuant` gives `+scale`, else -1."""
    return np.where(x >= 0.0, np.ones_like(x), -np.ones_like(x))


class Truncation:
    """One Trunc node: the same as `Quantizer`.

    Args:
        name: the node's output, for messages.
        attribute: the node's attribute of a name, qonnx's default where the file has none.
        version: of the operator.
    """

    def __init__(self, name: str, attribute: Callable[[str], Any], version: int):
        self.name, self.version = name, version
        self.rounding_mode = str(attribute("rounding_mode"))
        if version > 1:
            self.signed, self.narrow = int(attribute("signed")), int(attribute("narrow"))

    def _divisor(self, parameters: list[Array]) -> Array:
        """What the codes are divided by, from the node's inputs but X."""
        if self.version == 1:
            scale: Array = 2.0 ** (parameters[2] - parameters[3])
            return scale
        return np.asarray(2 ** np.round(np.log2(parameters[3] / parameters[0])))

    def codes(self, inputs: list[Array]) -> IntArray:
        """Codes from the node's inputs (X, scale, zero point, input bits, [output scale,] output bits).

        Raises:
            ModelError: a code is NaN.
        """
        x, scale, zero_point = inputs[:3]
        with np.errstate(all="ignore"):
            y = np.round(x / scale + zero_point) / self._divisor(inputs[1:])
            if self.version > 1:
                low = np.asarray(min_int(self.signed, self.narrow, inputs[5]))
                high = np.asarray(max_int(self.signed, self.narrow, inputs[5]))
                y = np.where(y > high, high.astype(y.dtype), y)
                y = np.where(y < low, low.astype(y.dtype), y)
            return integers(resolve_rounding_mode(self.rounding_mode)(y), self.name)

    def values(self, codes: IntArray, inputs: list[Array]) -> Array:
        """The node's output for given codes; inputs as for `codes`."""
        scale, zero_point = self.format(inputs[1:])
        return np.asarray((codes.astype(np.result_type(*inputs[:3])) - zero_point) * scale)

    def format(self, parameters: list[Array]) -> tuple[Array, Array]:
        """Return scale and zero point of the codes, from the node's inputs but X."""
        if self.version == 1:
            return parameters[0], parameters[1]
        return parameters[3], np.asarray(parameters[1] / self._divisor(parameters))


class Quantizer:
    """One Quant, IntQuant or BipolarQuant node: codes from inputs, values from codes.

    Args:
        op_type: the operator.
        name: the node's output, for messages.
        attribute: the node's attribute of a name, qonnx's default where the file has none.
    """

    OPERATORS = ("Quant", "IntQuant", "BipolarQuant")

    def __init__(self, op_type: str, name: str, attribute: Callable[[str], Any]):
        self.name = name
        self.bipolar = op_type == "BipolarQuant"
        if not self.bipolar:
            self.signed = int(attribute("signed"))
            self.narrow = int(attribute("narrow"))
            self.rounding_mode = str(attribute("rounding_mode"))

    def codes(self, inputs: list[Array]) -> IntArray:
        """Codes from the node's inputs (X, scale and, but for BipolarQuant, zero point and bit width).

        Raises:
            ModelError: a code is NaN.
        """
        if self.bipolar:
            return integers(bipolar_codes(inputs[0]) * np.ones_like(inputs[1]), self.name)
        x, scale, zero_point, bits = inputs
        with np.errstate(all="ignore"):
            y = intquant_codes(x, scale, zero_point, bits, self.signed, self.narrow, self.rounding_mode)
        return integers(y, self.name)

    def values(self, codes: IntArray, inputs: list[Array]) -> Array:
        """The node's float32 output for given codes; inputs as for `codes` (of X, the data type alone is read)."""
        if self.bipolar:
            return codes.astype(inputs[0].dtype) * inputs[1]
        x, scale, zero_point, _ = inputs
        y = codes.astype(np.result_type(x, scale, zero_point))
        return np.asarray((y - zero_point) * scale).astype(np.float32)

    def format(self, parameters: list[Array]) -> tuple[Array, Array]:
        """Return scale and zero point among the node's inputs but X, as the file has them."""
        return parameters[0], np.zeros(()) if self.bipolar else parameters[1]
