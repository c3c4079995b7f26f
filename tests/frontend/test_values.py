"""Parameters that repeat with the channels."""

import numpy as np
import pytest

from rtl4ml.frontend.selection import arranged
from rtl4ml.frontend.values import (
    alike,
    is_permutation,
    limits_of,
    of_period,
    period_of,
    picked,
    shortened,
    to_source_order,
)


def last(shape):
    """Layout of channels that are second in the file and last in the graph."""
    n, c, *rest = shape
    return np.moveaxis(np.arange(int(np.prod(shape))).reshape(n, *rest, c), -1, 1)


def test_shortened():
    assert shortened(np.array([1, 2, 1, 2]), 2).tolist() == [1, 2]
    assert shortened(np.array([1, 2, 1, 3]), 2).tolist() == [1, 2, 1, 3]
    assert shortened(np.array([1, 2]), 4).tolist() == [1, 2]
    assert shortened(np.array([1, 2, 1]), 2).tolist() == [1, 2, 1]


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (3, 1, 1), (1, 3, 4, 2), (4, 2), (2,), (1, 1, 4, 1)])
def test_source_order(shape):
    """Whichever way it is found, element e of the source has entry e % k."""
    order = last((1, 3, 4, 2))
    parameter = np.random.default_rng(0).normal(size=shape)
    found = to_source_order(parameter, order, 24, 3)
    whole = to_source_order(parameter, order, 24)
    assert np.array_equal(np.tile(found, 24 // found.size), whole)
    assert whole[order].tolist() == np.broadcast_to(parameter, order.shape).tolist()
    assert (found.size == 3) == (shape in ((1, 3, 1, 1), (3, 1, 1)))


def test_single_numbers_have_no_shape():
    assert to_source_order(np.ones((1, 1, 1)), last((1, 3, 4, 2)), 24, 3).shape == ()


def test_picked():
    assert picked(np.array([1, 2]), np.array([0, 3, 2, 1]), 2).tolist() == [1, 2]
    assert picked(np.array([1, 2, 3, 4]), np.array([3, 0]), 2).tolist() == [4, 1]
    assert picked(np.array([1, 2]), None, 2).tolist() == [1, 2]
    assert picked(np.array(7), np.array([0, 0]), 2) == 7


def test_periods():
    assert period_of([np.array(1.0), np.array([2, 2, 2, 2])], 12, 4) == 1
    assert period_of([np.array([1, 2]), np.array(1)], 12, 4) == 4
    assert period_of([np.tile([1, 2, 3, 4], 3)], 12, 4) == 4
    assert period_of([np.arange(12)], 12, 4) == 12
    assert of_period(np.array([1, 2]), 4).tolist() == [1, 2, 1, 2]
    assert of_period(np.array([5, 5, 5, 5]), 1).shape == ()
    assert of_period(np.arange(12), 4).tolist() == [0, 1, 2, 3]
    low, high = limits_of(np.array([1, 5, 0, 7]), np.array([1, 5, 3, 9]), 2)
    assert (low.tolist(), high.tolist()) == ([0, 5], [3, 9])
    assert limits_of(np.array([1]), np.array([2]), 2)[0].tolist() == [1, 1]


def test_alike():
    first, second, third = alike(np.array(1), np.array([1, 2]), np.array([1, 2, 3, 4]))
    assert (first.shape, second.tolist(), third.tolist()) == ((), [1, 2, 1, 2], [1, 2, 3, 4])


def test_permutations():
    assert is_permutation(np.array([[2, 0], [1, 3]]))
    assert not is_permutation(np.array([0, 0]))
    assert not is_permutation(np.array([0, 2]))
    assert not is_permutation(np.array([-1, 0]))


def test_arranged():
    assert arranged(last((1, 3, 4, 2))) == (0, 2, 3, 1)
    assert arranged(np.arange(24).reshape(1, 3, 4, 2)) == (0, 1, 2, 3)
    assert arranged(last((1, 3, 1, 1))) == (0, 1, 2, 3)
    assert arranged(last((1, 3, 4, 2))[:, :, ::-1, 1:]) == (0, 2, 3, 1)
