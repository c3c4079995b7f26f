"""Arithmetic of a tile of multipliers, before any hardware: ranges, adder trees, what follows them, pipeline cuts."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rtl4ml.datapath import nodes as kinds
from rtl4ml.datapath.cost import live_nodes
from rtl4ml.datapath.delays import GENERIC
from rtl4ml.datapath.pipeline import Pipeline, cut
from rtl4ml.datapath.words import Datapath, Word
from rtl4ml.errors import ConfigurationError
from rtl4ml.hdl.mac_products import Product, ProductKind, add_up, classify
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
class AnyWeights:
    """What a tile must be wide enough for when its weights may change.

    Parameters:
        values: int64 (k,), ascending: each weight is one of them, or 0 where there is no element.
        present: bool (G, S), where there is an element.
        low: int64 (H, P), lowest final accumulator with any of these weights and biases.
        high: int64 (H, P), highest.
    """

    values: Codes
    present: NDArray[np.bool_]
    low: Codes
    high: Codes


@dataclass(frozen=True, eq=False)
class MacPlan:
    """A tile of P x S products that computes `finish(x @ weights + bias)` in H x G passes.

    Word g of x holds S elements; group h of the outputs holds P. Pass (h, g) adds P x S products to the P accumulators
    of group h. Which of them are multipliers, :func:`rtl4ml.hdl.mac_products.classify` decides.

        issue of word g      t      the word and its weights are read
        operands             t + 1  only when `operand_register`
        products             t + 1  registered, when there are multipliers; one later behind an operand register
        adder trees          ...    with all products that are no multipliers; cut to the period
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
        any_weights: weights and biases lie in RAM; None: in ROM.
    """

    weights: Codes
    bias: Codes
    low: Codes
    high: Codes
    period_ns: float
    finish: Finish | None = None
    any_weights: AnyWeights | None = None

    products: dict[tuple[int, int], Product] = field(init=False)
    start: Codes = field(init=False)
    start_range: tuple[int, int] = field(init=False)
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
        set_field = object.__setattr__
        low, high = self.low.min(axis=0).tolist(), self.high.max(axis=0).tolist()
        positions = [(p, s) for p in range(outputs) for s in range(lanes)]
        products = {(p, s): self._classify(p, s, low[s], high[s]) for p, s in positions}
        set_field(self, "products", products)
        set_field(self, "start", self.bias + self._corrections(self.weights).sum(axis=(1, 3)))
        lows, highs = self._value_ranges()
        trees = Datapath()
        tail = trees if words == 1 else Datapath()
        elements = [trees.input(f"x_{s}", low[s], high[s]) for s in self.plain_elements]
        words_in = dict(zip(self.plain_elements, elements, strict=True))
        sums = [self._tree(trees, p, words_in, lows[:, :, p], highs[:, :, p]) for p in range(outputs)]
        # Exact ranges of the sums of a word and of the accumulator after each word.
        low_sums, high_sums = lows.sum(axis=3), highs.sum(axis=3)
        sums = [
            trees.narrow(word, int(low_sums[:, :, p].min()), int(high_sums[:, :, p].max()))
            for p, word in enumerate(sums)
        ]
        start_low, start_high, low_final, high_final = self._ends(low_sums, high_sums)
        set_field(self, "start_range", (int(start_low.min()), int(start_high.max())))
        low_partial = np.cumsum(low_sums, axis=1) + start_low[:, None]
        high_partial = np.cumsum(high_sums, axis=1) + start_high[:, None]
        ranges = zip(low_partial.min(axis=(0, 1)).tolist(), high_partial.max(axis=(0, 1)).tolist(), strict=True)

        for p, word in enumerate(sums):
            limits = int(low_final[p]), int(high_final[p])
            if words == 1:
                bias = self._start_word(tail, p)
                accumulator = tail.narrow(tail.add(word, bias), *limits)
            else:
                trees.output(f"sum_{p}", word)
                accumulator = tail.input(f"accumulator_{p}", *limits)
            tail.output(f"o_{p}", self._finish(tail, p, accumulator))

        set_field(self, "trees", trees)
        set_field(self, "tail", tail)
        set_field(self, "tail_pipeline", cut(tail, self.period_ns))
        set_field(self, "accumulator_ranges", list(ranges))
        pipeline, register = (self.tail_pipeline, False) if words == 1 else self._cut_trees()
        set_field(self, "trees_pipeline", pipeline)
        set_field(self, "sum_register", register)

    def _classify(self, p: int, s: int, low: int, high: int) -> Product:
        if self.any_weights is None:
            return classify(self.weights[:, :, p, s], low, high)
        missing = [] if self.any_weights.present[:, s].all() else [0]
        return classify(np.append(self.any_weights.values, missing).astype(np.int64), low, high)

    def _corrections(self, weights: Codes) -> Codes:
        """What the values lack of the products, int64 (H, G, P, S)."""
        corrections = np.zeros_like(weights)
        for (p, s), product in self.products.items():
            corrections[:, :, p, s] = product.correction(weights[:, :, p, s])
        return corrections

    def _value_ranges(self) -> tuple[Codes, Codes]:
        """Lowest and highest value of each product in each pass, int64 (H, G, P, S) each."""
        if self.any_weights is None:
            ends = self.weights * self.low[None, :, None, :], self.weights * self.high[None, :, None, :]
            corrections = self._corrections(self.weights)
            return np.minimum(*ends) - corrections, np.maximum(*ends) - corrections
        ranges = np.zeros((2, *self.low.shape), np.int64)
        for s in range(self.lanes):
            product = self.products[0, s]
            values = self.any_weights.values
            if product.kind is ProductKind.MULTIPLIER:
                values = values[[0, -1]]
            ends_of = self.low[:, s, None] * values, self.high[:, s, None] * values
            correction = product.correction(values)
            ranges[0, :, s] = (np.minimum(*ends_of) - correction).min(axis=1)
            ranges[1, :, s] = (np.maximum(*ends_of) - correction).max(axis=1)
        ranges *= self.any_weights.present
        shape = self.weights.shape
        low, high = (np.broadcast_to(values[None, :, None, :], shape) for values in ranges)
        return low, high

    def _ends(self, low_sums: Codes, high_sums: Codes) -> tuple[Codes, Codes, Codes, Codes]:
        """Ranges of the start (H, P) each, and of the final accumulators (P,) each."""
        low, high = low_sums.sum(axis=1), high_sums.sum(axis=1)
        if self.any_weights is None:
            start = self.start
            return start, start, (start + low).min(axis=0), (start + high).max(axis=0)
        # start = accumulator - values, whatever the weights are.
        final_low, final_high = self.any_weights.low, self.any_weights.high
        return final_low - high, final_high - low, final_low.min(axis=0), final_high.max(axis=0)

    def _start_word(self, datapath: Datapath, p: int) -> Word:
        if self.any_weights is None:
            return self._parameter(datapath, f"bias_{p}", self.start[:, p])
        return datapath.input(f"bias_{p}", *self.start_range)

    def contents(self, weights: Codes, bias: Codes) -> tuple[Codes, Codes]:
        """What the tables hold for other weights and biases of the same shapes.

        Args:
            weights: int64 (H, G, P, S).
            bias: int64 (H, P).

        Returns:
            int64 (H * G, P * S) and (H, P).
        """
        stored = np.zeros_like(weights)
        for (p, s), product in self.products.items():
            if product.kind is not ProductKind.ABSENT:
                stored[:, :, p, s] = product.stored(weights[:, :, p, s])
        start = bias + self._corrections(weights).sum(axis=(1, 3))
        return stored.reshape(self.groups * self.words, -1), start

    @property
    def stored_range(self) -> tuple[int, int]:
        """Lowest and highest number in the memory of weights."""
        ranges = [product.stored_range for product in self.products.values() if product.kind is not ProductKind.ABSENT]
        return min((low for low, _ in ranges), default=0), max((high for _, high in ranges), default=0)

    def _cut_trees(self) -> tuple[Pipeline, bool]:
        """Cut the adder trees; say whether a register stands between them and the accumulators.

        None does where tree and accumulator share the last step without costing one more: always with a lone
        multiplier, whose product goes straight into the accumulator (the shape of a DSP block).
        """
        apart = cut(self.trees, self.period_ns)
        if self.lanes == 1 and self.has_multipliers:
            return apart, False
        nodes = self.trees.nodes
        bits = max(shape_of_range(low, high).width for low, high in self.accumulator_ranges)
        period = self.period_ns - (GENERIC.chain + GENERIC.carry * bits)
        if period - GENERIC.register < max((GENERIC.of(nodes, node) for node in nodes), default=0.0):
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

    def kinds(self, *wanted: ProductKind) -> list[tuple[int, int]]:
        """Positions (p, s) of the products of some kinds."""
        return [position for position, product in self.products.items() if product.kind in wanted]

    @property
    def multipliers(self) -> int:
        """Multipliers in the hardware, those behind the accumulators included."""
        live = set(live_nodes(self.tail))
        behind = sum(self.tail.nodes[index].kind is kinds.MULTIPLY for index in live)
        # Sums that nothing depends on, because all that follows is constant, are not built.
        name = "product_{}_{}" if self.words == 1 else "accumulator_{}"
        inputs = [name.format(*position) for position in self.kinds(ProductKind.MULTIPLIER)]
        return behind + sum(self.tail.inputs[name].index in live for name in inputs)

    @property
    def logic_products(self) -> int:
        """Products that are made without a multiplier."""
        return len(self.kinds(ProductKind.CONSTANT, ProductKind.LOGIC))

    @property
    def has_multipliers(self) -> bool:
        """Whether any product is a multiplier's: then there is a step more, in which all others wait."""
        return bool(self.kinds(ProductKind.MULTIPLIER))

    @property
    def stored(self) -> dict[tuple[int, int], Codes]:
        """What the memory holds for each position that needs any: int64 (H * G,)."""
        return {
            (p, s): self.products[p, s].stored(self.weights[:, :, p, s]).reshape(-1)
            for p, s in self.kinds(ProductKind.LOGIC, ProductKind.MULTIPLIER)
        }

    @functools.cached_property
    def plain_elements(self) -> list[int]:
        """Lanes whose element goes into the adder trees by itself."""
        return sorted({s for _, s in self.kinds(ProductKind.CONSTANT, ProductKind.LOGIC)})

    @property
    def operand_register(self) -> bool:
        """Whether registers stand behind the memories, because they and what follows do not fit one period."""
        next_part = GENERIC.multiply if self.has_multipliers else GENERIC.chain
        serial = GENERIC.register + BLOCK_MEMORY_NS + next_part
        late = serial > self.period_ns or not self.has_multipliers
        return (
            self.groups * self.words > BLOCK_ROWS
            and late
            and bool(self.kinds(ProductKind.LOGIC, ProductKind.MULTIPLIER))
        )

    @property
    def operand_step(self) -> int:
        """Edges from the issue of a word to the first edge that finds it and its weights."""
        return 1 + self.operand_register

    @property
    def product_step(self) -> int:
        """Edges from the issue of a word to the first edge that finds what goes into the adder trees."""
        return self.operand_step + self.has_multipliers

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

    def parameter_columns(self) -> dict[str, Codes]:
        """Parameters of what follows the accumulators that change from group to group, int64 (H,) each."""
        columns: dict[str, Codes] = {}
        for p, parameters in enumerate(self.finish.parameters if self.finish else ()):
            columns.update({f"{name}_{p}": values for name, values in parameters.items()})
        return {name: values for name, values in columns.items() if name in self.tail.inputs}

    def _start_columns(self) -> dict[str, Codes]:
        columns = {f"bias_{p}": self.start[:, p] for p in range(self.outputs)}
        return {name: values for name, values in columns.items() if name in self.tail.inputs}

    def _tree(self, datapath: Datapath, p: int, elements: Mapping[int, Word], lows: Codes, highs: Codes) -> Word:
        """Add the products of an output, whose values lie in lows .. highs (H, G, S), and their sum."""
        values = []
        for s in range(self.lanes):
            product = self.products[p, s]
            if product.kind is ProductKind.ABSENT:
                continue
            limits = int(lows[:, :, s].min()) >> product.shift, int(highs[:, :, s].max()) >> product.shift
            if product.kind is ProductKind.MULTIPLIER:
                word = datapath.input(f"product_{p}_{s}", *limits)
            elif product.kind is ProductKind.CONSTANT:
                word = product.build(datapath, elements[s], datapath.constant(product.values[0]))
            else:
                weight = datapath.input(f"weight_{p}_{s}", *product.stored_range)
                word = datapath.narrow(product.build(datapath, elements[s], weight), *limits)
            values.append((word, product.shift))
        return add_up(datapath, values)

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
        words = x.reshape(samples, 1, self.words, self.lanes)
        shape = samples, self.groups, self.words
        inputs = {f"x_{s}": np.broadcast_to(words[..., s], shape) for s in self.plain_elements}
        for (p, s), column in self.stored.items():
            stored = column.reshape(1, *shape[1:])
            if self.products[p, s].kind is ProductKind.MULTIPLIER:
                inputs[f"product_{p}_{s}"] = words[..., s] * stored
            else:
                inputs[f"weight_{p}_{s}"] = stored
        columns = self.parameter_columns() | (self._start_columns() if self.words == 1 else {})
        parameters = {name: values[None, :] for name, values in columns.items()}
        if self.words == 1:
            inputs = {name: values[..., 0] for name, values in inputs.items()}
            results = self.tail.evaluate(inputs | parameters)
        else:
            sums = self.trees.evaluate(inputs)
            accumulators = {
                f"accumulator_{p}": self._accumulate(p, np.broadcast_to(sums[f"sum_{p}"], shape))
                for p in range(self.outputs)
            }
            results = self.tail.evaluate(accumulators | parameters)
        outputs = [np.broadcast_to(results[f"o_{p}"], shape[:2]) for p in range(self.outputs)]
        return np.stack(outputs, axis=2).reshape(samples, self.groups * self.outputs)

    def _accumulate(self, p: int, sums: Codes) -> Codes:
        """Add the sums (N, H, G) of output p over its words; check what the register must hold."""
        partial = np.cumsum(sums, axis=2) + self.start[None, :, None, p]
        low, high = self.accumulator_ranges[p]
        if partial.size and (partial.min() < low or partial.max() > high):
            raise ConfigurationError(
                f"Accumulator {p} must stay in [{low}, {high}], not in [{partial.min()}, {partial.max()}]"
            )
        return partial[:, :, -1]
