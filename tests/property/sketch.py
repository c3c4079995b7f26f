"""A file under construction that knows what it is made of, and its tensors with what a generator must know of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import helper

from tests.frontend.qdq_files import QdqFile, dtype
from tests.property.choices import Choices


@dataclass(frozen=True)
class Live:
    """A tensor that depends on the input.

    Parameters:
        name: in the file; of its codes, if it is a tensor of integers.
        shape: batch of 1 included.
        spread: its usual magnitude.
        signed: whether it may be negative.
        scale: of its codes, () or broadcast against it; None: it has none.
        codes: lowest and highest code.
        kind: of a tensor of integers: its type's name.
        zero: its codes' zero point.
        attributes: of the DequantizeLinear that reads it: the axis of its scales.
    """

    name: str
    shape: tuple[int, ...]
    spread: float
    signed: bool = True
    scale: NDArray | None = None
    codes: tuple[int, int] = (0, 0)
    kind: str | None = None
    zero: NDArray = field(default_factory=lambda: np.zeros((), np.int64))
    attributes: tuple[tuple[str, int], ...] = ()

    @property
    def size(self) -> int:
        """Elements."""
        return int(np.prod(self.shape))

    @property
    def quantized(self) -> bool:
        """Whether it has codes."""
        return self.scale is not None

    @property
    def levels(self) -> int:
        """Number of codes."""
        return self.codes[1] - self.codes[0] + 1


class Sketch(QdqFile):
    """A file, the decisions it follows, and the features that it has by now.

    Parameters:
        choose: decisions.
        dialect: "qonnx", "qdq" or "integer".

    `shapes` are those that the file states: qonnx does not infer shapes around its operators on channels that are last.
    """

    def __init__(self, choose: Choices, dialect: str, shape: Sequence[int | str | None], **settings: Any):
        super().__init__(shape, **settings)
        self.choose, self.dialect = choose, dialect
        self.features: set[str] = {f"dialect {dialect}"}
        self.shapes: dict[str, tuple[int, ...]] = {}

    def feature(self, *names: str) -> None:
        """Note what the file has."""
        self.features.update(names)

    def add(self, op_type: str, *inputs: str, domain: str = "", name: str | None = None, **attributes: Any) -> str:
        """A node; the name of its output."""
        self.feature(op_type)
        return super().add(op_type, *inputs, domain=domain, name=name, **attributes)

    def several(self, op_type: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        """A node with several outputs."""
        first = self.add(op_type, *inputs, **attributes)
        outputs = [first, *(f"{first}_{i}" for i in range(1, count))]
        del self.nodes[-1].output[:]
        self.nodes[-1].output.extend(outputs)
        return outputs

    def parameter(self, value: ArrayLike, kind: Any = np.float32) -> str:
        """A constant: an initializer, or made by nodes."""
        value = np.asarray(value, kind)
        if not self.choose.flag("constant subgraph", 6):
            return self.constant(value, kind)
        self.feature("constant subgraph")
        how = self.choose.integer(0, 3)
        if how == 0 and value.dtype in (np.float32, np.int64):
            return self.add("Constant", value=onnx.numpy_helper.from_array(value))
        if how == 1 and value.dtype == np.float32:
            return self.add("Mul", self.constant(value / 2), self.constant(2.0))
        if how == 2 and value.ndim == 2:
            return self.add("Transpose", self.constant(value.T, kind), perm=[1, 0])
        shape = self.constant(value.shape, np.int64)
        return self.add("Reshape", self.constant(value.reshape(-1), kind), shape)

    def real(self, x: Live) -> Live:
        """A tensor's values: behind a DequantizeLinear, where it holds codes."""
        if x.kind is None:
            return x
        assert x.scale is not None
        inputs = [self.constant(x.scale)]
        if np.any(x.zero) or x.kind != "uint8" or self.choose.flag("zero point given", 50):
            inputs.append(self.constant(np.broadcast_to(x.zero, x.scale.shape), dtype(x.kind)))
        name = self.add("DequantizeLinear", x.name, *inputs, **dict(x.attributes))
        return Live(name, x.shape, x.spread, x.signed, x.scale, x.codes)

    def renamed(self, output: str, model: onnx.ModelProto) -> onnx.ModelProto:
        """As exporters of torch name their tensors; nodes without names."""
        self.feature("names with slashes")
        names = {o: f"/layers.{i}/{n.op_type}_output_0:é" for i, n in enumerate(self.nodes) for o in n.output[:1]}
        names.pop(output, None)
        for node in model.graph.node:
            node.name = "" if self.choose.integer(0, 1) else f"/{node.name}/"
            node.input[:] = [names.get(i, i) for i in node.input]
            node.output[:] = [names.get(o, o) for o in node.output]
        for value in model.graph.value_info:
            value.name = names.get(value.name, value.name)
        return model

    def finished(self, output: str, kind: int) -> onnx.ModelProto:
        """The file as a message."""
        self.output_kind = kind
        model = self.model(output)
        made = {name for node in self.nodes for name in node.output} - {output}
        for name, shape in self.shapes.items():
            if name in made:
                model.graph.value_info.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
        if self.choose.flag("names with slashes", 15):
            model = self.renamed(output, model)
        return model


def tensor_kind(name: str) -> int:
    """ONNX's number of a type."""
    return int(helper.np_dtype_to_tensor_dtype(dtype(name)))
