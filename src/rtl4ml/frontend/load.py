"""From a file to the integer graph."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError

from rtl4ml.errors import ConfigurationError, ModelError
from rtl4ml.formats import Codes, Format, InputFormat, spread, width_of
from rtl4ml.frontend import (
    elementwise,
    host,
    integer_convolutions,
    integer_products,
    joins,
    layout,
    linear,
    padding,
    pooling,
    qdq_dialect,
    qonnx_dialect,
    reductions,
    resampling,
    selection,
    tops,
    transposed,
    wellformed,
)
from rtl4ml.frontend.chain import DEFINITIONS
from rtl4ml.frontend.decision import decide
from rtl4ml.frontend.input_shape import with_input_shape
from rtl4ml.frontend.lowering import Lowering
from rtl4ml.frontend.products import fold_bias
from rtl4ml.frontend.qdq_dialect import INPUTS, INTEGERS
from rtl4ml.frontend.quantizer import IntegerInput
from rtl4ml.frontend.saturation import settle_output
from rtl4ml.frontend.spatial import LayoutFoundError
from rtl4ml.frontend.values import Constant, Flow, Step
from rtl4ml.graph import Graph, HostFunction, Tensor
from rtl4ml.operators import Conv, Dense, Requantize

EXAMPLE_SIZE = 32
"""Of a dimension that a file leaves open, in the error that asks for it."""

OPERATORS = (
    elementwise,
    layout,
    linear,
    pooling,
    padding,
    resampling,
    transposed,
    qonnx_dialect,
    joins,
    selection,
    reductions,
    tops,
    qdq_dialect,
    integer_products,
    integer_convolutions,
)
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


def load(
    path: str | Path,
    input_format: str | InputFormat | None = None,
    chains: str = "float32",
    *,
    argmax: bool = False,
    input_shape: Sequence[int] | None = None,
) -> Graph:
    """Read a quantized ONNX file and lower it to the integer graph.

    Args:
        path: a QONNX or QDQ file.
        input_format: `fixed<W,I>`, `ufixed<W,I>`, `int<W>`, `uint<W>` or `bipolar` with optional `*factor` or
            `/divisor`: what the hardware's pins carry. Without it the hardware takes the codes of the file's first
            quantizer. A file whose input is integers takes none.
        chains: what defines the operators between a product and the next quantizer: "float32", the ONNX executor's
            kernels; or "real", exact arithmetic where they are affine (Add, Mul, BatchNormalization, Relu, Clip, ...),
            which leaves float32 at a handful of accumulators and never needs exceptions in hardware: `departures` of
            the Requantize nodes says where.
        argmax: put the decision into hardware: the output is the number of the largest real value, of equal ones the
            lowest.
        input_shape: another shape of the file's input, with or without the batch: where the file leaves dimensions
            open, or the network fits other sizes too.

    Raises:
        ModelError: the file cannot be read, or a node cannot be built exactly.
        ConfigurationError: the input format or `chains` has no meaning.
    """
    if chains not in DEFINITIONS:
        raise ConfigurationError(f"chains must be one of {', '.join(DEFINITIONS)}, not {chains!r}")
    path = Path(path)
    model = read(path)
    data = path.read_bytes()
    if input_shape is not None:
        model = with_input_shape(model, input_shape)
        data = model.SerializeToString(deterministic=True)
    parsed = InputFormat.parse(input_format) if isinstance(input_format, str) else input_format
    graph = from_model(model, path.stem, parsed, chains)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    versions = {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__, "numpy": np.__version__}
    graph = Graph(
        **{
            **graph.__dict__,
            "source": {"file": path.name, "sha256": digest, "executors": versions},
            "model": data,
        }
    )
    return decide(graph) if argmax else graph


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
    name = onnx.TensorProto.DataType.Name(kind.elem_type).lower()
    if name not in ("float", *INPUTS):
        raise ModelError(f"Input {inputs[0].name!r} must be float32 or one of {', '.join(INPUTS)}, not {name}")
    dims = list(kind.shape.dim)
    if not dims:
        raise ModelError(f"Input {inputs[0].name!r} must have a batch as its first dimension, not no dimensions at all")
    for index, dim in enumerate(dims):
        if index and not dim.dim_value:
            example = ", ".join(["1", *(str(d.dim_value or EXAMPLE_SIZE) for d in dims[1:])])
            raise ModelError(
                f"Dimension {index} of input {inputs[0].name!r} must be a fixed number, not "
                f"{dim.dim_param or 'unknown'!r}: only the batch may vary. Say the shape that the hardware shall "
                f"have, such as --input-shape {example.replace(' ', '')}, in Python input_shape=({example})"
            )
    if dims and dims[0].dim_value > 1:
        raise ModelError(f"Batch of input {inputs[0].name!r} must be 1 or free, not {dims[0].dim_value}")
    return inputs[0].name, (1, *(d.dim_value for d in dims[1:]))


def with_free_weights(graph: Graph) -> Graph:
    """The graph with the ranges, and staircases on them, that any weights of each layer's bits need.

    Raises:
        ModelError: it came from no file, or is no longer as its file has it.
    """
    # What is no layer of the file, such as the sums of a pooling, never has limits.
    layers = [operator for operator in graph.operators if isinstance(operator, Conv | Dense)]
    if not layers or any(layer.limits is not None for layer in layers):
        return graph
    if not graph.model:
        raise ModelError(f"Graph {graph.name!r} must come from an ONNX file for its weights to be writable")
    real = any(isinstance(o, Requantize) and o.departures is not None for o in graph.operators)
    model = onnx.ModelProto.FromString(graph.model)
    free = from_model(model, graph.name, graph.input_format, "real" if real else "float32", free_weights=True)
    if len(graph.operators) > len(free.operators):
        free = decide(free)
    if [(o.name, o.kind) for o in free.operators] != [(o.name, o.kind) for o in graph.operators]:
        raise ModelError(f"Graph {graph.name!r} must be as its file has it for its weights to be writable")
    return replace(free, source=graph.source, model=graph.model)


def from_model(
    model: onnx.ModelProto,
    name: str,
    input_format: InputFormat | None = None,
    chains: str = "float32",
    free_weights: bool = False,
) -> Graph:
    """Lower a model that is already in memory; see `load`. `free_weights`: ranges are those of any weights."""
    wellformed.check(model)
    if len(model.graph.output) != 1:
        raise ModelError(
            f"Model must have one output, not {len(model.graph.output)}: "
            f"{', '.join(repr(o.name) for o in model.graph.output)}"
        )
    input_name, shape = _input_shape(model)
    lowering = _lowered(model, input_name, shape, input_format, chains, free_weights)
    end = model.graph.output[0].name
    value = lowering.values.get(end)
    if not isinstance(value, Flow) or lowering.input is None or value.source is None:
        if isinstance(value, Flow):
            raise ModelError(
                f"Model must have at least one quantizer between input {input_name!r} and output {end!r}, not none"
            )
        raise ModelError(f"Output {end!r} of the model must depend on its input {input_name!r}: it is constant")
    joins.require_closed(lowering, value, end)
    while value.steps and value.source in lowering.origins:
        value = lowering.origins[value.source]  # operators that no quantizer closed are the host's, choices as well
    flow = settle_output(lowering, fold_bias(lowering, value))
    joins.drop_waiting(lowering)
    assert flow.source is not None
    lowering.drop_unread(flow.source)
    return _assemble(lowering, flow, name, input_name, shape, end)


def _lowered(
    model: onnx.ModelProto,
    input_name: str,
    shape: tuple[int, ...],
    input_format: InputFormat | None,
    chains: str,
    free_weights: bool,
) -> Lowering:
    """Every node lowered; begun anew when the first operator on pixels says how the input should lie."""
    layout: tuple[Codes, tuple[int, ...]] | None = None
    while True:
        lowering = Lowering(model, input_format, chains)
        lowering.free_weights = free_weights
        lowering.input_layout = layout
        lowering.values[input_name] = _start(lowering, input_name, shape, input_format)
        try:
            lowering.run()
        except LayoutFoundError as found:
            layout = found.elements, found.shape
        else:
            return lowering


def _start(lowering: Lowering, name: str, file_shape: tuple[int, ...], input_format: InputFormat | None) -> Flow:
    """The file's input: codes of the input format, or values that only the host knows."""
    kind = next(i for i in lowering.model.graph.input if i.name == name).type.tensor_type.elem_type
    if kind != onnx.TensorProto.FLOAT:
        return _start_integers(lowering, name, file_shape, onnx.TensorProto.DataType.Name(kind).lower())
    if input_format is None:
        size = int(np.prod(file_shape, dtype=np.int64))
        return Flow(name, None, np.arange(size).reshape(file_shape))
    tensor_format = input_format.format
    order, shape = lowering.place_input(file_shape)
    limits = [np.full(shape[-1] if shape else 1, limit, np.int64) for limit in (tensor_format.low, tensor_format.high)]
    lowering.tensors[name] = Tensor(name, shape, tensor_format, *limits)
    lowering.input, lowering.layouts[name] = name, order
    if input_format.divisor is None:
        return Flow(name, name, order)
    node = onnx.helper.make_node("Div", [name, f"{name}_divisor"], [f"{name}_divided"], name="input format")
    return Flow(name, name, order, steps=(Step(node, 0, {1: np.array(input_format.divisor, np.float32)}, order),))


