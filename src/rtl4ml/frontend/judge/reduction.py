"""ReduceSum, ReduceMean and GlobalAveragePool of a quantized tensor.

An integer sum times its scale, rounded once; a mean divides that by the number of terms.
"""

from collections.abc import Mapping

import numpy as np

from rtl4ml.frontend.judge.arrays import Array
from rtl4ml.frontend.judge.exact import scaled
from rtl4ml.frontend.judge.grids import NotIntegerError
from rtl4ml.frontend.judge.operands import Operand
from rtl4ml.frontend.judge.steps import Batch, Step

REDUCTIONS = ("ReduceSum", "ReduceMean", "GlobalAveragePool")


class Reduction:
    """One sum of codes in the place of the judge's step.

    Args:
        step: the judge's step.
        operand: what is summed.
        constants: the file's constants.
        rank: dimensions of the operand.

    Raises:
        NotIntegerError: scales differ along the summed axes, or the axes depend on the input.
    """

    def __init__(self, step: Step, operand: Operand, constants: Mapping[str, Array], rank: int):
        node = step.node
        self.name = step.name
        self.reads, self.writes = step.reads, step.writes
        self.sources = (operand.source,)
        spatial = node.op_type == "GlobalAveragePool"
        axes = range(2, rank) if spatial else node.attribute("axes")
        if len(step.reads) > 1:
            if step.reads[1] not in constants:
                raise NotIntegerError("its axes depend on the input")
            axes = constants[step.reads[1]].reshape(-1).tolist()
        if not axes:
            axes = () if node.attribute("noop_with_empty_axes", 0) else range(rank)
        self._axes = tuple(sorted({int(axis) % rank for axis in axes}))
        self._keep = bool(node.attribute("keepdims", 1))
        self._operand, self._mean = operand, node.op_type != "ReduceSum"
        scale = operand.grid.scale
        first = scale[tuple(slice(0, 1) if axis in self._axes else slice(None) for axis in range(rank))]
        if not np.array_equal(np.broadcast_to(first, scale.shape), scale):
            raise NotIntegerError("its scales differ along the summed axes")
        self._scale = (
            first if self._keep else first.reshape([d for a, d in enumerate(first.shape) if a not in self._axes])
        )
        self._count = np.float32(np.prod([scale.shape[axis] for axis in self._axes]))

    def __call__(self, batch: Batch) -> None:
        """Put the output's values into `batch`."""
        numbers = batch.codes[self._operand.source] - self._operand.grid.zero_point
        sums = numbers.sum(axis=tuple(axis + 1 for axis in self._axes), keepdims=self._keep)
        values = scaled(sums, [self._scale], None)
        batch.values[self.name] = values / self._count if self._mean else values
