"""Files for the tests of the judges: the shared models, and small ones made here."""

import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes

QONNX = "qonnx.custom_op.general"
MODELS = Path(__file__).resolve().parents[3] / "shared" / "models"


def shared(name):
    path = MODELS / name
    if not path.exists():
        pytest.skip(f"{name} is not in ../shared/models")
    return path


def model(nodes, shape, constants, outputs=("y",), opset=18, input_type=onnx.TensorProto.FLOAT):
    """A model with input x of the given shape; constants are arrays by name."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", input_type, shape)],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(QONNX, 1)])


def quant(x, y, scale, bits, zero_point=0.0, signed=1, narrow=0, rounding_mode="ROUND", domain=QONNX):
    """A Quant node and its constants."""
    names = [f"{y}_scale", f"{y}_zero_point", f"{y}_bits"]
    node = helper.make_node(
        "Quant", [x, *names], [y], domain=domain, signed=signed, narrow=narrow, rounding_mode=rounding_mode
    )
    values = (np.float32(scale), np.float32(zero_point), np.float32(bits))
    return node, dict(zip(names, values, strict=True))


def executed(onnx_model, x):
    """qonnx's own results for samples x [n, *shape with the batch of 1]: every tensor, one dictionary a sample."""
    copied = onnx.ModelProto()
    copied.CopyFrom(onnx_model)
    for node in copied.graph.node:
        if node.op_type in ("Quant", "BipolarQuant", "Trunc") and node.domain in ("", "finn.custom_op.general"):
            node.domain = QONNX
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = ModelWrapper(copied).transform(InferShapes())
        name = next(i.name for i in copied.graph.input if wrapped.get_initializer(i.name) is None)
        return [execute_onnx(wrapped, {name: sample}, return_full_exec_context=True) for sample in x]


def same_bits(a, b):
    """Whether arrays agree in type and in every bit, the sign of zero included; shapes up to the batch of 1."""
    return a.dtype == b.dtype and a.size == b.size and a.tobytes() == b.tobytes()


def nearest_float32(value):
    """The float32 nearest to a Fraction, ties to even: by integers alone."""
    if value == 0:
        return np.float32(0)
    magnitude = abs(value)
    exponent = max(magnitude.numerator.bit_length() - magnitude.denominator.bit_length() - 1, -126)
    if magnitude >= Fraction(2) ** (exponent + 1):
        exponent += 1
    unit = Fraction(2) ** (exponent - 23)
    steps = round(magnitude / unit)  # Fraction rounds half to even
    result = steps * unit
    if result >= Fraction(2) ** 128:
        return np.float32(np.inf if value > 0 else -np.inf)
    return np.float32(float(result) if value > 0 else -float(result))
