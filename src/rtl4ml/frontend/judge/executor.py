"""Running an ONNX file node by node, as `qonnx.core.onnx_exec.execute_onnx` does, fast enough for ten thousand samples.

1. The file is run once, on zeros, at its own batch of 1: shapes become known, and whatever does not depend on the
   input's values (weights and their quantizers, shapes) is kept.
2. The remaining nodes are steps that run on chunks of samples (`steps.py`).
3. Tensors with an integer quantization annotation are rounded before and after each node, as qonnx does.
4. A tensor is forgotten after the last step that reads it, unless it was asked for: images may be large.
"""

import os
import warnings
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
from onnx import helper, numpy_helper
from qonnx.core.datatype import BaseDataType, DataType
from qonnx.util.basic import get_sanitize_quant_tensors, sanitize_quant_values

from rtl4ml.errors import ConfigurationError, ModelError
from rtl4ml.frontend.judge.arrays import Array, IntArray, outside
from rtl4ml.frontend.judge.nodes import Node, describe
from rtl4ml.frontend.judge.steps import Batch, Step

Progress = Callable[[int, int], None]

_CHUNK_ELEMENTS = 2**22  # elements of all tensors of a chunk of samples together: some 30 MB
_CHUNK_SAMPLES = 1024


def _data_type(word: str, tensor: str) -> BaseDataType:
    try:
        return DataType[word]
    except (KeyError, ValueError) as error:
        raise ModelError(f"Data type of {tensor!r} must be one that qonnx has, not {word!r}") from error


class _Annotations:
    """The quantization annotations of a file, under the method name by which `sanitize_quant_values` asks for them."""

    def __init__(self, graph: onnx.GraphProto):
        self.types = {
            annotation.tensor_name: _data_type(pair.value, annotation.tensor_name)
            for annotation in graph.quantization_annotation
            for pair in annotation.quant_parameter_tensor_names
            if pair.key == "finn_datatype"
        }
        self.integer = {name for name, kind in self.types.items() if kind.is_integer()}

    def get_tensor_datatype(self, name: str) -> object:
        return self.types[name]

    def apply(self, names: Iterable[str], values: dict[str, Array]) -> None:
        """Round the annotated tensors among `names`, in place of the dictionary's arrays."""
        if not self.integer:
            return
        chosen = [name for name in names if name in self.integer and name in values]
        if chosen and get_sanitize_quant_tensors():
            try:
                sanitize_quant_values(self, chosen, values)
            except Exception as error:  # qonnx raises Exception itself
                raise ModelError(
                    f"Tensors {chosen} must have values of the annotated data type, not others: "
                    f"{' '.join(str(error).split())}"
                ) from error


class Action(Protocol):
    """Something that is done to a batch between two nodes of the file, or one of the nodes."""

    @property
    def reads(self) -> Sequence[str]:
        """Tensors that must be there."""

    @property
    def writes(self) -> Sequence[str]:
        """Tensors that are there afterwards."""

    @property
    def sources(self) -> Sequence[str]:
        """Tensors whose codes must be there."""

    def __call__(self, batch: Batch) -> None:
        """Do it."""


