import time
import warnings

import numpy as np
import pytest

import rtl4ml
from rtl4ml.errors import ConfigurationError
from rtl4ml.planning.event_tables import compile_network
from rtl4ml.planning.fifo_depths import find_depths
from rtl4ml.planning.network import Network, Placed
from rtl4ml.planning.schedule import DeadlockError, simulate, summarise
from tests.hdl.bench import randomly
from tests.networks import spatial
from tests.networks.branched import MODELS, graph_of, residual
from tests.planning.dag import run_network
from tests.planning.synthetic import random_network, residual_network, simulated

CASES = [
    ("residual", 4),
    ("residual", 64),
    ("residual_deep", 5),
    ("concatenated", 4),
    ("mean", 4),
    ("sum_into_product", 1000),
]


def planned(name, reuse):
    graph = graph_of(MODELS[name]())
    return graph, rtl4ml.compile(graph, reuse=reuse).plan


def frames_of(graph, count):
    tensor = graph.input_tensor
    return np.random.default_rng(3).integers(tensor.low, tensor.high + 1, (count, tensor.size))


@pytest.mark.parametrize(("name", "reuse"), CASES)
def test_one_place_less_loses_the_interval_or_the_latency(name, reuse):
    _, plan = planned(name, reuse)
    best = summarise(plan.network)
    for fifo in plan.fifos:
        if fifo.depth:
            less = plan.network.with_fifos({**plan.network.fifos, fifo.branch: fifo.depth - 1})
            try:
                worse = summarise(less)
            except ConfigurationError:  # it stops, or its frames come out unevenly
                continue
            assert worse.interval > best.interval or worse.latency > best.latency


@pytest.mark.parametrize(("name", "reuse"), CASES[1:5])
def test_one_place_less_than_live_stops(name, reuse):
    """The recurrence says so, and so does the hardware, whose stalls change nothing."""
    graph, plan = planned(name, reuse)
    live = plan.network.with_fifos({fifo.branch: fifo.live for fifo in plan.fifos})
    codes = frames_of(graph, 4)
    expected = graph.evaluate(codes)[graph.output]
    for seed in range(2):
        got, *_ = run_network(live, codes, source=randomly(seed, 0.4), sink=randomly(seed + 5, 0.6))
        assert np.array_equal(got, expected)
    got, accepted, handed = run_network(live, codes)
    timeline = simulate(live, len(codes))
    assert np.array_equal(accepted, timeline.accepted)
    assert np.array_equal(handed, timeline.handed_over)
    for fifo in plan.fifos:
        if fifo.live:
            less = live.with_fifos({**live.fifos, fifo.branch: fifo.live - 1})
            with pytest.raises(
                DeadlockError, match=r"^Stages must not wait for each other, as \d+ parts of the network do$"
            ):
                simulate(less, len(codes))
            with pytest.raises(AssertionError, match="beats came in 600 cycles"):
                run_network(less, codes, source=randomly(1, 0.5), cycles=600)


def test_skip_of_very_different_depth():
    """The long way holds many frames: the FIFO on the short one grows with it."""
    depths = []
    for layers in (1, 3, 6):
        plan = rtl4ml.compile(graph_of(residual(depth=layers)), reuse=8).plan
        assert plan.interval == 8
        depths.append(max(fifo.full_rate for fifo in plan.fifos))
        assert max(fifo.live for fifo in plan.fifos) == 7
    assert depths == sorted(set(depths))


@pytest.mark.parametrize(
    ("build", "interval"),
    [(lambda: spatial.deep_skip(2), 300), (spatial.u_shaped, 600), (spatial.gated, 400), (spatial.split, 400)],
    ids=["skip", "u-shaped", "gated", "split"],
)
def test_one_place_less_beside_feature_maps(tmp_path, build, interval):
    """On every branch of a fork: it stops, or frames come later or less often."""
    plan = rtl4ml.compile(rtl4ml.load(build().save(tmp_path)), interval=interval).plan
    best = summarise(plan.network)
    deep = [fifo for fifo in plan.fifos if fifo.depth]
    assert deep
    for fifo in deep:
        less = plan.network.with_fifos({**plan.network.fifos, fifo.branch: fifo.depth - 1})
        if fifo.depth == fifo.live:
            with pytest.raises(DeadlockError):
                summarise(less)
            continue
        worse = summarise(less)
        assert worse.interval > best.interval or worse.latency > best.latency


def test_chain_needs_none():
    _, plan = planned("residual", 4)
    stage = plan.stages[0].stage
    assert find_depths(Network((Placed(stage, ("a",), "b"),), "a", "b")) == ()


def test_described():
    _, plan = planned("residual", 4)
    described = plan.describe()["fifos"]
    assert [entry["to"] for entry in described] == ["n_matmul1", "n_add4"]
    assert [entry["beats_to_run"] for entry in described] == [0, 3]
    assert described[1]["beats"] == described[1]["beats_for_the_interval"] == plan.fifos[1].depth


@pytest.mark.parametrize("seed", range(30))
def test_depths_are_the_smallest(seed):
    """Found one place after the other by long runs."""
    network = random_network(seed, 2 + seed % 4)
    unlimited = dict.fromkeys(network.branches)
    best = simulated(network.with_fifos(unlimited))
    found = find_depths(network)
    live, full = {}, {}
    for fifo in found:
        depth = 0
        while simulated(network.with_fifos({**unlimited, **live, fifo.branch: depth}), 6) is None:
            depth += 1
        live[fifo.branch] = depth
    for fifo in found:
        depth = live[fifo.branch]
        while True:
            summary = simulated(network.with_fifos({**unlimited, **full, fifo.branch: depth}))
            if summary and summary.latency <= best.latency and summary.interval <= best.interval:
                break
            depth += 1
        full[fifo.branch] = depth
    assert {fifo.branch: fifo.live for fifo in found} == live
    assert {fifo.branch: fifo.full_rate for fifo in found} == full


def test_large_networks_are_sized_in_seconds():
    network = residual_network(32, 16, 3, 2)
    tables = compile_network(network).tables
    assert tables.events.sum() > 150_000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        begin = time.perf_counter()
        depths = find_depths(network)
        summary = summarise(network.with_fifos({found.branch: found.depth for found in depths}))
    assert time.perf_counter() - begin < 5
    # The stem's every pixel of every pass; a skip connection waits for a bit more than two rows twice.
    assert summary.interval == 32 * 32 * 8
    assert [found.depth for found in depths][::2] == [0, 0, 0]
    assert all(found.live > 8 * 32 for found in depths[1::2])
