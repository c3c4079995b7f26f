"""Small QONNX files that are no chains, made node by node."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper

from rtl4ml.frontend.load import from_model
from rtl4ml.graph import Graph


class Builder:
    """Adds nodes to a file; every method returns the name of the tensor that it makes."""

    def __init__(self, n_in: int, seed: int = 0) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.random = np.random.default_rng(seed)
        self.n_in = n_in
        self.sizes = {"x": n_in}

    def constant(self, value: ArrayLike, dtype: type = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(self, kind: str, inputs: Sequence[str], outputs: int = 1, domain: str = "", **attributes: object) -> str:
        names = [f"{kind.lower()}{len(self.nodes)}{'_' + str(i) if i else ''}" for i in range(outputs)]
        self.nodes.append(
            helper.make_node(kind, list(inputs), names, name=f"n_{names[0]}", domain=domain, **attributes)
        )
        return names[0]

    def quant(self, x: str, scale: ArrayLike = 0.25, bits: int = 4, zero: float = 0, **attributes: object) -> str:
        inputs = [x, self.constant(scale), self.constant(zero), self.constant(bits)]
        attributes = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND", **attributes}
        return self.node("Quant", inputs, domain="qonnx.custom_op.general", **attributes)

    def dense(self, x: str, n_in: int, n_out: int, scale: ArrayLike = 0.125, bits: int = 4) -> str:
        limit = 1 << (bits - 1)
        weights = self.random.integers(-limit, limit, (n_in, n_out))
        return self.node("MatMul", [x, self.constant(weights * np.asarray(scale, np.float64))])

    def quantized_dense(self, x: str, n_in: int, n_out: int, scale: ArrayLike) -> str:
        """Weights behind a quantizer of their own: any scale, for each column if need be."""
        weights = self.random.integers(-8, 8, (n_in, n_out)) * np.asarray(scale, np.float32)
        return self.node("MatMul", [x, self.quant(self.constant(weights), scale)])

    def layer(self, x: str, n_in: int, n_out: int, scale: ArrayLike = 0.5, bits: int = 4, **attributes: object) -> str:
        return self.quant(self.node("Relu", [self.dense(x, n_in, n_out)]), scale, bits, **attributes)

    def model(self, output: str, opset: int = 18) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "branched",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, self.n_in])],
            [onnx.ValueInfoProto(name=output)],
            self.constants,
        )
        domains = [helper.make_opsetid("", opset), helper.make_opsetid("qonnx.custom_op.general", 1)]
        model = helper.make_model(graph, opset_imports=domains)
        model.ir_version = 9
        return model


def residual(
    n: int = 8, scale_a: float = 0.25, scale_b: float = 0.25, out: float = 0.5, depth: int = 1
) -> onnx.ModelProto:
    """x + f(x), quantized, then a layer."""
    b = Builder(n)
    skip = y = b.quant("x", scale_a)
    for _ in range(depth):
        y = b.layer(y, n, n, scale_b)
    total = b.quant(b.node("Add", [skip, y]), out)
    return b.model(b.dense(total, n, 3))


def eight_consumers() -> onnx.ModelProto:
    """One quantizer, eight layers, summed one after the other."""
    b = Builder(6)
    q = b.quant("x", 0.25)
    outputs = [b.layer(q, 6, 4) for _ in range(8)]
    y = outputs[0]
    for other in outputs[1:]:
        y = b.quant(b.node("Add", [y, other]), 0.5, 5)
    return b.model(b.dense(y, 4, 3))


def concatenated(scale: float = 0.25) -> onnx.ModelProto:
    """Branches of different depth and width, and the input itself, one after the other."""
    b = Builder(6)
    q = b.quant("x", scale)
    short = b.layer(q, 6, 5, scale)
    long = b.layer(b.layer(q, 6, 7), 7, 4, scale)
    return b.model(b.dense(b.node("Concat", [short, long, q], axis=-1), 15, 3))


def extreme(kind: str, first: float, second: float, *, quantized: bool = False) -> onnx.ModelProto:
    """Max or Min of two branches."""
    b = Builder(6)
    q = b.quant("x", 0.25)
    y = b.node(kind, [b.layer(q, 6, 5, first), b.layer(q, 6, 5, second)])
    return b.model(b.dense(b.quant(y, 0.4) if quantized else y, 5, 3))


def product(first: float = 0.3, second: float = 0.21, *, squared: bool = False) -> onnx.ModelProto:
    """A gate: the product of two activations."""
    b = Builder(6)
    q = b.quant("x", 0.25)
    y = b.layer(q, 6, 5, first)
    y = b.node("Mul", [y, y if squared else b.layer(q, 6, 5, second)])
    return b.model(b.dense(b.quant(y, 0.4), 5, 3))


def split_and_sliced() -> onnx.ModelProto:
    """Two halves, their difference, reversed."""
    b = Builder(8)
    y = b.layer(b.quant("x", 0.25), 8, 8, 0.3)
    half = b.node("Split", [y], 2, axis=1, num_outputs=2)
    z = b.quant(b.node("Sub", [half, f"{half}_1"]), 0.3, 5)
    ends = [b.constant(v, np.int64) for v in ([3], [0], [1], [-1])]
    gathered = b.node("Gather", [b.node("Slice", [z, *ends]), b.constant([2, 0, 0], np.int64)], axis=1)
    return b.model(b.dense(gathered, 3, 3))


def accumulators(*, per_channel: bool = False) -> onnx.ModelProto:
    """Two products meet without quantizers; a tensor meets itself."""
    b = Builder(6)
    q = b.quant("x", 0.25)
    scale = 2.0 ** b.random.integers(-4, 0, 5) if per_channel else 0.125
    y = b.node("Add", [b.dense(q, 6, 5, scale), b.dense(q, 6, 5)])
    y = b.quant(b.node("Relu", [b.node("Add", [y, b.constant(b.random.normal(0, 1, 5))])]), 0.37)
    return b.model(b.dense(b.quant(b.node("Add", [y, y]), 0.74), 5, 3))


def sum_into_product() -> onnx.ModelProto:
    """An exact sum reaches a product without a quantizer."""
    b = Builder(6)
    q = b.quant("x", 0.25)
    return b.model(b.dense(b.node("Add", [b.layer(q, 6, 6, 0.25), q]), 6, 3))


def reduced(kind: str, keepdims: int = 1) -> onnx.ModelProto:
    """Every channel and the mean of all."""
    b = Builder(6)
    y = b.layer(b.quant("x", 0.3), 6, 7, 0.3)
    m = b.node(kind, [y, b.constant([1], np.int64)], keepdims=keepdims)
    if not keepdims:
        m = b.node("Unsqueeze", [m, b.constant([1], np.int64)])
    z = b.quant(b.node("Add", [y, b.quant(m, 0.1, 6)]), 0.3)
    return b.model(b.dense(z, 7, 3))


def decided(kind: str = "ArgMax", count: int = 1, size: int = 5, **attributes: object) -> onnx.ModelProto:
    """ArgMax, or TopK's indices, at the output."""
    b = Builder(6)
    y = b.dense(b.layer(b.quant("x", 0.25), 6, 7), 7, size)
    if kind == "TopK":
        output = b.node("TopK", [y, b.constant([count], np.int64)], 2, axis=-1, **attributes) + "_1"
    else:
        output = b.node(kind, [y], axis=1, keepdims=0, **attributes)
    model = b.model(output)
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    return model


