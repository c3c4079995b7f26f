import numpy as np
import pytest

from rtl4ml.planning import recurrence
from rtl4ml.planning.event_tables import compile_network
from rtl4ml.planning.run import LONGEST_PATTERN, Run
from rtl4ml.planning.schedule import DeadlockError, simulate, summarise
from tests.planning.clocked import step
from tests.planning.synthetic import random_network, simulated, with_random_depths


@pytest.mark.parametrize("seed", range(60))
def test_equals_a_network_stepped_cycle_by_cycle(seed):
    network = with_random_depths(random_network(seed, 1 + seed % 6), seed)
    interval = [None, 7, 30][seed % 3]
    expected = step(network, 5, interval)
    if expected is None:
        with pytest.raises(DeadlockError):
            simulate(network, 5, interval)
        return
    timeline = simulate(network, 5, interval)
    assert np.array_equal(timeline.accepted, expected[0])
    assert np.array_equal(timeline.handed_over, expected[1])


def test_some_of_them_stop():
    stopped = [simulated(with_random_depths(random_network(seed, 1 + seed % 6), seed), 5) is None for seed in range(60)]
    assert 0 < sum(stopped) < 30


@pytest.mark.parametrize("seed", range(20))
def test_compiled_or_not_is_the_same(seed):
    compiled = compile_network(random_network(seed))
    tables = compiled.with_depths(dict.fromkeys(compiled.buffers, 3))
    runs = [Run(tables, compiles=compiles, pattern=LONGEST_PATTERN) for compiles in (True, False)]
    for frame in range(12):
        stuck = [run.advance() for run in runs]
        assert stuck[0] == stuck[1]
        if stuck[0]:
            break
        for process in range(len(tables.events)):
            assert np.array_equal(runs[0].edges(process, frame), runs[1].edges(process, frame))
        assert runs[0].regular(1) == runs[1].regular(1)


def test_small_networks_do_without_the_compiler(monkeypatch):
    def refuse():
        raise AssertionError("the compiler must not be loaded")

    not_loaded = type(recurrence.compiled.cache_info())(0, 0, None, 0)
    refuse.cache_info = lambda: not_loaded
    monkeypatch.setattr(recurrence, "compiled", refuse)
    network = random_network(3)
    assert summarise(network.with_fifos(dict.fromkeys(network.branches))).interval > 0


def test_compiles_where_nothing_can_be_kept(monkeypatch):
    import numba

    def njit(*functions, cache=False):
        if cache:
            raise RuntimeError("no locator available")
        return functions[0]

    monkeypatch.setattr(numba, "njit", njit)
    assert recurrence.compiled.__wrapped__() is recurrence.run_frame
