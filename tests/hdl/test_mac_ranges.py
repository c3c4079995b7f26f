import itertools

import numpy as np
import pytest

from rtl4ml.hdl.mac_products import classify
from rtl4ml.hdl.mac_ranges import AnyWeights, corrections, end_ranges, value_ranges

VALUES = [np.arange(-4, 5), np.array([-1, 1]), np.array([-2, 0, 2]), np.array([0, 1, 2, 3]), np.array([-3, 3])]


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("limits", [(0, 1), (-2, 3), (-1, 0), (2, 2)])
def test_ranges_of_values(values, limits):
    low, high = (np.full((2, 3, 1), limit) for limit in limits)
    weights = np.random.default_rng(0).choice(values, (2, 3, 1, 1))
    product = classify(values, *limits)
    products = {(0, 0): product}
    lows, highs = value_ranges(products, weights, low, high, None)
    missing = corrections(products, weights)
    for place in np.ndindex(weights.shape):
        reached = np.arange(limits[0], limits[1] + 1) * weights[place] - missing[place]
        assert (lows[place], highs[place]) == (reached.min(), reached.max())
    present = np.array([[True], [True], [False]])
    sums = np.zeros((2, 1), np.int64)
    lows, highs = value_ranges(products, weights, low, high, AnyWeights(values, present, sums, sums))
    reached = [x * w - product.correction(np.array(w)) for x in range(limits[0], limits[1] + 1) for w in values]
    assert np.array_equal(lows[:, :, 0, 0], np.broadcast_to([min(reached), min(reached), 0], (2, 3)))
    assert np.array_equal(highs[:, :, 0, 0], np.broadcast_to([max(reached), max(reached), 0], (2, 3)))


def test_ends():
    start = np.array([[5]])
    lows, highs = np.array([[[-1], [-2]]]), np.array([[[3], [4]]])
    assert [a.item() for a in end_ranges(start, lows, highs, None)] == [5, 5, 2, 12]
    final = AnyWeights(np.arange(3), np.ones((2, 1), bool), np.array([[-20]]), np.array([[30]]))
    found = [a.item() for a in end_ranges(start, lows, highs, final)]
    assert found == [-27, 33, -20, 30]
    starts = [total - sum(parts) for total in (-20, 30) for parts in itertools.product((-1, 3), (-2, 4))]
    assert (min(starts), max(starts)) == (found[0], found[1])


def test_places_of_elements():
    limits = np.zeros((1, 3), np.int64)
    alike = AnyWeights(np.arange(2), np.array([[True, False]]), limits, limits).places(3)
    assert np.array_equal(alike, np.broadcast_to([[[True, False]]], (1, 3, 2)))
    each = np.eye(3, 2, dtype=bool)[None]
    assert np.array_equal(AnyWeights(np.arange(2), each, limits, limits).places(3), each)
