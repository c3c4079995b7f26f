"""Nodes of convolutional networks in the unmodified judge: the bits of qonnx, one by one or many at once."""

import numpy as np
import pytest
from onnx import helper

from rtl4ml.errors import ModelError
from rtl4ml.frontend.judge import Judge
from tests.frontend.judge_files import executed, model, same_bits

CHANNELS_LAST = "qonnx.custom_op.channels_last"


def assert_bits_of_qonnx(onnx_model, x):
    """x: samples with the batch of 1."""
    results = Judge(onnx_model).run(x[:, 0], ["y"])["y"]
    for i, context in enumerate(executed(onnx_model, x)):
        assert same_bits(results[i], context["y"])


def normal(*shape):
    return np.random.default_rng(12).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    "kind, shape, constants, attributes",
    [
        (
            "Conv",
            [1, 9, 7, 6],
            {"w": normal(4, 3, 3, 6), "b": normal(4)},
            {"kernel_shape": [3, 3], "strides": [2, 1], "dilations": [1, 2], "pads": [1, 0, 1, 1], "group": 1},
        ),
        (
            "Conv",
            [1, 9, 6],
            {"w": normal(6, 3, 1)},
            {"kernel_shape": [3], "strides": [1], "dilations": [1], "pads": [1, 1], "group": 6},
        ),
        ("MaxPool", [1, 9, 7, 6], {}, {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 0]}),
        ("MaxPool", [1, 9, 6], {}, {"kernel_shape": [2], "strides": [2], "pads": [0, 0]}),
        (
            "BatchNormalization",
            [1, 4, 5, 3],
            {"s": normal(3), "b": normal(3), "m": normal(3), "v": normal(3) ** 2 + 0.1},
            {"epsilon": 1e-5, "momentum": 0.9},
        ),
    ],
)
@pytest.mark.parametrize("version", [None, 1, 14])
def test_channels_last_nodes(kind, shape, constants, attributes, version):
    node = helper.make_node(kind, ["x", *constants], ["y"], domain=CHANNELS_LAST, **attributes)
    onnx_model = model([node], shape, constants)
    if kind == "BatchNormalization" and version != 14:
        with pytest.raises(ModelError, match="consumed_inputs"):  # nor does qonnx run the first version without it
            Judge(onnx_model)
        return
    if version:
        onnx_model.opset_import.append(helper.make_opsetid(CHANNELS_LAST, version))
    # qonnx does not infer the shape of an output that nothing declares.
    sizes = Judge(onnx_model).shapes["y"]
    onnx_model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", 1, sizes))
    assert_bits_of_qonnx(onnx_model, normal(3, *shape))


def test_channels_last_versions_that_qonnx_lacks():
    node = helper.make_node("Conv", ["x", "w"], ["y"], domain=CHANNELS_LAST, kernel_shape=[1], strides=[1])
    onnx_model = model([node], [1, 4, 2], {"w": normal(3, 1, 2)})
    onnx_model.opset_import.append(helper.make_opsetid(CHANNELS_LAST, 0))
    with pytest.raises(ModelError, match=r"node 'y' \(Conv\) must be in a version that qonnx has, not 0"):
        Judge(onnx_model)


@pytest.mark.parametrize(
    "kind, attributes",
    [
        ("MaxPool", {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1], "ceil_mode": 1}),
        ("MaxPool", {"kernel_shape": [2, 2], "dilations": [2, 2]}),
        ("GlobalMaxPool", {}),
        ("DepthToSpace", {"blocksize": 2}),
        ("SpaceToDepth", {"blocksize": 2}),
        ("BatchNormalization", {}),
    ],
)
def test_images_at_once_are_images_one_by_one(kind, attributes):
    constants = {}
    if kind == "BatchNormalization":
        constants = {"s": normal(8), "b": normal(8), "m": normal(8), "v": normal(8) ** 2 + 0.1}
    onnx_model = model([helper.make_node(kind, ["x", *constants], ["y"], **attributes)], [1, 8, 6, 10], constants)
    judge = Judge(onnx_model)
    assert judge.producers["y"].batched
    x = normal(40, 1, 8, 6, 10) * 2.0 ** np.random.default_rng(3).integers(-30, 30, (40, 1, 8, 6, 10))
    x[x < -1e6] = -0.0
    x = x.astype(np.float32)
    together = judge.run(x[:, 0])["y"]
    assert all(same_bits(a, judge.run(sample)["y"]) for a, sample in zip(together, x, strict=True))
    assert_bits_of_qonnx(onnx_model, x[:2])


@pytest.mark.parametrize(
    "kind, shape, weights",
    [
        ("Conv", [1, 64, 8, 8], [64, 64, 3, 3]),
        ("Conv", [1, 64, 128], [64, 64, 3]),
        ("ConvTranspose", [1, 32, 8, 8], [32, 16, 3, 3]),
        ("MatMul", [1, 8, 300], [300, 100]),
        ("Gemm", [8, 300], [300, 100]),
    ],
)
def test_sums_are_cut_as_qonnx_cuts_them(kind, shape, weights):
    """Several threads cut sums otherwise than one does, and several images otherwise than one."""
    onnx_model = model([helper.make_node(kind, ["x", "w"], ["y"])], shape, {"w": normal(*weights)})
    judge = Judge(onnx_model)
    assert not judge.producers["y"].batched
    x = normal(3, *shape)
    results = judge.run(x[:, 0] if shape[0] == 1 else x, ["y"])["y"]
    for i, context in enumerate(executed(onnx_model, x)):
        assert same_bits(results[i], context["y"])


def test_tensors_of_large_images_are_forgotten():
    nodes = [helper.make_node("Relu", ["x" if i == 0 else f"t{i}"], [f"t{i + 1}"]) for i in range(12)]
    judge = Judge(model(nodes, [1, 4, 1024, 1024], {}, ["t12"]))
    x = normal(1, 4, 1024, 1024)
    # Only views of single zeros are kept of the tensors of the first run.
    assert all(0 in array.strides for name, array in judge._sample.items() if name not in judge.constants)
    assert (judge.run(x, ["t12"])["t12"] == np.maximum(x, 0)).all()
