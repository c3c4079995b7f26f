"""What moves pixels and channels, and what joins images, against both judges."""

import re
import time

import numpy as np
import pytest

import rtl4ml
from rtl4ml.errors import ModelError
from tests.frontend.images import Images, proven


def finished(file, x, channels):
    """A convolution behind, so that formats and layouts are used."""
    return file.relu(file.conv(x, 3, channels, 1, 1))


def started(shape=(4, 4, 6), scale=0.5, zero=0.0, **options):
    """A convolution, quantized: its output is no input of the graph."""
    file = Images(shape, **options)
    y = file.conv(file.start(), shape[0], shape[0], 3, 3, pads=[1, 1, 1, 1])
    return file, file.quant(y, scale, 4, zero)


MOVES = {
    "DepthToSpace DCR": (lambda f, x: f.add("DepthToSpace", x, blocksize=2), 1),
    "DepthToSpace CRD": (lambda f, x: f.add("DepthToSpace", x, blocksize=2, mode="CRD"), 1),
    "SpaceToDepth": (lambda f, x: f.add("SpaceToDepth", x, blocksize=2), 16),
    "transposed image": (lambda f, x: f.add("Transpose", x, perm=[0, 1, 3, 2]), 4),
    "channel shuffle": (
        lambda f, x: f.add(
            "Reshape",
            f.add("Transpose", f.add("Reshape", x, f.constant([1, 2, 2, 4, 6], np.int64)), perm=[0, 2, 1, 3, 4]),
            f.constant([1, 4, 4, 6], np.int64),
        ),
        4,
    ),
    "Slice of pixels": (
        lambda f, x: f.add("Slice", x, *(f.constant(v, np.int64) for v in ([1, 0], [4, 5], [2, 3], [2, 1]))),
        4,
    ),
    "Slice of channels": (
        lambda f, x: f.add("Slice", x, *(f.constant(v, np.int64) for v in ([1], [4], [1]))),
        3,
    ),
    "backwards": (
        lambda f, x: f.add("Slice", x, *(f.constant(v, np.int64) for v in ([-1], [-9], [3], [-1]))),
        4,
    ),
    "Gather of channels": (lambda f, x: f.add("Gather", x, f.constant([3, 0, 0], np.int64), axis=1), 3),
    "Tile": (lambda f, x: f.add("Tile", x, f.constant([1, 2, 1, 2], np.int64)), 8),
    "nearest": (lambda f, x: f.add("Resize", x, "", f.constant([1, 1, 2, 3])), 4),
    "nearest by sizes": (lambda f, x: f.add("Resize", x, "", "", f.constant([1, 4, 7, 9], np.int64)), 4),
    "nearest, fewer pixels": (
        lambda f, x: f.add("Resize", x, "", f.constant([1, 1, 0.5, 0.5]), coordinate_transformation_mode="asymmetric"),
        4,
    ),
    "align_corners": (
        lambda f, x: f.add(
            "Resize",
            x,
            "",
            f.constant([1, 1, 2, 2]),
            coordinate_transformation_mode="align_corners",
            nearest_mode="ceil",
        ),
        4,
    ),
    "reflected border": (
        lambda f, x: f.add("Pad", x, f.constant([0, 0, 1, 2, 0, 0, 2, 1], np.int64), mode="reflect"),
        4,
    ),
    "copied border": (
        lambda f, x: f.add("Pad", x, f.constant([0, 0, 1, 2, 0, 0, 2, 1], np.int64), mode="edge"),
        4,
    ),
    "constant border": (
        lambda f, x: f.add("Pad", x, f.constant([0, 0, 1, 2, 0, 0, 2, 1], np.int64), f.constant(1.5)),
        4,
    ),
    "constant channels": (
        lambda f, x: f.add("Pad", x, f.constant([0, 1, 0, 0, 0, 2, 0, 0], np.int64), f.constant(0.0)),
        7,
    ),
    "cut border": (lambda f, x: f.add("Pad", x, f.constant([0, 0, -1, 0, 0, 0, 1, -2], np.int64)), 4),
    "border of some axes": (
        lambda f, x: f.add("Pad", x, f.constant([1, 2, 0, 1], np.int64), "", f.constant([3, 2], np.int64)),
        4,
    ),
}


