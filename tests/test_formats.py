from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtl4ml.errors import ConfigurationError
from rtl4ml.formats import Format, InputFormat, Rounding, code_limits, round_once, width_of
from tests.frontend.judge_files import nearest_float32

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**100), max_value=2.0**100)
SCALES = st.floats(width=32, min_value=2.0**-149, max_value=2.0**60, exclude_min=False, allow_subnormal=True)
INTEGERS = st.integers(-(2**53) + 1, 2**53 - 1)


def exact(integer, scale, bias=None):
    value = Fraction(integer) * Fraction(scale)
    return nearest_float32(value if bias is None else value + Fraction(float(bias)))


def same(a, b):
    """Equal in value; zeros of both signs are one code."""
    return a.dtype == b.dtype == np.float32 and a == b


@given(INTEGERS, SCALES)
def test_round_once_is_the_nearest_float32(integer, scale):
    assert same(round_once(np.array(integer), np.array(scale)), exact(integer, scale))


@given(st.integers(-(2**26), 2**26), SCALES, SCALES)
def test_scale_may_be_an_exact_product_of_two_float32(integer, first, second):
    scale = float(first) * float(second)
    if 2.0**-140 < scale < 2.0**100:
        assert same(round_once(np.array(integer), np.array(scale)), exact(integer, scale))


@given(INTEGERS, SCALES, FLOATS)
def test_round_once_with_a_bias(integer, scale, bias):
    assert same(round_once(np.array(integer), np.array(scale), np.float32(bias)), exact(integer, scale, bias))


@given(st.integers(2**24, 2**53 - 1), st.integers(-40, 40), st.integers(-3, 3), st.booleans())
def test_ties_and_their_neighbours(integer, exponent, nudge, negative):
    """Integers half way between two float32, and a bias far below that decides the tie."""
    shift = integer.bit_length() - 25
    tie = ((integer >> shift) | 1) << shift if shift >= 0 else (integer << -shift) | 1
    tie = -tie if negative else tie
    scale = 2.0**exponent
    bias = np.float32(nudge * scale * 2.0**-60)
    assert same(round_once(np.array(tie), np.array(scale)), exact(tie, scale))
    assert same(round_once(np.array(tie), np.array(scale), bias), exact(tie, scale, bias))


@pytest.mark.parametrize(
    ("integer", "scale", "bias"),
    [
        (3, 2.0**-150, None),  # a tie between the two smallest subnormal numbers
        (1, 2.0**-150, None),  # a tie with zero
        (5, 2.0**-151, None),
        (2**24 + 1, 1.0, None),
        (2**24 + 1, 1.0, np.float32(2.0**-149)),
        (2**24 + 1, 1.0, np.float32(-(2.0**-149))),
        (-(2**53) + 1, 1.0, np.float32(2.0**53)),  # everything cancels but one
        (7, 0.1, np.float32(-0.7)),
        (2**53 - 1, 1 / 3, np.float32(-3.0e15)),
    ],
)
def test_known_hard_cases(integer, scale, bias):
    assert same(round_once(np.array(integer), np.array(scale), bias), exact(integer, scale, bias))


def test_arrays_broadcast():
    codes = np.array([[1, 2, 3], [-4, 5, -6]])
    scale = np.array([0.1, 1 / 3, 2.0])
    bias = np.array([1e-9, -0.7, 2.0**30], np.float32)
    got = round_once(codes, scale, bias)
    assert got.shape == (2, 3)
    for i, j in np.ndindex(2, 3):
        assert same(got[i, j], exact(int(codes[i, j]), float(scale[j]), bias[j]))


def test_format_takes_the_zero_point_off():
    fmt = Format(8, False, np.array(0.5), np.array(128))
    assert (fmt.low, fmt.high) == (0, 255)
    assert fmt.real(np.array([0, 128, 255])).tolist() == [-64.0, 0.0, 63.5]
    assert str(fmt) == "uint<8> x 0.5, zero point 128"


