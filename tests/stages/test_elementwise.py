import re

import numpy as np
import pytest

from rtl4ml.errors import ConfigurationError
from rtl4ml.planning.forms import choose
from rtl4ml.planning.network import Network, Placed
from rtl4ml.planning.schedule import simulate
from rtl4ml.stages.elementwise import ElementwiseStage
from rtl4ml.stages.region import RegionStage, region_border
from tests.networks.branched import MODELS, graph_of
from tests.planning.dag import run_network


def join_of(name):
    """The graph, names of the nodes behind the layers, their forms."""
    graph = graph_of(MODELS[name]())
    kinds = {"Add", "Extreme", "Multiply"}
    index = next(i for i, o in enumerate(graph.operators) if o.kind in kinds)
    nodes = [o for o in graph.operators[index:] if o.kind != "Dense"]
    forms = {o.name: choose(o.staircase, multiplexed=True) for o in nodes if o.kind == "Requantize"}
    return graph, nodes, forms


@pytest.mark.parametrize("lanes", [1, 2, 3, 5])
@pytest.mark.parametrize(
    "name", ["scales_per_channel", "max_of_other_scales", "product", "accumulators_per_channel", "max"]
)
def test_lanes(name, lanes):
    """The meaning through the datapath; parameters from ROM; beats of other widths in front."""
    graph, nodes, forms = join_of(name)
    stage = ElementwiseStage(graph, [n.name for n in nodes], lanes, 200, forms, [2, 3][: len(nodes[0].inputs)])
    sources, target = region_border(graph, nodes)
    input_tensor = graph.input_tensor
    x = np.random.default_rng(0).integers(input_tensor.low, input_tensor.high + 1, (20, input_tensor.size))
    values = graph.evaluate(x, keep=[*sources, target])
    assert np.array_equal(stage.evaluate(*(values[s] for s in sources)), values[target])


def test_both_streams_from_one_fork():
    """A tensor with itself: fork, join, every beat where the schedule has it."""
    graph, nodes, forms = join_of("square")
    assert nodes[0].inputs[0] == nodes[0].inputs[1]
    stage = ElementwiseStage(graph, [n.name for n in nodes], 2, 200, forms, [3])
    network = Network((Placed(stage, (nodes[0].inputs[0],), nodes[-1].output),), nodes[0].inputs[0], nodes[-1].output)
    tensor = graph.tensors[nodes[0].inputs[0]]
    codes = np.random.default_rng(0).integers(tensor.low, tensor.high + 1, (5, tensor.size))
    got, accepted, handed = run_network(network, codes)
    timeline = simulate(network, 5)
    assert np.array_equal(got, stage.evaluate(codes))
    assert np.array_equal(accepted, timeline.accepted)
    assert np.array_equal(handed, timeline.handed_over)


def refused(message, build):
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        build()


def test_errors():
    graph, _, forms = join_of("residual")
    refused(
        "Node 'n_matmul1' must be elementwise, not a Dense",
        lambda: ElementwiseStage(graph, ["n_matmul1"], 2, 200, forms),
    )
    refused(
        "Node 'n_quant3' of a region must feed nodes of the region only, not 'n_add4'",
        lambda: RegionStage(graph, ["n_quant3", "n_matmul6"], 200, forms, True),
    )
    refused(
        "A region without back-pressure must have one tensor in, not 2: quant0, quant3",
        lambda: RegionStage(graph, ["n_add4", "n_quant5"], 200, forms, False),
    )
