import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

import rtl4ml
from rtl4ml.errors import ModelError
from rtl4ml.frontend.judge import Judge
from rtl4ml.frontend.quantizer import LinearQuantizer
from rtl4ml.operators import Dense, Requantize
from tests.frontend.build import File, load, proven
from tests.frontend.qdq_files import LIMITS, QdqFile, draw, dtype, opset_of, session

KINDS = list(LIMITS)


def rng_of(*words):
    return np.random.default_rng(sum(map(ord, "".join(map(str, words)))))


def middle(kind):
    low, high = LIMITS[kind]
    return (low + high) // 2 + 1


def layer(file, rng, x, n_in, n_out, *, kind="int8", bits_scale=0.01, per_axis=False, gemm=True, zero_point=0):
    """A product with bare integer weights and an int32 bias on the accumulator's float32 grid."""
    scale = rng.uniform(0.5, 1.5, n_out if per_axis else ()).astype(np.float32) * np.float32(bits_scale)
    zero = np.full(scale.shape, zero_point) if zero_point or per_axis else 0
    codes = draw(rng, kind, (n_out, n_in) if gemm else (n_in, n_out))
    axis = {"axis": 0 if gemm else 1} if per_axis else {}
    w = file.integers(codes, scale, zero, kind, **axis)
    if not gemm:
        return file.add("MatMul", x, w)
    bias = file.integers(rng.integers(-5000, 5000, n_out), scale * np.float32(0.05), None, "int32", **axis)
    return file.add("Gemm", x, w, bias, transB=1)


@pytest.mark.parametrize("kind", KINDS)
def test_quantize_linear_is_the_kernel(kind):
    """Exhaustive around every tie, for power-of-two and other scales, with zero points."""
    rng = rng_of(kind)
    low, high = LIMITS[kind]
    for scale in (np.float32(0.25), np.float32(0.37), np.float32(3.1e-3)):
        zero_point = int(rng.integers(low, high + 1))
        halves = np.arange(2 * low - 20, 2 * high + 20, dtype=np.float32) / 2 - zero_point
        ties = (halves * scale).astype(np.float32)
        x = np.concatenate([ties, np.nextafter(ties, np.inf), np.nextafter(ties, -np.inf), np.float32([1e30, -1e30])])
        nodes = [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("Cast", ["q"], ["y"], to=TensorProto.INT32),
        ]
        constants = [
            numpy_helper.from_array(np.array(scale), "s"),
            numpy_helper.from_array(np.array(zero_point, dtype(kind)), "z"),
        ]
        graph = helper.make_graph(
            nodes,
            "q",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])],
            [helper.make_tensor_value_info("y", TensorProto.INT32, [None])],
            constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        quantizer = LinearQuantizer("q", "QuantizeLinear", np.array(scale), np.array(zero_point), low, high)
        np.testing.assert_array_equal(quantizer.codes(x), session(model).run(None, {"x": x})[0])


def test_rounding_comes_before_the_zero_point(tmp_path):
    """Ties go to the even integer before an odd zero point is added; QONNX's Quant adds first."""
    file = QdqFile([1, 5], output_kind=TensorProto.FLOAT)
    x = file.qdq("x", 0.25, 0)
    file.qdq(file.add("Relu", x), 0.5, 3)
    values = np.arange(-20, 20, dtype=np.float32).reshape(8, 5) / 4
    proven(file, tmp_path, x=values)
    graph = load(file, tmp_path)
    codes = graph.evaluate(np.arange(0, 10).reshape(2, 5))[graph.output]
    assert codes.reshape(-1).tolist() == [3, 3, 4, 5, 5, 5, 6, 7, 7, 7]


@pytest.mark.parametrize("weights", ["int8", "uint8", "int4", "int16"])
@pytest.mark.parametrize("activations", KINDS)
def test_types(tmp_path, activations, weights):
    rng = rng_of(activations, weights)
    file = QdqFile([1, 9], opset=opset_of(activations, weights))
    scale = 8.0 / (LIMITS[activations][1] - LIMITS[activations][0])
    x = file.qdq("x", scale, middle(activations), activations)
    weight_scale = 2.0 / LIMITS[weights][1]
    x = layer(
        file, rng, x, 9, 7, kind=weights, bits_scale=weight_scale, gemm=False, zero_point=3 if weights == "uint8" else 0
    )
    x = file.qdq(file.add("Relu", x), scale * 4, LIMITS[activations][0], activations)
    x = layer(file, rng, x, 7, 4, kind=weights, bits_scale=weight_scale)
    file.qdq(x, scale * 16, middle(activations), activations)
    proven(file, tmp_path, samples=200)


