"""Files that nobody should send: a good network of a seed, with one thing in it broken."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from tests.property.choices import SALT
from tests.property.networks import numbered

BROKEN = {
    "float": (np.nan, np.inf, -np.inf, 0.0, -1.0, 1e38, 1e-45, -3.5),
    "int": (-1, 0, 1, 2, 7, 2**31, -(2**31), 2**62, -(2**63)),
    "width": (0.0, -3.0, 3.5, 65.0, 1e9, np.nan, np.inf, 33.0, 64.0),
    "dimension": (0, -1, -7, 2**20, 2**40, 2**62, 3),
    "opset": (0, -1, 1, 5, 7, 99, 2**40),
}
"""Numbers that mean nothing, or something else, by what they stand for."""


def _pick(rng: np.random.Generator, sequence: Sequence[Any]) -> Any:
    return sequence[int(rng.integers(len(sequence)))]


def _node(rng: np.random.Generator, model: onnx.ModelProto) -> onnx.NodeProto:
    return _pick(rng, model.graph.node)


def _initializer(rng: np.random.Generator, model: onnx.ModelProto) -> onnx.TensorProto:
    if not model.graph.initializer:
        model.graph.initializer.append(numpy_helper.from_array(np.ones(1, np.float32), "new"))
    return _pick(rng, model.graph.initializer)


def _replace(tensor: onnx.TensorProto, array: np.ndarray) -> None:
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(array), tensor.name))


def values(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """NaN, infinities, zeros and negative numbers in a constant, at one place or everywhere."""
    tensor = _initializer(rng, model)
    array = numpy_helper.to_array(tensor).copy()
    if array.dtype.kind == "f":
        value = _pick(rng, BROKEN["float"])
        if array.ndim == 0 or rng.integers(2):
            array[...] = value
        elif array.size:
            array.reshape(-1)[rng.integers(array.size)] = value
    elif array.dtype == np.int64:
        array[...] = _pick(rng, BROKEN["int"])
    _replace(tensor, array)


def everywhere(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """One such number in every float constant."""
    value = _pick(rng, BROKEN["float"])
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            _replace(tensor, np.full_like(numpy_helper.to_array(tensor), value))


def widths(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """A bit width, or another last input of a node, that is none."""
    node = _pick(rng, [n for n in model.graph.node if n.input] or list(model.graph.node))
    model.graph.initializer.append(
        numpy_helper.from_array(np.array(_pick(rng, BROKEN["width"]), np.float32), "absurd_width")
    )
    node.input[len(node.input) - 1] = "absurd_width"


def attributes(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """An attribute of another value, of another type, twice, or unknown."""
    node = _node(rng, model)
    name = _pick(rng, [a.name for a in node.attribute] or ["axis", "alpha", "signed", "rounding_mode", "transB"])
    value = _pick(rng, (*BROKEN["int"], *BROKEN["float"][:3], "ROUNDISH", b"\xff\xfe", [1, 2, 3], [0.5], []))
    kept = [a for a in node.attribute if a.name != name or rng.integers(4) == 0]
    del node.attribute[:]
    node.attribute.extend(kept)
    if isinstance(value, list) and not value:
        node.attribute.append(AttributeProto(name=name, type=AttributeProto.INTS))
    else:
        node.attribute.append(helper.make_attribute(name, value))


def input_shape(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """Dimensions of the input: absurd, negative, none, too many, unknown."""
    shape = model.graph.input[0].type.tensor_type.shape
    kind = rng.integers(4)
    if kind == 0:
        shape.dim[int(rng.integers(len(shape.dim)))].dim_value = _pick(rng, BROKEN["dimension"])
    elif kind == 1:
        shape.dim[-1].dim_param = "n"
    elif kind == 2:
        del shape.dim[:]
    else:
        for _ in range(40):
            shape.dim.add().dim_value = 2


def input_type(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """The input's type, or that it is no tensor at all."""
    kind = model.graph.input[0].type
    if rng.integers(3) == 0:
        kind.CopyFrom(onnx.TypeProto(sequence_type=onnx.TypeProto.Sequence(elem_type=onnx.TypeProto())))
    else:
        kind.tensor_type.elem_type = _pick(rng, (0, 2, 6, 7, 8, 9, 10, 11, 14, 16, 17, 23, 99))


