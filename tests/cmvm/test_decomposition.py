import numpy as np
import pytest

from rtl4ml.cmvm.decomposition import decompose, plain
from rtl4ml.cmvm.digits import digit_counts


def levels(digits):
    return max(int(digits) - 1, 0).bit_length()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("slack", [0, 1, 3])
def test_differences_make_the_matrix_within_the_bounds(seed, slack):
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-7, 8, (int(rng.integers(1, 12)), int(rng.integers(1, 20))))
    bounds = np.array([levels(d) for d in digit_counts(matrix).sum(axis=0) + 1]) + slack
    split = decompose(matrix, bounds, 1)
    assert sorted(split.order.tolist()) == list(range(matrix.shape[1]))
    built = np.zeros_like(matrix)
    depths = np.zeros(matrix.shape[1], int)
    for column in split.order.tolist():
        parent = split.parents[column]
        difference = split.differences[:, column]
        depths[column] = levels(digit_counts(difference).sum() + 1)
        built[:, column] = difference
        if parent >= 0:
            assert split.order.tolist().index(parent) < split.order.tolist().index(column)
            built[:, column] += split.signs[column] * built[:, parent]
            depths[column] = max(depths[column], depths[parent]) + 1
            assert digit_counts(difference).sum() + 1 < digit_counts(matrix[:, column]).sum()
    np.testing.assert_array_equal(built, matrix)
    assert (depths <= bounds).all()


def test_a_column_that_is_nearly_another():
    matrix = np.array([[43, 43, -43], [21, 21, -21], [11, 12, -11], [9, 9, -8]])
    split = decompose(matrix, np.full(3, 9), 1)
    assert (split.parents >= 0).sum() == 2
    assert np.count_nonzero(split.differences) <= 4 + 2


def test_without_room_columns_stand_for_themselves():
    matrix = np.array([[43, 43], [21, 21], [11, 12]])
    needed = np.array([levels(d) for d in digit_counts(matrix).sum(axis=0) + 1])
    assert decompose(matrix, needed - 4, 0).is_plain
    assert plain(matrix).is_plain
