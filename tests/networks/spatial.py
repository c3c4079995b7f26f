"""Small convolutional files in both dialects: what goes wrong elsewhere, and what networks are otherwise made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import helper

from rtl4ml.formats import Codes
from rtl4ml.graph import Graph
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
    y = file.relu(file.add("Conv", file.start(), file.kernel(4, 3, 3, 3)))
    file.relu(file.add("Conv", y, file.kernel(5, 4, 3, 3)))
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


def bipolar() -> File:
    """Bits alone: weights and activations are -1 and +1, without padding, which would be 0."""
    file = Images((2, 7, 6))
    y = file.add("Conv", file.bipolar("x"), file.bipolar(file.constant(file.random.normal(size=(4, 2, 3, 3)))))
    y = file.bipolar(file.add("Add", y, file.constant(np.reshape(file.random.normal(size=4), (4, 1, 1)))))
    y = file.add("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    file.add("Conv", y, file.bipolar(file.constant(file.random.normal(size=(3, 4, 2, 2)))))
    return file


def plain(*, last: bool) -> File:
    """Two convolutions and a maximum; `last`: as qonnx's operators on channels that are last, weights included."""
    shape = (8, 7, 3) if last else (3, 8, 7)
    imports = {CHANNELS_LAST: 1, "qonnx.custom_op.general": 1}
    file = Images(shape, seed=4, imports=imports)
    domain = CHANNELS_LAST if last else ""

    def layer(x: str, n_out: int, n_in: int, size: int, pads: int) -> str:
        kernel = file.random.normal(size=(n_out, n_in, size, size))
        weights = file.weights(np.moveaxis(kernel, 1, -1) if last else kernel, 0.25, 4)
        window = {"pads": [pads] * 4, "strides": [1, 1], "dilations": [1, 1], "kernel_shape": [size, size]}
        return file.relu(file.add("Conv", x, weights, domain=domain, group=1, **window))

    y = layer(file.start(), 4, 3, 3, 1)
    y = file.add("MaxPool", y, domain=domain, kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 0, 0])
    layer(y, 5, 4, 1, 0)
    return file


def random_codes(graph: Graph, count: int) -> Codes:
    """Codes of the input, all in its range."""
    tensor = graph.input_tensor
    codes = np.random.default_rng(11).integers(tensor.low[0], tensor.high[0] + 1, (count, tensor.size))
    return np.where(codes == 0, 1, codes) if tensor.format.bipolar else codes


@dataclass(frozen=True)
class Case:
    """A network and how it is built.

    Parameters:
        build: makes the file.
        operators: of its graph, in order.
        foldings: settings of its designs.
    """

    build: Callable[[], File]
    operators: str
    foldings: tuple[dict[str, int], ...] = ({"interval": 500},)


LAYER = "Conv Requantize"
TWO = f"{LAYER} {LAYER}"
THREE = f"{TWO} {LAYER}"
JOINED = f"{LAYER} Add Requantize"

CASES = {
    "dilated": Case(dilated, TWO, ({"interval": 300}, {"reuse": 5000})),
    "depthwise_multiplier_2": Case(depthwise_twice, THREE, ({"interval": 112}, {"interval": 4000})),
    "grouped": Case(grouped, TWO),
    "maximum_unsigned": Case(lambda: padded_maximum(signed=False), f"{LAYER} Pool {LAYER}"),
    "maximum_signed": Case(lambda: padded_maximum(signed=True), f"{LAYER} Pool {LAYER}", ({"interval": 144},)),
    "average_before": Case(lambda: pooled_before("Average"), TWO),
    "average_behind": Case(lambda: pooled_behind("Average"), f"{TWO} Dense"),
    "maximum_before": Case(lambda: pooled_before("Max"), f"Pool {LAYER}"),
    "maximum_behind": Case(lambda: pooled_behind("Max"), f"{LAYER} Pool Dense"),
    "without_attributes": Case(without_attributes, TWO),
    "resized": Case(resized, f"{LAYER} Gather {LAYER}", ({"interval": 120}, {"interval": 1000})),
    "resized_linear": Case(
        lambda: resized((1, 1, 2, 2), "linear"), f"{LAYER} Gather {LAYER} Gather {LAYER}", ({"interval": 600},)
    ),
    "zero_points": Case(zero_points, TWO, ({"interval": 200},)),
    "average_of_the_image": Case(averaged, THREE),
    "average_with_the_border": Case(lambda: averaged(count_include_pad=1), THREE),
    "average_ceil_mode": Case(lambda: averaged(ceil_mode=1), THREE),
    "truncated": Case(truncated, THREE),
    "eight_consumers": Case(eight_consumers, f"{TWO}{f' {JOINED}' * 7} {LAYER}", ({"interval": 300},)),
    "deep_skip": Case(
        deep_skip, f"{LAYER} {THREE} {THREE} Add Requantize {LAYER}", ({"interval": 126}, {"interval": 1200})
    ),
    "signal": Case(signal, f"{LAYER} Pool {LAYER} Dense", ({"interval": 48},)),
    "transposed": Case(transposed, f"{TWO} Gather"),
    "u_shaped": Case(
        u_shaped,
        f"{LAYER} Pool {LAYER} Pool {LAYER} Gather Concat {LAYER} Gather Concat {LAYER}",
        ({"interval": 300}, {"interval": 1000}),
    ),
    "split": Case(split, f"{LAYER} Gather Gather {LAYER} Concat {LAYER}"),
    "depth_to_space": Case(depth_to_space, f"{LAYER} Gather {LAYER}"),
    "decided_pixels": Case(decided_pixels, f"{LAYER} Conv Top"),
    "gated": Case(gated, f"{THREE} Gather Multiply Requantize {LAYER}"),
    "padded_and_sliced": Case(padded_and_sliced, f"{LAYER} Gather Gather {LAYER}"),
    "quantized_bytes": Case(
        quantized_bytes, f"{TWO} Add Requantize Pool Requantize {LAYER} Dense Requantize", ({"interval": 112},)
    ),
    "tiny": Case(tiny, f"{LAYER} Pool Dense", ({"reuse": 1}, {"interval": 50})),
}
"""By name."""
