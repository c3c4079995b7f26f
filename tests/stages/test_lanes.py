import numpy as np
import pytest
from amaranth.hdl import signed

from rtl4ml.planning.schedule import simulate, summarise
from rtl4ml.stages.dense import DenseStage
from rtl4ml.stages.lanes import LanesStage
from tests.hdl.bench import randomly, refuses
from tests.stages.chain import run
from tests.stages.networks import inputs, network


@pytest.mark.parametrize("lanes_in", [1, 2, 3, 7])
@pytest.mark.parametrize("lanes_out", [1, 2, 5, 7])
def test_any_lanes(lanes_in, lanes_out):
    if lanes_in == lanes_out:
        refuses(
            lambda: LanesStage("lanes", signed(4), 7, lanes_in, lanes_out),
            f"Lanes in and out of stage 'lanes' must differ, not be {lanes_in} both",
        )
        return
    stage = LanesStage("lanes", signed(4), 7, lanes_in, lanes_out)
    codes = np.random.default_rng(1).integers(-8, 8, (5, 7))
    got, accepted, handed = run([stage], codes)
    assert np.array_equal(got, codes)
    timeline = simulate([stage], 5)
    assert np.array_equal(accepted, timeline.accepted)
    assert np.array_equal(handed, timeline.handed_over)
    got, *_ = run([stage], codes, source=randomly(1, 0.4), sink=randomly(2, 0.6))
    assert np.array_equal(got, codes)
    assert summarise([stage]).interval == max(-(-7 // lanes_in), -(-7 // lanes_out))


@pytest.mark.parametrize("lanes_out", [2, 3, 10])
@pytest.mark.parametrize("tile", [(1, 2), (4, 3), (11, 5)])
def test_behind_a_layer(tile, lanes_out):
    graph, forms = network((5, 11), 3)
    stage = DenseStage(graph, "fc0", "q0", tile, 5, 200, forms["q0"])
    stages = [stage, LanesStage("lanes", stage.out_shape, 11, tile[0], lanes_out)]
    codes = inputs(graph, 6, 2)
    got, accepted, handed = run(stages, codes)
    assert np.array_equal(got, graph.evaluate(codes)[graph.output])
    timeline = simulate(stages, 6)
    assert np.array_equal(accepted, timeline.accepted)
    assert np.array_equal(handed, timeline.handed_over)
