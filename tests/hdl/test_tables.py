import numpy as np
import pytest
from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.sim import Simulator

from rtl4ml.hdl import tables
from rtl4ml.hdl.tables import cycle_rows, pack, read_columns, shape_of_range


def test_pack_is_twos_complement():
    values = np.array([[-1, 3, -4], [0, 1, 2]])
    assert pack(values, 3) == [0b100_011_111, 0b010_001_000]


@pytest.mark.parametrize(
    ("low", "high", "shape"),
    [(0, 0, unsigned(1)), (-1, 0, signed(1)), (-1, 1, signed(2)), (3, 8, unsigned(4)), (-9, -7, signed(5))],
)
def test_shape_of_range(low, high, shape):
    assert shape_of_range(low, high) == shape


def collect(m, values, drive, steps):
    """The values of a list of signals before each edge, `drive(step)` setting inputs."""
    seen = []

    async def bench(ctx):
        for step in range(steps):
            drive(ctx, step)
            seen.append([ctx.get(value) for value in values])
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return seen


def test_pack_of_columns_of_different_widths():
    values = np.array([[-1, 3, 0], [0, 1, 1]])
    assert pack(values, [2, 4, 1]) == [0b0_0011_11, 0b1_0001_00]


@pytest.mark.parametrize("word_bits", [4, 9, 1 << 14])
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_read_columns(monkeypatch, word_bits, rows):
    monkeypatch.setattr(tables, "WORD_BITS", word_bits)
    values = np.random.default_rng(rows).integers(-4, 4, (rows, 7))
    values[:, 3] &= 1
    shapes = [unsigned(1) if column == 3 else signed(3) for column in range(7)]
    m = Module()
    address = Signal(range(max(rows, 2)))
    m.d.sync += Signal().eq(1)
    columns = read_columns(m, "table", list(values.T), shapes, address)
    order = np.random.default_rng(0).integers(0, rows, 20).tolist()
    seen = collect(m, columns, lambda ctx, step: ctx.set(address, order[step]), 20)
    assert seen[1:] == values[order[:-1]].tolist()


def test_cycle_rows():
    columns = [np.array([5, 5, 5]), np.array([-1, 0, 7]), np.array([9, 2, 0]), np.array([1, 0, -8])]
    m = Module()
    advance = Signal()
    values = cycle_rows(m, "table", columns, advance)
    moves = np.random.default_rng(0).integers(0, 2, 30).tolist()
    moves[0] = 0
    seen = collect(m, values, lambda ctx, step: ctx.set(advance, moves[step]), 30)
    rows = np.cumsum([0, *moves[:-1]]) % 3
    assert seen[1:] == [[int(column[row]) for column in columns] for row in rows[1:]]
