import numpy as np

from rtl4ml.cmvm.digits import Bounds, digit_counts, signed_masks
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


def test_digits_are_counted():
    assert digit_counts(np.array([[7, 0], [-2, 85]])).tolist() == [[2, 0], [1, 4]]


def test_bounds_are_reached():
    bounds = Bounds(np.array([-8, 0, 3]), np.array([7, 5, 4]))
    assert bounds.of(np.array([2, -3, 1])) == (-16 - 15 + 3, 14 + 4)
    assert bounds.of(np.array([0, 0, 0])) == (0, 0)
