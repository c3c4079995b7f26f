from fractions import Fraction

import numpy as np
import pytest
from onnx import helper

from rtl4ml.frontend.judge import Judge, StrictJudge
from tests.frontend.judge.loops import convolve, convolve_transposed
from tests.frontend.judge_files import model, nearest_float32, quant, same_bits

CHANNELS_LAST = "qonnx.custom_op.channels_last"


def network(kind, image, weights, attributes, bias=None, x_scale=0.125, w_scale=0.25, x_zero=0, domain=""):
    """x -> Quant -> kind, with quantized weights; image [1, c, ...]."""
    nodes, constants = [], {"w": np.asarray(weights, np.float32)}
    for node, more in (
        quant("x", "xq", x_scale, 8, zero_point=x_zero, signed=int(not x_zero)),
        quant("w", "wq", w_scale, 6),
    ):
        nodes.append(node)
        constants.update(more)
    inputs = ["xq", "wq"]
    if bias is not None:
        constants["b"] = np.asarray(bias, np.float32)
        inputs.append("b")
    nodes.append(helper.make_node(kind, inputs, ["y"], domain=domain, **attributes))
    return model(nodes, list(image), constants, opset=19)


def rounded(sums, scale, bias):
    """fl32(sums [n, o, ...] * scale [o] + bias [o]), in fractions."""
    result = np.zeros(sums.shape, np.float32)
    for at in np.ndindex(*sums.shape):
        value = int(sums[at]) * Fraction(float(scale[at[1]])) + Fraction(float(bias[at[1]]))
        result[at] = nearest_float32(value)
    return result


