"""ONNX's own node tests of the quantized operators, and its elementwise operators between quantizers.

The tests bring their data and what must come of it. What ONNX passes as inputs beside the first becomes constants: that
is what a quantized network has. A batch of 1 is put in front of shapes that have none.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx.backend.test
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import rtl4ml
from rtl4ml.frontend import border
from tests.frontend.build import File

FOLDER = Path(onnx.backend.test.__file__).parent / "data" / "node"
QUANTIZED = "quantizelinear|dequantizelinear|matmulinteger|qlinearmatmul|dynamicquantizelinear|convinteger|qlinearconv"
OUT_OF_SCOPE = {
    "e4m3fn|e5m2|float4e2m1": "floating-point codes are not integers",
    "float16": "scales are float32: the executors compute float16 in ways of their own",
    "int2": "onnxruntime, the judge, has no 2-bit integers",
    "dynamicquantizelinear": "the scale depends on the data: no constant hardware",
    "qlinearmatmul_3D": "a matrix of weights for each element of a batch is no layer",
    "convinteger|qlinearconv": "convolutions are not part of fully connected networks",
    "dequantizelinear_u?int4$": "the hardware's input has 8 or 16 bits; inside a network 4 bits are tested elsewhere",
}
"""Tests that are not run, by name, and why."""

OPSET = 21
"""Of the wrapped nodes: the newest that every supported onnxruntime has."""


@dataclass(frozen=True)
class Case:
    """A node of ONNX's tests with its data, the batch in front."""

    node: onnx.NodeProto
    inputs: tuple[NDArray, ...]
    output: NDArray
    names: tuple[str, ...]


def cases(pattern: str) -> list[str]:
    """Names of ONNX's tests, without `test_`."""
    names = (path.name.removeprefix("test_") for path in FOLDER.iterdir())
    return sorted(name for name in names if re.match(rf"({pattern})($|_)", name))


def scope(name: str) -> str | None:
    """Why a test is not run."""
    return next((why for pattern, why in OUT_OF_SCOPE.items() if re.search(pattern, name)), None)


def read(name: str) -> Case:
    folder = FOLDER / f"test_{name}"
    model = onnx.load(folder / "model.onnx")
    data = folder / "test_data_set_0"
    arrays = []
    for kind, count in (("input", len(model.graph.input)), ("output", 1)):
        for index in range(count):
            tensor = TensorProto.FromString((data / f"{kind}_{index}.pb").read_bytes())
            arrays.append(numpy_helper.to_array(tensor))
    return Case(model.graph.node[0], tuple(arrays[:-1]), arrays[-1], tuple(i.name for i in model.graph.input))


def batched(case: Case) -> Case:
    """With a batch of 1 in front of tensors that are no batch of vectors."""
    if "MatMul" in case.node.op_type:
        return case
    node, rank = onnx.NodeProto(), case.inputs[0].ndim
    node.CopyFrom(case.node)
    axis = next((a for a in node.attribute if a.name == "axis"), None)
    if axis is not None and axis.i >= 0:
        axis.i += 1
    elif axis is None:
        node.attribute.append(helper.make_attribute("axis", 2 if rank > 1 else 1))
    # Scales in blocks have as many dimensions as the tensor.
    rest = tuple(a[None] if a.ndim == rank > 1 else a for a in case.inputs[1:])
    return Case(node, (case.inputs[0][None], *rest), case.output[None], case.names)


def network(case: Case) -> onnx.ModelProto:
    """The node with all inputs but the first constant."""
    x = case.inputs[0]
    graph = helper.make_graph(
        [case.node],
        "case",
        [helper.make_tensor_value_info(case.names[0], helper.np_dtype_to_tensor_dtype(x.dtype), [1, *x.shape[1:]])],
        [onnx.ValueInfoProto(name=case.node.output[0])],
        [numpy_helper.from_array(a, n) for a, n in zip(case.inputs[1:], case.names[1:], strict=True)],
    )
    graph.output[0].type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(case.output.dtype)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def load(model: onnx.ModelProto, folder: Path, input_format: str | None = None) -> rtl4ml.Graph:
    onnx.save(model, folder / "case.onnx")
    return rtl4ml.load(folder / "case.onnx", input_format)


def verified(graph: rtl4ml.Graph, x: NDArray | None = None) -> rtl4ml.Design:
    design = rtl4ml.compile(graph, reuse=10**6)
    result = design.verify(x, samples=100, rtl=False).equality
    assert result.passed
    assert result.mismatches == 0
    return design


