import numpy as np
import pytest

from rtl4ml.planning.schedule import simulate
from rtl4ml.stages.dense import DenseStage
from rtl4ml.stages.loadable import slots_for
from tests.hdl.bench import refuses
from tests.stages.loadable import stages_of, with_limits
from tests.stages.networks import network, requantizer


def stage_of(tile, finish=None):
    graph, forms = network((8, 6), 1, kinds=["affine"])
    return DenseStage(graph, "fc0", "q0", tile, 8, 200, forms["q0"], finish=finish)


@pytest.mark.parametrize(("tile", "finish"), [((2, 2), 2), ((2, 2), 1), ((3, 2), 1), ((6, 2), 2), ((6, 8), 6)])
def test_slots_are_enough(tile, finish):
    """A reader that is always ready never makes the tile wait."""
    stage = stage_of(tile, finish)
    plan = stage.plan
    assert stage.timing.slots == slots_for(plan.depth, plan.words, tile[0] // finish)
    ends = simulate([stage], 6).handed_over[:, -1]
    assert ends[-1] - ends[-2] == max(stage.timing.issues, stage.timing.beats_out)


def test_memory_is_counted():
    stage = stage_of((2, 2), 1)
    bits = stage.memory_bits
    assert bits["frames"] == 2 * 8 * 4
    assert bits["weights"] == 12 * 4 * 4
    assert bits["fifo"] == stage.timing.slots * 4
    assert bits["parameters"] > 0
    # One pass: nothing is stored, and constants stand in the logic.
    assert [stage_of((6, 8)).memory_bits[name] for name in ("frames", "weights", "parameters")] == [0, 0, 0]


def test_two_banks_are_counted():
    graph, _ = network((8, 6), 1, kinds=["shift"])
    (stage,) = stages_of(with_limits(graph, ["shift"], 2, requantizer), [(2, 2)], 8)
    weights, biases = stage.tables
    assert stage.memory_bits["weights"] == 2 * 12 * 4 * weights.shape.width
    assert stage.memory_bits["parameters"] >= 2 * 3 * 2 * biases.shape.width


def test_constant_weights_cannot_be_loaded():
    stage = stage_of((2, 2))
    message = "Weights of stage 'fc0' must be writable to be loaded"
    refuses(lambda: stage.load(np.zeros((8, 6), np.int64), np.zeros(6, np.int64)), message)
