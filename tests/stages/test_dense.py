import numpy as np
import pytest

from rtl4ml.hdl.mac_products import ProductKind
from rtl4ml.planning.schedule import simulate
from rtl4ml.stages.dense import DenseStage
from rtl4ml.stages.tile import choose_tile
from tests.hdl.bench import randomly, refuses
from tests.stages.chain import run
from tests.stages.networks import inputs, network


def dense(sizes, seed, reuse, lanes_in=None, clock=200, tile=None, **options):
    graph, forms = network(sizes, seed, **options)
    requantize = "q0" if "q0" in forms else None
    tile = tile or choose_tile(*sizes, reuse)
    stage = DenseStage(graph, "fc0", requantize, tile, lanes_in or sizes[0], clock, forms.get("q0"))
    return graph, stage


def check(graph, stages, frames=4, seed=1):
    codes = inputs(graph, frames, seed)
    expected = graph.evaluate(codes)[graph.output]
    value = codes
    for stage in stages:
        value = stage.evaluate(value)
    assert np.array_equal(value, expected)
    got, accepted, handed = run(stages, codes)
    assert np.array_equal(got, expected)
    timeline = simulate(stages, frames)
    assert np.array_equal(accepted, timeline.accepted)
    assert np.array_equal(handed, timeline.handed_over)
    got, *_ = run(stages, codes, source=randomly(1, 0.4), sink=randomly(2, 0.6))
    assert np.array_equal(got, expected)


@pytest.mark.parametrize("reuse", [1, 2, 3, 5, 7, 11, 35, 77, 1000])
@pytest.mark.parametrize("sizes", [(7, 11), (1, 5), (5, 1), (8, 6)])
def test_reuse(sizes, reuse):
    graph, stage = dense(sizes, reuse, reuse)
    check(graph, [stage])


@pytest.mark.parametrize("lanes_in", [1, 2, 3, 5, 7, 9])
@pytest.mark.parametrize("tile", [(1, 1), (2, 3), (3, 2), (5, 7), (1, 7), (5, 1)])
def test_lanes(tile, lanes_in):
    graph, stage = dense((7, 5), 3, 0, lanes_in, tile=tile)
    check(graph, [stage])


@pytest.mark.parametrize("kind", ["shift", "constant", "affine", "thresholds"])
@pytest.mark.parametrize("bits", [2, 3, 5])
@pytest.mark.parametrize("tile", [(3, 2), (7, 5), (1, 5), (2, 5)])
def test_forms(kind, bits, tile):
    graph, stage = dense((5, 7), bits, 0, 2, tile=tile, kinds=[kind], bits=bits, clock=300)
    check(graph, [stage])
    if tile == (7, 5):
        assert stage.multipliers == 0  # every weight has a place of its own: adders
    else:
        products = sum(product.kind is ProductKind.MULTIPLIER for product in stage.plan.products.values())
        assert products + stage.logic_products <= tile[0] * tile[1]
        # Behind a constant function nothing is built that nobody reads.
        assert stage.multipliers == {"constant": 0, "affine": products + tile[0]}.get(kind, products)


@pytest.mark.parametrize("reuse", [2, 6, 13])
@pytest.mark.parametrize(
    "options", [dict(zero_point=3), dict(signed=False, zero_point=5), dict(last=False), dict(last=False, zero_point=-2)]
)
def test_zero_points_and_accumulators(reuse, options):
    graph, stage = dense((6, 5), 1, reuse, 3, **options)
    check(graph, [stage])


@pytest.mark.parametrize("reuse", [1, 4, 30])
@pytest.mark.parametrize("value", [0, 1, -8, 7])
def test_constant_weights(reuse, value):
    graph, stage = dense(
        (6, 5), 1, reuse, 6, weights=lambda layer, n_in, n_out: np.full((n_in, n_out), value), last=False
    )
    check(graph, [stage])


@pytest.mark.parametrize("clock", [50, 100, 250, 500])
def test_clocks(clock):
    graph, stage = dense((24, 6), 1, 12, 8, clock=clock, kinds=["affine"], bits=6)
    check(graph, [stage])


@pytest.mark.parametrize("kind", ["affine", "thresholds"])
@pytest.mark.parametrize(
    ("tile", "finish", "lanes_in"),
    [((4, 2), 2, 7), ((7, 1), 1, 1), ((2, 3), 1, 2), ((4, 1), 4, 3), ((6, 2), 2, 7), ((6, 1), 3, 2)],
)
def test_fewer_lanes_behind_the_accumulators(tile, finish, lanes_in, kind):
    graph, forms = network((7, 7), 2, kinds=[kind], bits=5)
    stage = DenseStage(graph, "fc0", "q0", tile, lanes_in, 200, forms["q0"], finish=finish)
    check(graph, [stage])
    assert stage.lanes_out == finish
    assert stage.multipliers <= tile[0] * tile[1] + finish


def test_beats_must_be_through_before_the_next_group():
    graph, forms = network((7, 7), 2, kinds=["affine"])
    refuses(
        lambda: DenseStage(graph, "fc0", "q0", (4, 3), 7, 200, forms["q0"], finish=1),
        "Beats of a group must be no more than its 3 words, not 4",
    )
