"""Elementwise operators and the quantizer behind them as one function of codes, found by the executor's kernels."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, Format, Reals
from rtl4ml.frontend import exact_chain, search
from rtl4ml.frontend.chain_kernels import ChainKernels, StepKernels
from rtl4ml.frontend.quantizer import AnyQuantizer
from rtl4ml.frontend.values import Step, channels_of, limits_of, of_period, period_of
from rtl4ml.graph import Tensor
from rtl4ml.staircase import Difference, Staircase, difference

PRODUCT_BIAS = "bias"
"""Word for a product's own bias where it is no integer of the accumulator, in the words of a chain."""

DEFINITIONS = ("float32", "real")
"""What defines a chain: the executor's kernels, or exact arithmetic."""


@dataclass(frozen=True, eq=False)
class Chain:
    """Codes of a tensor to codes behind a quantizer.

    Parameters:
        tensor: where the codes come from.
        bias: () or (k,) or None: of the linear operator, added in the same rounding; element e has entry e % k.
        steps: the elementwise operators.
        quantizer: the quantizer behind them, its parameters () or (k,), in the tensor's order.
        opset: of the file's standard operators.
    """

    tensor: Tensor
    bias: Reals | None
    steps: tuple[Step, ...]
    quantizer: AnyQuantizer
    opset: int

    def _arrays(self) -> list[NDArray]:
        """Everything that may differ between elements."""
        arrays = [self.tensor.format.scale, self.tensor.format.zero_point, *self.quantizer.parameters]
        arrays += [] if self.bias is None else [self.bias]
        return arrays + [p for step in self.steps for p in step.parameters.values()]

    def _moved(self, move: Callable[[NDArray], NDArray], low: Codes, high: Codes) -> "Chain":
        """The same for other rows: `low` and `high` are theirs, `move` finds their parameters."""
        kind = self.tensor.format
        moved = Format(kind.bits, kind.signed, move(kind.scale), move(kind.zero_point))
        tensor = replace(self.tensor, shape=(len(low),), format=moved, low=low, high=high)
        steps = tuple(replace(s, parameters={at: move(p) for at, p in s.parameters.items()}) for s in self.steps)
        bias = None if self.bias is None else move(self.bias)
        return Chain(tensor, bias, steps, self.quantizer.moved(move), self.opset)

    def rows(self) -> "Chain":
        """The same for the elements that differ: one where all share a function, one a channel, or every one."""
        period = period_of(self._arrays(), self.tensor.size, channels_of(self.tensor))
        limits = limits_of(self.tensor.low, self.tensor.high, period)
        return self._moved(lambda array: of_period(array, period), *limits)

    def _distinct(self) -> tuple["Chain", Codes]:
        """The same without rows that are there twice, and which of the others each row is, int64 (rows,)."""
        count = self.tensor.size
        columns = [np.broadcast_to(array, (count,)).astype(np.float64) for array in self._arrays()]
        _, first, which = np.unique(np.stack(columns, axis=1), axis=0, return_index=True, return_inverse=True)
        which = which.reshape(-1)
        low, high = self.tensor.low[first].copy(), self.tensor.high[first].copy()
        np.minimum.at(low, which, self.tensor.low)
        np.maximum.at(high, which, self.tensor.high)
        return self._moved(lambda array: array if array.ndim == 0 else array[first], low, high), which

    def staircase(self) -> Staircase:
        """The function that the executor's kernels compute, one value at a time.

        Raises:
            ModelError: too many steps or points in all, values that are no numbers, or accumulators over 2**53.
        """
        chain = self.rows()
        if chain.tensor.size <= channels_of(self.tensor):
            return chain._search()
        # Elements of a feature map that differ by pixel: few of them do, such as the borders of an average.
        chain, which = chain._distinct()
        return _spread(chain._search(), which)

    def _search(self) -> Staircase:
        """The function of every row."""
        low, high = self.tensor.low, self.tensor.high
        if max(abs(int(low.min())), abs(int(high.max()))) >= 1 << 53:
            raise ModelError(
                f"Accumulators before node {self.quantizer.node!r} must stay under 2**53 to be float64, not "
                f"{high.max()}"
            )
        steps = StepKernels(self.steps, len(low), self.opset)
        kernels = ChainKernels(self.tensor.format, self.bias, steps, self.quantizer)
        what = f"node {self.quantizer.node!r} ({self.quantizer.operator})"
        if steps.monotone:
            return search.bisect(kernels.codes, low, high, what)
        if (high - low + 1).sum() <= search.ENUMERABLE:
            return search.enumerate_all(kernels.codes, low, high)
        return search.subdivide(kernels.codes, kernels.bounds, low, high, what)

    def function(self, chains: str) -> tuple[Staircase, Difference | None]:
        """The function as the user wants it defined, and where it is not that of the kernels.

        Args:
            chains: one of `DEFINITIONS`. "real": in exact arithmetic, where the chain is affine; other chains are only
                defined by the kernels.

        Raises:
            ModelError: as `staircase`.
        """
        kernels = self.staircase()
        if chains == "float32":
            return kernels, None
        chain, which = self.rows(), None
        if chain.tensor.size > channels_of(self.tensor):
            chain, which = chain._distinct()
        exact = exact_chain.staircase(chain.tensor, chain.bias, chain.steps, chain.quantizer)
        if exact is not None and which is not None:
            exact = _spread(exact, which)
        return (kernels, None) if exact is None else (exact, difference(exact, kernels))


def _spread(staircase: Staircase, which: Codes) -> Staircase:
    """Rows of a staircase, each as often as it is wanted."""
    rows = which.tolist()
    return Staircase(
        staircase.low[which],
        staircase.high[which],
        staircase.first[which],
        tuple(staircase.positions[row] for row in rows),
        tuple(staircase.codes[row] for row in rows),
    )
