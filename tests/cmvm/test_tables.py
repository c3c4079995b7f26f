from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Module, Shape
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.cmvm.test_solve import check

from rtl4ml.cmvm.packing import Fabric, estimated_tables
from rtl4ml.cmvm.solve import multiply_matrix
from rtl4ml.cmvm.tables import WIDEST, logic_bits, multiply_by_tables, multiply_narrow
from rtl4ml.datapath.cost import live_nodes
from rtl4ml.datapath.delays import GENERIC, delays_of
from rtl4ml.datapath.lowering import lower
from rtl4ml.datapath.nodes import TERNARY, WEIGHTED
from rtl4ml.datapath.pipeline import cut
from rtl4ml.datapath.ternary import with_ternary_sums
from rtl4ml.datapath.words import Datapath
from rtl4ml.errors import ConfigurationError
from rtl4ml.export.verilog import convert
from rtl4ml.synthesis.yosys import synthesize

FABRIC = Fabric.of(GENERIC)


class Sums(wiring.Component):
    """A datapath without registers."""

    def __init__(self, datapath, delays):
        self._datapath, self._delays = datapath, delays
        ports = {name: In(Shape(word.bits, word.low < 0)) for name, word in datapath.inputs.items()}
        super().__init__(ports | {n: Out(Shape(word.bits, word.low < 0)) for n, word in datapath.outputs.items()})

    def elaborate(self, platform):
        m = Module()
        ports = {name: getattr(self, name) for name in self._datapath.inputs}
        for name, value in lower(m, self._datapath, cut(self._datapath, 1000.0, self._delays), ports).items():
            m.d.comb += getattr(self, name).eq(value)
        return m


def inputs(ends):
    datapath = Datapath()
    return datapath, [datapath.input(f"x{row}", low, high) for row, (low, high) in enumerate(ends)]


def built(matrix, ends, delays=GENERIC, tables=False):
    datapath, words = inputs(ends)
    products = (
        multiply_by_tables(datapath, words, matrix, Fabric.of(delays))
        if tables
        else multiply_narrow(datapath, words, matrix, delays)
    )
    for column, word in enumerate(products):
        datapath.output(f"y{column}", word)
    return datapath


def kinds_of(datapath):
    return [datapath.nodes[index].kind for index in live_nodes(datapath)]


def random_matrix(seed, shape, limit=31, share=0.5):
    generator = np.random.default_rng(seed)
    return generator.integers(-limit, limit + 1, shape) * (generator.random(shape) < share)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_equals_numpy(data):
    shape = data.draw(st.tuples(st.integers(1, 12), st.integers(1, 5)))
    limit = data.draw(st.sampled_from([1, 4, 9, 127, 4000]))
    matrix = data.draw(arrays(np.int64, shape, elements=st.integers(-limit, limit)))
    lows = data.draw(st.lists(st.integers(-9, 3), min_size=shape[0], max_size=shape[0]))
    spans = data.draw(st.lists(st.integers(0, 9), min_size=shape[0], max_size=shape[0]))
    ends = [(low, low + span) for low, span in zip(lows, spans, strict=True)]
    delays = data.draw(st.sampled_from([GENERIC, delays_of("xcup"), delays_of("ecp5")]))
    tables = data.draw(st.booleans())
    check(built(matrix, ends, delays, tables), matrix, np.zeros(shape[1], np.int64))


@pytest.mark.parametrize("target", [None, "xcup", "ice40"])
@pytest.mark.parametrize("rows", [30, 70, 130])
def test_many_rows(rows, target):
    matrix = random_matrix(rows, (rows, 3))
    datapath = built(matrix, [(0, 1)] * rows, delays_of(target), tables=True)
    check(datapath, matrix, np.zeros(3, np.int64))
    assert logic_bits(datapath, Fabric.of(delays_of(target))) > 0


def test_bits_take_half_of_an_adder_graph_or_less():
    matrix = random_matrix(0, (32, 16))
    ends = [(0, 1)] * 32
    datapath, words = inputs(ends)
    for column, word in enumerate(multiply_matrix(datapath, words, matrix)):
        datapath.output(f"y{column}", word)
    chosen = built(matrix, ends)
    assert logic_bits(chosen, FABRIC) < 0.4 * logic_bits(datapath, FABRIC)
    assert WEIGHTED in kinds_of(chosen)


