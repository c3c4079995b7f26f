import numpy as np
import pytest
from amaranth.hdl import Module, Signal, Value
from amaranth.sim import Simulator

from rtl4ml.hdl.walk import Walker, indices, moves

NESTS = [
    ((), ()),
    ((4,), ((1, 0, 0),)),
    ((3, 5), ((1, 0, 0), (0, 1, 0))),
    ((2, 1, 3, 2), ((-2, 0, 0), (5, 5, 5), (1, -1, 0), (0, 3, 1))),
    ((1, 2), ((1, 0, 0), (0, 0, 0))),
]


def test_moves():
    steps = np.array([[1, 0], [0, 1]])
    assert moves((3, 4), steps).tolist() == [[-2, -3], [1, -3], [0, 1]]
    assert moves((), np.zeros((0, 2), np.int64)).tolist() == [[0, 0]]


def test_indices():
    assert [indices((2, 3), turn) for turn in range(7)] == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2], [0, 0]]


@pytest.mark.parametrize(("counts", "steps"), NESTS)
@pytest.mark.parametrize("at", [0, 1, 5])
@pytest.mark.parametrize("banks", [(1, 1), (3, 4), (2, 5)])
def test_positions(counts, steps, at, banks):
    steps = np.array(steps, np.int64).reshape(len(counts), 3)
    start, height, bits, strides, offset = (3, -4, 2), 7, 6, (11, 3, 1), -5
    turns = int(np.prod(counts, dtype=np.int64))
    m = Module()
    advance = Signal()
    walker = Walker(m, "at", counts, steps, start, advance, height, banks, at)
    watched = [Value.cast(walker.value(axis)) for axis in range(3)]
    watched += [walker.phase(0), walker.phase(1), walker.address("address", bits, strides, offset)]
    seen, moving = [], []

    async def bench(ctx):
        for cycle in range(3 * 3 * turns):
            ctx.set(advance, cycle % 3 != 1)
            if cycle % 3 != 1:
                seen.append([ctx.get(value) for value in watched])
                moving.append([ctx.get(Value.cast(flag)) for flag in walker.moving])
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    for turn, (values, flags) in enumerate(zip(seen, moving, strict=True), at):
        index = np.array(indices(counts, turn), np.int64)
        row, column, chunk = start + index @ steps
        global_row = row + turn // turns * height
        places = (global_row // banks[0], column // banks[1], chunk)
        address = (np.dot(places, strides) + offset) % (1 << bits)
        assert values == [row, column, chunk, global_row % banks[0], column % banks[1], address]
        following = np.array(indices(counts, turn + 1), np.int64)
        outermost = next((level for level in range(len(counts)) if following[level] > index[level]), -1)
        assert flags == [level == outermost for level in range(-1, len(counts))]
