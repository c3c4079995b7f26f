"""Whether a file is what ONNX calls one, before anything is made of it: all that reads it later may rely on this.

1. Versions of operators are numbers that ONNX has had, one for a domain.
2. No functions, no sparse constants, no data in other files: a network is read from the one file.
3. Every constant holds the data of its type and dimensions.
4. Inputs are tensors of a known type, outputs are named.
5. Every name is made once, by one node, constant or input.
6. Nodes have an output, as many inputs as their operator takes, and attributes of the types that it has, once each.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, TensorProto

from rtl4ml.errors import ModelError

MAX_INPUT = 1 << 24
"""Elements of the input."""

MAX_FOLDED = 1 << 28
"""Elements of a constant that nodes of the file compute."""

UNLIMITED = 1 << 20
"""Inputs that an operator takes when it takes any number."""

GROWING = (
    "ConstantOfShape",
    "Tile",
    "Expand",
    "Range",
    "Pad",
    "Resize",
    "Upsample",
    "OneHot",
    "EyeLike",
    "Loop",
    "Scan",
)
"""Operators whose results may be larger than all that they are given."""

QUANTIZER_ATTRIBUTES = {
    "signed": AttributeProto.INT,
    "narrow": AttributeProto.INT,
    "rounding_mode": AttributeProto.STRING,
}
"""Of qonnx's quantizers."""

_STANDARD = ("", "ai.onnx")


def check(model: onnx.ModelProto) -> None:
    """Refuse a file that breaks one of the rules above.

    Raises:
        ModelError: naming the node, constant or input.
    """
    versions = _versions(model)
    if model.functions:
        raise ModelError(f"Functions of the file must be inlined, not kept: {model.functions[0].name!r}")
    if model.graph.sparse_initializer:
        name = model.graph.sparse_initializer[0].values.name
        raise ModelError(f"Constant {name!r} must be dense, not sparse")
    for tensor in model.graph.initializer:
        array(tensor)
    _check_ends(model.graph)
    _check_names(model.graph)
    for node in model.graph.node:
        _check_node(node, versions)


def _versions(model: onnx.ModelProto) -> dict[str, int]:
    versions: dict[str, int] = {}
    latest = onnx.defs.onnx_opset_version()
    for entry in model.opset_import:
        domain = "" if entry.domain in _STANDARD else entry.domain
        if versions.setdefault(domain, entry.version) != entry.version:
            raise ModelError(f"Operators of domain {domain!r} must be of one version, not {entry.version} as well")
        if domain == "" and not 1 <= entry.version <= latest:
            raise ModelError(f"Version of ONNX's operators must be from 1 to {latest}, not {entry.version}")
    return versions


def array(tensor: TensorProto) -> NDArray:
    """A constant's values.

    Raises:
        ModelError: its data lies in another file, or is not that of its type and dimensions.
    """
    what = f"Constant {tensor.name!r}"
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise ModelError(f"{what} must be in the file itself, not in another: save the model with its data inside")
    if any(d < 0 for d in tensor.dims):
        raise ModelError(f"{what} must have dimensions of at least 0, not {list(tensor.dims)}")
    try:
        value = np.asarray(onnx.numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, MemoryError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{what} must hold {list(tensor.dims)} elements of its type, not other data: {first_line(error)}"
        ) from error
    if value.dtype.kind in "OSU":
        raise ModelError(f"{what} must hold numbers, not strings")
    return value


def _check_ends(graph: onnx.GraphProto) -> None:
    for value in graph.input:
        if not value.type.HasField("tensor_type"):
            raise ModelError(f"Input {value.name!r} must be a tensor, not of another type")
        kind, dims = value.type.tensor_type.elem_type, value.type.tensor_type.shape.dim
        if kind not in TensorProto.DataType.values() or kind == TensorProto.UNDEFINED:
            raise ModelError(f"Input {value.name!r} must be of a type that ONNX has, not {kind}")
        sizes = [dim.dim_value for dim in dims]
        if any(size < 0 for size in sizes):
            raise ModelError(f"Dimensions of input {value.name!r} must be positive, not {sizes}")
        product = 1
        for size in sizes:
            product *= max(1, size)
        if product > MAX_INPUT or len(sizes) > 32:
            raise ModelError(
                f"Input {value.name!r} must have at most 2**24 elements in 32 dimensions, not {product} in {len(sizes)}"
            )
    for value in graph.output:
        if not value.name:
            raise ModelError("Outputs of the model must have names, not ''")


