import numpy as np
import pytest

from rtl4ml.planning.event_tables import compile_network
from rtl4ml.planning.run import FOR_EVER, LONGEST_PATTERN, Run
from rtl4ml.planning.schedule import DeadlockError, simulate, summarise
from tests.planning.synthetic import LONG, random_network, simulated, with_random_depths


@pytest.mark.parametrize("seed", range(40))
def test_what_repeats_is_final(seed):
    network = random_network(seed, 1 + seed % 5)
    for depths in ((None,), (1, 2, 5, None)):
        candidate = with_random_depths(network, seed, depths)
        expected = simulated(candidate)
        if expected is not None:
            assert summarise(candidate) == expected


def test_a_pattern_of_several_frames_counts_with_its_longest_interval():
    found = 0
    for seed in range(120):
        candidate = with_random_depths(random_network(seed, 4), seed, (1, 2, 3))
        try:
            intervals = np.diff(simulate(candidate, LONG).handed_over[LONG // 2 :, -1])
        except DeadlockError:
            continue
        if len(set(intervals.tolist())) > 1:
            found += 1
            assert summarise(candidate).interval == intervals.max()
    assert found


@pytest.mark.parametrize("compiles", [False, True])
def test_skipped_frames_are_those_that_would_have_come(compiles):
    skipped = 0
    for seed in range(60):
        compiled = compile_network(random_network(seed, 4))
        tables = compiled.with_depths(dict.fromkeys(compiled.buffers, 4))
        long, short = (Run(tables, pattern=LONGEST_PATTERN, compiles=compiles) for _ in range(2))
        if long.advance():
            continue
        short.advance()
        while short.frames < LONG:
            found = [(every, short.regular(every)) for every in range(1, LONGEST_PATTERN + 1)]
            for every, times in found:
                if times:
                    skipped += times != FOR_EVER
                    short.skip(every, min(times, LONG // every))
                    break
            short.advance()
            while long.frames < short.frames:
                long.advance()
            for process in range(len(tables.events)):
                assert np.array_equal(long.edges(process, long.frames - 1), short.edges(process, short.frames - 1))
    assert skipped
