import numpy as np
import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from rtl4ml.hdl.delay import delay
from rtl4ml.hdl.fifo import CreditedFifo, Fifo, beat_signature
from tests.hdl.bench import never, pack, randomly, refuses, transfers, unpack


def expected_edges(source, sink, depth, count):
    """Edges at which a plain FIFO moves: greedy, a beat at the earliest one edge after the one `depth` before left.

    With one place it is the same edge.
    """
    accepted, handed = [], []
    edge = 0
    valid = False
    while len(handed) < count:
        valid = len(accepted) < count and (valid or not source(len(accepted)))
        ready = not sink(len(handed))
        level = len(accepted) - len(handed)
        if ready and level > 0:
            handed.append(edge)
        if valid and (level < depth or (depth == 1 and ready)):
            accepted.append(edge)
            valid = False
        edge += 1
    return accepted, handed


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("stalls", [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.3, 0.6)])
def test_values_and_edges(depth, stalls):
    values = np.random.default_rng(depth).integers(-4, 4, (50, 3))
    beats = [pack(lanes, 3) for lanes in values]
    sides = [(randomly(seed, share) if share else never) for seed, share in enumerate(stalls)]
    accepted, words, handed = transfers(Fifo(signed(3), 3, depth), beats, 50, source=sides[0], sink=sides[1])
    assert [unpack(word, 3, True, 3) for word in words] == values.tolist()
    sides = [(randomly(seed, share) if share else never) for seed, share in enumerate(stalls)]
    assert (accepted, handed) == expected_edges(sides[0], sides[1], depth, 50)
    if stalls == (0.0, 0.0):
        assert np.all(np.diff(handed) == 1)


class Behind(wiring.Component):
    """A credited FIFO behind a pipeline of `steps` registers."""

    def __init__(self, steps, depth):
        self.steps, self.depth = steps, depth
        super().__init__({"i": In(beat_signature(signed(6), 2)), "o": Out(beat_signature(signed(6), 2))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.fifo = fifo = CreditedFifo(signed(6), 2, self.depth)
        wiring.connect(m, fifo.o, wiring.flipped(self.o))
        issue = Signal()
        m.d.comb += [self.i.ready.eq(fifo.grant), issue.eq(self.i.valid & self.i.ready), fifo.spend.eq(issue)]
        payload = self.i.payload.as_value()
        for step in range(self.steps):
            previous, payload = payload, Signal.like(payload, name=f"payload_{step}")
            m.d.sync += payload.eq(previous)
        m.d.comb += [fifo.i_payload.as_value().eq(payload), fifo.i_valid.eq(delay(m, "valid", issue, self.steps))]
        return m


def expected_behind(source, sink, steps, depth, count):
    """issue(i) >= handed_over(i - depth) + 1; a beat is written `steps` edges after its issue and leaves one later."""
    accepted, handed = [], []
    edge = 0
    valid = False
    while len(handed) < count:
        valid = len(accepted) < count and (valid or not source(len(accepted)))
        ready = not sink(len(handed))
        credit = depth - len(accepted) + len(handed)
        if ready and len(accepted) > len(handed) and accepted[len(handed)] + steps + 1 <= edge:
            handed.append(edge)
        if valid and credit > 0:
            accepted.append(edge)
            valid = False
        edge += 1
    return accepted, handed


@pytest.mark.parametrize(("steps", "depth"), [(0, 1), (0, 2), (1, 2), (3, 5), (4, 2), (2, 9)])
@pytest.mark.parametrize("stalls", [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.3, 0.7)])
def test_credits(steps, depth, stalls):
    values = np.random.default_rng(depth).integers(-32, 32, (60, 2))
    beats = [pack(lanes, 6) for lanes in values]
    sides = [(randomly(seed, share) if share else never) for seed, share in enumerate(stalls)]
    accepted, words, handed = transfers(Behind(steps, depth), beats, 60, source=sides[0], sink=sides[1])
    assert [unpack(word, 6, True, 2) for word in words] == values.tolist()
    sides = [(randomly(seed, share) if share else never) for seed, share in enumerate(stalls)]
    assert (accepted, handed) == expected_behind(sides[0], sides[1], steps, depth, 60)
    if stalls == (0.0, 0.0) and depth >= steps + 2:
        assert handed[-1] - handed[0] == 59


@pytest.mark.parametrize(("depth", "most"), [(2, 2), (5, 2), (6, 3), (9, 4)])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_several_credits_at_once(depth, most, share):
    """Room for the largest group is there when it is granted, whatever the group takes."""
    fifo = CreditedFifo(signed(6), 1, depth, most)
    generator = np.random.default_rng(depth)
    pending, sent, received = [], [], []

    async def bench(ctx):
        credit = depth
        for _ in range(200):
            assert ctx.get(fifo.grant) == (credit >= most)
            spend = int(generator.integers(0, most + 1)) if credit >= most else 0
            ready = bool(generator.random() >= share)
            pending.extend(generator.integers(-32, 32, spend).tolist())
            write = bool(pending) and bool(generator.random() < 0.8)
            ctx.set(fifo.spend, spend)
            ctx.set(fifo.i_valid, write)
            ctx.set(fifo.o.ready, ready)
            if write:
                sent.append(pending.pop(0))
                ctx.set(fifo.i_payload.as_value(), pack([sent[-1]], 6))
            taken = ready and ctx.get(fifo.o.valid)
            if taken:
                received.extend(unpack(ctx.get(fifo.o.payload.as_value()), 6, True, 1))
            credit += taken - spend
            await ctx.tick()

    simulator = Simulator(fifo)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert len(received) > 50
    assert received == sent[: len(received)]


def test_depth_is_checked():
    refuses(lambda: CreditedFifo(signed(3), 1, 4, 5), "Credits spent at once must be 1 to the depth of 4, not 5")
    refuses(lambda: Fifo(signed(3), 1, 0), "The depth of a FIFO must be 1 or more, not 0")
    refuses(lambda: CreditedFifo(signed(3), 1, -1), "The depth of a FIFO must be 1 or more, not -1")
