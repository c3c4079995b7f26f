import random
from collections.abc import Callable

import numpy as np
import pytest
from amaranth.hdl import Module, Shape, Signal
from amaranth.sim import Simulator

from rtl4ml.datapath.lowering import lower
from rtl4ml.datapath.pipeline import Pipeline
from rtl4ml.datapath.words import Datapath, Word


def simulate(datapath: Datapath, pipeline: Pipeline, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One value of each input per clock in Amaranth's simulator; outputs read ``depth`` edges later."""
    m = Module()
    ports = {name: Signal(Shape(word.bits, word.signed), name=f"in_{name}") for name, word in datapath.inputs.items()}
    outputs = lower(m, datapath, pipeline, ports)
    if not pipeline.depth:
        m.d.sync += Signal().eq(1)  # a clock for the test bench
    count = max(len(values) for values in inputs.values())
    results: dict[str, list[int]] = {name: [] for name in outputs}

    async def bench(ctx):
        for cycle in range(count + pipeline.depth):
            for name, values in inputs.items():
                ctx.set(ports[name], int(values[min(cycle, count - 1)]))
            if cycle >= pipeline.depth:
                for name, signal in outputs.items():
                    results[name].append(ctx.get(signal))
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return {name: np.array(values) for name, values in results.items()}


def random_datapath(seed: int, size: int) -> Datapath:
    """A datapath of every kind of node, with operands of all ranges."""
    rng = random.Random(seed)
    datapath = Datapath()
    words: list[Word] = []
    for number in range(4):
        low = rng.randint(-20, 10)
        words.append(datapath.input(f"x{number}", low, low + rng.randint(0, 40)))
    words += [datapath.constant(rng.randint(-9, 9)) for _ in range(2)]

    def pick() -> Word:
        return rng.choice(words)

    def bit() -> Word:
        return datapath.at_least(pick(), pick())

    def table() -> Word:
        index = datapath.clip(pick(), rng.randint(-12, 0), rng.randint(0, 12))
        return datapath.table(index, [rng.randint(-40, 40) for _ in range(index.high - index.low + 1)])

    def narrow() -> Word:
        word = datapath.clip(pick(), -30, 30)
        # True of any value: the clip's result less a multiple of its own bits.
        return datapath.narrow(
            datapath.subtract(word, datapath.low_bits(word, 2)), word.low - (word.low & 3), word.high
        )

    def weighted() -> Word:
        bits = [datapath.low_bits(pick(), 1) for _ in range(rng.randint(0, 7))]
        bits = [bit for bit in bits if bit.low != bit.high]
        weights = [rng.choice([-12, -3, -1, 1, 2, 4, 7, 24]) << rng.randint(0, 3) for _ in bits]
        return datapath.weighted(pick(), bits, weights, rng.randint(-40, 40) << rng.randint(0, 4))

    makers: list[Callable[[], Word]] = [
        lambda: datapath.add(pick(), pick()),
        lambda: datapath.add(pick(), datapath.shift_left(pick(), rng.randint(0, 9))),
        lambda: datapath.subtract(pick(), datapath.shift_left(pick(), rng.randint(0, 9))),
        lambda: datapath.subtract(datapath.shift_left(pick(), rng.randint(0, 4)), pick()),
        lambda: datapath.subtract(pick(), pick()),
        lambda: datapath.negate(pick()),
        lambda: datapath.shift_left(pick(), rng.randint(0, 5)),
        lambda: datapath.shift_right(pick(), rng.randint(0, 9)),
        lambda: datapath.low_bits(pick(), rng.randint(0, 12)),
        lambda: datapath.multiply(pick(), pick()),
        lambda: datapath.multiply(pick(), datapath.constant(rng.randint(-99, 99))),
        bit,
        lambda: datapath.at_least(pick(), datapath.constant(rng.randint(-70, 70))),
        lambda: datapath.at_least(datapath.constant(rng.randint(-70, 70)), pick()),
        lambda: datapath.equal(pick(), pick()),
        lambda: datapath.equal(pick(), datapath.constant(rng.randint(-20, 20))),
        lambda: datapath.select(bit(), pick(), pick()),
        table,
        lambda: datapath.clip(pick(), rng.randint(-70, 0), rng.choice([0, 7, 15, 31, 40])),
        lambda: datapath.clip(pick(), rng.choice([-64, -32, -8, 0]), rng.randint(0, 70)),
        narrow,
        lambda: datapath.sum([pick() for _ in range(rng.randint(0, 5))]),
        lambda: datapath.invert(pick()),
        lambda: datapath.subtract(pick(), datapath.invert(pick())),
        lambda: datapath.add(pick(), datapath.shift_left(datapath.invert(pick()), rng.randint(0, 4))),
        weighted,
    ]
    while len(datapath.nodes) < size:
        word = rng.choice(makers)()
        if word.bits < 24:
            words.append(word)
    for number, word in enumerate(words):
        if number % 3 == 0 or number > len(words) - 4:
            datapath.output(f"y{number}", word)
    return datapath


def samples(datapath: Datapath, count: int, seed: int) -> dict[str, np.ndarray]:
    """Random values of all inputs, the least and the greatest among them."""
    rng = np.random.default_rng(seed)
    values = {}
    for name, word in datapath.inputs.items():
        values[name] = rng.integers(word.low, word.high, count, endpoint=True)
        values[name][:4] = rng.permutation([word.low, word.high, word.low, word.high])
    return values


@pytest.fixture(scope="session")
def run() -> Callable[..., dict[str, np.ndarray]]:
    return simulate


@pytest.fixture(scope="session")
def make() -> Callable[[int, int], Datapath]:
    return random_datapath


@pytest.fixture(scope="session")
def values() -> Callable[[Datapath, int, int], dict[str, np.ndarray]]:
    return samples
