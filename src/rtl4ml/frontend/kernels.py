"""Runs standard ONNX operators with onnxruntime's own kernels, unfused and single-threaded."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from rtl4ml.errors import ModelError
from rtl4ml.frontend import wellformed

MAX_IR_VERSION = 10


def session(model: onnx.ModelProto | bytes) -> onnxruntime.InferenceSession:
    """A session that computes each node as the file states it.

    Raises:
        ModelError: onnxruntime refuses the model.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    data = model if isinstance(model, bytes) else model.SerializeToString()
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own classes, which share no useful base
        raise ModelError(
            f"onnxruntime must accept the model's operators, but says: {str(error).splitlines()[0]}"
        ) from error


def build(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, Sequence[int | str | None]]],
    outputs: Sequence[str],
    constants: Mapping[str, NDArray],
    opset: int,
) -> onnx.ModelProto:
    """A model of some nodes; `inputs` gives element type and shape by name."""
    graph = helper.make_graph(
        list(nodes),
        "part",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [onnx.numpy_helper.from_array(np.array(value, order="C"), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = min(model.ir_version, MAX_IR_VERSION)
    return model


def run_node(node: onnx.NodeProto, values: Mapping[str, NDArray], opset: int) -> list[NDArray]:
    """Outputs of one node whose inputs are all known.

    Raises:
        ModelError: onnxruntime cannot run it.
    """
    constants = {name: np.asarray(values[name]) for name in node.input if name}
    outputs = [name for name in node.output if name]
    model = build([node], {}, outputs, constants, opset)
    wellformed.check_growth(node, model)
    try:
        return session(model).run(outputs, {})
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"Node {node.name!r} ({node.op_type}) of constants must be computable, but onnxruntime says: "
            f"{str(error).splitlines()[0]}"
        ) from error
