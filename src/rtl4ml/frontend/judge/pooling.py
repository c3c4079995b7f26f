"""AveragePool of a quantized tensor: an integer sum times its scale, rounded once, divided by the number of taps."""

from collections.abc import Mapping

import numpy as np

from rtl4ml.frontend.judge.exact import scaled
from rtl4ml.frontend.judge.grids import NotIntegerError, uniform
from rtl4ml.frontend.judge.operands import Operands
from rtl4ml.frontend.judge.sliding import Sliding
from rtl4ml.frontend.judge.steps import Batch, Step


class AveragePooling:
    """Averages over windows in the place of the judge's step.

    Args:
        step: the judge's step.
        operands: finds codes and grids.
        shapes: of one sample's tensors.

    Raises:
        NotIntegerError: there are no codes, or scales differ within an image.
    """

    def __init__(self, step: Step, operands: Operands, shapes: Mapping[str, tuple[int, ...]]):
        self.name, self.reads, self.writes = step.name, step.reads, step.writes
        self._operand = operands.find(step.reads[0], 1)
        self.sources = (self._operand.source,)
        shape = shapes[step.reads[0]]
        if shape[0] != 1:
            raise NotIntegerError(f"its batch is {shape[0]}, not 1")
        self._scale = uniform(self._operand.grid.scale, "its scales")[0]
        self._sliding = Sliding.of(step.node, shape[2:], shapes[step.name][2:])
        self._counts = self._sliding.counts(bool(step.node.attribute("count_include_pad", 0))).astype(np.float32)

    def __call__(self, batch: Batch) -> None:
        """Put the output's values into `batch`."""
        numbers = (batch.codes[self._operand.source] - self._operand.grid.zero_point)[:, 0]
        sums = np.zeros((*numbers.shape[:2], *self._sliding.outputs), np.int64)
        for tap in self._sliding.taps(self._sliding.padded(numbers, 0)):
            sums += tap
        batch.values[self.name] = (scaled(sums, [self._scale]) / self._counts)[:, np.newaxis]
