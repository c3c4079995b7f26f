from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

import rtl4ml
from rtl4ml.errors import ConfigurationError, ModelError
from rtl4ml.formats import InputFormat
from rtl4ml.frontend.load import from_model
from tests.frontend.build import File, load, mlp, proven

RNG = np.random.default_rng(15)


def message(call, *arguments, kind=ModelError):
    with pytest.raises(kind) as caught:
        call(*arguments)
    return str(caught.value)


def test_no_file(tmp_path):
    path = tmp_path / "absent.onnx"
    assert message(rtl4ml.load, path) == f"Model {str(path)!r} must be a readable file: No such file or directory"


def test_a_folder(tmp_path):
    assert message(rtl4ml.load, tmp_path) == f"Model {str(tmp_path)!r} must be a readable file: Is a directory"


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n" + bytes(range(256)), b"just text\n" * 9, b'{"json": true}'])
def test_not_an_onnx_file(tmp_path, content):
    path = tmp_path / "picture.onnx"
    path.write_bytes(content)
    assert message(rtl4ml.load, path) == (
        f"Model {str(path)!r} must be an ONNX file, whole: it cannot be parsed, so it is truncated or something else"
    )


def test_an_empty_file(tmp_path):
    path = tmp_path / "empty.onnx"
    path.write_bytes(b"")
    assert message(rtl4ml.load, path) == (
        f"Model {str(path)!r} must be an ONNX file with at least one node and one output, not one without"
    )


@pytest.mark.parametrize("part", [0.5, 0.9, 0.999])
def test_a_truncated_file(tmp_path, part):
    path = mlp(RNG, [6, 5, 4]).save(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    assert message(rtl4ml.load, path) == (
        f"Model {str(path)!r} must be an ONNX file, whole: it cannot be parsed, so it is truncated or something else"
    )


def test_a_dynamic_input_dimension(tmp_path):
    for dimension, shown in (("length", "'length'"), (None, "'unknown'")):
        file = File([1, dimension])
        file.quant("x", 0.5, 4)
        assert message(load, file, tmp_path) == (
            f"Dimension 1 of input 'x' must be a fixed number, not {shown}: only the batch may vary. Say the shape "
            "that the hardware shall have, such as --input-shape 1,32, in Python input_shape=(1, 32)"
        )


def test_a_batch_of_many(tmp_path):
    file = File([16, 4])
    file.quant("x", 0.5, 4)
    assert message(load, file, tmp_path) == "Batch of input 'x' must be 1 or free, not 16"


@pytest.mark.parametrize("batch", [1, "batch", None])
def test_any_batch_dimension(tmp_path, batch):
    file = mlp(RNG, [6, 5, 4])
    file.shape[0] = batch
    assert load(file, tmp_path).input_shape == (6,)


def test_no_dimensions(tmp_path):
    file = File([])
    file.quant("x", 0.5, 4)
    assert message(load, file, tmp_path) == (
        "Input 'x' must have a batch as its first dimension, not no dimensions at all"
    )


def altered(file, folder, change):
    model = file.model()
    change(model.graph)
    path = folder / "altered.onnx"
    onnx.save(model, path)
    return path


def test_two_inputs(tmp_path):
    second = helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, [1, 4])
    path = altered(mlp(RNG, [6, 5]), tmp_path, lambda g: g.input.append(second))
    assert message(rtl4ml.load, path) == "Model must have one input, not 2: 'x', 'z'"


def test_initializers_may_be_inputs_too(tmp_path):
    """Old files list them."""
    file = mlp(RNG, [6, 5])
    name, value = next(iter(file.constants.items()))
    entry = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, value.shape)
    assert rtl4ml.load(altered(file, tmp_path, lambda g: g.input.insert(0, entry))).input_shape == (6,)


def test_two_outputs(tmp_path):
    file = mlp(RNG, [6, 5])
    ends = [n.output[0] for n in file.nodes[-2:]]
    path = file.save(tmp_path, *ends)
    assert message(rtl4ml.load, path) == f"Model must have one output, not 2: {ends[0]!r}, {ends[1]!r}"


def test_an_input_of_integers(tmp_path):
    def change(graph):
        graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.STRING

    path = altered(mlp(RNG, [6, 5]), tmp_path, change)
    assert message(rtl4ml.load, path).startswith("Input 'x' must be float32")
    assert message(rtl4ml.load, path).endswith("not string")


def test_an_output_that_is_constant(tmp_path):
    file = File([1, 4])
    end = file.add("Relu", file.constant(np.ones((1, 4))))
    assert message(load, file, tmp_path) == f"Output {end!r} of the model must depend on its input 'x': it is constant"


def test_no_quantizer_at_all(tmp_path):
    file = File([1, 4])
    end = file.add("Relu", "x")
    assert message(load, file, tmp_path) == (
        f"Model must have at least one quantizer between input 'x' and output {end!r}, not none"
    )


def test_a_tensor_that_nothing_makes(tmp_path):
    file = File([1, 4])
    x = file.quant("x", 0.5, 4)
    file.add("Add", x, "ghost")
    assert message(load, file, tmp_path) == (
        "Input 'ghost' of node 'Add_1' (Add) must be made by an earlier node, an initializer or an input"
    )


