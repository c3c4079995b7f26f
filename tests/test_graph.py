import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl4ml import graph as graph_module
from rtl4ml.errors import ModelError
from rtl4ml.graph import Graph
from rtl4ml.operators import Dense
from tests.stages.networks import inputs, network

KINDS = ["shift", "affine", "thresholds", "constant"]


def by_hand(graph, codes):
    """Every tensor in Python's integers, one sample and one element at a time."""
    values = {graph.input: codes.astype(object)}
    for operator in graph.operators:
        x = values[operator.inputs[0]]
        if isinstance(operator, Dense):
            zero = graph.tensors[operator.inputs[0]].format.zero_point
            y = (x - zero.astype(object)) @ operator.weights.astype(object) + operator.bias.astype(object)
        else:
            staircase = operator.staircase
            y = np.empty(x.shape, object)
            for sample, element in np.ndindex(*x.shape):
                row = element if staircase.rows > 1 else 0
                y[sample, element] = int(staircase.first[row])
                for where, code in zip(staircase.positions[row], staircase.codes[row], strict=True):
                    if x[sample, element] >= where:
                        y[sample, element] = int(code)
        values[operator.output] = y
    return values


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=2, max_size=4),
    st.sampled_from(KINDS),
    st.sampled_from([3, 8]),
    st.integers(-9, 9),
    st.booleans(),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_evaluation_is_integer_arithmetic_and_ranges_hold(sizes, kind, bits, zero_point, signed, last, seed):
    graph, _ = network(sizes, seed, kinds=[kind] * 3, bits=bits, zero_point=zero_point, signed=signed, last=last)
    codes = inputs(graph, 12, seed)
    kept = graph.evaluate(codes, keep=graph.tensors)
    for name, wanted in by_hand(graph, codes).items():
        tensor = graph.tensors[name]
        assert kept[name].dtype == np.int64
        assert np.array_equal(kept[name].astype(object), wanted)
        assert np.all(kept[name] >= tensor.low)
        assert np.all(kept[name] <= tensor.high)


@pytest.mark.parametrize("weight_bits", [4, 18, 40])
def test_wide_weights_take_other_dtypes(weight_bits):
    graph, _ = network([5, 4], 1, bits=8, weight_bits=weight_bits, last=False)
    codes = inputs(graph, 50, 2)
    assert np.array_equal(graph.evaluate(codes)[graph.output].astype(object), by_hand(graph, codes)[graph.output])


def test_tiles_and_threads_do_not_show(monkeypatch):
    graph, _ = network([6, 9, 4], 3)
    codes = inputs(graph, 1000, 4)
    whole = graph.evaluate(codes)[graph.output]
    threads = set()
    original = Graph._evaluate_tile

    def watched(self, part, names):
        threads.add(threading.get_ident())
        return original(self, part, names)

    monkeypatch.setattr(graph_module, "TILE_BYTES", 1)
    monkeypatch.setattr(Graph, "_evaluate_tile", watched)
    seen = []
    tiled = graph.evaluate(codes, progress=lambda done, total: seen.append((done, total)))[graph.output]
    assert np.array_equal(tiled, whole)
    assert len(threads) >= 2
    assert seen[-1] == (1000, 1000)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_no_samples():
    graph, _ = network([3, 2], 0)
    assert graph.evaluate(np.zeros((0, 3), np.int64))[graph.output].shape == (0, 2)


def test_any_integer_dtype():
    graph, _ = network([3, 2], 0)
    codes = inputs(graph, 9, 0)
    wanted = graph.evaluate(codes)[graph.output]
    for dtype in (np.int8, np.int16, np.float32):
        assert np.array_equal(graph.evaluate(codes.astype(dtype))[graph.output], wanted)


def test_keep_names_tensors():
    graph, _ = network([3, 2], 0)
    codes = inputs(graph, 4, 0)
    kept = graph.evaluate(codes, keep=["x", "a0"])
    assert set(kept) == {"x", "a0"}
    assert np.array_equal(kept["x"], codes)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((4, 5), np.int64), "Input codes must have shape (N, 3), not (4, 5)"),
        (np.zeros(3, np.int64), "Input codes must have shape (N, 3), not (3,)"),
        (np.array([[0, 8, 0]]), "Input codes must lie in [-8, 7], not in [0, 8]"),
        (np.array([[0, -9, 3]]), "Input codes must lie in [-8, 7], not in [-9, 3]"),
    ],
)
def test_codes_that_do_not_fit(codes, message):
    graph, _ = network([3, 2], 0)
    with pytest.raises(ModelError) as caught:
        graph.evaluate(codes)
    assert str(caught.value) == message


def test_nodes_that_do_not_follow():
    graph, _ = network([3, 2], 0)
    dense, requantize = graph.operators
    arguments = dict(graph.__dict__)
    for operators, output, message in (
        ((requantize, dense), graph.output, "Input 'a0' of node 'q0' (Requantize) must be made by an earlier node"),
        ((dense, dense), graph.output, "Output 'a0' of node 'fc0' (Dense) must be a new tensor"),
        ((dense,), "y0", "Output of graph 'net' must be one of its tensors, not 'y0'"),
    ):
        with pytest.raises(ModelError) as caught:
            Graph(**{**arguments, "operators": operators, "output": output})
        assert str(caught.value) == message


def test_what_a_graph_says_of_itself():
    graph, _ = network([3, 2], 0)
    assert graph.multiplications == 6
    assert (graph.input_tensor.name, graph.output_tensor.name) == ("x", "y0")
    assert [o.name for o in graph.consumers("a0")] == ["q0"]
    assert graph.consumers("y0") == []
    described = graph.describe()
    assert [t["name"] for t in described["tensors"]] == ["x", "a0", "y0"]
    assert [o["kind"] for o in described["operators"]] == ["Dense", "Requantize"]
    lines = str(graph).splitlines()
    assert lines[0] == "graph net"
    assert lines[1] == "  x: [3] int<4> x 0.25 in [-8, 7] = input"
    assert lines[3].endswith("= Requantize(a0)")


def test_other_operators_infer_anew():
    graph, _ = network([3, 2], 0)
    shorter = Graph(**{**graph.__dict__, "output": "a0"}).with_operators(graph.operators[:1])
    assert set(shorter.tensors) == {"x", "a0"}