@pytest.mark.parametrize("gemm", [False, True])
@pytest.mark.parametrize("zero_point", [0, 5])
def test_weights_per_axis(tmp_path, gemm, zero_point):
    rng = rng_of(gemm, zero_point)
    file = QdqFile([1, 12], opset=13)
    x = file.qdq("x", 0.05, 3, "uint8")
    x = layer(file, rng, x, 12, 8, per_axis=True, gemm=gemm, zero_point=zero_point)
    file.qdq(x, 0.1, -7)
    proven(file, tmp_path)
    dense = next(o for o in load(file, tmp_path).operators if isinstance(o, Dense))
    assert dense.scale.shape == (8,)


@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_zero_point_with_a_power_of_two_scale(tmp_path, kind):
    rng = rng_of(kind)
    file = QdqFile([1, 10])
    x = file.qdq("x", 0.25, middle(kind) - 9, kind)
    x = file.add("MatMul", x, file.integers(draw(rng, "int8", (10, 6)), 2.0**-6, 4))
    file.qdq(file.add("Relu", x), 2.0, middle(kind) + 5, kind)
    assert proven(file, tmp_path).judge_required


def test_float_initializers_behind_both_nodes(tmp_path):
    rng = rng_of("initializers")
    file = QdqFile([1, 10])
    x = file.qdq("x", 0.07, -3)
    scale = rng.uniform(0.01, 0.03, 6).astype(np.float32)
    w = file.qdq(file.constant(rng.normal(size=(10, 6))), scale, np.zeros(6), axis=1)
    b = file.qdq(file.constant(rng.normal(size=6)), 0.011, None, "uint8")
    file.qdq(file.add("Add", file.add("MatMul", x, w), b), 0.3, 5)
    proven(file, tmp_path)


def test_zero_points_left_out(tmp_path):
    rng = rng_of("missing")
    file = QdqFile([1, 10])
    x = file.qdq("x", 0.07, None)
    x = file.add("MatMul", x, file.integers(draw(rng, "int8", (10, 6)), 0.01, None))
    file.qdq(x, 0.3, None)
    proven(file, tmp_path)
    graph = load(file, tmp_path)
    assert graph.input_tensor.range == (0, 255)
    assert graph.output_tensor.format.high == 255


def test_output_dtype_says_the_type(tmp_path):
    file = QdqFile([1, 6], opset=21)
    q = file.q("x", 0.3, None, output_dtype=TensorProto.INT16)
    file.dq(q, 0.3, None)
    graph_input = load(file, tmp_path).input_tensor
    assert graph_input.range == (-(1 << 15), (1 << 15) - 1)


@pytest.mark.parametrize("bits", [2, 3, 5, 7])
@pytest.mark.parametrize("signed", [True, False])
def test_qcdq(tmp_path, bits, signed):
    """Brevitas' way to other widths: a Clip on integers between the two."""
    rng = rng_of(bits, signed)
    file = QdqFile([1, 10])
    kind = "int8" if signed else "uint8"
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)

    def quantized(x, scale):
        q = file.q(x, scale, 0, kind)
        clip = file.add("Clip", q, file.constant(low, dtype(kind)), file.constant(high, dtype(kind)))
        return file.dq(clip, scale, 0, kind)

    x = quantized("x", 0.25)
    w = file.constant(np.clip(draw(rng, "int8", (10, 6)), -4, 3), np.int8)
    w = file.add("Clip", w, file.constant(-3, np.int8), file.constant(3, np.int8))
    x = file.add("MatMul", x, file.dq(w, 0.5, 0))
    quantized(x, 1.5)
    proven(file, tmp_path)
    graph = load(file, tmp_path)
    assert graph.input_tensor.format.bits == graph.output_tensor.format.bits == bits
    assert [type(o) for o in graph.operators] == [Dense, Requantize]


