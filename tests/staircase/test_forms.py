import numpy as np
from hypothesis import given

from rtl4ml.staircase import ThresholdForm, fit_constant, fit_thresholds
from tests.staircase.build import differences, staircase_of
from tests.staircase.test_function import staircases


@given(staircases())
def test_thresholds_equal_every_staircase(staircase):
    form = fit_thresholds(staircase)
    assert isinstance(form, ThresholdForm)
    assert form.rows == staircase.rows
    assert differences(form, staircase) == 0
    assert np.all(np.diff(form.thresholds, axis=1) >= 0)
    low, high = staircase.code_ends
    assert form.levels == (high - low).max()


@given(staircases())
def test_constants_are_found_exactly_where_nothing_steps(staircase):
    form = fit_constant(staircase)
    assert (form is None) == (staircase.steps > 0)
    if form is not None:
        assert differences(form, staircase) == 0


def test_rows_with_fewer_steps_are_padded_beyond_their_domain():
    staircase = staircase_of([lambda x: x // 4, lambda x: 3, lambda x: -(x >= 5)], [0, 0, -2], [15, 7, 9])
    form = fit_thresholds(staircase)
    assert form.thresholds.tolist() == [[4, 8, 12], [8, 8, 8], [5, 10, 10]]
    assert form.base.tolist() == [0, 3, 0]
    assert form.sign.tolist() == [1, 1, -1]


def test_constant_form_broadcasts():
    staircase = staircase_of([lambda x: 3, lambda x: -2], [0, 0], [7, 7])
    form = fit_constant(staircase)
    assert form is not None
    assert form.evaluate(np.zeros((4, 2), np.int64)).tolist() == [[3, -2]] * 4
