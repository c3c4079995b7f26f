"""The file's nodes, one after the other, into the integer graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import onnx
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, InputFormat
from rtl4ml.frontend import kernels
from rtl4ml.frontend.quantizer import Quantizer
from rtl4ml.frontend.values import Constant, Flow, Value
from rtl4ml.graph import Operator, Tensor

Handler = Callable[["Lowering", onnx.NodeProto], None]

HANDLERS: dict[tuple[str, str], Handler] = {}
"""What each operator becomes: (domain, type) -> function. The dialects' modules fill it."""

CUSTOM_DOMAINS = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")


ALSO_ON_CONSTANTS: set[tuple[str, str]] = set()
"""Operators whose handler sees constants too: their codes must survive. Others of constants are run by the executor."""


def handles(*op_types: str, domains: tuple[str, ...] = ("",), constants: bool = False) -> Callable[[Handler], Handler]:
    """Registers a handler for operators of some domains; `constants`: also when all its inputs are constant."""

    def register(handler: Handler) -> Handler:
        for domain in domains:
            for op_type in op_types:
                HANDLERS[domain, op_type] = handler
                if constants:
                    ALSO_ON_CONSTANTS.add((domain, op_type))
        return handler

    return register


class Lowering:
    """State of one import: what every tensor of the file is by now, and the integer graph made so far.

    Parameters:
        model: the file.
        input_format: what the input pins carry, or None to start at the first quantizer.
    """

    def __init__(self, model: onnx.ModelProto, input_format: InputFormat | None) -> None:
        self.model = model
        self.input_format = input_format
        self.values: dict[str, Value] = {}
        self.tensors: dict[str, Tensor] = {}
        self.operators: list[Operator] = []
        self.layouts: dict[str, Codes] = {}
        self.input: str | None = None
        self.input_quantizer: Quantizer | None = None
        self.border: str | None = None
        """The file's tensor whose values the graph's input quantizes."""
        self.opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)
        self.uses = Counter(name for node in model.graph.node for name in node.input)
        self.uses.update(output.name for output in model.graph.output)
        for initializer in model.graph.initializer:
            self.values[initializer.name] = Constant(onnx.numpy_helper.to_array(initializer))

    def run(self) -> None:
        """Lower every node that the output depends on.

        Raises:
            ModelError: a node cannot be built exactly.
        """
        for node in self._needed():
            key = ("" if node.domain == "ai.onnx" else node.domain, node.op_type)
            constant = all(not name or isinstance(self.value(name, node), Constant) for name in node.input)
            if constant and key not in ALSO_ON_CONSTANTS:
                self._fold(node)
            elif key in HANDLERS:
                HANDLERS[key](self, node)
            else:
                self._defer(node)

    def _needed(self) -> list[onnx.NodeProto]:
        wanted = {output.name for output in self.model.graph.output}
        chosen = []
        for node in reversed(self.model.graph.node):
            if wanted.intersection(node.output):
                wanted.update(node.input)
                chosen.append(node)
        return chosen[::-1]

    def _fold(self, node: onnx.NodeProto) -> None:
        """A node of constants only: run by the executor."""
        if node.domain not in ("", "ai.onnx"):
            raise self.unsupported(node)
        values = {name: self.constant(name, node).value for name in node.input if name}
        for name, value in zip([o for o in node.output if o], kernels.run_node(node, values, self.opset), strict=True):
            self.values[name] = Constant(np.asarray(value))

    def _defer(self, node: onnx.NodeProto) -> None:
        """An operator without hardware: fine where only the host has to run it."""
        flows = [name for name in node.input if name and isinstance(self.values.get(name), Flow)]
        if len(set(flows)) != 1 or len(node.output) != 1:
            raise self.unsupported(node)
        flow = self.flow(flows[0], node)
        # The shape behind it is not known and not needed: only the host continues from here.
        self.values[node.output[0]] = Flow(
            flow.tensor, flow.source, flow.order, flow.bias, flow.steps, (*flow.opaque, node)
        )

    def unsupported(self, node: onnx.NodeProto) -> ModelError:
        """The error for an operator that cannot be built."""
        supported = sorted({kind for _, kind in HANDLERS})
        domain = f"{node.domain}." if node.domain not in ("", "ai.onnx") else ""
        return ModelError(
            f"Operator of node {node.name!r} must be one of {', '.join(supported)}, not {domain}{node.op_type}: "
            "replace it, or move it behind the last "
            "quantizer, where the host runs it"
        )

    def value(self, name: str, node: onnx.NodeProto) -> Value:
        """What a tensor is.

        Raises:
            ModelError: nothing makes it.
        """
        if name not in self.values:
            raise ModelError(
                f"Input {name!r} of node {node.name!r} ({node.op_type}) must be made by an earlier node, an "
                "initializer or an input"
            )
        return self.values[name]

    def constant(self, name: str, node: onnx.NodeProto) -> Constant:
        """A tensor that must be constant.

        Raises:
            ModelError: it depends on the input.
        """
        value = self.value(name, node)
        if not isinstance(value, Constant):
            raise ModelError(
                f"Input {name!r} of node {node.name!r} ({node.op_type}) must be constant: it depends on the "
                "network's input"
            )
        return value

    def flow(self, name: str, node: onnx.NodeProto) -> Flow:
        """A tensor that depends on the input.

        Raises:
            ModelError: it is constant.
        """
        value = self.value(name, node)
        if not isinstance(value, Flow):
            raise ModelError(
                f"Input {name!r} of node {node.name!r} ({node.op_type}) must depend on the network's input: it is "
                "constant"
            )
        return value

    def finite(self, parameter: NDArray, node: onnx.NodeProto) -> NDArray:
        """A parameter of a node, checked.

        Raises:
            ModelError: it is NaN or infinite.
        """
        parameter = np.asarray(parameter)
        if parameter.dtype.kind == "f" and not np.all(np.isfinite(parameter)):
            bad = parameter.reshape(-1)[~np.isfinite(parameter.reshape(-1))][0]
            raise ModelError(f"Constants of node {node.name!r} ({node.op_type}) must be finite, not {bad}")
        return parameter

    def require_clear(self, flow: Flow, node: onnx.NodeProto) -> None:
        """Refuse hardware behind an operator that only the host can run.

        Raises:
            ModelError: naming that operator.
        """
        if flow.opaque:
            raise self.unsupported(flow.opaque[0])

    def append(self, operator: Operator, order: Codes) -> None:
        """A node of the integer graph; `order` is its output's layout in the file."""
        self.operators.append(operator)
        self.tensors[operator.output] = operator.infer(tuple(self.tensors[name] for name in operator.inputs))
        self.layouts[operator.output] = order

    def attributes(self, node: onnx.NodeProto) -> dict[str, object]:
        """A node's attributes by name."""
        return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
