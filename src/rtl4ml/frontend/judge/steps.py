"""Nodes on many samples at once, where that cannot change a bit, and sample by sample where it can.

Layout operators move data; Add, Sub, Mul, Div, Relu and their like are one correctly rounded operation an element, so
that neither order nor neighbours matter; BatchNormalization is one product and one sum an element with factors that
do not depend on the data. Maxima over windows and rearrangements of channels choose among values, each image by
itself. qonnx's quantizers are NumPy expressions of that kind. The tests compare each with single
samples. Everything else (MatMul, Gemm and Conv above all: onnxruntime picks another kernel for one row than for many,
and cuts the sums of a lone image otherwise than those of several) runs once a sample.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from rtl4ml.errors import ModelError
from rtl4ml.frontend.judge.arrays import Array, IntArray, expand, is_integer
from rtl4ml.frontend.judge.nodes import Node, describe
from rtl4ml.frontend.judge.quantizers import Quantizer, Truncation

RESHAPING = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout")
LAYOUT = (*RESHAPING, "Transpose")
ELEMENTWISE = ("Cast", "Add", "Sub", "Mul", "Div", "Neg", "Abs", "Max", "Min", "Relu", "Clip", "LeakyRelu", "PRelu")
PER_CHANNEL = ("BatchNormalization", "QuantizeLinear", "DequantizeLinear")
PER_IMAGE = ("MaxPool", "GlobalMaxPool", "DepthToSpace", "SpaceToDepth")


@dataclass
class Batch:
    """What is known of some samples: values and codes by tensor name, `[count, *shape]`.

    `codes` holds what later nodes see; `own_codes` what the quantizers and products themselves gave, which differs
    where a caller has put other codes in the place of a quantizer's (`given`).
    """

    count: int
    values: dict[str, Array]
    want_codes: bool = False
    codes: dict[str, IntArray] = field(default_factory=dict)
    own_codes: dict[str, IntArray] = field(default_factory=dict)
    given: dict[str, IntArray] = field(default_factory=dict)


class Step:
    """One node on a batch.

    Args:
        node: the node.
        constants: tensors that do not depend on the input.
        sample: every tensor of one sample, as the file has it: shapes and data types.
    """

    def __init__(self, node: Node, constants: dict[str, Array], sample: dict[str, Array]):
        self.node = node
        self.name = node.outputs[0]
        self.reads, self.writes = node.inputs, node.outputs
        self.sources: tuple[str, ...] = ()
        self._constants = {name: constants[name] for name in node.inputs if name in constants}
        self._shapes = {name: sample[name].shape for name in (*node.inputs, *node.outputs)}
        self.dynamic = [name for name in dict.fromkeys(node.inputs) if name not in constants]
        self._run = self._choose()
        self.quantizer: Quantizer | Truncation | None = None
        if node.custom and node.op_type in Quantizer.OPERATORS:
            self.quantizer = Quantizer(node.op_type, self.name, node.attribute)
        elif node.custom and node.op_type == "Trunc":
            self.quantizer = Truncation(self.name, node.attribute, node.operator_version)
        # A tensor of an integer type holds codes, whatever made them; layout operators only move them.
        self.integer = is_integer(sample[self.name]) and node.op_type not in (*LAYOUT, "Shape", "Size")

    @property
    def batched(self) -> bool:
        """Whether the samples of a batch are computed together."""
        return self._run != self._one_by_one

    def __call__(self, batch: Batch) -> None:
        """Compute the node's outputs in `batch`."""
        for name, value in zip(self.writes, self._run(batch), strict=True):
            batch.values[name] = value
        if self.quantizer is not None and batch.want_codes:
            self._add_codes(batch, self.quantizer)
        elif self.integer and batch.want_codes:
            self.add_integers(batch)

    def inputs(self, batch: Batch) -> list[Array]:
        """The node's inputs: constants as they are, the others `[count, *shape]`."""
        return [self._constants[name] if name in self._constants else batch.values[name] for name in self.node.inputs]

    def add_integers(self, batch: Batch) -> None:
        """Note the codes of an output of an integer type, and let later nodes see the ones given."""
        values = batch.values[self.name]
        batch.own_codes[self.name] = batch.codes[self.name] = values.astype(np.int64)
        if self.name in batch.given:
            batch.codes[self.name] = batch.given[self.name]
            batch.values[self.name] = batch.given[self.name].astype(values.dtype)

    def _add_codes(self, batch: Batch, quantizer: Quantizer | Truncation) -> None:
        inputs = self.inputs(batch)
        own = np.broadcast_to(quantizer.codes(inputs), (batch.count, *self._shapes[self.name]))
        batch.own_codes[self.name] = batch.codes[self.name] = own
        if self.name in batch.given:
            batch.codes[self.name] = batch.given[self.name]
            batch.values[self.name] = quantizer.values(batch.given[self.name], inputs)

    def _choose(self) -> Callable[[Batch], list[Array]]:
        """Pick the way to run the node on many samples."""
        node, rank = self.node, len(self._shapes[self.name])
        only_first = self.dynamic == node.inputs[:1] and len(self.writes) == 1
        constant_rank = max((array.ndim for array in self._constants.values()), default=0)
        if node.custom:
            aligned = self._shapes[node.inputs[0]] == self._shapes[self.name] and constant_rank <= rank
            known = (*Quantizer.OPERATORS, "Trunc")
            return self._aligned if node.op_type in known and only_first and aligned else self._one_by_one
        if node.op_type in LAYOUT and only_first:
            return self._layout
        if node.op_type in ELEMENTWISE and (only_first or node.op_type != "Clip"):  # Clip's limits must be scalars
            return self._aligned
        per_channel = node.op_type in (*PER_CHANNEL, *PER_IMAGE) and node.attribute("axis", 1) not in (0, -rank)
        per_channel = per_channel and not node.attribute("training_mode", 0)
        if per_channel and only_first and rank > 1 and self._shapes[self.name][0] == 1:
            return self._merged
        return self._one_by_one

    def _layout(self, batch: Batch) -> list[Array]:
        return [self.move(batch.values[self.dynamic[0]])]

    def move(self, array: Array) -> Array:
        """Apply a layout operator to `[n, *shape]`, of any data type."""
        if self.node.op_type == "Transpose":
            rank = array.ndim - 1
            order = self.node.attribute("perm", range(rank - 1, -1, -1))
            return array.transpose(0, *(axis + 1 for axis in order))
        return array.reshape(array.shape[0], *self._shapes[self.name])

    def _aligned(self, batch: Batch) -> list[Array]:
        """All samples as one array, their axis in front; broadcasting is from the right: constants stay as they are."""
        rank = max([len(self._shapes[self.name]), *(array.ndim for array in self._constants.values())])
        inputs = dict(self._constants)
        inputs.update({name: expand(batch.values[name], rank) for name in self.dynamic})
        result = self.node.execute(inputs, many=True)[0]
        return [result.reshape(batch.count, *self._shapes[self.name])]

    def _merged(self, batch: Batch) -> list[Array]:
        """All samples as one array whose first axis, 1 in the file, counts them."""
        array = batch.values[self.dynamic[0]]
        inputs = {**self._constants, self.dynamic[0]: array.reshape(batch.count, *array.shape[2:])}
        result = self.node.execute(inputs, many=True)[0]
        return [result.reshape(batch.count, *self._shapes[self.name])]

    def _one_by_one(self, batch: Batch) -> list[Array]:
        inputs = dict(self._constants)
        stacks: list[Array] = []
        for i in range(batch.count):
            for name in self.dynamic:
                inputs[name] = batch.values[name][i]
            results = self.node.execute(inputs)
            if not stacks:
                stacks = [np.empty((batch.count, *result.shape), result.dtype) for result in results]
            for stack, result in zip(stacks, results, strict=True):
                if result.shape != stack.shape[1:]:
                    raise ModelError(
                        f"{describe(self.node.proto)} must give one shape, not {result.shape}, then {stack.shape[1:]}"
                    )
                stack[i] = result
        return stacks
