import numpy as np
from amaranth.hdl import signed
from amaranth.sim import Simulator

from rtl4ml.hdl.gather_store import GatherStore
from tests.hdl.bench import pack, refuses, unpack

LENGTHS = np.array([2, 1, 3])
WORDS = np.random.default_rng(0).integers(0, 3, (6, 2, 2))
USED = np.array([[True, True], [False, True]])


def test_words_come_from_where_the_table_says():
    store = GatherStore(signed(4), WORDS, USED, LENGTHS, 3)
    generator = np.random.default_rng(1)
    frames = generator.integers(-8, 8, (5, 3, 2))
    beats = frames.reshape(-1, 2)
    issued, accepted = [], []

    async def bench(ctx):
        index, asked = 0, None
        for edge in range(200):
            ctx.set(store.i.valid, index < len(beats) and generator.random() < 0.8)
            ctx.set(store.i.payload.as_value(), pack(beats[min(index, len(beats) - 1)], 4))
            ctx.set(store.permit, generator.random() < 0.7)
            if asked is not None:
                issued.append((*asked, unpack(ctx.get(store.word.as_value()), 4, True, 4)))
            asked = None
            if ctx.get(store.available) and ctx.get(store.permit):
                asked = edge, ctx.get(store.first), ctx.get(store.last)
            if ctx.get(store.i.valid) and ctx.get(store.i.ready):
                accepted.append(edge)
                index += 1
            await ctx.tick()

    simulator = Simulator(store)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert len(issued) == 5 * 6
    for number, (edge, first, last, elements) in enumerate(issued):
        frame, row = divmod(number, 6)
        expected = [int(frames[frame, WORDS[row, p, s], s]) * bool(USED[p, s]) for p in range(2) for s in range(2)]
        assert elements == expected
        assert (first, last) == (row in (0, 2, 3), row in (1, 2, 5))
        assert edge > accepted[3 * frame + 2]
        if frame < 3 and row == 5:
            assert accepted[3 * (frame + 2)] > edge


def test_passes_are_of_the_words():
    refuses(
        lambda: GatherStore(signed(4), WORDS, USED, np.array([2, 3]), 3),
        "Passes of a gather store must be of its 6 words, which come from 3, not of [2, 3], from 3",
    )
