"""Codes behind operators that only carry them, seen through a product with the identity."""

import numpy as np
import pytest
from onnx import helper

from rtl4ml.frontend.judge import Judge, StrictJudge
from tests.frontend.judge_files import model, quant

SHAPE = (1, 4, 6, 5)


def through(nodes, constants=None, outputs=("y",), scale=0.25, zero_point=3, shape=SHAPE, opset=18):
    """x -> Quant xq -> nodes -> outputs, each of which is multiplied by 1 in the last dimension.

    Runs both judges on 3 samples, whose results must agree, and returns (codes of xq, numbers, values) by output.
    """
    node, values = quant("x", "xq", scale, 8, zero_point=zero_point)
    values.update({name: np.asarray(value) for name, value in (constants or {}).items()})
    probe = Judge(model([node, *nodes], list(shape), values, list(outputs), opset))
    tail = []
    for name in outputs:
        values[f"{name}_one"] = np.eye(probe.shapes[name][-1], dtype=np.float32)
        tail.append(helper.make_node("MatMul", [name, f"{name}_one"], [f"{name}_sum"]))
    onnx_model = model([node, *nodes, *tail], list(shape), values, [n.output[0] for n in tail], opset)
    strict, judge = StrictJudge(onnx_model), Judge(onnx_model)
    assert not strict.refused
    x = (np.random.default_rng(1).normal(size=(3, *shape[1:])) * 8).astype(np.float32)
    tensors, codes = strict.run(x)
    expected = judge.run(x)
    for name in outputs:
        assert (tensors[name] == expected[name]).all()
        assert (tensors[f"{name}_sum"] == expected[f"{name}_sum"]).all()
    numbers = {name: codes[f"{name}_sum"].reshape(expected[name].shape) for name in outputs}
    # What the executor gives is what the codes mean.
    for name, value in numbers.items():
        at = strict.grids[f"{name}_sum"].scale
        assert (value * at.reshape(expected[name].shape[1:]) == expected[name]).all()
    return codes["xq"], numbers, strict


def make(kind, inputs=("xq",), outputs=("y",), **attributes):
    return helper.make_node(kind, list(inputs), list(outputs), **attributes)


@pytest.mark.parametrize(
    "kind, inputs, constants, attributes",
    [
        ("Transpose", [], {}, {"perm": [0, 2, 3, 1]}),
        ("Reshape", ["s"], {"s": np.array([1, 8, 15])}, {}),
        ("Slice", ["b", "e", "a", "s"], {"b": [4, 0], "e": [-9, 4], "a": [2, 1], "s": [-2, 3]}, {}),
        ("Gather", ["i"], {"i": np.array([3, 0, 0])}, {"axis": 1}),
        ("Expand", ["s"], {"s": np.array([1, 4, 6, 5])}, {}),
        ("Tile", ["r"], {"r": np.array([1, 1, 2, 3])}, {}),
        ("DepthToSpace", [], {}, {"blocksize": 2}),
        ("DepthToSpace", [], {}, {"blocksize": 2, "mode": "CRD"}),
        ("Pad", ["p"], {"p": np.array([0, 0, 1, 2, 0, 0, 0, 1])}, {}),
        ("Pad", ["p", "v"], {"p": np.array([0, 1, 0, 0, 0, 0, 2, 0]), "v": np.float32(-1.75)}, {}),
        ("Pad", ["p"], {"p": np.array([0, 0, 1, 2, 0, 0, 2, 1])}, {"mode": "reflect"}),
        ("Pad", ["p"], {"p": np.array([0, 0, -1, 2, 0, 0, 2, -1])}, {"mode": "edge"}),
        ("Resize", ["", "f"], {"f": np.array([1, 1, 2, 3], np.float32)}, {"mode": "nearest"}),
        ("Resize", ["", "f"], {"f": np.array([1, 1, 0.5, 1.4], np.float32)}, {"nearest_mode": "ceil"}),
        ("Resize", ["", "", "n"], {"n": np.array([1, 4, 12, 15])}, {"coordinate_transformation_mode": "asymmetric"}),
        ("Relu", [], {}, {}),
        ("GlobalMaxPool", [], {}, {}),
        ("MaxPool", [], {}, {"kernel_shape": [2, 2]}),
        ("MaxPool", [], {}, {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1], "ceil_mode": 1}),
        ("MaxPool", [], {}, {"kernel_shape": [3, 2], "strides": [2, 1], "auto_pad": "SAME_UPPER"}),
        ("MaxPool", [], {}, {"kernel_shape": [2, 3], "strides": [2, 1], "auto_pad": "SAME_LOWER"}),
        ("MaxPool", [], {}, {"kernel_shape": [2, 2], "dilations": [2, 3]}),
    ],
)
@pytest.mark.parametrize("zero_point", [0, 3])
def test_single_operators(kind, inputs, constants, attributes, zero_point):
    constants = {
        n: np.asarray(v, None if isinstance(v, np.ndarray | np.generic) else np.int64) for n, v in constants.items()
    }
    through([make(kind, ["xq", *inputs], **attributes)], constants, zero_point=zero_point)


def test_space_to_depth_and_one_dimension():
    through([make("SpaceToDepth", blocksize=2)], shape=(1, 3, 4, 6))
    through([make("MaxPool", kernel_shape=[3], strides=[2])], shape=(1, 3, 9))
    through([make("MaxPool", kernel_shape=[2, 2, 2], strides=[2, 1, 2])], shape=(1, 2, 4, 3, 5))


