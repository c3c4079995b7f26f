import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl4ml.formats import round_once
from rtl4ml.frontend.judge import Judge
from rtl4ml.operators import Requantize
from tests.frontend.build import File, load, proven

RNG = np.random.default_rng(18)


def staircase(file, folder):
    graph = load(file, folder)
    node = next(o for o in graph.operators if isinstance(o, Requantize))
    return graph.tensors[node.inputs[0]], node.staircase, node


def executed(chain, values):
    """Codes of a file's chain by qonnx and onnxruntime, run on accumulator values directly."""
    file = File([1, values.shape[1]])
    end = chain(file, "x")
    judge = Judge(file.model())
    return judge.run_codes(values, [end], [end])[1][end]


CHAINS = {
    "quantizer": lambda f, y: f.quant(y, 0.37, 4),
    "Add": lambda f, y: f.quant(f.add("Add", y, f.constant([0.1, -0.2, 0.3])), 0.37, 4),
    "BatchNormalization, Relu": lambda f, y: f.quant(
        f.add(
            "Relu",
            f.add(
                "BatchNormalization",
                y,
                f.constant([0.7, -0.9, 0.0]),
                f.constant([0.1, 0.2, 0.3]),
                f.constant([0.5, -0.5, 0.0]),
                f.constant([0.9, 1.1, 0.4]),
            ),
        ),
        0.11,
        5,
        signed=0,
    ),
    "Mul, Clip": lambda f, y: f.quant(
        f.add("Clip", f.add("Mul", y, f.constant(-0.333)), f.constant(-1.0), f.constant(1.0)), 0.1, 6
    ),
    "bipolar": lambda f, y: f.bipolar(f.add("Sub", y, f.constant([0.05, 0.0, -0.3]))),
    "rounding up": lambda f, y: f.quant(f.add("Div", y, f.constant(3.0)), 0.25, 3, rounding_mode="CEIL"),
}


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS.keys())
def test_every_accumulator_value(tmp_path, chain):
    """The staircase is the executor's chain on the whole domain, value by value."""
    file = File([1, 4])
    x = file.quant("x", 0.3, 4)
    y = file.add("MatMul", x, file.weights(RNG.normal(size=(4, 3)), 0.2, 4))
    chain(file, y)
    tensor, found, _ = staircase(file, tmp_path)
    low, high = int(tensor.low.min()), int(tensor.high.max())
    points = np.arange(low, high + 1)
    codes = np.clip(np.repeat(points[:, None], 3, axis=1), tensor.low, tensor.high)
    values = round_once(codes, tensor.format.scale)
    assert np.array_equal(found.evaluate(codes).astype(np.int64), executed(chain, values))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(-2, 2, width=32), min_size=3, max_size=3),
    st.lists(st.floats(-2, 2, width=32), min_size=3, max_size=3),
    st.sampled_from([0.25, 0.1, 0.033]),
    st.sampled_from(["ROUND", "FLOOR", "CEIL", "HALF_UP", "HALF_DOWN", "UP", "DOWN"]),
)
def test_any_affine_chain(tmp_path_factory, gains, offsets, scale, mode):
    def chain(file, y):
        y = file.add("Add", file.add("Mul", y, file.constant(gains)), file.constant(offsets))
        return file.quant(y, scale, 4, rounding_mode=mode)

    file = File([1, 3])
    chain(file, file.quant("x", 0.1, 8))
    tensor, found, _ = staircase(file, tmp_path_factory.mktemp("chain"))
    codes = np.repeat(np.arange(-128, 128)[:, None], 3, axis=1)
    values = round_once(codes, tensor.format.scale)
    assert np.array_equal(found.evaluate(codes).astype(np.int64), executed(chain, values))


def test_channels_share_one_function_where_nothing_differs(tmp_path):
    file = File([1, 4])
    x = file.quant("x", 0.3, 4)
    y = file.add("MatMul", x, file.weights(RNG.normal(size=(4, 3)), 0.2, 4))
    y = file.add("Mul", y, file.constant([0.5, 0.5, 0.5]))
    file.quant(y, 0.37, 4)
    _, found, _ = staircase(file, tmp_path)
    assert found.rows == 1


def test_steps_of_several_codes(tmp_path):
    """A coarse accumulator in front of a fine quantizer."""
    file = File([1, 2])
    file.quant(file.add("Mul", file.quant("x", 1.0, 3), file.constant(1.0)), 0.3, 6)
    _, found, _ = staircase(file, tmp_path)
    x = np.arange(-4, 4)[:, None]
    assert found.evaluate(x)[:, 0].tolist() == np.clip(np.round(x[:, 0] / np.float32(0.3)), -32, 31).tolist()
    proven(file, tmp_path)


def test_the_words_name_the_operators(tmp_path):
    file = File([1, 2])
    y = file.add("Relu", file.add("Mul", file.quant("x", 1.0, 3), file.constant(0.7)))
    file.quant(y, 0.3, 6)
    assert staircase(file, tmp_path)[2].chain == ("Mul", "Relu", "Quant")


def test_old_opsets(tmp_path):
    """Clip's limits were attributes, Squeeze's axes too."""
    file = File([1, 2], opset=9)
    y = file.add("Clip", file.quant("x", 0.5, 4), min=-1.0, max=1.5)
    file.quant(file.add("Mul", y, file.constant(0.7)), 0.3, 6)
    proven(file, tmp_path)
