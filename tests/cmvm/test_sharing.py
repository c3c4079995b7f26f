import numpy as np
import pytest

from rtl4ml.cmvm import sharing
from rtl4ml.cmvm.digits import signed_masks
from rtl4ml.cmvm.patterns import BITS, DEPTH, HIGH, LOW, LOWER, SHIFT, SIGN, UPPER, Score


def inputs(n):
    """Rows of unsigned words of four bits."""
    rows = np.full((n, 8), -1, np.int64)
    rows[:, [SHIFT, SIGN, DEPTH, LOW, HIGH, BITS]] = 0, 1, 0, 0, 15, 4
    return rows


def share(matrix, levels=20, **score):
    """Runs the search; returns rows, functions and masks, the product of which must be the matrix."""
    n = len(matrix)
    masks = np.stack(signed_masks(matrix), axis=1)
    room = (1 << levels) - loads(inputs(n), masks)
    rows, functions, masks, work = sharing.share(
        inputs(n), np.eye(n, dtype=np.int64), masks, room, np.full(n, 15), np.full(n, 15), Score(**score)
    )
    np.testing.assert_array_equal(product(functions, masks), matrix)
    np.testing.assert_array_equal(room, (1 << levels) - loads(rows, masks))
    assert (room >= 0).all()
    assert work >= 0
    return rows, functions, masks


def loads(rows, masks):
    """Sum of 2**depth over the digits of each column."""
    return (np.bitwise_count(masks).sum(axis=1, dtype=np.int64) << rows[:, DEPTH, None]).sum(axis=0)


def product(functions, masks):
    """The matrix that rows and digits stand for."""
    powers = range(40)
    factors = sum(((masks[:, 0] >> p & 1) - (masks[:, 1] >> p & 1)) << p for p in powers)
    return functions.T @ factors


@pytest.mark.parametrize("score", [{}, {"overlap": 2, "width": 1}, {"blur": 8, "seed": 5}, {"triples": True}])
def test_the_product_stays_the_same(score):
    for seed in range(6):
        matrix = np.random.default_rng(seed).integers(-40, 40, (9, 7))
        rows, functions, _ = share(matrix, **score)
        for index, row in enumerate(rows[9:], start=9):
            lower, upper = row[LOWER], row[UPPER]
            assert max(lower, upper) < index
            # A sum of three is one deeper than the deepest of them.
            deeper = row[DEPTH] - max(rows[lower, DEPTH], rows[upper, DEPTH])
            assert deeper == 1 or (score.get("triples") and deeper == 0)
            np.testing.assert_array_equal(
                functions[index], functions[lower] + row[SIGN] * (functions[upper] << row[SHIFT])
            )
            values = 15 * functions[index]
            assert (row[LOW], row[HIGH]) == (values[values < 0].sum(), values[values > 0].sum())


def test_no_pattern_is_left_twice():
    rows, _, masks = share(np.random.default_rng(4).integers(-20, 20, (8, 10)))
    seen = set()
    for column in range(10):
        digits = sorted(
            (power, row, 1 - 2 * plane)
            for plane in range(2)
            for row in range(len(rows))
            for power in range(30)
            if masks[row, plane, column] >> power & 1
        )
        for i, (power, row, sign) in enumerate(digits):
            for other_power, other, other_sign in digits[i + 1 :]:
                key = row, other, other_power - power, sign * other_sign
                if row != other:
                    assert key not in seen
                    seen.add(key)
    assert len(rows) > 8


def test_a_pattern_within_one_row():
    # 85 = 1 + 4 + 16 + 64 holds 1 + 4 twice.
    rows, _, masks = share(np.array([[85]]))
    assert len(rows) == 2
    assert np.bitwise_count(masks).sum() == 2


def test_depth_is_bounded():
    matrix = np.random.default_rng(5).integers(-100, 100, (4, 12))
    rows, _, _ = share(matrix, levels=4)
    assert rows[:, DEPTH].max() <= 4


def test_nothing_to_share():
    rows, _, masks = share(np.zeros((3, 2), np.int64))
    assert len(rows) == 3
    assert not masks.any()
