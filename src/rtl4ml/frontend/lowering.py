"""The file's nodes, one after the other, into the integer graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from rtl4ml.errors import ModelError, Rtl4mlError
from rtl4ml.formats import Codes, InputFormat
from rtl4ml.frontend import kernels
from rtl4ml.frontend.quantizer import AnyQuantizer, IntegerInput
from rtl4ml.frontend.values import Constant, Flow, Value
from rtl4ml.frontend.wellformed import first_line
from rtl4ml.graph import Operator, Tensor
from rtl4ml.operators import Conv, Dense, WeightLimits

Handler = Callable[["Lowering", onnx.NodeProto], None]

HANDLERS: dict[tuple[str, str], Handler] = {}
"""What each operator becomes: (domain, type) -> function. The dialects' modules fill it."""

CHANNELS_LAST = "qonnx.custom_op.channels_last"
"""Domain of Conv, MaxPool and BatchNormalization on tensors whose last dimension are the channels."""

CUSTOM_DOMAINS = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")


ALSO_ON_CONSTANTS: set[tuple[str, str]] = set()
"""Operators whose handler sees constants too: their codes must survive. Others of constants are run by the executor."""


INTEGER_HANDLERS: dict[tuple[str, str], Handler] = {}
"""The same where an input is a tensor of codes: of an integer type in the file."""


def handles(
    *op_types: str,
    domains: tuple[str, ...] = ("",),
    constants: bool = False,
    reals: bool = True,
    integers: bool = False,
) -> Callable[[Handler], Handler]:
    """Registers a handler for operators of some domains.

    Args:
        op_types: the operators.
        domains: of the operators.
        constants: also when all inputs are constant.
        reals: for real-valued tensors.
        integers: for tensors of an integer type.
    """

    def register(handler: Handler) -> Handler:
        for domain in domains:
            for op_type in op_types:
                if reals:
                    HANDLERS[domain, op_type] = handler
                if integers:
                    INTEGER_HANDLERS[domain, op_type] = handler
                if constants:
                    ALSO_ON_CONSTANTS.add((domain, op_type))
        return handler

    return register


def _with_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which every node has a name of its own: exporters leave them out, messages and plans need them."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    taken: set[str] = set()
    for node in copy.graph.node:
        if (not node.name or node.name in taken) and node.output:
            node.name = node.output[0]
        taken.add(node.name)
    return copy


