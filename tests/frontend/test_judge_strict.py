from fractions import Fraction

import numpy as np
import onnx
import pytest
from onnx import helper

from rtl4ml.errors import ConfigurationError
from rtl4ml.frontend.judge import Judge, StrictJudge
from tests.frontend.judge_files import model, nearest_float32, quant, same_bits, shared

RNG = np.random.default_rng(7)


def network(product, w, *quants, constants=None, shape=(1, 6), before=(), after=()):
    """x -> Quant xq; w -> Quant wq; product."""
    nodes, values = [], {"w": np.asarray(w, np.float32), **(constants or {})}
    for node, more in quants:
        nodes.append(node)
        values.update(more)
    return model([*nodes, *before, product, *after], list(shape), values)


def brute_force(xc, xs, wc, ws, alpha=1.0, beta=0.0, bias=None):
    """fl32(alpha * (sum of codes) * scales + beta * bias), in fractions; xc [n, k], wc [k, j], ws [j] or a number."""
    sums = xc.astype(object) @ wc.astype(object)
    ws = np.broadcast_to(np.float32(ws), sums.shape[-1:])
    result = np.zeros(sums.shape, np.float32)
    for i, j in np.ndindex(*sums.shape):
        value = (
            Fraction(float(np.float32(alpha))) * sums[i, j] * Fraction(float(np.float32(xs))) * Fraction(float(ws[j]))
        )
        if bias is not None:
            value += Fraction(float(np.float32(beta))) * Fraction(float(bias[j]))
        result[i, j] = nearest_float32(value)
    return sums.astype(np.int64), result


def test_matmul_through_layout_operators_with_scales_per_channel():
    ws = RNG.uniform(0.01, 0.1, (5, 1)).astype(np.float32)
    onnx_model = network(
        helper.make_node("MatMul", ["flat", "wt"], ["y"]),
        RNG.normal(size=(5, 6)) * 0.1,
        quant("x", "xq", 0.37, 8, zero_point=3, signed=0),
        quant("w", "wq", ws, 4),
        shape=(1, 2, 3),
        before=[
            helper.make_node("Flatten", ["xq"], ["flat"]),
            helper.make_node("Transpose", ["wq"], ["wt"], perm=[1, 0]),
        ],
    )
    x = (RNG.normal(size=(40, 2, 3)) * 20).astype(np.float32)
    strict = StrictJudge(onnx_model)
    tensors, codes = strict.run(x)
    assert strict.products == ("y",)
    assert not strict.refused
    sums, values = brute_force(codes["xq"].reshape(40, 6) - 3, 0.37, strict.constant_codes["wq"].T, ws[:, 0])
    assert (codes["y"] == sums).all()
    assert same_bits(tensors["y"], values)
    assert (strict.grids["y"].scale == np.float64(np.float32(0.37)) * ws.astype(np.float64).T).all()
    assert codes["xq"].min() == 0
    assert codes["xq"].max() <= 255
    for name, value in Judge(onnx_model).run(x, ["xq", "flat"]).items():
        assert same_bits(value, tensors[name])


@pytest.mark.parametrize("trans_a, trans_b", [(0, 0), (0, 1), (1, 1)])
def test_gemm_with_factors_and_bias(trans_a, trans_b):
    bias = (RNG.normal(size=4) * 5).astype(np.float32)
    before = [helper.make_node("Transpose", ["xq"], ["xt"])] if trans_a else []
    onnx_model = network(
        helper.make_node(
            "Gemm", ["xt" if trans_a else "xq", "wq", "c"], ["y"], transA=trans_a, transB=trans_b, alpha=0.7, beta=-1.3
        ),
        RNG.normal(size=(4, 6) if trans_b else (6, 4)),
        quant("x", "xq", 0.11, 8),
        quant("w", "wq", 0.23, 6),
        constants={"c": bias},
        before=before,
    )
    x = (RNG.normal(size=(50, 6)) * 4).astype(np.float32)
    strict = StrictJudge(onnx_model)
    tensors, codes = strict.run(x)
    wc = strict.constant_codes["wq"]
    sums, values = brute_force(codes["xq"], 0.11, wc.T if trans_b else wc, 0.23, 0.7, -1.3, bias)
    assert (codes["y"] == sums).all()
    assert same_bits(tensors["y"], values)
    assert strict.grids["y"].alpha == np.float32(0.7)


