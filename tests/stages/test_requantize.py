import numpy as np
import pytest

from rtl4ml.graph import Graph
from rtl4ml.stages.requantize import RequantizeStage
from tests.stages.networks import NOTHING, inputs, network
from tests.stages.test_dense import check


def alone(kind, n, seed, bits=4):
    """A graph of one Requantize: that behind a Dense of n outputs, on its own."""
    graph, forms = network((3, n), seed, kinds=[kind], bits=bits)
    operator = graph.operators[1]
    names = {name: graph.tensors[name] for name in (operator.inputs[0], operator.output)}
    source = operator.inputs[0]
    return Graph("net", (operator,), names, source, operator.output, NOTHING, NOTHING, (n,), (n,)), forms["q0"]


@pytest.mark.parametrize("kind", ["shift", "constant", "affine", "thresholds"])
@pytest.mark.parametrize(("lanes", "lanes_in"), [(7, 7), (1, 1), (2, 2), (3, 2), (5, 7), (4, 1)])
def test_forms_and_lanes(kind, lanes, lanes_in):
    graph, form = alone(kind, 7, 3)
    stage = RequantizeStage(graph, "q0", lanes, 300, form, lanes_in)
    check(graph, [stage])
    # A multiplier for every lane whose factor changes from beat to beat.
    factors = [set(form.multiplier[lane::lanes].tolist()) for lane in range(lanes)] if kind == "affine" else []
    assert stage.multipliers == sum(len(factor) > 1 for factor in factors)


@pytest.mark.parametrize("bits", [2, 6])
def test_wide_codes(bits):
    graph, form = alone("thresholds", 5, 8, bits)
    check(graph, [RequantizeStage(graph, "q0", 2, 200, form)])
    codes = inputs(graph, 50, 1)
    stage = RequantizeStage(graph, "q0", 5, 200, form)
    assert np.array_equal(stage.evaluate(codes), graph.evaluate(codes)[graph.output])
