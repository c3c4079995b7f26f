"""Put and get in Amaranth's simulator: values go in and out with stalls, and every transfer's edge is recorded."""

import gc
import re
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from amaranth.hdl import Elaboratable
from amaranth.sim import Simulator

from rtl4ml.errors import ConfigurationError

Stall = Callable[[int], bool]
"""Whether the side holds back before its transfer of this index; asked once a cycle until it says no."""


def never(index: int) -> bool:
    return False


def randomly(seed: int, share: float) -> Stall:
    generator = np.random.default_rng(seed)
    return lambda index: bool(generator.random() < share)


def pack(lanes: Sequence[int], bits: int) -> int:
    return sum((int(value) & ((1 << bits) - 1)) << (lane * bits) for lane, value in enumerate(lanes))


def unpack(word: int, bits: int, signed: bool, lanes: int) -> list[int]:
    values = [(word >> (lane * bits)) & ((1 << bits) - 1) for lane in range(lanes)]
    return [value - (1 << bits) if signed and value >> (bits - 1) else value for value in values]


def transfers(
    component: Elaboratable,
    beats: Sequence[int],
    count: int,
    *,
    source: Stall = never,
    sink: Stall = never,
    cycles: int = 20000,
) -> tuple[list[int], list[int], list[int]]:
    """Put all `beats` into the stream `i`, get `count` beats from `o`.

    Returns the edges that accepted them, the beats out, and the edges that handed those over. Edge 0 is the first edge.
    """
    accepted: list[int] = []
    words: list[int] = []
    handed_over: list[int] = []

    async def bench(ctx):
        index = 0
        valid = ready = False
        for edge in range(cycles):
            # A valid beat stays until it is taken; readiness may come and go.
            valid = index < len(beats) and (valid or not source(index))
            ready = not sink(len(words))
            ctx.set(component.i.valid, valid)
            ctx.set(
                component.i.payload.as_value(),
                beats[index] if valid else 0x5A5A5A5A & (2 ** len(component.i.payload.as_value()) - 1),
            )
            ctx.set(component.o.ready, ready)
            taken = valid and ctx.get(component.i.ready)
            given = ready and ctx.get(component.o.valid)
            if given:
                words.append(ctx.get(component.o.payload.as_value()))
                handed_over.append(edge)
            if taken:
                accepted.append(edge)
                index += 1
                valid = False
            if len(words) == count and index == len(beats):
                return
            await ctx.tick()
        raise AssertionError(f"{len(words)} of {count} beats came in {cycles} cycles, {index} of {len(beats)} went in")

    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return accepted, words, handed_over


def refuses(build: Callable[[], object], message: str) -> None:
    """Assert that building a component raises exactly this message."""
    with warnings.catch_warnings():
        # Amaranth remarks, when it is collected, that the component was never used.
        warnings.simplefilter("ignore")
        with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
            build()
        gc.collect()
