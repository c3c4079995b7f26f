"""Chains of stages in Amaranth's simulator: codes in, codes out, every edge recorded."""

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl4ml.hdl.fifo import beat_signature
from tests.hdl.bench import never, pack, transfers, unpack


class Chain(wiring.Component):
    def __init__(self, stages):
        self._stages = stages
        first, last = stages[0], stages[-1]
        super().__init__(
            {
                "i": In(beat_signature(first.in_shape, first.lanes_in)),
                "o": Out(beat_signature(last.out_shape, last.lanes_out)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        stream = wiring.flipped(self.i)
        for index, stage in enumerate(self._stages):
            m.submodules[f"stage{index}"] = component = stage.component()
            wiring.connect(m, stream, component.i)
            stream = component.o
        wiring.connect(m, stream, wiring.flipped(self.o))
        return m


def run(stages, codes, *, source=never, sink=never, cycles=20000):
    """Codes out (N, n_out), edges of beats in (N, beats) and of beats out (N, beats), counted from the first accept."""
    first, last = stages[0], stages[-1]
    frames = len(codes)
    surplus = -first.n_in % first.lanes_in
    rng = np.random.default_rng(0)
    low, high = -(1 << (first.in_shape.width - 1)), 1 << (first.in_shape.width - 1)
    # Lanes without an element hold anything.
    padded = np.concatenate([codes, rng.integers(low, high, (frames, surplus))], axis=1).reshape(-1, first.lanes_in)
    beats = [pack(lanes, first.in_shape.width) for lanes in padded]
    count = frames * last.timing.beats_out
    accepted, words, handed = transfers(Chain(stages), beats, count, source=source, sink=sink, cycles=cycles)
    out = np.array([unpack(w, last.out_shape.width, last.out_shape.signed, last.lanes_out) for w in words])
    out = out.reshape(frames, -1)
    assert not out[:, last.n_out :].any(), "surplus lanes must be 0"
    edges = np.array(accepted) - accepted[0], np.array(handed) - accepted[0]
    return out[:, : last.n_out], edges[0].reshape(frames, -1), edges[1].reshape(frames, -1)
