"""Elementwise operators and the quantizer behind them as one function of codes, found by the executor's kernels."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Format, Reals
from rtl4ml.frontend import exact_chain, search
from rtl4ml.frontend.chain_kernels import ChainKernels, StepKernels
from rtl4ml.frontend.quantizer import AnyQuantizer
from rtl4ml.frontend.values import Step
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
        bias: () or (n,) or None: of the linear operator, added in the same rounding.
        steps: the elementwise operators.
        quantizer: the quantizer behind them, its parameters () or (n,), in the tensor's order.
        opset: of the file's standard operators.
    """

    tensor: Tensor
    bias: Reals | None
    steps: tuple[Step, ...]
    quantizer: AnyQuantizer
    opset: int

    @property
    def uniform(self) -> bool:
        """Whether all channels share one function."""
        arrays = [self.tensor.format.scale, self.tensor.format.zero_point, *self.quantizer.parameters]
        arrays += [] if self.bias is None else [self.bias]
        arrays += [p for step in self.steps for p in step.parameters.values()]
        return all(a.size == 1 or np.all(a == a.reshape(-1)[0]) for a in arrays)

    def rows(self) -> "Chain":
        """The same with parameters of shape () where all channels share one function."""
        if not self.uniform:
            return self

        def one(array: NDArray) -> NDArray:
            return array.reshape(-1)[:1].reshape(())

        kind = self.tensor.format
        tensor = replace(
            self.tensor,
            shape=(1,),
            format=Format(kind.bits, kind.signed, one(kind.scale), one(kind.zero_point)),
            low=self.tensor.low.min(keepdims=True),
            high=self.tensor.high.max(keepdims=True),
        )
        steps = tuple(replace(s, parameters={at: one(p) for at, p in s.parameters.items()}) for s in self.steps)
        bias = None if self.bias is None else one(self.bias)
        return Chain(tensor, bias, steps, self.quantizer.moved(one), self.opset)

    def staircase(self) -> Staircase:
        """The function that the executor's kernels compute, one value at a time.

        Raises:
            ModelError: too many steps or points in all, values that are no numbers, or accumulators over 2**53.
        """
        chain = self.rows()
        low, high = chain.tensor.low, chain.tensor.high
        if max(abs(int(low.min())), abs(int(high.max()))) >= 1 << 53:
            raise ModelError(
                f"Accumulators before node {self.quantizer.node!r} must stay under 2**53 to be float64, not "
                f"{high.max()}"
            )
        steps = StepKernels(chain.steps, len(low), self.opset)
        kernels = ChainKernels(chain.tensor.format, chain.bias, steps, chain.quantizer)
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
        chain = self.rows()
        exact = exact_chain.staircase(chain.tensor, chain.bias, chain.steps, chain.quantizer)
        return (kernels, None) if exact is None else (exact, difference(exact, kernels))