@pytest.mark.parametrize("zero", [0.0, 2.0])
@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES.keys())
def test_moves_of_codes(tmp_path, move, zero):
    function, channels = move
    file, x = started(zero=zero)
    finished(file, function(file, x), channels)
    proven(file, tmp_path)


@pytest.mark.parametrize(
    "name", [n for n in MOVES if "constant" not in n and n not in ("cut border", "border of some axes")]
)
def test_moves_of_accumulators(tmp_path, name):
    """Constants of the operators pending follow their elements; what can be done before the move is."""
    function, channels = MOVES[name]
    file = Images((4, 4, 6))
    y = file.conv(file.start(), 4, 4, 3, 3, pads=[1, 1, 1, 1], bias=True)
    y = file.add("Add", y, file.constant(np.reshape([0.3, -0.2, 0.1, 0.7], (4, 1, 1))))
    finished(file, file.quant(file.add("Relu", function(file, y)), 0.4, 4, signed=0), channels)
    proven(file, tmp_path)


def test_accumulators_are_quantized_before_they_are_copied(tmp_path):
    file = Images((2, 4, 4))
    y = file.add("Resize", file.conv(file.start(), 4, 2, 3, 3), "", file.constant([1, 1, 2, 2]))
    finished(file, file.quant(file.add("Relu", y), 0.4, 4, signed=0), 4)
    proven(file, tmp_path, kinds="Conv Requantize Gather Conv Requantize")


def test_zeros_around_an_image_are_padding_of_the_convolution(tmp_path):
    file, x = started(zero=3.0)
    x = file.add("Pad", x, file.constant([0, 0, 1, 2, 0, 0, 2, 1], np.int64))
    file.relu(file.conv(x, 3, 4, 3, 3, strides=[2, 1], pads=[0, 1, 0, 0]))
    graph = proven(file, tmp_path, kinds="Conv Requantize Conv Requantize")
    assert graph.operators[2].window.pads == (1, 3, 2, 1)


@pytest.mark.parametrize("mode", ["half_pixel", "pytorch_half_pixel", "asymmetric"])
@pytest.mark.parametrize("factors", [(2, 2), (4, 1), (1, 2)])
def test_linear(tmp_path, mode, factors):
    file, x = started(zero=1.0)
    y = file.add("Resize", x, "", file.constant([1, 1, *factors]), mode="linear", coordinate_transformation_mode=mode)
    finished(file, file.quant(y, 0.25, 5), 4)
    proven(file, tmp_path)


@pytest.mark.parametrize("scale", [0.3, 0.5])
@pytest.mark.parametrize(
    "factors, mode",
    [
        ((3, 2), "half_pixel"),
        ((3, 3), "pytorch_half_pixel"),
        ((1, 5), "asymmetric"),
        ((2, 2), "align_corners"),
        ((1, 3), "align_corners"),
        ((0.5, 0.5), "half_pixel"),
        ((0.5, 1), "asymmetric"),
        ((0.5, 1.5), "half_pixel"),
        ((0.75, 3), "half_pixel"),
    ],
)
def test_linear_by_any_fractions(tmp_path, factors, mode, scale):
    file, x = started(zero=1.0, scale=scale)
    y = file.add("Resize", x, "", file.constant([1, 1, *factors]), mode="linear", coordinate_transformation_mode=mode)
    finished(file, file.quant(y, 0.17, 5), 4)
    proven(file, tmp_path)


