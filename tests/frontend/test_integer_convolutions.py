"""ConvInteger and QLinearConv: integers in the file, the same integers in hardware."""

import re

import numpy as np
import onnx
import pytest

import rtl4ml
from rtl4ml.errors import ModelError
from tests.frontend.images import Images
from tests.frontend.qdq_files import QdqFile, draw, session


class Integers(Images, QdqFile):
    """A file of images with ONNX's own quantizers."""


def exact(file, folder, x_kind, low, high):
    """Codes of the graph and of onnxruntime, whose sums stay in 16 bits here, are the same."""
    path = file.save(folder)
    graph = rtl4ml.load(path)
    codes = np.random.default_rng(1).integers(low, high + 1, (6, graph.input_tensor.size))
    ours = graph.evaluate(codes)[graph.output][:, graph.layouts[graph.output].reshape(-1)]
    in_file = codes[:, graph.prologue.order].reshape(6, *graph.input_shape).astype(x_kind)
    run = session(onnx.load(path))
    theirs = [run.run(None, {"x": x[None]})[0].reshape(-1) for x in in_file]
    assert np.array_equal(ours, np.stack(theirs))
    return graph


@pytest.mark.parametrize("zeros", [(0, 0), (3, 2)])
@pytest.mark.parametrize("per_channel", [False, True])
def test_qlinear_conv(tmp_path, zeros, per_channel):
    file = Integers((2, 6, 5), kind=onnx.TensorProto.UINT8, output_kind=onnx.TensorProto.UINT8)
    w_scale = file.random.uniform(0.01, 0.03, 4) if per_channel else 0.02
    w_zero = np.full(4, 0) if per_channel else zeros[1]
    inputs = [
        "x",
        file.constant(0.1),
        file.constant(zeros[0], np.uint8),
        file.constant(file.random.integers(-20, 21, (4, 2, 3, 3)), np.int8),
        file.constant(w_scale),
        file.constant(w_zero, np.int8),
        file.constant(0.07),
        file.constant(100, np.uint8),
        file.constant(file.random.integers(-300, 300, 4), np.int32),
    ]
    file.add("QLinearConv", *inputs, pads=[1, 0, 2, 1], strides=[1, 2])
    graph = exact(file, tmp_path, np.uint8, 0, 60)
    assert [o.kind for o in graph.operators][-2:] == ["Conv", "Requantize"]


def test_conv_integer(tmp_path):
    file = Integers((2, 6, 5), kind=onnx.TensorProto.UINT8)
    w = file.constant(file.random.integers(-20, 21, (4, 2, 3, 3)), np.int8)
    y = file.add("ConvInteger", "x", w, file.constant(7, np.uint8), pads=[1, 1, 1, 1])
    file.add("Mul", file.add("Cast", y, to=1), file.constant(0.125))
    path = file.save(tmp_path)
    graph = rtl4ml.load(path)
    codes = np.random.default_rng(1).integers(0, 60, (4, 60))
    x = codes[:, graph.prologue.order].reshape(4, 2, 6, 5).astype(np.uint8)
    theirs = np.concatenate([session(onnx.load(path)).run(None, {"x": one[None]})[0] for one in x])
    design_values = rtl4ml.frontend.border.decode(graph, graph.evaluate(codes)[graph.output])
    assert np.array_equal(design_values, theirs)


def refused(file, folder, message):
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        rtl4ml.load(file.save(folder))


def test_errors(tmp_path):
    file = Integers((2, 6, 5), kind=onnx.TensorProto.UINT8, output_kind=onnx.TensorProto.INT32)
    file.add("ConvInteger", "x", file.constant(draw(file.random, "int8", (4, 2)), np.int8))
    refused(
        file,
        tmp_path,
        "Weights of node 'ConvInteger_0' (ConvInteger) must be int8 or uint8 with 3 dimensions or more, not int8 of "
        "shape [4, 2]",
    )
    file = Integers((2, 6, 5), kind=onnx.TensorProto.UINT8, output_kind=onnx.TensorProto.INT32)
    w = file.constant(draw(file.random, "int8", (4, 2, 3, 3)), np.int8)
    file.add("ConvInteger", w, "x")
    refused(
        file,
        tmp_path,
        "Node 'ConvInteger_0' (ConvInteger) must slide constant weights over the network's activations, not others",
    )
    file = Integers((2, 6, 5), kind=onnx.TensorProto.UINT8, output_kind=onnx.TensorProto.UINT8)
    names = [
        *("x", file.constant(0.1), file.constant(0, np.uint8)),
        file.constant(draw(file.random, "int8", (4, 2, 3, 3)), np.int8),
        *(file.constant(0.1), file.constant(0, np.int8), file.constant(0.1), file.constant(0, np.uint8)),
        file.constant([1, 2], np.int32),
    ]
    file.add("QLinearConv", *names)
    refused(file, tmp_path, "Bias of node 'QLinearConv_0' (QLinearConv) must have 4 elements of int32, not 2 of int32")
