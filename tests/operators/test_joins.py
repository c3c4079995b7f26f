"""Operators of two tensors, choices and decisions: ranges hold, and evaluation is the definition."""

import re

import numpy as np
import pytest

from rtl4ml.errors import ModelError
from rtl4ml.formats import Format
from rtl4ml.graph import Tensor
from rtl4ml.operators import Add, Concat, Extreme, Gather, Multiply, Top


def tensor(name, low, high, *, scale=0.5, zero=0, n=3):
    array = [np.broadcast_to(np.array(limit, np.int64), (n,)).copy() for limit in (low, high)]
    return Tensor(name, (n,), Format(8, bool(np.any(array[0] < 0)), np.array(scale), np.array(zero)), *array)


def numbers(*values):
    return np.array(values if len(values) > 1 else values[0], np.int64)


A = tensor("a", [-4, 0, 1], [3, 7, 2], zero=1)
B = tensor("b", -2, 5, scale=0.25, zero=-2)


def codes(t, count=200, dtype=np.int64):
    return np.random.default_rng(len(t.name)).integers(t.low, t.high + 1, (count, t.size)).astype(dtype)


CASES = {
    "add": (
        Add("n", ("a", "b"), "y", numbers(2), numbers(-3, 1, 2), np.array(0.25)),
        lambda a, b: 2 * a + [-3, 1, 2] * b,
    ),
    "multiply": (Multiply("n", ("a", "b"), "y", np.array(0.125)), lambda a, b: a * b),
    "max": (
        Extreme("n", ("a", "b"), "y", numbers(2), numbers(1), Format(9, True, np.array(0.25), np.array(4)), True),
        lambda a, b: np.maximum(2 * a, b) + 4,
    ),
    "min": (
        Extreme("n", ("a", "b"), "y", numbers(2), numbers(1), Format(9, True, np.array(0.25)), False),
        lambda a, b: np.minimum(2 * a, b),
    ),
}


@pytest.mark.parametrize("dtype", [np.int64, np.float32])
@pytest.mark.parametrize("case", CASES)
def test_of_two_tensors(case, dtype):
    operator, meaning = CASES[case]
    made = operator.infer((A, B))
    a, b = codes(A, dtype=dtype), codes(B, dtype=dtype)
    y = operator.evaluate([a, b], [A, B]).astype(np.int64)
    assert np.array_equal(y, meaning(a.astype(np.int64) - 1, b.astype(np.int64) + 2))
    # Both limits are reached somewhere, and nothing lies beyond.
    corners = np.stack(np.meshgrid(*[np.arange(8)] * 2), -1).reshape(-1, 1, 2)
    every_a, every_b = (np.minimum(t.low + corners[..., k], t.high) for k, t in enumerate((A, B)))
    every = operator.evaluate([every_a, every_b], [A, B]).astype(np.int64)
    assert np.array_equal(every.min(axis=0), made.low)
    assert np.array_equal(every.max(axis=0), made.high)


def test_a_square_is_not_negative():
    made = Multiply("n", ("a", "a"), "y", np.array(0.25)).infer((A, A))
    assert made.low.tolist() == [0, 0, 0]
    assert made.high.tolist() == [25, 36, 1]


def test_large_codes_leave_float32():
    wide = tensor("w", -(1 << 24), (1 << 24) - 1)
    add = Add("n", ("w", "w"), "y", numbers(1), numbers(1 << 20), np.array(1.0))
    x = np.array([[1, (1 << 24) - 1, -(1 << 24)]])
    assert np.array_equal(add.evaluate([x, x], [wide, wide]).astype(np.int64), x * ((1 << 20) + 1))


def test_concat_keeps_scales_and_widens_formats():
    concat = Concat("n", ("a", "b"), "y", (6,))
    made = concat.infer((A, tensor("u", 0, 255, scale=0.25)))
    assert (made.format.bits, made.format.signed) == (9, True)
    assert made.format.scale.tolist() == [0.5] * 3 + [0.25] * 3
    assert made.format.zero_point.tolist() == [1] * 3 + [0] * 3
    assert made.high.tolist() == [3, 7, 2, 255, 255, 255]
    same = concat.infer((A, A)).format
    assert (same.scale.shape, same.zero_point.shape, same.bits) == ((), (), 8)
    assert np.array_equal(concat.evaluate([codes(A), codes(B)], [A, B]), np.hstack([codes(A), codes(B)]))


def test_gather():
    gather = Gather("n", ("a",), "y", numbers(2, 0, 0, 1), (2, 2))
    made = gather.infer((A,))
    assert (made.shape, made.low.tolist()) == ((2, 2), [1, -4, -4, 0])
    assert np.array_equal(gather.evaluate([codes(A)], [A]), codes(A)[:, [2, 0, 0, 1]])


def test_top_takes_the_first_of_equals():
    x = np.array([[1, 3, 3], [2, 1, 1], [0, 0, 0], [-4, 5, 2]])
    one, zero = numbers(1), numbers(0)
    assert Top("n", ("a",), "y", one, zero, 1, (1,)).evaluate([x], [A])[:, 0].tolist() == [1, 0, 0, 1]
    assert Top("n", ("a",), "y", -one, zero, 2, (2,)).evaluate([x], [A]).tolist() == [[0, 1], [1, 2], [0, 1], [0, 2]]
    scaled = Top("n", ("a",), "y", numbers(7, 2, 1), numbers(0, 1, 4), 1, (1,))
    assert scaled.evaluate([x], [A])[:, 0].tolist() == [0, 0, 2, 1]
    made = scaled.infer((A,))
    assert (made.format.bits, made.low.tolist(), made.high.tolist()) == (2, [0], [2])


def refused(message, build):
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        build()


def test_errors():
    four = tensor("four", 0, 1, n=4)
    one = numbers(1)
    for operator in (
        Add("n", ("a", "four"), "y", one, one, np.array(1.0)),
        Multiply("n", ("a", "four"), "y", np.array(1.0)),
        Extreme("n", ("a", "four"), "y", one, one, A.format, True),
    ):
        refused(
            f"Inputs of node 'n' ({operator.kind}) must have as many elements, not 3 and 4",
            lambda operator=operator: operator.infer((A, four)),
        )
    wide = tensor("w", 0, 1 << 50)
    refused(
        "Sums of node 'n' (Add) must fit 52 bits, not 53",
        lambda: Add("n", ("w", "w"), "y", one, numbers(3), np.array(1.0)).infer((wide, wide)),
    )
    refused(
        "Factors of node 'n' (Multiply) must have 26 bits at most, not 51",
        lambda: Multiply("n", ("w", "w"), "y", np.array(1.0)).infer((wide, wide)),
    )
    refused(
        "Integers compared by node 'n' (Top) must fit 62 bits, not 63: their scales have no common grid that is coarse "
        "enough",
        lambda: Top("n", ("w",), "y", numbers(1 << 11), numbers(0), 1, (1,)).infer((wide,)),
    )
