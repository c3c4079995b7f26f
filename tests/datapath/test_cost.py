from rtl4ml.datapath.cost import carry_bits, live_nodes, multipliers, register_bits
from rtl4ml.datapath.pipeline import cut
from rtl4ml.datapath.words import Datapath


def test_costs_count_what_outputs_need():
    datapath = Datapath()
    x, y = datapath.input("x", -8, 7), datapath.input("y", 0, 15)
    datapath.multiply(x, x)  # nobody uses it
    total = datapath.add(x, datapath.shift_left(y, 3))
    assert carry_bits(datapath) == 0
    assert carry_bits(datapath, [total]) == 5
    datapath.output("total", total)
    datapath.output("product", datapath.multiply(x, y))
    datapath.output("positive", datapath.at_least(x, datapath.constant(0)))
    datapath.output("limited", datapath.clip(total, 0, 31))
    assert carry_bits(datapath) == 5
    datapath.output("odd", datapath.at_least(y, datapath.constant(6)))
    datapath.output("order", datapath.at_least(x, y))
    datapath.output("limited to nine", datapath.clip(y, 0, 8))
    assert carry_bits(datapath) == 5 + 3 + 4 + 4
    assert multipliers(datapath) == 1
    assert 2 not in live_nodes(datapath)


def test_register_bits():
    datapath = Datapath()
    x, y = datapath.input("x", -8, 7), datapath.input("y", 0, 15)
    datapath.output("y", datapath.multiply(datapath.multiply(x, y), y))
    # The product of 8 bits and the second factor wait for the second multiplier.
    pipeline = cut(datapath, 4.5)
    assert pipeline.depth == 1
    assert register_bits(datapath, pipeline) == 8 + 4