def scales_per_channel() -> onnx.ModelProto:
    """A sum in which every channel has a ratio of its own; zero points too."""
    b = Builder(6)
    q = b.quant("x", 0.25)
    first = b.layer(q, 6, 5, np.array([[0.1, 0.2, 0.3, 0.4, 0.5]]), zero=1, signed=0)
    second = b.layer(q, 6, 5, 0.2, zero=-2)
    return b.model(b.dense(b.quant(b.node("Add", [first, second]), 0.3, 5), 5, 3))


MODELS = {
    "residual": residual,
    "residual_same_float_scale": lambda: residual(scale_a=0.3, scale_b=0.3),
    "residual_rational_scales": lambda: residual(scale_a=0.1, scale_b=0.3),
    "residual_other_scales": lambda: residual(scale_a=0.11, scale_b=0.0137, depth=2),
    "residual_deep": lambda: residual(depth=4, n=5),
    "eight_consumers": eight_consumers,
    "concatenated": concatenated,
    "concatenated_float_scale": lambda: concatenated(0.3),
    "max": lambda: extreme("Max", 0.3, 0.3),
    "min_on_a_common_grid": lambda: extreme("Min", 0.25, 0.5),
    "max_of_other_scales": lambda: extreme("Max", 0.3, 0.2, quantized=True),
    "product": product,
    "square": lambda: product(squared=True),
    "split_and_sliced": split_and_sliced,
    "accumulators": accumulators,
    "accumulators_per_channel": lambda: accumulators(per_channel=True),
    "sum_into_product": sum_into_product,
    "mean": lambda: reduced("ReduceMean"),
    "sum_of_channels": lambda: reduced("ReduceSum", keepdims=0),
    "argmax": decided,
    "argmin": lambda: decided("ArgMin"),
    "top_3": lambda: decided("TopK", 3),
    "lowest_2": lambda: decided("TopK", 2, largest=0),
    "scales_per_channel": scales_per_channel,
}
"""Every kind of branching, by name."""


def graph_of(model: onnx.ModelProto) -> Graph:
    """The integer graph of a file in memory, with the file."""
    return replace(from_model(model, "branched"), model=model.SerializeToString())