@pytest.mark.parametrize("bits", [20, 28])
def test_wide_sums_are_exact(bits):
    # 28 bits: sums beyond 2**53, where float64 is no longer enough
    w = RNG.integers(-(2**22), 2**22, (6, 3)) * 2.0**3
    onnx_model = network(
        helper.make_node("MatMul", ["xq", "wq"], ["y"]), w, quant("x", "xq", 0.3, bits), quant("w", "wq", 1, 26)
    )
    x = (RNG.uniform(-1, 1, (20, 6)) * 2.0 ** (bits - 1)).astype(np.float32)
    strict = StrictJudge(onnx_model)
    tensors, codes = strict.run(x)
    sums, values = brute_force(codes["xq"], 0.3, strict.constant_codes["wq"], 1)
    assert (np.abs(sums).max() > 2**53) == (bits == 28)
    assert (codes["y"] == sums).all()
    assert same_bits(tensors["y"], values)


def test_two_operands_that_depend_on_the_input():
    nodes, constants = [], {}
    for name, scale in (("a", 0.3), ("b", 0.07)):
        node, more = quant("x", name, scale, 6)
        nodes.append(node)
        constants.update(more)
    nodes += [
        helper.make_node("Transpose", ["b"], ["bt"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["a", "bt"], ["y"]),
    ]
    strict = StrictJudge(model(nodes, [1, 3, 4], constants))
    tensors, codes = strict.run(RNG.normal(size=(9, 3, 4)).astype(np.float32))
    for i in range(9):
        sums, values = brute_force(codes["a"][i], 0.3, codes["b"][i].T, 0.07)
        assert (codes["y"][i] == sums).all()
        assert same_bits(tensors["y"][i], values)


def test_scales_along_the_sum_are_shifted_or_refused():
    product = helper.make_node("MatMul", ["xq", "wq"], ["y"])
    w = RNG.normal(size=(6, 3))
    scale = np.array([[0.3, 0.6, 0.3, 1.2, 0.6, 0.3]], np.float32)
    exact = network(product, w, quant("x", "xq", scale, 6), quant("w", "wq", 0.1, 4))
    x = RNG.normal(size=(30, 6)).astype(np.float32)
    strict = StrictJudge(exact)
    tensors, codes = strict.run(x)
    sums, values = brute_force(codes["xq"] * [1, 2, 1, 4, 2, 1], 0.3, strict.constant_codes["wq"], 0.1)
    assert (codes["y"] == sums).all()
    assert same_bits(tensors["y"], values)
    scale[0, 1] = 0.7
    other = network(product, w, quant("x", "xq", scale, 6), quant("w", "wq", 0.1, 4))
    strict = StrictJudge(other)
    assert strict.products == ()
    assert "powers of two" in strict.refused["y"]
    assert same_bits(strict.run(x)[0]["y"], Judge(other).run(x)["y"])


def test_grids_of_the_input_of_other_tensors_and_of_constants():
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["y"]),
        helper.make_node("MatMul", ["x", "v"], ["z"]),
    ]
    constants = {
        "w": (RNG.integers(-7, 8, (6, 3)) * np.float64(np.float32(0.1))).astype(np.float32),
        "v": RNG.normal(size=(6, 3)).astype(np.float32),
    }
    constants["w"][0] = np.float32(0.1)
    onnx_model = model(nodes, [1, 6], constants, ["a", "y", "z"])
    assert set(StrictJudge(onnx_model).refused) == {"a", "y", "z"}
    strict = StrictJudge(onnx_model, input_grid=2.0**-6, grids={"r": 2.0**-6})
    assert strict.products == ("a", "y")
    assert strict.refused == {"z": "constant 'v' does not lie on a grid of 16 bits or fewer"}
    x = RNG.integers(-900, 900, (20, 6))
    tensors, codes = strict.run((x / 64).astype(np.float32))
    wc = np.rint(constants["w"] / np.float32(0.1)).astype(np.int64)
    scale = strict.grids["a"].scale.flat[0] * 64
    for name, numbers in (("a", x), ("y", np.maximum(x, 0))):
        sums, values = brute_force(numbers, 2.0**-6, wc, scale)
        assert (codes[name] == sums).all()
        assert same_bits(tensors[name], values)
    with pytest.raises(ConfigurationError, match="values of 'x' must be multiples of the grid"):
        strict.run(np.full((1, 6), 0.01, np.float32))
    with pytest.raises(ConfigurationError, match=r"not \['w'\]"):
        StrictJudge(onnx_model, grids={"w": 1.0})
    with pytest.raises(ConfigurationError, match=r"must be positive float32 numbers, not 0\.1"):
        StrictJudge(onnx_model, input_grid=0.1)


