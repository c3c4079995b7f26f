"""Arithmetic of a tile of multipliers, before any hardware: ranges, adder trees, what follows them, pipeline cuts."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rtl4ml.datapath import nodes as kinds
from rtl4ml.datapath.cost import live_nodes
from rtl4ml.datapath.delays import GENERIC, Delays
from rtl4ml.datapath.pipeline import Pipeline, cut
from rtl4ml.datapath.words import Datapath, Word
from rtl4ml.errors import ConfigurationError
from rtl4ml.formats import spread
from rtl4ml.hdl.finish import Finish, beat_places
from rtl4ml.hdl.mac_pairs import Pair, find_pairs
from rtl4ml.hdl.mac_products import Product, ProductKind, add_up, classify, has_three_bits
from rtl4ml.hdl.mac_ranges import AnyWeights, corrections, end_ranges, value_ranges
from rtl4ml.hdl.tables import shape_of_range

Codes = NDArray[np.int64]

BLOCK_ROWS = 64
"""Tables of more rows than this lie in block memories, whose outputs come late."""


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
        copies               ...    only when what follows has fewer lanes than there are accumulators
        finish               ...    cut to the period; with G = 1 the trees and this are one datapath
        result               t + depth  can be sampled, for the last word of the pass; further beats of it follow

    Parameters:
        weights: int64 (H, G, P, S), 0 where there is no element or no output.
        bias: int64 (H, P).
        low: int64 (G, S) or (H, G, S), lowest code of each element of x, 0 where there is none.
        high: likewise, highest.
        period_ns: of the clock.
        finish: what follows the accumulators; None: nothing.
        any_weights: weights and biases lie in RAM; None: in ROM.
        rounds: times that a frame goes through all passes.
        delays: timing model of the device.
        pair_bits: width of the wider operand of the device's multiplier blocks, where two products of an element share
            one; 0: none do.
        lengths: int64 (H,), words of each group; its weights are 0 in those that follow up to G, which are never
            issued. None: G each.
    """

    weights: Codes
    bias: Codes
    low: Codes
    high: Codes
    period_ns: float
    finish: Finish | None = None
    any_weights: AnyWeights | None = None
    rounds: int = 1
    delays: Delays = GENERIC
    lengths: Codes | None = None
    pair_bits: int = 0

    products: dict[tuple[int, int], Product] = field(init=False)
    start: Codes = field(init=False)
    start_range: tuple[int, int] = field(init=False)
    places: Codes = field(init=False)
    trees: Datapath = field(init=False)
    trees_pipeline: Pipeline = field(init=False)
    sum_register: bool = field(init=False)
    tail: Datapath = field(init=False)
    tail_pipeline: Pipeline = field(init=False)
    accumulator_ranges: list[tuple[int, int]] = field(init=False)
    final_ranges: list[tuple[int, int]] = field(init=False)

    def __post_init__(self) -> None:
        """Find the ranges, build the datapaths and cut them.

        Raises:
            ConfigurationError: the arrays' shapes do not fit each other.
        """
        groups, words, outputs, lanes = self.weights.shape
        shapes = (words, lanes), (groups, words, lanes)
        if self.bias.shape != (groups, outputs) or self.low.shape not in shapes or self.high.shape not in shapes:
            raise ConfigurationError(
                f"Bias and element ranges of weights {self.weights.shape} must have shapes {(groups, outputs)} and "
                f"{(words, lanes)}, not {self.bias.shape}, {self.low.shape} and {self.high.shape}"
            )
        set_field = object.__setattr__
        low, high = (np.broadcast_to(limit, shapes[1]) for limit in (self.low, self.high))
        set_field(self, "places", beat_places(self.weights.shape, self.finish_lanes, self.beats))
        limits = list(zip(low.min(axis=(0, 1)).tolist(), high.max(axis=(0, 1)).tolist(), strict=True))
        set_field(self, "products", {(p, s): self._classify(p, s, *limits[s]) for p, s in self.positions})
        set_field(self, "start", self.bias + corrections(self.products, self.weights).sum(axis=(1, 3)))
        lows, highs = value_ranges(self.products, self.weights, low, high, self.any_weights)
        trees = Datapath()
        tail = trees if words == 1 else Datapath()
        words_in = {s: trees.input(f"x_{s}", *limits[s]) for s in self.plain_elements}
        sums = [self._tree(trees, p, words_in, lows[:, :, p], highs[:, :, p]) for p in range(outputs)]
        # Exact ranges of the sums of a word and of the accumulator after each word.
        low_sums, high_sums = lows.sum(axis=3), highs.sum(axis=3)
        sums = [
            trees.narrow(word, int(low_sums[:, :, p].min()), int(high_sums[:, :, p].max()))
            for p, word in enumerate(sums)
        ]
        start_low, start_high, low_final, high_final = end_ranges(self.start, low_sums, high_sums, self.any_weights)
        set_field(self, "start_range", (int(start_low.min()), int(start_high.max())))
        low_partial = np.cumsum(low_sums, axis=1) + start_low[:, None]
        high_partial = np.cumsum(high_sums, axis=1) + start_high[:, None]
        ranges = zip(low_partial.min(axis=(0, 1)).tolist(), high_partial.max(axis=(0, 1)).tolist(), strict=True)
        finals = zip(low_final.min(axis=0).tolist(), high_final.max(axis=0).tolist(), strict=True)
        set_field(self, "accumulator_ranges", list(ranges))
        set_field(self, "final_ranges", list(finals))

        # On fewer lanes than accumulators, the outputs of a lane share what follows.
        low_lane, high_lane = low_final.reshape(-1)[self.places], high_final.reshape(-1)[self.places]
        for lane in range(self.finish_lanes):
            final = int(low_lane[:, lane].min()), int(high_lane[:, lane].max())
            if words == 1:
                accumulator = tail.narrow(tail.add(sums[lane], self._start_word(tail, lane)), *final)
            else:
                accumulator = tail.input(f"accumulator_{lane}", *final)
            tail.output(f"o_{lane}", self._finish(tail, lane, accumulator))
        if words > 1:
            for p, word in enumerate(sums):
                trees.output(f"sum_{p}", word)

        set_field(self, "trees", trees)
        set_field(self, "tail", tail)
        set_field(self, "tail_pipeline", cut(tail, self.period_ns, self.delays))
        pipeline, register = (self.tail_pipeline, False) if words == 1 else self._cut_trees()
        set_field(self, "trees_pipeline", pipeline)
        set_field(self, "sum_register", register)

    @functools.cached_property
    def pairs(self) -> list[Pair]:
        """Products that share a multiplier, two each."""
        if not self.pair_bits or self.any_weights is not None:
            return []
        return find_pairs(self.kinds(ProductKind.MULTIPLIER), self.products, self.pair_bits)

    @functools.cached_property
    def _upper(self) -> dict[tuple[int, int], Pair]:
        return {pair.upper: pair for pair in self.pairs}

    @functools.cached_property
    def kept(self) -> NDArray[np.bool_]:
        """Which of the H * G words are issued, bool (H * G,)."""
        if self.lengths is None:
            return np.ones(self.groups * self.words, bool)
        return (np.arange(self.words) < self.lengths[:, None]).reshape(-1)

    @property
    def passes(self) -> int:
        """Words that are issued for a frame."""
        return int(self.kept.sum())

    @functools.cached_property
    def positions(self) -> list[tuple[int, int]]:
        """Positions (p, s) that have a weight in any pass: those of the columns of a table in RAM."""
        if self.any_weights is None:
            used = self.weights.any(axis=(0, 1))
        else:
            used = self.any_weights.places(self.outputs).any(axis=0)
        return [(p, s) for p, s in np.argwhere(used).tolist()]

    @functools.cached_property
    def _three_bits(self) -> bool:
        """Whether all weights that there are or may be have three bits at the most."""
        return has_three_bits(self.weights if self.any_weights is None else np.append(self.any_weights.values, 0))

    def _classify(self, p: int, s: int, low: int, high: int) -> Product:
        if self.any_weights is None:
            return classify(self.weights[:, :, p, s], low, high, three_bits=self._three_bits)
        missing = [] if self.any_weights.places(self.outputs)[:, p, s].all() else [0]
        values = np.append(self.any_weights.values, missing).astype(np.int64)
        return classify(values, low, high, three_bits=self._three_bits)

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
            int64 (H * G, positions) and (H, P).
        """
        stored = np.zeros((len(self.positions), self.groups * self.words), np.int64)
        for column, (p, s) in enumerate(self.positions):
            if self.products[p, s].kind is not ProductKind.ABSENT:
                stored[column] = self.products[p, s].stored(weights[:, :, p, s]).reshape(-1)
        return np.ascontiguousarray(stored.T), bias + corrections(self.products, weights).sum(axis=(1, 3))

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
        apart = cut(self.trees, self.period_ns, self.delays)
        if self.has_multipliers and max(map(len, self._rows)) <= 1 and not self.pairs:
            return apart, False
        nodes = self.trees.nodes
        bits = max(shape_of_range(low, high).width for low, high in self.accumulator_ranges)
        period = self.period_ns - (self.delays.chain + self.delays.carry * bits)
        if period - self.delays.register < max((self.delays.of(nodes, node) for node in nodes), default=0.0):
            return apart, True
        together = cut(self.trees, period, self.delays)
        return (together, False) if together.depth <= apart.depth else (apart, True)

    @functools.cached_property
    def _rows(self) -> list[list[int]]:
        """For each output the lanes that have a product."""
        rows: list[list[int]] = [[] for _ in range(self.outputs)]
        for p, s in self.positions:
            rows[p].append(s)
        return rows

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
    def finish_lanes(self) -> int:
        """F, outputs a beat."""
        return self.outputs if self.finish is None else self.finish.lanes

    @property
    def beats(self) -> Codes:
        """Beats of each group, int64 (H,)."""
        if self.finish is None or self.finish.beats is None:
            return np.ones(self.groups, np.int64)
        return self.finish.beats

    @property
    def copies(self) -> bool:
        """Whether accumulators are copied, because what follows has fewer lanes."""
        return self.finish_lanes < self.outputs

    def kinds(self, *wanted: ProductKind) -> list[tuple[int, int]]:
        """Positions (p, s) of the products of some kinds."""
        return [position for position, product in self.products.items() if product.kind in wanted]

    @property
    def multipliers(self) -> int:
        """Multipliers in the hardware, those behind the accumulators included."""
        live = set(live_nodes(self.tail))
        behind = sum(self.tail.nodes[index].kind is kinds.MULTIPLY for index in live)
        # Sums that nothing depends on, because all that follows is constant, are not built.
        positions = self.kinds(ProductKind.MULTIPLIER)
        if self.words == 1:
            inputs = [f"product_{p}_{s}" for p, s in positions]
        else:
            inputs = [f"accumulator_{p % self.finish_lanes}" for p, _ in positions]
        used = {at for at, name in zip(positions, inputs, strict=True) if self.tail.inputs[name].index in live}
        return behind + len(used) - sum({pair.upper, pair.lower} <= used for pair in self.pairs)

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
    def columns(self) -> dict[tuple[int, int], tuple[Codes, tuple[int, int]]]:
        """Columns of the memory by position, of pairs by that of the upper one: int64 (H * G,), and their range."""
        columns = {position: (column, self.products[position].stored_range) for position, column in self.stored.items()}
        for pair in self.pairs:
            column, _ = columns.pop(pair.lower)
            columns[pair.upper] = pair.joined(columns[pair.upper][0], column), pair.weights
        return columns

    @functools.cached_property
    def plain_elements(self) -> list[int]:
        """Lanes whose element goes into the adder trees by itself."""
        return sorted({s for _, s in self.kinds(ProductKind.CONSTANT, ProductKind.LOGIC)})

    @property
    def operand_register(self) -> bool:
        """Whether registers stand behind the memories, because they and what follows do not fit one period."""
        next_part = self.delays.multiply if self.has_multipliers else self.delays.chain
        serial = self.delays.register + self.delays.memory + next_part
        late = serial > self.period_ns or not self.has_multipliers
        return self.passes > BLOCK_ROWS and late and bool(self.kinds(ProductKind.LOGIC, ProductKind.MULTIPLIER))

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
        """Edges from the issue of a group's last word to the edge that can sample its first beat."""
        if self.words == 1:
            return self.product_step + self.tail_pipeline.depth
        return self.accumulate_step + 1 + self.copies + self.tail_pipeline.depth

    def parameter_columns(self) -> dict[str, Codes]:
        """Parameters of what follows the accumulators that change from beat to beat, int64 (rows,) each."""
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
        for s in self._rows[p]:
            product = self.products[p, s]
            if product.kind is ProductKind.ABSENT:
                continue
            limits = int(lows[:, :, s].min()) >> product.shift, int(highs[:, :, s].max()) >> product.shift
            pair = self._upper.get((p, s))
            if pair is not None:
                ends = pair.product[0] >> pair.bits, pair.product[1] >> pair.bits
                word = datapath.input(f"product_{p}_{s}", *ends)
                if pair.borrows:
                    values.append((datapath.input(f"borrow_{p}_{s}", 0, 1), product.shift))
            elif product.kind is ProductKind.MULTIPLIER:
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
            x: int64 (N, G * S), or (N, H * G * S) where each group has words of its own; elements that do not exist are
                ignored.

        Returns:
            int64 (N, beats * F), H * P where there are as many lanes as accumulators.
        """
        samples = len(x)
        words = x.reshape(samples, -1, self.words, self.lanes)
        shape = samples, self.groups, self.words
        inputs = {f"x_{s}": np.broadcast_to(words[..., s], shape) for s in self.plain_elements}
        for (p, s), column in self.stored.items():
            stored = column.reshape(1, *shape[1:])
            if self.products[p, s].kind is ProductKind.MULTIPLIER:
                inputs[f"product_{p}_{s}"] = words[..., s] * stored
            else:
                inputs[f"weight_{p}_{s}"] = stored
        for pair in self.pairs:
            lane = pair.upper[1]
            joined = self.columns[pair.upper][0].reshape(1, *shape[1:])
            upper, lower, borrow = pair.split(words[..., lane] * joined)
            inputs["product_{}_{}".format(*pair.upper)] = upper
            inputs["product_{}_{}".format(*pair.lower)] = lower
            if pair.borrows:
                inputs["borrow_{}_{}".format(*pair.upper)] = borrow
        beats = len(self.places)
        parameters = {name: spread(values, beats)[None, :] for name, values in self.parameter_columns().items()}
        if self.words == 1:
            inputs = {name: values[..., 0] for name, values in inputs.items()}
            starts = {name: values[None, :] for name, values in self._start_columns().items()}
            results = self.tail.evaluate(inputs | parameters | starts)
        else:
            sums = self.trees.evaluate(inputs)
            totals = [self._accumulate(p, np.broadcast_to(sums[f"sum_{p}"], shape)) for p in range(self.outputs)]
            lanes = np.stack(totals, axis=2).reshape(samples, -1)[:, self.places]  # (N, beats, F)
            accumulators = {f"accumulator_{lane}": lanes[..., lane] for lane in range(self.finish_lanes)}
            results = self.tail.evaluate(accumulators | parameters)
        outputs = [np.broadcast_to(results[f"o_{lane}"], (samples, beats)) for lane in range(self.finish_lanes)]
        return np.stack(outputs, axis=2).reshape(samples, beats * self.finish_lanes)

    def _accumulate(self, p: int, sums: Codes) -> Codes:
        """Add the sums (N, H, G) of output p over its words; check what the register must hold."""
        partial = np.cumsum(sums, axis=2) + self.start[None, :, None, p]
        low, high = self.accumulator_ranges[p]
        if partial.size and (partial.min() < low or partial.max() > high):
            raise ConfigurationError(
                f"Accumulator {p} must stay in [{low}, {high}], not in [{partial.min()}, {partial.max()}]"
            )
        return partial[:, :, -1]
