import numpy as np
import pytest
from amaranth.hdl import signed
from amaranth.sim import Simulator

from rtl4ml.errors import ConfigurationError
from rtl4ml.hdl.finish import Finish
from rtl4ml.hdl.mac_array import MacArray
from rtl4ml.hdl.mac_plan import MacPlan
from rtl4ml.hdl.tables import shape_of_range
from tests.hdl.bench import pack, unpack


def plan_of(groups, words, outputs, lanes, period, finish=None, seed=0):
    generator = np.random.default_rng(seed)
    weights = generator.integers(-8, 8, (groups, words, outputs, lanes))
    bias = generator.integers(-50, 50, (groups, outputs))
    low, high = np.full((words, lanes), -8), np.full((words, lanes), 7)
    return MacPlan(weights, bias, low, high, period, finish)


def reference(plan, x):
    words = x.reshape(len(x), plan.words, plan.lanes)
    return np.einsum("ngs,hgps->nhp", words, plan.weights) + plan.bias


def exercise(plan, x, share):
    """Issue all words of all passes with random gaps; return (edge of the last issue, edge of the result, outputs)."""
    out_shape = shape_of_range(
        min(word.low for word in plan.tail.outputs.values()), max(word.high for word in plan.tail.outputs.values())
    )
    array = MacArray(plan, signed(4), out_shape)
    frames = x.reshape(len(x), 1, plan.words, plan.lanes)
    stream = np.broadcast_to(frames, (len(x), plan.groups, plan.words, plan.lanes)).reshape(-1, plan.lanes)
    generator = np.random.default_rng(3)
    lasts, results = [], []

    async def bench(ctx):
        index = edge = 0
        while len(results) < len(x) * len(plan.places):
            issue = index < len(stream) and generator.random() >= share
            word = index % plan.words
            ctx.set(array.issue, issue)
            ctx.set(array.first, word == 0)
            ctx.set(array.last, word == plan.words - 1)
            if ctx.get(array.o_valid):
                outputs = unpack(
                    ctx.get(array.o_payload.as_value()), out_shape.width, out_shape.signed, plan.finish_lanes
                )
                results.append((edge, outputs))
            await ctx.tick()
            ctx.set(array.word.as_value(), pack(stream[index], 4) if issue else 0)
            if issue:
                if word == plan.words - 1:
                    lasts.append(edge)
                index += 1
            edge += 1
            assert edge < 5000

    simulator = Simulator(array)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return lasts, [edge for edge, _ in results], np.array([outputs for _, outputs in results])


