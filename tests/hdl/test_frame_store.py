import numpy as np
import pytest
from amaranth.hdl import signed
from amaranth.sim import Simulator

from rtl4ml.hdl.frame_store import FrameStore, is_stored
from tests.hdl.bench import never, pack, randomly, refuses, unpack

FRAMES = 5


def exercise(words, replays, source, permits):
    """Run a store; return edges of accepts, (edge, first, last) of issues, and the words seen after them."""
    values = np.random.default_rng(words).integers(-8, 8, (FRAMES * words, 2))
    store = FrameStore(signed(4), 2, words, replays)
    accepted, issued, seen = [], [], []

    async def bench(ctx):
        valid = False
        pending = False
        edge = 0
        while len(seen) < FRAMES * words * replays:
            if pending:
                seen.append(unpack(ctx.get(store.word.as_value()), 4, True, 2))
            valid = len(accepted) < len(values) and (valid or not source(len(accepted)))
            ctx.set(store.i.valid, valid)
            ctx.set(store.i.payload.as_value(), pack(values[len(accepted)], 4) if valid else 0x33)
            ctx.set(store.permit, not permits(len(issued)))
            pending = bool(ctx.get(store.available) and ctx.get(store.permit))
            if pending:
                issued.append((edge, ctx.get(store.first), ctx.get(store.last)))
            if valid and ctx.get(store.i.ready):
                accepted.append(edge)
                valid = False
            edge += 1
            assert edge < 5000
            await ctx.tick()

    simulator = Simulator(store)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return values, accepted, issued, seen


def expected_edges(words, replays, source, permits):
    """The rules of the docstring, one cycle after the other."""
    accepted, issued = [], []
    stored = is_stored(words, replays)
    valid = False
    edge = 0
    while len(issued) < FRAMES * words * replays:
        frame, rest = divmod(len(issued), words * replays)
        replay, word = divmod(rest, words)
        needed = frame * words + word  # index of the word to issue
        valid = len(accepted) < FRAMES * words and (valid or not source(len(accepted)))
        permit = not permits(len(issued))
        if stored:
            available = len(accepted) > needed
            before = len(accepted) // words - 1  # frames that must have been read to take the next word
            ready = len(issued) >= before * words * replays
        else:
            available = valid or replay > 0
            ready = permit and replay == 0
        if valid and ready:
            accepted.append(edge)
            valid = False
        if available and permit:
            issued.append((edge, word == 0, word == words - 1))
        edge += 1
    return accepted, issued


@pytest.mark.parametrize(("words", "replays"), [(1, 1), (1, 5), (4, 1), (2, 2), (5, 3), (8, 2), (3, 7)])
@pytest.mark.parametrize("stalls", [(0.0, 0.0), (0.5, 0.0), (0.8, 0.0), (0.0, 0.5), (0.5, 0.5)])
def test_values_and_edges(words, replays, stalls):
    sides = [(randomly(seed, share) if share else never) for seed, share in enumerate(stalls)]
    values, accepted, issued, seen = exercise(words, replays, *sides)
    frames = values.reshape(FRAMES, 1, words, 2)
    assert seen == np.broadcast_to(frames, (FRAMES, replays, words, 2)).reshape(-1, 2).tolist()
    sides = [(randomly(seed, share) if share else never) for seed, share in enumerate(stalls)]
    assert (accepted, issued) == expected_edges(words, replays, *sides)


def test_sizes_are_checked():
    message = "Lanes, words and replays of a frame store must be 1 or more, not 2, 0, 3"
    refuses(lambda: FrameStore(signed(4), 2, 0, 3), message)
