"""A quantized network in the shape of a U, made here: nothing of that shape is among the models at hand."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def u_shaped(size: int = 64, channels: int = 8, seed: int = 0) -> onnx.ModelProto:
    """Two convolutions and a max-pooling a level down, two nearest Resizes and two Concats up; int8, QDQ.

    Args:
        size: rows and columns of the image, a multiple of 4.
        channels: behind the first convolutions; each level down has twice as many.
        seed: of the weights.
    """
    file = _File(seed)
    x = file.quantized("image", 1 / 128)
    skips = []
    inputs = 3
    for outputs in (channels, 2 * channels):
        x = file.convolution(file.convolution(x, inputs, outputs), outputs, outputs)
        skips.append((x, outputs))
        x = file.add("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
        inputs = outputs
    x = file.convolution(file.convolution(x, inputs, 4 * channels), 4 * channels, 4 * channels)
    inputs = 4 * channels
    for skip, outputs in reversed(skips):
        scales = file.constant("scales", np.array([1, 1, 2, 2], np.float32))
        x = file.add("Resize", [x, "", scales], mode="nearest", coordinate_transformation_mode="asymmetric")
        x = file.add("Concat", [x, skip], axis=1)
        x = file.convolution(file.convolution(x, inputs + outputs, outputs), outputs, outputs)
        inputs = outputs
    x = file.convolution(x, inputs, 2, kernel=1)
    return file.model(x, [1, 3, size, size])


class _File:
    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: NDArray) -> str:
        name = f"{name}_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(value, name))
        return name

    def add(self, kind: str, inputs: list[str], **attributes: object) -> str:
        name = f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def quantized(self, x: str, scale: float) -> str:
        parameters = [self.constant("scale", np.array(scale, np.float32)), self.constant("zero", np.array(0, np.int8))]
        return self.add("DequantizeLinear", [self.add("QuantizeLinear", [x, *parameters]), *parameters])

    def convolution(self, x: str, inputs: int, outputs: int, kernel: int = 3) -> str:
        """With a scale a channel, as quantizers of trained networks make them, a Relu and a quantizer."""
        codes = self._random.integers(-127, 128, (outputs, inputs, kernel, kernel)).astype(np.int8)
        scales = self._random.uniform(0.5, 1.5, outputs).astype(np.float32) / np.float32(73 * kernel * inputs**0.5)
        weights = [self.constant("weights", codes), self.constant("scale", scales)]
        weights.append(self.constant("zero", np.zeros(outputs, np.int8)))
        sums = self.add("Conv", [x, self.add("DequantizeLinear", weights, axis=0)], pads=[kernel // 2] * 4)
        return self.quantized(self.add("Relu", [sums]), 1 / 128)

    def model(self, output: str, shape: list[int]) -> onnx.ModelProto:
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)
        found = onnx.ValueInfoProto(name=output)
        graph = helper.make_graph(self._nodes, "u_shaped", [image], [found], self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 9
        return model
