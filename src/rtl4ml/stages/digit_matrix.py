"""Linear nodes as one matrix over a word of elements: what goes through hard-wired adders digit by digit."""

import functools
from dataclasses import dataclass

import numpy as np

from rtl4ml.datapath.delays import Clock
from rtl4ml.datapath.nodes import range_bits
from rtl4ml.formats import Codes, spread
from rtl4ml.graph import Graph
from rtl4ml.hdl.digit_plan import DigitPlan, Finish
from rtl4ml.operators import Conv, Dense
from rtl4ml.operators.conv import channel_limits


@dataclass(frozen=True, eq=False)
class DigitMatrix:
    """A product by constants, and the codes that it is for.

    Parameters:
        weights: int64 (S, F).
        bias: int64 (F,), with zero points folded in.
        low: int64 (S,), lowest code of each element.
        high: int64 (S,), highest.
    """

    weights: Codes
    bias: Codes
    low: Codes
    high: Codes

    @functools.cached_property
    def bits(self) -> int:
        """Bits of the widest element that any output depends on; 0 without any."""
        used = self.weights.any(axis=1) & (self.low != self.high)
        return max((range_bits(int(self.low[s]), int(self.high[s])) for s in np.flatnonzero(used)), default=0)

    def plan(self, digit: int, clock: Clock, finish: Finish | None) -> DigitPlan:
        """The product from so many bits of each element a cycle.

        Raises:
            ConfigurationError: digits that are no part of an element.
        """
        ends = self.low, self.high
        return DigitPlan(self.weights, self.bias, *ends, digit, clock.period_ns, finish, clock.delays)


def digit_matrix(graph: Graph, layer: Conv | Dense) -> DigitMatrix:
    """The matrix of a layer: of a vector, or of a window of pixels (tap row, tap column, channel)."""
    source = graph.tensors[layer.inputs[0]]
    bias = layer.effective_bias(source)
    if isinstance(layer, Dense):
        return DigitMatrix(layer.weights, bias, source.lows, source.highs)
    rows, columns, channels, outputs = layer.weights.shape
    taps, each = rows * columns, outputs // layer.groups
    weights = np.zeros((taps, layer.groups, channels, outputs), np.int64)
    for group in range(layer.groups):
        part = slice(group * each, (group + 1) * each)
        weights[:, group, :, part] = layer.weights[..., part].reshape(taps, channels, each)
    low, high = channel_limits(source, layer.channels_in)
    if (layer.window.taps < 0).any():
        zero = spread(source.format.zero_point, layer.channels_in)
        low, high = np.minimum(low, zero), np.maximum(high, zero)
    return DigitMatrix(weights.reshape(-1, outputs), bias, np.tile(low, taps), np.tile(high, taps))