@pytest.mark.parametrize(
    ("fmt", "limits", "text"),
    [
        (Format(4, True, np.array(0.25)), (-8, 7), "int<4> x 0.25"),
        (Format(4, True, np.array(0.25), narrow=True), (-7, 7), "int<4> narrow x 0.25"),
        (Format(4, False, np.array(0.25), narrow=True), (0, 14), "uint<4> narrow x 0.25"),
        (Format(1, True, np.array(2.0), bipolar=True), (-1, 1), "bipolar x 2"),
        (Format(3, True, np.array([0.5, 1.0]), np.array([0, 1])), (-4, 3), "int<3> x 2 scales, zero point [0 1]"),
    ],
)
def test_limits_and_text(fmt, limits, text):
    assert (fmt.low, fmt.high) == limits
    assert str(fmt) == text


@given(st.integers(-(2**40), 2**40), st.integers(0, 2**41))
def test_width_of_is_the_narrowest(low, span):
    bits, signed = width_of(low, low + span)
    bottom, top = code_limits(bits, signed=signed, narrow=False)
    assert bottom <= low <= low + span <= top
    if bits > 1:
        bottom, top = code_limits(bits - 1, signed=signed, narrow=False)
        assert low < bottom or low + span > top


def test_every_rounding_has_a_word():
    assert {r.value for r in Rounding} == {"floor", "half_even", "half_away", "half_toward", "away", "toward"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fixed<16,6>", InputFormat(16, True, 10)),
        (" ufixed < 8 , 0 > ", InputFormat(8, False, 8)),
        ("fixed<8,-2>", InputFormat(8, True, 10)),
        ("ufixed<4,9>", InputFormat(4, False, -5)),
        ("int<8>", InputFormat(8, True)),
        ("uint<8>/255", InputFormat(8, False, divisor=255.0)),
        ("uint<8> * 0.5", InputFormat(8, False, factor=0.5)),
        ("int<4>*1e-2", InputFormat(4, True, factor=float(np.float32(0.01)))),
        ("uint<1>", InputFormat(1, False)),
        ("uint<24>", InputFormat(24, False)),
    ],
)
def test_input_formats(text, expected):
    assert InputFormat.parse(text) == expected


GRAMMAR = (
    "Input format must be fixed<W,I>, ufixed<W,I>, int<W>, uint<W> or bipolar, with an optional *factor or /divisor, "
    "not {!r}"
)


@pytest.mark.parametrize(
    "text", ["", "float", "fixed<16>", "int<8,2>", "uint<8>/", "uint<8>/1e", "uint<8>*x", "int<-4>", "uint<8>/2/3", "8"]
)
def test_input_formats_that_are_none(text):
    with pytest.raises(ConfigurationError) as caught:
        InputFormat.parse(text)
    assert str(caught.value) == GRAMMAR.format(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("int<0>", "Input format must have 1 to 24 bits, not 0"),
        ("fixed<25,3>", "Input format must have 1 to 24 bits, not 25"),
        ("uint<8>/0", "Factor or divisor of the input format must be finite and positive, not 0"),
        ("uint<8>*-2", "Factor or divisor of the input format must be finite and positive, not -2"),
        ("uint<8>*1e60", "Factor or divisor of the input format must be finite and positive, not 1e60"),
    ],
)
def test_input_formats_without_meaning(text, message):
    with pytest.raises(ConfigurationError) as caught:
        InputFormat.parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["fixed<7,3>", "ufixed<6,-1>", "int<5>*0.3", "uint<8>/255", "int<8>/3", "ufixed<4,7>"])
def test_decode_and_encode_are_inverse(text):
    fmt = InputFormat.parse(text)
    codes = np.arange(fmt.format.low, fmt.format.high + 1).reshape(-1, 2)
    values = fmt.decode(codes)
    assert values.dtype == np.float32
    assert values.shape == codes.shape
    assert np.array_equal(fmt.encode(values), codes)


def test_decode_divides_in_float32():
    codes = np.arange(256)
    assert np.array_equal(InputFormat.parse("uint<8>/255").decode(codes), codes.astype(np.float32) / np.float32(255))


def test_encode_rounds_half_to_even_and_saturates():
    fmt = InputFormat.parse("fixed<4,3>")
    assert fmt.encode(np.array([0.25, 0.75, 1.25, -0.25, -0.75, 9.0, -9.0])).tolist() == [0, 2, 2, 0, -2, 7, -8]
