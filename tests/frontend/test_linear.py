import numpy as np
import pytest

from rtl4ml.errors import ModelError
from rtl4ml.frontend.products import integer_multiple
from rtl4ml.operators import Dense, Requantize
from tests.frontend.build import File, load, proven

RNG = np.random.default_rng(11)


def dense(graph):
    return next(o for o in graph.operators if isinstance(o, Dense))


def layer(n_in=6, n_out=5, scale=0.125, weight_scale=0.25, bits=4, **product):
    """Quant -> product -> Quant, ready to be finished."""
    file = File([1, n_in])
    x = file.quant("x", scale, bits, **product)
    w = file.weights(RNG.normal(size=(n_in, n_out)), weight_scale, 4)
    return file, x, w


def test_matmul(tmp_path):
    file, x, w = layer()
    file.quant(file.add("MatMul", x, w), 0.5, 4)
    assert proven(file, tmp_path).judge_required
    graph = load(file, tmp_path)
    assert [o.kind for o in graph.operators] == ["Dense", "Requantize"]
    assert dense(graph).weights.shape == (6, 5)
    assert graph.multiplications == 30


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("alpha", [1.0, 0.5])
@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_gemm(tmp_path, transposed, alpha, beta):
    file = File([1, 6])
    x = file.quant("x", 0.125, 4)
    w = file.weights(RNG.normal(size=(5, 6) if transposed else (6, 5)), 0.25, 4)
    bias = file.constant(np.round(RNG.normal(size=5) * 16) / 32)
    y = file.add("Gemm", x, w, bias, transB=transposed, alpha=alpha, beta=beta)
    file.quant(y, 0.5, 4)
    assert proven(file, tmp_path).judge_required
    assert dense(load(file, tmp_path)).bias.any()


@pytest.mark.parametrize("alpha", [-1.0, 3.0, 0.3, -0.1, 0.0])
@pytest.mark.parametrize("beta", [0.0, -0.75, 0.3])
@pytest.mark.parametrize("epilogue", [False, True])
def test_gemm_with_factors(tmp_path, alpha, beta, epilogue):
    """Any factors whose products are exact: of scales of few bits, and of the bias with beta in any case."""
    file = File([1, 6])
    x = file.quant("x", 0.125, 6)
    w = file.weights(RNG.normal(size=(6, 5)), [[0.25, 0.75, 0.5, 1.25, 0.3125]], 4)
    y = file.add("Gemm", x, w, file.constant(RNG.normal(size=5)), alpha=alpha, beta=beta)
    if not epilogue:
        file.quant(y, 0.1, 6)
    proven(file, tmp_path)


def test_a_factor_without_an_exact_product(tmp_path):
    file = File([1, 6])
    x = file.quant("x", 0.1, 4)
    file.add("Gemm", x, file.weights(RNG.normal(size=(6, 5)), 0.3, 4), alpha=0.3)
    assert refuse(file, tmp_path) == (
        f"alpha of node 'Gemm_2' (Gemm) must have an exact product of 53 bits with the scales, not "
        f"{float(np.float32(0.3))}: use a power of two, or scales that are"
    )


def test_gemm_without_a_bias(tmp_path):
    file, x, w = layer()
    file.quant(file.add("Gemm", x, w), 0.5, 4)
    proven(file, tmp_path)


def test_gemm_with_one_bias_for_all(tmp_path):
    file, x, w = layer()
    file.quant(file.add("Gemm", x, w, file.constant([0.75])), 0.5, 4)
    proven(file, tmp_path)
    assert dense(load(file, tmp_path)).bias.tolist() == [24] * 5


def test_a_bias_off_the_grid_is_rounded_with_the_product(tmp_path):
    """It joins the product's one rounding, and obliges the unmodified judge to nothing."""
    file, x, w = layer()
    file.quant(file.add("Gemm", x, w, file.constant(RNG.normal(size=5))), 0.5, 4)
    assert not proven(file, tmp_path).judge_required
    assert not dense(load(file, tmp_path)).bias.any()


def test_a_bias_off_the_grid_at_the_output(tmp_path):
    file, x, w = layer()
    file.add("Gemm", x, w, file.constant(RNG.normal(size=5)))
    assert not proven(file, tmp_path).judge_required
    assert load(file, tmp_path).epilogue.bias is not None