@pytest.mark.parametrize("name", [n for n in cases(QUANTIZED) if scope(n) is None])
def test_quantized_operators(name: str, tmp_path: Path) -> None:
    """What ONNX says must come out comes out: values of DequantizeLinear, codes of the others."""
    case = batched(read(name))
    x = case.inputs[0]
    if case.node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        # Alone at the border they are all the host's.
        graph = load(network(case), tmp_path)
        values = border.decode(graph, graph.evaluate(border.encode(graph, x))[graph.output])
        np.testing.assert_array_equal(values, case.output)
    if case.node.op_type == "DequantizeLinear":
        verified(load(requantized(network(case)), tmp_path), x)
    elif case.node.op_type == "QuantizeLinear":
        # In hardware, behind pins: of the tests' values those that the pins can carry.
        pins = np.rint(x * 32) / 32
        design = verified(load(network(case), tmp_path, "fixed<24,19>"), pins)
        same = np.broadcast_to(pins == x, x.shape)
        np.testing.assert_array_equal(design.predict(pins)[same], case.output[same])
        assert same.sum() >= 4
    else:
        design = verified(load(network(case), tmp_path), x)
        np.testing.assert_array_equal(design.predict(x), case.output)
        np.testing.assert_array_equal(design.predict(x, codes=True), case.output.astype(np.int64))


def requantized(model: onnx.ModelProto) -> onnx.ModelProto:
    """A Relu and a quantizer behind the output, so that there is hardware."""
    end = model.graph.output[0]
    model.graph.node.append(helper.make_node("Relu", [end.name], ["positive"], "relu"))
    model.graph.node.append(helper.make_node("QuantizeLinear", ["positive", "step", "zero"], ["codes"], "quantizer"))
    model.graph.initializer.append(numpy_helper.from_array(np.float32(3.3), "step"))
    model.graph.initializer.append(numpy_helper.from_array(np.int16(-5), "zero"))
    end.CopyFrom(helper.make_tensor_value_info("codes", TensorProto.INT16, None))
    return model


@pytest.mark.parametrize("pattern", OUT_OF_SCOPE)
def test_what_is_out_of_scope_is_there(pattern: str) -> None:
    """Nobody keeps a reason for tests that ONNX does not have; older releases have no int2."""
    assert any(re.search(pattern, name) for name in cases(QUANTIZED)) or pattern == "int2"


ELEMENTWISE = (
    "relu|leakyrelu|prelu|thresholdedrelu|sigmoid|hardsigmoid|tanh|elu|selu|celu|softplus|softsign|hardswish|erf|exp|sqrt"
    "|abs|neg|clip|gelu|mish|log|reciprocal|sign|floor|ceil|round|add|sub|mul|div|max|min|pow"
)


def elementwise() -> list[str]:
    """Tests of one float32 input, or of one and a constant."""
    chosen = []
    for name in cases(ELEMENTWISE):
        # Functions written out, other types, and exponents that differ from element to element, which are refused.
        if re.search("expanded|int|types|float16|float64|^pow$|pow_bcast_array|pow_example", name):
            continue
        case = read(name)
        single = len(case.inputs) == 1 or all(a.ndim <= case.inputs[0].ndim for a in case.inputs[1:])
        if single and all(a.dtype == np.float32 for a in (*case.inputs, case.output)) and case.inputs[0].ndim:
            chosen.append(name)
    return chosen


@pytest.mark.parametrize("name", elementwise())
def test_elementwise_operators(name: str, tmp_path: Path) -> None:
    """The node with its attributes and constants, between two quantizers, equals the strict judge on its data."""
    case = read(name)
    x = case.inputs[0][None]
    positive = case.node.op_type in ("Log", "Sqrt", "Reciprocal")
    file = File([1, *x.shape[1:]], opset=20, name=case.names[0])
    inside = file.quant(case.names[0], 2.0**-6, 10, signed=0) if positive else file.quant(case.names[0], 2.0**-6, 10)
    if positive:
        inside = file.add("Add", inside, file.constant(2.0**-7))
    node = onnx.NodeProto()
    node.CopyFrom(case.node)
    node.name, node.input[0] = "node", inside
    file.nodes.append(node)
    for value, constant in zip(case.inputs[1:], case.names[1:], strict=True):
        file.constants[constant] = value
    file.quant(node.output[0], 0.03, 8)
    verified(load(file.model(), tmp_path), x)