def test_clip_that_something_else_bypasses(tmp_path):
    """The quantizer keeps its codes for the other reader."""
    file = QdqFile([1, 10])
    q = file.q("x", 0.25, 0)
    clip = file.add("Clip", q, file.constant(-5, np.int8), file.constant(6, np.int8))
    w = [file.integers(draw(rng_of(i), "int8", (10, 4)), 0.5, 0) for i in range(2)]
    sums = [file.add("MatMul", file.dq(codes, 0.25, 0), w[i]) for i, codes in enumerate((clip, q))]
    file.qdq(file.add("Add", *sums), 64.0, 0)
    proven(file, tmp_path)
    assert load(file, tmp_path).input_tensor.range == (-128, 127)


@pytest.mark.parametrize("operator", ["Relu", "Clip"])
def test_limits_behind_a_layout_operator(tmp_path, operator):
    file = QdqFile([1, 2, 5], opset=14)
    q = file.add("Transpose", file.q("x", 0.25, 3), perm=[0, 2, 1])
    limits = [file.constant(-5, np.int8), file.constant(60, np.int8)] if operator == "Clip" else []
    x = file.dq(file.add(operator, q, *limits), 0.25, 3)
    x = file.add("Flatten", x)
    x = file.add("MatMul", x, file.integers(draw(rng_of(operator), "int8", (10, 4)), 0.01, 0))
    file.qdq(x, 0.25, 0)
    proven(file, tmp_path)


def test_other_scale_behind_than_in_front(tmp_path):
    rng = rng_of("other")
    file = QdqFile([1, 10])
    x = file.dq(file.q("x", 0.25, 3), 0.3, -2)
    x = file.add("MatMul", x, file.integers(draw(rng, "int8", (10, 6)), 0.01, 0))
    x = file.dq(file.q(x, 0.5, 1), 0.125, 4)
    x = file.add("Relu", x)
    x = file.dq(file.q(x, 0.25, -9), 0.7, 11)
    proven(file, tmp_path)
    graph = load(file, tmp_path)
    assert float(graph.output_tensor.format.scale) == np.float32(0.7)
    assert int(graph.output_tensor.format.zero_point) == 11


def test_two_meanings_of_the_same_codes(tmp_path):
    """Both branches read one tensor; only one of them as its quantizer meant it."""
    rng = rng_of("meanings")
    file = QdqFile([1, 10])
    q = file.q("x", 0.25, 3)
    sums = [
        file.add("MatMul", file.dq(q, scale, zero), file.integers(draw(rng, "int8", (10, 6)), 0.5, 0))
        for scale, zero in ((0.25, 3), (0.5, -2))
    ]
    file.qdq(file.add("Add", *sums), 64.0, 0)
    proven(file, tmp_path)


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16"])
def test_integers_as_input(tmp_path, kind):
    file = QdqFile([1, 10], kind=helper.np_dtype_to_tensor_dtype(dtype(kind)), opset=21)
    x = file.dq("x", 0.02, middle(kind) - 5, kind)
    x = file.add("MatMul", x, file.integers(draw(rng_of(kind), "int8", (10, 6)), 0.01, 0))
    file.qdq(x, 0.25, 0)
    proven(file, tmp_path, samples=150)
    graph = load(file, tmp_path)
    assert graph.input == "x"
    assert graph.input_tensor.range == LIMITS[kind]


def test_pixels_cast_and_divided_in_hardware(tmp_path):
    file = QdqFile([1, 10], kind=TensorProto.UINT8)
    x = file.add("Cast", "x", to=TensorProto.FLOAT)
    x = file.qdq(file.add("Div", x, file.constant(255)), 0.013, -100)
    x = file.add("MatMul", x, file.integers(draw(rng_of("pixels"), "int8", (10, 6)), 0.01, 0))
    file.qdq(x, 0.25, 0)
    proven(file, tmp_path)


def test_pixels_cast_into_a_product(tmp_path):
    file = QdqFile([1, 10], kind=TensorProto.UINT8)
    x = file.add("Cast", "x", to=TensorProto.FLOAT)
    x = file.add("MatMul", x, file.integers(draw(rng_of("cast"), "int8", (10, 6)), 0.01, 0))
    file.qdq(x, 25, 0)
    proven(file, tmp_path)
    assert [type(o) for o in load(file, tmp_path).operators] == [Dense, Requantize]


