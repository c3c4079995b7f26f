import numpy as np
import pytest

import rtl4ml
from rtl4ml.errors import ModelError
from tests.frontend.build import QONNX, File, load, proven

RNG = np.random.default_rng(13)


def finish(file, x, n_in, n_out=4):
    y = file.add("MatMul", x, file.weights(RNG.normal(size=(n_in, n_out)), 0.25, 4))
    return file.quant(y, 0.5, 4)


def start(shape=(1, 2, 3), scale=0.125):
    file = File(list(shape))
    return file, file.quant("x", scale, 4)


MOVES = {
    "Flatten": lambda f, x: f.add("Flatten", x),
    "Flatten with negative axis": lambda f, x: f.add("Flatten", x, axis=-2),
    "Reshape": lambda f, x: f.add("Reshape", x, f.constant([1, 6], np.int64)),
    "Reshape with 0 and -1": lambda f, x: f.add("Reshape", x, f.constant([0, -1], np.int64)),
    "Transpose, Flatten": lambda f, x: f.add("Flatten", f.add("Transpose", x, perm=[0, 2, 1])),
    "Identity": lambda f, x: f.add("Flatten", f.add("Identity", x)),
    "Unsqueeze, Squeeze": lambda f, x: f.add(
        "Flatten", f.add("Squeeze", f.add("Unsqueeze", x, f.constant([2], np.int64)), f.constant([2], np.int64))
    ),
    "twice transposed": lambda f, x: f.add(
        "Flatten", f.add("Transpose", f.add("Transpose", x, perm=[2, 0, 1]), perm=[1, 0, 2])
    ),
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES.keys())
@pytest.mark.parametrize("scales", ["one", "each"])
def test_behind_the_first_quantizer(tmp_path, move, scales):
    """Layouts move across quantizers with scales of every element."""
    scale = 0.125 if scales == "one" else 2.0 ** RNG.integers(-4, 0, (1, 2, 3))
    file, x = start(scale=scale)
    finish(file, move(file, x), 6)
    proven(file, tmp_path)


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES.keys())
def test_in_front_of_the_first_quantizer(tmp_path, move):
    file = File([1, 2, 3])
    finish(file, file.quant(move(file, "x"), 0.125, 4), 6)
    proven(file, tmp_path)
    x = np.arange(12).reshape(2, 2, 3) * 0.125 - 0.5
    design = rtl4ml.compile(load(file, tmp_path), reuse=10**6)
    assert np.array_equal(design.predict(x), np.concatenate([design.predict(x[:1]), design.predict(x[1:])]))


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES.keys())
def test_with_an_input_format(tmp_path, move):
    file = File([1, 2, 3])
    finish(file, file.quant(move(file, "x"), 0.125, 4), 6)
    proven(file, tmp_path, "fixed<6,2>")


def test_between_layers_with_parameters_on_both_sides(tmp_path):
    file, x = start()
    y = file.add("MatMul", file.add("Flatten", x), file.weights(RNG.normal(size=(6, 8)), 0.25, 4))
    y = file.add("Add", y, file.constant(RNG.normal(size=8)))
    y = file.add("Transpose", file.add("Reshape", y, file.constant([-1, 2, 4], np.int64)), perm=[0, 2, 1])
    y = file.add("Mul", y, file.constant(RNG.normal(size=(4, 1))))
    y = file.quant(y, RNG.uniform(0.2, 0.5, (1, 1, 2)), 4)
    y = file.add("Relu", file.add("Reshape", y, file.constant([1, 8], np.int64)))
    finish(file, file.quant(y, 0.4, 4, signed=0), 8)
    proven(file, tmp_path)


@pytest.mark.parametrize("what", ["codes", "accumulators", "steps"])
@pytest.mark.parametrize(
    "move",
    [
        lambda f, y: f.add("Transpose", y, perm=[0, 2, 1]),
        lambda f, y: f.add("Reshape", y, f.constant([1, 8], np.int64)),
        lambda f, y: f.add("Flatten", f.add("Transpose", y, perm=[0, 2, 1])),
    ],
    ids=["Transpose", "Reshape", "both"],
)
def test_behind_the_last_quantizer(tmp_path, what, move):
    """The output comes in the file's layout, moved once."""
    file = File([1, 6])
    x = file.quant("x", 0.125, 4)
    y = file.add("MatMul", x, file.weights(RNG.normal(size=(6, 8)), 0.25, 4))
    if what == "codes":
        y = file.quant(y, 0.25, 6)
    y = move(file, file.add("Reshape", y, file.constant([1, 2, 4], np.int64)))
    if what == "steps":
        file.add("Mul", y, file.constant(0.3))
    proven(file, tmp_path)
    design = rtl4ml.compile(load(file, tmp_path), reuse=10**6)
    assert design.predict(RNG.normal(size=(7, 6))).shape == (7, *design.graph.output_shape)


def test_shape_subgraphs_are_folded(tmp_path):
    """What exporters make of `x.view(x.size(0), -1)`: Shape, Gather, Unsqueeze, Concat, Reshape."""
    file, x = start()
    batch = file.add("Gather", file.add("Shape", x), file.constant(0, np.int64), axis=0)
    batch = file.add("Unsqueeze", batch, file.constant([0], np.int64))
    target = file.add("Concat", batch, file.constant([-1], np.int64), axis=0)
    finish(file, file.add("Reshape", x, target), 6)
    proven(file, tmp_path)


def test_scales_computed_from_constants(tmp_path):
    """What exporters make of integer powers and logarithms: Pow, Ceil, Log, Div, Max."""
    file = File([1, 6])
    exponent = file.add("Ceil", file.add("Log", file.constant(0.06)))
    scale = file.add("Pow", file.constant(2.0), exponent)
    attributes = {"domain": QONNX, "signed": 1, "narrow": 0, "rounding_mode": "ROUND"}
    x = file.add("Quant", "x", scale, file.constant(0.0), file.constant(4.0), **attributes)
    w = file.add("Div", file.constant(RNG.normal(size=(6, 4))), file.add("Sqrt", file.constant(2.0)))
    w = file.quant(file.add("Transpose", w, perm=[1, 0]), 0.25, 4)
    file.quant(file.add("MatMul", x, file.add("Transpose", w, perm=[1, 0])), 0.5, 4)
    proven(file, tmp_path)
    assert float(load(file, tmp_path).input_tensor.format.scale) == 0.25


def test_a_shape_that_does_not_fit(tmp_path):
    file, x = start()
    finish(file, file.add("Reshape", x, file.constant([1, 7], np.int64)), 7)
    with pytest.raises(ModelError) as caught:
        load(file, tmp_path)
    assert str(caught.value) == "Shape of node 'Reshape_1' (Reshape) must hold 6 elements, not [1, 7]"


def test_a_shape_that_depends_on_the_input(tmp_path):
    file, x = start()
    finish(file, file.add("Reshape", x, x), 6)
    with pytest.raises(ModelError) as caught:
        load(file, tmp_path)
    assert str(caught.value) == (
        f"Input {x!r} of node 'Reshape_1' (Reshape) must be constant: it depends on the network's input"
    )


def test_a_batch_that_is_reshaped_away(tmp_path):
    file = File([1, 2, 3])
    x = file.add("Reshape", "x", file.constant([6], np.int64))
    finish(file, file.quant(x, 0.25, 4), 6)
    with pytest.raises(ModelError) as caught:
        load(file, tmp_path)
    assert str(caught.value) == (
        f"Input {x!r} of node 'Quant_1' (Quant) must keep the batch of 1 as its first dimension, not have shape [6]"
    )