class Executor:
    """A file, opened: constants evaluated, the other nodes ready to run. The base of both judges.

    Args:
        model: an ONNX model, or the path of one. It needs one input; a missing or symbolic first dimension is taken
            as 1.

    Raises:
        ModelError: the file has several inputs, an unsorted graph, or an operator that the executors do not have.

    Attributes:
        input_name: the graph's input.
        input_shape: its shape in the file, batch of 1 included.
        output_names: the graph's outputs.
        constants: tensors that do not depend on the input, by name, as the file has them.
        shapes: shape of every tensor for one sample.
        opset: version of the standard operators.
    """

    def __init__(self, model: onnx.ModelProto | str | os.PathLike[str]):
        if not isinstance(model, onnx.ModelProto):
            model = onnx.load(str(Path(model)))
        graph = model.graph
        self.constants: dict[str, Array] = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        inputs = [tensor for tensor in graph.input if tensor.name not in self.constants]
        if len(inputs) != 1:
            raise ModelError(f"the graph must have one input, not {[tensor.name for tensor in inputs]}")
        self.input_name: str = inputs[0].name
        self.input_shape = _input_shape(inputs[0])
        self.output_names: tuple[str, ...] = tuple(tensor.name for tensor in graph.output)
        self._dtype = helper.tensor_dtype_to_np_dtype(inputs[0].type.tensor_type.elem_type)
        self._annotations = _Annotations(graph)
        opset = {entry.domain: entry.version for entry in model.opset_import}
        self.opset: int = opset.get("", opset.get("ai.onnx", 1))
        nodes = [Node(node, opset) for node in graph.node]
        self.producers: dict[str, Step] = {}
        self._sample: dict[str, Array] = {}
        self._actions: list[Action] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zeros need not fit an annotation
            self._probe(nodes)
        self.shapes = {name: array.shape for name, array in self._sample.items()}
        self._dynamic = [name for name in self._sample if name not in self.constants]
        elements = sum(self._sample[name].size for name in self._dynamic)
        self._chunk = max(1, min(_CHUNK_SAMPLES, _CHUNK_ELEMENTS // max(1, elements)))

    def _probe(self, nodes: list[Node]) -> None:
        """Run one sample of zeros; sort nodes into constants and steps."""
        sample = self._sample
        sample.update(self.constants)
        sample[self.input_name] = np.zeros(self.input_shape, self._dtype)
        last = {name: i for i, node in enumerate(nodes) for name in (*node.outputs, *node.inputs)}
        for i, node in enumerate(nodes):
            missing = [name for name in node.inputs if name not in sample]
            if missing:
                raise ModelError(
                    f"{describe(node.proto)} must come after the nodes that make its inputs, not before {missing}"
                )
            self._annotations.apply(node.inputs, sample)
            results = node.execute({name: sample[name] for name in node.inputs})
            sample.update(zip(node.outputs, results, strict=True))
            self._annotations.apply(node.outputs, sample)
            self.constants.update((name, sample[name]) for name in node.inputs if name in self.constants)
            if node.op_type in ("Shape", "Size") or all(name in self.constants for name in node.inputs):
                self.constants.update((name, sample[name]) for name in node.outputs)
            step = Step(node, self.constants, sample)
            self.producers.update((name, step) for name in node.outputs)
            if not all(name in self.constants for name in node.outputs):
                self._actions.append(step)
            for name in dict.fromkeys((*node.inputs, *node.outputs)):
                if last[name] == i and name not in self.constants:
                    # Shape and type are all that counts from here on.
                    sample[name] = np.broadcast_to(np.zeros((), sample[name].dtype), sample[name].shape)

    @property
    def quantizers(self) -> tuple[str, ...]:
        """Tensors of codes that depend on the graph's input: outputs of qonnx's quantizers, and integers."""
        return tuple(
            name
            for name in self._dynamic
            if name in self.producers
            and (self.producers[name].quantizer is not None or self.producers[name].integer)
            and name == self.producers[name].name
        )

    def _run_chunks(
        self,
        x: Array,
        names: Iterable[str] | None,
        code_names: Iterable[str],
        given: Mapping[str, IntArray],
        progress: Progress | None,
        want_codes: bool,
    ) -> tuple[dict[str, Array], dict[str, IntArray]]:
        x = np.asarray(x)
        if x.shape[1:] != outside(self.input_shape):
            raise ConfigurationError(f"x must be of shape (n, *{outside(self.input_shape)}), not {x.shape}")
        chosen = list(self._dynamic if names is None else names)
        codes_chosen = list(code_names)
        self._check_names(chosen, self.shapes)
        total = x.shape[0]
        tensors = {
            name: np.empty((total, *self.shapes[name]), self._sample[name].dtype)
            for name in chosen
            if name not in self.constants
        }
        codes = {name: np.empty((total, *self.shapes[name]), np.int64) for name in codes_chosen}
        if any(len(value) != total for value in given.values()):
            raise ConfigurationError(f"given codes must be those of {total} samples, not of more or fewer")
        for start in range(0, total, self._chunk):
            part = slice(start, min(start + self._chunk, total))
            count = part.stop - start
            batch = Batch(
                count=count,
                values={self.input_name: x[part].astype(self._dtype, copy=False).reshape(count, *self.input_shape)},
                want_codes=want_codes,
                given={name: value[part].reshape(count, *self.shapes[name]) for name, value in given.items()},
            )
            self._execute(batch, chosen, codes_chosen)
            for name, tensor in tensors.items():
                tensor[part] = batch.values[name]
            for name, code in codes.items():
                code[part] = batch.own_codes[name]
            if progress is not None:
                progress(part.stop, total)
        found = {name: tensors[name].reshape(total, *outside(self.shapes[name])) for name in tensors}
        found.update((name, self.constants[name]) for name in chosen if name in self.constants)
        return found, {name: code.reshape(total, *outside(self.shapes[name])) for name, code in codes.items()}

    @staticmethod
    def _check_names(names: Iterable[str], known: Container[str]) -> None:
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ConfigurationError(
                f"names must be those of tensors in the file that have what is asked for, not {unknown}"
            )

    def _execute(self, batch: Batch, names: Iterable[str], code_names: Iterable[str]) -> None:
        values_end = {name: i for i, a in enumerate(self._actions) for name in (*a.writes, *a.reads)}
        codes_end = {name: i for i, a in enumerate(self._actions) for name in (*a.writes, *a.sources)}
        kept, codes_kept = set(names), set(code_names)
        for i, action in enumerate(self._actions):
            self._annotations.apply(action.reads, batch.values)
            action(batch)
            self._annotations.apply(action.writes, batch.values)
            for name in (*action.writes, *action.reads):
                if values_end[name] == i and name not in kept:
                    batch.values.pop(name, None)
            for name in (*action.writes, *action.sources):
                if codes_end[name] == i:
                    batch.codes.pop(name, None)
            for name in action.writes:
                if name not in codes_kept:
                    batch.own_codes.pop(name, None)


class Judge(Executor):
    """Runs a file exactly as qonnx's `execute_onnx(..., return_full_exec_context=True)` does, sample by sample.

    Args:
        model: as for `Executor`.
    """

    def run(self, x: Array, names: Iterable[str] | None = None, progress: Progress | None = None) -> dict[str, Array]:
        """Run the file on samples.

        Args:
            x: `[n, ...]`: n samples of the input, whose leading dimension of 1 in the file is the batch.
            names: tensors to return; None returns all that depend on the input.
            progress: called with (samples done, samples in all).

        Returns:
            Arrays `[n, ...]` by tensor name, a leading dimension of 1 in the file being the batch here too. A
            constant that is asked for by name is returned as the file has it.

        Raises:
            ConfigurationError: `x` has another shape than the input, or a name is not a tensor of the file.
        """
        return self._run_chunks(x, names, (), {}, progress, want_codes=False)[0]

    def run_codes(
        self,
        x: Array,
        names: Iterable[str] | None = None,
        code_names: Iterable[str] | None = None,
        progress: Progress | None = None,
    ) -> tuple[dict[str, Array], dict[str, IntArray]]:
        """Run the file on samples; return the tensors of `run` and, by quantizer output, int64 codes `[n, ...]`.

        Args:
            x: as for `run`.
            names: as for `run`.
            code_names: quantizers' outputs; None is all of `quantizers`.
            progress: as for `run`.

        Raises:
            ConfigurationError: as for `run`.
            ModelError: a code is NaN.
        """
        code_names = self.quantizers if code_names is None else list(code_names)
        self._check_names(code_names, self.quantizers)
        return self._run_chunks(x, names, code_names, {}, progress, want_codes=True)


def _input_shape(tensor: onnx.ValueInfoProto) -> tuple[int, ...]:
    """Shape of the input at a batch of 1."""
    sizes = [dimension.dim_value for dimension in tensor.type.tensor_type.shape.dim]
    if sizes and sizes[0] == 0:
        sizes[0] = 1
    if 0 in sizes:
        raise ModelError(f"dimensions of input {tensor.name!r} but the batch must be fixed, not {sizes} (0: not fixed)")
    return tuple(sizes)
