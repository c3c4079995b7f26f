import numpy as np
import pytest

from rtl4ml.errors import ConfigurationError
from rtl4ml.operators import Dense
from rtl4ml.planning.schedule import simulate, summarise
from rtl4ml.stages.dense import DenseStage
from rtl4ml.stages.digit_matrix import digit_matrix
from rtl4ml.stages.digit_serial import DigitStage
from tests.stages.chain import run
from tests.stages.networks import inputs, network
from tests.stages.test_dense import check


def stage_of(graph, forms, digits, *, clock=200, backpressure=True, lanes_in=None, names=None):
    chosen = [o for o in graph.operators if names is None or o.name in names]
    layers = [o.name for o in chosen if isinstance(o, Dense)]
    given = dict(zip(layers, digits, strict=True))
    return DigitStage(graph, [o.name for o in chosen], given, clock, forms, backpressure, lanes_in)


@pytest.mark.parametrize("digit", [1, 2, 3])
@pytest.mark.parametrize("kind", ["shift", "affine", "thresholds", "constant"])
def test_one_layer(kind, digit):
    graph, forms = network((6, 5), digit, kinds=[kind], bits=4)
    stage = stage_of(graph, forms, [digit])
    assert stage.multipliers == 0
    check(graph, [stage])
    assert summarise([stage]).interval == stage.cycles == -(-4 // digit)
    assert summarise([stage]).latency == stage.timing.depth + 1


@pytest.mark.parametrize("digits", [(1, 1, 1), (2, 3, 1), (4, 4, 4), (3, 1, 2)])
@pytest.mark.parametrize("clock", [50, 200, 500])
def test_layers_in_a_row(clock, digits):
    graph, forms = network((7, 6, 5, 3), 5, kinds=["affine", "shift", "thresholds"], bits=5)
    stage = stage_of(graph, forms, digits, clock=clock)
    check(graph, [stage], frames=7)
    assert summarise([stage]).interval == max(plan.cycles for plan in stage.plans)


@pytest.mark.parametrize("lanes_in", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("digit", [1, 2])
def test_lanes(lanes_in, digit):
    graph, forms = network((7, 3), 2, last=False, zero_point=2)
    check(graph, [stage_of(graph, forms, [digit], lanes_in=lanes_in)])


@pytest.mark.parametrize(
    "options",
    [
        dict(zero_point=3),
        dict(signed=False, zero_point=5),
        dict(signed=False),
        dict(last=False, zero_point=-2, bits=6),
        dict(weights=lambda layer, n_in, n_out: np.where(np.arange(n_out) % 2, 0, np.full((n_in, n_out), -7))),
    ],
)
@pytest.mark.parametrize("digit", [1, 3])
def test_zero_points_and_dead_neurons(options, digit):
    graph, forms = network((6, 5, 4), 1, **options)
    check(graph, [stage_of(graph, forms, [digit, digit])])


def test_layers_without_a_staircase_between_them():
    graph, forms = network((6, 5), 3, last=False)
    other, _ = network((5, 4), 4, last=False, bits=9)
    joined = stage_of(graph, forms, [2])
    assert joined.out_shape.width > 4
    check(graph, [joined])
    check(other, [stage_of(other, {}, [2])])


@pytest.mark.parametrize("seed", range(10))
def test_random(seed):
    generator = np.random.default_rng(seed)
    sizes = tuple(generator.integers(1, 9, int(generator.integers(2, 5))).tolist())
    bits = int(generator.integers(2, 8))
    kinds = generator.choice(["shift", "affine", "thresholds"], len(sizes) - 1).tolist()
    share = float(generator.choice([0.5, 1.0]))
    graph, forms = network(
        sizes,
        seed,
        kinds=kinds,
        bits=bits,
        signed=bool(generator.random() < 0.5),
        zero_point=int(generator.integers(0, 3)),
        last=bool(generator.random() < 0.7),
        weights=lambda layer, a, b: generator.integers(-9, 10, (a, b)) * (generator.random((a, b)) < share),
    )
    widths = [digit_matrix(graph, o).bits for o in graph.operators if isinstance(o, Dense)]
    # A random network may end in constants.
    digits = [int(generator.integers(1, max(2, width))) for width in widths]
    stage = stage_of(graph, forms, digits, clock=float(generator.uniform(50, 500)))
    check(graph, [stage], frames=5)


@pytest.mark.parametrize("clock", [20, 300])
def test_free_running(clock):
    graph, forms = network((6, 5, 3), 1, kinds=["affine", "shift"])
    stage = stage_of(graph, forms, [2, 1], clock=clock, backpressure=False)
    assert stage.timing.slots is None
    assert summarise([stage]) == summarise([stage_of(graph, forms, [2, 1], clock=clock)])
    codes = inputs(graph, 9, 3)
    got, accepted, handed = run([stage], codes)
    assert np.array_equal(got, graph.evaluate(codes)[graph.output])
    assert np.array_equal(np.diff(accepted[:, 0]), np.full(8, 4))
    assert np.array_equal(handed - accepted, np.full((9, 1), stage.timing.depth + 1))


def test_between_other_stages():
    graph, forms = network((6, 5, 4, 3), 4, kinds=["affine", "shift", "thresholds"])
    first = DenseStage(graph, "fc0", "q0", (2, 3), 2, 200, forms["q0"])
    digits = stage_of(graph, forms, [2], names=["fc1", "q1"], lanes_in=first.lanes_out)
    last = DenseStage(graph, "fc2", "q2", (3, 1), 4, 200, forms["q2"])
    check(graph, [first, digits, last], frames=6)
    codes = inputs(graph, 6, 1)
    assert np.array_equal(run([first, digits, last], codes)[2], simulate([first, digits, last], 6).handed_over)


def test_only_dense_nodes_in_a_chain():
    graph, forms = network((4, 3, 2), 1)
    with pytest.raises(ConfigurationError, match=r"^Node 'q0' must be a Dense, or the Requantize behind one"):
        stage_of(graph, forms, [1], names=["q0", "fc1"])
