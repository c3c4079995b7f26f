from fractions import Fraction
from math import lcm

import numpy as np
import pytest
from onnx import helper

from rtl4ml.frontend.judge import Judge, StrictJudge
from tests.frontend.judge_files import model, quant


def network(factors, mode, scale=0.25, image=(4, 5), **attributes):
    """Quant -> linear Resize -> Conv."""
    node, values = quant("x", "xq", scale, 6, zero_point=2)
    values["f"] = np.array([1, 1, *factors], np.float32)
    values["w"] = np.array([3, -2], np.float32).reshape(1, 2, *(1,) * len(image))
    resize = helper.make_node(
        "Resize", ["xq", "", "f"], ["r"], mode="linear", coordinate_transformation_mode=mode, **attributes
    )
    conv = helper.make_node("Conv", ["r", "w"], ["y"])
    return model([node, resize, conv], [1, 2, *image], values, ["r", "y"])


@pytest.mark.parametrize("mode", ["half_pixel", "asymmetric", "pytorch_half_pixel"])
@pytest.mark.parametrize("image, factors", [((4, 5), (2, 2)), ((4, 5), (4, 1)), ((4, 5), (1, 8)), ((3, 1), (4, 2))])
def test_linear_resize_by_powers_of_two_is_exact(image, factors, mode):
    onnx_model = network(factors, mode, image=image)
    strict, judge = StrictJudge(onnx_model), Judge(onnx_model)
    assert strict.products == ("y",)
    x = (np.random.default_rng(2).normal(size=(5, 2, *image)) * 3).astype(np.float32)
    tensors, codes = strict.run(x)
    expected = judge.run(x)
    assert (tensors["r"] == expected["r"]).all()
    assert (tensors["y"] == expected["y"]).all()
    half = 1 if mode == "asymmetric" else 2
    unit = 0.25 / np.prod([half * f for n, f in zip(image, factors, strict=True) if f > 1 and n > 1])
    assert (strict.grids["r"].scale == unit).all()
    assert (codes["y"] * unit == expected["y"]).all()


def interpolated(numbers, length, mode):
    """Pixels `[n, size]` along the last axis between which outputs lie, in exact fractions: the specification."""
    size, rows = numbers.shape[-1], []
    for k in range(length):
        ratio = Fraction(length, size)
        position = {
            "half_pixel": (k + Fraction(1, 2)) / ratio - Fraction(1, 2),
            "asymmetric": k / ratio,
            "align_corners": Fraction(k * (size - 1), max(1, length - 1)),
        }[mode]
        position = min(max(position, Fraction(0)), Fraction(size - 1))
        first, part = int(position), position - int(position)
        row = [Fraction(0)] * size
        row[first] += 1 - part
        row[min(first + 1, size - 1)] += part
        rows.append(row)
    unit = lcm(*(weight.denominator for row in rows for weight in row))
    weights = np.array([[int(weight * unit) for weight in row] for row in rows], np.int64)
    return numbers @ weights.T, unit


@pytest.mark.parametrize("scale", [0.3, 0.25])
@pytest.mark.parametrize(
    "factors, mode",
    [
        ((3, 2), "half_pixel"),
        ((5, 3), "asymmetric"),
        ((2, 2), "align_corners"),
        ((0.5, 2), "half_pixel"),
        ((0.5, 1), "asymmetric"),
        ((1, 1.4), "half_pixel"),
    ],
)
def test_sums_are_rounded_once_and_divided(factors, mode, scale):
    onnx_model = network(factors, mode, scale)
    strict, judge = StrictJudge(onnx_model), Judge(onnx_model)
    x = (np.random.default_rng(3).normal(size=(3, 2, 4, 5)) * 3).astype(np.float32)
    found = strict.run(x, ["r"])[0]["r"]
    codes = np.clip(np.rint(x.astype(np.float64) / np.float32(scale)), -34, 29).astype(np.int64)
    sums, unit = codes.reshape(3, 2, 4, 5), 1
    for axis in (-1, -2):
        length = found.shape[axis]
        sums, more = interpolated(np.moveaxis(sums, axis, -1), length, mode)
        sums, unit = np.moveaxis(sums, -1, axis), unit * more
    expected = (sums * np.float64(np.float32(scale))).astype(np.float32) / np.float32(unit)
    assert np.array_equal(found.reshape(expected.shape), expected)
    assert np.allclose(found, judge.run(x, ["r"])["r"], rtol=1e-5, atol=1e-5)
    dyadic = not unit & (unit - 1)
    codes_remain = unit == 1 or (scale == 0.25 and dyadic)
    assert ("r" in strict.grids) == codes_remain
    assert set(strict.refused) == (set() if codes_remain else {"y"})
    assert strict.interpolated == (set() if dyadic else {"r"})


def test_sums_over_24_bits_are_rounded_once():
    node, values = quant("x", "xq", 2.0**-20, 24)
    values["f"] = np.array([1, 1, 8, 8], np.float32)
    resize = helper.make_node("Resize", ["xq", "", "f"], ["y"], mode="linear")
    onnx_model = model([node, resize], [1, 1, 2, 3], values, ["y"])
    x = np.random.default_rng(4).uniform(-7, 7, size=(4, 1, 1, 2, 3)).astype(np.float32)
    tensors, _ = StrictJudge(onnx_model).run(x.reshape(4, 1, 2, 3))
    codes = np.rint(x * 2.0**20).astype(np.int64).reshape(4, 1, 2, 3)
    rows, unit = interpolated(codes, 24, "half_pixel")
    sums, more = interpolated(np.moveaxis(rows, 2, 3), 16, "half_pixel")
    assert np.abs(sums).max() >= 1 << 24
    expected = (np.moveaxis(sums, 3, 2) * 2.0**-20 / (unit * more)).astype(np.float32)
    assert np.array_equal(tensors["y"].reshape(expected.shape), expected)


def test_weights_that_are_no_small_fractions():
    onnx_model = network((1.2345, 1), "half_pixel")
    strict = StrictJudge(onnx_model)
    assert set(strict.refused) == {"y"}
    x = np.random.default_rng(3).normal(size=(2, 2, 4, 5)).astype(np.float32)
    assert (strict.run(x, ["r"])[0]["r"] == Judge(onnx_model).run(x, ["r"])["r"]).all()
