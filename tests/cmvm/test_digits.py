import numpy as np

from rtl4ml.cmvm.digits import Bounds, Row, signed_masks, split_columns
from rtl4ml.datapath.nodes import signed_digits


def test_masks_are_the_canonical_signed_digits():
    values = np.arange(-300, 301)
    plus, minus = signed_masks(values)
    np.testing.assert_array_equal(plus - minus, values)
    for value, p, n in zip(values.tolist(), plus.tolist(), minus.tolist(), strict=True):
        assert (p | n, n) == (
            sum(1 << power for power, _ in signed_digits(value)),
            sum(1 << power for power, sign in signed_digits(value) if sign < 0),
        )


def test_columns():
    (first, second) = split_columns(np.array([[7, 0], [-2, 1]]))
    assert first.digits() == [(0, 0, -1), (0, 3, 1), (1, 1, -1)]
    assert second.digits() == [(1, 0, 1)]
    rows = [Row(0, 1, 0, np.array([1, 0])), Row(0, 1, 3, np.array([0, 1]))]
    assert (first.load(rows), second.load(rows)) == (10, 8)


def test_bounds_are_reached():
    bounds = Bounds(np.array([-8, 0, 3]), np.array([7, 5, 4]))
    assert bounds.of(np.array([2, -3, 1])) == (-16 - 15 + 3, 14 + 4)
    assert bounds.of(np.array([0, 0, 0])) == (0, 0)