def _check_names(graph: onnx.GraphProto) -> None:
    made: set[str] = set()
    for tensor in graph.initializer:
        if tensor.name in made:
            raise ModelError(f"Constant {tensor.name!r} must be there once, not twice")
        made.add(tensor.name)
    inputs = [value.name for value in graph.input]
    for name in inputs:
        if inputs.count(name) > 1:
            raise ModelError(f"Input {name!r} must be there once, not twice")
    made.update(inputs)
    for node in graph.node:
        for name in filter(None, node.output):
            if name in made:
                raise ModelError(
                    f"Output {name!r} of node {node.name!r} ({node.op_type}) must be made once: another node, a "
                    "constant or an input has that name, too"
                )
            made.add(name)


def _check_node(node: onnx.NodeProto, versions: dict[str, int]) -> None:
    what = f"node {node.name!r} ({node.op_type})"
    if not any(node.output):
        raise ModelError(f"Outputs of {what} must have names: there is none")
    names = [attribute.name for attribute in node.attribute]
    for name in names:
        if names.count(name) > 1:
            raise ModelError(f"Attribute {name!r} of {what} must be given once, not {names.count(name)} times")
    for attribute in node.attribute:
        _check_attribute(attribute, what)
    schema = _schema(node, versions)
    if schema is None:
        _check_types(node, QUANTIZER_ATTRIBUTES, what)
        return
    count = len(node.input)
    if not schema.min_input <= count <= schema.max_input:
        most = "more" if schema.max_input >= UNLIMITED else str(schema.max_input)
        raise ModelError(f"Inputs of {what} must be {schema.min_input} to {most}, not {count}")
    single = onnx.defs.OpSchema.FormalParameterOption.Single
    for position, parameter in enumerate(schema.inputs[:count]):
        if parameter.option == single and not node.input[position]:
            raise ModelError(f"Input {position} of {what} must be given, not left out")
    if len(node.output) > schema.max_output:
        raise ModelError(f"Outputs of {what} must be at most {schema.max_output}, not {len(node.output)}")
    unknown = [name for name in names if name not in schema.attributes]
    if unknown:
        raise ModelError(
            f"Attributes of {what} must be {', '.join(sorted(schema.attributes)) or 'none'}, not {unknown[0]!r}"
        )
    missing = [name for name, known in schema.attributes.items() if known.required and name not in names]
    if missing:
        raise ModelError(f"Attribute {missing[0]!r} of {what} must be given, not left out")
    _check_types(node, {name: known.type.value for name, known in schema.attributes.items()}, what)


def _schema(node: onnx.NodeProto, versions: dict[str, int]) -> onnx.defs.OpSchema | None:
    """What ONNX says of an operator of its own; None of others."""
    if node.domain not in _STANDARD:
        return None
    try:
        return onnx.defs.get_schema(node.op_type, versions.get("", 1), "")
    except onnx.defs.SchemaError:
        return None


def _check_attribute(attribute: AttributeProto, what: str) -> None:
    for number in (attribute.f, *attribute.floats):
        # Old versions of Clip may say that there is no limit.
        if not np.isfinite(number) and not what.endswith("(Clip)"):
            raise ModelError(f"{attribute.name} of {what} must be finite, not {number}")
    for tensor in [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors]:
        array(tensor)


def _check_types(node: onnx.NodeProto, types: dict[str, int], what: str) -> None:
    for attribute in node.attribute:
        wanted = types.get(attribute.name)
        if wanted is not None and attribute.type != wanted:
            kinds = AttributeProto.AttributeType
            found = kinds.Name(attribute.type) if attribute.type in kinds.values() else str(attribute.type)
            raise ModelError(f"Attribute {attribute.name!r} of {what} must be {kinds.Name(wanted)}, not {found}")


def check_growth(node: onnx.NodeProto, model: onnx.ModelProto) -> None:
    """Refuse a node of constants whose result no memory holds.

    Args:
        node: about to be run.
        model: it alone, its inputs constants of the model.

    Raises:
        ModelError: its result is too large, or of a size that nobody knows.
    """
    if node.op_type not in GROWING:
        return
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:  # the library's own error is a RuntimeError or not, by version
        raise ModelError(
            f"Node {node.name!r} ({node.op_type}) of constants must have a result, not none: {first_line(error)}"
        ) from error
    kind = inferred.graph.output[0].type.tensor_type
    size = 1
    for dim in kind.shape.dim:
        size *= dim.dim_value
    if not kind.HasField("shape") or any(not dim.HasField("dim_value") for dim in kind.shape.dim) or size > MAX_FOLDED:
        raise ModelError(
            f"Node {node.name!r} ({node.op_type}) of constants must give at most 2**28 elements, in a shape that is "
            f"known, not {size if size > MAX_FOLDED else 'any other'}"
        )


def first_line(error: BaseException) -> str:
    """What an error says, on one line and not without end."""
    text = next(iter(str(error).splitlines()), "") or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."
