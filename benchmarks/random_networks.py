"""Random quantized networks, small enough to be synthesized by the dozen: what estimates are fitted and checked on."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper

QONNX = "qonnx.custom_op.general"

FAMILIES = ("ecp5", "xcup", "ice40")
"""The designs are dealt out to these in turn."""

CLOCKS = {"ecp5": (50.0, 80.0, 120.0, 160.0), "xcup": (150.0, 250.0, 400.0), "ice40": (25.0, 50.0, 80.0)}
"""MHz that designs are cut for."""

SMALL = 100
"""Designs from this number on are small: synthesis of a hundred of them is a matter of an hour."""


@dataclass(frozen=True)
class Sample:
    """A design to be synthesized.

    Parameters:
        index: which one.
        kind: "mlp" or "cnn".
        model: the network.
        settings: arguments of `rtl4ml.compile` without the target.
        family: what it is synthesized for.
    """

    index: int
    kind: str
    model: onnx.ModelProto
    settings: dict[str, Any]
    family: str


def family_at(index: int) -> str:
    """Family that the design of a number is synthesized for."""
    return FAMILIES[index % len(FAMILIES)]


def sample(index: int) -> Sample:
    """The design of a number: always the same."""
    rng = np.random.default_rng([2026, index])
    family = family_at(index)
    kind = "mlp" if (index // len(FAMILIES)) % 2 == 0 else "cnn"
    clock = float(rng.choice(CLOCKS[family]))
    model, reuse = (_mlp if kind == "mlp" else _cnn)(rng, small=index >= SMALL)
    return Sample(index, kind, model, {"reuse": reuse, "clock_mhz": clock}, family)


def _mlp(rng: np.random.Generator, *, small: bool) -> tuple[onnx.ModelProto, int]:
    """Two to four matrices; unrolled ones are smaller and coarser, since each of their weights is an adder."""
    reuse = int(rng.choice([1, 1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]))
    bits = int(rng.integers(1, 6 if reuse == 1 else 9))
    largest = 20 if reuse == 1 else min(64, int(28 * reuse**0.25))
    if small:
        largest = 12 if reuse == 1 else min(48, int(10 * reuse**0.25))
    sizes = [int(n) for n in rng.integers(4, largest + 1, 3 if small else rng.integers(3, 5))]
    return mlp(rng, sizes, bits, int(rng.integers(max(2, bits - 1), 9))), reuse


def _cnn(rng: np.random.Generator, *, small: bool) -> tuple[onnx.ModelProto, int]:
    """One or two convolutions, a pooling, a matrix."""
    side = int(rng.integers(5, 9) if small else rng.integers(6, 13))
    bits = int(rng.integers(1, 9))
    pixels = side * side
    reuse = int(rng.choice([max(1, pixels // 4), pixels, 2 * pixels, 4 * pixels, 8 * pixels, 16 * pixels, 64 * pixels]))
    channels = [int(n) for n in rng.integers(1, 5 if reuse <= pixels else 9, 2 if reuse <= pixels else 3)]
    if small:
        reuse = max(reuse, pixels)
        channels = [min(n, 2 if reuse <= pixels else 4) for n in channels[:2]]
    return cnn(rng, side, channels, bits, int(rng.integers(2, 9)), classes=int(rng.integers(2, 11))), reuse


def mlp(rng: np.random.Generator, sizes: Sequence[int], bits: int, activation_bits: int) -> onnx.ModelProto:
    """Matrices, BatchNormalization or a bias, Relu and a quantizer in turn; the last matrix has a bias alone.

    Args:
        rng: draws weights and scales.
        sizes: elements in front of, between and behind the matrices.
        bits: of weights; 1: -1 and +1.
        activation_bits: of what stands between.
    """
    file = _File(rng)
    x = file.quant("x", 2.0 ** -(activation_bits - 1), activation_bits, signed=1)
    for index, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        x = file.add("MatMul", x, file.weights((n_in, n_out), bits))
        x = file.finish(x, n_out, n_in, activation_bits, last=index == len(sizes) - 2)
    return file.model(x, [1, sizes[0]])


def cnn(
    rng: np.random.Generator, side: int, channels: Sequence[int], bits: int, activation_bits: int, classes: int
) -> onnx.ModelProto:
    """Convolutions of 3 x 3, a maximum, a matrix.

    Args:
        rng: draws weights and scales.
        side: rows and columns of the image.
        channels: of the image and behind each convolution.
        bits: of weights; 1: -1 and +1.
        activation_bits: of what stands between.
        classes: elements out.
    """
    file = _File(rng)
    shape = [1, channels[0], side, side]
    x = file.quant("x", 2.0 ** -(activation_bits - 1), activation_bits, signed=1)
    for n_in, n_out in itertools.pairwise(channels):
        padding = int(rng.integers(0, 2)) if side > 5 else 1
        x = file.add("Conv", x, file.weights((n_out, n_in, 3, 3), bits), pads=[padding] * 4)
        x = file.finish(x, n_out, 9 * n_in, activation_bits, spatial=True)
        side += 2 * padding - 2
    if rng.integers(0, 2):
        x = file.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        side //= 2
    n_in = side * side * channels[-1]
    x = file.add("MatMul", file.add("Flatten", x), file.weights((n_in, classes), bits))
    x = file.finish(x, classes, n_in, activation_bits, last=True)
    return file.model(x, shape)


class _File:
    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        # Networks differ in what stands between their layers, not layers of one network.
        self._normalized, self._per_channel = (bool(rng.integers(0, 2)) for _ in range(2))

    def constant(self, value: ArrayLike) -> str:
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def add(self, kind: str, *inputs: str, domain: str = "", **attributes: object) -> str:
        name = f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], f"{kind}_{name}", domain=domain, **attributes))
        return name

    def quant(self, x: str, scale: ArrayLike, bits: int, *, signed: int, narrow: int = 0) -> str:
        parameters = [self.constant(value) for value in (scale, 0.0, bits)]
        return self.add("Quant", x, *parameters, domain=QONNX, signed=signed, narrow=narrow, rounding_mode="ROUND")

    def weights(self, shape: tuple[int, ...], bits: int) -> str:
        """Bell-shaped, as trained ones are, with their spread at a third of the range."""
        values = self._rng.normal(size=shape)
        if bits == 1:
            return self.add("BipolarQuant", self.constant(values), self.constant(1.0), domain=QONNX)
        return self.quant(self.constant(values), 3.0 / 2 ** (bits - 1), bits, signed=1, narrow=1)

    def finish(self, x: str, n: int, fan_in: int, bits: int, *, last: bool = False, spatial: bool = False) -> str:
        """A bias or a normalization, then Relu and a quantizer unless it is the last layer."""
        rng = self._rng
        spread = float(np.sqrt(fan_in))
        if self._normalized and not last:
            gains = rng.uniform(0.5, 1.5, n) if self._per_channel else np.full(n, 0.75)
            parameters = [gains, rng.normal(size=n) / 4, rng.normal(size=n) * spread / 8, np.full(n, spread**2 / 4)]
            x = self.add("BatchNormalization", x, *map(self.constant, parameters))
        else:
            bias = np.round(rng.normal(size=n) * 16) / 64
            x = self.add("Add", x, self.constant(bias.reshape(n, 1, 1) if spatial else bias))
        if last:
            return x
        scale = 2.0 ** -(bits - 2) * (1.0 if self._normalized else 2.0 ** round(np.log2(spread / 2)))
        return self.quant(self.add("Relu", x), scale, bits, signed=0)

    def model(self, output: str, shape: Sequence[int]) -> onnx.ModelProto:
        graph = helper.make_graph(
            self._nodes,
            "random",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
            [onnx.ValueInfoProto(name=output)],
            self._constants,
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(QONNX, 1)]
        model = helper.make_model(graph, opset_imports=opsets)
        model.ir_version = 8
        return model
