"""The Verilog against the reference and the plan: every code of every beat, every beat's cycle."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rtl4ml.formats import Codes
from rtl4ml.planning.plan import Plan
from rtl4ml.planning.schedule import simulate
from rtl4ml.simulation.native import NativeSimulation

TIMED_FRAMES = 64
TIMED_BEATS = 1_000_000
"""Beats that are compared with the schedule, or those of so many frames if they are more; behind them, the interval of
each frame."""

STALLED_FRAMES = 200
STALL = 0.4
STALLED_CYCLES = 400_000


@dataclass(frozen=True)
class RtlCheck:
    """What a run of the Verilog saw.

    Parameters:
        frames: without stalls.
        codes: compared, with and without stalls.
        mismatches: codes that are not the reference's.
        latency: measured, in cycles.
        interval: measured, in cycles, the longest of the second half; None with a single frame.
        on_schedule: every beat moved at the cycle that the plan says.
        stalled_frames: run again with random stalls on both sides; in a free-running pipeline with wider gaps between
            frames.
        framing: tlast stood where it must, and no error was raised.
        cycles: simulated without stalls.
        seconds: they took.
    """

    frames: int
    codes: int
    mismatches: int
    latency: int
    interval: int | None
    on_schedule: bool
    stalled_frames: int
    framing: bool
    cycles: int
    seconds: float

    @property
    def passed(self) -> bool:
        """No mismatch, and everything on schedule."""
        return self.mismatches == 0 and self.on_schedule and self.framing


def check(
    simulation: NativeSimulation,
    plan: Plan,
    codes: Codes,
    expected: Codes,
    progress: Callable[[int, int], None] | None = None,
) -> RtlCheck:
    """Run input codes (N, n_in) and compare with the reference's output codes (N, n_out) and with the plan.

    Args:
        simulation: the built design.
        plan: what it must keep to.
        codes: input.
        expected: output of the reference.
        progress: called with (frames done, frames in all).
    """
    spacing = 0 if plan.settings.backpressure else plan.interval
    patience = 10 * plan.interval + plan.latency + 10_000
    started = time.perf_counter()
    result = simulation.run(codes, spacing=spacing, patience=patience, progress=progress)
    seconds = time.perf_counter() - started
    mismatches = int(np.count_nonzero(result.codes != expected))
    compared = expected.size
    accepted = result.accept_cycles.reshape(len(codes), -1)
    handed_over = result.handover_cycles.reshape(len(codes), -1)
    stalled = min(len(codes), STALLED_FRAMES, max(2, STALLED_CYCLES // (2 * plan.interval)))
    # A free-running pipeline has no stalls, but its frames may come less often.
    stall = STALL if plan.settings.backpressure else 0.0
    gap = 0 if plan.settings.backpressure else plan.interval + 3
    again = simulation.run(codes[:stalled], stall, stall, seed=1, spacing=gap, patience=4 * patience)
    mismatches += int(np.count_nonzero(again.codes != expected[:stalled]))
    ends = np.diff(handed_over[:, -1])
    return RtlCheck(
        frames=len(codes),
        codes=compared + again.codes.size,
        mismatches=mismatches,
        latency=int(handed_over[0, -1] - accepted[0, 0]),
        interval=int(ends[len(ends) // 2 :].max()) if len(ends) else None,
        on_schedule=_on_schedule(plan, accepted, handed_over),
        stalled_frames=stalled,
        framing=result.tlast_ok and again.tlast_ok and not (result.tuser or again.tuser or result.error or again.error),
        cycles=result.cycles,
        seconds=seconds,
    )


def _on_schedule(plan: Plan, accepted: Codes, handed_over: Codes) -> bool:
    beats = accepted.shape[1] + handed_over.shape[1]
    frames = min(len(accepted), max(TIMED_FRAMES, TIMED_BEATS // beats))
    interval = None if plan.settings.backpressure else plan.interval
    timeline = simulate(plan.network, frames, interval)
    start = accepted[0, 0]
    rest = np.diff(handed_over[frames - 1 :, -1])
    return (
        int(handed_over[0, -1] - start) == plan.latency
        and np.array_equal(accepted[:frames] - start, timeline.accepted)
        and np.array_equal(handed_over[:frames] - start, timeline.handed_over)
        and bool(np.all(rest <= plan.interval))
    )
