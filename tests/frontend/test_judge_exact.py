from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl4ml.frontend.judge.exact import round_sum, scaled, two_product, two_sum
from tests.frontend.judge_files import nearest_float32

floats32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
scales32 = st.floats(min_value=float(np.float32(2.0**-149)), max_value=float(2.0**100), width=32)
integers = st.one_of(st.integers(-(2**24), 2**24), st.integers(-(2**62), 2**62), st.integers(-3, 3))

moderate = st.floats(-(2.0**400), 2.0**400).filter(lambda v: v == 0 or abs(v) > 2.0**-400)  # no float64 underflow


def test_nearest_float32_agrees_with_numpy_on_floats():
    values = np.random.default_rng(0).normal(size=2000) * 2.0 ** np.random.default_rng(1).integers(-160, 130, 2000)
    with np.errstate(over="ignore", under="ignore"):
        assert [nearest_float32(Fraction(v)) for v in values.tolist()] == values.astype(np.float32).tolist()


@settings(deadline=None)
@given(moderate, moderate)
def test_two_sum_and_two_product_are_exact(a, b):
    total, error = two_sum(np.array(a), np.array(b))
    assert Fraction(float(total)) + Fraction(float(error)) == Fraction(a) + Fraction(b)
    product, error = two_product(np.array(a), np.array(b))
    assert Fraction(float(product)) + Fraction(float(error)) == Fraction(a) * Fraction(b)


@settings(max_examples=1000, deadline=None)
@given(integers, scales32, scales32, floats32, floats32, floats32)
def test_scaled_rounds_once(code, scale_a, scale_b, alpha, beta, bias):
    product = np.array(scale_a) * np.array(scale_b)
    codes = np.array([code], np.int64)
    exact = code * Fraction(scale_a) * Fraction(scale_b)
    assert scaled(codes, [product])[0] == nearest_float32(exact)
    factors = list(two_product(product, np.array(alpha)))
    assert scaled(codes, factors)[0] == nearest_float32(exact * Fraction(alpha))
    expected = nearest_float32(exact * Fraction(alpha) + Fraction(beta) * Fraction(bias))
    assert scaled(codes, factors, np.array(beta) * np.array(bias))[0] == expected


@settings(max_examples=500, deadline=None)
@given(
    st.integers(2**23, 2**24 - 1),
    st.integers(-172, 100),
    st.sampled_from([0, 1, -1]),
    st.integers(30, 400),
    st.sampled_from([1, -1]),
)
def test_ties_and_what_is_next_to_them(mantissa, exponent, nudge, distance, sign):
    # (2 * mantissa + 1) is halfway between two float32 numbers, or, for low exponents, somewhere among subnormal ones.
    tie = float((2 * mantissa + 1) * sign) * 2.0**exponent
    little = nudge * 2.0 ** (exponent - distance)
    expected = nearest_float32(Fraction(tie) + Fraction(little))
    assert round_sum([np.array([tie]), np.array([little])])[0] == expected
    assert round_sum([np.array([little]), np.array([tie])])[0] == expected


@settings(deadline=None)
@given(st.lists(moderate, min_size=1, max_size=9))
def test_sums_of_many_overlapping_terms(terms):
    assert round_sum([np.array([term]) for term in terms])[0] == nearest_float32(sum(map(Fraction, terms)))


def test_cancelling_terms_leave_the_exact_rest():
    terms = [np.array([2.0**100]), np.array([1.0]), np.array([-(2.0**100)]), np.array([2.0**-60])]
    assert round_sum(terms)[0] == np.float32(1)
    assert not np.signbit(scaled(np.array([0]), [np.array(-0.5)])[0])


def test_subnormal_ties_round_to_even():
    least = 2.0**-149
    codes = np.array([1, 3, 5, 7, -1, -3], np.int64)
    assert (scaled(codes, [np.array(least / 2)]) == np.float32(np.array([0, 2, 2, 4, 0, -2]) * least)).all()
