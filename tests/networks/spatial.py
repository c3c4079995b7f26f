"""Small convolutional files in both dialects: what goes wrong elsewhere, and what networks are otherwise made of."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import helper

from tests.frontend.build import File
from tests.frontend.images import CHANNELS_LAST, Images
from tests.frontend.qdq_files import QdqFile

SAME = {"pads": [1, 1, 1, 1]}


def whole(file: File, x: str, kind: str) -> str:
    """Global pooling."""
    return file.add(f"Global{kind}Pool", x)


def classes(file: Images, x: str, n_in: int, n_out: int = 4) -> str:
    """Flatten and a matrix."""
    return file.add("MatMul", file.add("Flatten", x), file.kernel(n_in, n_out))


def dilated() -> File:
    """Other dilations along each axis, over the border."""
    file = Images((3, 9, 8))
    y = file.relu(file.conv(file.start(), 4, 3, 3, 3, dilations=[2, 3], pads=[2, 3, 2, 3]))
    file.relu(file.conv(y, 3, 4, 2, 3, dilations=[3, 1], bias=True))
    return file


def depthwise_twice() -> File:
    """Every channel makes two."""
    file = Images((3, 8, 7))
    y = file.relu(file.conv(file.start(), 4, 3, 3, 3, **SAME))
    y = file.relu(file.conv(y, 8, 1, 3, 3, group=4, **SAME))
    file.relu(file.conv(y, 5, 8, 1, 1))
    return file


def grouped() -> File:
    """Groups of several channels."""
    file = Images((4, 8, 7))
    y = file.relu(file.conv(file.start(), 6, 2, 3, 3, group=2, **SAME))
    file.relu(file.conv(y, 9, 2, 3, 3, group=3, strides=[2, 2]))
    return file


def padded_maximum(*, signed: bool) -> File:
    """Windows over the border; all codes near it may be negative, so that a padding of 0 would win."""
    file = Images((3, 9, 8))
    y = file.conv(file.start(), 4, 3, 3, 3, bias=True, **SAME)
    y = file.quant(file.add("Add", y, file.constant(-2.0)), 0.5, 4) if signed else file.relu(y)
    y = file.add("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    file.relu(file.conv(y, 3, 4, 2, 2))
    return file


def pooled_before(kind: str) -> File:
    """Global pooling, then a convolution of single pixels."""
    file = Images((4, 8, 7))
    y = whole(file, file.start(), kind)
    y = file.quant(y, 0.03125, 6) if kind == "Average" else y
    file.relu(file.conv(y, 5, 4, 1, 1))
    return file


def pooled_behind(kind: str) -> File:
    """A convolution, then global pooling and a matrix."""
    file = Images((3, 8, 7))
    y = file.relu(file.conv(file.start(), 6, 3, 3, 3, **SAME))
    y = whole(file, y, kind)
    classes(file, file.quant(y, 0.25, 5, signed=0) if kind == "Average" else y, 6)
    return file


def without_attributes() -> File:
    """Convolutions that say nothing at all, as the standard allows."""
    file = Images((3, 8, 7))
    for n_in, n_out in ((3, 4), (4, 5)):
        x = file.relu(file.add("Conv", file.start() if n_in == 3 else x, file.kernel(n_out, n_in, 3, 3)))
    return file


def resized(scales: ArrayLike = (1, 1, 2, 3), mode: str = "nearest") -> File:
    """Larger, not by the same factor along both axes."""
    file = Images((2, 5, 4))
    y = file.relu(file.conv(file.start(), 3, 2, 3, 3, **SAME))
    how = {"nearest": {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}}.get(mode, {})
    y = file.add("Resize", y, "", file.constant(scales), mode=mode, **how)
    y = y if mode == "nearest" else file.quant(y, 0.25, 5, signed=0)
    file.relu(file.conv(y, 2, 3, 3, 3, **SAME))
    return file


def zero_points() -> File:
    """Activations whose code of 0 is not 0, of a tensor and of channels, in front of padding."""
    file = Images((3, 8, 7))
    x = file.start(0.3, 4, 5.0, signed=0)
    y = file.conv(x, 4, 3, 3, 3, pads=[1, 0, 2, 1])
    y = file.quant(y, 0.4, 4, np.reshape([1.0, -2.0, 3.0, 0.0], (1, 4, 1, 1)))
    file.relu(file.conv(y, 3, 4, 3, 3, **SAME), 0.7)
    return file


def averaged(**attributes: int) -> File:
    """Averages over the border, counted with or without it."""
    file = Images((3, 8, 7))
    y = file.relu(file.conv(file.start(), 4, 3, 3, 3, **SAME))
    y = file.add("AveragePool", y, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], **attributes)
    file.relu(file.conv(file.quant(y, 0.25, 5, signed=0), 3, 4, 1, 1))
    return file


def truncated() -> File:
    """Average and Trunc, as Brevitas writes them."""
    file = Images((3, 8, 6))
    y = file.relu(file.conv(file.start(), 4, 3, 3, 3, **SAME))
    y = file.add("AveragePool", y, kernel_shape=[2, 2], strides=[2, 2])
    numbers = [file.constant(n) for n in (0.5, 0.0, 6.0, 4.0)]
    y = file.add("Trunc", y, *numbers, domain="qonnx.custom_op.general", rounding_mode="FLOOR", signed=0, narrow=0)
    file.relu(file.conv(y, 3, 4, 2, 2))
    return file


def eight_consumers() -> File:
    """One map, read by eight convolutions, which are added up one after the other."""
    file = Images((2, 6, 6))
    x = file.relu(file.conv(file.start(), 3, 2, 3, 3, **SAME))
    total = ""
    for index in range(8):
        kernel = (3, 3) if index % 3 == 0 else (1, 1)
        y = file.relu(file.conv(x, 2, 3, *kernel, pads=[kernel[0] // 2] * 4), 0.25)
        total = file.quant(file.add("Add", total, y), 0.25, 6, signed=0) if total else y
    file.relu(file.conv(total, 3, 2, 1, 1))
    return file


def deep_skip(depth: int = 6) -> File:
    """One branch of six convolutions beside one of none."""
    file = Images((2, 7, 6))
    skip = x = file.relu(file.conv(file.start(), 3, 2, 3, 3, **SAME))
    for _ in range(depth):
        x = file.relu(file.conv(x, 3, 3, 3, 3, **SAME))
    file.relu(file.conv(file.quant(file.add("Add", skip, x), 0.5, 5, signed=0), 2, 3, 1, 1))
    return file


def signal() -> File:
    """One dimension: convolutions and a maximum."""
    file = Images((2, 24))
    y = file.relu(file.conv(file.start(), 4, 2, 5, pads=[2, 2]))
    y = file.add("MaxPool", y, kernel_shape=[2], strides=[2])
    y = file.relu(file.conv(y, 6, 4, 3, dilations=[2]))
    classes(file, y, 6 * 8)
    return file


def transposed() -> File:
    """Twice as large through ConvTranspose."""
    file = Images((2, 5, 4))
    y = file.relu(file.conv(file.start(), 3, 2, 3, 3, **SAME))
    y = file.add("ConvTranspose", y, file.kernel(3, 2, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])
    file.relu(y)
    return file


def u_shaped() -> File:
    """Down by a maximum, up by repeating, beside what came from there."""
    file = Images((2, 8, 8))
    high = file.relu(file.conv(file.start(), 4, 2, 3, 3, **SAME))
    low = file.add("MaxPool", high, kernel_shape=[2, 2], strides=[2, 2])
    low = file.relu(file.conv(low, 6, 4, 3, 3, **SAME))
    lowest = file.relu(file.conv(file.add("MaxPool", low, kernel_shape=[2, 2], strides=[2, 2]), 6, 6, 3, 3, **SAME))
    for x, n in ((low, 12), (high, 8)):
        up = file.add("Resize", lowest, "", file.constant([1, 1, 2, 2]), mode="nearest")
        y = file.conv(file.add("Concat", up, x, axis=1), 4, n, 3, 3, **SAME)
        lowest = file.relu(y)
    return file


def split() -> File:
    """Channels in two parts, of which one is worked on."""
    file = Images((2, 6, 7))
    y = file.relu(file.conv(file.start(), 6, 2, 3, 3, **SAME))
    parts = [f"part{i}" for i in range(2)]
    sizes = file.constant([2, 4], np.int64)
    file.nodes.append(helper.make_node("Split", [y, sizes], parts, "split", axis=1))
    z = file.relu(file.conv(parts[1], 3, 4, 3, 3, **SAME))
    file.relu(file.conv(file.add("Concat", z, parts[0], axis=1), 3, 5, 1, 1))
    return file


def depth_to_space() -> File:
    """Pixels out of channels."""
    file = Images((2, 6, 5))
    y = file.relu(file.conv(file.start(), 8, 2, 3, 3, **SAME))
    y = file.add("DepthToSpace", y, blocksize=2, mode="CRD")
    file.relu(file.conv(y, 3, 2, 3, 3, **SAME))
    return file


def decided_pixels() -> File:
    """The class of every pixel."""
    file = Images((2, 7, 6), output_kind=onnx.TensorProto.INT64)
    y = file.relu(file.conv(file.start(), 4, 2, 3, 3, **SAME))
    file.add("ArgMax", file.conv(y, 5, 4, 1, 1), axis=1, keepdims=0)
    return file


def gated() -> File:
    """Every channel times a number that the whole image decides: squeeze and excitation."""
    file = Images((3, 6, 6))
    x = file.relu(file.conv(file.start(), 4, 3, 3, 3, **SAME))
    gate = file.quant(whole(file, x, "Average"), 0.25, 5, signed=0)
    gate = file.quant(file.add("Sigmoid", file.conv(gate, 4, 4, 1, 1)), 0.0625, 4, signed=0)
    file.relu(file.conv(file.quant(file.add("Mul", x, gate), 0.25, 5, signed=0), 3, 4, 1, 1))
    return file


def padded_and_sliced() -> File:
    """Pad by a value, cut off again on the other side, every second column."""
    file = Images((2, 7, 6))
    y = file.relu(file.conv(file.start(), 3, 2, 3, 3))
    y = file.add("Pad", y, file.constant([0, 0, 2, 0, 0, 0, 1, 3], np.int64), file.constant(1.5))
    cut = [file.constant(n, np.int64) for n in ([1, 0], [100, 7], [2, 3], [1, 2])]
    file.relu(file.conv(file.add("Slice", y, *cut), 2, 3, 3, 3))
    return file


def tiny(*, pixels: int = 5) -> File:
    """Small enough to be unrolled as a whole."""
    file = Images((1, pixels, pixels), seed=3)
    y = file.relu(file.conv(file.start(bits=3), 2, 1, 3, 3))
    y = file.add("MaxPool", y, kernel_shape=[2, 2], strides=[1, 1])
    classes(file, y, 2 * (pixels - 3) ** 2, 3)
    return file


def quantized_bytes() -> File:
    """Int8 and uint8 with zero points, weights with a scale per output, a residual block, pooling."""
    file = QdqFile([1, 3, 8, 7], opset=13)
    random = np.random.default_rng(5)

    def layer(x: str, n_in: int, n_out: int, scale: float, zero: int, kind: str, **attributes: Any) -> str:
        scales = random.uniform(0.002, 0.02, n_out)
        weights = file.integers(random.integers(-127, 128, (n_out, n_in, 3, 3)), scales, np.zeros(n_out), axis=0)
        bias = file.dq(file.constant(random.integers(-900, 900, n_out), np.int32), 0.05 * scales, None, axis=0)
        return file.qdq(file.add("Conv", x, weights, bias, **SAME, **attributes), scale, zero, kind)

    x = layer(file.qdq("x", 0.05, -7), 3, 4, 0.05, 31, "uint8")
    y = layer(x, 4, 4, 0.07, -20, "int8")
    x = file.qdq(file.add("Relu", file.add("Add", x, y)), 0.06, -128, "int8")
    x = file.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], **SAME)
    x = file.qdq(file.add("GlobalAveragePool", file.qdq(x, 0.06, -128)), 0.05, -100)
    file.qdq(file.add("MatMul", file.add("Flatten", x), file.integers(random.integers(-9, 9, (4, 3)), 0.1)), 0.05, 3)
    return file


Case = tuple[Callable[[], File], str, tuple[dict[str, Any], ...]]
ONE = ({"interval": 500},)

CASES: dict[str, Case] = {
    "dilated": (dilated, "", ({"interval": 300}, {"reuse": 5000})),
    "depthwise_multiplier_2": (depthwise_twice, "", ({"interval": 112}, {"interval": 4000})),
    "grouped": (grouped, "", ONE),
    "maximum_unsigned": (lambda: padded_maximum(signed=False), "", ONE),
    "maximum_signed": (lambda: padded_maximum(signed=True), "", ({"interval": 144},)),
    "average_before": (lambda: pooled_before("Average"), "", ONE),
    "average_behind": (lambda: pooled_behind("Average"), "", ONE),
    "maximum_before": (lambda: pooled_before("Max"), "", ONE),
    "maximum_behind": (lambda: pooled_behind("Max"), "", ONE),
    "without_attributes": (without_attributes, "", ONE),
    "resized": (resized, "", ({"interval": 120}, {"interval": 1000})),
    "resized_linear": (lambda: resized((1, 1, 2, 2), "linear"), "", ONE),
    "zero_points": (zero_points, "", ({"interval": 200},)),
    "average_of_the_image": (averaged, "", ONE),
    "average_with_the_border": (lambda: averaged(count_include_pad=1), "", ONE),
    "average_ceil_mode": (lambda: averaged(ceil_mode=1), "", ONE),
    "truncated": (truncated, "", ONE),
    "eight_consumers": (eight_consumers, "", ({"interval": 300},)),
    "deep_skip": (deep_skip, "", ({"interval": 126}, {"interval": 1200})),
    "signal": (signal, "", ({"interval": 48},)),
    "transposed": (transposed, "", ONE),
    "u_shaped": (u_shaped, "", ({"interval": 512},)),
    "split": (split, "", ONE),
    "depth_to_space": (depth_to_space, "", ONE),
    "decided_pixels": (decided_pixels, "", ONE),
    "gated": (gated, "", ONE),
    "padded_and_sliced": (padded_and_sliced, "", ONE),
    "quantized_bytes": (quantized_bytes, "", ({"interval": 112},)),
    "tiny": (tiny, "", ({"reuse": 1},)),
}
"""By name: the file, its operators in order, and foldings."""
