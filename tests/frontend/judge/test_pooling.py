import itertools

import numpy as np
import pytest
from onnx import helper

from rtl4ml.frontend.judge import Judge, StrictJudge
from tests.frontend.judge.loops import padding, windows
from tests.frontend.judge_files import model, quant, same_bits


def network(kind, shape, scale=0.125, zero_point=0, opset=19, inputs=(), constants=None, **attributes):
    node, values = quant("x", "xq", scale, 8, zero_point=zero_point, signed=int(not zero_point))
    values.update(constants or {})
    return model([node, helper.make_node(kind, ["xq", *inputs], ["y"], **attributes)], shape, values, opset=opset)


def averages(x, scale, attributes, outputs):
    """fl32(fl32(sum * scale) / count) of one image of numbers x [c, ...]; scale such that the product is exact."""
    kernel, image = attributes["kernel_shape"], x.shape[1:]
    begins, ends = padding(attributes, image, kernel)
    strides = attributes.get("strides", [1] * len(image))
    dilations = attributes.get("dilations", [1] * len(image))
    y = np.zeros((len(x), *outputs), np.float32)
    for place, taps in windows(attributes, image, kernel, outputs):
        count = 0
        for tap, at in taps:
            where = [p * s + t * d for p, s, t, d in zip(place, strides, tap, dilations, strict=True)]
            padded = all(w < n + b + e for w, n, b, e in zip(where, image, begins, ends, strict=True))
            count += at is not None or (bool(attributes.get("count_include_pad", 0)) and padded)
        for c in range(len(x)):
            total = sum(int(x[(c, *at)]) for _, at in taps if at is not None)
            y[(c, *place)] = np.float32(total * scale) / np.float32(count)
    return y


CASES = [
    ([8], [3], [2], [1, 1], [1]),
    ([9], [2], [3], [0, 1], [2]),
    ([7, 6], [3, 2], [2, 2], [1, 1, 1, 0], [1, 1]),
    ([7, 6], [3, 3], [2, 3], [0, 0, 0, 0], [1, 1]),
    ([8, 9], [3, 2], [1, 3], [1, 1, 2, 1], [2, 3]),
    ([4, 5, 4], [2, 3, 2], [2, 2, 1], [0, 1, 1, 1, 1, 0], [1, 1, 1]),
]
CHOICES = list(itertools.product([0, 1], [0, 1], ["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))


@pytest.mark.parametrize("image, kernel, strides, pads, dilations", CASES)
def test_average_pool_with_all_attributes(image, kernel, strides, pads, dilations):
    rng = np.random.default_rng(1)
    x = (rng.normal(size=(2, 3, *image)) * 8).astype(np.float32)
    for include, ceil, how in CHOICES:
        attributes = {"kernel_shape": kernel, "strides": strides, "count_include_pad": include}
        if how == "NOTSET":
            attributes.update(pads=pads, ceil_mode=ceil)
            if len(image) < 3:
                attributes["dilations"] = dilations
        else:
            attributes["auto_pad"] = how
        onnx_model = network("AveragePool", [1, 3, *image], **attributes)
        strict, judge = StrictJudge(onnx_model), Judge(onnx_model)
        tensors, codes = strict.run(x)
        outputs = strict.shapes["y"][2:]
        expected = np.stack([averages(c, 0.125, attributes, outputs) for c in codes["xq"]])
        got = judge.run(x, ["y"])["y"]
        assert (tensors["y"] == expected).all(), attributes
        assert (got == expected).all(), attributes


def test_averages_round_the_sum_once():
    rng = np.random.default_rng(2)
    shape = (5, 4, 6, 6)
    x = (rng.normal(size=shape) * 20).astype(np.float32)
    scale = rng.uniform(0.1, 0.9, (1, 4, 1, 1)).astype(np.float32)
    strict = StrictJudge(network("AveragePool", [1, *shape[1:]], scale, 7, kernel_shape=[5, 5]))
    tensors, codes = strict.run(x)
    numbers = codes["xq"] - 7
    sums = np.stack([numbers[..., i : i + 5, j : j + 5].sum(axis=(2, 3)) for i in (0, 1) for j in (0, 1)], -1)
    exact = sums.reshape(5, 4, 2, 2) * scale.astype(np.float64)
    assert same_bits(tensors["y"], exact.astype(np.float32) / np.float32(25))
    assert strict.products == ()


@pytest.mark.parametrize(
    "kind, options",
    [
        ("GlobalAveragePool", {}),
        ("ReduceMean", {"inputs": ["axes"], "constants": {"axes": np.array([2, 3])}}),
        ("ReduceMean", {"inputs": ["axes"], "constants": {"axes": np.array([-1, -2])}, "keepdims": 0}),
    ],
)
def test_whole_images(kind, options):
    rng = np.random.default_rng(3)
    x = (rng.normal(size=(4, 3, 5, 7)) * 8).astype(np.float32)
    scale = rng.uniform(0.1, 0.9, (1, 3, 1, 1)).astype(np.float32)
    tensors, codes = StrictJudge(network(kind, [1, 3, 5, 7], scale, **options)).run(x)
    exact = codes["xq"].sum(axis=(2, 3)) * scale.reshape(3).astype(np.float64)
    assert (tensors["y"].reshape(4, 3) == exact.astype(np.float32) / np.float32(35)).all()
    power = network(kind, [1, 3, 5, 7], 0.5, **options)
    assert (StrictJudge(power).run(x, ["y"])[0]["y"] == Judge(power).run(x, ["y"])["y"]).all()


def test_averages_of_scales_that_differ_are_the_executors():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(2, 2, 4, 4)).astype(np.float32)
    scale = rng.uniform(0.1, 0.9, (1, 2, 4, 1)).astype(np.float32)
    for kind, attributes in (("AveragePool", {"kernel_shape": [2, 2]}), ("GlobalAveragePool", {})):
        onnx_model = network(kind, [1, 2, 4, 4], scale, **attributes)
        strict = StrictJudge(onnx_model)
        assert not strict.refused
        assert same_bits(strict.run(x, ["y"])[0]["y"], Judge(onnx_model).run(x, ["y"])["y"])
