"""Files that break a rule of ONNX are refused with its name; whole messages are pinned."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rtl4ml.errors import ModelError
from rtl4ml.frontend.load import from_model
from tests.frontend.build import File


def small():
    """A quantizer, a product, a Relu and a quantizer."""
    file = File([1, 3])
    x = file.quant("x", 0.25, 4)
    x = file.add("MatMul", x, file.constant(np.eye(3)), name="fc")
    file.quant(file.add("Relu", x, name="relu"), 0.5, 4)
    return file.model()


def relu(model):
    return next(node for node in model.graph.node if node.name == "relu")


def add_attribute(model, name, value):
    relu(model).attribute.append(helper.make_attribute(name, value))


def twice(model):
    quantizer = model.graph.node[0]
    quantizer.attribute.append(quantizer.attribute[0])


def signed_as_text(model):
    node = model.graph.node[0]
    kept = [a for a in node.attribute if a.name != "signed"]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute("signed", "yes")])


def external(model):
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL


def negative(model):
    model.graph.initializer[0].dims[:] = [-3]


def contradiction(model):
    tensor = model.graph.initializer[3]
    tensor.dims[:] = [3, 4]


def text(model):
    model.graph.initializer[3].CopyFrom(numpy_helper.from_array(np.full((3, 3), "a", object), "c3"))


def function(model):
    imports = [helper.make_opsetid("", 18)]
    inner = [helper.make_node("Identity", ["a"], ["b"])]
    model.functions.append(helper.make_function("mine", "Mine", ["a"], ["b"], inner, imports))


def sequence(model):
    elements = onnx.TypeProto(tensor_type=onnx.TypeProto.Tensor(elem_type=1))
    model.graph.input[0].type.CopyFrom(onnx.TypeProto(sequence_type=onnx.TypeProto.Sequence(elem_type=elements)))


CASES = [
    (lambda m: setattr(m.opset_import[0], "version", 99), "Version of ONNX's operators must be from 1 to "),
    (
        lambda m: m.opset_import.add(domain="", version=7),
        "Operators of domain '' must be of one version, not 7 as well",
    ),
    (function, "Functions of the file must be inlined, not kept: 'Mine'"),
    (
        lambda m: m.graph.sparse_initializer.add().values.CopyFrom(TensorProto(name="s")),
        "Constant 's' must be dense, not ",
    ),
    (external, "Constant 'c0' must be in the file itself, not in another: save the model with its data inside"),
    (negative, "Constant 'c0' must have dimensions of at least 0, not [-3]"),
    (contradiction, "Constant 'c3' must hold [3, 4] elements of its type, not other data: "),
    (text, "Constant 'c3' must hold numbers, not strings"),
    (sequence, "Input 'x' must be a tensor, not of another type"),
    (
        lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 99),
        "Input 'x' must be of a type that ONNX has",
    ),
    (
        lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[1], "dim_value", -3),
        "Dimensions of input 'x' must be positive, not [1, -3]",
    ),
    (
        lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[1], "dim_value", 1 << 40),
        "Input 'x' must have at most 2**24 elements in 32 dimensions, not 1099511627776 in 2",
    ),
    (lambda m: setattr(m.graph.output[0], "name", ""), "Outputs of the model must have names, not ''"),
    (lambda m: m.graph.initializer.append(m.graph.initializer[0]), "Constant 'c0' must be there once, not twice"),
    (lambda m: m.graph.input.append(m.graph.input[0]), "Input 'x' must be there once, not twice"),
    (
        lambda m: relu(m).output.__setitem__(0, "x"),
        "Output 'x' of node 'relu' (Relu) must be made once: another node, a constant or an input has that name, too",
    ),
    (lambda m: relu(m).ClearField("output"), "Outputs of node 'relu' (Relu) must have names: there is none"),
    (lambda m: relu(m).output.append("more"), "Outputs of node 'relu' (Relu) must be at most 1, not 2"),
    (lambda m: relu(m).input.append("c0"), "Inputs of node 'relu' (Relu) must be 1 to 1, not 2"),
    (lambda m: relu(m).input.__setitem__(0, ""), "Input 0 of node 'relu' (Relu) must be given, not left out"),
    (twice, "Attribute 'narrow' of node 'Quant_0' (Quant) must be given once, not 2 times"),
    (lambda m: add_attribute(m, "alpha", 0.5), "Attributes of node 'relu' (Relu) must be none, not 'alpha'"),
    (signed_as_text, "Attribute 'signed' of node 'Quant_0' (Quant) must be INT, not STRING"),
    (lambda m: setattr(relu(m), "op_type", "Cast"), "Attribute 'to' of node 'relu' (Cast) must be given, not left out"),
]


@pytest.mark.parametrize(("change", "message"), CASES)
def test_rules(change, message):
    model = small()
    from_model(model, "net")
    change(model)
    with pytest.raises(ModelError) as error:
        from_model(model, "net")
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_attributes_are_finite_except_the_limits_of_clip():
    file = File([1, 3])
    x = file.quant("x", 0.25, 4)
    file.quant(file.add("LeakyRelu", x, name="leaky", alpha=np.inf), 0.5, 4)
    with pytest.raises(ModelError, match=r"^alpha of node 'leaky' \(LeakyRelu\) must be finite, not inf$"):
        from_model(file.model(), "net")


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        ("ConstantOfShape", [np.array([1 << 20, 1 << 20])]),
        ("Tile", [np.ones(1, np.float32), np.array([1 << 40])]),
        ("Expand", [np.ones(1, np.float32), np.array([1 << 20, 1 << 20])]),
        ("Range", [np.array(0), np.array(1 << 40), np.array(1)]),
    ],
)
def test_constants_that_no_memory_holds(kind, inputs):
    file = File([1, 3])
    x = file.quant("x", 0.25, 4)
    names = [file.constant(value, value.dtype) for value in inputs]
    file.add("Add", x, file.add(kind, *names, name="bomb"))
    with pytest.raises(ModelError, match=rf"^Node 'bomb' \({kind}\) of constants must give at most 2\*\*28 elements"):
        from_model(file.model(), "net")


def test_constants_that_grow_a_little():
    file = File([1, 3])
    ones = file.add("Expand", file.constant([0.25]), file.constant([3], np.int64))
    x = file.add("MatMul", file.quant("x", 0.25, 4), file.constant(np.eye(3)))
    file.quant(file.add("Add", x, ones), 0.5, 4)
    assert from_model(file.model(), "net").operators


def test_what_nobody_has_thought_of_is_refused_as_well():
    """Parameters that contradict each other end in an error of NumPy's, which names no node."""
    file = File([1, 6])
    x = file.quant("x", 0.25, 4)
    file.add("Transpose", x, perm=[0, 1, 2], name="turn")
    with pytest.raises(ModelError) as error:
        from_model(file.model(), "net")
    assert str(error.value) == (
        "Node 'turn' (Transpose) must have inputs and attributes that fit together: axes don't match array"
    )
