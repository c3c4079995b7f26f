import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtl4ml.sweep.pareto import front, staircase


def test_what_is_beaten_is_off():
    costs = [[1, 9], [2, 5], [2, 6], [3, 5], [4, 1], [5, np.nan]]
    assert front(costs).tolist() == [True, True, False, False, True, False]


def test_equals_stand_together():
    assert front([[1, 2], [1, 2], [1, 3]]).tolist() == [True, True, False]


@pytest.mark.parametrize("costs", [np.zeros((0, 2)), [[np.nan, 1.0]]])
def test_nothing_to_compare(costs):
    assert not front(costs).any()


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=30))
def test_each_off_the_front_is_beaten_by_one_on_it(costs):
    on = front(costs)
    for cost, mine in zip(costs, on, strict=True):
        beaten = [
            all(a <= b for a, b in zip(other, cost, strict=True)) and other != cost
            for other, theirs in zip(costs, on, strict=True)
            if theirs
        ]
        assert any(beaten) != mine


def test_corners_from_left_to_right():
    assert staircase([3, 1, 3], [1, 5, 1]) == ([1, 3], [5, 1])
