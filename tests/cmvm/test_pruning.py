import numpy as np
import pytest
from tests.cmvm.test_search import rebuilt

from rtl4ml.cmvm.bits import Task, column_bits, row_bits, total_bits, uses_of
from rtl4ml.cmvm.digits import Bounds
from rtl4ml.cmvm.pruning import prune
from rtl4ml.cmvm.search import _Finder


def found(seed, shape, constants=None):
    """A solution as it is before anything is taken back, and what is summed."""
    matrix = np.random.default_rng(seed).integers(-31, 32, shape)
    bounds = Bounds(np.zeros(shape[0], np.int64), np.full(shape[0], 255))
    constants = np.zeros(shape[1], np.int64) if constants is None else constants
    solution = next(_Finder(matrix, bounds, True, constants).starts(None))
    middles, widths = np.append(bounds.middles, 2), np.append(bounds.widths, 0)
    return matrix, solution, Task(matrix, constants, *solution.split[1:], solution.levels, True, middles, widths)


def cost(solution, masks, task, tries):
    inputs = len(task.matrix)
    uses = uses_of(solution.rows, masks, inputs)
    columns = range(masks.shape[2])
    sums = sum(column_bits(c, solution.rows, solution.functions, masks, task, tries) for c in columns)
    return row_bits(solution.rows, uses, inputs, True) + sums


@pytest.mark.parametrize("seed", range(3))
def test_what_is_taken_back_is_what_is_saved(seed):
    matrix, solution, task = found(seed, (24, 16), np.random.default_rng(seed).integers(-900, 900, 16))
    before = cost(solution, solution.masks, task, 4)
    masks = solution.masks.copy()
    saved = prune(solution.rows, solution.functions, masks, task, 4)
    assert saved > 0
    assert cost(solution, masks, task, 4) == before - saved
    # The columns are what they were.
    solution.masks[:] = masks
    np.testing.assert_array_equal(rebuilt(solution), matrix)
    while prune(solution.rows, solution.functions, masks, task, 4):
        pass
    assert prune(solution.rows, solution.functions, masks, task, 4) == 0


def test_more_trees_take_no_more_bits():
    _, solution, task = found(7, (16, 4))
    few, many = (cost(solution, solution.masks, task, tries) for tries in (1, 50))
    assert many < total_bits(solution.rows, solution.functions, solution.masks, task) < few


def test_a_constant_is_a_summand():
    """One of an even number of words is free, one of an odd number takes an adder of two."""
    matrix = np.ones((4, 1), np.int64)

    def of(words, constant):
        bounds = Bounds(np.zeros(words, np.int64), np.full(words, 255))
        return next(_Finder(matrix[:words], bounds, True, np.array([constant])).starts(None)).bits

    assert of(4, 0) == of(4, 1)
    assert of(3, 1) > of(3, 0)
