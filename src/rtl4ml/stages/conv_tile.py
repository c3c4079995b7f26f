"""Folding of convolutions: from passes a pixel to a tile of multipliers."""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ConfigurationError
from rtl4ml.operators.conv import Conv

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class ConvTile:
    """The part of a kernel that is computed at once.

    A pass adds up the products of P outputs with all channels and taps of their group, a word in each cycle; a pixel
    takes H passes of G words. With H = G = 1 nothing is folded: the products are adders, an output pixel a cycle.

    Parameters:
        outputs: P, outputs of a pass: of one group of channels, or of all `groups`.
        channels: c, channels of a word: a divisor of a group's, or those of all `groups`.
        taps: rows and columns of the kernel in a word, 1 or all of them each.
        groups: gamma, groups of channels side by side.
        finish: F, outputs of a beat, which divides P and the outputs of a pixel: so many lanes follow the accumulators.
    """

    outputs: int
    channels: int
    taps: tuple[int, int]
    groups: int
    finish: int

    def passes(self, conv: Conv) -> int:
        """H, passes of an output pixel."""
        in_group = conv.channels_out // conv.groups * self.groups
        return conv.groups // self.groups * -(-in_group // self.outputs)

    def words(self, conv: Conv) -> int:
        """G, words of a pass."""
        rows, columns, channels, _ = conv.weights.shape
        return rows // self.taps[0] * (columns // self.taps[1]) * (channels * self.groups // self.channels)

    def cycles(self, conv: Conv) -> int:
        """Cycles of an output pixel, H * G."""
        return self.passes(conv) * self.words(conv)

    def frame_cycles(self, conv: Conv) -> int:
        """Cycles of a frame: all output pixels, or the writing of all words of the image where that takes longer."""
        written = conv.window.pixels_in * (conv.channels_in // self.channels)
        return max(conv.window.pixels_out * self.cycles(conv), written)

    @property
    def paired_products(self) -> int:
        """Multipliers of the products where two of an element share one."""
        return -(-(self.outputs // self.groups) // 2) * self.channels * self.taps[0] * self.taps[1]

    @property
    def products(self) -> int:
        """Products side by side, each of a multiplier unless its weights or elements are small."""
        return self.outputs * self.channels * self.taps[0] * self.taps[1] // self.groups

    def check(self, conv: Conv) -> None:
        """Check that the tile fits a node.

        Raises:
            ConfigurationError: it does not.
        """
        rows, columns, channels, _ = conv.weights.shape
        outputs = conv.channels_out // conv.groups
        side_by_side = self.groups > 1
        fits = (
            min(self.outputs, self.channels, self.groups, self.finish, *self.taps) >= 1
            and conv.groups % self.groups == 0
            and (self.channels == self.groups * channels if side_by_side else channels % self.channels == 0)
            and (self.outputs == self.groups * outputs if side_by_side else self.outputs <= outputs)
            and self.taps[0] in (1, rows)
            and self.taps[1] in (1, columns)
        )
        if not fits:
            raise ConfigurationError(
                f"Tile of node {conv.name!r} must be of 1 to {outputs} outputs and a divisor of {channels} channels, "
                f"or of all outputs and channels of several of its {conv.groups} groups, and of 1 or all of {rows} x "
                f"{columns} taps, not {self}"
            )
        finishes = self.outputs % self.finish == 0 and (side_by_side or outputs % self.finish == 0)
        if not finishes or self.outputs > self.finish * self.words(conv):
            raise ConfigurationError(
                f"Lanes that follow the accumulators of node {conv.name!r} must divide {self.outputs} and {outputs} "
                f"outputs, and be through with them in {self.words(conv)} words, not {self.finish}"
            )


def whole_tile(conv: Conv) -> ConvTile:
    """The tile that is the whole kernel: adders only, an output pixel a cycle."""
    rows, columns = conv.window.kernel
    return ConvTile(conv.channels_out, conv.channels_in, (rows, columns), conv.groups, conv.channels_out)


def choose_conv_tile(conv: Conv, passes: int, *, finish_multipliers: bool = False, pairs: bool = False) -> ConvTile:
    """The smallest tile that needs at most `passes` cycles an output pixel.

    Fewest multipliers; among equals the fewest outputs (each needs an accumulator), then the fewest taps side by side
    (each needs a memory and a place in a rotation), then the fewest cycles. The whole kernel, which needs no
    multipliers but an adder for every digit, is taken only where `passes` is 1 or there is no other.

    The image is written into the line buffer by words of c channels; with strides, that may be what takes longest.

    Args:
        conv: the node.
        passes: cycles allowed; more than the products of a pixel leave one multiplier. With strides, no tile is faster
            than an input pixel a cycle.
        finish_multipliers: each lane behind the accumulators has a multiplier.
        pairs: two products of an element share a multiplier.

    Raises:
        ConfigurationError: `passes` is below 1.
    """
    if passes < 1:
        raise ConfigurationError(f"Passes of node {conv.name!r} must be 1 or more, not {passes}")
    numbers = _search(_geometry(conv), finish_multipliers, pairs)
    possible = numbers[numbers[:, _CYCLES] <= max(passes, -(-conv.window.pixels_in // conv.window.pixels_out))]
    if passes == 1 or not len(possible):
        return whole_tile(conv)
    columns = (_CYCLES, _FINISH, _PARALLEL, _OUTPUTS, _MULTIPLIERS)
    return _tile(possible[np.lexsort([possible[:, column] for column in columns])[0]])


def tiles(conv: Conv, *, finish_multipliers: bool = False) -> list[tuple[int, int, ConvTile]]:
    """All tiles worth choosing: (cycles an output pixel, multipliers, tile), cycles ascending, multipliers descending.

    The first is the whole kernel: 1 cycle, 0 multipliers, made of adders. Each of the others is what
    :func:`choose_conv_tile` gives for its cycles, in which the words of the image can be written too.

    Args:
        conv: the node.
        finish_multipliers: each lane behind the accumulators has a multiplier.
    """
    found = [(1, 0, whole_tile(conv))]
    numbers = _search(_geometry(conv), finish_multipliers)
    columns = (_FINISH, _PARALLEL, _OUTPUTS, _MULTIPLIERS, _CYCLES)
    fewest = None
    for row in numbers[np.lexsort([numbers[:, column] for column in columns])]:
        if fewest is None or row[_MULTIPLIERS] < fewest:
            fewest = int(row[_MULTIPLIERS])
            found.append((int(row[_CYCLES]), fewest, _tile(row)))
    return found


_MULTIPLIERS, _OUTPUTS, _PARALLEL, _CYCLES, _FINISH, _CHANNELS, _ROWS, _COLUMNS, _GROUPS = range(9)


def _tile(numbers: Codes) -> ConvTile:
    n = numbers.tolist()
    return ConvTile(n[_OUTPUTS], n[_CHANNELS], (n[_ROWS], n[_COLUMNS]), n[_GROUPS], n[_FINISH])


def _geometry(conv: Conv) -> tuple[int, ...]:
    """Rows and columns of the kernel, channels and outputs of a group, groups, pixels in and out."""
    rows, columns, channels, outputs = conv.weights.shape
    return rows, columns, channels, outputs // conv.groups, conv.groups, conv.window.pixels_in, conv.window.pixels_out


def _divisors(number: int) -> Codes:
    candidates = np.arange(1, number + 1, dtype=np.int64)
    return candidates[number % candidates == 0]


@functools.lru_cache(maxsize=1024)
def _search(geometry: tuple[int, ...], finish_multipliers: bool, pairs: bool = False) -> Codes:
    """All tiles but the whole kernel, int64 (tiles, 9).

    Args:
        geometry: of the node.
        finish_multipliers: each lane behind the accumulators has a multiplier.
        pairs: two products of an element share a multiplier.
    """
    rows, columns, channels, outputs, groups, pixels_in, pixels_out = geometry
    # Outputs and channels of a pass in one group, then in several side by side.
    p, c = (axis.reshape(-1) for axis in np.meshgrid(np.arange(1, outputs + 1), _divisors(channels), indexing="ij"))
    several = _divisors(groups)[1:]
    p, c = np.concatenate([p, several * outputs]), np.concatenate([c, several * channels])
    gamma = np.concatenate([np.ones(len(p) - len(several), np.int64), several])
    written = -(-pixels_in * (channels * groups // c) // pixels_out)
    parts = []
    for tap_rows in sorted({1, rows}):
        for tap_columns in sorted({1, columns}):
            words = rows // tap_rows * (columns // tap_columns) * (channels * gamma // c)
            finish = _finish_lanes(p, np.where(gamma > 1, p, outputs), words, finish_multipliers)
            passes = groups // gamma * -(-outputs * gamma // p)
            products = p * c * tap_rows * tap_columns // gamma
            shared = -(-(p // gamma) // 2) * c * tap_rows * tap_columns if pairs else products
            multipliers = shared + finish * finish_multipliers
            taps = [np.full(len(p), taps, np.int64) for taps in (tap_rows * tap_columns, tap_rows, tap_columns)]
            cycles = np.maximum(passes * words, written)
            part = np.stack([multipliers, p, taps[0], cycles, finish, c, taps[1], taps[2], gamma], axis=1)
            parts.append(part[(finish > 0) & (passes * words > 1)])
    return np.concatenate(parts)


def _finish_lanes(p: Codes, pixel: Codes, words: Codes, fewest: bool) -> Codes:
    """Lanes behind the accumulators that are through with them in as many cycles as there are words; 0: none are.

    Args:
        p: accumulators.
        pixel: number that the lanes divide too.
        words: of a pass.
        fewest: take the fewest lanes that do; otherwise as many as there are accumulators, where these divide `pixel`.
    """
    common = np.gcd(p, pixel)
    result = np.where(common * words >= p, common, 0)
    for lanes in _divisors_of_any(common[result > 0]) if len(common) else ():
        fits = (common % lanes == 0) & (lanes * words >= p) & (fewest | (common < p))
        result = np.where(fits, np.minimum(result, lanes), result)
    return result


def _divisors_of_any(numbers: Codes) -> list[int]:
    return sorted({d for number in np.unique(numbers).tolist() for d in _divisors(number).tolist()})
