"""Arithmetic of a tile of multipliers, before any hardware: ranges, adder trees, what follows them, pipeline cuts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from amaranth.hdl import Shape
from numpy.typing import NDArray

from rtl4ml.datapath.delays import GENERIC
from rtl4ml.datapath.pipeline import Pipeline, cut
from rtl4ml.datapath.words import Datapath, Word
from rtl4ml.errors import ConfigurationError
from rtl4ml.hdl.tables import shape_of_range

Codes = NDArray[np.int64]

BLOCK_ROWS = 64
"""Tables of more rows than this lie in block memories, whose outputs come late."""

BLOCK_MEMORY_NS = 1.8
"""How much later than a register's, for no device in particular."""


@dataclass(frozen=True, eq=False)
class Finish:
    """What follows the accumulators: a function per lane, with parameters that differ between groups of outputs.

    Parameters:
        build: adds the function to a datapath: (datapath, lane, accumulator, parameters by name) -> output word.
            Parameters that are the same in all groups come as constants.
        parameters: for each lane the parameters by name, int64 (groups,) each.
    """

    build: Callable[[Datapath, int, Word, Mapping[str, Word]], Word]
    parameters: Sequence[Mapping[str, Codes]]


@dataclass(frozen=True, eq=False)
class MacPlan:
    """A tile of P x S multipliers that computes `finish(x @ weights + bias)` in H x G passes.

    Word g of x holds S elements; group h of the outputs holds P. Pass (h, g) adds P x S products to the P accumulators
    of group h.

        issue of word g      t      the word and its weights are read
        operands             t + 1  only when `operand_register`
        products             t + 1  registered; one later behind an operand register
        adder trees          ...    cut to the period
        accumulators         ...    only when G > 1
        finish               ...    cut to the period; with G = 1 the trees and this are one datapath
        result               t + depth  can be sampled, for the last word of the pass

    Parameters:
        weights: int64 (H, G, P, S), 0 where there is no element or no output.
        bias: int64 (H, P).
        low: int64 (G, S), lowest code of each element of x, 0 where there is none.
        high: int64 (G, S), highest.
        period_ns: of the clock.
        finish: what follows the accumulators; None: nothing.
    """

    weights: Codes
    bias: Codes
    low: Codes
    high: Codes
    period_ns: float
    finish: Finish | None = None

    trees: Datapath = field(init=False)
    trees_pipeline: Pipeline = field(init=False)
    sum_register: bool = field(init=False)
    tail: Datapath = field(init=False)
    tail_pipeline: Pipeline = field(init=False)
    accumulator_ranges: list[tuple[int, int]] = field(init=False)

    def __post_init__(self) -> None:
        """Find the ranges, build the datapaths and cut them.

        Raises:
            ConfigurationError: the arrays' shapes do not fit each other.
        """
        groups, words, outputs, lanes = self.weights.shape
        if (
            self.bias.shape != (groups, outputs)
            or self.low.shape != (words, lanes)
            or self.high.shape != (words, lanes)
        ):
            raise ConfigurationError(
                f"Bias and element ranges of weights {self.weights.shape} must have shapes {(groups, outputs)} and "
                f"{(words, lanes)}, not {self.bias.shape}, {self.low.shape} and {self.high.shape}"
            )
        ends = self.weights * self.low[None, :, None, :], self.weights * self.high[None, :, None, :]
        lows, highs = np.minimum(*ends), np.maximum(*ends)
        trees = Datapath()
        tail = trees if words == 1 else Datapath()
        sums = [
            self._tree(trees, p, lows[:, :, p].min(axis=(0, 1)), highs[:, :, p].max(axis=(0, 1)))
            for p in range(outputs)
        ]
        # Exact ranges of the sums of a word and of the accumulator after each word.
        low_sums, high_sums = lows.sum(axis=3), highs.sum(axis=3)
        sums = [
            trees.narrow(word, int(low_sums[:, :, p].min()), int(high_sums[:, :, p].max()))
            for p, word in enumerate(sums)
        ]
        low_partial = np.cumsum(low_sums, axis=1) + self.bias[:, None]
        high_partial = np.cumsum(high_sums, axis=1) + self.bias[:, None]
        low_final, high_final = low_partial[:, -1].min(axis=0), high_partial[:, -1].max(axis=0)
        ranges = zip(low_partial.min(axis=(0, 1)).tolist(), high_partial.max(axis=(0, 1)).tolist(), strict=True)

        for p, word in enumerate(sums):
            limits = int(low_final[p]), int(high_final[p])
            if words == 1:
                bias = self._parameter(tail, f"bias_{p}", self.bias[:, p])
                accumulator = tail.narrow(tail.add(word, bias), *limits)
            else:
                trees.output(f"sum_{p}", word)
                accumulator = tail.input(f"accumulator_{p}", *limits)
            tail.output(f"o_{p}", self._finish(tail, p, accumulator))

        set_field = object.__setattr__
        set_field(self, "trees", trees)
        set_field(self, "tail", tail)
        set_field(self, "tail_pipeline", cut(tail, self.period_ns))
        set_field(self, "accumulator_ranges", list(ranges))
        pipeline, register = (self.tail_pipeline, False) if words == 1 else self._cut_trees()
        set_field(self, "trees_pipeline", pipeline)
        set_field(self, "sum_register", register)

    def _cut_trees(self) -> tuple[Pipeline, bool]:
        """Cut the adder trees; say whether a register stands between them and the accumulators.

        None does where tree and accumulator share the last step without costing one more: always with a lone product,
        which goes straight into the accumulator (the shape of a DSP block).
        """
        apart = cut(self.trees, self.period_ns)
        if self.lanes == 1:
            return apart, False
        nodes = self.trees.nodes
        bits = max(shape_of_range(low, high).width for low, high in self.accumulator_ranges)
        period = self.period_ns - (GENERIC.chain + GENERIC.carry * bits)
        if period - GENERIC.register < max(GENERIC.of(nodes, node) for node in nodes):
            return apart, True
        together = cut(self.trees, period)
        return (together, False) if together.depth <= apart.depth else (apart, True)

    @property
    def groups(self) -> int:
        """H, groups of outputs."""
        return self.weights.shape[0]

    @property
    def words(self) -> int:
        """G, words of x."""
        return self.weights.shape[1]

    @property
    def outputs(self) -> int:
        """P, outputs a group."""
        return self.weights.shape[2]

    @property
    def lanes(self) -> int:
        """S, elements a word."""
        return self.weights.shape[3]

    @property
    def weight_shape(self) -> Shape:
        """Of every weight in the ROM."""
        return shape_of_range(self.weights.min(), self.weights.max())

    @property
    def operand_register(self) -> bool:
        """Whether registers stand between memories and multipliers, because both do not fit one period."""
        serial = GENERIC.register + BLOCK_MEMORY_NS + GENERIC.multiply
        return self.groups * self.words > BLOCK_ROWS and serial > self.period_ns

    @property
    def product_step(self) -> int:
        """Edges from the issue of a word to the first edge that finds its products."""
        return 2 + self.operand_register

    @property
    def accumulate_step(self) -> int:
        """Edges from the issue of a word to the edge that adds it to the accumulators (G > 1)."""
        return self.product_step + self.trees_pipeline.depth + self.sum_register

    @property
    def depth(self) -> int:
        """Edges from the issue of a group's last word to the edge that can sample the result."""
        if self.words == 1:
            return self.product_step + self.tail_pipeline.depth
        return self.accumulate_step + 1 + self.tail_pipeline.depth

    def product_name(self, p: int, s: int) -> str:
        """Name of the product of output p and element s, in the datapath and in the hardware."""
        return f"product_{p}_{s}"

    def product_range(self, p: int, s: int) -> tuple[int, int]:
        """Lowest and highest value of a product in any pass."""
        word = self.trees.inputs[self.product_name(p, s)]
        return word.low, word.high

    def parameter_columns(self) -> dict[str, Codes]:
        """Inputs of the last datapath that change from group to group, int64 (H,) each."""
        columns: dict[str, Codes] = (
            {f"bias_{p}": self.bias[:, p] for p in range(self.outputs)} if self.words == 1 else {}
        )
        for p, parameters in enumerate(self.finish.parameters if self.finish else ()):
            columns.update({f"{name}_{p}": values for name, values in parameters.items()})
        return {name: values for name, values in columns.items() if name in self.tail.inputs}

    def _tree(self, datapath: Datapath, p: int, low: Codes, high: Codes) -> Word:
        names = [self.product_name(p, s) for s in range(len(low))]
        ranges = zip(names, low.tolist(), high.tolist(), strict=True)
        return datapath.sum([datapath.input(name, least, most) for name, least, most in ranges])

    def _parameter(self, datapath: Datapath, name: str, values: Codes) -> Word:
        low, high = int(values.min()), int(values.max())
        return datapath.constant(low) if low == high else datapath.input(name, low, high)

    def _finish(self, datapath: Datapath, p: int, accumulator: Word) -> Word:
        if self.finish is None:
            return accumulator
        parameters = self.finish.parameters[p]
        words = {name: self._parameter(datapath, f"{name}_{p}", values) for name, values in parameters.items()}
        return self.finish.build(datapath, p, accumulator, words)

    def evaluate(self, x: Codes) -> Codes:
        """Compute the tile's outputs through its datapaths.

        Args:
            x: int64 (N, G * S); elements that do not exist are ignored.

        Returns:
            int64 (N, H * P).
        """
        samples = len(x)
        words = x.reshape(samples, 1, self.words, 1, self.lanes)
        products = words * self.weights  # (N, H, G, P, S)
        inputs = {self.product_name(p, s): products[..., p, s] for p in range(self.outputs) for s in range(self.lanes)}
        parameters = {name: values[None, :] for name, values in self.parameter_columns().items()}
        if self.words == 1:
            inputs = {name: values[:, :, 0] for name, values in inputs.items()}
            results = self.tail.evaluate(inputs | parameters)
        else:
            sums = self.trees.evaluate(inputs)
            accumulators = {
                f"accumulator_{p}": self._accumulate(p, np.broadcast_to(sums[f"sum_{p}"], products.shape[:3]))
                for p in range(self.outputs)
            }
            results = self.tail.evaluate(accumulators | parameters)
        shape = (samples, self.groups)
        columns = [np.broadcast_to(results[f"o_{p}"], shape) for p in range(self.outputs)]
        return np.stack(columns, axis=2).reshape(samples, self.groups * self.outputs)

    def _accumulate(self, p: int, sums: Codes) -> Codes:
        """Add the sums (N, H, G) of output p over its words; check what the register must hold."""
        partial = np.cumsum(sums, axis=2) + self.bias[None, :, None, p]
        low, high = self.accumulator_ranges[p]
        if partial.size and (partial.min() < low or partial.max() > high):
            raise ConfigurationError(
                f"Accumulator {p} must stay in [{low}, {high}], not in [{partial.min()}, {partial.max()}]"
            )
        return partial[:, :, -1]