SHAPES = [
    (1, 1, 1, 1),
    (1, 1, 3, 5),
    (4, 1, 2, 3),
    (1, 6, 2, 1),
    (3, 4, 2, 1),
    (3, 4, 2, 5),
    (5, 2, 1, 7),
    (13, 6, 1, 2),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("period", [2.0, 5.0, 20.0])
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_values_and_depth(shape, period, share):
    plan = plan_of(*shape, period)
    x = np.random.default_rng(1).integers(-8, 8, (4, shape[1] * shape[3]))
    x[0], x[1] = -8, 7
    lasts, edges, outputs = exercise(plan, x, share)
    expected = reference(plan, x)
    assert np.array_equal(plan.evaluate(x), expected.reshape(4, -1))
    assert np.array_equal(outputs.reshape(4, *expected.shape[1:]), expected)
    assert [edge - last for edge, last in zip(edges, lasts, strict=True)] == [plan.depth] * len(lasts)


@pytest.mark.parametrize("shape", [(4, 1, 2, 3), (3, 4, 2, 5), (1, 2, 2, 2)])
def test_finish_with_parameters(shape):
    generator = np.random.default_rng(9)
    gains = generator.integers(-3, 4, (shape[2], shape[0]))

    def build(datapath, lane, word, parameters):
        return datapath.add(datapath.multiply(word, parameters["gain"]), parameters["one"])

    parameters = [{"gain": gains[lane], "one": np.ones(shape[0], np.int64)} for lane in range(shape[2])]
    plan = plan_of(*shape, 4.0, Finish(build, parameters))
    x = generator.integers(-8, 8, (3, shape[1] * shape[3]))
    expected = reference(plan, x) * gains.T + 1
    _, _, outputs = exercise(plan, x, 0.3)
    assert np.array_equal(outputs.reshape(3, *expected.shape[1:]), expected)
    assert np.array_equal(plan.evaluate(x), expected.reshape(3, -1))


def test_short_periods_part_trees_from_accumulators():
    slow, fast = plan_of(3, 4, 2, 4, 20.0), plan_of(3, 4, 2, 4, 3.0)
    assert (slow.sum_register, slow.depth) == (False, 3)
    assert fast.sum_register
    assert fast.depth > slow.depth


def test_ranges_are_exact():
    plan = plan_of(2, 3, 2, 2, 5.0)
    sums = np.abs(plan.weights).sum(axis=(1, 3))
    assert all(high - low <= 15 * sums[:, p].max() + 100 for p, (low, high) in enumerate(plan.accumulator_ranges))
    extreme = np.where(plan.weights[0, :, 0] > 0, plan.high, plan.low).reshape(1, -1)
    final = plan.tail.inputs["accumulator_0"]
    assert final.low <= plan.evaluate(extreme)[0, 0] <= final.high


def test_shapes_must_fit():
    weights = np.zeros((2, 3, 4, 5), np.int64)
    message = r"^Bias and element ranges of weights \(2, 3, 4, 5\) must have shapes \(2, 4\) and \(3, 5\), not "
    with pytest.raises(ConfigurationError, match=message):
        MacPlan(weights, np.zeros((2, 5), np.int64), np.zeros((3, 5)), np.zeros((3, 5)), 5.0)


def test_block_memories_have_registers_behind_them():
    assert plan_of(13, 6, 1, 2, 5.0).operand_register
    assert not plan_of(13, 6, 1, 2, 10.0).operand_register
    assert not plan_of(4, 6, 1, 2, 5.0).operand_register


@pytest.mark.parametrize("shape", [(3, 4, 4, 2), (4, 3, 6, 1), (1, 2, 2, 1)])
@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("share", [0.0, 0.4])
@pytest.mark.parametrize("last", [True, False])
def test_fewer_lanes_than_accumulators(shape, lanes, share, last):
    """Beats of a group follow each other; the last group may have fewer of them."""
    groups, words, outputs, _ = shape
    beats = np.full(groups, min(words, outputs // lanes))
    beats[-1] -= bool(last and beats[-1] > 1)
    rows = int(beats.sum())
    gains = np.random.default_rng(5).integers(-3, 4, (lanes, rows))

    def build(datapath, lane, word, parameters):
        return datapath.multiply(word, parameters["gain"])

    plan = plan_of(*shape, 4.0, Finish(build, [{"gain": gain} for gain in gains], beats))
    x = np.random.default_rng(1).integers(-8, 8, (4, words * shape[3]))
    sums = reference(plan, x)
    places = [sums[:, h, b * lanes : (b + 1) * lanes] for h, count in enumerate(beats) for b in range(count)]
    expected = np.stack(places, axis=1) * gains.T
    assert np.array_equal(plan.evaluate(x), expected.reshape(4, -1))
    lasts, edges, got = exercise(plan, x, share)
    assert np.array_equal(got.reshape(expected.shape), expected)
    offsets = np.concatenate([np.arange(count) for count in beats])
    assert np.array_equal(
        edges, np.repeat(np.array(lasts).reshape(4, -1), beats, axis=1).reshape(-1) + plan.depth + np.tile(offsets, 4)
    )


def test_groups_with_words_of_their_own():
    weights = np.random.default_rng(0).integers(-8, 8, (2, 3, 2, 2))
    low = np.random.default_rng(1).integers(-8, 1, (2, 3, 2))
    plan = MacPlan(weights, np.zeros((2, 2), np.int64), low, low + 5, 5.0)
    x = np.stack([low, low + 5]).reshape(2, -1)
    expected = np.einsum("nhgs,hgps->nhp", x.reshape(2, 2, 3, 2), weights)
    assert np.array_equal(plan.evaluate(x), expected.reshape(2, -1))


def test_beats_must_fit():
    def finish(lanes, *beats):
        return Finish(lambda *arguments: arguments[2], [{}] * lanes, np.array(beats))

    for lanes, beats in [(3, (1, 1)), (2, (1,)), (2, (1, 3)), (2, (0, 1))]:
        message = (
            rf"^Beats of {lanes} lanes must divide 4 accumulators, 1 to {4 // lanes} beats for each of 2 groups, not "
        )
        with pytest.raises(ConfigurationError, match=message):
            plan_of(2, 3, 4, 1, 5.0, finish(lanes, *beats))
    with pytest.raises(ConfigurationError, match=r"^Beats of a group must be no more than its 3 words, not 4$"):
        plan_of(2, 3, 4, 1, 5.0, finish(1, 4, 4))