def test_linear_of_channels_with_scales_of_their_own(tmp_path):
    file = Images((3, 2, 5))
    x = file.quant(file.conv(file.start(), 3, 3, 1, 1), np.reshape([0.31, 0.17, 0.25], (1, 3, 1, 1)), 4)
    y = file.add("Resize", x, "", file.constant([1, 1, 3, 2]), mode="linear")
    finished(file, file.quant(y, 0.2, 5), 3)
    proven(file, tmp_path)


def test_linear_of_a_signal(tmp_path):
    file = Images((3, 6))
    x = file.quant(file.conv(file.start(), 3, 3, 3, pads=[1, 1]), 0.31, 4)
    y = file.quant(file.add("Resize", x, "", file.constant([1, 1, 3]), mode="linear"), 0.2, 5)
    file.relu(file.conv(y, 2, 3, 1))
    proven(file, tmp_path)


def test_linear_with_sums_over_24_bits(tmp_path):
    file = Images((2, 2, 3))
    x = file.quant(file.conv(file.start(), 2, 2, 1, 1), 2.0**-16, 20)
    y = file.add("Resize", x, "", file.constant([1, 1, 8, 8]), mode="linear")
    finished(file, file.quant(y, 0.0625, 6), 2)
    proven(file, tmp_path)


def test_means_of_channels_with_scales_behind_a_linear_resize(tmp_path):
    file = Images((3, 2, 5))
    x = file.quant(file.conv(file.start(), 3, 3, 1, 1), 0.31, 4)
    y = file.add("Resize", x, "", file.constant([1, 1, 1, 3]), mode="linear")
    y = file.quant(y, np.reshape([0.125, 0.5, 0.25], (1, 3, 1, 1)), 5)
    y = file.add("ReduceMean", y, file.constant([2, 3], np.int64))
    finished(file, file.quant(y, 0.2, 5), 3)
    proven(file, tmp_path)


def test_linear_straight_into_a_product(tmp_path):
    file, x = started(shape=(4, 1, 6))
    y = file.add("Resize", x, "", file.constant([1, 1, 1, 2]), mode="linear")
    finished(file, y, 4)
    proven(file, tmp_path)


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Max", "Min"])
@pytest.mark.parametrize("scales", [(0.25, 0.5), (0.31, 0.17)])
def test_two_images(tmp_path, kind, scales):
    file = Images((3, 5, 4))
    x = file.start()
    first, second = (file.quant(file.conv(x, 3, 3, 3, 3, pads=[1, 1, 1, 1]), s, 4) for s in scales)
    finished(file, file.quant(file.add("Relu", file.add(kind, first, second)), 0.4, 4, signed=0), 3)
    graph = proven(file, tmp_path)
    assert not any(operator.kind == "Gather" for operator in graph.operators)


@pytest.mark.parametrize("kind", ["Add", "Mul", "Max"])
def test_scales_of_channels_meet(tmp_path, kind):
    file = Images((3, 5, 4))
    x = file.start()
    scale = np.reshape([0.31, 0.17, 0.23], (1, 3, 1, 1))
    first = file.quant(file.conv(x, 3, 3, 3, 3, pads=[1, 1, 1, 1]), scale, 4)
    second = file.quant(file.conv(x, 3, 3, 1, 1), 0.2, 3)
    finished(file, file.quant(file.add(kind, first, second), 0.4, 4), 3)
    graph = proven(file, tmp_path)
    joined = next(o for o in graph.operators if o.kind == kind.replace("Mul", "Multiply").replace("Max", "Extreme"))
    assert graph.consumers(joined.output)[0].staircase.rows in (1, 3)


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (1, 1, 5, 4), (1, 1, 1, 4), (1, 1, 1, 1)])
@pytest.mark.parametrize("kind", ["Add", "Mul", "Max"])
def test_broadcasting(tmp_path, kind, shape):
    file = Images((3, 5, 4))
    x = file.quant(file.conv(file.start(), 3, 3, 1, 1), 0.25, 4)
    axes = [a for a in (1, 2, 3) if shape[a] == 1]
    small = file.quant(file.add("ReduceMean", x, file.constant(axes, np.int64)), 0.5, 4)
    finished(file, file.quant(file.add(kind, x, small), 0.4, 4), 3)
    proven(file, tmp_path)


