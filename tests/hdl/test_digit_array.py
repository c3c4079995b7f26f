import numpy as np
import pytest
from amaranth.sim import Simulator

from rtl4ml.datapath.delays import delays_of
from rtl4ml.hdl.digit_array import DigitArray
from rtl4ml.hdl.digit_plan import DigitPlan
from rtl4ml.hdl.tables import shape_of_range
from tests.hdl.bench import pack, unpack
from tests.hdl.test_digit_plan import problem


def results_of(plan, x, gaps):
    """Edges of loads and of results, and the results; `gaps` edges lie between loads beyond the cycles of a word."""
    shape = shape_of_range(plan.low.min(), plan.high.max())
    y = plan.evaluate(x)
    shape_out = shape_of_range(y.min(), y.max())
    array = DigitArray(plan, shape, shape_out)
    edges = (np.cumsum(np.array(gaps) + plan.cycles) - plan.cycles).tolist()
    found = []

    async def bench(ctx):
        at = 0
        for edge in range(edges[-1] + plan.depth + 2):
            loading = at < len(edges) and edges[at] == edge
            ctx.set(array.load, loading)
            # Nobody holds the word but the array.
            ctx.set(array.word.as_value(), pack(x[at], shape.width) if loading else 0)
            at += loading
            if ctx.get(array.o_valid):
                found.append(
                    (edge, unpack(ctx.get(array.o_payload.as_value()), shape_out.width, shape_out.signed, plan.outputs))
                )
            await ctx.tick()

    simulator = Simulator(array)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return edges, [edge for edge, _ in found], np.array([outputs for _, outputs in found])


@pytest.mark.parametrize("period", [1.5, 3.0, 20.0])
@pytest.mark.parametrize("digit", [1, 2, 3, 4])
def test_values_and_depth(digit, period):
    plan, x, expected = problem(digit, (5, 4), digit, period)
    loads, edges, outputs = results_of(plan, x, [0, 0, 3, 0, 1] + [0] * (len(x) - 5))
    assert edges == [edge + plan.depth for edge in loads]
    assert np.array_equal(outputs, expected)


@pytest.mark.parametrize(("period", "target"), [(20.0, None), (2.5, None), (2.0, "xcup"), (6.0, "ecp5")])
def test_chains_of_tables(period, target):
    generator = np.random.default_rng(7)
    weights = generator.integers(-31, 32, (50, 2)) * (generator.random((50, 2)) < 0.9)
    ends = np.full(50, -4), np.full(50, 3)
    plan = DigitPlan(weights, np.array([5, -9]), *ends, 1, period, delays=delays_of(target))
    x = generator.integers(-4, 4, (8, 50))
    loads, edges, outputs = results_of(plan, x, [0, 0, 2, 0, 0, 1, 0, 0])
    assert edges == [edge + plan.depth for edge in loads]
    assert np.array_equal(outputs, x @ weights + plan.bias)


@pytest.mark.parametrize("seed", range(12))
def test_random(seed):
    generator = np.random.default_rng(seed)
    sizes = tuple(generator.integers(1, 7, 2).tolist())
    plan, x, expected = problem(seed, sizes, int(generator.integers(1, 4)), float(generator.uniform(1.5, 8)))
    loads, edges, outputs = results_of(plan, x, generator.integers(0, 3, len(x)).tolist())
    assert edges == [edge + plan.depth for edge in loads]
    assert np.array_equal(outputs, expected)
