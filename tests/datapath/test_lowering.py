import numpy as np
import pytest
from amaranth.hdl import Fragment, Module, Signal

from rtl4ml.datapath.lowering import lower
from rtl4ml.datapath.pipeline import cut
from rtl4ml.datapath.words import Datapath
from rtl4ml.errors import ConfigurationError


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("period", [1000.0, 4.0, 0.5])
def test_hardware_repeats_evaluate(run, make, values, seed, period):
    datapath = make(seed, 60)
    inputs = values(datapath, 40, seed)
    expected = datapath.evaluate(inputs)
    pipeline = cut(datapath, period)
    assert (pipeline.depth == 0) == (period == 1000.0)
    actual = run(datapath, pipeline, inputs)
    for name, array in expected.items():
        np.testing.assert_array_equal(actual[name], array, err_msg=name)


def test_inputs_must_match():
    datapath = Datapath()
    datapath.output("y", datapath.input("x", 0, 3))
    m = Module()
    with pytest.raises(ConfigurationError, match=r"^inputs must be \['x'\], not \['z'\]$"):
        lower(m, datapath, cut(datapath, 5.0), {"z": Signal(2)})
    Fragment.get(m, None)


def test_wider_ports_and_expressions_are_accepted():
    datapath = Datapath()
    x = datapath.input("x", -3, 4)
    datapath.output("y", datapath.add(x, datapath.shift_left(x, 2)))
    m = Module()
    port = Signal(8)
    outputs = lower(m, datapath, cut(datapath, 5.0), {"x": port[1:5]}, prefix="a")
    Fragment.get(m, None)
    assert {name: (len(signal), signal.name) for name, signal in outputs.items()} == {"y": (6, "a2")}
