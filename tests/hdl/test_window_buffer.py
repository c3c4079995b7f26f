import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal, signed, unsigned
from amaranth.sim import Simulator

from rtl4ml.hdl.window_buffer import WindowBuffer
from tests.hdl.bench import never, pack, randomly, refuses, unpack
from tests.hdl.windows import PLANS, convolution, moves, random_convolution, random_nest

BITS = 5


def exercise(plan, frames, source=never, permits=never, edges_before=0):
    """Run a buffer; return the frames, the edges of writes, (edge, first, last) of issues, and the words issued.

    The buffer may run for some edges before it is reset and all this begins.
    """
    codes = np.random.default_rng(plan.words).integers(-8, 8, (frames, plan.words_in, plan.lanes))
    values = codes.reshape(-1, plan.lanes).tolist()
    lanes = plan.taps[0] * plan.taps[1] * plan.lanes
    buffer = WindowBuffer(signed(BITS), plan)
    reset = Signal()
    written, issued, seen = [], [], []

    async def bench(ctx):
        if edges_before:
            ctx.set(buffer.i.valid, 1)
            ctx.set(buffer.permit, 1)
            await ctx.tick().repeat(edges_before)
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)
        valid = False
        due = []
        edge = 0
        while len(seen) < frames * plan.words or len(written) < len(values):
            if due and due[0] == edge:
                seen.append(unpack(ctx.get(buffer.word.as_value()), BITS, True, lanes))
                due.pop(0)
            valid = len(written) < len(values) and (valid or not source(len(written)))
            ctx.set(buffer.i.valid, valid)
            ctx.set(buffer.i.payload.as_value(), pack(values[len(written)], BITS) if valid else 0x55)
            ctx.set(buffer.permit, not permits(len(issued)))
            if ctx.get(buffer.available) and ctx.get(buffer.permit):
                assert len(issued) < frames * plan.words
                issued.append((edge, ctx.get(buffer.first), ctx.get(buffer.last)))
                due.append(edge + plan.latency)
            if valid and ctx.get(buffer.i.ready):
                written.append(edge)
                valid = False
            edge += 1
            assert edge < 20000, f"{len(written)} written, {len(issued)} issued"
            await ctx.tick()

    simulator = Simulator(ResetInserter(reset)(buffer))
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return codes, written, issued, seen


def expected_edges(plan, frames, source=never, permits=never):
    """The plan's conditions, one cycle after the other."""
    needs = plan.needs() * plan.chunks
    waits = plan.write_waits()
    written, issued = [], []
    valid = False
    edge = 0
    while len(issued) < frames * plan.words or len(written) < frames * plan.words_in:
        frame, word = divmod(len(issued), plan.words)
        available = frame < frames and len(written) >= frame * plan.words_in + needs[word // plan.unit_words]
        frame_in, word_in = divmod(len(written), plan.words_in)
        ready = len(issued) > frame_in * plan.words + waits[word_in]
        valid = len(written) < frames * plan.words_in and (valid or not source(len(written)))
        permit = not permits(len(issued))
        if valid and ready:
            written.append(edge)
            valid = False
        if available and permit:
            place = word % plan.pass_words
            issued.append((edge, place == 0, place == plan.pass_words - 1))
        edge += 1
    return written, issued


def check(plan, frames, stalls=(0.0, 0.0)):
    def sides():
        return [(randomly(seed, share) if share else never) for seed, share in enumerate(stalls)]

    codes, written, issued, seen = exercise(plan, frames, *sides())
    assert seen == np.concatenate([plan.issued(frame) for frame in codes]).tolist()
    assert (written, issued) == expected_edges(plan, frames, *sides())
    return written, issued


@pytest.mark.parametrize("stalls", [(0.0, 0.0), (0.6, 0.0), (0.1, 0.6)])
@pytest.mark.parametrize("name", PLANS)
def test_values_and_edges(name, stalls):
    check(PLANS[name], 4, stalls)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("draw", [random_convolution, random_nest])
def test_random_plans(draw, seed):
    plan = draw(seed)
    check(plan, 3)
    check(plan, 3, (0.3, 0.3))


def test_a_convolution_has_no_bubbles():
    written, issued = check(convolution((5, 6, 1)), 4)
    edges = [edge for edge, _, _ in issued]
    assert written == list(range(4 * 30))  # one pixel a cycle
    # The first window waits for pixel 1 of row 1; from then on one a cycle, across rows and frames.
    assert edges == list(range(8, 8 + 4 * 30))


def test_a_serial_convolution_has_no_bubbles():
    _, issued = check(convolution((4, 5, 2), taps=(1, 1)), 3)
    edges = [edge for edge, _, _ in issued]
    assert edges == list(range(edges[0], edges[0] + 3 * 20 * 18))


@pytest.mark.parametrize("ring", [2, 4, 64])
def test_rings_of_other_sizes(ring):
    plan = moves(3, 4, 1, [(3, 1), (4, 0, 1)], ring=ring)
    assert plan.held == ring
    check(plan, 4)
    check(plan, 4, (0.2, 0.5))


@pytest.mark.parametrize("name", ["3x3", "order", "pad", "one pixel, chunks repeated"])
def test_reset_at_any_time(name):
    plan = PLANS[name]
    for edges in (1, 13, 30):
        codes, written, issued, seen = exercise(plan, 2, edges_before=edges)
        assert seen == np.concatenate([plan.issued(frame) for frame in codes]).tolist()
        assert (written, issued) == expected_edges(plan, 2)


def test_bits():
    plan = convolution((32, 32, 16), lanes=16)
    assert WindowBuffer(signed(5), plan).bits == 3 * 32 * 16 * 5


def test_fill_is_checked():
    plan = convolution((3, 3, 1), fill=np.full((), 16))
    refuses(lambda: WindowBuffer(signed(5), plan), "Fill of a window buffer must be -16 to 15, not 16 to 16")
    refuses(lambda: WindowBuffer(unsigned(4), plan), "Fill of a window buffer must be 0 to 15, not 16 to 16")
