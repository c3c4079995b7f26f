"""Conv, ConvTranspose and products of several vectors against both judges."""

import re

import numpy as np
import pytest

import rtl4ml
from rtl4ml.errors import ModelError
from tests.frontend.images import CHANNELS_LAST, Images, proven

CASES = {
    "plain": ((3, 7, 6), 4, 3, (3, 3), {}),
    "same pads": ((3, 7, 6), 4, 3, (3, 3), {"pads": [1, 1, 1, 1]}),
    "asymmetric pads": ((2, 7, 6), 4, 2, (3, 2), {"pads": [0, 1, 2, 0]}),
    "stride": ((2, 9, 8), 4, 2, (3, 3), {"strides": [2, 3], "pads": [1, 0, 0, 1]}),
    "dilation": ((2, 9, 8), 4, 2, (3, 3), {"dilations": [2, 3], "pads": [2, 3, 2, 3]}),
    "dilation and stride": ((2, 11, 9), 3, 2, (2, 3), {"dilations": [3, 2], "strides": [2, 1]}),
    "groups": ((4, 5, 5), 6, 2, (3, 3), {"group": 2, "pads": [1, 1, 1, 1]}),
    "depthwise": ((4, 5, 5), 4, 1, (3, 3), {"group": 4, "pads": [1, 1, 1, 1]}),
    "depthwise multiplier 2": ((4, 5, 5), 8, 1, (3, 3), {"group": 4}),
    "pointwise": ((5, 4, 3), 7, 5, (1, 1), {}),
    "SAME_UPPER": ((2, 7, 6), 4, 2, (3, 4), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "SAME_LOWER": ((2, 7, 6), 4, 2, (2, 4), {"auto_pad": "SAME_LOWER", "strides": [1, 2]}),
    "VALID": ((2, 7, 6), 4, 2, (2, 4), {"auto_pad": "VALID", "kernel_shape": [2, 4]}),
    "one dimension": ((3, 11), 4, 3, (3,), {"pads": [1, 1], "strides": [2]}),
    "one channel": ((1, 6, 5), 3, 1, (3, 3), {"pads": [1, 1, 1, 1]}),
    "one pixel": ((4, 1, 1), 3, 4, (1, 1), {}),
    "three dimensions, one of 1": ((2, 1, 6, 5), 3, 2, (1, 3, 3), {"pads": [0, 1, 1, 0, 1, 1]}),
    "the last dimension of 1": ((2, 6, 5, 1), 3, 2, (3, 3, 1), {}),
    "kernel of the image": ((2, 4, 3), 5, 2, (4, 3), {}),
}


@pytest.mark.parametrize("bias", [False, True], ids=["", "bias"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_attributes(tmp_path, case, bias):
    shape, outputs, channels, kernel, attributes = case
    file = Images(shape)
    y = file.conv(file.start(), outputs, channels, *kernel, bias=bias, **attributes)
    file.relu(y)
    graph = proven(file, tmp_path, kinds="Conv Requantize")
    assert graph.input_tensor.shape[-1] == shape[0]


def test_bias_on_the_grid_joins_the_accumulator(tmp_path):
    file = Images((2, 5, 5))
    y = file.add("Conv", file.start(), file.kernel(3, 2, 3, 3), file.constant([0.5, -1.0, 3 / 32]))
    file.relu(y)
    graph = proven(file, tmp_path)
    assert graph.operators[0].bias.tolist() == [16, -32, 3]


def test_an_add_behind_it_joins_the_accumulator(tmp_path):
    file = Images((2, 5, 5))
    y = file.conv(file.start(), 3, 2, 3, 3)
    file.relu(file.add("Add", y, file.constant(np.reshape([0.5, -1.0, 3 / 32], (3, 1, 1)))))
    graph = proven(file, tmp_path)
    assert graph.operators[0].bias.tolist() == [16, -32, 3]


@pytest.mark.parametrize("zero", [0.0, 5.0])
@pytest.mark.parametrize("signed", [0, 1])
def test_zero_points_and_padding(tmp_path, zero, signed):
    """Padding is the value 0, whatever its code."""
    file = Images((2, 6, 5))
    x = file.start(0.3, 4, zero, signed=signed)
    file.relu(file.conv(x, 4, 2, 3, 3, pads=[1, 0, 2, 1]), 0.7)
    graph = proven(file, tmp_path)
    assert int(graph.input_tensor.format.zero_point) == zero


def test_zero_points_of_channels(tmp_path):
    file = Images((3, 6, 5))
    x = file.start(0.3, 4, np.reshape([1.0, -2.0, 3.0], (1, 3, 1, 1)))
    file.relu(file.conv(x, 4, 3, 3, 3, pads=[1, 1, 1, 1]), 0.7)
    assert proven(file, tmp_path).input_tensor.format.zero_point.tolist() == [1, -2, 3]


def test_scales_of_outputs(tmp_path):
    file = Images((2, 6, 5))
    w = file.kernel(4, 2, 3, 3, scale=np.reshape([0.1, 0.2, 0.3, 0.17], (4, 1, 1, 1)))
    file.relu(file.add("Conv", file.start(0.3), w), 0.7)
    graph = proven(file, tmp_path)
    assert graph.tensors[graph.operators[0].output].format.scale.shape == (4,)


def test_scales_of_input_channels_that_differ_by_powers_of_two(tmp_path):
    file = Images((3, 6, 5))
    x = file.start(np.reshape([0.3, 0.6, 1.2], (1, 3, 1, 1)))
    file.relu(file.conv(x, 4, 3, 3, 3, pads=[1, 1, 1, 1]), 0.7)
    graph = proven(file, tmp_path)
    assert graph.input_tensor.format.scale.shape == (3,)


def test_any_scales_of_input_channels_where_none_are_added(tmp_path):
    file = Images((3, 6, 5))
    x = file.start(np.reshape([0.31, 0.6, 1.7], (1, 3, 1, 1)))
    file.relu(file.conv(x, 6, 1, 3, 3, group=3, pads=[1, 1, 1, 1]), 0.7)
    proven(file, tmp_path)


def test_an_exact_function_of_codes_in_front(tmp_path):
    """Gain and offset join weights and bias; the offset is part of the zero point where there is padding."""
    for pads in ([0, 0, 0, 0], [1, 1, 1, 1]):
        file = Images((2, 6, 5))
        x = file.add("Add", file.start(0.25), file.constant(0.5))
        file.relu(file.conv(file.add("Mul", x, file.constant(0.5)), 4, 2, 3, 3, pads=pads))
        proven(file, tmp_path)


def test_batch_normalization_and_functions_of_channels(tmp_path):
    file = Images((2, 6, 5))
    y = file.conv(file.start(0.3), 4, 2, 3, 3, bias=True)
    r = file.random
    numbers = [r.uniform(0.5, 2, 4) * r.choice([-1, 1], 4), r.normal(size=4), r.normal(size=4), r.uniform(0.5, 2, 4)]
    y = file.add("BatchNormalization", y, *map(file.constant, numbers))
    y = file.add("PRelu", y, file.constant(np.reshape([0.1, 0.2, 0.3, 0.4], (4, 1, 1))))
    file.quant(y, np.reshape([0.3, 0.4, 0.5, 0.6], (1, 4, 1, 1)), 4)
    graph = proven(file, tmp_path, kinds="Conv Requantize")
    assert graph.operators[1].staircase.rows == 4


def test_three_files_one_graph(tmp_path):
    """Channels first, channels last with Transpose, and qonnx's channels-last operators."""
    first = Images((3, 6, 5), seed=4)
    first.relu(first.add("Conv", first.start(0.25), first.kernel(4, 3, 3, 3), pads=[1, 1, 1, 1]))
    turned = Images((6, 5, 3), seed=4)
    x = turned.add("Transpose", turned.start(0.25), perm=[0, 3, 1, 2])
    y = turned.relu(turned.add("Conv", x, turned.kernel(4, 3, 3, 3), pads=[1, 1, 1, 1]))
    turned.add("Transpose", y, perm=[0, 2, 3, 1])
    last = Images((6, 5, 3), seed=4, imports={CHANNELS_LAST: 1, "qonnx.custom_op.general": 1})
    w = last.weights(np.moveaxis(last.random.normal(size=(4, 3, 3, 3)), 1, -1), 0.25, 4)
    same = {"pads": [1, 1, 1, 1], "strides": [1, 1], "dilations": [1, 1], "group": 1, "kernel_shape": [3, 3]}
    last.relu(last.add("Conv", last.start(0.25), w, domain=CHANNELS_LAST, **same))
    graphs = [proven(file, tmp_path, kinds="Conv Requantize") for file in (first, turned, last)]
    for graph in graphs:
        assert graph.input_tensor.shape == (6, 5, 3)
        assert np.array_equal(graph.operators[0].weights, graphs[0].operators[0].weights)
    codes = np.random.default_rng(0).integers(-8, 8, (3, 90))
    results = [graph.evaluate(codes)[graph.output] for graph in graphs]
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_matmul_of_pixels(tmp_path):
    file = Images((6, 5, 3))
    y = file.add("MatMul", file.start(), file.kernel(3, 4))
    file.relu(file.add("Add", y, file.constant(file.random.normal(size=4))))
    graph = proven(file, tmp_path, kinds="Conv Requantize")
    assert graph.output_tensor.shape == (6, 5, 4)


def test_matmul_of_steps_in_time(tmp_path):
    file = Images((7, 3))
    file.relu(file.add("MatMul", file.start(), file.kernel(3, 4)))
    assert proven(file, tmp_path, kinds="Conv Requantize").output_tensor.shape == (7, 4)


def test_gemm_of_rows(tmp_path):
    file = Images((7, 3))
    x = file.add("Reshape", file.start(), file.constant([7, 3], np.int64))
    y = file.add("Gemm", x, file.kernel(4, 3), file.constant(file.random.normal(size=4)), transB=1, alpha=0.5)
    file.relu(file.add("Reshape", y, file.constant([1, 7, 4], np.int64)))
    proven(file, tmp_path, kinds="Conv Requantize")


def test_flatten_into_gemm(tmp_path):
    """Rows of the matrix stand in the file's order of channels."""
    file = Images((2, 6, 5))
    y = file.relu(file.conv(file.start(), 3, 2, 3, 3))
    file.add("Gemm", file.add("Flatten", y), file.kernel(36, 5))
    proven(file, tmp_path, kinds="Conv Requantize Dense")


def test_a_tensor_with_eight_consumers(tmp_path):
    file = Images((2, 6, 5))
    x = file.start()
    ends = [file.relu(file.conv(x, 2, 2, 3, 3)) for _ in range(8)]
    file.add("Concat", *ends, axis=1)
    graph = proven(file, tmp_path)
    assert len(graph.consumers(graph.input)) == 8


def test_an_input_format_in_front(tmp_path):
    file = Images((2, 6, 5))
    file.relu(file.conv("x", 4, 2, 3, 3, pads=[1, 1, 1, 1]))
    graph = proven(file, tmp_path, input_format="fixed<6,2>")
    assert graph.input_tensor.shape == (6, 5, 2)


def refused(file, tmp_path, message):
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        rtl4ml.load(file.save(tmp_path))


def test_errors(tmp_path):
    file = Images((2, 3, 6, 5))
    file.conv(file.start(), 3, 2, 3, 3, 3)
    refused(
        file,
        tmp_path,
        "Input 't0' of node 'Conv_2' (Conv) must have 1 or 2 spatial dimensions, or more where all but 2 are 1 with a "
        "kernel of 1, not shape [1, 2, 3, 6, 5]: convolutions in three dimensions have no hardware",
    )
    file = Images((3, 6, 5))
    file.conv(file.start(np.reshape([0.31, 0.6, 1.7], (1, 3, 1, 1))), 4, 3, 3, 3)
    refused(
        file,
        tmp_path,
        "Scales of input 't0' of node 'Conv_2' (Conv) must be equal along the dimension that is summed, or differ by "
        "powers of two",
    )
    file = Images((3, 6, 5))
    file.conv(file.start(), 4, 2, 3, 3)
    refused(
        file,
        tmp_path,
        "Input of node 'Conv_2' (Conv) must have 2 channels, 2 for each of its 1 groups, not 3",
    )
    file = Images((3, 6, 5))
    file.conv(file.start(), 4, 1, 3, 3, group=3)
    refused(file, tmp_path, "Outputs of node 'Conv_2' (Conv) must split into its 3 groups, not be 4")
    file = Images((3, 6, 5))
    file.conv(file.start(), 4, 3, 3, 3, strides=[1])
    refused(file, tmp_path, "Attribute 'strides' of node 'Conv_2' (Conv) must have 2 numbers, not 1")
    file = Images((3, 6, 5))
    file.conv(file.start(), 4, 3, 3, 3, auto_pad="SAME")
    refused(
        file,
        tmp_path,
        "auto_pad of node 'Conv_2' (Conv) must be NOTSET, VALID, SAME_UPPER or SAME_LOWER, not 'SAME'",
    )
    file = Images((3, 6, 5))
    file.conv(file.start(), 4, 3, 7, 3)
    refused(
        file,
        tmp_path,
        "Node 'Conv_2' (Conv) must have a window that fits: Kernel of a window must fit its padded image of 6 x 5, not "
        "reach over 7 x 3",
    )
    file = Images((3, 6, 5))
    file.conv(file.start(), 4, 3, 3, 3, kernel_shape=[3, 2])
    refused(file, tmp_path, "kernel_shape of node 'Conv_2' (Conv) must be that of the weights, [3, 3], not [3, 2]")
    file = Images((3, 6, 5))
    file.add("Conv", file.start(), file.kernel(4, 3, 3, 3), file.constant([1.0, 2.0]))
    refused(file, tmp_path, "Bias of node 'Conv_2' (Conv) must have 4 elements, not 2")
    file = Images((3, 6))
    file.conv(file.start(), 4, 3, 3, 3)
    refused(file, tmp_path, "Kernel of node 'Conv_2' (Conv) must have 1 dimensions, as its input has, not 2")
    file = Images((2, 6, 5))
    x = file.add("Add", file.start(0.25), file.constant(0.125))
    file.conv(x, 4, 2, 3, 3, pads=[1, 1, 1, 1])
    refused(
        file,
        tmp_path,
        "Input 't1' of node 'Conv_3' (Conv) must have a code for 0, since it is padded: put a Quant node in front of "
        "it",
    )
    file = Images((2, 2, 2))
    x = file.quant("x", np.full((1, 2, 2, 2), 0.5) * [1, 2], 4)
    file.conv(x, 3, 2, 1, 1)
    refused(
        file,
        tmp_path,
        "Scales of input 't0' of node 'Conv_2' (Conv) must be one for all pixels or one for each channel, not differ "
        "between pixels",
    )


TRANSPOSED = {
    "stride 2": ((2, 4, 3), 3, (2, 2), {"strides": [2, 2]}),
    "stride 2, kernel 3": ((2, 4, 3), 3, (3, 3), {"strides": [2, 2]}),
    "cropped": ((2, 4, 3), 3, (4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "asymmetric": ((2, 4, 3), 3, (4, 3), {"strides": [2, 3], "pads": [2, 0, 1, 1]}),
    "cropped far": ((2, 5, 5), 3, (2, 2), {"strides": [1, 1], "pads": [2, 2, 2, 2]}),
    "output padding": ((2, 4, 3), 3, (3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
    "output shape": ((2, 4, 3), 3, (3, 3), {"strides": [2, 2], "output_shape": [8, 6]}),
    "SAME_UPPER": ((2, 4, 3), 3, (3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "SAME_LOWER": ((2, 4, 3), 3, (3, 4), {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    "dilation": ((2, 4, 3), 3, (3, 2), {"strides": [2, 2], "dilations": [2, 3]}),
    "stride 3, kernel 2": ((2, 4, 3), 3, (2, 2), {"strides": [3, 3]}),
    "groups": ((4, 4, 3), 3, (3, 3), {"strides": [2, 2], "group": 2}),
    "depthwise": ((4, 4, 3), 1, (2, 2), {"strides": [2, 2], "group": 4}),
    "stride 1": ((2, 4, 3), 3, (3, 3), {"pads": [1, 1, 1, 1]}),
    "one dimension": ((2, 7), 3, (4,), {"strides": [2], "pads": [1, 1]}),
}


@pytest.mark.parametrize("bias", [False, True], ids=["", "bias"])
@pytest.mark.parametrize("case", TRANSPOSED.values(), ids=TRANSPOSED.keys())
def test_transposed(tmp_path, case, bias):
    shape, each, kernel, attributes = case
    file = Images(shape)
    outputs = each * attributes.get("group", 1)
    w = file.kernel(
        shape[0],
        each,
        *kernel,
        scale=0.25 if bias else np.reshape(0.25 * 2.0 ** np.arange(each), (1, -1, *(1,) * len(kernel))),
    )
    inputs = [file.start(0.25, 4, 3.0), w, *([file.constant(file.random.normal(size=outputs))] if bias else [])]
    file.relu(file.add("ConvTranspose", *inputs, **attributes))
    graph = proven(file, tmp_path)
    assert [o.kind for o in graph.operators] in (["Conv", "Requantize", "Gather"], ["Conv", "Requantize"])
