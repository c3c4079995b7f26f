import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtl4ml.formats import Rounding
from rtl4ml.staircase import ShiftForm, fit_shift
from rtl4ml.staircase.shift import reflect
from tests.staircase.build import differences, everywhere, staircase_of
from tests.staircase.test_function import staircases


def toward_even(q):
    return round(q)


MEANING = {
    Rounding.FLOOR: math.floor,
    Rounding.HALF_EVEN: toward_even,
    Rounding.HALF_AWAY: lambda q: int(math.copysign(1, q)) * math.floor(abs(q) + Fraction(1, 2)),
    Rounding.HALF_TOWARD: lambda q: int(math.copysign(1, q)) * math.ceil(abs(q) - Fraction(1, 2)),
    Rounding.AWAY: lambda q: int(math.copysign(1, q)) * math.ceil(abs(q)),
    Rounding.TOWARD: math.trunc,
}


def clip(value, low, high):
    return max(low, min(high, value))


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("shift", [0, 1, 2, 5])
@pytest.mark.parametrize("sign", [1, -1])
def test_rounding_is_what_its_name_says(rounding, shift, sign):
    """Every tie of both signs is in the domain."""
    x = np.arange(-150, 151)
    form = ShiftForm(shift, np.array([0]), np.array([3]), sign, rounding, -4, 3)
    wanted = [clip(MEANING[rounding](Fraction(sign * int(v) + 3, 1 << shift)), -4, 3) for v in x]
    assert form.evaluate(x[:, None])[:, 0].tolist() == wanted
    for dtype in (np.float32, np.float64, np.int64):
        assert form.evaluate_float(x[:, None].astype(dtype), 150)[:, 0].tolist() == wanted


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("limits", [(-4, 3), (0, 7), (-20, 20), (-7, 0)])
@pytest.mark.parametrize("offset", [0, 1, -5, 8])
def test_every_rounding_is_fitted(rounding, sign, limits, offset):
    staircase = staircase_of(
        [lambda x: clip(MEANING[rounding](Fraction(sign * x + offset, 16)), *limits)], [-300], [290]
    )
    form = fit_shift(staircase)
    assert form is not None
    assert (form.shift, form.sign) == (4, sign)
    assert differences(form, staircase) == 0


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(-40, 40), st.integers(0, 90), st.integers(0, 90)),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(list(Rounding)),
    st.sampled_from([1, -1]),
)
def test_channels_whose_scales_differ_by_powers_of_two(channels, rounding, sign):
    functions = [
        lambda x, left=left, offset=offset: clip(
            MEANING[rounding](Fraction((sign * x + offset) << left, 1 << 6)), -8, 7
        )
        for left, offset, _, _ in channels
    ]
    staircase = staircase_of(functions, [-below for _, _, below, _ in channels], [above for *_, above in channels])
    form = fit_shift(staircase)
    if form is not None:
        assert differences(form, staircase) == 0
    # Rows with few steps do not show their slope where saturation cuts them; others must be found.
    if all(len(p) > 5 for p in staircase.positions):
        assert form is not None


def test_left_shifts_differ_between_channels():
    staircase = staircase_of(
        [lambda x: clip(x >> 3, -8, 7), lambda x: clip(x >> 1, -8, 7), lambda x: clip(x << 1, -8, 7)],
        [-70] * 3,
        [70] * 3,
    )
    form = fit_shift(staircase)
    assert form is not None
    assert (form.shift, form.left.tolist()) == (3, [0, 2, 4])
    assert differences(form, staircase) == 0


def test_equal_channels_share_their_parameters():
    staircase = staircase_of([lambda x: x >> 2] * 3, [0] * 3, [20] * 3)
    form = fit_shift(staircase)
    assert form is not None
    assert form.rows == 1


def test_constant_rows_stand_beside_others():
    """Dead neurons: one saturated low, one high, one in the middle."""
    staircase = staircase_of(
        [lambda x: clip(x >> 2, 0, 7), lambda x: 0, lambda x: 7, lambda x: 3], [-50, -50, 40, 0], [50, -9, 90, 0]
    )
    form = fit_shift(staircase)
    assert form is not None
    assert differences(form, staircase) == 0


@given(staircases())
def test_whatever_is_fitted_is_equal(staircase):
    form = fit_shift(staircase)
    assert form is None or differences(form, staircase) == 0


@given(staircases())
def test_reflection(staircase):
    mirrored = reflect(staircase)
    for row in range(staircase.rows):
        x, y = everywhere(staircase, row)
        u, v = everywhere(mirrored, row)
        assert np.array_equal(u[::-1], -x)
        assert np.array_equal(v[::-1], y)


@pytest.mark.parametrize(
    "functions",
    [
        [lambda x: x // 3],  # no power of two
        [lambda x: x >> 2, lambda x: -(x >> 2)],  # one rises, one falls
        [lambda x: int(x >= 3)],  # one step does not show a slope
        [lambda x: (x >> 2) + (x >= 21)],  # a step too many
    ],
)
def test_functions_without_a_shift(functions):
    staircase = staircase_of(functions, [-40] * len(functions), [40] * len(functions))
    assert fit_shift(staircase) is None


def test_wide_accumulators_are_exact():
    """Beyond float64's 53 bits the reference takes integers."""
    form = ShiftForm(30, np.array([0]), np.array([1 << 29]), 1, Rounding.FLOOR, -(1 << 30), 1 << 30)
    x = np.array([[(1 << 55) + (1 << 29) - 1], [(1 << 55) + (1 << 29)], [-(1 << 55) - (1 << 29) - 1]])
    assert form.evaluate_float(x, 1 << 56).tolist() == [[1 << 25], [(1 << 25) + 1], [-(1 << 25) - 1]]
