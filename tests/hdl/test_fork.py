import numpy as np
import pytest
from amaranth.hdl import unsigned
from amaranth.sim import Simulator

from rtl4ml.hdl.fork import Fork
from tests.hdl.bench import never, randomly, refuses


def run(consumers, beats, *, source=never, sinks):
    """Edges at which beats went in, and for each consumer the beats and their edges."""
    fork = Fork(unsigned(8), 1, consumers)
    accepted, got = [], [[] for _ in range(consumers)]

    async def bench(ctx):
        index, valid = 0, False
        for edge in range(1000):
            valid = index < len(beats) and (valid or not source(index))
            ctx.set(fork.i.valid, valid)
            ctx.set(fork.i.payload.as_value(), beats[index] if valid else 0)
            outs = [getattr(fork, f"o{k}") for k in range(consumers)]
            ready = [not sinks[k](len(got[k])) for k in range(consumers)]
            for out, value in zip(outs, ready, strict=True):
                ctx.set(out.ready, value)
            for k, out in enumerate(outs):
                if ready[k] and ctx.get(out.valid):
                    got[k].append((ctx.get(out.payload.as_value()), edge))
            if valid and ctx.get(fork.i.ready):
                accepted.append(edge)
                index, valid = index + 1, False
            if index == len(beats):
                return
            await ctx.tick()

    simulator = Simulator(fork)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return accepted, got


@pytest.mark.parametrize("consumers", [2, 3, 8])
def test_full_rate(consumers):
    beats = list(range(20))
    accepted, got = run(consumers, beats, sinks=[never] * consumers)
    assert accepted == beats
    assert got == [[(beat, beat) for beat in beats]] * consumers


@pytest.mark.parametrize("seed", range(4))
def test_each_consumer_gets_each_beat_once(seed):
    beats = np.random.default_rng(seed).integers(0, 256, 60).tolist()
    sinks = [randomly(seed + k, share) for k, share in enumerate([0.1, 0.5, 0.8])]
    accepted, got = run(3, beats, source=randomly(seed + 9, 0.3), sinks=sinks)
    assert [[beat for beat, _ in taken] for taken in got] == [beats] * 3
    # A beat leaves with the last consumer that takes it.
    assert accepted == [max(edges) for edges in zip(*([edge for _, edge in taken] for taken in got), strict=True)]


def test_a_quick_consumer_does_not_wait():
    slow = iter([True] * 5 + [False] * 50)
    _, got = run(2, [7], sinks=[never, lambda _: next(slow)])
    assert got == [[(7, 0)], [(7, 5)]]


def test_error():
    refuses(lambda: Fork(unsigned(8), 1, 1), "A fork must have 2 consumers or more, not 1")