def cycle(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """A node reads what comes behind it, or itself."""
    nodes = model.graph.node
    at = int(rng.integers(len(nodes)))
    later = nodes[int(rng.integers(at, len(nodes)))]
    if not nodes[at].input:
        nodes[at].input.append("")
    nodes[at].input[int(rng.integers(len(nodes[at].input)))] = later.output[0]


def shuffled(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """Nodes in another order."""
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes[i] for i in rng.permutation(len(nodes)))


def missing(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """A tensor, a node, an input or an output is gone."""
    graph = model.graph
    part = _pick(rng, [p for p in (graph.initializer, graph.node, graph.input, graph.output) if len(p)])
    del part[int(rng.integers(len(part)))]


def names(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """Inputs and outputs of a node: emptied, dropped, doubled, named like others."""
    node = _node(rng, model)
    side = _pick(rng, [s for s in (node.input, node.output) if len(s)])
    kind = rng.integers(4)
    if kind == 0:
        side[int(rng.integers(len(side)))] = ""
    elif kind == 1:
        del side[int(rng.integers(len(side)))]
    elif kind == 2:
        side.append(side[0])
    else:
        side[0] = _pick(rng, [*(o for n in model.graph.node for o in n.output), "x", "\0", "a b/\n\"'"])


def doubled(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """Two nodes, two constants, two inputs or two outputs of one name; a constant named like the input."""
    graph = model.graph
    kind = rng.integers(4)
    if kind == 0:
        graph.node.add().CopyFrom(_node(rng, model))
    elif kind == 1:
        graph.initializer.add().CopyFrom(_initializer(rng, model))
    elif kind == 2:
        part = _pick(rng, (graph.input, graph.output))
        part.add().CopyFrom(part[0])
    else:
        _initializer(rng, model).name = graph.input[0].name


def constant_type(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """A constant of another type: float64, float16, bool, complex, wide integers."""
    tensor = _initializer(rng, model)
    kind = _pick(
        rng, (np.float64, np.float16, np.bool_, np.complex64, np.int64, np.uint64, np.int32, np.int8, np.uint32)
    )
    with np.errstate(all="ignore"):
        _replace(tensor, np.nan_to_num(numpy_helper.to_array(tensor).astype(np.float64)).astype(kind))


def strings(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """A constant of strings."""
    tensor = _initializer(rng, model)
    _replace(tensor, np.full(tuple(tensor.dims), "drei", object))


def constant_shape(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """A constant whose dimensions are not those of its data, or which has no data."""
    tensor = _initializer(rng, model)
    kind = rng.integers(3)
    if kind == 0:
        del tensor.dims[:]
        tensor.dims.extend(int(_pick(rng, BROKEN["dimension"])) for _ in range(int(rng.integers(1, 4))))
    elif kind == 1:
        tensor.ClearField("raw_data")
    else:
        array = numpy_helper.to_array(tensor)
        _replace(tensor, np.zeros((*array.shape[:-1], 0), array.dtype))


def constant_moved(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """A constant of another shape with the right data: transposed, flattened, with more dimensions, longer."""
    tensor = _initializer(rng, model)
    array = numpy_helper.to_array(tensor)
    moved = (
        array.T,
        array.reshape(-1),
        array[None, None],
        np.concatenate([array.reshape(-1)] * 2),
        array.reshape(-1)[:1],
    )
    _replace(tensor, np.ascontiguousarray(_pick(rng, moved)))


def opsets(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """Versions of operators and of the file that there are not; no version at all."""
    kind = rng.integers(4)
    if kind == 0:
        _pick(rng, model.opset_import).version = _pick(rng, BROKEN["opset"])
    elif kind == 1:
        del model.opset_import[:]
    elif kind == 2:
        model.ir_version = int(_pick(rng, (0, 1, 99, 2**40)))
    else:
        model.opset_import.add(domain="", version=7)


def operators(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """An operator that there is not, or another one in the place of one."""
    node = _node(rng, model)
    if rng.integers(2):
        node.op_type = _pick(
            rng,
            (
                "Conv",
                "LSTM",
                "Einsum",
                "",
                "Quant ",
                "RandomNormal",
                "NonZero",
                "Where",
                "Loop",
                "If",
                "MaxPool",
                "Top",
            ),
        )
    else:
        node.domain = _pick(rng, ("os", "qonnx.custom_op", "evil.domain", "ai.onnx.ml", "ai.onnx", "onnx.brevitas"))


def external(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """A constant whose data lies in another file: not there, outside the folder, a device, absurdly long."""
    tensor = _initializer(rng, model)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    place = _pick(rng, ("weights.bin", "../../../../etc/passwd", "/etc/passwd", "/dev/zero", "", "net.onnx"))
    tensor.external_data.add(key="location", value=place)
    if rng.integers(2):
        tensor.external_data.add(key="offset", value=_pick(rng, ("-1", "many", "99999999999999")))
        tensor.external_data.add(key="length", value=_pick(rng, ("-1", "0", "99999999999999")))


def subgraphs(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """If, Loop and Scan, on constants and on activations; graphs as attributes of other operators."""
    node = _node(rng, model)
    inner = helper.make_graph([helper.make_node("Identity", [node.output[0]], ["inner"])], "inner", [], [])
    inner.output.add(name="inner")
    kind = rng.integers(3)
    if kind == 0:
        node.attribute.append(helper.make_attribute("body", inner))
        return
    names = [onnx.helper.make_tensor("condition", TensorProto.BOOL, [], [True])]
    model.graph.initializer.extend(names)
    made = (
        helper.make_node("If", ["condition"], ["chosen"], then_branch=inner, else_branch=inner)
        if kind == 1
        else helper.make_node("Loop", ["", "condition", node.output[0]], ["chosen"], body=inner)
    )
    at = list(model.graph.node).index(node) + 1
    nodes = list(model.graph.node)
    for later in nodes[at:]:
        later.input[:] = ["chosen" if i == node.output[0] else i for i in later.input]
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:at], made, *nodes[at:]])


def bombs(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """Constants that grow when they are computed; very long chains of nothing."""
    node = _pick(rng, [n for n in model.graph.node if n.input] or list(model.graph.node))
    nodes, kind = list(model.graph.node), rng.integers(4)
    at = nodes.index(node)
    new: list[onnx.NodeProto] = []
    source = node.input[0] if node.input else "x"
    if kind == 0:
        shape = numpy_helper.from_array(np.array([2**17, 2**17], np.int64), "bomb_shape")
        model.graph.initializer.append(shape)
        new = [helper.make_node("ConstantOfShape", ["bomb_shape"], ["bomb"])]
    elif kind == 1:
        many = numpy_helper.from_array(np.array([2**34], np.int64), "bomb_shape")
        one = numpy_helper.from_array(np.ones(1, np.float32), "bomb_one")
        model.graph.initializer.extend([many, one])
        new = [helper.make_node("Tile", ["bomb_one", "bomb_shape"], ["bomb"])]
    elif kind == 2:
        for name, value in (("bomb_start", 0), ("bomb_end", 2**40), ("bomb_step", 1)):
            model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.int64), name))
        new = [helper.make_node("Range", ["bomb_start", "bomb_end", "bomb_step"], ["bomb"])]
    else:
        chain = [source, *(f"link{i}" for i in range(1500)), "bomb"]
        new = [helper.make_node("Identity", [a], [b]) for a, b in itertools.pairwise(chain)]
    if node.input:
        node.input[0 if kind == 3 else len(node.input) - 1] = "bomb"
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:at], *new, *nodes[at:]])


def oddities(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """Functions of the file that hide an operator, sparse constants, annotations of a type that there is not."""
    kind = rng.integers(3)
    if kind == 0:
        node = _node(rng, model)
        inner = helper.make_node("Identity", ["a"], ["b"])
        imports = [helper.make_opsetid("", 17)]
        model.functions.append(helper.make_function(node.domain, node.op_type, ["a"], ["b"], [inner], imports))
    elif kind == 1:
        tensor = _initializer(rng, model)
        sparse = model.graph.sparse_initializer.add()
        sparse.values.CopyFrom(tensor)
        sparse.dims.extend(tensor.dims)
        model.graph.initializer.remove(tensor)
    else:
        annotation = model.graph.quantization_annotation.add(tensor_name=_node(rng, model).output[0])
        word = _pick(rng, ("INT4", "UINT99999", "NONSENSE", "BIPOLAR", "FIXED<4,", ""))
        annotation.quant_parameter_tensor_names.add(key="finn_datatype", value=word)


CHANGES: tuple[Callable[[np.random.Generator, onnx.ModelProto], None], ...] = (
    *(values, everywhere, widths, attributes, attributes, input_shape, input_type, cycle, shuffled, missing, names),
    *(doubled, constant_type, strings, constant_shape, constant_moved, opsets, operators, external, subgraphs, bombs),
    oddities,
)


def torn(rng: np.random.Generator, data: bytes) -> bytes:
    """Bytes flipped, cut out, put in or cut off."""
    kind = rng.integers(4)
    changed = bytearray(data)
    at = int(rng.integers(len(data)))
    if kind == 0:
        for place in rng.integers(0, len(data), int(rng.integers(1, 20))):
            changed[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del changed[at:]
    elif kind == 2:
        del changed[at : at + int(rng.integers(1, 40))]
    else:
        changed[at:at] = rng.bytes(int(rng.integers(1, 40)))
    return bytes(changed)


def hostile(seed: int) -> tuple[str, bytes, str | None]:
    """What is broken, the file, and the input format that it is read with."""
    rng = np.random.default_rng([SALT, 1, seed])
    network = numbered(int(rng.integers(1 << 20)) * 3 + 1)
    kinds = (*CHANGES, torn, torn, torn)
    change = kinds[seed % len(kinds)]
    if change is torn:
        return "torn", torn(rng, network.model.SerializeToString()), network.input_format
    model = onnx.ModelProto()
    model.CopyFrom(network.model)
    change(rng, model)
    return change.__name__, model.SerializeToString(), network.input_format
