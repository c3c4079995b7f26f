"""Networks in the executors as they are: qonnx's and onnxruntime, without anything of ours."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes

from tests.frontend.qdq_files import session
from tests.property.networks import Network


def executed(network: Network, number: int = 0, *, samples: int = 2) -> NDArray:
    """Outputs (samples, ...) on random inputs, one at a time: files have constants of their batch of 1.

    Args:
        network: whose inputs are about normal.
        number: seed of the inputs.
        samples: how many.
    """
    model = onnx.ModelProto()
    model.CopyFrom(network.model)
    given = model.graph.input[0]
    given.type.tensor_type.shape.dim[0].dim_value = 1
    shape = [d.dim_value for d in given.type.tensor_type.shape.dim]
    inputs = np.random.default_rng([11, number]).normal(0, 2, (samples, *shape)).astype(np.float32)
    if any(node.domain for node in model.graph.node) or any(
        "Quant" in node.op_type and "Linear" not in node.op_type for node in model.graph.node
    ):
        _name_domains(model)
        wrapped = ModelWrapper(model).transform(InferShapes())
        output = model.graph.output[0].name
        results = [execute_onnx(wrapped, {given.name: x})[output] for x in inputs]
    else:
        opened = session(model)
        results = [opened.run(None, {given.name: x})[0] for x in inputs]
    return np.stack(results)


def _name_domains(model: onnx.ModelProto) -> None:
    """qonnx looks its own operators up by their domain; no domain and the old one mean the same, with a warning."""
    for node in model.graph.node:
        old = node.domain in ("", "finn.custom_op.general")
        if node.op_type in ("Quant", "IntQuant", "BipolarQuant", "Trunc") and old:
            node.domain = "qonnx.custom_op.general"
