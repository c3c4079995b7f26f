"""From a file to the integer graph."""

import hashlib
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError

from rtl4ml.errors import ModelError
from rtl4ml.formats import InputFormat
from rtl4ml.frontend import elementwise, host, layout, linear, qonnx_dialect
from rtl4ml.frontend.linear import fold_bias
from rtl4ml.frontend.lowering import Lowering
from rtl4ml.frontend.values import Constant, Flow, Step
from rtl4ml.graph import Graph, HostFunction, Tensor

OPERATORS = (elementwise, layout, linear, qonnx_dialect)
"""Modules that have put their operators into the table when they were imported."""


def read(path: str | Path) -> onnx.ModelProto:
    """The file as a message.

    Raises:
        ModelError: it does not exist, is truncated, or is no ONNX file.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"Model {str(path)!r} must be a readable file: {error.strerror}") from error
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise ModelError(
            f"Model {str(path)!r} must be an ONNX file, whole: it cannot be parsed, so it is truncated or something "
            "else"
        ) from error
    if not model.graph.node or not model.graph.output:
        raise ModelError(
            f"Model {str(path)!r} must be an ONNX file with at least one node and one output, not one without"
        )
    return model


def load(path: str | Path, input_format: str | InputFormat | None = None) -> Graph:
    """Read a quantized ONNX file and lower it to the integer graph.

    Args:
        path: a QONNX file.
        input_format: `fixed<W,I>`, `ufixed<W,I>`, `int<W>` or `uint<W>` with optional `*factor` or `/divisor`: what
            the hardware's pins carry. Without it the hardware takes the codes of the file's first quantizer.

    Raises:
        ModelError: the file cannot be read, or a node cannot be built exactly.
        ConfigurationError: the input format has no meaning.
    """
    path = Path(path)
    model = read(path)
    parsed = InputFormat.parse(input_format) if isinstance(input_format, str) else input_format
    graph = from_model(model, path.stem, parsed)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    versions = {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__, "numpy": np.__version__}
    return Graph(
        **{
            **graph.__dict__,
            "source": {"file": path.name, "sha256": digest, "executors": versions},
            "model": path.read_bytes(),
        }
    )


def _input_shape(model: onnx.ModelProto) -> tuple[str, tuple[int, ...]]:
    """Name and shape of the one input, batch included as 1.

    Raises:
        ModelError: several inputs, or a dimension other than the batch that is not a number.
    """
    known = {initializer.name for initializer in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in known]
    if len(inputs) != 1:
        raise ModelError(f"Model must have one input, not {len(inputs)}: {', '.join(repr(i.name) for i in inputs)}")
    kind = inputs[0].type.tensor_type
    if kind.elem_type != onnx.TensorProto.FLOAT:
        raise ModelError(
            f"Input {inputs[0].name!r} must be float32, not {onnx.TensorProto.DataType.Name(kind.elem_type).lower()}"
        )
    dims = list(kind.shape.dim)
    for index, dim in enumerate(dims):
        if index and not dim.dim_value:
            raise ModelError(
                f"Dimension {index} of input {inputs[0].name!r} must be a fixed number, not "
                f"{dim.dim_param or 'unknown'!r}: only the batch may vary"
            )
    if dims and dims[0].dim_value > 1:
        raise ModelError(f"Batch of input {inputs[0].name!r} must be 1 or free, not {dims[0].dim_value}")
    return inputs[0].name, (1, *(d.dim_value for d in dims[1:])) if dims else ()


def from_model(model: onnx.ModelProto, name: str, input_format: InputFormat | None = None) -> Graph:
    """Lower a model that is already in memory; see `load`."""
    if len(model.graph.output) != 1:
        raise ModelError(
            f"Model must have one output, not {len(model.graph.output)}: "
            f"{', '.join(repr(o.name) for o in model.graph.output)}"
        )
    input_name, shape = _input_shape(model)
    lowering = Lowering(model, input_format)
    order = np.arange(int(np.prod(shape, dtype=np.int64))).reshape(shape)
    lowering.values[input_name] = _start(lowering, input_name, order, input_format)
    lowering.run()
    end = model.graph.output[0].name
    value = lowering.values.get(end)
    if not isinstance(value, Flow) or lowering.input is None or value.source is None:
        if isinstance(value, Flow):
            raise ModelError(
                f"Model must have at least one quantizer between input {input_name!r} and output {end!r}, not none"
            )
        raise ModelError(f"Output {end!r} of the model must depend on its input {input_name!r}: it is constant")
    flow = fold_bias(lowering, value)
    return _assemble(lowering, flow, name, input_name, shape, end)


def _start(lowering: Lowering, name: str, order: np.ndarray, input_format: InputFormat | None) -> Flow:
    """The file's input: codes of the input format, or values that only the host knows."""
    if input_format is None:
        return Flow(name, None, order)
    tensor_format = input_format.format
    limits = [np.full(order.size, limit, np.int64) for limit in (tensor_format.low, tensor_format.high)]
    lowering.tensors[name] = Tensor(name, order.shape[1:], tensor_format, *limits)
    lowering.input, lowering.layouts[name] = name, order
    if input_format.divisor is None:
        return Flow(name, name, order)
    node = onnx.helper.make_node("Div", [name, f"{name}_divisor"], [f"{name}_divided"], name="input format")
    return Flow(name, name, order, steps=(Step(node, 0, {1: np.array(input_format.divisor, np.float32)}, order),))


def _assemble(lowering: Lowering, flow: Flow, name: str, input_name: str, shape: tuple[int, ...], end: str) -> Graph:
    constants = {key: np.asarray(v.value) for key, v in lowering.values.items() if isinstance(v, Constant)}
    assert lowering.input is not None and flow.source is not None
    input_order = lowering.layouts[lowering.input]
    if lowering.border is None:
        prologue = HostFunction(b"", (), input_order.reshape(-1), input_order.shape[1:])
    else:
        prologue = host.extract(
            lowering.model, input_name, lowering.border, shape, constants, lowering.opset, input_order
        )
    order = cast(np.ndarray, lowering.layouts[flow.source] if flow.steps or flow.opaque else flow.order)
    epilogue = host.extract(lowering.model, flow.tensor, end, order.shape, constants, lowering.opset, order)
    bias = (
        None
        if flow.bias is None
        else np.broadcast_to(flow.bias, (lowering.tensors[flow.source].size,)).astype(np.float32)
    )
    epilogue = HostFunction(**{**epilogue.__dict__, "bias": bias})
    quantizer = lowering.input_quantizer
    return Graph(
        name=name,
        operators=tuple(lowering.operators),
        tensors=lowering.tensors,
        input=lowering.input,
        output=flow.source,
        prologue=prologue,
        epilogue=epilogue,
        input_shape=shape[1:],
        output_shape=host.output_shape(epilogue, order.shape[1:]),
        input_format=lowering.input_format,
        encode=lowering.input_format.encode
        if lowering.input_format
        else None
        if quantizer is None
        else quantizer.codes,
        layouts=lowering.layouts,
    )
