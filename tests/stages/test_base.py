import numpy as np
import pytest
from amaranth.hdl import signed

from rtl4ml.hdl.tables import shape_of_range
from rtl4ml.stages.base import edge_shape, identifier
from tests.stages.networks import network


@pytest.mark.parametrize(
    ("name", "plain"),
    [("fc1", "fc1"), ("/layers.0/MatMul", "layers_0_MatMul"), ("0", "node_0"), ("", "node"), ("größe", "gr_e")],
)
def test_identifier(name, plain):
    assert identifier(name) == plain


def test_borders_have_the_width_of_their_format_and_edges_that_of_their_range():
    graph, _ = network((3, 4, 2), 1, weights=lambda layer, n_in, n_out: np.zeros((n_in, n_out), int))
    assert edge_shape(graph, "x") == signed(4)
    assert edge_shape(graph, "y0") == shape_of_range(*graph.tensors["y0"].range)
    assert edge_shape(graph, "y0").width < 4
    assert edge_shape(graph, "y1") == signed(4)
