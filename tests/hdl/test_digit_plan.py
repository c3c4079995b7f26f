import numpy as np
import pytest

from rtl4ml.datapath.cost import carry_bits, live_nodes
from rtl4ml.datapath.delays import delays_of
from rtl4ml.datapath.nodes import WEIGHTED
from rtl4ml.errors import ConfigurationError
from rtl4ml.hdl.digit_plan import DigitPlan
from tests.hdl.bench import refuses


def problem(seed, sizes, digit, period, finish=None):
    """A plan, words with the extremes among them, and their sums; dead outputs, constant and narrow elements."""
    generator = np.random.default_rng(seed)
    elements, outputs = sizes
    low = generator.integers(-40, 20, elements)
    high = low + generator.integers(0, 60, elements)
    high[0] = low[0] + 40  # more bits than any digit
    weights = generator.integers(-9, 10, (elements, outputs)) * (generator.random((elements, outputs)) < 0.7)
    weights[0] += weights[0] == 0
    if outputs > 2:
        weights[:, 1] = 0
    bias = generator.integers(-300, 300, outputs)
    plan = DigitPlan(weights, bias, low, high, digit, period, finish)
    x = generator.integers(low, high + 1, (12, elements))
    x[0], x[1] = low, high
    x[2:4] = np.where(weights[:, :1] > 0, [high, low], [low, high])[0][:, None] if elements == 1 else x[2:4]
    return plan, x, x @ weights + bias


@pytest.mark.parametrize("seed", range(30))
def test_sums(seed):
    generator = np.random.default_rng(seed)
    digit = int(generator.integers(1, 6))
    plan, x, expected = problem(seed, tuple(generator.integers(1, 9, 2).tolist()), digit, 4.0)
    assert np.array_equal(plan.evaluate(x), expected)
    assert plan.multipliers == 0
    widest = max(plan.element_bits(s) for s in plan.elements)
    assert plan.cycles == -(-widest // digit)


@pytest.mark.parametrize(
    ("bits", "digit", "cycles"), [(8, 4, 2), (8, 3, 3), (8, 2, 4), (8, 1, 8), (7, 1, 7), (2, 1, 2)]
)
@pytest.mark.parametrize("signed", [False, True])
def test_all_codes(bits, digit, cycles, signed):
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    weights = np.array([[3, -1, 0, 127]])
    plan = DigitPlan(weights, np.array([0, 5, -7, 1]), np.array([low]), np.array([high]), digit, 5.0)
    x = np.arange(low, high + 1)[:, None]
    assert plan.cycles == cycles
    assert np.array_equal(plan.evaluate(x), x @ weights + plan.bias)


def test_sums_of_three_where_a_device_has_them():
    generator = np.random.default_rng(4)
    weights, ends = generator.integers(-15, 16, (12, 6)), (np.full(12, -8), np.full(12, 7))
    plans = [
        DigitPlan(weights, np.zeros(6, np.int64), *ends, 2, 5.0, delays=delays_of(name)) for name in ("ecp5", "xcup")
    ]
    x = generator.integers(-8, 8, (50, 12))
    for plan in plans:
        assert np.array_equal(plan.evaluate(x), x @ weights)
    assert carry_bits(plans[1].kernel) < carry_bits(plans[0].kernel)


@pytest.mark.parametrize("target", [None, "xcup", "ecp5"])
@pytest.mark.parametrize("digit", [1, 2, 3])
def test_digits_go_through_tables(digit, target):
    generator = np.random.default_rng(digit)
    weights = generator.integers(-31, 32, (40, 3)) * (generator.random((40, 3)) < 0.8)
    ends, delays = (np.full(40, -8), np.full(40, 7)), delays_of(target)
    plan = DigitPlan(weights, np.zeros(3, np.int64), *ends, digit, 4.0, delays=delays)
    kinds = {plan.kernel.nodes[index].kind for index in live_nodes(plan.kernel)}
    assert (WEIGHTED in kinds) == (target != "ecp5" or digit == 1)
    x = generator.integers(-8, 8, (60, 40))
    x[0], x[1], x[2:5] = -8, 7, np.where(weights.T > 0, 7, -8)
    assert np.array_equal(plan.evaluate(x), x @ weights)


def test_accumulators_are_narrow():
    """A total is no wider than a product of a digit and what is carried on: bits of the word do not add to it."""
    ends = np.zeros(16, np.int64), np.full(16, 255)
    plan = DigitPlan(np.ones((16, 1), np.int64), np.zeros(1, np.int64), *ends, 1, 5.0)
    assert plan.totals[0] == (0, 31)


def test_a_constant_behind_the_sum_joins_the_bias():
    def finish(datapath, p, word):
        return datapath.shift_right(datapath.add(word, datapath.constant(8)), 4)

    plan, x, expected = problem(3, (5, 4), 2, 5.0, finish)
    assert np.array_equal(plan.evaluate(x), (expected + 8) >> 4)
    alone = problem(3, (5, 4), 2, 5.0)[0].start
    assert [plan.start[p] - alone[p] for p in plan.columns] == [8] * len(plan.columns)
    assert plan.carry_bits == problem(3, (5, 4), 2, 5.0, lambda d, p, w: d.shift_right(w, 4))[0].carry_bits


def test_a_sum_that_is_read_in_two_ways_stays():
    def finish(datapath, p, word):
        return datapath.subtract(datapath.shift_left(word, 2), datapath.add(word, datapath.constant(3)))

    plan, x, expected = problem(4, (3, 3), 2, 5.0, finish)
    assert np.array_equal(plan.evaluate(x), 4 * expected - (expected + 3))
    assert {constant for _, constant in plan.accumulators.values()} == {0}


def test_constant_elements_and_dead_outputs_take_nothing():
    weights = np.array([[3, 0], [5, 0], [0, 0]])
    plan = DigitPlan(weights, np.array([1, 2]), np.array([4, 0, -9]), np.array([4, 15, 9]), 2, 5.0)
    assert (plan.elements, plan.columns) == ([1], [0])
    x = np.array([[4, 0, 0], [4, 15, -9]])
    assert np.array_equal(plan.evaluate(x), x @ weights + [1, 2])


def test_no_output_depends_on_anything():
    plan = DigitPlan(np.zeros((2, 3), np.int64), np.arange(3), np.zeros(2, np.int64), np.full(2, 7), 1, 5.0)
    assert plan.evaluate(np.ones((4, 2), np.int64)).tolist() == [[0, 1, 2]] * 4
    assert (plan.cycles, plan.columns) == (2, [])


def test_an_accumulator_is_watched():
    plan, x, _ = problem(1, (4, 2), 2, 5.0)
    plan.totals[0] = (0, 0)
    with pytest.raises(ConfigurationError, match=r"^Accumulator 0 must stay in \[0, 0\], not in "):
        plan.evaluate(x)


@pytest.mark.parametrize("digit", [0, 4, 5])
def test_digits_are_parts(digit):
    refuses(
        lambda: DigitPlan(np.ones((1, 1), np.int64), np.zeros(1, np.int64), np.zeros(1), np.full(1, 15), digit, 5.0),
        f"Digits must have 1 to 3 bits, less than the elements, not {digit}",
    )


def test_shapes():
    refuses(
        lambda: DigitPlan(np.ones((2, 1)), np.zeros(1), np.zeros(3), np.zeros(2), 1, 5.0),
        "Bias and element ranges of weights (2, 1) must have shapes (1,) and (2,), not (1,), (3,) and (2,)",
    )
