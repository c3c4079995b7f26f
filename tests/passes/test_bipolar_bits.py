"""Bits on the wires compute what codes -1 and +1 do."""

import numpy as np
import pytest

from rtl4ml.passes.bipolar_bits import from_bits, pack_bipolar, packable, to_bits
from tests.stages.networks import bipolar_network, inputs


def test_bits_and_codes():
    codes = np.array([[-1, 1, 1]])
    assert to_bits(codes).tolist() == [[0, 1, 1]]
    assert np.array_equal(from_bits(to_bits(codes)), codes)


@pytest.mark.parametrize("last", [True, False])
def test_same_accumulators(last):
    graph = bipolar_network((9, 7, 5), 1, last=last)
    packed = pack_bipolar(graph)
    assert packable(graph) == ({"x", "y0", "y1"} if last else {"x", "y0"})
    assert [packed.tensors[name].range for name in sorted(packable(graph))] == [(0, 1)] * len(packable(graph))
    codes = inputs(graph, 50, 3)
    codes[codes == 0] = 1
    expected = graph.evaluate(codes, keep=graph.tensors)
    got = packed.evaluate(to_bits(codes), keep=packed.tensors)
    for name, values in expected.items():
        assert np.array_equal(from_bits(got[name]) if name in packable(graph) else got[name], values)
        if name.startswith("a"):
            assert packed.tensors[name].range == graph.tensors[name].range


def test_other_graphs_stay():
    graph = bipolar_network((9, 7), 1, activations=False, last=False)
    assert pack_bipolar(graph) is graph
