import numpy as np
import pytest
from amaranth.hdl import signed
from amaranth.sim import Simulator

from rtl4ml.hdl.window_gather import WindowGather
from tests.hdl.bench import pack, randomly, refuses, unpack
from tests.hdl.test_window_buffer import expected_edges
from tests.hdl.test_window_reads import READS

BITS = 5
FRAMES = 4


def never(number):
    return False


def exercise(reads, used, source, permits):
    """Run a buffer; return the frames, the edges of writes, (edge, first, last) of issues, and the words issued."""
    window = reads.window
    codes = np.random.default_rng(2).integers(-8, 8, (FRAMES, window.words_in, window.lanes))
    values = codes.reshape(-1, window.lanes).tolist()
    gather = WindowGather(signed(BITS), reads, used)
    written, issued, seen = [], [], []

    async def bench(ctx):
        valid, due, edge = False, [], 0
        while len(seen) < FRAMES * window.words:
            if due and due[0] == edge:
                seen.append(unpack(ctx.get(gather.word.as_value()), BITS, True, reads.readers))
                due.pop(0)
            valid = len(written) < len(values) and (valid or not source(len(written)))
            ctx.set(gather.i.valid, valid)
            ctx.set(gather.i.payload.as_value(), pack(values[len(written)], BITS) if valid else 0x55)
            ctx.set(gather.permit, not permits(len(issued)))
            if ctx.get(gather.available) and ctx.get(gather.permit):
                issued.append((edge, ctx.get(gather.first), ctx.get(gather.last)))
                due.append(edge + reads.latency)
            if valid and ctx.get(gather.i.ready):
                written.append(edge)
                valid = False
            edge += 1
            assert edge < 20000, f"{len(written)} written, {len(issued)} issued"
            await ctx.tick()

    simulator = Simulator(gather)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return codes, written, issued, seen


@pytest.mark.parametrize("stalls", [(0.0, 0.0), (0.6, 0.0), (0.1, 0.6)])
@pytest.mark.parametrize("name", READS)
def test_values_and_edges(name, stalls):
    reads = READS[name]
    window = reads.window

    def sides():
        return [(randomly(seed, share) if share else never) for seed, share in enumerate(stalls)]

    used = np.arange(reads.readers) != 1
    codes, written, issued, seen = exercise(reads, used, *sides())
    expected = (reads.issued(codes) * used).reshape(-1, reads.readers)
    assert seen == expected.tolist()
    edges_in, edges_out = expected_edges(window, FRAMES, *sides())
    assert written == edges_in[: len(written)]
    ends = np.cumsum(reads.lengths) - 1
    words = np.arange(FRAMES * window.words) % window.unit_words
    first, last = np.isin(words, ends - reads.lengths + 1), np.isin(words, ends)
    assert issued == list(zip([edge for edge, *_ in edges_out], first, last, strict=True))


def test_memory():
    reads = READS["two lanes"]
    gather = WindowGather(signed(BITS), reads, np.arange(6) < 4)
    assert gather.bits == 4 * reads.window.ring * BITS


def test_readers_and_codes_that_do_not_fit():
    reads = READS["one code around"]
    refuses(lambda: WindowGather(signed(BITS), reads, np.ones(3, bool)), "Readers that are used must be of 2, not (3,)")
    refuses(
        lambda: WindowGather(signed(2), reads, np.ones(2, bool)),
        "Fill of a window buffer must be -2 to 1, not -3 to -3",
    )