@pytest.mark.parametrize("target", [None, "xcup", "ecp5"])
@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize(("limit", "share"), [(1, 1.0), (3, 0.8), (31, 0.5)])
def test_never_more_than_either(limit, share, bits, target):
    delays = delays_of(target)
    fabric = Fabric.of(delays)
    matrix = random_matrix(5, (24, 6), limit, share)
    ends = [(0, (1 << bits) - 1)] * 24
    datapath, words = inputs(ends)
    for column, word in enumerate(multiply_matrix(datapath, words, matrix, ternary=delays.ternary)):
        datapath.output(f"y{column}", word)
    graph = with_ternary_sums(datapath) if delays.ternary else datapath
    tables = built(matrix, ends, delays, tables=True)
    tables = with_ternary_sums(tables) if delays.ternary else tables
    chosen = built(matrix, ends, delays)
    chosen = with_ternary_sums(chosen) if delays.ternary else chosen
    assert logic_bits(chosen, fabric) <= min(logic_bits(graph, fabric), logic_bits(tables, fabric))


def test_columns_choose_by_themselves():
    """Sums of many equal weights are shared between columns; random ones are not."""
    shared = np.ones((24, 4), np.int64)
    shared[np.arange(4), np.arange(4)] = 0
    matrix = np.concatenate([shared, random_matrix(2, (24, 4), 500, 1.0)], axis=1)
    chosen = built(matrix, [(0, 15)] * 24)
    check(chosen, matrix, np.zeros(8, np.int64))
    kinds = {
        column: {chosen.nodes[i].kind for i in live_nodes(chosen, [chosen.outputs[f"y{column}"]])}
        for column in range(8)
    }
    assert all(WEIGHTED not in kinds[column] for column in range(4))
    assert any(WEIGHTED in kinds[column] for column in range(4, 8))


def test_chains_of_a_long_column_meet_in_sums_of_three():
    delays = delays_of("xcup")
    matrix = random_matrix(1, (120, 1), share=1.0)
    chosen = with_ternary_sums(built(matrix, [(0, 1)] * 120, delays))
    assert {TERNARY, WEIGHTED} <= set(kinds_of(chosen))
    check(chosen, matrix, np.zeros(1, np.int64))


def test_columns_equal_up_to_a_power_of_two_are_built_once():
    column = random_matrix(4, (9, 1), share=1.0)
    once, twice = (built(m, [(0, 1)] * 9, tables=True) for m in (column, np.hstack([column, 4 * column])))
    assert kinds_of(once).count(WEIGHTED) == kinds_of(twice).count(WEIGHTED)


def test_estimates():
    matrix = random_matrix(9, (40, 6))
    for fabric in (FABRIC, Fabric(4, 1)):
        delays = replace(GENERIC, inputs=fabric.inputs, joined=fabric.joined)
        estimate = sum(estimated_tables(column[column != 0].tolist(), fabric) for column in matrix.T)
        assert 0.85 < estimate / logic_bits(built(matrix, [(0, 1)] * 40, delays, tables=True), fabric) < 1.25


def test_wide_words_are_left_to_adders():
    matrix = random_matrix(3, (4, 2), share=1.0)
    ends = [(0, (2 << WIDEST) - 1)] * 4
    assert WEIGHTED not in kinds_of(built(matrix, ends))
    check(built(matrix, ends), matrix, np.zeros(2, np.int64))


def test_constants_and_empty_columns():
    matrix = np.array([[3, 0, -1], [5, 0, 0]])
    datapath = built(matrix, [(2, 2), (0, 1)])
    check(datapath, matrix, np.zeros(3, np.int64))
    assert (datapath.outputs["y1"].low, datapath.outputs["y2"].high) == (0, -2)
    assert built(np.zeros((0, 2), np.int64), []).evaluate({}) == {"y0": 0, "y1": 0}


@pytest.mark.parametrize("tables", [False, True])
def test_refuses(tables):
    with pytest.raises(ConfigurationError, match=r"^matrix must have shape \(1, m\), not \(2, 1\)$"):
        built(np.ones((2, 1), np.int64), [(0, 1)], tables=tables)
    with pytest.raises(ConfigurationError, match=r"^matrix must hold integers, not float64$"):
        built(np.ones((1, 1)), [(0, 1)], tables=tables)


@pytest.mark.parametrize("target", ["xcup", "ecp5"])
def test_yosys_finds_what_is_counted(target, tmp_path, monkeypatch):
    """Tables of five bits in front of an adder take nothing by themselves on parts with lookup tables of six inputs."""
    monkeypatch.setenv("RTL4ML_CACHE", str(tmp_path))
    matrix = random_matrix(6, (26, 3), share=1.0)
    delays = delays_of(target)
    datapath = built(matrix, [(0, 1)] * 26, delays, tables=True)
    found = synthesize({"top.v": convert(Sums(datapath, delays), "top", "sums")}, "top", target)
    inside = 2 * found.carry if target == "ecp5" else 0  # carry cells with lookup tables of their own
    assert found.lut + inside <= 1.1 * logic_bits(datapath, Fabric.of(delays)) + 3
