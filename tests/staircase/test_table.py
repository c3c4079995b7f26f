import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl4ml.planning.forms import TABLE_ENTRIES, candidates, choose
from rtl4ml.staircase import (
    StepForm,
    TableForm,
    difference,
    fit_affine,
    fit_shift,
    fit_steps,
    fit_table,
    fit_thresholds,
)
from tests.staircase.build import differences, everywhere, staircase_of

FUNCTIONS = st.lists(
    st.tuples(st.integers(-40, 0), st.lists(st.integers(-9, 9), min_size=1, max_size=50)), min_size=1, max_size=4
)


def build(rows):
    """A staircase of any functions at all, each on its own domain."""
    functions = [lambda x, low=low, codes=codes: codes[x - low] for low, codes in rows]
    return staircase_of(functions, [low for low, _ in rows], [low + len(codes) - 1 for low, codes in rows])


def up_and_down(rows=1):
    def bump(x):
        return 5 - abs(x) // 10

    return staircase_of([bump] * rows, [-60] * rows, [70] * rows)


@settings(max_examples=80)
@given(FUNCTIONS)
def test_steps_and_tables_hold_any_function(rows):
    staircase = build(rows)
    assert differences(staircase, staircase) == 0
    assert differences(fit_steps(staircase), staircase) == 0
    table = fit_table(staircase, 64)
    assert table is not None and differences(table, staircase) == 0
    for candidate in candidates(staircase, multiplexed=len(rows) > 1):
        assert differences(candidate.form, staircase) == 0


@settings(max_examples=60)
@given(FUNCTIONS, st.integers(0, 50), st.integers(0, 50))
def test_reach_is_what_a_part_of_the_domain_gives(rows, cut_low, cut_high):
    staircase = build(rows)
    low = np.minimum(staircase.low + cut_low, staircase.high)
    high = np.maximum(staircase.high - cut_high, low)
    least, most = staircase.reach(low, high)
    for row in range(staircase.rows):
        x, y = everywhere(staircase, row)
        inside = y[(x >= low[row]) & (x <= high[row])]
        assert (least[row], most[row]) == (inside.min(), inside.max())


@settings(max_examples=60)
@given(FUNCTIONS, st.data())
def test_a_difference_turns_one_staircase_into_the_other(rows, data):
    staircase = build(rows)
    changed = [(low, [code + data.draw(st.sampled_from([0, 0, 0, 1, -1])) for code in codes]) for low, codes in rows]
    other = build(changed)
    found = difference(staircase, other)
    for row in range(staircase.rows):
        x, y = everywhere(staircase, row)
        theirs = everywhere(other, row)[1]
        table = np.repeat(staircase.low[None], len(x), axis=0)
        table[:, row] = x
        ours = np.stack([staircase.at(r, table[:, r]) for r in range(staircase.rows)], axis=1)
        assert np.array_equal(found.other_codes(table, ours)[:, row], theirs)
        assert int((found.last - found.first + 1)[found.row == row].sum()) == np.count_nonzero(y != theirs)
    assert found.count == sum(np.count_nonzero(np.array(a[1]) != b[1]) for a, b in zip(rows, changed, strict=True))


def test_forms_for_lines_refuse_what_turns():
    staircase = up_and_down()
    assert not staircase.monotone
    assert fit_shift(staircase) is None
    assert fit_affine(staircase) is None
    assert fit_thresholds(staircase) is None
    assert (staircase.code_low, staircase.code_high) == (-2, 5)


def test_one_row_that_turns_is_enough():
    staircase = staircase_of([lambda x: x // 4, abs], [-8, -8], [8, 8])
    assert not staircase.monotone
    assert fit_shift(staircase) is None and fit_affine(staircase) is None and fit_thresholds(staircase) is None


def test_a_table_of_a_wide_domain_is_refused():
    staircase = staircase_of([lambda x: x >= 0], [0], [TABLE_ENTRIES])
    assert fit_table(staircase, TABLE_ENTRIES) is None
    assert fit_table(staircase, TABLE_ENTRIES + 1) is not None


def test_beyond_its_domain_a_table_repeats_its_ends():
    table = TableForm(np.array([-1]), np.array([[7, 8, 9]]))
    assert table.evaluate(np.array([[-5], [-1], [0], [1], [6]]))[:, 0].tolist() == [7, 7, 8, 9, 9]


@pytest.mark.parametrize("multiplexed", [False, True])
@pytest.mark.parametrize("rows", [1, 3])
def test_few_steps_on_a_wide_domain_are_compared(multiplexed, rows):
    wide = staircase_of([lambda x: 3 if 1000 <= x < 9000 else -2] * rows, [-20000] * rows, [20000] * rows)
    form = choose(wide, multiplexed=multiplexed)
    assert isinstance(form, StepForm) and form.levels == 2


@pytest.mark.parametrize("multiplexed", [False, True])
def test_many_codes_of_a_narrow_domain_are_looked_up(multiplexed):
    narrow = staircase_of([lambda x: (x * 37) % 64], [-32], [31])
    assert isinstance(choose(narrow, multiplexed=multiplexed), TableForm)


def test_steps_of_many_codes_are_steps_not_thresholds():
    staircase = staircase_of([lambda x: 1000 * (x >= 0) + 30000 * (x >= 70000)], [-100000], [100000])
    assert isinstance(choose(staircase, multiplexed=False), StepForm)
