"""Elementwise nodes computed one value at a time, as the definition of a staircase has them.

onnxruntime gives some values other last bits in company than alone (its Elu, Selu, Celu, Softplus, Log and Mish work on
vectors of four with other code than on what is left over; its Pow squares and cubes tensors, but not lone numbers).
The strict judge evaluates such operators between two quantizers in tensors of one element.
"""

import copy

import numpy as np

from rtl4ml.frontend.judge.arrays import Array
from rtl4ml.frontend.judge.nodes import Node
from rtl4ml.frontend.judge.steps import Batch, Step

OPERATORS = frozenset(
    {"Sigmoid", "Tanh", "Elu", "Selu", "Celu", "Softplus", "Softsign", "HardSwish", "Erf", "Exp", "Log", "Pow", "Mish"}
    | {"Gelu"}
)
"""Operators that are not correctly rounded, whatever company does to them on this machine."""


class AloneStep:
    """A node in the place of the judge's step; results are remembered by the bits of the operand.

    Args:
        step: the judge's step: an operator of `OPERATORS` whose first input alone depends on the network's input.
        constants: the file's constants by name.
        opset: of the file's standard operators.
    """

    def __init__(self, step: Step, constants: dict[str, Array], opset: int):
        self.name, self.reads, self.writes = step.name, step.reads, step.writes
        self.sources: tuple[str, ...] = ()
        self._node = Node(copy.deepcopy(step.node.proto), {"": opset})
        self._operand = step.dynamic[0]
        self._constants = {name: constants[name] for name in step.node.inputs if name in constants}
        # Pow alone is another function than Pow in a tensor: the tensor's counts, so the value gets a double.
        self._copies = 2 if step.node.op_type == "Pow" else 1
        self._known: dict[int, np.float32] = {}

    def __call__(self, batch: Batch) -> None:
        """Compute the node's output in `batch`."""
        values = np.ascontiguousarray(batch.values[self._operand], np.float32)
        bits, where = np.unique(values.view(np.int32), return_inverse=True)
        results = np.array([self._result(int(b)) for b in bits], np.float32)
        batch.values[self.name] = results[where].reshape(values.shape)

    def _result(self, bits: int) -> np.float32:
        if bits not in self._known:
            value = np.full(self._copies, bits, np.int32).view(np.float32)
            self._known[bits] = self._node.execute({**self._constants, self._operand: value}, many=True)[0].reshape(-1)[
                0
            ]
        return self._known[bits]
