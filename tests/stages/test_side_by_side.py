from dataclasses import replace

import numpy as np
import pytest

from rtl4ml.formats import Format
from rtl4ml.graph import Tensor
from rtl4ml.operators import Conv, Window
from rtl4ml.stages.side_by_side import counts, side_by_side

CASES = {
    "3x3 padded": (Window(6, 8, (3, 3), pads=(1, 1, 1, 1)), 2, 3, 1),
    "stride": (Window(8, 8, (3, 3), (2, 2), pads=(0, 0, 1, 1)), 2, 2, 1),
    "dilation": (Window(9, 6, (2, 3), dilation=(2, 2), pads=(1, 2, 1, 2)), 1, 2, 1),
    "groups": (Window(4, 4, (2, 2), pads=(1, 0, 0, 1)), 4, 8, 2),
    "depthwise": (Window(4, 6, (3, 3), pads=(1, 1, 1, 1)), 3, 3, 3),
    "pointwise": (Window(4, 5, (1, 1)), 3, 2, 1),
    "a line": (Window(12, 1, (5, 1), (3, 1), pads=(1, 0, 1, 0)), 2, 2, 1),
    "no padding": (Window(7, 9, (3, 2)), 1, 1, 1),
}


def conv_of(name):
    window, channels, outputs, groups = CASES[name]
    random = np.random.default_rng(len(name))
    weights = random.integers(-8, 8, (*window.kernel, channels // groups, outputs))
    bias = random.integers(-9, 9, outputs)
    shape = (window.out_height, window.out_width, outputs)
    return Conv("conv", ("x",), "y", window, weights, bias, np.ones(()), groups, shape)


@pytest.mark.parametrize("name", CASES)
def test_the_same_numbers_some_pixels_at_a_time(name):
    conv = conv_of(name)
    kind = Format(4, True, np.ones(()), np.array(3))
    size = conv.window.pixels_in * conv.channels_in
    tensor = Tensor("x", (size,), kind, *(np.full(conv.channels_in, limit) for limit in (-8, 7)))
    x = np.random.default_rng(1).integers(-8, 8, (5, size))
    expected = conv.evaluate([x], [tensor])
    found = counts(conv)
    assert found[0] == 1
    for pixels in found:
        wide = side_by_side(conv, pixels)
        assert wide.window.pixels_out * pixels == conv.window.pixels_out
        assert np.array_equal(wide.evaluate([x], [tensor]), expected)
        # No product is made twice; those with padding are left out where the padding is known.
        assert np.count_nonzero(wide.weights) <= pixels * np.count_nonzero(conv.weights)


def test_counts():
    assert counts(conv_of("3x3 padded")) == [1, 2, 4, 8, 16, 24, 48]
    assert counts(conv_of("pointwise")) == [1, 5, 10, 20]
    assert counts(conv_of("no padding")) == [1, 2, 4, 8, 40]


def test_one_pixel_is_the_convolution_itself():
    conv = conv_of("3x3 padded")
    same = side_by_side(conv, 1)
    assert same.window == conv.window
    assert np.array_equal(same.weights, conv.weights)
    assert replace(same, bias=conv.bias).scale is conv.scale
