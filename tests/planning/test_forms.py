import numpy as np
import pytest
from hypothesis import given

from rtl4ml.planning.forms import candidates, choose
from rtl4ml.staircase import AffineForm, ConstantForm, ShiftForm, StepForm, ThresholdForm
from tests.staircase.build import differences, staircase_of
from tests.staircase.test_function import staircases


def clip(value, low, high):
    return max(low, min(high, value))


@given(staircases())
def test_every_candidate_equals_the_staircase(staircase):
    for multiplexed in (False, True):
        found = candidates(staircase, multiplexed=multiplexed)
        assert found
        for candidate in found:
            assert differences(candidate.form, staircase) == 0
        costs = [c.cost for c in found]
        assert costs == sorted(costs)
        assert all(np.isfinite(c) for c in costs)


@pytest.mark.parametrize("multiplexed", [False, True])
@pytest.mark.parametrize(
    ("function", "form"),
    [
        (lambda x: 3, ConstantForm),
        (lambda x: clip((x + 8) >> 4, -8, 7), ShiftForm),
        (lambda x: clip((11 * x + 300) >> 9, -128, 127), AffineForm),
        (lambda x: int(x >= 17), ThresholdForm),
        (lambda x: int(x >= 17) * 2 - 1, StepForm),
    ],
)
def test_the_obvious_form_is_chosen(function, form, multiplexed):
    staircase = staircase_of([function], [-(1 << 13)], [1 << 13])
    assert isinstance(choose(staircase, multiplexed=multiplexed), form)


def test_the_choice_is_the_cheapest_candidate():
    staircase = staircase_of([lambda x: clip((11 * x + 300) >> 9, -8, 7)], [-2000], [2000])
    found = candidates(staircase, multiplexed=False)
    assert len(found) > 1
    assert type(choose(staircase, multiplexed=False)) is type(found[0].form)


def test_channels_that_take_turns_pay_for_a_multiplier():
    """Two-bit outputs: comparators are cheaper than a DSP block."""
    staircase = staircase_of([lambda x, m=m: clip((m * x) >> 9, 0, 3) for m in (11, 13, 17)], [-400] * 3, [400] * 3)
    assert not isinstance(choose(staircase, multiplexed=True), AffineForm)
