import pytest

from rtl4ml.datapath import pipeline as module
from rtl4ml.datapath.cost import live_nodes, register_bits
from rtl4ml.datapath.delays import GENERIC, Delays
from rtl4ml.datapath.nodes import CONSTANT, INPUT, SHIFT_LEFT
from rtl4ml.datapath.pipeline import cut, period_for
from rtl4ml.datapath.words import Datapath
from rtl4ml.errors import ConfigurationError


@pytest.mark.parametrize("period", [2.0, 4.0, 6.0, 10.0])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("largest", [0, module.LARGEST])
def test_no_path_is_longer_than_the_period(make, seed, period, largest, monkeypatch):
    monkeypatch.setattr(module, "LARGEST", largest)
    datapath = make(seed, 200)
    pipeline = cut(datapath, period)
    arrival: dict[int, float] = {}
    for index in live_nodes(datapath):
        node = datapath.nodes[index]
        delay = GENERIC.of(datapath.nodes, node)
        before = 0.0
        for operand in node.operands:
            if datapath.nodes[operand].kind != CONSTANT:
                assert pipeline.step[operand] <= pipeline.step[index] <= pipeline.until[index]
                if pipeline.step[operand] == pipeline.step[index]:
                    before = max(before, arrival[operand])
        arrival[index] = before + delay
        alone = delay or before  # wires may follow a node that alone is longer than the period
        assert arrival[index] <= max(period - GENERIC.register, alone) + 1e-6
        if node.kind == INPUT:
            assert pipeline.step[index] == 0
    for word in datapath.outputs.values():
        node = datapath.nodes[word.index]
        index = node.operands[0] if node.kind == SHIFT_LEFT else word.index
        if datapath.nodes[index].kind != CONSTANT:
            assert pipeline.until[index] == pipeline.depth


def test_registers_are_few(make, monkeypatch):
    for seed in range(4):
        datapath = make(seed, 300)
        fewest = cut(datapath, 4.0)
        assert fewest == cut(datapath, 4.0)
        with monkeypatch.context() as patch:
            patch.setattr(module, "LARGEST", 0)
            moved = cut(datapath, 4.0)
            assert moved == cut(datapath, 4.0)
            patch.setattr(module, "_ROUNDS", 0)
            earliest = cut(datapath, 4.0)
        assert fewest.depth == moved.depth == earliest.depth
        bits = [register_bits(datapath, pipeline) for pipeline in (fewest, moved, earliest)]
        assert bits == sorted(bits)
        assert bits[0] < bits[2]


def test_wide_result_of_a_shared_word_is_computed_late():
    datapath = Datapath()
    x, y = datapath.input("x", 0, 15), datapath.input("y", 0, 15)
    product = datapath.multiply(x, y)
    deep = datapath.add(product, datapath.add(datapath.multiply(product, x), datapath.multiply(product, y)))
    datapath.output("deep", deep)
    datapath.output("x", x)
    datapath.output("y", y)
    datapath.output("table", datapath.table(x, [(i * 37) % 1000 + 5000 for i in range(16)]))
    pipeline = cut(datapath, 5.0)
    table = datapath.outputs["table"].index
    # x lives to the end anyhow: its table of 13 bits need not.
    assert pipeline.step[table] == pipeline.depth > 1


def test_depth_grows_with_the_clock():
    datapath = Datapath()
    words = [datapath.input(f"x{i}", -128, 127) for i in range(16)]
    datapath.output("y", datapath.sum(words))
    assert [cut(datapath, period).depth for period in (100.0, 5.0, 2.0)] == [0, 1, 3]
    assert cut(datapath, 2.0, Delays(chain=0.1, carry=0.0)).depth == 0


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_period_for_a_depth(depth):
    datapath = Datapath()
    words = [datapath.input(f"x{i}", -128, 127) for i in range(64)]
    datapath.output("y", datapath.sum(words))
    period = period_for(datapath, depth)
    assert cut(datapath, period).depth <= depth
    assert period == period_for(datapath, depth)
    assert cut(datapath, 0.97 * period).depth > depth
    with pytest.raises(ConfigurationError, match=r"^depth must be 0 or more, not -1$"):
        period_for(datapath, -1)


def test_period_for_datapaths_in_a_row():
    short, long = Datapath(), Datapath()
    for datapath, size in ((short, 4), (long, 64)):
        datapath.output("y", datapath.sum([datapath.input(f"x{i}", -128, 127) for i in range(size)]))
    period = period_for([short, long], 2)
    depths = [cut(datapath, period).depth for datapath in (short, long)]
    assert sum(depths) == 2
    assert sum(cut(datapath, 0.97 * period).depth for datapath in (short, long)) > 2


def test_nothing_to_compute():
    datapath = Datapath()
    datapath.output("x", datapath.input("x", 0, 3))
    datapath.output("one", datapath.constant(1))
    assert cut(datapath, 5.0).depth == 0
    with pytest.raises(ConfigurationError, match=r"^clock period must be positive, not 0 ns$"):
        cut(datapath, 0)
