import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl4ml.formats import Rounding
from rtl4ml.staircase import AffineForm, Staircase, fit_affine
from rtl4ml.staircase.affine import LARGEST_MULTIPLIER, MAX_EXCEPTIONS
from tests.staircase.build import differences, staircase_of
from tests.staircase.test_function import staircases


def clip(value, low, high):
    return max(low, min(high, value))


def line(slope, offset, low=-8, high=7):
    """`clip(floor(slope * x + offset))`, exactly."""
    return lambda x: clip(math.floor(Fraction(slope) * x + Fraction(offset)), low, high)


SLOPES = st.fractions(-2, 2, max_denominator=997)
OFFSETS = st.fractions(-9, 9, max_denominator=64)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(SLOPES, OFFSETS, st.integers(0, 400), st.integers(0, 400)), min_size=1, max_size=3),
    st.sampled_from([(-8, 7), (0, 15), (-2, 1), (-128, 127)]),
)
def test_every_line_is_fitted(channels, limits):
    """Falling and constant rows, domains cut anywhere, saturation on both sides."""
    staircase = staircase_of(
        [line(slope, offset, *limits) for slope, offset, _, _ in channels],
        [-below for *_, below, _ in channels],
        [above for *_, above in channels],
    )
    form = fit_affine(staircase)
    if staircase.steps == 0:
        assert form is None
        return
    assert form is not None
    assert form.exceptions == ((),) * staircase.rows
    assert np.all(np.abs(form.multiplier) <= LARGEST_MULTIPLIER)
    assert differences(form, staircase) == 0


@given(staircases())
def test_whatever_is_fitted_is_equal(staircase):
    form = fit_affine(staircase)
    assert form is None or differences(form, staircase) == 0


def disturbed(function, low, high, moves):
    """A row whose steps come earlier or later than the line says, as float32 makes them on wide accumulators."""
    staircase = staircase_of([function], [low], [high])
    where = staircase.positions[0].copy()
    for index, by in moves.items():
        where[index] += by
    return Staircase(staircase.low, staircase.high, staircase.first, (where,), staircase.codes)


@pytest.mark.parametrize("slope", [Fraction(1, 97), Fraction(-1, 97)])
@pytest.mark.parametrize("moves", [{3: 1}, {3: 1, 9: -1}, {0: 2, 5: -2, 6: 2, 12: -1}])
def test_steps_off_the_line_become_exceptions(slope, moves):
    staircase = disturbed(line(slope, Fraction(1, 3)), -1500, 1500, moves)
    form = fit_affine(staircase)
    assert form is not None
    listed = sum(map(len, form.exceptions))
    assert 0 < listed <= MAX_EXCEPTIONS
    assert differences(form, staircase) == 0


def test_exceptions_belong_to_their_channel():
    plain = staircase_of([line(Fraction(1, 50), 0)], [-600], [600])
    odd = disturbed(line(Fraction(-1, 41), 0), -600, 600, {4: 2, 7: -2})
    both = Staircase(
        *(np.concatenate([getattr(plain, f), getattr(odd, f)]) for f in ("low", "high", "first")),
        plain.positions + odd.positions,
        plain.codes + odd.codes,
    )
    form = fit_affine(both)
    assert form is not None
    assert not form.exceptions[0]
    assert form.exceptions[1]
    assert differences(form, both) == 0


def test_shared_exceptions_apply_to_every_channel():
    form = AffineForm(np.array([1]), np.array([0]), 2, Rounding.FLOOR, -9, 9, (((3, 7), (-5, -8)),))
    x = np.array([[3, 2, -5], [-5, 3, 0]])
    assert form.evaluate(x).tolist() == [[7, 0, -8], [-8, 7, 0]]


def test_float32_on_a_wide_accumulator():
    """Values of a float32 chain on 20-bit accumulators: off the line here and there."""
    scale, bias, step = np.float32(3.1e-6), np.float32(-0.7310585), np.float32(0.0503)
    x = np.arange(-(1 << 19), (1 << 19) + 1)
    y = np.clip(np.round((x.astype(np.float32) * scale + bias) / step), -32, 31).astype(np.int64)
    steps = np.flatnonzero(np.diff(y)) + 1
    staircase = Staircase(x[:1], x[-1:], y[:1], (x[steps],), (y[steps],))
    form = fit_affine(staircase)
    assert form is not None
    assert differences(form, staircase) == 0


def float32_rows(scales, step, reach):
    """`min(round(relu(x * scale) / step), 255)` in float32, for x in [-reach, reach]; a row for each scale."""
    x = np.arange(-reach, reach + 1)
    codes = [np.round(np.maximum(x.astype(np.float32) * np.float32(s), 0) / np.float32(step)) for s in scales]
    y = np.minimum(codes, 255).astype(np.int64)
    steps = [np.flatnonzero(np.diff(row)) + 1 for row in y]
    ends = np.full(len(scales), reach)
    each = zip(y, steps, strict=True)
    return Staircase(-ends, ends, y[:, 0], tuple(x[s] for s in steps), tuple(row[s] for row, s in each))


def test_a_flat_and_a_steep_row_share_a_shift():
    """Without exceptions the flat row would need a shift that the steep row's multiplier has no bits left for."""
    flat, both = (float32_rows(scales, 0.0763, 290_000) for scales in ((7.05e-5,), (7.05e-5, 3.2e-4)))
    alone = fit_affine(flat)
    assert alone is not None
    assert alone.exceptions == ((),)
    form = fit_affine(both)
    assert form is not None
    assert form.shift < alone.shift
    assert int(form.multiplier.max()) <= LARGEST_MULTIPLIER < int(form.multiplier.max()) << (alone.shift - form.shift)
    assert 0 < len(form.exceptions[0]) <= MAX_EXCEPTIONS // 2
    assert form.exceptions[1] == ()
    assert differences(form, both) == 0


@pytest.mark.parametrize("function", [lambda x: round(x**3 / 4000), lambda x: int(np.sign(x) * abs(x) ** 0.5)])
def test_curves_are_no_lines(function):
    assert fit_affine(staircase_of([function], [-80], [80])) is None


def test_multipliers_are_simple():
    """The constant with most trailing zeros is taken."""
    form = fit_affine(staircase_of([line(Fraction(3, 16), 0)], [-60], [60]))
    assert form is not None
    assert form.shift <= 5
    assert form.multiplier[0] % 3 == 0