def test_given_codes_feed_what_follows():
    onnx_model = network(
        helper.make_node("MatMul", ["xq", "wq"], ["y"]),
        RNG.normal(size=(6, 3)),
        quant("x", "xq", 0.5, 4, zero_point=1),
        quant("w", "wq", 0.3, 4),
    )
    strict = StrictJudge(onnx_model)
    x = RNG.normal(size=(5, 6)).astype(np.float32)
    other = RNG.integers(-8, 8, (5, 6))
    _, plain = strict.run(x)
    tensors, codes = strict.run(x, given={"xq": other})
    assert (codes["xq"] == plain["xq"]).all()
    assert (codes["y"] == (other - 1) @ strict.constant_codes["wq"]).all()
    assert (tensors["xq"] == (other - 1) * np.float32(0.5)).all()
    with pytest.raises(ConfigurationError, match="given codes must be those of 5 samples"):
        strict.run(x, given={"xq": other[:2]})


def test_quantize_and_dequantize_linear():
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["i"]),
        helper.make_node("DequantizeLinear", ["i", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["w", "ws"], ["wq"], axis=0),
        helper.make_node("Gemm", ["xq", "wq"], ["y"], transB=1),
    ]
    ws = RNG.uniform(0.01, 0.1, 3).astype(np.float32)
    wc = RNG.integers(-127, 128, (3, 6)).astype(np.int8)
    constants = {"s": np.float32(0.03), "z": np.uint8(100), "ws": ws, "w": wc}
    onnx_model = model(nodes, [1, 6], constants)
    strict = StrictJudge(onnx_model)
    tensors, codes = strict.run(RNG.normal(size=(20, 6)).astype(np.float32))
    sums, values = brute_force(tensors["i"].astype(np.int64) - 100, 0.03, wc.T.astype(np.int64), ws)
    assert (codes["y"] == sums).all()
    assert same_bits(tensors["y"], values)


EXACT = [("TFC_1W1A.onnx", {}), ("TFC_2W2A.onnx", {}), ("qkeras_jettagging.onnx", {"input_grid": 2.0**-10})]


@pytest.mark.parametrize("name, options", [*EXACT, ("gamma_neutron_student.onnx", {})])
def test_judge_and_strict_judge_agree_on_power_of_two_scales(name, options):
    onnx_model = onnx.load(shared(name))
    strict, judge = StrictJudge(onnx_model, **options), Judge(onnx_model)
    assert not strict.refused
    shape = (100, *judge.input_shape[1:])
    x = (RNG.integers(0, 1024, shape) / (1 if name.startswith("gamma") else 1024)).astype(np.float32)
    tensors, codes = strict.run(x)
    expected, expected_codes = judge.run_codes(x)
    for output, value in expected_codes.items():
        assert (codes[output] == value).all()
    for output, value in expected.items():
        assert (tensors[output] == value).all()


@pytest.mark.parametrize("name", ["kwsmlp_w3a3.onnx", "brevitas_mlp_w4a4.onnx"])
def test_float_scales_stay_within_rounding_of_the_judge(name):
    onnx_model = onnx.load(shared(name))
    strict, judge = StrictJudge(onnx_model), Judge(onnx_model)
    assert not strict.refused
    x = (RNG.normal(size=(30, *judge.input_shape[1:])) * 3).astype(np.float32)
    expected, expected_codes = judge.run_codes(x)
    tensors, codes = strict.run(x, given=expected_codes)
    for output in strict.products:
        grid = strict.grids[output]
        exact = codes[output] * grid.scale
        assert np.allclose(tensors[output], expected[output], rtol=1e-4, atol=1e-4)  # the judge's own rounding
        if strict.producers[output].node.op_type == "MatMul":
            assert same_bits(tensors[output], exact.astype(np.float32))
