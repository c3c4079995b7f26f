"""Arithmetic of digit-serial distributed arithmetic, before any hardware: digits, sums, accumulators, cuts."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rtl4ml.cmvm.tables import multiply_narrow
from rtl4ml.datapath.cost import carry_bits, live_nodes, multipliers
from rtl4ml.datapath.delays import GENERIC, Delays
from rtl4ml.datapath.nodes import range_bits
from rtl4ml.datapath.pipeline import Pipeline, cut
from rtl4ml.datapath.ternary import with_ternary_sums
from rtl4ml.datapath.words import Datapath, Word
from rtl4ml.errors import ConfigurationError
from rtl4ml.hdl.tables import shape_of_range

Codes = NDArray[np.int64]

Finish = Callable[[Datapath, int, Word], Word]
"""Adds the function behind an output to a datapath: (datapath, output, accumulator) -> output word."""


@dataclass(frozen=True, eq=False)
class DigitPlan:
    """Hard-wired adders that compute `finish(x @ weights + bias)` from d bits of every element a cycle.

    An element is read as unsigned, its sign bit turned around where it has one (Croisier et al. 1973; Peled and Liu
    1974): the difference is a constant that joins the bias. Digit k of all elements goes through the whole matrix,
    built as tables of partial sums or as an adder graph, column by column what is smaller (:mod:`rtl4ml.cmvm.tables`).
    An accumulator per output adds `total = (total >> d) + product`, so that its adder is hardly wider than the
    products. The d bits that leave it below are final, and stand in a shift register until the end.

        load               t          the word goes into registers, where it stays
        digit k            t + 1 + k  chosen by the phase, a multiplexer in the datapath of the matrix
        matrix             ...        cut to the period
        accumulators       ...        start from the bias, which a reset of their registers sets for nothing
        finish             ...        cut to the period
        result             t + depth  can be sampled

    Words follow each other after `cycles` or more.

    Parameters:
        weights: int64 (S, F).
        bias: int64 (F,).
        low: int64 (S,), lowest code of each element.
        high: int64 (S,), highest.
        digit: d, bits of each element a cycle.
        period_ns: of the clock.
        finish: what follows the accumulators; None: nothing.
        delays: timing model of the device.

    Attributes:
        cycles: digits of a word.
        kernel: from elements `x_0`, ... and bits `phase_0`, ... to products `p_0`, ..., of outputs that have any.
        kernel_pipeline: its cut.
        sum_register: whether a register stands between the products and the accumulators.
        start: int64 (F,), what the accumulators start from: the bias, what the digits lack, and constants of `finish`.
        totals: range of each accumulator, by output.
        tail: what follows, from accumulators to outputs `o_0`, ...
        accumulators: for each input of `tail` its output, and the constant that it has more than the sum.
        tail_pipeline: its cut.
    """

    weights: Codes
    bias: Codes
    low: Codes
    high: Codes
    digit: int
    period_ns: float
    finish: Finish | None = None
    delays: Delays = GENERIC

    cycles: int = field(init=False)
    kernel: Datapath = field(init=False)
    kernel_pipeline: Pipeline = field(init=False)
    sum_register: bool = field(init=False)
    start: Codes = field(init=False)
    totals: dict[int, tuple[int, int]] = field(init=False)
    tail: Datapath = field(init=False)
    accumulators: dict[str, tuple[int, int]] = field(init=False)
    tail_pipeline: Pipeline = field(init=False)

    def __post_init__(self) -> None:
        """Cut the elements in digits, build the datapaths and cut them.

        Raises:
            ConfigurationError: arrays that do not fit each other, or digits that are no part of an element.
        """
        elements, outputs = self.weights.shape
        if self.bias.shape != (outputs,) or self.low.shape != (elements,) or self.high.shape != (elements,):
            raise ConfigurationError(
                f"Bias and element ranges of weights {self.weights.shape} must have shapes {(outputs,)} and "
                f"{(elements,)}, not {self.bias.shape}, {self.low.shape} and {self.high.shape}"
            )
        widest = max((self.element_bits(s) for s in self.elements), default=1)
        if not 1 <= self.digit < max(2, widest):
            raise ConfigurationError(
                f"Digits must have 1 to {max(1, widest - 1)} bits, less than the elements, not {self.digit}"
            )
        set_field = object.__setattr__
        set_field(self, "cycles", max(2, -(-widest // self.digit)))
        kernel = Datapath()
        phase = [kernel.input(f"phase_{k}", 0, 1) for k in range((self.cycles - 1).bit_length())]
        digits = [self._digit(kernel, s, phase) for s in self.elements]
        products = multiply_narrow(kernel, digits, self._matrix, self.delays)
        for p, word in zip(self.columns, products, strict=True):
            kernel.output(f"p_{p}", word)
        set_field(self, "kernel", with_ternary_sums(kernel) if self.delays.ternary else kernel)

        # A constant that `finish` adds to an accumulator before anything else joins its start, unless others read it.
        tail, accumulators, several = self._build_tail(frozenset())
        if several:
            tail, accumulators, _ = self._build_tail(several)
        set_field(self, "tail", tail)
        set_field(self, "accumulators", accumulators)
        set_field(self, "start", self._base + self._moved())
        set_field(self, "totals", self._total_ranges())
        set_field(self, "tail_pipeline", cut(tail, self.period_ns, self.delays))
        pipeline, register = self._cut_kernel()
        set_field(self, "kernel_pipeline", pipeline)
        set_field(self, "sum_register", register)

    @functools.cached_property
    def elements(self) -> list[int]:
        """Elements that take part: neither constant nor without weights."""
        return np.flatnonzero(self.weights.any(axis=1) & (self.low != self.high)).tolist()

    @functools.cached_property
    def columns(self) -> list[int]:
        """Outputs that depend on any element."""
        return np.flatnonzero(self.weights[self.elements].any(axis=0)).tolist()

    @functools.cached_property
    def _matrix(self) -> Codes:
        """Weights of the elements and outputs that take part."""
        return self.weights[np.ix_(np.array(self.elements, np.int64), np.array(self.columns, np.int64))]

    def element_bits(self, s: int) -> int:
        """Bits of an element."""
        return range_bits(int(self.low[s]), int(self.high[s]))

    @property
    def outputs(self) -> int:
        """F, outputs of a word."""
        return self.weights.shape[1]

    @property
    def _offsets(self) -> Codes:
        """What the unsigned reading of each element has more than its code, int64 (S,)."""
        offsets = [1 << (self.element_bits(s) - 1) if low < 0 else 0 for s, low in enumerate(self.low.tolist())]
        return np.array(offsets, np.int64)

    @property
    def _base(self) -> Codes:
        """Bias, constant elements and what the digits have too much, int64 (F,)."""
        taking_part = np.zeros(len(self.low), bool)
        taking_part[self.elements] = True
        constant: Codes = np.where(taking_part, -self._offsets, self.low)
        base: Codes = self.bias + constant @ self.weights
        return base

    def _digit(self, kernel: Datapath, s: int, phase: Sequence[Word]) -> Word:
        """Add the digit of an element that the phase says."""
        x = kernel.input(f"x_{s}", int(self.low[s]), int(self.high[s]))
        bits, d = self.element_bits(s), self.digit
        choices = []
        for first in range(0, self.cycles * d, d):
            if x.signed and first < bits <= first + d:
                top = bits - 1 - first
                sign = kernel.shift_left(kernel.at_least(x, kernel.constant(0)), top)
                choices.append(kernel.add(kernel.low_bits(kernel.shift_right(x, first), top), sign))
            else:
                above = kernel.constant(0) if first >= bits else kernel.shift_right(x, first)
                choices.append(kernel.low_bits(above, d))
        for bit in phase:
            pairs = zip(choices[::2], choices[1::2], strict=False)
            rest = choices[len(choices) // 2 * 2 :]
            choices = [kernel.select(bit, odd, even) for even, odd in pairs] + rest
        return choices[0]

    @property
    def finals(self) -> tuple[Codes, Codes]:
        """Lowest and highest accumulator of each output, int64 (F,) each."""
        ends = self.low[:, None] * self.weights, self.high[:, None] * self.weights
        return np.minimum(*ends).sum(axis=0) + self.bias, np.maximum(*ends).sum(axis=0) + self.bias

    def _build_tail(self, still: frozenset[int]) -> tuple[Datapath, dict[str, tuple[int, int]], frozenset[int]]:
        """What follows the accumulators.

        Args:
            still: outputs whose accumulators stay as they are.

        Returns:
            The datapath; for each of its inputs the output and the constant that its accumulator has more; and the
            outputs that need an accumulator in several ways.
        """
        tail = Datapath()
        inputs: dict[str, tuple[int, int]] = {}
        low, high = (limits.tolist() for limits in self.finals)

        def variant(p: int, constant: int) -> Word:
            name = f"a_{p}" if constant == 0 else f"a_{p}_{constant}"
            if name not in inputs:
                inputs[name] = p, constant
                tail.input(name, low[p] + constant, high[p] + constant)
            return tail.inputs[name]

        for p in range(self.outputs):
            word = variant(p, 0) if p in self._column_set else tail.constant(low[p])
            if p not in still:
                word = tail.movable(word, functools.partial(variant, p))
            tail.output(f"o_{p}", word if self.finish is None else self.finish(tail, p, word))
        live = set(live_nodes(tail))
        wanted = [p for name, (p, _) in inputs.items() if tail.inputs[name].index in live]
        return tail, inputs, frozenset(p for p in wanted if wanted.count(p) > 1)

    @functools.cached_property
    def _column_set(self) -> frozenset[int]:
        return frozenset(self.columns)

    @functools.cached_property
    def live(self) -> list[str]:
        """Inputs of the tail that its outputs depend on: one an output, at most."""
        found = set(live_nodes(self.tail))
        return [name for name, word in self.tail.inputs.items() if word.index in found]

    def _moved(self) -> Codes:
        """Constants of `finish` that the accumulators start from, int64 (F,)."""
        moved = np.zeros(self.outputs, np.int64)
        for name in self.live:
            p, constant = self.accumulators[name]
            moved[p] = constant
        return moved

    def _digit_ends(self, s: int, k: int) -> tuple[int, int]:
        """Lowest and highest digit k of an element."""
        offset = int(self._offsets[s])
        low, high = int(self.low[s]) + offset >> k * self.digit, int(self.high[s]) + offset >> k * self.digit
        whole = (1 << self.digit) - 1
        return (low & whole, high & whole) if low >> self.digit == high >> self.digit else (0, whole)

    def _total_ranges(self) -> dict[int, tuple[int, int]]:
        """Range of each accumulator after any digit."""
        weights = self._matrix
        low = high = np.array([self.start[p] for p in self.columns], np.int64) << self.digit
        lowest, highest = [], []
        for k in range(self.cycles):
            ends = np.array([self._digit_ends(s, k) for s in self.elements], np.int64).reshape(-1, 2)
            products = weights * ends[:, :1], weights * ends[:, 1:]
            low = (low >> self.digit) + np.minimum(*products).sum(axis=0)
            high = (high >> self.digit) + np.maximum(*products).sum(axis=0)
            lowest.append(low)
            highest.append(high)
        ranges = zip(np.min(lowest, axis=0).tolist(), np.max(highest, axis=0).tolist(), strict=True)
        return dict(zip(self.columns, ranges, strict=True))

    def _cut_kernel(self) -> tuple[Pipeline, bool]:
        """Cut the datapath of the matrix; say whether a register stands between it and the accumulators.

        None does where its last step leaves the time for their adders without costing a step more.
        """
        nodes = self.kernel.nodes
        apart = cut(self.kernel, self.period_ns, self.delays)
        bits = max((shape_of_range(low, high).width for low, high in self.totals.values()), default=0)
        period = self.period_ns - (self.delays.chain + self.delays.carry * bits)
        if period - self.delays.register < max((self.delays.of(nodes, node) for node in nodes), default=0.0):
            return apart, True
        together = cut(self.kernel, period, self.delays)
        return (together, False) if together.depth <= apart.depth else (apart, True)

    @property
    def accumulate_step(self) -> int:
        """Edges from the load of a word to the edge before the one that adds its first product."""
        return self.kernel_pipeline.depth + self.sum_register

    @property
    def depth(self) -> int:
        """Edges from the load of a word to the edge that can sample its outputs."""
        return self.accumulate_step + self.cycles + self.tail_pipeline.depth + 1

    @property
    def multipliers(self) -> int:
        """Multipliers behind the accumulators: there are none elsewhere."""
        return multipliers(self.tail)

    @property
    def carry_bits(self) -> int:
        """Bits of carry chain."""
        sums = sum(range_bits(*limits) for limits in self.totals.values())
        return carry_bits(self.kernel) + sums + carry_bits(self.tail)

    def evaluate(self, x: Codes) -> Codes:
        """Compute outputs (N, F) from words (N, S) through the datapaths, digit after digit.

        Raises:
            ConfigurationError: an accumulator leaves its range.
        """
        elements = {f"x_{s}": x[:, s] for s in self.elements}
        phases = len(self.kernel.inputs) - len(elements)
        totals = {p: np.full(len(x), self.start[p] << self.digit) for p in self.columns}
        below = {p: np.zeros(len(x), np.int64) for p in self.columns}
        for k in range(self.cycles):
            bits = {f"phase_{n}": np.full(len(x), k >> n & 1) for n in range(phases)}
            products = self.kernel.evaluate(elements | bits)
            for p, (low, high) in self.totals.items():
                if k:
                    below[p] += (totals[p] & ((1 << self.digit) - 1)) << self.digit * (k - 1)
                totals[p] = (totals[p] >> self.digit) + products[f"p_{p}"]
                if len(x) and (totals[p].min() < low or totals[p].max() > high):
                    raise ConfigurationError(
                        f"Accumulator {p} must stay in [{low}, {high}], not in [{totals[p].min()}, {totals[p].max()}]"
                    )
        sums = {p: (totals[p] << self.digit * (self.cycles - 1)) + below[p] for p in self.columns}
        moved = self._moved()
        inputs = {name: sums[p] - moved[p] + constant for name, (p, constant) in self.accumulators.items()}
        results = self.tail.evaluate(inputs)
        return np.stack([np.broadcast_to(results[f"o_{p}"], len(x)) for p in range(self.outputs)], axis=1)
