import numpy as np
import pytest

from rtl4ml.export.verilog import convert, count_multipliers
from rtl4ml.hdl.zero_skipping import PackedSearch, PackedTile, dense_lanes
from rtl4ml.planning.schedule import summarise
from rtl4ml.stages.dense import DenseStage
from rtl4ml.stages.sparse import SparseStage
from tests.hdl.bench import refuses
from tests.stages.networks import network
from tests.stages.test_dense import check


def sparse_weights(share, seed=0):
    def weights(layer, n_in, n_out):
        generator = np.random.default_rng(seed + layer)
        numbers = generator.integers(-8, 8, (n_in, n_out)) * (generator.random((n_in, n_out)) < share)
        if n_out > 2:
            numbers[:, 1] = 0
        return numbers

    return weights


def stage_of(sizes, seed, tile, lanes_in=None, clock=200, share=0.5, copies=1, sharing=1, pair_bits=0, **options):
    graph, forms = network(sizes, seed, weights=sparse_weights(share, seed), **options)
    requantize = "q0" if "q0" in forms else None
    packed = PackedTile(tile[0], tile[1], tile[0], copies, sharing)
    lanes_in = lanes_in or tile[1]
    return graph, SparseStage(graph, "fc0", requantize, packed, lanes_in, clock, forms.get("q0"), pair_bits)


@pytest.mark.parametrize("tile", [(1, 1), (2, 1), (3, 2), (1, 4), (7, 1), (7, 9)])
@pytest.mark.parametrize("kind", ["affine", "thresholds"])
def test_tiles(tile, kind):
    graph, stage = stage_of((9, 7), 1, tile, kinds=[kind], bits=5)
    check(graph, [stage], frames=5)
    assert summarise([stage]).interval == max(stage.timing.issues, stage.timing.beats_in)
    assert stage.timing.issues == max(stage.packed.lengths.sum(), -(-9 // tile[1]))


@pytest.mark.parametrize("lanes_in", [1, 2, 5, 9])
@pytest.mark.parametrize("share", [0.1, 1.0])
def test_lanes(lanes_in, share):
    graph, stage = stage_of((9, 5), 2, (2, 2), lanes_in, share=share, last=False, zero_point=3)
    check(graph, [stage], frames=5)


@pytest.mark.parametrize("clock", [50, 450])
@pytest.mark.parametrize("sizes", [(1, 5), (5, 1), (20, 3)])
def test_sizes_and_clocks(sizes, clock):
    graph, stage = stage_of(sizes, 3, (1, 1), clock=clock, share=0.4)
    check(graph, [stage])


def test_nothing_but_zeros():
    graph, stage = stage_of((4, 3), 3, (1, 2), share=0.0)
    assert (stage.multipliers, stage.packed.lengths.tolist()) == (0, [1, 1, 1])
    check(graph, [stage])


def test_zeros_take_no_time():
    """A single multiplier sees each weight that is not 0 once; a matrix without zeros takes what it always took."""
    graph, stage = stage_of((16, 8), 4, (1, 1))
    layer = graph.operators[0]
    alone = np.maximum(np.count_nonzero(layer.weights, axis=0), 1).sum()
    assert stage.timing.issues == alone < 0.6 * layer.weights.size
    full, _ = network((16, 8), 4, weights=lambda layer, n_in, n_out: np.full((n_in, n_out), 3))
    found = PackedSearch(dict.fromkeys(dense_lanes(16, 32), 0.0)).cheapest(full.operators[0].weights, 32)
    assert found.multipliers == 4


def test_multipliers_are_those_of_the_verilog():
    graph, stage = stage_of((12, 6), 5, (2, 2), bits=6)
    assert stage.multipliers == 4
    assert count_multipliers({"a.v": convert(stage.component(), "a", "a")}, "a") == 4
    graph, forms = network((12, 6), 5, weights=sparse_weights(0.5, 5), bits=6)
    dense = DenseStage(graph, "fc0", "q0", (2, 2), 2, 200, forms["q0"])
    assert stage.timing.issues < 0.85 * dense.timing.issues


def test_tiles_that_do_not_fit():
    refuses(
        lambda: stage_of((4, 3), 1, (4, 1)),
        "Tile of node 'fc0' must be of 1 to 3 outputs and 1 to 4 inputs, not 4 x 1",
    )


@pytest.mark.parametrize("tile", [(2, 1), (3, 2), (4, 1), (3, 1)])
@pytest.mark.parametrize("options", [{}, dict(signed=False), dict(last=False, zero_point=5)])
def test_two_outputs_share_readers_and_multipliers(tile, options):
    graph, stage = stage_of((6, 6), 6, tile, sharing=2, pair_bits=27, share=0.6, bits=8, weight_bits=8, **options)
    check(graph, [stage])
    positions = len(stage.plan.positions)
    assert stage.packed.used.sum() <= stage.multipliers < positions
    assert count_multipliers({"a.v": convert(stage.component(), "a", "a")}, "a") == stage.multipliers


@pytest.mark.parametrize(("tile", "copies"), [((1, 1), 3), ((3, 2), 2), ((7, 1), 9)])
def test_several_readers_of_a_lane(tile, copies):
    graph, stage = stage_of((9, 7), 2, tile, bits=5, copies=copies)
    check(graph, [stage])
    assert stage.timing.issues == max(stage.packed.lengths.sum(), -(-9 // tile[1]))
    alone = stage_of((9, 7), 2, tile, bits=5)[1]
    assert stage.packed.lengths.sum() < alone.packed.lengths.sum()


def test_tiles_of_a_vector_have_a_beat_a_pass():
    graph, forms = network((4, 3), 1)
    refuses(
        lambda: SparseStage(graph, "fc0", "q0", PackedTile(2, 1, 1), 1, 200, forms["q0"]),
        "Tile of node 'fc0' must have a beat a pass, not 2 of 1 outputs",
    )