@pytest.mark.parametrize("operator", ["Add", "Sub"])
@pytest.mark.parametrize("constant_first", [False, True])
def test_a_bias_on_the_grid_joins_the_accumulator(tmp_path, operator, constant_first):
    file, x, w = layer()
    y = file.add("MatMul", x, w)
    bias = file.constant(np.round(RNG.normal(size=5) * 16) / 32)
    y = file.add(operator, *((bias, y) if constant_first else (y, bias)))
    file.quant(y, 0.5, 4)
    proven(file, tmp_path)
    folded = dense(load(file, tmp_path)).bias.any()
    assert folded == (not (operator == "Sub" and constant_first))


@pytest.mark.parametrize("weight_scale", [0.25, 0.3])
def test_a_bias_of_any_value(tmp_path, weight_scale):
    file, x, w = layer(weight_scale=weight_scale)
    y = file.add("Add", file.add("MatMul", x, w), file.constant(RNG.normal(size=5)))
    file.quant(y, 0.5, 4)
    proven(file, tmp_path)
    assert not dense(load(file, tmp_path)).bias.any()


def test_a_quantized_bias(tmp_path):
    file, x, w = layer(scale=0.1, weight_scale=0.3)
    bias = file.weights(RNG.normal(size=5), np.float32(0.1) * np.float32(0.3), 16)
    file.quant(file.add("Add", file.add("MatMul", x, w), bias), 0.5, 4)
    proven(file, tmp_path)


def test_scales_of_every_output_channel(tmp_path):
    file = File([1, 6])
    x = file.quant("x", 0.1, 5)
    scales = RNG.uniform(0.05, 0.4, (1, 7))
    y = file.add("MatMul", x, file.weights(RNG.normal(size=(6, 7)), scales, 4))
    file.quant(y, 0.7, 4)
    proven(file, tmp_path)
    graph = load(file, tmp_path)
    assert dense(graph).scale.shape == (7,)
    assert next(o for o in graph.operators if isinstance(o, Requantize)).staircase.rows == 7


def test_transposed_weights_with_scales_of_every_channel(tmp_path):
    """As Brevitas writes them: weights of an output in a row, transposed after the quantizer."""
    file = File([1, 6])
    x = file.quant("x", 0.1, 5)
    w = file.weights(RNG.normal(size=(7, 6)), RNG.uniform(0.05, 0.4, (7, 1)), 4, narrow=1)
    y = file.add("MatMul", x, file.add("Transpose", w, perm=[1, 0]))
    file.quant(y, 0.7, 4)
    proven(file, tmp_path)


@pytest.mark.parametrize("where", ["weights", "input"])
def test_scales_along_the_sum_that_differ_by_powers_of_two(tmp_path, where):
    powers = 2.0 ** np.array([-3, -1, -2, 0, -4, -2])
    file = File([1, 6])
    x = file.quant("x", powers if where == "input" else 0.1, 4)
    scale = powers[:, None] * 0.3 if where == "weights" else 0.3
    file.quant(file.add("MatMul", x, file.weights(RNG.normal(size=(6, 5)), scale, 4)), 0.5, 4)
    proven(file, tmp_path)


@pytest.mark.parametrize("zero_point", [3.0, -2.0, 12.0])
def test_zero_points_of_the_input(tmp_path, zero_point):
    file, x, w = layer(scale=0.25, zero_point=zero_point, signed=0)
    file.quant(file.add("MatMul", x, w), 0.5, 4, 5.0, signed=0)
    proven(file, tmp_path)
    graph = load(file, tmp_path)
    assert np.array_equal(
        dense(graph).effective_bias(graph.input_tensor), -zero_point * dense(graph).weights.sum(axis=0)
    )


def test_zero_points_of_the_weights(tmp_path):
    file = File([1, 6])
    x = file.quant("x", 0.25, 4)
    w = file.weights(RNG.normal(size=(6, 5)) + 1, 0.25, 4, zero_point=5.0, signed=0)
    file.quant(file.add("MatMul", x, w), 0.5, 4)
    proven(file, tmp_path)


