import numpy as np
import pytest

from rtl4ml.errors import ConfigurationError
from rtl4ml.graph import Graph
from rtl4ml.planning.schedule import Summary, simulate, summarise
from rtl4ml.stages.dense import DenseStage
from rtl4ml.stages.region import RegionStage
from tests.stages.chain import run
from tests.stages.networks import inputs, network
from tests.stages.test_dense import check


def names(graph: Graph, *layers: int) -> list[str]:
    wanted = {f"{kind}{layer}" for layer in layers for kind in ("fc", "q")}
    return [operator.name for operator in graph.operators if operator.name in wanted]


@pytest.mark.parametrize("clock", [50, 200, 450])
@pytest.mark.parametrize("kind", ["shift", "affine", "thresholds", "constant"])
def test_whole_network(kind, clock):
    graph, forms = network((6, 5, 3), 1, kinds=[kind] * 2)
    stage = RegionStage(graph, names(graph, 0, 1), clock, forms, True)
    assert stage.multipliers == 0
    check(graph, [stage])
    depth = stage.pipeline.depth
    assert summarise([stage]) == Summary(latency=depth + 1, interval=1)


@pytest.mark.parametrize("lanes_in", [1, 2, 4, 7])
def test_lanes(lanes_in):
    graph, forms = network((7, 3), 2, last=False, zero_point=2)
    check(graph, [RegionStage(graph, names(graph, 0), 200, forms, True, lanes_in)])


@pytest.mark.parametrize("clock", [20, 300])
def test_free_running(clock):
    graph, forms = network((6, 5, 3), 1, kinds=["affine", "shift"])
    stage = RegionStage(graph, names(graph, 0, 1), clock, forms, False)
    check_timing = summarise([stage])
    assert check_timing == summarise([RegionStage(graph, names(graph, 0, 1), clock, forms, True)])
    codes = inputs(graph, 9, 3)
    got, accepted, handed = run([stage], codes)
    assert np.array_equal(got, graph.evaluate(codes)[graph.output])
    timeline = simulate([stage], 9)
    assert np.array_equal(accepted, timeline.accepted)
    assert np.array_equal(handed, timeline.handed_over)


@pytest.mark.parametrize("tile", [(2, 3), (5, 1), (1, 1), (5, 7)])
@pytest.mark.parametrize("first", [True, False])
def test_beside_a_dense_stage(tile, first):
    graph, forms = network((7, 5, 7, 3), 4, kinds=["shift", "affine", "thresholds"])
    if first:
        region = RegionStage(graph, names(graph, 0), 200, forms, True)
        stages = [
            region,
            DenseStage(graph, "fc1", "q1", tile[::-1], region.lanes_out, 200, forms["q1"]),
            RegionStage(graph, names(graph, 2), 200, forms, True, tile[1]),
        ]
    else:
        stages = [
            DenseStage(graph, "fc0", "q0", tile, 2, 200, forms["q0"]),
            RegionStage(graph, names(graph, 1, 2), 200, forms, True, tile[0]),
        ]
    check(graph, stages, frames=6)


def test_weights_all_zero():
    graph, forms = network((4, 3), 1, weights=lambda layer, n_in, n_out: np.zeros((n_in, n_out), int), last=False)
    check(graph, [RegionStage(graph, names(graph, 0), 200, forms, True)])


def test_nodes_but_the_last_must_stay_inside():
    graph, forms = network((4, 3, 2), 1)
    message = r"^Node 'fc0' of a region must feed nodes of the region only, not 'q0'$"
    with pytest.raises(ConfigurationError, match=message):
        RegionStage(graph, ["fc0", "fc1"], 200, forms, True)
