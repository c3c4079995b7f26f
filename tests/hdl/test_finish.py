import numpy as np
import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from rtl4ml.hdl.finish import beat_places, hand_over


class Handover(wiring.Component):
    def __init__(self, ranges, lanes, beats):
        self._ranges, self._lanes, self._beats = ranges, lanes, np.array(beats)
        super().__init__(
            {
                "final": In(1),
                "totals": In(signed(6)).array(len(ranges)),
                "valid": Out(1),
                "lanes": Out(signed(6)).array(lanes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        totals = [Signal(signed(6), name=f"total_{p}") for p in range(len(self._ranges))]
        m.d.comb += [total.eq(port) for total, port in zip(totals, self.totals, strict=True)]
        valid, lanes = hand_over(m, self.final, totals, self._ranges, self._lanes, self._beats)
        m.d.comb += [self.valid.eq(valid), *(self.lanes[k].eq(lane) for k, lane in enumerate(lanes))]
        return m


@pytest.mark.parametrize(
    ("outputs", "lanes", "beats"), [(2, 1, (2,)), (4, 1, (4, 4, 2)), (6, 2, (3, 1)), (6, 3, (2, 2, 2)), (3, 1, (1, 3))]
)
@pytest.mark.parametrize("gap", [0, 1, 5])
def test_results_follow_each_other(outputs, lanes, beats, gap):
    """The next group may follow when the beats of one are through, while totals change at every edge."""
    generator = np.random.default_rng(outputs)
    ranges = [(-4 - p, 3 + 2 * p) for p in range(outputs)]
    part = Handover(ranges, lanes, beats)
    expected, got = [], []

    async def bench(ctx):
        # A table's first row stands from the second edge on.
        due, edge, group = 1, 0, 0
        while edge < 60:
            final = edge == due
            values = [int(generator.integers(low, high + 1)) for low, high in ranges]
            for port, value in zip(part.totals, values, strict=True):
                ctx.set(port, value)
            ctx.set(part.final, final)
            if ctx.get(part.valid):
                got.append((edge, [ctx.get(lane) for lane in part.lanes]))
            if final:
                count = beats[group % len(beats)]
                expected.extend((edge + 1 + b, values[b * lanes : (b + 1) * lanes]) for b in range(count))
                due, group = edge + max(beats) + gap, group + 1
            await ctx.tick()
            edge += 1

    simulator = Simulator(part)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert got == [entry for entry in expected if entry[0] < 60]


def test_places():
    assert beat_places((2, 3, 4, 1), 2, np.array([2, 1])).tolist() == [[0, 1], [2, 3], [4, 5]]
    assert beat_places((2, 1, 3, 1), 3, np.array([1, 1])).tolist() == [[0, 1, 2], [3, 4, 5]]
