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
    unit = 0.25 / np.prod([2 * f for f in factors if f > 1])
    assert (strict.grids["r"].scale == unit).all()
    assert (codes["y"] * unit == expected["y"]).all()


@pytest.mark.parametrize(
    "factors, mode, options",
    [
        ((3, 3), "half_pixel", {}),
        ((2, 2), "align_corners", {}),
        ((0.5, 1), "half_pixel", {}),
        ((2, 2), "half_pixel", {"scale": 0.3}),
    ],
)
def test_what_float32_does_not_hold_is_refused(factors, mode, options):
    onnx_model = network(factors, mode, **options)
    strict = StrictJudge(onnx_model)
    assert "r" not in strict.grids
    assert set(strict.refused) == {"y"}
    x = np.random.default_rng(3).normal(size=(2, 2, 4, 5)).astype(np.float32)
    assert (strict.run(x, ["r"])[0]["r"] == Judge(onnx_model).run(x, ["r"])["r"]).all()
