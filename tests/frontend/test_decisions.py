"""ArgMax and TopK in the file, and the decision that --argmax adds."""

import re
from pathlib import Path

import numpy as np
import onnx
import pytest

import rtl4ml
from rtl4ml.errors import ModelError
from rtl4ml.frontend.decision import decide
from tests.networks.branched import Builder, decided, graph_of

MODELS = Path(__file__).resolve().parents[2] / "examples/models"


def kinds(model):
    return [o.kind for o in graph_of(model).operators]


def test_hardware_decides_where_integers_can():
    assert kinds(decided())[-1] == "Top"
    assert kinds(decided("TopK", 2))[-1] == "Top"


def test_the_host_decides_else():
    """The last of equals, a tensor with scales of its own for each channel, values that are used too."""
    assert kinds(decided(select_last_index=1))[-1] == "Dense"
    b = Builder(6)
    y = b.quantized_dense(b.quant("x", 0.25), 6, 3, np.array([[0.1, 0.2, 0.3]]))
    model = b.model(b.node("ArgMax", [y], axis=1))
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    graph = graph_of(model)
    assert graph.operators[-1].kind == "Dense"
    assert graph.epilogue.description == ("ArgMax",)
    assert rtl4ml.compile(graph, reuse=64).verify(samples=100, rtl=False).equality.mismatches == 0


def outputs(scale, bias=None, then=(), seed=0):
    b = Builder(6, seed)
    y = b.layer(b.quant("x", 0.25), 6, 5)
    y = b.quantized_dense(y, 5, 4, scale)
    if bias is not None:
        y = b.node("Add", [y, b.constant(bias)])
    for kind, *constants in then:
        y = b.node(kind, [y, *(b.constant(c) for c in constants)])
    return graph_of(b.model(y))


@pytest.mark.parametrize(
    "graph",
    [
        lambda: outputs(0.125),
        lambda: outputs(np.array([[0.1, 0.2, 0.3, 0.05]])),
        lambda: outputs(0.125, [[0.5, 0.25, -1.0, 3.0]]),
        lambda: outputs(0.3, then=[("Mul", 2.5), ("Softmax",)]),
    ],
)
def test_decide(graph):
    """The largest real value, exactly, the first of equals; the judges run the same ArgMax."""
    before = graph()
    graph = decide(before)
    x = np.random.default_rng(0).integers(before.input_tensor.low, before.input_tensor.high + 1, (500, 6))
    seen = graph.evaluate(x, keep=[before.output, graph.output])
    tensor = before.output_tensor
    real = seen[before.output] * np.broadcast_to(tensor.format.scale, (4,))
    assert np.array_equal(seen[graph.output][:, 0], real.argmax(axis=1))
    result = rtl4ml.compile(graph, reuse=64).verify(samples=300, rtl=False).equality
    assert result.mismatches == 0
    assert graph.output_shape == (1,)


def test_a_bias_off_the_grid_counts():
    b = Builder(6)
    y = b.layer(b.quant("x", 0.25), 6, 5)
    weights = b.quant(b.constant(b.random.integers(-8, 8, (5, 3)) * 0.25), 0.25)
    graph = graph_of(b.model(b.node("Gemm", [y, weights, b.constant([0.3, -1.7, 0.01])])))
    assert graph.epilogue.bias is not None
    top = decide(graph).operators[-1]
    differences = (top.offsets - top.offsets[0]) / top.factors
    assert np.allclose(differences * graph.output_tensor.format.scale, [0, -2, -0.29])
    assert rtl4ml.compile(decide(graph), reuse=64).verify(samples=300, rtl=False).equality.mismatches == 0


def test_saved_network():
    graph = rtl4ml.load(MODELS / "digits_mlp.onnx", argmax=True)
    assert graph.operators[-1].kind == "Top"
    assert graph.output_tensor.size == 1
    assert rtl4ml.compile(graph, reuse=256).verify(samples=100, rtl=False).passed


def refused(graph, message):
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        decide(graph)


def test_errors():
    refused(
        outputs(0.3, then=[("Mul", [[1.0, 2.0, 3.0, 4.0]])]),
        "Operators behind the output 'matmul5' must keep the order of its values to be decided on, such as Dropout, "
        "Flatten, Identity, LogSoftmax, Reshape, Sigmoid, Softmax, Squeeze, Tanh, Unsqueeze, not Mul (node 'n_mul6'): "
        "take it out of the file, or decide on the host",
    )
    refused(
        outputs(np.array([[1e-30, 0.3, 0.2, 0.1]])),
        "Values of output 'matmul5' must be comparable as integers of at most 60 bits, not 124: quantize the output or "
        "the last bias, or give all channels one scale",
    )