def test_integers_as_output(tmp_path):
    file = QdqFile([1, 10], output_kind=TensorProto.INT8)
    x = file.qdq("x", 0.25, 3)
    x = file.add("MatMul", x, file.integers(draw(rng_of("output"), "int8", (10, 6)), 0.01, 0))
    file.q(x, 0.25, 7)
    proven(file, tmp_path)
    design = rtl4ml.compile(load(file, tmp_path))
    x = np.linspace(-9, 9, 30, dtype=np.float32).reshape(3, 10)
    np.testing.assert_array_equal(design.predict(x), design.predict(x, codes=True))


def test_activations_per_axis_with_powers_of_two(tmp_path):
    file = QdqFile([1, 8])
    x = file.qdq("x", 0.1 * 2.0 ** np.arange(8), np.arange(8), axis=1)
    x = file.add("MatMul", x, file.integers(draw(rng_of("axis"), "int8", (8, 6)), 0.01, 0))
    file.qdq(x, 2.5, 0)
    proven(file, tmp_path)


def test_blocks_of_weights(tmp_path):
    file = QdqFile([1, 8], opset=21)
    x = file.qdq("x", 0.1, 0)
    scale = 0.01 * 2.0 ** rng_of("blocks").integers(0, 3, (2, 6))
    w = file.integers(draw(rng_of("blocks"), "int8", (8, 6)), scale, np.zeros((2, 6)), axis=0, block_size=4)
    file.qdq(file.add("MatMul", x, w), 2.5, 0)
    proven(file, tmp_path)


def test_judge_is_the_whole_session(tmp_path):
    rng = rng_of("session")
    file = QdqFile([1, 20])
    x = file.qdq("x", 0.05, 3, "uint8")
    x = file.qdq(file.add("Relu", layer(file, rng, x, 20, 16, per_axis=True)), 0.3, -128)
    file.qdq(layer(file, rng, x, 16, 8), 1.0, 5)
    model = file.model()
    x = rng.normal(size=(64, 20), scale=4).astype(np.float32)
    whole = session(model)
    expected = np.concatenate([whole.run(None, {"x": row[None]})[0] for row in x])
    np.testing.assert_array_equal(Judge(model).run(x, ["t" + str(len(file.nodes) - 1)]).popitem()[1], expected)


class Samples(CalibrationDataReader):
    def __init__(self, x):
        self.rows = iter([{"x": row[None]} for row in x])

    def get_next(self):
        return next(self.rows, None)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("kind", [QuantType.QInt8, QuantType.QUInt8])
@pytest.mark.parametrize("form", [QuantFormat.QDQ, QuantFormat.QOperator])
def test_statically_quantized_by_onnxruntime(tmp_path, kind, per_channel, form):
    rng = np.random.default_rng(7)
    file = File([1, 24], opset=13, imports={})
    x = "x"
    for n_in, n_out in ((24, 32), (32, 16), (16, 5)):
        weights = file.constant(rng.normal(size=(n_out, n_in)) / np.sqrt(n_in))
        x = file.add("Gemm", x, weights, file.constant(rng.normal(size=n_out) / 4), transB=1)
        if n_out != 5:
            x = file.add("Relu", x)
    float_path, path = file.save(tmp_path, name="float.onnx"), tmp_path / "quantized.onnx"
    data = rng.normal(size=(64, 24)).astype(np.float32)
    quantize_static(
        float_path,
        path,
        Samples(data),
        quant_format=form,
        activation_type=kind,
        weight_type=QuantType.QInt8,
        per_channel=per_channel,
    )
    graph = rtl4ml.load(path)
    result = (
        rtl4ml.compile(graph, reuse=10**6).verify(rng.normal(size=(300, 24)).astype(np.float32), rtl=False).equality
    )
    assert result.passed
    assert result.codes > 300 * (24 + 32 + 16 + 5) - 1


# ---- Refused


def refused(file, folder, message):
    with pytest.raises(ModelError) as error:
        load(file, folder)
    assert str(error.value) == message


def test_fractional_types(tmp_path):
    file = QdqFile([1, 4], opset=21)
    file.q("x", 0.25, None, output_dtype=TensorProto.FLOAT8E4M3FN, name="q")
    refused(
        file,
        tmp_path,
        "Output of node 'q' (QuantizeLinear) must be int4, uint4, int8, uint8, int16, uint16, not float8_e4m3fn",
    )