class Lowering:
    """State of one import: what every tensor of the file is by now, and the integer graph made so far.

    Parameters:
        model: the file.
        input_format: what the input pins carry, or None to start at the first quantizer.
        chains: what defines the functions between products and quantizers: see `chain.Chain.function`.
    """

    def __init__(self, model: onnx.ModelProto, input_format: InputFormat | None, chains: str = "float32") -> None:
        self.model = _with_names(model)
        self.input_format = input_format
        self.chains = chains
        self.free_weights = False
        """Ranges are those of any weights of a layer's bits, not of its own."""
        self.values: dict[str, Value] = {}
        self.tensors: dict[str, Tensor] = {}
        self.operators: list[Operator] = []
        self.layouts: dict[str, Codes] = {}
        self.joins: dict[str, Any] = {}
        """Operators of two activations that wait for the quantizer behind them, by output: see `joins.Join`."""
        self.unquantized: set[str] = set()
        """Tensors of codes that an exact operator made, not a quantizer: sums, choices, rows of tensors."""
        self.selections: dict[tuple[str, bytes, tuple[int, ...], int], str] = {}
        """Tensors that are a choice of another's elements: see `selection.select`."""
        self.origins: dict[str, Flow] = {}
        """By tensor that was made in front of pending operators of the file's: the flow from where these begin."""
        self.padded: dict[str, Any] = {}
        """Tensors that have zeros around the pixels of others: see `padding.Padded`."""
        self.early: dict[str, Any] = {}
        """Operators that a quantizer behind them may be taken in front of, by output: see `early.Early`."""
        self.input_layout: tuple[Codes, tuple[int, ...]] | None = None
        """Elements of the input in the file's order as the graph's shall have them, and its shape: see `spatial`."""
        self.grids: dict[str, float | NDArray[np.float64]] = {}
        """Scales of the file's tensors that exact arithmetic, not a quantizer, keeps on a grid."""
        self.input: str | None = None
        self.input_quantizer: AnyQuantizer | IntegerInput | None = None
        self.border: str | None = None
        """The file's tensor whose values the graph's input quantizes."""
        self.opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)
        self.uses = Counter(name for node in model.graph.node for name in node.input)
        self.uses.update(output.name for output in model.graph.output)
        self.names = set(self.uses).union(*(node.output for node in model.graph.node))
        """Every name of a tensor in the file."""
        for initializer in model.graph.initializer:
            self.values[initializer.name] = Constant(onnx.numpy_helper.to_array(initializer))

    def run(self) -> None:
        """Lower every node that the output depends on.

        Raises:
            ModelError: a node cannot be built exactly.
        """
        for node in self._needed():
            try:
                self._lower(node)
            except Rtl4mlError:
                raise
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                # Shapes and parameters of one node that contradict each other, in one of a thousand ways.
                raise ModelError(
                    f"Node {node.name!r} ({node.op_type}) must have inputs and attributes that fit together: "
                    f"{first_line(error)}"
                ) from error

    def _lower(self, node: onnx.NodeProto) -> None:
        key = ("" if node.domain == "ai.onnx" else node.domain, node.op_type)
        constant = all(not name or isinstance(self.value(name, node), Constant) for name in node.input)
        if constant and key not in ALSO_ON_CONSTANTS:
            self._fold(node)
        elif self._reads_integers(node):
            if key not in INTEGER_HANDLERS:
                raise self._integers_unsupported(node)
            INTEGER_HANDLERS[key](self, node)
        elif key in HANDLERS:
            HANDLERS[key](self, node)
        else:
            self.defer(node)

    def _reads_integers(self, node: onnx.NodeProto) -> bool:
        values = [self.values.get(name) for name in node.input]
        return any(isinstance(value, Flow) and value.integer for value in values)

    def _integers_unsupported(self, node: onnx.NodeProto) -> ModelError:
        name = next(n for n in node.input if isinstance(v := self.values.get(n), Flow) and v.integer)
        supported = sorted({kind for _, kind in INTEGER_HANDLERS})
        return ModelError(
            f"Integers {name!r} must go to one of {', '.join(supported)}, not to node {node.name!r} ({node.op_type}): "
            "put a DequantizeLinear in front of it"
        )

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

    def defer(self, node: onnx.NodeProto) -> None:
        """An operator without hardware: fine where only the host has to run it."""
        flows = [name for name in node.input if name and isinstance(self.values.get(name), Flow)]
        if len(set(flows)) != 1:
            raise self.unsupported(node)
        flow = self.flow(flows[0], node)
        # The shape behind it is not known and not needed: only the host continues from here.
        for name in filter(None, node.output):
            self.values[name] = replace(flow, opaque=(*flow.opaque, node))

    def unsupported(self, node: onnx.NodeProto) -> ModelError:
        """The error for an operator that cannot be built."""
        if (node.domain, node.op_type) in INTEGER_HANDLERS and (node.domain, node.op_type) not in HANDLERS:
            return ModelError(
                f"Input {node.input[0]!r} of node {node.name!r} ({node.op_type}) must be integers, not real values: "
                "put a QuantizeLinear in front of it"
            )
        if ("" if node.domain == "ai.onnx" else node.domain, node.op_type) in HANDLERS:
            return ModelError(
                f"Input {node.input[0]!r} of node {node.name!r} ({node.op_type}) must be quantized, not real: put a "
                "Quant node in front of it, or move the node behind the last quantizer, where the host runs it"
            )
        supported = sorted({kind for _, kind in (*HANDLERS, *INTEGER_HANDLERS)})
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

    def new_name(self, name: str) -> str:
        """A name like this one that nothing has yet."""
        taken = {operator.name for operator in self.operators}
        while name in self.tensors or name in self.names or name in taken or name in self.values:
            name += "_"
        return name

    def is_product(self, name: str) -> bool:
        """Whether a tensor holds accumulators."""
        return any(operator.output == name and isinstance(operator, Dense | Conv) for operator in self.operators)

    def source(self, flow: Flow) -> Tensor:
        """The graph's tensor that a flow starts from, its codes read as the flow reads them."""
        assert flow.source is not None
        tensor = self.tensors[flow.source]
        return tensor if flow.view is None else replace(tensor, format=flow.view)

    def place_input(self, shape: tuple[int, ...]) -> tuple[Codes, tuple[int, ...]]:
        """Layout of the graph's input in a tensor of the file, and its shape without the batch."""
        order = np.arange(int(np.prod(shape, dtype=np.int64)))
        if self.input_layout is None or len(self.input_layout[0]) != len(order):
            return order.reshape(shape), shape[1:]
        elements, layout = self.input_layout
        order[elements] = np.arange(len(elements))
        return order.reshape(shape), layout

    def append(self, operator: Operator, order: Codes, *, learned: bool = True) -> None:
        """A node of the integer graph.

        Args:
            operator: the node.
            order: its output's layout in the file.
            learned: its weights are the file's, and may change at run time.
        """
        if self.free_weights and learned and isinstance(operator, Dense | Conv):
            operator = replace(operator, limits=WeightLimits.of(operator.weights, operator.bias))
        self.operators.append(operator)
        self.tensors[operator.output] = operator.infer(tuple(self.tensors[name] for name in operator.inputs))
        self.layouts[operator.output] = order

    def drop_unread(self, end: str) -> None:
        """Forget operators that nothing reads: other outputs of a Split, the products of a branch that ends nowhere.

        Args:
            end: the graph's output.
        """
        read, kept = {end}, []
        for operator in reversed(self.operators):
            if operator.output in read:
                read.update(operator.inputs)
                kept.append(operator)
            else:
                del self.tensors[operator.output], self.layouts[operator.output]
        self.operators = kept[::-1]

    def attributes(self, node: onnx.NodeProto) -> dict[str, object]:
        """A node's attributes by name."""
        return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
