import itertools

import numpy as np
import pytest

from rtl4ml.errors import ConfigurationError
from rtl4ml.planning.schedule import Summary, simulate, summarise
from rtl4ml.stages.dense import DenseStage
from rtl4ml.stages.requantize import RequantizeStage
from rtl4ml.stages.tile import choose_tile
from tests.hdl.bench import randomly
from tests.stages.chain import run
from tests.stages.networks import inputs, network


def dense_chain(sizes, seed, reuses, lanes_in=None, clock=200, apart=(), **options):
    """Every layer a DenseStage with its reuse; layers in `apart` have their Requantize as a stage of its own."""
    graph, forms = network(sizes, seed, **options)
    stages = []
    lanes = lanes_in or sizes[0]
    for layer, reuse in enumerate(reuses):
        tile = choose_tile(sizes[layer], sizes[layer + 1], reuse)
        name = f"q{layer}" if f"q{layer}" in forms else None
        if layer in apart:
            stages.append(DenseStage(graph, f"fc{layer}", None, tile, lanes, clock, None))
            stages.append(RequantizeStage(graph, name, 2, clock, forms[name], tile[0]))
            lanes = 2
        else:
            stages.append(DenseStage(graph, f"fc{layer}", name, tile, lanes, clock, forms.get(name)))
            lanes = tile[0]
    return graph, stages


def check(graph, stages, frames=7):
    codes = inputs(graph, frames, 5)
    expected = graph.evaluate(codes)[graph.output]
    got, accepted, handed = run(stages, codes)
    assert np.array_equal(got, expected)
    timeline = simulate(stages, frames)
    assert np.array_equal(accepted, timeline.accepted)
    assert np.array_equal(handed, timeline.handed_over)


CHAINS = [
    ((7, 5, 3), (5, 3)),
    ((7, 5, 3), (35, 15)),
    ((7, 5, 3), (2, 15)),
    ((7, 5, 3), (35, 1)),
    ((7, 5, 3), (1, 1)),
    ((13, 11, 7, 5), (13, 11, 7)),
    ((13, 11, 7, 5), (3, 60, 4)),
    ((13, 11, 7, 5), (143, 5, 35)),
    ((13, 11, 7, 5), (6, 11, 35)),
    ((1, 6, 1, 4), (2, 3, 4)),
    ((8, 8, 8, 8), (4, 64, 16)),
    ((3, 17, 2), (6, 30)),
    ((3, 17, 2), (51, 2)),
]


@pytest.mark.parametrize(("sizes", "reuses"), CHAINS)
@pytest.mark.parametrize("lanes_in", [None, 1, 3])
def test_equals_simulation(sizes, reuses, lanes_in):
    check(*dense_chain(sizes, 1, reuses, lanes_in))


@pytest.mark.parametrize("seed", range(25))
def test_random_chains_equal_simulation(seed):
    generator = np.random.default_rng(seed)
    layers = int(generator.integers(1, 4))
    sizes = [int(size) for size in generator.integers(1, 14, layers + 1)]
    reuses = [int(generator.integers(1, a * b + 1)) for a, b in itertools.pairwise(sizes)]
    kinds = [str(kind) for kind in generator.choice(["shift", "affine", "thresholds"], layers)]
    apart = [layer for layer in range(layers) if generator.random() < 0.3]
    lanes = int(generator.integers(1, sizes[0] + 1))
    clock = float(generator.choice([50, 150, 300, 450]))
    check(*dense_chain(sizes, seed, reuses, lanes, clock, apart, kinds=kinds))


@pytest.mark.parametrize("seed", range(4))
def test_stalls_change_no_code(seed):
    graph, stages = dense_chain((13, 11, 7, 5), seed, [(5, 60, 35), (143, 3, 7), (1, 2, 3), (13, 11, 35)][seed], 4)
    codes = inputs(graph, 6, seed)
    got, *_ = run(stages, codes, source=randomly(seed, 0.5), sink=randomly(seed + 10, [0.2, 0.9, 0.6, 0.5][seed]))
    assert np.array_equal(got, graph.evaluate(codes)[graph.output])


@pytest.mark.parametrize(("sizes", "reuses"), CHAINS)
def test_interval_is_that_of_the_slowest_stage(sizes, reuses):
    _, stages = dense_chain(sizes, 1, reuses)
    slowest = max(max(t.issues, t.beats_in, t.beats_out) for t in (stage.timing for stage in stages))
    assert summarise(stages).interval == slowest


@pytest.mark.parametrize(
    ("sizes", "tile", "lanes_in", "lanes"),
    [((14, 17), (16, 6), 6, 3), ((5, 4), (3, 3), 2, 1), ((8, 17), (16, 1), 1, 1)],
)
def test_an_uneven_reader_costs_no_cycle(sizes, tile, lanes_in, lanes):
    # The last beat of a frame has one element: its reader is soon done with it, and late with the one before.
    graph, forms = network(sizes, 1)
    dense = DenseStage(graph, "fc0", None, tile, lanes_in, 200, None)
    stages = [dense, RequantizeStage(graph, "q0", lanes, 200, forms["q0"], tile[0])]
    check(graph, stages)
    assert summarise(stages).interval == max(stage.timing.issues for stage in stages)


def test_latency_of_a_single_multiplier():
    # 6 products, one each cycle, the first word read an edge after it was written; registers at weights, product and
    # accumulator; the FIFO.
    _, stages = dense_chain((3, 2), 1, (6,), 1, last=False)
    assert summarise(stages) == Summary(latency=1 + 5 + 3 + 1, interval=6)


def test_offered_interval():
    _, stages = dense_chain((7, 5, 3), 1, (5, 3))
    timeline = simulate(stages, 4, interval=40)
    assert timeline.accepted[:, 0].tolist() == [0, 40, 80, 120]
    assert np.array_equal(np.diff(timeline.handed_over, axis=0), np.full((3, timeline.handed_over.shape[1]), 40))


def test_lanes_of_neighbours_must_agree():
    _, stages = dense_chain((7, 5, 3), 1, (5, 3))
    with pytest.raises(
        ConfigurationError, match=r"^Stage 'fc0' must take 3 elements in beats of \d, not 7 in beats of 7$"
    ):
        simulate([stages[1], stages[0]], 1)
