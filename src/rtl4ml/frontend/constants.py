"""Constants of the file: quantized ones keep their codes; others get the coarsest grid that holds them."""

import math

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes
from rtl4ml.frontend.quantizer import MAX_CONSTANT_BITS, AnyQuantizer
from rtl4ml.frontend.values import Constant

MAX_RECOVERED_BITS = 16


def quantize_constant(value: NDArray, quantizer: AnyQuantizer) -> Constant:
    """A constant behind a quantizer: its value as the executor computes it, its codes less the zero point, its scale.

    Raises:
        ModelError: the constant is not finite, or wider than the hardware's constants.
    """
    if not np.all(np.isfinite(value)):
        bad = value.reshape(-1)[~np.isfinite(value.reshape(-1))][0]
        raise ModelError(f"Constants into node {quantizer.node!r} ({quantizer.operator}) must be finite, not {bad}")
    if quantizer.width > MAX_CONSTANT_BITS:
        raise ModelError(
            f"Bit width of node {quantizer.node!r} ({quantizer.operator}) must be at most {MAX_CONSTANT_BITS} on "
            f"constants, not {quantizer.width}"
        )
    codes = quantizer.codes(value) - np.asarray(quantizer.code_zero_point).astype(np.int64)
    scale = np.broadcast_to(np.asarray(quantizer.code_scale, np.float64), codes.shape)
    return Constant((codes.astype(np.float32) * quantizer.code_scale).astype(np.float32), codes, scale)


def _coarsest(values: NDArray[np.float64]) -> tuple[Codes, float] | None:
    """Integers and the largest scale with `values == integers * scale`, or None when they need more than 16 bits."""
    nonzero = values[values != 0]
    if not len(nonzero):
        return np.zeros(values.shape, np.int64), 1.0
    mantissa, exponent = np.frexp(nonzero)
    integer = (mantissa * 2.0**24).astype(np.int64)  # float32 mantissas: 24 bits
    trailing = np.array([(int(i) & -int(i)).bit_length() - 1 for i in np.abs(integer)])
    lowest = int((exponent - 24 + trailing).min())
    if int(exponent.max()) - lowest > 60:
        return None
    whole = np.ldexp(values, -lowest).astype(np.int64)
    divisor = math.gcd(*(int(w) for w in np.unique(np.abs(whole))))
    whole = whole // divisor
    if max(int(whole.max()).bit_length() + 1, (-int(whole.min())).bit_length() + 1) > MAX_RECOVERED_BITS:
        return None
    return whole, float(np.ldexp(float(divisor), lowest))


def recover_grid(constant: Constant, node: str, operator: str) -> Constant:
    """Codes for a constant without a quantizer: one grid, or one for each column (last axis).

    Raises:
        ModelError: it is not finite, or no grid holds it in 16 bits or fewer.
    """
    if constant.codes is not None:
        return constant
    values = np.asarray(constant.value, np.float64)
    if not np.all(np.isfinite(values)):
        bad = values.reshape(-1)[~np.isfinite(values.reshape(-1))][0]
        raise ModelError(f"Constants of node {node!r} ({operator}) must be finite, not {bad}")
    found = _coarsest(values.reshape(-1))
    if found is not None:
        codes, scale = found
        return Constant(constant.value, codes.reshape(values.shape), np.full(values.shape, scale))
    codes, scales = np.zeros(values.shape, np.int64), np.zeros(values.shape)
    for column in range(values.shape[-1]):
        found = _coarsest(values[..., column].reshape(-1))
        if found is None:
            raise ModelError(
                f"Weights of node {node!r} ({operator}) must be quantized, or lie on a grid of {MAX_RECOVERED_BITS} "
                "bits or fewer: they do not; put a "
                "Quant node on them"
            )
        codes[..., column], scales[..., column] = found[0].reshape(values.shape[:-1]), found[1]
    return Constant(constant.value, codes, scales)