@pytest.mark.parametrize("grid", [0.125, 0.3, 1.0])
def test_weights_without_a_quantizer_on_a_grid(tmp_path, grid):
    codes = RNG.integers(-20, 21, (6, 5))
    file = File([1, 6])
    x = file.quant("x", 0.25, 4)
    file.quant(file.add("MatMul", x, file.constant(codes * np.float32(grid))), 0.5, 4)
    try:
        proven(file, tmp_path)
    except ModelError:
        assert grid == 0.3  # products with 0.3 round: there is no exact grid of 16 bits
    else:
        assert np.array_equal(
            dense(load(file, tmp_path)).weights * dense(load(file, tmp_path)).scale,
            codes * np.float64(np.float32(grid)) * 0.25,
        )


@pytest.mark.parametrize("kind", ["bipolar", "ternary", "one bit unsigned"])
def test_binary_and_ternary_networks(tmp_path, kind):
    file = File([1, 9])
    x = file.bipolar("x") if kind == "bipolar" else file.quant("x", 1.0, 2, narrow=1) if kind == "ternary" else None
    x = x or file.quant("x", 1.0, 1, signed=0)
    w = file.bipolar(file.constant(RNG.normal(size=(9, 7))), 0.5)
    y = file.bipolar(file.add("MatMul", x, w), 0.5)
    v = file.weights(RNG.normal(size=(7, 4)), 1.0, 1)  # Quant with one signed bit is bipolar as well
    file.quant(file.add("MatMul", y, v), 0.5, 3)
    assert proven(file, tmp_path).judge_required


def test_dead_neurons_and_zero_columns(tmp_path):
    w = RNG.normal(size=(6, 5))
    w[:, 1] = 0
    w[2] = 0
    file = File([1, 6])
    x = file.quant("x", 0.25, 4)
    y = file.add("Add", file.add("MatMul", x, file.weights(w, 0.25, 4)), file.constant([0, -3, -900, 900, 0.5]))
    y = file.quant(file.add("Relu", y), 0.5, 4, signed=0)
    file.quant(file.add("MatMul", y, file.weights(RNG.normal(size=(5, 3)), 0.25, 4)), 0.5, 4)
    proven(file, tmp_path)


def test_one_output_and_one_input(tmp_path):
    for n_in, n_out in ((5, 1), (1, 5), (1, 1)):
        file, x, w = layer(n_in, n_out)
        file.quant(file.add("MatMul", x, w), 0.5, 4)
        proven(file, tmp_path)


def test_a_vector_in_more_dimensions(tmp_path):
    """MatMul on (1, 1, 6): one vector a sample."""
    file = File([1, 1, 6])
    x = file.quant("x", 0.25, 4)
    file.quant(file.add("MatMul", x, file.weights(RNG.normal(size=(6, 5)), 0.25, 4)), 0.5, 4)
    proven(file, tmp_path)
    assert load(file, tmp_path).output_shape == (1, 5)


def test_integer_multiples_are_exact():
    assert integer_multiple(np.array([0.75, -1.5]), np.array(0.25)).tolist() == [3, -6]
    assert integer_multiple(np.array([0.3]), np.array(0.1)) is None  # 0.3 is not three times the float 0.1
    assert integer_multiple(np.array([2.0**41]), np.array(1.0)) is None
    assert integer_multiple(np.array([1.0, 1.0]), np.array([0.5, 0.25])).tolist() == [2, 4]


def refuse(file, folder, input_format=None):
    with pytest.raises(ModelError) as caught:
        load(file, folder, input_format)
    return str(caught.value)


def test_a_float_tensor_into_a_multiplier(tmp_path):
    file, x, w = layer()
    y = file.add("Relu", file.add("MatMul", x, w))
    file.quant(file.add("MatMul", y, file.weights(RNG.normal(size=(5, 3)), 0.25, 4)), 0.5, 4)
    assert refuse(file, tmp_path) == (
        f"Input {y!r} of node 'MatMul_5' (MatMul) must be quantized, not the output of node 'Relu_3' (Relu): "
        "put a Quant node in front of it"
    )


