"""Single nodes, executed by onnxruntime and qonnx as qonnx's `execute_node` has them executed.

A standard node becomes a model of its own in which every input is a graph input, weights too (a weight that is an
initializer would be packed, and multiplied by another kernel); the session is kept. A custom node is qonnx's own
`CustomOp`; one of its channels-last nodes is the standard node between two transpositions, as qonnx has it, without
its new session for every call.

onnxruntime cuts the sums of a convolution and of a product of several rows into other pieces when more threads share
them: such nodes get as many threads as qonnx's own sessions have, all others one.
"""

import copy
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
from onnx import helper
from qonnx.custom_op.registry import getCustomOp, is_custom_op
from qonnx.util.basic import get_preferred_qonnx_opset, qonnx_make_model

from rtl4ml.errors import ModelError
from rtl4ml.frontend.judge.arrays import PACKED, Array

QONNX_DOMAIN = "qonnx.custom_op.general"
CHANNELS_LAST_DOMAIN = "qonnx.custom_op.channels_last"
_CUSTOM_DOMAINS = ("qonnx.custom_op.", "onnx.brevitas", "finn.custom_op.")
_OLD_DOMAINS = ("", "finn", "finn.custom_op.general")
_OPERATORS_WITHOUT_DOMAIN = ("Quant", "IntQuant", "BipolarQuant", "Trunc", "FloatQuant")


def canonical(node: onnx.NodeProto) -> onnx.NodeProto:
    """Return the node, its domain brought up to date where qonnx 1.0.0 would not find its operator."""
    old = node.domain in _OLD_DOMAINS[1:] or (node.domain == "" and node.op_type in _OPERATORS_WITHOUT_DOMAIN)
    if not old:
        return node
    renamed = copy.deepcopy(node)
    renamed.domain = QONNX_DOMAIN
    return renamed


def describe(node: onnx.NodeProto) -> str:
    """Name a node for a message."""
    return f"node {node.name or node.output[0]!r} ({node.op_type})"


def _wide(name: str, array: Array) -> str:
    """Name of the model's input for an array."""
    return f"{name}.wide" if array.dtype.name in PACKED else name


def _widened(array: Array) -> Array:
    """An array as onnxruntime takes it."""
    return array.astype(PACKED[array.dtype.name]) if array.dtype.name in PACKED else array


def channels_first(array: Array, axis: int = 0) -> Array:
    """Move the channels, the last axis, to stand behind `axis`: the batch, or a weight's outputs."""
    return np.moveaxis(array, -1, axis + 1)


def channels_last(array: Array, axis: int = 0) -> Array:
    """Undo `channels_first`."""
    return np.moveaxis(array, axis + 1, -1)