@pytest.mark.parametrize(
    ("scale", "words"),
    [(0.0, "must not be 0"), (-1.0, "must be positive, not -1.0"), (np.nan, "must be finite, not nan")],
)
def test_scales_without_a_meaning(tmp_path, scale, words):
    file = QdqFile([1, 4])
    file.q("x", scale, 0, name="q")
    refused(file, tmp_path, f"Scale of node 'q' (QuantizeLinear) {words}")


def test_scale_that_does_not_fit(tmp_path):
    file = QdqFile([1, 4])
    file.q("x", np.ones(3), np.zeros(3), name="q")
    refused(
        file,
        tmp_path,
        "Scale of node 'q' (QuantizeLinear) must be one number or have 4 elements, as axis 1 of its input has, "
        "not shape [3]",
    )


def test_integers_into_an_operator_that_has_no_meaning_for_them(tmp_path):
    file = QdqFile([1, 4])
    file.add("Add", file.q("x", 0.25, 0), file.constant(1, np.int8), name="sum")
    with pytest.raises(ModelError, match=r"^Integers 't0' must go to one of .* not to node 'sum' \(Add\): put a "):
        load(file, tmp_path)


def test_cast_that_truncates(tmp_path):
    file = QdqFile([1, 4])
    file.add("Cast", file.qdq("x", 0.25, 0), to=TensorProto.INT8, name="cast")
    refused(
        file, tmp_path, "Node 'cast' (Cast) must cast real values to float, not to int8: quantize with QuantizeLinear"
    )


def test_cast_that_wraps(tmp_path):
    file = QdqFile([1, 4])
    file.add("Cast", file.q("x", 0.25, 0), to=TensorProto.UINT8, name="cast")
    refused(
        file,
        tmp_path,
        "Node 'cast' (Cast) must cast codes from -128 to 127 to float or an integer type that holds them, not to uint8",
    )


def test_input_format_for_integers(tmp_path):
    file = QdqFile([1, 4], kind=TensorProto.UINT8)
    file.dq("x", 0.25, 0, "uint8")
    with pytest.raises(ModelError, match=r"^Input 'x' must be float32 to be given an input format, not uint8"):
        load(file, tmp_path, "uint<8>")


def test_inputs_of_other_types(tmp_path):
    file = QdqFile([1, 4], kind=TensorProto.DOUBLE)
    file.q("x", 0.25, 0)
    refused(file, tmp_path, "Input 'x' must be float32 or one of int8, uint8, int16, uint16, not double")


def test_values_that_the_input_type_does_not_hold(tmp_path):
    file = QdqFile([1, 4], kind=TensorProto.UINT8)
    x = file.dq("x", 0.25, 0, "uint8")
    file.qdq(file.add("MatMul", x, file.integers(np.ones((4, 2)), 1.0, 0)), 4.0, 0)
    design = rtl4ml.compile(load(file, tmp_path))
    with pytest.raises(ModelError, match=r"^Input 'x' must hold integers from 0 to 255, not others$"):
        design.predict(np.full((1, 4), -1))


def test_dynamic_quantization(tmp_path):
    file = QdqFile([1, 4])
    node = onnx.helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], "dynamic")
    file.nodes.append(node)
    file.add("MatMulInteger", "q", file.constant(np.ones((4, 2)), np.int8), "z")
    refused(
        file,
        tmp_path,
        "Node 'dynamic' (DynamicQuantizeLinear) must be a QuantizeLinear: its scale depends on each sample, and "
        "hardware needs constant ones; quantize the model statically",
    )


def test_chosen_codes_that_are_read_with_another_scale_than_they_were_made_with(tmp_path):
    """Integers go through a Gather and are read with 0.7 instead of 0.3: the product must take the scale that reads."""
    rng = rng_of("chosen")
    file = QdqFile([1, 10])
    x = file.add("MatMul", file.qdq("x", 0.07, -3), file.integers(draw(rng, "int8", (10, 6)), 0.01, 0))
    codes = file.add("Gather", file.q(x, 0.3, 5), file.constant([4, 1, 5], np.int64), axis=1)
    y = file.dq(codes, 0.7, 7)
    file.qdq(file.add("MatMul", y, file.integers(draw(rng, "int8", (3, 4)), 0.02, 0)), 2.0, 0)
    proven(file, tmp_path)