@pytest.mark.parametrize("axis", [1, 2, 3, -1])
def test_concat(tmp_path, axis):
    file = Images((3, 5, 4))
    x = file.start(0.25)
    first = file.quant(file.conv(x, 3, 3, 3, 3, pads=[1, 1, 1, 1]), 0.5 if axis == 1 else 0.25, 4)
    second = file.add("Transpose", file.add("Transpose", x, perm=[0, 2, 3, 1]), perm=[0, 3, 1, 2])
    finished(file, file.add("Concat", first, second, first, axis=axis), 9 if axis == 1 else 3)
    graph = proven(file, tmp_path, kinds="Conv Requantize Concat Conv Requantize")
    assert graph.operators[2].blocks == {1: 20, 2: 1, 3: 5, -1: 5}[axis]


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_split(tmp_path, axis):
    file, x = started((4, 4, 6))
    first = file.add("Split", x, axis=axis, num_outputs=2)
    file.nodes[-1].output.append("second")
    both = file.add("Concat", "second", first, axis=axis)
    finished(file, both, 4)
    proven(file, tmp_path)


def test_a_residual_block_and_a_u_shaped_one(tmp_path):
    file = Images((2, 8, 6))
    x = file.relu(file.conv(file.start(), 4, 2, 3, 3, pads=[1, 1, 1, 1]))
    y = file.quant(file.conv(x, 4, 4, 3, 3, pads=[1, 1, 1, 1]), 0.3, 4)
    x = file.relu(file.add("Add", x, y), 0.4)
    down = file.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    down = file.relu(file.conv(down, 4, 4, 3, 3, pads=[1, 1, 1, 1]))
    up = file.relu(file.add("ConvTranspose", down, file.kernel(4, 3, 2, 2), strides=[2, 2]), 0.2)
    finished(file, file.add("Concat", up, x, axis=1), 7)
    proven(file, tmp_path)


def test_open_dimensions_need_a_shape(tmp_path):
    file = Images((2, 8, 6))
    file.relu(file.conv(file.start(), 3, 2, 3, 3))
    file.shape = [1, 2, "h", "w"]
    with pytest.raises(
        ModelError, match=r"must be a fixed number.* --input-shape 1,2,32,32, in Python input_shape=\(1, 2, 32, 32\)"
    ):
        rtl4ml.load(file.save(tmp_path))
    assert proven(file, tmp_path, input_shape=[2, 7, 9]).input_tensor.shape == (7, 9, 2)
    assert proven(file, tmp_path, input_shape=(1, 2, 5, 4)).output_tensor.shape == (3, 2, 3)


