"""MaxPool, AveragePool, their global forms and reductions against both judges."""

import re

import numpy as np
import pytest

import rtl4ml
from rtl4ml.errors import ModelError
from tests.frontend.images import CHANNELS_LAST, Images, proven

WINDOWS = {
    "plain": {"kernel_shape": [2, 2], "strides": [2, 2]},
    "no strides": {"kernel_shape": [2, 3]},
    "pads": {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
    "asymmetric pads": {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [0, 1, 2, 0]},
    "ceil_mode": {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1},
    "ceil_mode and pads": {"kernel_shape": [3, 3], "strides": [2, 3], "pads": [1, 0, 1, 1], "ceil_mode": 1},
    "SAME_UPPER": {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    "SAME_LOWER": {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
    "VALID": {"kernel_shape": [3, 2], "auto_pad": "VALID"},
}
DILATED = {"kernel_shape": [2, 3], "dilations": [3, 2], "pads": [1, 1, 1, 1]}


def finished(file, x, channels):
    """A convolution behind, so that formats and layouts are used."""
    return file.relu(file.conv(x, 3, channels, 1, 1))


@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("attributes", [*WINDOWS.values(), DILATED], ids=[*WINDOWS, "dilations"])
def test_maxima_of_codes(tmp_path, attributes, signed):
    """Padding never wins, on signed data neither."""
    file = Images((3, 9, 8))
    finished(file, file.add("MaxPool", file.start(0.3, 4, 2.0, signed=signed), **attributes), 3)
    proven(file, tmp_path, kinds="Pool Conv Requantize")


@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("attributes", WINDOWS.values(), ids=WINDOWS.keys())
def test_averages(tmp_path, attributes, include):
    file = Images((3, 9, 8))
    x = file.start(0.3, 4, 2.0)
    y = file.quant(file.add("AveragePool", x, count_include_pad=include, **attributes), 0.17, 5)
    finished(file, y, 3)
    proven(file, tmp_path, kinds="Conv Requantize Conv Requantize")


def test_dilated_averages(tmp_path):
    file = Images((3, 9, 8), opset=19)
    finished(file, file.quant(file.add("AveragePool", file.start(0.3), **DILATED), 0.17, 5), 3)
    proven(file, tmp_path, kinds="Conv Requantize Conv Requantize")


@pytest.mark.parametrize("behind", [False, True])
def test_global_pooling(tmp_path, behind):
    for kind in ("GlobalMaxPool", "GlobalAveragePool"):
        file = Images((3, 5, 4))
        x = file.start(0.3, 4, 1.0)
        x = file.relu(file.conv(x, 3, 3, 3, 3)) if behind else x
        finished(file, file.quant(file.add(kind, x), 0.2, 6), 3)
        proven(file, tmp_path)


def test_one_dimension(tmp_path):
    file = Images((3, 11))
    x = file.add("MaxPool", file.start(), kernel_shape=[3], strides=[2], pads=[1, 0])
    x = file.quant(file.add("AveragePool", x, kernel_shape=[2]), 0.25, 5)
    file.relu(file.conv(x, 2, 3, 3))
    proven(file, tmp_path, kinds="Pool Conv Requantize Conv Requantize")


def test_scales_of_channels(tmp_path):
    file = Images((3, 6, 5))
    x = file.start(np.reshape([0.3, 0.5, 0.7], (1, 3, 1, 1)), 4, np.reshape([1.0, 2.0, -3.0], (1, 3, 1, 1)))
    y = file.add("MaxPool", x, kernel_shape=[2, 2], pads=[1, 0, 0, 1])
    y = file.add("AveragePool", y, kernel_shape=[2, 2])
    finished(file, file.quant(y, 0.2, 5), 3)
    proven(file, tmp_path)


@pytest.mark.parametrize("version", [1, 2])
def test_trunc_behind_an_average(tmp_path, version):
    """As Brevitas writes its average pooling: the sum, and its low bits cut off."""
    file = Images((3, 6, 6), imports={"qonnx.custom_op.general": version})
    x = file.start(0.25, 4, signed=0)
    y = file.add("Mul", file.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2]), file.constant(4.0))
    numbers = [0.25, 0.0, 6.0, *([1.0] if version == 2 else []), 4.0]
    more = {"signed": 0, "narrow": 0} if version == 2 else {}
    y = file.add(
        "Trunc", y, *map(file.constant, numbers), domain="qonnx.custom_op.general", rounding_mode="FLOOR", **more
    )
    finished(file, y, 3)
    proven(file, tmp_path, kinds="Conv Requantize Conv Requantize")


def test_maxima_between_a_product_and_its_quantizer(tmp_path):
    """The quantizer comes first: what slides over pixels is narrow. Gains of both signs change nothing."""
    file = Images((2, 7, 6))
    y = file.conv(file.start(0.3), 4, 2, 3, 3, bias=True)
    y = file.add("Relu", file.add("Mul", y, file.constant(np.reshape([1.0, -1.0, 0.5, -2.0], (4, 1, 1)))))
    y = file.add("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    finished(file, file.quant(file.add("Mul", y, file.constant(1.5)), 0.4, 4, signed=0), 4)
    proven(file, tmp_path, kinds="Conv Requantize Pool Conv Requantize")


def test_two_maxima_between_a_product_and_its_quantizer(tmp_path):
    file = Images((2, 9, 8))
    y = file.add("Relu", file.conv(file.start(0.3), 4, 2, 3, 3))
    y = file.add("GlobalMaxPool", file.add("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2]))
    finished(file, file.quant(y, 0.4, 4, signed=0), 4)
    proven(file, tmp_path, kinds="Conv Requantize Pool Pool Conv Requantize")


def test_maxima_in_front_of_a_function_that_turns(tmp_path):
    """The maximum has to be taken of the accumulators, which rise with the values."""
    file = Images((2, 7, 6))
    y = file.add("MaxPool", file.conv(file.start(0.3), 4, 2, 3, 3), kernel_shape=[2, 2], strides=[2, 2])
    finished(file, file.quant(file.add("HardSwish", y), 0.4, 4), 4)
    proven(file, tmp_path, kinds="Conv Pool Requantize Conv Requantize")


def test_maxima_read_twice(tmp_path):
    file = Images((2, 7, 6))
    y = file.add("MaxPool", file.conv(file.start(), 4, 2, 3, 3), kernel_shape=[2, 2], strides=[2, 2])
    first, second = file.quant(y, 0.5, 4), file.quant(file.add("Relu", y), 0.25, 3, signed=0)
    finished(file, file.add("Concat", first, second, axis=1), 8)
    graph = proven(file, tmp_path)
    assert len({operator.name for operator in graph.operators}) == len(graph.operators)


def test_maxima_at_the_output_are_the_hosts_with_what_stands_in_front(tmp_path):
    file = Images((2, 7, 6))
    y = file.add("Softplus", file.conv(file.start(), 4, 2, 3, 3))
    file.add("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    graph = proven(file, tmp_path, kinds="Conv")
    assert graph.epilogue.description == ("Softplus", "MaxPool")


def test_channels_last_operators(tmp_path):
    file = Images((7, 6, 2), imports={CHANNELS_LAST: 14, "qonnx.custom_op.general": 1})
    x = file.add("MaxPool", file.start(), domain=CHANNELS_LAST, kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 0, 0])
    numbers = [[1.5, 0.5], [0.25, -0.5], [0.5, 1.0], [1.0, 2.0]]
    x = file.add("BatchNormalization", x, *map(file.constant, numbers), domain=CHANNELS_LAST, epsilon=1e-5)
    file.quant(x, 0.25, 4)
    proven(file, tmp_path, kinds="Pool Requantize")


def test_relu_of_codes_needs_no_quantizer(tmp_path):
    for kind in ("MaxPool", "AveragePool"):
        file = Images((2, 6, 5))
        x = file.add("Relu", file.start(0.3, 4, 1.0))
        y = file.add(kind, x, kernel_shape=[2, 2])
        y = file.quant(y, 0.25, 5) if kind == "AveragePool" else y
        finished(file, y, 2)
        file.add("Concat", file.nodes[-1].output[0], file.relu(file.conv(x, 3, 2, 2, 2)), axis=1)
        proven(file, tmp_path)


def test_an_average_at_the_output(tmp_path):
    for node, more in (("GlobalAveragePool", {}), ("AveragePool", {"kernel_shape": [2, 2], "pads": [1, 0, 0, 1]})):
        file = Images((2, 6, 5))
        file.add(node, file.relu(file.conv(file.start(0.3), 4, 2, 3, 3)), **more)
        graph = proven(file, tmp_path, kinds="Conv Requantize Conv")
        assert graph.epilogue.description == ("Div",)


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("axes", [[2, 3], [2], [3], [1], [1, 2, 3], [1, 3], [-1, -2]])
@pytest.mark.parametrize("kind", ["ReduceMean", "ReduceSum", "ReduceMax"])
def test_reductions(tmp_path, kind, axes, keep):
    file = Images((3, 5, 4), opset=13)
    x = file.relu(file.conv(file.start(), 3, 3, 1, 1), 0.3)
    inputs, more = [x], {"axes": axes}
    if kind == "ReduceSum":
        inputs, more = [x, file.constant(axes, np.int64)], {}
    file.quant(file.add(kind, *inputs, keepdims=keep, **more), 0.25, 6)
    graph = proven(file, tmp_path)
    assert not any(operator.kind == "Gather" for operator in graph.operators)


def test_decisions_of_pixels(tmp_path):
    for kind, more in (("ArgMax", {"axis": 1}), ("ArgMin", {"axis": 1, "keepdims": 0})):
        file = Images((3, 5, 4), output_kind=7)
        file.add(kind, file.relu(file.conv(file.start(), 4, 3, 1, 1), bits=2), **more)
        graph = proven(file, tmp_path, kinds="Conv Requantize Top")
        assert graph.operators[-1].blocks == 20
    file = Images((3, 5, 4), output_kind=7)
    y = file.relu(file.conv(file.start(), 4, 3, 1, 1), bits=2)
    file.add("TopK", y, file.constant([2], np.int64), axis=1)
    file.nodes[-1].output[:] = ["values", "numbers"]
    graph = rtl4ml.load(file.save(tmp_path, "numbers"))
    assert [o.kind for o in graph.operators] == ["Conv", "Requantize", "Top"]


def refused(file, tmp_path, message, *outputs):
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        rtl4ml.load(file.save(tmp_path, *outputs))


def test_errors(tmp_path):
    file = Images((3, 6, 5))
    file.add("MaxPool", file.start(), kernel_shape=[2, 2])
    file.nodes[-1].output[:] = ["y", "places"]
    refused(
        file, tmp_path, "Indices of node 'MaxPool_1' (MaxPool) must not be used: hardware makes values only", "places"
    )
    file = Images((3, 6, 5))
    file.add("MaxPool", file.start(), kernel_shape=[2])
    refused(file, tmp_path, "Attribute 'kernel_shape' of node 'MaxPool_1' (MaxPool) must have 2 numbers, not 1")
    file = Images((2, 2, 2))
    x = file.quant("x", np.full((1, 2, 2, 2), 0.5) * [1, 2], 4)
    file.add("MaxPool", x, kernel_shape=[2, 2])
    refused(
        file,
        tmp_path,
        "Scales of input 't0' of node 'MaxPool_1' (MaxPool) must be one for all pixels or one for each channel, not "
        "differ between pixels",
    )
    file = Images((2, 5, 5))
    y = file.add("Neg", file.conv(file.start(), 4, 2, 3, 3))
    y = file.add("MaxPool", y, kernel_shape=[2, 2])
    finished(file, y, 4)
    refused(
        file,
        tmp_path,
        "Input 't4' of node 'Conv_6' (Conv) must be quantized: node 'MaxPool_4' (MaxPool) takes the maximum of values "
        "that fall while codes rise; put a Quant node behind it, or in front of it",
    )
    file = Images((2, 5, 5))
    y = file.add("Neg", file.conv(file.start(), 4, 2, 3, 3))
    y = file.add("Neg", file.add("MaxPool", y, kernel_shape=[2, 2]))
    file.quant(y, 0.5, 4)
    refused(
        file,
        tmp_path,
        "Operators between node 'MaxPool_4' (MaxPool) and node 'Quant_6' (Quant) must not fall for rising values, nor "
        "differ between pixels: values in front of the maximum fall while codes rise; put a Quant node in front of it",
    )
    file = Images((2, 5, 5))
    y = file.add("Mul", file.conv(file.start(), 4, 2, 3, 3), file.constant(file.random.uniform(1, 2, (3, 3))))
    file.quant(file.add("MaxPool", y, kernel_shape=[2, 2]), 0.5, 4)
    refused(
        file,
        tmp_path,
        "Constants in front of node 'MaxPool_4' (MaxPool) must not differ between pixels: put a Quant node in front of "
        "it",
    )
    file = Images((2, 5, 5))
    y = file.add("AveragePool", file.add("Relu", file.conv(file.start(), 4, 2, 3, 3)), kernel_shape=[2, 2])
    file.quant(y, 0.5, 4)
    refused(
        file,
        tmp_path,
        "Input 't3' of node 'AveragePool_4' (AveragePool) must be quantized, not real: put a Quant node in front of "
        "it, or move the node behind the last quantizer, where the host runs it",
    )
    file = Images((2, 5, 5))
    file.quant(file.add("AveragePool", file.start()), 0.5, 4)
    with pytest.raises(ModelError, match="kernel_shape"):
        rtl4ml.load(file.save(tmp_path))
    file = Images((2, 5, 5), opset=13)
    file.quant(file.add("ReduceMean", file.start(), axes=[0]), 0.5, 4)
    refused(file, tmp_path, "axes of node 'ReduceMean_1' (ReduceMean) must not hold the batch, 0")
