import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtl4ml.errors import ModelError
from rtl4ml.staircase import Staircase, function
from tests.staircase.build import differences, everywhere, staircase_of


def rows(*functions, low=-40, high=40):
    return staircase_of(functions, [low] * len(functions), [high] * len(functions))


@st.composite
def staircases(draw, max_rows=3):
    """Any monotone rows: falling, constant, with steps of several codes, on domains of their own."""
    low, high, first, positions, codes = [], [], [], [], []
    for _ in range(draw(st.integers(1, max_rows))):
        bottom = draw(st.integers(-60, 40))
        top = bottom + draw(st.integers(0, 60))
        where = sorted(draw(st.sets(st.integers(bottom + 1, top), max_size=9))) if top > bottom else []
        jumps = draw(st.lists(st.integers(1, 3), min_size=len(where), max_size=len(where)))
        sign = draw(st.sampled_from([1, -1]))
        start = draw(st.integers(-9, 9))
        low.append(bottom)
        high.append(top)
        first.append(start)
        positions.append(np.array(where, np.int64))
        codes.append(start + sign * np.cumsum(np.array(jumps, np.int64)))
    return Staircase(np.array(low), np.array(high), np.array(first), tuple(positions), tuple(codes))


@given(staircases())
def test_evaluate_is_the_steps(staircase):
    assert differences(staircase, staircase) == 0


@given(staircases())
def test_every_way_to_evaluate_is_the_steps(staircase):
    for row in range(staircase.rows):
        x, y = everywhere(staircase, row)
        assert np.array_equal(staircase.at(row, x), y)
        alone = Staircase(
            staircase.low[row : row + 1],
            staircase.high[row : row + 1],
            staircase.first[row : row + 1],
            staircase.positions[row : row + 1],
            staircase.codes[row : row + 1],
        )
        for way in (alone._search, alone._look_up, alone._count_steps):
            for dtype in (np.int64, np.float32, np.float64):
                assert np.array_equal(way(x[:, None].astype(dtype))[:, 0], y)


@given(staircases())
def test_code_ends_are_reached(staircase):
    low, high = staircase.code_ends
    for row in range(staircase.rows):
        y = everywhere(staircase, row)[1]
        assert (low[row], high[row]) == (y.min(), y.max())
    assert (staircase.code_low, staircase.code_high) == (low.min(), high.max())


@given(staircases())
def test_corners_hold_both_sides_of_every_step(staircase):
    for row in range(staircase.rows):
        x, y = staircase.corners(row)
        assert np.array_equal(staircase.at(row, x), y)
        assert {staircase.low[row], staircase.high[row]} <= set(x.tolist())
        for where in staircase.positions[row].tolist():
            assert {where - 1, where} <= set(x.tolist())


def test_rows_of_a_batch_of_any_shape():
    staircase = rows(lambda x: x // 8, lambda x: -(x // 5))
    x = np.random.default_rng(0).integers(-40, 41, (4, 3, 2))
    y = staircase.evaluate(x)
    assert np.array_equal(y[..., 0], x[..., 0] // 8)
    assert np.array_equal(y[..., 1], -(x[..., 1] // 5))


def test_a_wide_domain_is_searched():
    top = np.int64(1) << 40
    positions = (np.array([-(top // 2), 5, top // 2]), np.array([0]))
    staircase = Staircase(
        np.array([-top, -top]), np.array([top, top]), np.array([0, 1]), positions, (np.array([1, 2, 9]), np.array([-1]))
    )
    assert staircase._table is None
    x = np.array([[-top, -1], [-(top // 2), 0], [4, top], [5, -top], [top // 2 - 1, 0], [top, 0]])
    assert staircase.evaluate(x).tolist() == [[0, 1], [1, -1], [1, -1], [2, 1], [2, -1], [9, -1]]


def test_wide_codes_stay_integers():
    """Codes over 24 bits would not survive the reference's float32 table."""
    staircase = Staircase(
        np.array([0, 0]), np.array([9, 9]), np.array([0, 0]), (np.array([3]),) * 2, (np.array([2**24 + 1]),) * 2
    )
    assert staircase.evaluate(np.array([[2, 3]])).tolist() == [[0, 2**24 + 1]]


def test_table_entries_are_bounded():
    assert function.TABLE_ENTRIES * 4 <= 1 << 24


@pytest.mark.parametrize(
    ("positions", "codes"),
    [
        ([3, 2], [1, 2]),  # positions do not ascend
        ([2, 2], [1, 2]),
        ([1, 2], [1, 1]),  # no step
        ([0, 2], [1, 2]),  # a step at the domain's low end is not one
        ([1, 10], [1, 2]),  # outside
    ],
)
def test_rows_that_are_no_staircase(positions, codes):
    good = np.array([1]), np.array([1])
    with pytest.raises(ModelError) as caught:
        Staircase(
            np.array([0, 0]),
            np.array([9, 9]),
            np.array([0, 0]),
            (good[0], np.array(positions)),
            (good[1], np.array(codes)),
        )
    assert (
        str(caught.value)
        == "Steps of a staircase must change the code, ascend and lie in its domain, not be as in channel 1"
    )
