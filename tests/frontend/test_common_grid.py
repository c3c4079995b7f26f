from fractions import Fraction

import numpy as np
import pytest

from rtl4ml.frontend.common_grid import LARGEST_FACTOR, approximations, dyadic, exact


def one(x):
    return np.array(float(x))


@pytest.mark.parametrize(
    ("a", "b"), [(0.25, 0.25), (0.25, 2.0), (0.75, 0.625), (3.0, 5.0), (np.float32(0.1), np.float32(0.2))]
)
def test_exact(a, b):
    grid = exact(one(a), one(b))
    for factor, scale in ((grid.left, a), (grid.right, b)):
        assert int(factor) * Fraction(float(grid.scale)) == Fraction(float(scale))


def test_exact_element_by_element():
    grid = exact(np.array([0.25, 0.5, 3.0]), one(0.5))
    assert grid.left.tolist() == [1, 1, 6]
    assert grid.right.tolist() == [2, 1, 1]
    assert grid.scale.tolist() == [0.25, 0.5, 0.5]


def test_no_grid():
    assert exact(one(np.float32(0.1)), one(np.float32(0.37) * 2.0**-30)) is None
    assert exact(one(2.0**-40), one(2.0**40)) is None


def test_dyadic():
    assert dyadic(np.array([0.375, -6.0, 1.0])) == ([3, -3, 1], [-3, 1, 0])


def test_approximations_come_nearer():
    a, b, behind = one(0.1234567), one(0.37), one(0.5)
    errors = []
    for grid in approximations(a, b, behind):
        assert 1 <= int(grid.left) < LARGEST_FACTOR
        errors.append(abs(float(grid.left) * float(grid.scale) / float(a) - 1))
    assert min(errors) < 2.0**-18
    assert errors[0] > errors[15]


def test_small_ratios_come_first():
    grid = next(approximations(one(np.float32(0.1)), one(np.float32(0.3)), one(0.7)))
    assert (int(grid.left), int(grid.right)) == (1, 3)
