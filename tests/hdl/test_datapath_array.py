import numpy as np
import pytest
from amaranth.hdl import signed
from amaranth.sim import Simulator

from rtl4ml.datapath.words import Datapath
from rtl4ml.hdl.datapath_array import DatapathArray, DatapathPlan
from tests.hdl.bench import pack, unpack


def plan_of(period):
    datapath = Datapath()
    x = [datapath.input(f"x_{k}", -8, 7) for k in (0, 2, 3)]
    datapath.output("o_0", datapath.sum(x))
    datapath.output("o_1", datapath.subtract(x[0], x[1]))
    return DatapathPlan(datapath, 4, period)


@pytest.mark.parametrize("period", [1.0, 2.0, 20.0])
def test_values_and_depth(period):
    plan = plan_of(period)
    x = np.random.default_rng(0).integers(-8, 8, (9, 4))
    expected = np.stack([x[:, 0] + x[:, 2] + x[:, 3], x[:, 0] - x[:, 2]], axis=1)
    assert np.array_equal(plan.evaluate(x), expected)
    assert plan.multipliers == 0
    array = DatapathArray(plan, signed(4), signed(6))
    issues = np.random.default_rng(1).random(60) < 0.5
    taken, results = [], []

    async def bench(ctx):
        for edge, issue in enumerate(issues):
            last = len(taken) == len(x)
            ctx.set(array.issue, bool(issue) and not last)
            if ctx.get(array.o_valid):
                results.append((edge, unpack(ctx.get(array.o_payload.as_value()), 6, True, 2)))
            await ctx.tick()
            ctx.set(array.word.as_value(), 0)
            if issue and not last:
                ctx.set(array.word.as_value(), pack(x[len(taken)], 4))
                taken.append(edge)

    simulator = Simulator(array)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert [edge for edge, _ in results] == [edge + plan.depth for edge in taken]
    assert np.array_equal([outputs for _, outputs in results], expected)


def test_a_multiplier_counts():
    datapath = Datapath()
    datapath.output("o_0", datapath.multiply(datapath.input("x_0", -4, 3), datapath.input("x_1", 0, 5)))
    assert DatapathPlan(datapath, 2, 5.0).multipliers == 1