def test_chains_with_several_users():
    """Split, both parts used; Concat with a constant and with itself; all of it behind a pool."""
    nodes = [
        make("MaxPool", outputs=["p"], kernel_shape=[2, 2]),
        make("Split", ["p"], ["a", "b"], axis=1, num_outputs=2),
        make("Concat", ["b", "k", "a", "b"], axis=1),
        make("Concat", ["a", "a"], ["z"], axis=3),
    ]
    codes, numbers, _ = through(nodes, {"k": np.full((1, 1, 5, 4), -1.5, np.float32)}, ("y", "z"))
    pooled = np.stack([codes[..., i : i + 5, j : j + 4] for i in (0, 1) for j in (0, 1)]).max(axis=0) - 3
    a, b = pooled[:, :2], pooled[:, 2:]
    assert (numbers["z"] == np.concatenate([a, a], axis=3)).all()
    # The constant lies on a grid of its own: -3 * 0.5.
    assert (numbers["y"] == np.concatenate([b, np.full((3, 1, 5, 4), -3), a, b], axis=1)).all()


def test_scales_of_channels_go_with_their_channels():
    scale = np.array([0.25, 0.5, 1.0, 0.125], np.float32).reshape(1, 4, 1, 1)
    nodes = [
        make("Pad", ["xq", "p"], ["a"]),
        make("MaxPool", ["a"], ["b"], kernel_shape=[2, 2]),
        make("Gather", ["b", "i"], axis=1),
    ]
    constants = {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "i": np.array([3, 1])}
    _, _, strict = through(nodes, constants, scale=scale, zero_point=0)
    assert strict.grids["y_sum"].scale[0, :, 0, 0].tolist() == [0.125, 0.5]


def test_upsample_of_old_files():
    factors = {"f": np.array([1, 1, 2, 3], np.float32)}
    codes, numbers, _ = through([make("Upsample", ["xq", "f"], mode="nearest")], factors, opset=9)
    assert (numbers["y"] == np.repeat(np.repeat(codes - 3, 2, axis=2), 3, axis=3)).all()


def channels_last(kind, inputs, outputs, **attributes):
    return make(kind, inputs, outputs, domain="qonnx.custom_op.channels_last", **attributes)


def test_channels_last_pool():
    pool = channels_last("MaxPool", ["xq"], ["y"], kernel_shape=[2, 3], strides=[2, 1], pads=[0, 1, 0, 1])
    codes, numbers, _ = through([pool], shape=(1, 4, 6, 5))
    padded = np.pad(codes - 3, [(0, 0), (0, 0), (1, 1), (0, 0)], constant_values=-999)
    expected = np.stack([padded[:, i::2, j : j + 6] for i in (0, 1) for j in (0, 1, 2)]).max(axis=0)
    assert (numbers["y"] == expected).all()


@pytest.mark.parametrize(
    "nodes, constants, reason",
    [
        ([make("Sigmoid")], {}, "operand 'y' has no quantizer"),
        ([make("Pad", ["xq", "p", "v"])], {"p": np.array([0, 0, 1, 0] * 2), "v": np.float32(0.1)}, "not on their grid"),
        ([make("Abs", outputs=["q"]), make("Concat", ["xq", "q"], axis=1)], {}, "operand 'q' has no quantizer"),
        (
            [make("Resize", ["xq", "", "f"], mode="cubic")],
            {"f": np.array([1, 1, 2, 2], np.float32)},
            "'y' interpolates",
        ),
    ],
)
def test_what_does_not_carry_codes(nodes, constants, reason):
    node, values = quant("x", "xq", 0.25, 8)
    values.update(constants, w=np.ones((1, 8 if nodes[-1].op_type == "Concat" else 4, 1, 1), np.float32))
    conv = helper.make_node("Conv", ["y", "w"], ["z"])
    strict = StrictJudge(model([node, *nodes, conv], list(SHAPE), values, ["z"]))
    assert reason in strict.refused["z"]


def test_negative_scales_turn_the_order_around():
    node, values = quant("x", "xq", -0.25, 8)
    values["w"] = np.ones((1, 4, 1, 1), np.float32)
    for kind, attributes in (("Relu", {}), ("MaxPool", {"kernel_shape": [2, 2]})):
        nodes = [node, make(kind, **attributes), helper.make_node("Conv", ["y", "w"], ["z"])]
        assert StrictJudge(model(nodes, list(SHAPE), values, ["z"])).refused == {"z": "its scale must be positive"}


@pytest.mark.parametrize("quantized", [True, False])
def test_deep_shuffles_are_followed_once(quantized):
    """Each level has two users of the one before."""
    node, values = quant("x", "xq", 0.25, 8)
    nodes, name = [node], "xq" if quantized else "x"
    for i in range(25):
        nodes.append(make("Split", [name], [f"a{i}", f"b{i}"], axis=1, num_outputs=2))
        nodes.append(make("Concat", [f"b{i}", f"a{i}"], [f"s{i}"], axis=1))
        name = f"s{i}"
    values["w"] = np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1)
    strict = StrictJudge(model([*nodes, make("Conv", [name, "w"])], list(SHAPE), values, ["y", "xq"]))
    assert (strict.products == ("y",)) == quantized
    if quantized:
        _, codes = strict.run(np.random.default_rng(5).normal(size=(2, *SHAPE[1:])).astype(np.float32))
        assert (codes["y"][:, 0] == (codes["xq"][:, [2, 3, 0, 1]] * values["w"]).sum(axis=1)).all()
