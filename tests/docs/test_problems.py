"""Messages about files that the page of problems quotes: each is what a file with that problem really gets."""

import numpy as np
import onnx
import pytest

import rtl4ml
from tests.docs.blocks import DOCS, blocks
from tests.frontend.build import File

RNG = np.random.default_rng(5)
PAGE = DOCS / "problems.md"


def weights(file, n_in=4, n_out=3):
    return file.weights(RNG.normal(size=(n_in, n_out)), 0.25, 4)


def float_input(file):
    file.add("MatMul", file.input, weights(file), name="dense0")


def no_quantizer_between(file):
    x = file.add("MatMul", file.quant(file.input, 0.5, 4), weights(file), name="dense0")
    file.add("MatMul", file.add("Relu", x, name="relu0"), weights(file, 3, 2), name="dense1")


def float_weights(file):
    random = file.constant(RNG.normal(size=(4, 3)))
    file.add("MatMul", file.quant(file.input, 0.5, 4), random, name="dense0")


def unknown_operator(file):
    x = file.add("LRN", file.quant(file.input, 0.5, 4), size=3, name="norm0")
    file.add("MatMul", file.quant(x, 0.5, 4), weights(file), name="dense0")


def two_activations(file):
    a = file.quant(file.input, 0.5, 4)
    file.add("MatMul", a, file.quant(file.add("Relu", a), 0.25, 4), name="attention")


def join(file):
    x = file.quant(file.input, 0.5, 4)
    a = file.quant(file.add("MatMul", x, weights(file, 4, 4), name="left"), 0.3, 4)
    b = file.quant(file.add("MatMul", x, weights(file, 4, 4), name="right"), 0.7, 4)
    file.add("Relu", file.add("Add", a, b, name="add0"), name="relu0")


def open_dimension(file):
    file.shape = [1, "length"]
    float_input(file)


def training(file):
    x = file.add("MatMul", file.quant(file.input, 0.5, 4), weights(file), name="dense0")
    ones = [file.constant(np.ones(3)) for _ in range(4)]
    file.quant(file.add("BatchNormalization", x, *ones, training_mode=1, name="norm0"), 0.5, 4)


def zero_point(file):
    file.add("MatMul", file.quant(file.input, 0.5, 4, 0.5), weights(file), name="dense0")


PROBLEMS = (
    float_input,
    no_quantizer_between,
    float_weights,
    unknown_operator,
    two_activations,
    join,
    open_dimension,
    training,
    zero_point,
)


def message(problem, folder):
    file = File([1, 4])
    problem(file)
    path = folder / "model.onnx"
    onnx.save(file.model(f"t{len(file.nodes) - 1}"), path)
    with pytest.raises(rtl4ml.Rtl4mlError) as caught:
        rtl4ml.load(path)
    return f"rtl4ml: {caught.value}"


def quoted():
    return [" ".join(b.text.split()) for b in blocks(PAGE) if b.kind == "text" and b.text.startswith("rtl4ml: ")]


def agree(quote, said):
    """A quote may leave out a part: `...`."""
    parts = [part.strip() for part in quote.split("...")]
    at = 0
    for part in parts:
        at = said.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return said.startswith(parts[0])


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.__name__)
def test_a_file_with_this_problem_says_so(problem, tmp_path):
    said = " ".join(message(problem, tmp_path).split())
    assert any(agree(quote, said) for quote in quoted()), said


def test_no_quote_is_of_anything_else(tmp_path):
    said = [" ".join(message(problem, tmp_path).split()) for problem in PROBLEMS]
    for quote in quoted():
        assert any(agree(quote, one) for one in said), quote