def test_an_input_without_a_quantizer(tmp_path):
    file = File([1, 6], name="pulses")
    file.quant(file.add("MatMul", "pulses", file.weights(RNG.normal(size=(6, 5)), 0.25, 4)), 0.5, 4)
    assert refuse(file, tmp_path) == (
        "Input 'pulses' of the model reaches node 'MatMul_1' (MatMul) without a quantizer: an input format must be "
        "given, "
        "such as fixed<16,6> or uint<8>/255 (--input-format, or input_format= in Python)"
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("quantized", [True, False])
def test_weights_that_are_not_finite(tmp_path, bad, quantized):
    w = RNG.normal(size=(6, 5))
    w[2, 3] = bad
    file = File([1, 6])
    x = file.quant("x", 0.25, 4)
    file.add("MatMul", x, file.weights(w, 0.25, 4) if quantized else file.constant(w))
    where = "Constants into node 'Quant_1' (Quant)" if quantized else "Constants of node 'MatMul_1' (MatMul)"
    assert refuse(file, tmp_path) == f"{where} must be finite, not {bad}"


def test_weights_off_every_grid(tmp_path):
    file = File([1, 6])
    x = file.quant("x", 0.25, 4)
    file.add("MatMul", x, file.constant(RNG.normal(size=(6, 5))))
    assert refuse(file, tmp_path) == (
        "Weights of node 'MatMul_1' (MatMul) must be quantized, or lie on a grid of 16 bits or fewer: they do not; "
        "put a "
        "Quant node on them"
    )


def test_scales_that_do_not_factor_out(tmp_path):
    file = File([1, 6])
    x = file.quant("x", 0.25, 4)
    file.add("MatMul", x, file.weights(RNG.normal(size=(6, 5)), RNG.uniform(0.1, 0.2, (6, 1)), 4))
    assert refuse(file, tmp_path) == (
        "Scales of the weights of node 'MatMul_2' (MatMul) must be equal along the dimension that is summed, or "
        "differ by "
        "powers of two"
    )


def test_shapes_that_do_not_fit(tmp_path):
    file = File([1, 6])
    x = file.quant("x", 0.25, 4)
    file.add("MatMul", x, file.weights(RNG.normal(size=(4, 5)), 0.25, 4))
    assert refuse(file, tmp_path) == (
        "Input of node 'MatMul_2' (MatMul) must have 4 elements in its last dimension, not shape [1, 6]"
    )


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"transA": 1}, "Input of node 'Gemm_2' (Gemm) must have 6 elements in its last dimension, not shape [6, 1]"),
        ({"beta": np.inf}, "beta of node 'Gemm_2' (Gemm) must be finite, not inf"),
        ({"alpha": np.nan}, "alpha of node 'Gemm_2' (Gemm) must be finite, not nan"),
    ],
)
def test_attributes_of_gemm(tmp_path, attributes, message):
    file, x, w = layer()
    file.add("Gemm", x, w, file.constant(np.zeros(5)), **attributes)
    assert refuse(file, tmp_path) == message


def test_a_bias_of_another_size(tmp_path):
    file, x, w = layer()
    file.add("Gemm", x, w, file.constant(np.zeros(4)))
    assert refuse(file, tmp_path) == "Bias of node 'Gemm_2' (Gemm) must have 5 elements, not 4"


def test_accumulators_have_bounds(tmp_path):
    file = File([1, 2])
    x = file.quant("x", 1.0, 24)
    w = file.weights([[2.0**31 - 128], [2.0**31 - 128]], 1.0, 32)
    file.quant(file.add("MatMul", x, w), 2.0**40, 4)
    assert refuse(file, tmp_path).startswith("Accumulators before node 'Quant_3'")
    assert "must stay under 2**53" in refuse(file, tmp_path)


def test_nodes_without_names_are_named_by_their_outputs(tmp_path):
    file = File([1, 6])
    x = file.quant("x", 0.25, 4)
    w = file.weights(RNG.normal(size=(6, 5)), 0.25, 4)
    product = file.add("MatMul", x, w, name="")
    last = file.quant(product, 0.5, 4)
    file.nodes[-1].name = "Quant_0"  # taken already
    assert [o.name for o in load(file, tmp_path).operators] == [product, last]
