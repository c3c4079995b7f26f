"""The shipped networks: clean files, and the accuracy that the README states, from the unmodified executors."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes

from rtl4ml.report.samples import read_samples
from tests.frontend.qdq_files import session

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
LIMIT = 300_000
"""Bytes of a model's file."""

PATH = re.compile(rb"/(?:root|home|tmp|usr|opt|work|Users)/|[A-Z]:\\\\|site-packages|\.py\b|\.onnx[._]data")


@dataclass(frozen=True)
class Shipped:
    """A network with its test rows; its accuracy as the README states it, in percent."""

    name: str
    data: str
    accuracy: float
    rows: int
    divide: float | None = None

    @property
    def path(self) -> Path:
        return EXAMPLES / "models" / f"{self.name}.onnx"


NETWORKS = (
    Shipped("digits_mlp", "digits_test", 97.5, 599),
    Shipped("jet_tagger", "jets_test", 65.2, 5000),
    Shipped("digits_cnn", "digits_test", 98.2, 599),
    Shipped("mnist_cnn_int8_qdq", "mnist_test", 98.0, 500, 255),
)
each = pytest.mark.parametrize("shipped", NETWORKS, ids=lambda s: s.name)


def messages(model: onnx.ModelProto) -> Iterator[onnx.ModelProto]:
    graph = model.graph
    yield from (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info)


def executed(shipped: Shipped, x: NDArray) -> NDArray:
    """Logits of all rows at once."""
    model = onnx.load(shipped.path)
    name = model.graph.input[0].name
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        return session(model).run(None, {name: x})[0]
    del model.graph.value_info[:]
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = len(x)
    wrapped = ModelWrapper(model).transform(InferShapes())
    return execute_onnx(wrapped, {name: x})[model.graph.output[0].name]


@each
def test_file_is_clean(shipped: Shipped) -> None:
    """No paths, no notes of who made it where, nothing stored beside it, nothing that no node uses."""
    model = onnx.load(shipped.path, load_external_data=False)
    onnx.checker.check_model(model)
    assert shipped.path.stat().st_size < LIMIT
    assert PATH.findall(shipped.path.read_bytes()) == []
    for message in messages(model):
        assert not message.doc_string
        assert not getattr(message, "metadata_props", ())
    assert all(t.data_location == TensorProto.DEFAULT and not t.external_data for t in model.graph.initializer)
    used = {name for node in model.graph.node for name in node.input}
    assert {t.name for t in model.graph.initializer} <= used
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    assert all(names)
    assert (model.graph.name, model.graph.input[0].name, model.graph.output[0].name) == (shipped.name, "x", "logits")
    assert len(model.graph.input) == 1


def test_nothing_lies_about() -> None:
    """Every model is listed above; exporters leave their data files elsewhere."""
    assert {p.name for p in (EXAMPLES / "models").iterdir()} == {f"{s.name}.onnx" for s in NETWORKS}


@each
def test_accuracy_is_the_readmes(shipped: Shipped) -> None:
    """On the held-out rows, by qonnx or by onnxruntime."""
    model = onnx.load(shipped.path)
    shape = tuple(d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[1:])
    x, y = read_samples(EXAMPLES / "data" / f"{shipped.data}.npz", shape, shipped.divide, labels=True)
    assert len(x) == shipped.rows
    accuracy = float((executed(shipped, x).argmax(1) == y).mean())
    assert round(100 * accuracy, 1) == shipped.accuracy
    assert f"**{shipped.accuracy:.1f} %**" in stated(shipped, "**accuracy of the file**")
    assert f"{shipped.path.stat().st_size:,} bytes" in stated(shipped, "size of the file")


def stated(shipped: Shipped, row: str) -> str:
    """A cell of the README's table that has the network in its head."""
    lines = (EXAMPLES / "README.md").read_text(encoding="utf-8").splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("|") and f"models/{shipped.name}.onnx" in line)
    column = next(i for i, cell in enumerate(lines[head].split("|")) if shipped.name in cell)
    return next(line for line in lines[head:] if line.startswith(f"| {row}")).split("|")[column]


def test_digits_of_the_convolution_are_exact() -> None:
    """What the network is shipped for: scales that are no powers of two, operands of one scale, 4-bit averages."""
    model = onnx.load(EXAMPLES / "models/digits_cnn.onnx")
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    scales = [v for n, v in constants.items() if n.endswith("_scale") and n != "input_scale"]
    assert all(np.any(np.frexp(scale)[0] != 0.5) for scale in scales)
    assert constants["addends_scale"] == constants["addends_1_scale"]
    products = np.float32(constants["relu3_quant_scale"]) * constants["pointwise_weight_quant_scale"].reshape(-1)
    np.testing.assert_array_equal(constants["pointwise_bias_quant_scale"], products)
    assert constants["average_trunc_quant_out_scale"] == 4 * constants["average_trunc_quant_scale"]


def test_static_quantization_is_as_it_came() -> None:
    """Every operator between a DequantizeLinear and a QuantizeLinear; zero points of all kinds; scales per channel."""
    model = onnx.load(EXAMPLES / "models/mnist_cnn_int8_qdq.onnx")
    made = {node.output[0]: node.op_type for node in model.graph.node}
    read = {name: node.op_type for node in model.graph.node for name in node.input}
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            assert all(made[name] == "DequantizeLinear" for name in node.input)
            assert read[node.output[0]] == "QuantizeLinear"
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    zeros = {int(constants[n.input[2]]) for n in model.graph.node if n.op_type == "QuantizeLinear"}
    assert -128 in zeros
    assert len(zeros - {-128, 0}) >= 2
    assert sum(n.op_type == "DequantizeLinear" and constants[n.input[1]].ndim == 1 for n in model.graph.node) == 8
