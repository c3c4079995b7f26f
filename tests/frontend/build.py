"""Small QONNX files made in the tests, and what every one of them must fulfil."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import helper, numpy_helper

import rtl4ml
from rtl4ml.frontend import border, equality, host
from rtl4ml.frontend.equality import Equality
from rtl4ml.simulation import stimuli

QONNX = "qonnx.custom_op.general"


class File:
    """A model under construction: nodes are appended, constants named as they come."""

    def __init__(
        self,
        shape: Sequence[int | str | None],
        *,
        opset: int = 18,
        name: str = "x",
        kind: int = onnx.TensorProto.FLOAT,
        output_kind: int = onnx.TensorProto.FLOAT,
        imports: Mapping[str, int] | None = None,
    ):
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, NDArray] = {}
        self.shape, self.opset, self.input = list(shape), opset, name
        self.kind, self.output_kind = kind, output_kind
        self.imports = {QONNX: 1} if imports is None else dict(imports)

    def constant(self, value: ArrayLike, dtype: Any = np.float32) -> str:
        """A new initializer; its name."""
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value, dtype)
        return name

    def add(self, op_type: str, *inputs: str, domain: str = "", name: str | None = None, **attributes: Any) -> str:
        """A node; the name of its output."""
        output = f"t{len(self.nodes)}"
        node_name = f"{op_type}_{len(self.nodes)}" if name is None else name
        self.nodes.append(helper.make_node(op_type, list(inputs), [output], node_name, domain=domain, **attributes))
        return output

    def quant(
        self,
        x: str,
        scale: ArrayLike,
        bits: float,
        zero_point: ArrayLike = 0.0,
        *,
        signed: int = 1,
        narrow: int = 0,
        rounding_mode: str = "ROUND",
        domain: str = QONNX,
        op_type: str = "Quant",
    ) -> str:
        """A quantizer."""
        parameters = [self.constant(v) for v in (scale, zero_point, bits)]
        return self.add(
            op_type, x, *parameters, domain=domain, signed=signed, narrow=narrow, rounding_mode=rounding_mode
        )

    def bipolar(self, x: str, scale: ArrayLike = 1.0) -> str:
        """A BipolarQuant."""
        return self.add("BipolarQuant", x, self.constant(scale), domain=QONNX)

    def weights(self, value: ArrayLike, scale: ArrayLike, bits: int, **attributes: Any) -> str:
        """A quantized constant."""
        return self.quant(self.constant(value), scale, bits, **attributes)

    def model(self, *outputs: str, shapes: Mapping[str, Sequence[int]] | None = None) -> onnx.ModelProto:
        """The file with these outputs (the last node's if none is named)."""
        ends = outputs or (self.nodes[-1].output[0],)
        graph = helper.make_graph(
            self.nodes,
            "test",
            [helper.make_tensor_value_info(self.input, self.kind, self.shape)],
            [helper.make_tensor_value_info(o, self.output_kind, (shapes or {}).get(o)) for o in ends],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        opsets = [helper.make_opsetid(domain, version) for domain, version in {"": self.opset, **self.imports}.items()]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10 if self.opset > 20 else 8)

    def save(self, folder: Path, *outputs: str, name: str = "net.onnx") -> Path:
        """Write it."""
        path = folder / name
        onnx.save(self.model(*outputs), path)
        return path


def mlp(
    rng: np.random.Generator, sizes: Sequence[int], *, bits: int = 4, scale: float = 0.125, last: bool = True
) -> File:
    """Quant, then MatMul, Add, Relu, Quant in turn; without `last` the output is the last Add's."""
    file = File([1, sizes[0]])
    x = file.quant("x", scale, bits)
    for index, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        w = file.weights(rng.normal(size=(n_in, n_out)), 0.25, 4)
        x = file.add("MatMul", x, w, name=f"fc{index}")
        x = file.add("Add", x, file.constant(np.round(rng.normal(size=n_out) * 16) / 32))
        if index < len(sizes) - 2 or last:
            x = file.quant(file.add("Relu", x), scale * 2, bits, signed=0)
    return file


def load(file: File, folder: Path, input_format: str | None = None, output: str | None = None) -> rtl4ml.Graph:
    """The integer graph of a file."""
    return rtl4ml.load(file.save(folder, *([output] if output else [])), input_format)


def equal(graph: rtl4ml.Graph, x: NDArray | None = None, samples: int = 300) -> Equality:
    """The reference against both judges, without any hardware; `x` as `Design.verify` takes it."""
    order = graph.prologue.order
    if x is None:
        drawn = stimuli.draw(graph, samples)
        real = graph.input_tensor.format.real(drawn)[:, order].reshape(len(drawn), *graph.prologue.shape)
        x = host.invert(graph.prologue, real, graph.input_shape) if graph.input_format is None else real
        if graph.input_format is not None:
            x = graph.input_format.decode(drawn[:, order])
        x = x.reshape(len(x), *graph.input_shape)
    values = np.asarray(x, np.float32)
    codes = border.encode(graph, values)
    if graph.input_format is not None:
        values = graph.input_format.decode(codes[:, order]).reshape(len(codes), *graph.input_shape)
    model = equality.source_model(graph)
    return equality.compare(graph, model, values, codes, lambda c: border.decode(graph, c))


def proven(
    file: File,
    folder: Path,
    input_format: str | None = None,
    *,
    x: NDArray | None = None,
    samples: int = 300,
    output: str | None = None,
) -> Equality:
    """Reference against both judges on every quantizer and the output; no code may differ."""
    graph = load(file, folder, input_format, output)
    assert graph.operators
    result = equal(graph, x, samples)
    assert result.unjudged == ()
    assert result.mismatches == 0
    assert result.codes > 0
    assert result.passed
    return result
