import re
from dataclasses import replace

import numpy as np
import pytest

import rtl4ml
from rtl4ml.errors import ConfigurationError
from rtl4ml.operators import Dense, WeightLimits
from rtl4ml.planning import writable
from rtl4ml.planning.plan import plan
from rtl4ml.planning.settings import Settings
from tests.frontend.build import File
from tests.stages.loadable import with_limits
from tests.stages.networks import network, requantizer


def loadable(reuse=4):
    graph, _ = network([6, 5, 3], 0)
    graph = with_limits(graph, ["shift", "shift"], 1, requantizer)
    return graph, plan(graph, Settings(reuse=reuse, weights="writable"))


def message(function, *arguments):
    with pytest.raises(ConfigurationError) as caught:
        function(*arguments)
    return str(caught.value)


def test_limits_are_those_of_the_bits():
    limits = WeightLimits.of(np.array([[-3, 2]]), np.array([5]))
    assert limits.values.tolist() == list(range(-4, 4))
    assert (limits.bias_low, limits.bias_high) == (0, 7)
    assert WeightLimits.of(np.array([[-2, 2]]), np.array([0])).values.tolist() == [-2, 2]
    assert (WeightLimits.of(np.array([[1]]), np.array([0])).bias_high) == 0


def test_ranges_hold_any_weights():
    graph, _ = loadable()
    generator = np.random.default_rng(2)
    codes = generator.integers(graph.input_tensor.low, graph.input_tensor.high + 1, (200, 6))
    for _ in range(5):
        operators = tuple(
            replace(o, weights=generator.choice(o.limits.values[[0, -1]], o.weights.shape))
            if isinstance(o, Dense)
            else o
            for o in graph.operators
        )
        for name, values in replace(graph, operators=operators).evaluate(codes, keep=graph.tensors).items():
            assert np.all(values >= graph.tensors[name].low)
            assert np.all(values <= graph.tensors[name].high)


def test_words_of_a_layer():
    graph, planned = loadable()
    layer = graph.operators[0]
    stages = list(writable.stages_with_tables(planned).values())
    words = writable.weight_words(graph, planned, {layer.name: -layer.weights.clip(-7)})
    tables = stages[0].tables
    assert len(words) == sum(table.rows * table.words for table in tables)
    assert words[:, 0].max() < stages[1].tables[0].base
    assert {stage.address_bits for stage in stages} == {writable.address_bits(planned)}
    assert len(writable.weight_words(graph, planned, {})) == 0
    described = writable.describe(graph, planned)
    assert [found["name"] for found in described["layers"]] == ["fc0", "fc1"]


def test_what_is_refused():
    graph, planned = loadable()
    words = writable.weight_words
    layer = graph.operators[0]
    assert message(words, graph, planned, {"fc9": layer.weights}) == (
        "Layer of new weights must be one of 'fc0', 'fc1', not 'fc9'"
    )
    assert message(words, graph, planned, {"fc0": np.zeros((6, 4), int)}) == (
        "Weights of layer 'fc0' must be integers of shape (6, 5), not int64 of shape (6, 4)"
    )
    assert message(words, graph, planned, {"fc0": np.full((6, 5), 8)}) == (
        "Weights of layer 'fc0' must be -8 .. 7, as far as its bits reach"
    )
    assert re.match(
        r"^Biases of layer 'fc0' must be -\d+ \.\. \d+, not 4096 \.\. 4096$",
        message(words, graph, planned, {}, {"fc0": np.full(5, 4096)}),
    )
    fixed, _ = network([6, 5, 3], 0)
    assert message(writable.with_weights, fixed, {"fc0": layer.weights}) == (
        "Weights of layer 'fc0' must be writable to be changed"
    )
    assert message(plan, graph, Settings(reuse=1, weights="writable")) == (
        "Layer 'fc0' must have a reuse above 1 for writable weights: unrolled, its weights are logic"
    )
    assert message(plan, fixed, Settings(reuse=4, weights="writable")) == (
        "Node 'fc0' must say what its weights may become, to let them be loaded"
    )


def test_biases_that_join_their_layer_later_count(tmp_path):
    """MatMul, then Add: the limits are those of the bias that the accumulator starts from."""
    random = np.random.default_rng(5)
    file = File([1, 6])
    x = file.quant("x", 0.25, 4)
    y = file.add("MatMul", x, file.weights(random.integers(-3, 4, (6, 5)) * 0.5, 0.5, 3))
    file.quant(file.add("Add", y, file.constant(random.integers(-40, 41, 5) * 0.125)), 0.5, 6)
    design = rtl4ml.compile(rtl4ml.load(file.save(tmp_path)), reuse=5, weights="writable")
    (layer,) = (o for o in design.graph.operators if isinstance(o, Dense))
    assert layer.bias.any()
    assert layer.limits.bias_low <= layer.bias.min() <= layer.bias.max() <= layer.limits.bias_high
    assert len(design.weight_words({layer.name: layer.weights}, {layer.name: layer.bias}))