def test_large_images_stay_cheap(tmp_path):
    """Parameters are found by channel, whatever the number of pixels."""
    file = Images((3, 512, 512))
    x = file.start(np.reshape([0.25, 0.5, 1.0], (1, 3, 1, 1)))
    y = file.conv(x, 16, 3, 3, 3, pads=[1, 1, 1, 1], bias=True)
    numbers = [file.random.uniform(0.5, 2, 16) for _ in range(4)]
    y = file.relu(file.add("BatchNormalization", y, *map(file.constant, numbers)), 0.3)
    z = file.quant(file.conv(y, 16, 1, 3, 3, pads=[1, 1, 1, 1], group=16), 0.2, 4)
    y = file.relu(file.add("Add", y, z), 0.4)
    y = file.add("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    y = file.add("Resize", y, "", file.constant([1, 1, 2, 2]))
    file.relu(file.conv(file.add("Concat", y, z, axis=1), 8, 32, 1, 1))
    started = time.perf_counter()
    graph = rtl4ml.load(file.save(tmp_path))
    assert time.perf_counter() - started < 60
    assert max(t.low.size for t in graph.tensors.values()) <= 32
    assert max(t.format.scale.size for t in graph.tensors.values()) <= 32


def refused(file, tmp_path, message):
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        rtl4ml.load(file.save(tmp_path))


def test_errors(tmp_path):
    file, x = started()
    finished(file, file.add("Pad", x, file.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64), file.constant(0.3)), 4)
    refused(
        file,
        tmp_path,
        "Constant of node 'Pad_4' (Pad) must be a multiple of the scale of its input, 0.5, not 0.30000001",
    )
    file, x = started()
    finished(file, file.add("Pad", x, file.constant([0, 0, 1, 1], np.int64)), 4)
    refused(file, tmp_path, "Pads of node 'Pad_4' (Pad) must be 8 numbers, two a dimension, not 4")
    file, x = started()
    finished(file, file.add("Pad", x, file.constant([1, 0, 0, 0, 0, 0, 0, 0], np.int64)), 4)
    refused(file, tmp_path, "Node 'Pad_4' (Pad) must not pad the batch, dimension 0")
    file, x = started()
    finished(file, file.add("Pad", x, file.constant([0, 0, -1, 0, 0, 0, 0, 0], np.int64), mode="edge"), 4)
    refused(file, tmp_path, "Pads of node 'Pad_4' (Pad) must not be negative in mode 'edge'")
    file, x = started()
    finished(file, file.add("Pad", x, file.constant([0, 0, -4, 0, 0, 0, 0, 0], np.int64)), 4)
    refused(file, tmp_path, "Output of node 'Pad_4' (Pad) must have elements, not shape [1, 4, 0, 6]")
    file = Images((2, 4, 4))
    y = file.add("Relu", file.conv(file.start(), 4, 2, 3, 3))
    finished(file, file.add("Pad", y, file.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64)), 4)
    refused(
        file,
        tmp_path,
        "Input 't3' of node 'Pad_4' (Pad) must be quantized, not real: put a Quant node in front of it",
    )
    file, x = started()
    finished(file, file.add("Resize", x, "", file.constant([1, 1, 2, 2]), mode="cubic"), 4)
    refused(
        file,
        tmp_path,
        "mode of node 'Resize_4' (Resize) must be nearest, or linear on real values, not 'cubic': replace it by a "
        "ConvTranspose, or move it behind the last quantizer, where the host runs it",
    )
    file, x = started()
    finished(file, file.add("Resize", x, "", file.constant([1, 1, 3, 2]), mode="linear"), 4)
    with pytest.raises(ModelError, match=r"must be quantized, not the output of node 'Resize_4' \(Div\)"):
        rtl4ml.load(file.save(tmp_path))
    file, x = started()
    finished(file, file.add("Resize", x, "", file.constant([1, 1, 1, 1.2345]), mode="linear"), 4)
    refused(
        file,
        tmp_path,
        "Node 'Resize_4' (Resize) must interpolate by small fractions: its factors must be small fractions, not "
        "1.2345001 along axis 3; use mode nearest, or move it behind the last quantizer, where the host runs it",
    )
    file = Images((2, 4, 4))
    y = file.add("Resize", file.conv(file.start(), 4, 2, 3, 3), "", file.constant([1, 1, 2, 2]), mode="linear")
    finished(file, file.quant(y, 0.25, 4), 4)
    refused(
        file,
        tmp_path,
        "Input 't2' of node 'Resize_3' (Resize) must be quantized, not real: put a Quant node in front of it",
    )
    file, x = started()
    finished(file, file.add("DepthToSpace", x, blocksize=0), 4)
    refused(file, tmp_path, "blocksize of node 'DepthToSpace_4' (DepthToSpace) must be at least 1, not 0")