@pytest.mark.parametrize("domain", ["", "com.example"])
def test_an_unknown_operator(tmp_path, domain):
    file = mlp(RNG, [6, 5])
    odd = file.add("Frobnicate", file.nodes[-1].output[0], domain=domain)
    file.quant(odd, 0.5, 4)
    shown = "com.example.Frobnicate" if domain else "Frobnicate"
    got = message(load, file, tmp_path)
    start = "Operator of node 'Frobnicate_6' must be one of "
    assert got.startswith(start)
    listed, _, rest = got.removeprefix(start).partition(", not ")
    assert rest == f"{shown}: replace it, or move it behind the last quantizer, where the host runs it"
    known = listed.split(", ")
    assert known == sorted(known)
    assert {"Add", "BatchNormalization", "BipolarQuant", "Clip", "Gemm", "MatMul", "Quant", "Relu"} <= set(known)


def test_an_unknown_operator_of_constants(tmp_path):
    file = File([1, 4])
    x = file.quant("x", 0.5, 4)
    file.add("Add", x, file.add("Frobnicate", file.constant(1.0), domain="com.example"))
    assert "not com.example.Frobnicate" in message(load, file, tmp_path)


@pytest.mark.parametrize(
    "text", ["fixed<8,3>", "ufixed<6,-1>", "int<6>", "uint<5>*0.25", "uint<8>/255", "int<6>*0.3", "uint<4>/3"]
)
def test_input_formats(tmp_path, text):
    """What stands before the first quantizer becomes hardware."""
    file = File([1, 6])
    x = file.add("Mul", file.add("Sub", "x", file.constant(0.2)), file.constant(1.7))
    x = file.quant(x, 0.11, 5)
    file.quant(file.add("MatMul", x, file.weights(RNG.normal(size=(6, 4)), 0.25, 4)), 0.5, 4)
    proven(file, tmp_path, text)
    graph = load(file, tmp_path, text)
    assert graph.input_format == InputFormat.parse(text)
    assert [o.kind for o in graph.operators] == ["Requantize", "Dense", "Requantize"]
    assert graph.prologue.description == ()


def test_an_input_format_makes_a_quantizer_superfluous(tmp_path):
    """QKeras exports: the input goes straight into a product."""
    file = File([1, 6])
    y = file.add("MatMul", "x", file.weights(RNG.normal(size=(6, 4)), 0.25, 4))
    file.quant(file.add("Relu", y), 0.5, 4, signed=0)
    proven(file, tmp_path, "fixed<8,3>")
    assert [o.kind for o in load(file, tmp_path, "fixed<8,3>").operators] == ["Dense", "Requantize"]


def test_a_divided_input_into_a_product(tmp_path):
    """1 / 255 is no float: the pixels' values have no grid that a product could stand on."""
    file = File([1, 6])
    file.add("MatMul", "x", file.weights(RNG.normal(size=(6, 4)), 0.25, 4))
    got = message(load, file, tmp_path, "uint<8>/255")
    assert got == (
        "Input 'x' of node 'MatMul_1' (MatMul) must be quantized, not the output of node 'input format' (Div): put a "
        "Quant node in front of it"
    )


def test_an_input_format_that_is_none(tmp_path):
    file = mlp(RNG, [6, 5])
    got = message(load, file, tmp_path, "float32", kind=ConfigurationError)
    assert got == (
        "Input format must be fixed<W,I>, ufixed<W,I>, int<W>, uint<W> or bipolar, with an optional *factor or "
        "/divisor, not 'float32'"
    )


def test_the_source_is_known(tmp_path):
    path = mlp(RNG, [6, 5]).save(tmp_path)
    graph = rtl4ml.load(str(path))
    assert graph.name == "net"
    assert graph.model == Path(path).read_bytes()
    assert graph.source["file"] == "net.onnx"
    assert len(graph.source["sha256"]) == 64
    assert {"onnx", "onnxruntime", "numpy"} <= set(graph.source["executors"])


def test_the_file_is_not_changed(tmp_path):
    file = mlp(RNG, [6, 5])
    file.nodes[2].name = ""
    model = file.model()
    before = model.SerializeToString(deterministic=True)
    from_model(model, "net")
    assert model.SerializeToString(deterministic=True) == before


def test_loading_twice_gives_the_same(tmp_path):
    path = mlp(RNG, [6, 5, 4]).save(tmp_path)
    first, second = rtl4ml.load(path), rtl4ml.load(path)
    assert str(first) == str(second)
    codes = np.random.default_rng(0).integers(first.input_tensor.low, first.input_tensor.high + 1, (50, 6))
    kept = first.evaluate(codes, keep=first.tensors)
    again = second.evaluate(codes, keep=second.tensors)
    assert all(np.array_equal(kept[name], again[name]) for name in kept)


def test_dead_branches_are_left_out(tmp_path):
    """A second head that is no output."""
    file = mlp(RNG, [6, 5])
    end = file.nodes[-1].output[0]
    file.quant(file.add("MatMul", file.add("Tanh", end), file.weights(RNG.normal(size=(5, 3)), 0.25, 4)), 0.5, 4)
    proven(file, tmp_path, output=end)
    assert len(load(file, tmp_path, output=end).operators) == 2


def test_a_tensor_that_shape_reads_too(tmp_path):
    """Fan-out: an accumulator with a bias goes into Reshape and into Shape."""
    file = File([1, 6])
    x = file.quant("x", 0.25, 4)
    y = file.add("MatMul", x, file.weights(RNG.normal(size=(6, 4)), 0.25, 4))
    y = file.add("Add", y, file.constant([0.5, 1.0, -0.25, 0.0]))
    y = file.add("Reshape", y, file.add("Shape", y))
    y = file.quant(file.add("Relu", y), 0.5, 4, signed=0)
    proven(file, tmp_path)
