import numpy as np
import pytest

from rtl4ml.cmvm.digits import Bounds, digit_counts
from rtl4ml.cmvm.patterns import LOW, LOWER, UPPER
from rtl4ml.cmvm.ruin import without
from rtl4ml.cmvm.search import search


def shared(seed, n):
    """A solution in which no column hangs on another."""
    matrix = np.random.default_rng(seed).integers(-60, 60, (n, 9))
    levels = np.array([int(d).bit_length() for d in digit_counts(matrix).sum(axis=0)])
    solution = search(matrix, Bounds(np.zeros(n, np.int64), np.full(n, 15)), levels)
    assert len(solution.rows) > n
    return solution, solution.split.differences


def product(functions, masks):
    """The matrix that rows and digits stand for."""
    factors = sum(((masks[:, 0] >> p & 1) - (masks[:, 1] >> p & 1)) << p for p in range(40))
    return functions.T @ factors


@pytest.mark.parametrize("seed", range(4))
def test_rows_that_are_taken_back(seed):
    solution, matrix = shared(seed, 7)
    gone = np.random.default_rng(seed).random(len(solution.rows)) < 0.4
    left, digits = without(solution.rows, solution.masks, 7, gone)
    kept = np.flatnonzero(~gone | (np.arange(len(gone)) < 7))
    np.testing.assert_array_equal(left[:, LOW:], solution.rows[kept][:, LOW:])
    np.testing.assert_array_equal(product(solution.functions[kept], digits), matrix)
    for index, row in enumerate(left[7:], start=7):
        assert max(row[LOWER], row[UPPER]) < index
    assert not (digits[:, 0] & digits[:, 1]).any()


def test_everything_taken_back():
    solution, matrix = shared(9, 5)
    left, digits = without(solution.rows, solution.masks, 5, np.ones(len(solution.rows), bool))
    assert len(left) == 5
    np.testing.assert_array_equal(product(np.eye(5, dtype=np.int64), digits), matrix)