def _start_integers(lowering: Lowering, name: str, file_shape: tuple[int, ...], kind: str) -> Flow:
    """An input that is codes in the file already.

    Raises:
        ModelError: an input format is given as well.
    """
    if lowering.input_format is not None:
        raise ModelError(f"Input {name!r} must be float32 to be given an input format, not {kind}: it is codes already")
    low, high = INTEGERS[kind]
    bits, signed = width_of(low, high)
    order, shape = lowering.place_input(file_shape)
    limits = [np.full(shape[-1] if shape else 1, limit, np.int64) for limit in (low, high)]
    lowering.tensors[name] = Tensor(name, shape, Format(bits, signed, np.ones(())), *limits)
    lowering.input, lowering.layouts[name] = name, order
    lowering.input_quantizer = IntegerInput(name, low, high)
    return Flow(name, name, order, integer=True)


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
    # The host starts from the tensor that the hardware made, in its layout: what moves elements later is the host's.
    border = lowering.values[flow.tensor]
    assert isinstance(border, Flow)
    order = border.order
    if flow.steps or flow.opaque or flow.order.shape[:1] != (1,):
        epilogue = host.extract(lowering.model, flow.tensor, end, order.shape, constants, lowering.opset, order)
    else:
        order = flow.order
        epilogue = HostFunction(b"", (), order.reshape(-1), order.shape[1:])
    bias = None if flow.bias is None else spread(flow.bias, lowering.tensors[flow.source].size).copy()
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
        grids=lowering.grids,
    )