class Node:
    """One node of the file.

    Args:
        node: the node.
        opset: versions of the model's opset imports by domain; a custom domain without one has version 1, as in qonnx.

    Raises:
        ModelError: neither onnxruntime nor qonnx has the operator.
    """

    def __init__(self, node: onnx.NodeProto, opset: dict[str, int]):
        self.proto = canonical(node)
        self.op_type: str = self.proto.op_type
        self.inputs = [name for name in self.proto.input if name]
        self.outputs = [name for name in self.proto.output if name]
        # The import that counts is that of the domain in the file; "" would give Trunc the version of ONNX itself.
        self._version = opset.get(node.domain, get_preferred_qonnx_opset())
        if node.domain == "" and self.proto.domain:
            self._version = get_preferred_qonnx_opset()
        self._default_version = opset.get("", opset.get("ai.onnx", 1))
        self._types: list[np.dtype | None] = [None] * len(self.outputs)
        # qonnx imports the module that a domain names; a file shall not choose which.
        self.custom = self.proto.domain.startswith(_CUSTOM_DOMAINS) and is_custom_op(self.proto.domain, self.op_type)
        self.channels_last = self.custom and self.proto.domain == CHANNELS_LAST_DOMAIN
        self._sessions: dict[bool, onnxruntime.InferenceSession] = {}
        self._standard: Node | None = None
        if self.custom:
            try:
                self._operator = getCustomOp(self.proto, onnx_opset_version=self._version)
            except KeyError as error:
                raise ModelError(
                    f"{describe(self.proto)} must be in a version that qonnx has, not {self._version}"
                ) from error
        if self.channels_last:
            standard = copy.deepcopy(self.proto)
            standard.domain = ""
            self._standard = Node(standard, {"": self.operator_version})

    @property
    def operator_version(self) -> int:
        """Version of a custom operator that runs: the highest that qonnx has up to the model's import."""
        return int(getattr(self._operator, "onnx_opset_version", 1))

    def attribute(self, name: str, default: Any = None) -> Any:
        """Value of an attribute; of a custom operator, qonnx's default where the file has none.

        Channels-last nodes hand what they have to the standard operator, whose defaults then count.
        """
        if self.custom and not self.channels_last:
            return self._operator.get_nodeattr(name)
        for attribute in self.proto.attribute:
            if attribute.name == name:
                return helper.get_attribute_value(attribute)
        return default

    def execute(self, inputs: dict[str, Array], many: bool = False) -> list[Array]:
        """Run the node.

        Args:
            inputs: arrays by tensor name.
            many: the arrays hold many samples; standard nodes then use a second session without fixed shapes.

        Returns:
            One array for each name in `outputs`.
        """
        if self._standard is not None:
            return self._execute_channels_last(self._standard, inputs)
        if self.custom:
            context = dict(inputs)
            for name in self.outputs:  # some operators look at the shape that is there
                context[name] = np.zeros_like(inputs[self.inputs[0]], dtype=np.float32)
            with np.errstate(all="ignore"):
                self._operator.execute_node(context, None)
            return [np.asarray(context[name]) for name in self.outputs]
        if many not in self._sessions:
            self._sessions[many] = self._open(inputs, many)
        session = self._sessions[many]
        feed = {_wide(name, array): _widened(array) for name, array in inputs.items()}
        try:
            results: list[Array] = session.run([output.name for output in session.get_outputs()], feed)
        except Exception as error:  # as in _open
            raise ModelError(f"{describe(self.proto)} must run on its inputs, not fail: {error}") from error
        return [
            result if kind is None else result.astype(kind) for result, kind in zip(results, self._types, strict=True)
        ]

    def _execute_channels_last(self, standard: "Node", inputs: dict[str, Array]) -> list[Array]:
        """Run the standard operator; of a convolution, the weights are channels-last too."""
        moved = self.inputs[: 2 if self.op_type == "Conv" else 1]
        first = {name: channels_first(array) if name in moved else array for name, array in inputs.items()}
        return [np.ascontiguousarray(channels_last(result)) for result in standard.execute(first)]

    def _threads(self, inputs: dict[str, Array]) -> int:
        """Threads of a session; 0 leaves the number to onnxruntime, as qonnx does."""
        first = inputs[self.inputs[0]] if self.inputs else np.zeros(0)
        rows = self.op_type in ("MatMul", "Gemm") and first.size > max(first.shape, default=0)
        return 0 if rows or self.op_type in ("Conv", "ConvTranspose") else 1

    def _open(self, inputs: dict[str, Array], many: bool) -> onnxruntime.InferenceSession:
        """Open a session on this node alone."""
        session = self._session([self.proto], self.outputs, inputs, many)
        packed = {o.name: o.type[7:-1] for o in session.get_outputs() if o.type[7:-1] in PACKED}
        kinds = {name: np.dtype(getattr(ml_dtypes, kind)) for name, kind in packed.items()}
        if packed:  # onnxruntime cannot hand out 4-bit integers: wider ones leave the model
            casts = [
                helper.make_node(
                    "Cast", [name], [f"{name}.wide"], to=helper.np_dtype_to_tensor_dtype(np.dtype(PACKED[kind]))
                )
                for name, kind in packed.items()
            ]
            outputs = [f"{name}.wide" if name in packed else name for name in self.outputs]
            session = self._session([self.proto, *casts], outputs, inputs, many)
        self._types = [kinds.get(name) for name in self.outputs]
        return session

    def _session(
        self, nodes: list[onnx.NodeProto], outputs: list[str], inputs: dict[str, Array], many: bool
    ) -> onnxruntime.InferenceSession:
        """A session on nodes whose inputs are all graph inputs; 4-bit ones come in wider and are cast."""
        casts = [
            helper.make_node("Cast", [_wide(name, array)], [name], to=helper.np_dtype_to_tensor_dtype(array.dtype))
            for name, array in inputs.items()
            if array.dtype.name in PACKED
        ]
        graph = helper.make_graph(
            [*casts, *nodes],
            "single-node-exec",
            [
                helper.make_tensor_value_info(
                    _wide(name, array),
                    helper.np_dtype_to_tensor_dtype(_widened(array).dtype),
                    [None] * array.ndim if many else array.shape,
                )
                for name, array in inputs.items()
            ],
            [onnx.ValueInfoProto(name=name) for name in outputs],
        )
        model = qonnx_make_model(graph)
        model.opset_import[0].version = self._default_version
        if self.proto.domain not in ("", "ai.onnx"):
            model.opset_import.append(helper.make_opsetid(self.proto.domain, self._version))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1 if many else self._threads(inputs)
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a pool for every node: let it sleep
        options.log_severity_level = 3
        try:
            return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions have no common public base class
            reason = f"{describe(self.proto)} must be an operator that onnxruntime or qonnx runs, not {error}"
            raise ModelError(reason) from error
