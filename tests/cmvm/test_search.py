import numpy as np
import pytest

from rtl4ml.cmvm import search as module
from rtl4ml.cmvm.digits import Bounds, digit_counts, signed_masks
from rtl4ml.cmvm.search import search, tiles


def bounds(n):
    return Bounds(np.full(n, -8), np.full(n, 7))


def rebuilt(solution):
    """The matrix that rows, digits and differences stand for."""
    masks, split = solution.masks, solution.split
    factors = sum(((masks[:, 0] >> p & 1) - (masks[:, 1] >> p & 1)) << p for p in range(40))
    matrix = solution.functions.T @ factors
    for column in split.order.tolist():
        if split.parents[column] >= 0:
            matrix[:, column] += split.signs[column] * matrix[:, split.parents[column]]
    return matrix


@pytest.mark.parametrize("ternary", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (12, 30), (30, 12)])
def test_what_is_found_is_the_matrix(shape, ternary):
    matrix = np.random.default_rng(3).integers(1, 31, shape)
    solution = search(matrix, bounds(shape[0]), ternary=ternary)
    np.testing.assert_array_equal(rebuilt(solution), matrix)


def test_the_same_matrix_gives_the_same_graph():
    matrix = np.random.default_rng(4).integers(-31, 32, (10, 20))
    first, second = (search(matrix, bounds(10)) for _ in range(2))
    assert first.bits == second.bits
    for a, b in ((first.rows, second.rows), (first.masks, second.masks), (first.split.parents, second.split.parents)):
        np.testing.assert_array_equal(a, b)


def test_more_tries_find_no_more_bits(monkeypatch):
    matrix = np.random.default_rng(5).integers(-31, 32, (12, 24))
    found = []
    for tries in (1, 6, 40):
        monkeypatch.setattr(module, "MAX_TRIES", tries)
        found.append(search(matrix, bounds(12)).bits)
    assert found == sorted(found, reverse=True)
    assert found[-1] < found[0]


def test_tiles_share_no_less_correctly(monkeypatch):
    matrix = np.random.default_rng(3).integers(-30, 30, (60, 6))
    whole = search(matrix, bounds(60))
    monkeypatch.setattr(module, "TILE_WORK", 5_000)
    assert len(tiles(np.stack(signed_masks(matrix), axis=1))) > 3
    solution = search(matrix, bounds(60))
    np.testing.assert_array_equal(rebuilt(solution), matrix)
    assert solution.bits >= whole.bits


def test_levels_that_are_asked_for():
    matrix = np.random.default_rng(6).integers(-31, 32, (12, 6))
    needed = np.array([int(load - 1).bit_length() for load in digit_counts(matrix).sum(axis=0) + 1])
    tight = search(matrix, bounds(12), needed)
    np.testing.assert_array_equal(tight.levels, needed)
    np.testing.assert_array_equal(rebuilt(tight), matrix)
    loose = search(matrix, bounds(12), needed + 3)
    assert (loose.levels <= needed + 3).all()
    assert loose.bits <= tight.bits
