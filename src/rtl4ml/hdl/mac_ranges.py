"""Ranges of the products and sums of a tile, from the weights it has or from those it may get."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl4ml.hdl.mac_products import Product, ProductKind

Codes = NDArray[np.int64]

Products = Mapping[tuple[int, int], Product]


@dataclass(frozen=True, eq=False)
class AnyWeights:
    """What a tile must be wide enough for when its weights may change.

    Parameters:
        values: int64 (k,), ascending: each weight is one of them, or 0 where there is no element.
        present: bool (G, S) or (G, P, S), where there is an element.
        low: int64 (H, P), lowest final accumulator with any of these weights and biases.
        high: int64 (H, P), highest.
    """

    values: Codes
    present: NDArray[np.bool_]
    low: Codes
    high: Codes

    def places(self, outputs: int) -> NDArray[np.bool_]:
        """Where there is an element, bool (G, P, S)."""
        present = self.present if self.present.ndim == 3 else self.present[:, None, :]
        return np.broadcast_to(present, (present.shape[0], outputs, present.shape[2]))


def corrections(products: Products, weights: Codes) -> Codes:
    """What the values of the products lack of `element * weight`, int64 (H, G, P, S)."""
    result = np.zeros_like(weights)
    for (p, s), product in products.items():
        if product.kind is ProductKind.LOGIC:
            result[:, :, p, s] = product.correction(weights[:, :, p, s])
    return result


def value_ranges(
    products: Products, weights: Codes, low: Codes, high: Codes, any_weights: AnyWeights | None
) -> tuple[Codes, Codes]:
    """Lowest and highest value of each product in each pass, int64 (H, G, P, S) each.

    Args:
        products: by position (p, s); where there is none, the value is 0.
        weights: int64 (H, G, P, S).
        low: int64 (H, G, S), lowest code of each element.
        high: int64 (H, G, S), highest.
        any_weights: what the weights may become; None: they stay.
    """
    if any_weights is None:
        ends = weights * low[:, :, None, :], weights * high[:, :, None, :]
        missing = corrections(products, weights)
        return np.minimum(*ends) - missing, np.maximum(*ends) - missing
    ranges = np.zeros((2, *weights.shape), np.int64)
    of_element: dict[tuple[int, Product], tuple[Codes, Codes]] = {}
    for (p, s), product in products.items():
        if (s, product) not in of_element:
            values = any_weights.values
            if product.kind is ProductKind.MULTIPLIER:
                values = values[[0, -1]]
            ends_of = low[:, :, s, None] * values, high[:, :, s, None] * values
            correction = product.correction(values)
            of_element[s, product] = (
                (np.minimum(*ends_of) - correction).min(axis=2),
                (np.maximum(*ends_of) - correction).max(axis=2),
            )
        ranges[:, :, :, p, s] = of_element[s, product]
    ranges *= any_weights.places(weights.shape[2])
    return ranges[0], ranges[1]


def end_ranges(
    start: Codes, lows: Codes, highs: Codes, any_weights: AnyWeights | None
) -> tuple[Codes, Codes, Codes, Codes]:
    """Ranges of what accumulators start from and of what they end with: low, high, low, high, int64 (H, P) each.

    Args:
        start: int64 (H, P), from the weights there are.
        lows: int64 (H, G, P), lowest sum of the values of each word.
        highs: int64 (H, G, P), highest.
        any_weights: what the weights may become; None: they stay.
    """
    low, high = lows.sum(axis=1), highs.sum(axis=1)
    if any_weights is None:
        return start, start, start + low, start + high
    # start = accumulator - values, whatever the weights are.
    final_low, final_high = any_weights.low, any_weights.high
    return final_low - high, final_high - low, final_low, final_high