def configuration(seed):
    """A random Conv: (image, weights, attributes)."""
    rng = np.random.default_rng(seed)
    rank = int(rng.choice([1, 2, 2, 2, 3]))
    groups = int(rng.choice([1, 1, 2, 3]))
    c, o = groups * int(rng.integers(1, 3)), groups * int(rng.integers(1, 3))
    if rng.random() < 0.3:
        groups = c = o = 4
    kernel = rng.integers(1, 4, rank).tolist()
    image = rng.integers(3, 8 if rank < 3 else 5, rank).tolist()
    attributes = {"group": groups} if groups > 1 or rng.random() < 0.5 else {}
    if rng.random() < 0.5:
        attributes["kernel_shape"] = kernel
    if rng.random() < 0.6:
        attributes["strides"] = rng.integers(1, 4, rank).tolist()
    how = str(rng.choice(["", "", "pads", "pads", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if how == "pads":
        attributes["pads"] = rng.integers(0, 3, 2 * rank).tolist()
    elif how:
        attributes["auto_pad"] = how
    if rng.random() < 0.5 and not how.startswith("SAME"):  # which onnxruntime does not dilate
        dilations = rng.integers(1, 3, rank)
        # The kernel must fit the image.
        dilations = np.where((np.array(kernel) - 1) * dilations < np.array(image), dilations, 1)
        attributes["dilations"] = dilations.tolist()
    weights = rng.integers(-31, 32, (o, c // groups, *kernel))
    return rng, [1, c, *image], weights, attributes


@pytest.mark.parametrize("seed", range(44))
def test_conv_of_any_kind(seed):
    """Against a loop over integers and, as powers of two make all sums exact, against the unmodified judge."""
    rng, image, weights, attributes = configuration(seed)
    bias = rng.integers(-99, 99, len(weights)) / 32 if seed % 2 else None
    zero = 100 if seed % 3 == 0 else 0
    onnx_model = network("Conv", image, weights * 0.25, attributes, bias, x_zero=zero)
    strict, judge = StrictJudge(onnx_model), Judge(onnx_model)
    assert strict.products == ("y",)
    x = (rng.normal(size=(3, *image[1:])) * 6).astype(np.float32)
    tensors, codes = strict.run(x)
    for i in range(3):
        expected = convolve(codes["xq"][i] - zero, weights, attributes, strict.shapes["y"][2:])
        assert (codes["y"][i] == expected).all()
    assert (tensors["y"] == judge.run(x, ["y"])["y"]).all()
    assert (strict.grids["y"].scale == 2.0**-5).all()


@pytest.mark.parametrize("seed", range(100, 112))
def test_conv_rounds_once(seed):
    """Scales of each output channel, and a bias off the grid."""
    rng, image, weights, attributes = configuration(seed)
    w_scale = rng.uniform(0.01, 0.1, (len(weights), *(1,) * (weights.ndim - 1))).astype(np.float32)
    bias = rng.normal(size=len(weights)).astype(np.float32)
    onnx_model = network("Conv", image, weights * w_scale, attributes, bias, x_scale=0.37, w_scale=w_scale)
    strict = StrictJudge(onnx_model)
    x = (rng.normal(size=(2, *image[1:])) * 20).astype(np.float32)
    tensors, codes = strict.run(x)
    scale = np.float64(np.float32(0.37)) * w_scale.reshape(-1).astype(np.float64)
    for i in range(2):
        sums = convolve(codes["xq"][i], weights, attributes, strict.shapes["y"][2:])
        assert (codes["y"][i] == sums).all()
    assert same_bits(tensors["y"], rounded(codes["y"], scale, bias))
    assert (strict.grids["y"].scale[0].reshape(len(weights), -1) == scale[:, np.newaxis]).all()


TRANSPOSED = [
    ([5], [3], {}),
    ([5], [3], {"strides": [2]}),
    ([5], [4], {"strides": [3], "dilations": [2], "output_padding": [1]}),
    ([3, 4], [3, 3], {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
    ([3, 4], [2, 3], {"strides": [2, 3], "pads": [0, 1, 1, 0], "dilations": [2, 1]}),
    ([3, 4], [3, 3], {"strides": [2, 2], "output_shape": [6, 8]}),
    ([3, 4], [3, 4], {"strides": [2, 2], "output_shape": [5, 9], "auto_pad": "SAME_UPPER"}),
    ([3, 4], [4, 4], {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ([3, 4], [4, 3], {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    ([3, 4], [4, 3], {"strides": [2, 2], "auto_pad": "VALID"}),
    ([3, 4], [1, 1], {"pads": [1, 1, 0, 1]}),
    ([2, 3, 2], [2, 2, 3], {"strides": [2, 1, 2]}),
]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("image, kernel, attributes", TRANSPOSED)
def test_conv_transpose(image, kernel, attributes, groups):
    rng = np.random.default_rng(len(str(attributes)) + groups)
    weights = rng.integers(-31, 32, (2 * groups, 3, *kernel))
    attributes = {**attributes, "group": groups}
    bias = rng.integers(-99, 99, 3 * groups) / 32
    onnx_model = network("ConvTranspose", [1, 2 * groups, *image], weights * 0.25, attributes, bias)
    strict, judge = StrictJudge(onnx_model), Judge(onnx_model)
    assert strict.products == ("y",)
    x = (rng.normal(size=(2, 2 * groups, *image)) * 6).astype(np.float32)
    tensors, codes = strict.run(x)
    assert (tensors["y"] == judge.run(x, ["y"])["y"]).all()
    if "auto_pad" not in attributes and "output_shape" not in attributes:
        begins = attributes.get("pads", [0] * len(image))[: len(image)]
        for i in range(2):
            outputs = strict.shapes["y"][2:]
            assert (codes["y"][i] == convolve_transposed(codes["xq"][i], weights, attributes, begins, outputs)).all()


def test_scales_of_channels():
    """Powers of two between summed channels shift weights; a channel of its own may have any scale."""
    rng = np.random.default_rng(5)
    weights = rng.integers(-7, 8, (4, 2, 3))
    x_scale = np.array([0.3, 0.6, 0.07, 0.28], np.float32).reshape(1, 4, 1)
    x_scale[0, 1], x_scale[0, 3] = x_scale[0, 0] * 2, x_scale[0, 2] * 4
    onnx_model = network("Conv", [1, 4, 9], weights * 0.25, {"group": 2}, x_scale=x_scale)
    strict = StrictJudge(onnx_model)
    tensors, codes = strict.run((rng.normal(size=(3, 4, 9)) * 4).astype(np.float32))
    shifted = codes["xq"] * np.array([1, 2, 1, 4]).reshape(1, 4, 1)
    for i in range(3):
        assert (codes["y"][i] == convolve(shifted[i], weights, {"group": 2}, (7,))).all()
    scale = np.repeat(x_scale[0, [0, 2], 0], 2).astype(np.float64) * 0.25
    assert same_bits(tensors["y"], rounded(codes["y"], scale, np.zeros(4)))
    refused = StrictJudge(network("Conv", [1, 4, 9], weights[:2, :1].repeat(4, 1), {}, x_scale=x_scale)).refused
    assert refused == {"y": "its scales along the summed channels are not positive with powers of two as ratios"}
    depthwise = StrictJudge(network("Conv", [1, 4, 9], weights[:, :1] * 0.25, {"group": 4}, x_scale=x_scale * 1.1))
    assert depthwise.products == ("y",)
    across = np.linspace(0.1, 0.2, 9, dtype=np.float32).reshape(1, 1, 9)
    refused = StrictJudge(network("Conv", [1, 4, 9], weights[:, :1] * 0.25, {"group": 4}, x_scale=across)).refused
    assert refused == {"y": "its scales differ within an image"}


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("image, kernel", [([7], [3]), ([6, 5], [3, 2])])
def test_channels_last(image, kernel, groups):
    rng = np.random.default_rng(8)
    rank = len(image)
    weights = rng.integers(-31, 32, (6, *kernel, 3 // groups))
    attributes = {
        "kernel_shape": kernel,
        "strides": [2] * rank,
        "dilations": [1] * rank,
        "pads": [1] * 2 * rank,
        "group": groups,
    }
    bias = rng.integers(-99, 99, 6) / 32
    onnx_model = network("Conv", [1, *image, 3], weights * 0.25, attributes, bias, domain=CHANNELS_LAST)
    strict, judge = StrictJudge(onnx_model), Judge(onnx_model)
    assert strict.products == ("y",)
    x = (rng.normal(size=(3, *image, 3)) * 6).astype(np.float32)
    tensors, codes = strict.run(x)
    first = np.moveaxis(weights, -1, 1)
    for i in range(3):
        outputs = strict.shapes["y"][1:-1]
        expected = convolve(np.moveaxis(codes["xq"][i], -1, 0), first, attributes, outputs)
        assert (np.moveaxis(codes["y"][i], -1, 0) == expected).all()
    assert (tensors["y"] == judge.run(x, ["y"])["y"]).all()


def test_sums_of_every_width():
    """float32, float64 and int64 arithmetic inside give the same integers."""
    rng = np.random.default_rng(9)
    for bits, signed in ((8, 1), (24, 1), (50, 1)):
        node, constants = quant("x", "xq", 1.0, bits, signed=signed)
        weights, more = quant("w", "wq", 1.0, 8)
        constants.update(more, w=rng.integers(-127, 128, (3, 2, 3, 3)).astype(np.float32))
        conv = helper.make_node("Conv", ["xq", "wq"], ["y"], pads=[1, 1, 1, 1])
        strict = StrictJudge(model([node, weights, conv], [1, 2, 4, 4], constants))
        x = (rng.normal(size=(2, 2, 4, 4)) * 2.0 ** (bits - 3)).astype(np.float32)
        _, codes = strict.run(x)
        expected = [convolve(c, strict.constant_codes["wq"], {"pads": [1, 1, 1, 1]}, (4, 4)) for c in codes["xq"]]
        assert (codes["y"] == np.stack(expected)).all()


def test_constants_on_a_grid_and_without_one():
    rng = np.random.default_rng(10)
    node, constants = quant("x", "xq", 0.5, 4)
    steps = rng.uniform(0.01, 0.1, (3, 1, 1)).astype(np.float32)
    codes = rng.integers(-7, 8, (3, 2, 3))
    codes[:, 0, 0] = 1
    constants["w"] = (codes * steps.astype(np.float64)).astype(np.float32)
    nodes = [
        node,
        helper.make_node("Conv", ["xq", "w"], ["y"]),
        helper.make_node("Conv", ["xq", "v"], ["z"], kernel_shape=[2]),
        helper.make_node("Conv", ["y", "u"], ["t"]),
        helper.make_node("Conv", ["xq", "xq"], ["s"]),
    ]
    constants["v"] = rng.normal(size=(2, 2, 2)).astype(np.float32)
    constants["u"] = np.ones((1, 3, 1), np.float32)
    strict = StrictJudge(model(nodes, [1, 2, 6], constants, ["y", "z", "t", "s"]))
    assert strict.products == ("y",)
    assert strict.refused == {
        "z": "constant 'v' does not lie on a grid of 16 bits or fewer",
        "t": "operand 'y' has no quantizer",
        "s": "its weights depend on the input",
    }
