"""Elementwise operators and the quantizer behind them as one function of codes, found by the executor's kernels."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, Format, Reals
from rtl4ml.frontend import kernels
from rtl4ml.frontend.quantizer import Quantizer
from rtl4ml.frontend.values import Step
from rtl4ml.graph import Tensor
from rtl4ml.staircase import Staircase

MAX_STEPS = 1 << 24
"""Steps of all channels together; beyond, neither search nor hardware would be sensible."""

PRODUCT_BIAS = "bias"
"""Word for a product's own bias where it is no integer of the accumulator, in the words of a chain."""

TILE = 1 << 18
"""Points that go through the kernels at once."""


@dataclass(frozen=True, eq=False)
class Chain:
    """Codes of a tensor to codes behind a quantizer.

    Parameters:
        tensor: where the codes come from.
        bias: float32 () or (n,) or None: of the linear operator, added in the same rounding.
        steps: the elementwise operators.
        quantizer: the quantizer behind them.
        scale: its scale, () or (n,), source order.
        zero_point: likewise.
        opset: of the file's standard operators.
    """

    tensor: Tensor
    bias: Reals | None
    steps: tuple[Step, ...]
    quantizer: Quantizer
    scale: NDArray
    zero_point: NDArray
    opset: int

    @property
    def uniform(self) -> bool:
        """Whether all channels share one function."""
        arrays = [self.tensor.format.scale, self.tensor.format.zero_point, self.scale, self.zero_point]
        arrays += [] if self.bias is None else [self.bias]
        arrays += [p for step in self.steps for p in step.parameters.values()]
        return all(a.size == 1 or np.all(a == a.reshape(-1)[0]) for a in arrays)

    def _row(self, array: NDArray, uniform: bool) -> NDArray:
        return array.reshape(-1)[:1].reshape(()) if uniform else array

    def function(self) -> Callable[[Codes], Codes]:
        """A function from codes (m, rows) to codes (m, rows)."""
        one = self.uniform
        tensor_format = self.tensor.format
        source = Format(
            tensor_format.bits,
            tensor_format.signed,
            self._row(tensor_format.scale, one),
            self._row(tensor_format.zero_point, one),
        )
        bias = None if self.bias is None else self._row(self.bias, one)
        scale, zero_point = self._row(self.scale, one), self._row(self.zero_point, one)
        quantizer = Quantizer(**{**self.quantizer.__dict__, "scale": scale, "zero_point": zero_point})
        rows = 1 if one else self.tensor.size
        run = self._kernels(rows, one) if self.steps else None

        def evaluate(codes: Codes) -> Codes:
            values = source.real(codes, bias)
            values = values if run is None else run(values)
            if np.isnan(values).any():
                raise ModelError(
                    f"Values that reach node {quantizer.node!r} ({quantizer.operator}) must be numbers, not NaN: the operators in "
                    "front of it overflow or divide by 0"
                )
            return quantizer.codes(values)

        return evaluate

    def _kernels(self, rows: int, one: bool) -> Callable[[Reals], Reals]:
        nodes, constants = [], {}
        name = "x"
        for index, step in enumerate(self.steps):
            inputs = []
            for position in range(len(step.node.input)):
                if position == step.operand:
                    inputs.append(name)
                elif not step.node.input[position]:
                    inputs.append("")
                else:
                    parameter = self._row(step.parameters[position], one)
                    if step.node.op_type == "BatchNormalization":
                        parameter = np.broadcast_to(parameter, (rows,))
                    inputs.append(f"c{index}_{position}")
                    constants[inputs[-1]] = parameter
            name = f"y{index}"
            node = onnx.helper.make_node(step.node.op_type, inputs, [name])
            node.attribute.extend(step.node.attribute)
            nodes.append(node)
        model = kernels.build(nodes, {"x": (onnx.TensorProto.FLOAT, [None, rows])}, [name], constants, self.opset)
        session = kernels.session(model)
        return lambda values: session.run([name], {"x": values})[0]

    def staircase(self) -> Staircase:
        """The chain's steps, by bisection: its operators are correctly rounded and monotone, so the chain is too.

        Raises:
            ModelError: too many steps in all.
        """
        function = self.function()
        low, high = self.tensor.low, self.tensor.high
        if self.uniform:
            low, high = low.min(keepdims=True), high.max(keepdims=True)
        if max(abs(int(low.min())), abs(int(high.max()))) >= 1 << 53:
            raise ModelError(
                f"Accumulators before node {self.quantizer.node!r} must stay under 2**53 to be float64, not "
                f"{high.max()}"
            )
        ends = function(np.stack([low, high]))
        first, last = ends[0], ends[1]
        levels = np.abs(last - first)
        if levels.sum() > MAX_STEPS:
            raise ModelError(
                f"Node {self.quantizer.node!r} ({self.quantizer.operator}) must have at most {MAX_STEPS} steps over "
                "all channels, not "
                f"{levels.sum()}: use fewer bits"
            )
        where, reached = self._bisect(function, low, high, first, last, levels)
        positions, codes = [], []
        for end, count in zip(np.cumsum(levels), levels, strict=True):
            # A step of several codes was found once for each of its levels.
            distinct, index = np.unique(where[end - count : end], return_index=True)
            positions.append(distinct)
            codes.append(reached[end - count : end][index])
        return Staircase(low.copy(), high.copy(), first, tuple(positions), tuple(codes))

    @staticmethod
    def _bisect(
        function: Callable[[Codes], Codes], low: Codes, high: Codes, first: Codes, last: Codes, levels: Codes
    ) -> tuple[Codes, Codes]:
        """For every row and level: the smallest x at which the function has reached that level, and its code there."""
        row = np.repeat(np.arange(len(low)), levels)
        starts = np.concatenate([[0], np.cumsum(levels)[:-1]])
        level = np.arange(levels.sum()) - starts[row] + 1
        sign = np.sign(last - first)[row]
        below, above = low[row].copy(), high[row].copy()
        reached = last[row].copy()
        width = int(levels.max()) if len(levels) else 0
        while len(row) and np.any(above - below > 1):
            middle = below + (above - below) // 2
            codes = _scatter(function, middle, row, level - 1, low, width)
            passed = (codes - first[row]) * sign >= level
            above = np.where(passed, middle, above)
            reached = np.where(passed, codes, reached)
            below = np.where(passed, below, middle)
        return above, reached


def _scatter(function: Callable[[Codes], Codes], x: Codes, row: Codes, order: Codes, fill: Codes, width: int) -> Codes:
    """Evaluate the row functions at ragged points: laid out as a (points, rows) table, tile by tile."""
    rows = len(fill)
    result = np.empty(len(x), np.int64)
    tile = max(1, TILE // rows)
    for start in range(0, width, tile):
        chosen = (order >= start) & (order < start + tile) if width > tile else slice(None)
        table = np.repeat(fill[None, :], min(tile, width - start), axis=0)
        at, where = order[chosen] - start, row[chosen]
        table[at, where] = x[chosen]
        result[chosen] = function(table)[at, where]
    return result
