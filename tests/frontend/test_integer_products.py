import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from rtl4ml.errors import ModelError
from rtl4ml.frontend.judge import Judge, StrictJudge
from rtl4ml.frontend.quantizer import Rescaling
from rtl4ml.operators import Dense, Requantize
from tests.frontend.build import load, proven
from tests.frontend.qdq_files import LIMITS, QdqFile, draw, dtype, session

MICROSOFT = {"com.microsoft": 1}
TYPES = [("uint8", "uint8"), ("uint8", "int8"), ("int8", "int8")]
"""Activations and weights, as onnxruntime has them."""


def rng_of(*words):
    return np.random.default_rng(sum(map(ord, "".join(map(str, words)))))


def zero_of(rng, kind, shape=()):
    low, high = LIMITS[kind]
    return rng.integers(low, high + 1, shape)


def entrance(file, rng, kind, n):
    """A quantized input: its codes, scale and zero point."""
    zero = zero_of(rng, kind)
    return file.q("x", 0.07, zero, kind), file.constant(0.07), file.constant(zero, dtype(kind))


# ---- The executor's requantisation, as it was found


def kernel(node, constants, feed, kind, output):
    graph = helper.make_graph(
        [node],
        "kernel",
        [helper.make_tensor_value_info("a", helper.np_dtype_to_tensor_dtype(dtype(kind)), [None, None])],
        [helper.make_tensor_value_info("y", output, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)]
    return session(helper.make_model(graph, opset_imports=opsets, ir_version=8)).run(None, {"a": feed})[0]


def near_steps(multiplier, limit):
    """Accumulators around every tie of the requantisation, where a last bit of the multiplier shows."""
    middles = np.rint((np.arange(-110, 110) + 0.5) / float(multiplier)).astype(np.int64)
    codes = np.unique(middles[:, None] + np.arange(-4, 5))
    return codes[np.abs(codes) < limit]


@pytest.mark.parametrize("alpha", [1.0, 0.37, 1.91])
@pytest.mark.parametrize("trial", range(8))
def test_requantisation_of_qgemm(trial, alpha):
    """Every step of the kernel, on accumulators that its int32 bias sets at will: wider than 24 bits, too."""
    rng = rng_of(trial, alpha)
    a, b = rng.uniform(0.5, 2, 2).astype(np.float32)
    width = 2.0 ** (20 + trial)
    scale = np.float32(a * b * np.float32(alpha) * width / rng.uniform(50, 100))
    multiplier = np.float32(alpha) * a * b / scale
    accumulators = near_steps(multiplier, 1 << 30)
    n, zero = len(accumulators), int(rng.integers(-128, 128))
    inputs = ["a", "sa", "za", "b", "sb", "zb", "c", "sy", "zy"]
    constants = {"sa": a, "za": np.int8(0), "b": np.zeros((1, n), np.int8), "sb": b, "zb": np.int8(0)}
    constants |= {"c": accumulators.astype(np.int32), "sy": scale, "zy": np.int8(zero)}
    node = helper.make_node("QGemm", inputs, ["y"], domain="com.microsoft", alpha=alpha)
    expected = kernel(node, constants, np.ones((1, 1), np.int8), "int8", TensorProto.INT8)[0]
    quantizer = Rescaling("q", "QGemm", np.array(scale), np.array(zero), -128, 127, np.array(multiplier))
    np.testing.assert_array_equal(quantizer.codes(accumulators.astype(np.float32)), expected)


@pytest.mark.parametrize("trial", range(8))
@pytest.mark.parametrize("columns", [1, 3])
def test_requantisation_of_qlinearmatmul(trial, columns):
    rng = rng_of(trial, columns)
    a, scale = np.float32(rng.uniform(0.5, 2)), np.float32(rng.uniform(4e4, 1.2e5))
    b = rng.uniform(0.5, 2, columns).astype(np.float32)
    multiplier = a * b / scale
    accumulators = near_steps(multiplier.min(), 255 * 255 * 200)
    accumulators = accumulators[accumulators >= 0]
    quotient, rest = np.divmod(accumulators, 255)
    feed = np.clip(quotient[:, None] - 255 * np.arange(200), 0, 255)
    feed = np.concatenate([feed, rest[:, None]], axis=1).astype(np.uint8)
    weights = np.full((201, columns), 255, np.uint8)
    weights[200] = 1
    np.testing.assert_array_equal(feed.astype(np.int64) @ weights[:, 0].astype(np.int64), accumulators)
    zero = int(rng.integers(0, 256))
    constants = {"sa": a, "za": np.uint8(0), "b": weights, "sb": b, "zb": np.zeros(columns, np.uint8)}
    constants |= {"sy": scale, "zy": np.uint8(zero)}
    node = helper.make_node("QLinearMatMul", ["a", "sa", "za", "b", "sb", "zb", "sy", "zy"], ["y"])
    expected = kernel(node, constants, feed, "uint8", TensorProto.UINT8)
    quantizer = Rescaling("q", "QLinearMatMul", np.array(scale), np.array(zero), 0, 255, multiplier)
    np.testing.assert_array_equal(quantizer.codes(accumulators[:, None].astype(np.float32)), expected)


# ---- MatMulInteger


@pytest.mark.parametrize("per_column", [False, True])
@pytest.mark.parametrize(("kind", "weights"), [*TYPES, ("int8", "uint8")])
def test_matmul_integer(tmp_path, kind, weights, per_column):
    """Accumulators as the file's integers, then Cast, the scale and the bias in float32, as exporters write it."""
    rng = rng_of(kind, weights, per_column)
    file = QdqFile([1, 12])
    q, _, zero = entrance(file, rng, kind, 12)
    b = file.constant(draw(rng, weights, (12, 6)), dtype(weights))
    b_zero = file.constant(zero_of(rng, weights, 6 if per_column else ()), dtype(weights))
    x = file.add("Cast", file.add("MatMulInteger", q, b, zero, b_zero), to=TensorProto.FLOAT)
    x = file.add("Mul", x, file.constant(rng.uniform(0.001, 0.01, 6)))
    x = file.add("Relu", file.add("Add", x, file.constant(rng.normal(size=6))))
    file.qdq(x, 0.5, 3)
    proven(file, tmp_path)


def test_matmul_integer_without_zero_points(tmp_path):
    rng = rng_of("none")
    file = QdqFile([1, 12], output_kind=TensorProto.INT32)
    q, _, _ = entrance(file, rng, "int8", 12)
    file.add("MatMulInteger", q, file.constant(draw(rng, "int8", (12, 6)), np.int8))
    proven(file, tmp_path)
    assert [type(o) for o in load(file, tmp_path).operators] == [Dense]


def test_matmul_integer_behind_dequantized_accumulators(tmp_path):
    """DequantizeLinear of int32 says what accumulators mean."""
    rng = rng_of("accumulators")
    file = QdqFile([1, 12])
    q, _, zero = entrance(file, rng, "int8", 12)
    y = file.add("MatMulInteger", q, file.constant(draw(rng, "int8", (12, 6)), np.int8), zero)
    y = file.dq(y, 0.003, None)
    file.qdq(y, 0.5, 3)
    proven(file, tmp_path)


# ---- QLinearMatMul and QGemm


@pytest.mark.parametrize("per_column", [False, True])
@pytest.mark.parametrize(("kind", "weights"), TYPES)
def test_qlinear_matmul(tmp_path, kind, weights, per_column):
    rng = rng_of("ql", kind, weights, per_column)
    file = QdqFile([1, 12])
    x = entrance(file, rng, kind, 12)
    for n_in, n_out in ((12, 8), (8, 5)):
        size = n_out if per_column else ()
        b = file.constant(draw(rng, weights, (n_in, n_out)), dtype(weights))
        b_scale = file.constant(rng.uniform(0.001, 0.003, size))
        b_zero = file.constant(zero_of(rng, weights, size), dtype(weights))
        scale, zero = file.constant(0.08), file.constant(zero_of(rng, kind), dtype(kind))
        y = file.add("QLinearMatMul", *x, b, b_scale, b_zero, scale, zero)
        x = (y, scale, zero)
    file.add("DequantizeLinear", *x)
    proven(file, tmp_path)
    assert [type(o) for o in load(file, tmp_path).operators] == [Dense, Requantize] * 2


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize(("kind", "weights"), TYPES)
def test_qgemm(tmp_path, kind, weights, transposed, bias):
    rng = rng_of("qg", kind, weights, transposed, bias)
    file = QdqFile([1, 12], imports=MICROSOFT)
    q, a_scale, a_zero = entrance(file, rng, kind, 12)
    b = file.constant(draw(rng, weights, (6, 12) if transposed else (12, 6)), dtype(weights))
    b_scale = file.constant(rng.uniform(0.001, 0.003, 6))
    b_zero = file.constant(zero_of(rng, weights, 6), dtype(weights))
    c = file.constant(rng.integers(-9000, 9000, 6), np.int32) if bias else ""
    inputs = [q, a_scale, a_zero, b, b_scale, b_zero, c]
    scale, zero = file.constant(0.08), file.constant(zero_of(rng, kind), dtype(kind))
    y = file.add("QGemm", *inputs, scale, zero, domain="com.microsoft", transB=transposed, alpha=1.5)
    file.add("DequantizeLinear", y, scale, zero)
    proven(file, tmp_path)


def test_qgemm_with_a_float_output(tmp_path):
    rng = rng_of("float")
    file = QdqFile([1, 12], imports=MICROSOFT)
    q, a_scale, a_zero = entrance(file, rng, "uint8", 12)
    inputs = [q, a_scale, a_zero, file.constant(draw(rng, "int8", (12, 6)), np.int8)]
    inputs += [file.constant(rng.uniform(0.001, 0.003, 6)), file.constant(np.zeros(6), np.int8)]
    inputs.append(file.constant(rng.integers(-9000, 9000, 6), np.int32))
    y = file.add("QGemm", *inputs, domain="com.microsoft", alpha=0.37)
    file.qdq(file.add("Relu", y), 0.09, -7)
    proven(file, tmp_path)


@pytest.mark.parametrize("operator", ["MatMulInteger", "QLinearMatMul", "QGemm"])
def test_exact_sums_of_the_strict_judge_are_the_kernels(operator):
    """On processors whose kernels do not saturate: signed times signed never does."""
    rng = rng_of(operator)
    file = QdqFile([1, 12], imports=MICROSOFT)
    q, scale, zero = entrance(file, rng, "int8", 12)
    b, b_zero = file.constant(draw(rng, "int8", (12, 6)), np.int8), file.constant(zero_of(rng, "int8", 6), np.int8)
    b_scale, c = file.constant(rng.uniform(0.001, 0.003, 6)), file.constant(rng.integers(-9000, 9000, 6), np.int32)
    inputs = {
        "MatMulInteger": [q, b, zero, b_zero],
        "QLinearMatMul": [q, scale, zero, b, b_scale, b_zero, scale, zero],
        "QGemm": [q, scale, zero, b, b_scale, b_zero, c, scale, zero],
    }
    attributes = {"domain": "com.microsoft", "alpha": 0.37} if operator == "QGemm" else {}
    y = file.add(operator, *inputs[operator], **attributes)
    model = file.model()
    x = rng.normal(size=(300, 12), scale=4).astype(np.float32)
    np.testing.assert_array_equal(StrictJudge(model).run(x, [y])[0][y], Judge(model).run(x, [y])[y])


# ---- Refused


def refused(file, folder, message):
    with pytest.raises(ModelError) as error:
        load(file, folder)
    assert str(error.value) == message


def test_types_without_a_kernel(tmp_path):
    rng = rng_of("kernel")
    file = QdqFile([1, 4])
    x = entrance(file, rng, "int8", 4)
    one, zero = file.constant(1.0), file.constant(0, np.uint8)
    file.add(
        "QLinearMatMul",
        *x,
        file.constant(np.ones((4, 2)), np.uint8),
        one,
        zero,
        one,
        file.constant(0, np.int8),
        name="q",
    )
    refused(
        file,
        tmp_path,
        "Weights of node 'q' (QLinearMatMul) must be int8 where activations are, not uint8: "
        "onnxruntime has no such product",
    )


def test_two_activations(tmp_path):
    file = QdqFile([1, 4])
    q = file.q("x", 1.0, 0)
    file.add("MatMulInteger", q, q, name="q")
    refused(
        file,
        tmp_path,
        "Node 'q' (MatMulInteger) must multiply the network's activations with constant weights, not two activations",
    )


def test_bias_of_the_wrong_size(tmp_path):
    file = QdqFile([1, 4], imports=MICROSOFT)
    x = entrance(file, rng_of("bias"), "int8", 4)
    one, zero = file.constant(1.0), file.constant(0, np.int8)
    bias = file.constant(np.zeros(3), np.int32)
    file.add(
        "QGemm",
        *x,
        file.constant(np.ones((4, 2)), np.int8),
        one,
        zero,
        bias,
        one,
        zero,
        domain="com.microsoft",
        name="q",
    )
    refused(file, tmp_path, "Bias of node 'q' (QGemm) must have 2 elements of int32, not 3 of int32")


def test_scale_that_depends_on_nothing_known(tmp_path):
    file = QdqFile([1, 4])
    x = entrance(file, rng_of("scale"), "int8", 4)
    zero = file.constant(0, np.int8)
    w = file.constant(np.ones((4, 2)), np.int8)
    file.add("QLinearMatMul", *x, w, file.constant(np.ones(3)), zero, file.constant(1.0), zero, name="q")
    refused(
        file,
        tmp_path,
        "Second scale of node 'q' (QLinearMatMul) must be 1 or 2 float32 numbers, not float32 of shape [3]",
    )
