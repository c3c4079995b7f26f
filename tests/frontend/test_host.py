import numpy as np
import pytest

import rtl4ml
from rtl4ml.errors import ModelError
from rtl4ml.frontend import host
from tests.frontend.build import File, load, proven

RNG = np.random.default_rng(16)


def network(prologue=None, epilogue=None, shape=(1, 6)):
    """Prologue, quantizer, product, quantizer, epilogue."""
    file = File(list(shape))
    x = file.quant(prologue(file, "x") if prologue else "x", 0.125, 5)
    y = file.add("MatMul", x, file.weights(RNG.normal(size=(6, 4)), 0.25, 4))
    y = file.quant(y, 0.25, 6)
    if epilogue:
        epilogue(file, y)
    return file


EPILOGUES = {
    "Softmax": lambda f, y: f.add("Softmax", y, axis=-1),
    "Sigmoid": lambda f, y: f.add("Sigmoid", y),
    "Mul": lambda f, y: f.add("Mul", y, f.constant(0.37)),
    "Mul, Add": lambda f, y: f.add("Add", f.add("Mul", y, f.constant([[0.37]])), f.constant(RNG.normal(size=4))),
    "BatchNormalization": lambda f, y: f.add(
        "BatchNormalization", y, *(f.constant(RNG.uniform(0.5, 2, 4)) for _ in range(4))
    ),
    "Reshape, Softmax": lambda f, y: f.add("Softmax", f.add("Reshape", y, f.constant([1, 2, 2], np.int64)), axis=1),
    "Unsqueeze, Add": lambda f, y: f.add(
        "Add", f.add("Unsqueeze", y, f.constant([0], np.int64)), f.constant(RNG.normal(size=(1, 1, 4)))
    ),
    "Flatten to one row": lambda f, y: f.add("Flatten", y, axis=0),
    "Clip": lambda f, y: f.add("Clip", y, f.constant(-0.5), f.constant(0.5)),
}

PROLOGUES = {
    "Sub, Div": lambda f, x: f.add("Div", f.add("Sub", x, f.constant(RNG.normal(size=6))), f.constant(1.3)),
    "Mul by a negative number": lambda f, x: f.add("Mul", x, f.constant(-0.7)),
    "Tanh": lambda f, x: f.add("Tanh", x),
    "Relu, Identity": lambda f, x: f.add("Identity", f.add("Relu", x)),
}


@pytest.mark.parametrize("epilogue", EPILOGUES.values(), ids=EPILOGUES.keys())
def test_epilogues(tmp_path, epilogue):
    """Bit for bit the judge's output, for any batch."""
    file = network(epilogue=epilogue)
    proven(file, tmp_path)
    design = rtl4ml.compile(load(file, tmp_path), reuse=10**6)
    x = RNG.normal(size=(5, 6)).astype(np.float32)
    whole = design.predict(x)
    assert whole.shape == (5, *design.graph.output_shape)
    assert np.array_equal(whole, np.concatenate([design.predict(x[i : i + 1]) for i in range(5)]))
    assert design.predict(x[:0]).shape == (0, *design.graph.output_shape)


def test_an_epilogue_behind_an_accumulator(tmp_path):
    file = File([1, 6])
    x = file.quant("x", 0.125, 5)
    y = file.add("Gemm", x, file.weights(RNG.normal(size=(6, 4)), 0.3, 4), file.constant(RNG.normal(size=4)))
    file.add("Softmax", file.add("Mul", y, file.constant(0.3)))
    proven(file, tmp_path)
    graph = load(file, tmp_path)
    assert [o.kind for o in graph.operators] == ["Dense"]
    assert graph.epilogue.description == ("Mul", "Softmax")


@pytest.mark.parametrize("prologue", PROLOGUES.values(), ids=PROLOGUES.keys())
def test_prologues(tmp_path, prologue):
    file = network(prologue)
    proven(file, tmp_path)
    proven(file, tmp_path, x=RNG.normal(size=(50, 6)).astype(np.float32))
    assert load(file, tmp_path).prologue.description


def test_a_prologue_that_changes_the_shape(tmp_path):
    """The host alone knows what comes out of it."""
    file = File([1, 3, 4])
    x = file.add("Flatten", file.add("AveragePool", "x", kernel_shape=[2], strides=[2]))
    x = file.quant(x, 0.125, 5)
    file.quant(file.add("MatMul", x, file.weights(RNG.normal(size=(6, 4)), 0.25, 4)), 0.25, 6)
    proven(file, tmp_path, x=RNG.normal(size=(30, 3, 4)).astype(np.float32))
    graph = load(file, tmp_path)
    assert graph.input_shape == (3, 4)
    assert graph.input_tensor.size == 6
    assert graph.prologue.description == ("AveragePool", "Flatten")


def test_predict_is_the_file_s_output(tmp_path):
    """Against onnxruntime on a file whose middle is exact in float32."""
    file = network(PROLOGUES["Sub, Div"], EPILOGUES["Softmax"])
    design = rtl4ml.compile(load(file, tmp_path), reuse=10**6)
    x = RNG.normal(size=(40, 6)).astype(np.float32)
    assert design.verify(x, rtl=False).equality.mismatches == 0
    head, tail = design.graph.prologue, design.graph.epilogue
    assert (head.description, tail.description) == (("Sub", "Div"), ("Softmax",))
    assert head.batched
    assert not tail.batched
    assert np.array_equal(design.encode(x), design.graph.encode(host.run(head, x)))


def test_an_epilogue_that_nobody_runs(tmp_path):
    file = network(epilogue=lambda f, y: f.add("Frobnicate", y))
    with pytest.raises(ModelError) as caught:
        load(file, tmp_path)
    assert str(caught.value).startswith("onnxruntime must accept the model's operators, but says: ")
    assert "Frobnicate" in str(caught.value)


def test_inversion_hits_the_targets(tmp_path):
    graph = load(network(PROLOGUES["Mul by a negative number"]), tmp_path)
    targets = graph.input_tensor.format.real(np.arange(-16, 14).reshape(5, 6))
    values = host.invert(graph.prologue, targets, graph.input_shape)
    assert values.dtype == np.float32
    assert np.array_equal(graph.encode(host.run(graph.prologue, values)), np.arange(-16, 14).reshape(5, 6))


def test_inversion_of_what_has_no_inverse_gives_inputs(tmp_path):
    graph = load(network(PROLOGUES["Tanh"]), tmp_path)
    targets = graph.input_tensor.format.real(np.zeros((3, 6), np.int64))
    assert host.invert(graph.prologue, targets, graph.input_shape).shape == (3, 6)


def test_nothing_to_do_costs_nothing(tmp_path):
    graph = load(network(), tmp_path)
    x = RNG.normal(size=(3, 6)).astype(np.float32)
    assert host.run(graph.prologue, x) is x
    assert host.run(graph.epilogue, x) is x
