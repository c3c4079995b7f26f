"""Two operands and the quantizer behind them as one function of two codes, run over all pairs of codes.

The executor's float32 kernels define it: real values of both codes, rounded; each operand's own elementwise operators;
sum, difference, product, maximum or minimum, rounded; the operators behind; the quantizer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, Format, Reals
from rtl4ml.frontend.chain_kernels import StepKernels
from rtl4ml.frontend.quantizer import AnyQuantizer
from rtl4ml.frontend.values import Step, limits_of, of_period, period_of, picked
from rtl4ml.graph import Tensor

MAX_PAIRS = 1 << 20
"""Pairs of codes of one channel; beyond, they are not run."""

MAX_POINTS = 1 << 24
"""Pairs of all channels together."""

# IEEE 754 leaves one result for each of these; the executor's kernel and NumPy's give it both.
OPERATIONS: dict[str, Callable[[Reals, Reals], Reals]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Max": np.maximum,
    "Min": np.minimum,
}


@dataclass(frozen=True, eq=False)
class Operand:
    """One side of a join: a tensor's codes with what the file does to them before the join.

    Parameters:
        tensor: where the codes come from.
        elements: int64 (n,): element of the tensor for each element of the join; None: they are the same.
        shape: of the join, without the batch; channels last where it is a feature map.
        bias: float32 () or (k,) in the tensor's order, or None.
        steps: elementwise operators pending, constants in the tensor's order.
    """

    tensor: Tensor
    elements: Codes | None
    shape: tuple[int, ...]
    bias: Reals | None
    steps: tuple[Step, ...]

    @property
    def plain(self) -> bool:
        """Whether nothing stands between the codes and the join."""
        return self.bias is None and not self.steps

    @property
    def size(self) -> int:
        """Elements of the join."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def channels(self) -> int:
        """Length of the join's last dimension."""
        return self.shape[-1] if self.shape else 1

    def pick(self, array: NDArray) -> NDArray:
        """A parameter () or (k,) in the order of the join, likewise."""
        return picked(array, self.elements, self.channels)

    @property
    def scale(self) -> NDArray[np.float64]:
        """Scale in the order of the join, () or (k,)."""
        return self.pick(self.tensor.format.scale)

    @property
    def limits(self) -> tuple[Codes, Codes]:
        """Lowest and highest code in the order of the join, int64 (k,) each."""
        if self.elements is None:
            return self.tensor.low, self.tensor.high
        return self.tensor.lows[self.elements], self.tensor.highs[self.elements]

    def parameters(self) -> list[NDArray]:
        """Everything that may differ between elements."""
        arrays = [self.scale, self.pick(self.tensor.format.zero_point)]
        arrays += [] if self.bias is None else [self.pick(self.bias)]
        return arrays + [self.pick(p) for step in self.steps for p in step.parameters.values()]

    def values(self, codes: Codes, rows: Rows, opset: int) -> Reals:
        """Real values (m, rows) of codes (m, rows) where they meet the other operand."""
        own = self.tensor.format
        chosen = Format(own.bits, own.signed, rows.of(self.scale), rows.of(self.pick(own.zero_point)))
        values = chosen.real(codes, None if self.bias is None else rows.of(self.pick(self.bias)))
        return run_steps(self.steps, values, lambda p: rows.of(self.pick(p)), opset)


@dataclass(frozen=True)
class Rows:
    """Which elements are run: one for all when they share their parameters, one a channel, or every one.

    Parameters:
        count: columns of the tables of codes.
    """

    count: int

    def of(self, array: NDArray) -> NDArray:
        """A parameter () or (k,) for these rows."""
        return of_period(array, self.count)

    def tensor(self, tensor: Tensor) -> Tensor:
        """A tensor of the join's elements as one of these rows."""
        own = tensor.format
        moved = replace(own, scale=self.of(own.scale), zero_point=self.of(own.zero_point))
        low, high = limits_of(tensor.low, tensor.high, self.count)
        return replace(tensor, shape=(self.count,), format=moved, low=low, high=high)


def run_steps(steps: tuple[Step, ...], values: Reals, parameter_of: Callable[[NDArray], NDArray], opset: int) -> Reals:
    """Apply elementwise operators to values (m, rows) with the executor's kernels."""
    if not steps:
        return values
    moved = [replace(s, parameters={at: parameter_of(p) for at, p in s.parameters.items()}) for s in steps]
    return StepKernels(moved, values.shape[1], opset).values(values)


@dataclass(frozen=True, eq=False)
class Pairs:
    """All pairs of codes of two operands and what the quantizer makes of each.

    Parameters:
        rows: the elements run.
        left: int64 (m, rows), codes of the first operand.
        right: int64 (m, rows), of the second.
        codes: int64 (m, rows), behind the quantizer.
    """

    rows: Rows
    left: Codes
    right: Codes
    codes: Codes


def run_pairs(
    operation: str,
    operands: tuple[Operand, Operand],
    steps: tuple[Step, ...],
    quantizer: AnyQuantizer,
    opset: int,
    where: str,
) -> Pairs:
    """Run every pair of codes of every distinct element.

    Args:
        operation: one of `OPERATIONS`.
        operands: both sides.
        steps: operators behind, constants () or (k,) in the order of the join.
        quantizer: behind them, its parameters likewise.
        opset: of the file.
        where: the join's node, for messages.

    Raises:
        ModelError: there are too many pairs.
    """
    behind = [*quantizer.parameters, *(p for step in steps for p in step.parameters.values())]
    arrays = [*operands[0].parameters(), *operands[1].parameters(), *behind]
    rows = Rows(period_of(arrays, operands[0].size, operands[0].channels))
    limits = [limits_of(*operand.limits, rows.count) for operand in operands]
    sizes = [int((high - low).max()) + 1 for low, high in limits]
    if sizes[0] * sizes[1] > MAX_PAIRS or sizes[0] * sizes[1] * rows.count > MAX_POINTS:
        raise ModelError(
            f"Operands of {where} must have at most 2**20 pairs of codes a channel, and 2**24 over all channels, not "
            f"{sizes[0]} x {sizes[1]} over {rows.count} channels, unless float32 adds them exactly (scales that are "
            "powers of two): put a Quant node on each"
        )
    grid = np.meshgrid(np.arange(sizes[0]), np.arange(sizes[1]), indexing="ij")
    # Elements with fewer codes meet their last one again.
    left, right = (
        np.minimum(low + index.reshape(-1, 1), high) for index, (low, high) in zip(grid, limits, strict=True)
    )
    values = OPERATIONS[operation](
        *(operand.values(codes, rows, opset) for operand, codes in zip(operands, (left, right), strict=True))
    )
    values = run_steps(steps, values, rows.of, opset)
    return Pairs(rows, left, right, quantizer.moved(rows.of).codes(values))
