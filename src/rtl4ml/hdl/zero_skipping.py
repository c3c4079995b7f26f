"""Matrices without their zeros: what each multiplier of a tile reads in each cycle, if it reads nothing in vain."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ConfigurationError
from rtl4ml.formats import Codes


@dataclass(frozen=True)
class PackedTile:
    """Readers and multipliers that work through the weights of a matrix that are not 0.

    P outputs are computed at once, each by S x T readers: element e of the input lies in lane e % S, and lane s has T
    readers, which take turns with the elements that any of the outputs they read for needs. Each reader has a
    multiplier for each of these outputs.

    Parameters:
        outputs: P, outputs of a pass.
        lanes: S, elements of a word.
        finish: F, outputs of a beat, which divides P.
        copies: T, readers of a lane for the same output.
        sharing: neighbouring outputs that the same readers read for.
    """

    outputs: int
    lanes: int
    finish: int
    copies: int = 1
    sharing: int = 1

    @property
    def readers(self) -> int:
        """Readers of each output, S * T; reader r reads lane r % S."""
        return self.lanes * self.copies

    @property
    def bundles(self) -> int:
        """Groups of outputs that share their readers."""
        return -(-self.outputs // self.sharing)

    @property
    def beats(self) -> int:
        """Beats of a pass: it takes as many cycles at least."""
        return self.outputs // self.finish

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigurationError: one makes no sense.
        """
        numbers = self.outputs, self.lanes, self.finish, self.copies, self.sharing
        if min(numbers) < 1 or self.outputs % self.finish:
            raise ConfigurationError(
                "Outputs, lanes, finish, copies and sharing of a tile must be 1 or more, and finish a divisor of the "
                f"outputs, not {numbers}"
            )


@dataclass(frozen=True, eq=False)
class PackedMatrix:
    """The weights of a matrix that are not 0, packed to the front (Gale et al. 2020 call the like ELLPACK in rows).

    A pass takes as many cycles as its busiest reader has elements to read, one and its beats at least.

    Parameters:
        tile: that it is packed for.
        lengths: int64 (H,), cycles of each pass.
        words: int64 (H, G, bundles, readers), word e // S of element e that is read; 0 where there is nothing to do.
        weights: int64 (H, G, P, readers), 0 there.
    """

    tile: PackedTile
    lengths: Codes
    words: Codes
    weights: Codes

    @cached_property
    def kept(self) -> NDArray[np.bool_]:
        """Which rows of the H * G are issued, bool (H * G,)."""
        return (np.arange(self.words.shape[1]) < self.lengths[:, None]).reshape(-1)

    @cached_property
    def used(self) -> NDArray[np.bool_]:
        """Readers that read anything for a weight, bool (bundles, readers)."""
        tile = self.tile
        used = np.zeros((tile.bundles * tile.sharing, tile.readers), bool)
        used[: tile.outputs] = self.weights.any(axis=(0, 1))
        return np.asarray(used.reshape(tile.bundles, tile.sharing, -1).any(axis=1))

    def apart(self) -> Codes:
        """The weights with a place for each reader of all outputs, int64 (H, G, P, bundles * readers)."""
        groups, length, outputs, readers = self.weights.shape
        result = np.zeros((groups, length, outputs, self.tile.bundles, readers), np.int64)
        output = np.arange(outputs)
        result[:, :, output, output // self.tile.sharing] = self.weights
        return result.reshape(groups, length, outputs, -1)


def pack_matrix(weights: Codes, tile: PackedTile) -> PackedMatrix:
    """Pack a matrix for a tile.

    Args:
        weights: int64 (n_in, n_out).
        tile: which.
    """
    n_in, n_out = weights.shape
    groups, rows = -(-n_out // tile.outputs), -(-n_in // tile.lanes)
    places = tile.bundles * tile.sharing
    padded = np.zeros((rows * tile.lanes, groups, places), np.int64)
    passes = np.pad(weights, ((0, rows * tile.lanes - n_in), (0, groups * tile.outputs - n_out)))
    padded[:, :, : tile.outputs] = passes.reshape(-1, groups, tile.outputs)
    shape = rows, tile.lanes, groups, tile.bundles, tile.sharing
    banks = padded.reshape(shape).transpose(2, 3, 4, 1, 0)  # (H, bundles, sharing, S, words)
    used = banks.any(axis=2)
    busiest = -(-used.sum(axis=3).max(axis=(1, 2)) // tile.copies)
    lengths = np.maximum(busiest, tile.beats)
    # A stable sort by "is not used" brings the words with weights to the front in order; the readers take turns.
    length = int(lengths.max())
    order = np.argsort(~used, axis=3, kind="stable")[..., : length * tile.copies]
    missing = length * tile.copies - order.shape[3]
    there = np.pad(np.take_along_axis(used, order, axis=3), ((0, 0), (0, 0), (0, 0), (0, missing)))
    order = np.where(there, np.pad(order, ((0, 0), (0, 0), (0, 0), (0, missing))), 0)
    packed = np.where(there[:, :, None], np.take_along_axis(banks, order[:, :, None], axis=4), 0)
    # (H, bundles, [sharing,] S, G, T) -> (H, G, outputs or bundles, T, S)
    packed = packed.reshape(groups, places, tile.lanes, length, tile.copies).transpose(0, 3, 1, 4, 2)
    words = order.reshape(groups, tile.bundles, tile.lanes, length, tile.copies).transpose(0, 3, 1, 4, 2)
    return PackedMatrix(
        tile,
        lengths.astype(np.int64),
        np.ascontiguousarray(words.reshape(groups, length, tile.bundles, -1)),
        np.ascontiguousarray(packed.reshape(groups, length, places, -1)[:, :, : tile.outputs]),
    )


@dataclass(frozen=True)
class PackedFold:
    """A tile and what it comes to.

    Parameters:
        tile: which.
        cycles: of all its passes.
        readers: that it has, each with a memory.
        multipliers: behind them and behind the accumulators.
    """

    tile: PackedTile
    cycles: int
    readers: int
    multipliers: int


@dataclass(frozen=True)
class PackedSearch:
    """Looks for the cheapest tile that works through the weights that are not 0 in so many cycles.

    Multipliers and readers cost; among equals the fewest outputs are best, then the fewest cycles.

    Parameters:
        lanes: elements of a word that are possible, and with each what a reader costs, in multipliers.
        copies: whether lanes may have several readers for an output.
        pairs: two outputs that share readers share their multipliers.
        finish_multipliers: each output of a beat has a multiplier behind it.
        whole_beats: a pass may have several beats, which divide all outputs too; else it is one.
    """

    lanes: Mapping[int, float]
    copies: bool = False
    pairs: bool = False
    finish_multipliers: bool = False
    whole_beats: bool = False

    def cheapest(self, weights: Codes, cycles: int, below: int | None = None) -> PackedFold | None:
        """The cheapest tile; None where none is fast or small enough.

        Args:
            weights: int64 (n_in, n_out).
            cycles: allowed for all passes, 1 or more.
            below: multipliers that it has fewer than; None: any number.
        """
        best: tuple[tuple[float, ...], PackedFold] | None = None
        for lanes, price in self.lanes.items():
            counts = _counts(weights, lanes, 1)
            shared = _counts(weights, lanes, 2) if self.pairs else counts
            for outputs in sorted({-(-weights.shape[1] // groups) for groups in _quotients(weights.shape[1])}):
                for sharing in (1, 2) if self.pairs and outputs > 1 else (1,):
                    found = self._found(weights, counts if sharing == 1 else shared, cycles, lanes, outputs, sharing)
                    for fold in found:
                        key = fold.multipliers + price * fold.readers, outputs, fold.cycles
                        if (below is None or fold.multipliers < below) and (best is None or key < best[0]):
                            best = key, fold
        return None if best is None else best[1]

    def _found(
        self, weights: Codes, counts: Codes, cycles: int, lanes: int, outputs: int, sharing: int
    ) -> Iterator[PackedFold]:
        n_out = weights.shape[1]
        if sharing > 1 and outputs % sharing and outputs < n_out:
            # Outputs that share readers would not be those whose elements were counted together.
            return
        bundles = -(-outputs // sharing)
        passes = -(-len(counts) // bundles)
        padded = np.pad(counts, ((0, passes * bundles - len(counts)), (0, 0))).reshape(passes, bundles, lanes)
        busiest, reads = padded.max(axis=(1, 2)), padded.max(axis=0)
        most = int(busiest.max())
        choices = np.array(sorted(_quotients(max(1, most))) if self.copies else [1], np.int64)
        for finish in self._finishes(outputs, n_out):
            beats = outputs // finish
            taken = np.maximum(-(-busiest // choices[:, None]), beats).sum(axis=1)
            fast = np.flatnonzero(taken <= cycles)
            if not len(fast):
                continue
            copies = int(choices[fast[0]])
            readers = int(np.minimum(reads, copies).sum())
            multipliers = readers + finish * self.finish_multipliers
            tile = PackedTile(outputs, lanes, finish, copies, sharing)
            yield PackedFold(tile, int(taken[fast[0]]), readers, multipliers)

    def _finishes(self, outputs: int, n_out: int) -> list[int]:
        if not self.whole_beats:
            return [outputs]
        common = int(np.gcd(outputs, n_out))
        return [d for d in range(1, common + 1) if common % d == 0] if self.finish_multipliers else [common]


def _counts(weights: Codes, lanes: int, sharing: int) -> Codes:
    """Elements in each lane that so many neighbouring outputs read together: int64 (bundles, lanes)."""
    n_in, n_out = weights.shape
    bundles, rows = -(-n_out // sharing), -(-n_in // lanes)
    used = np.zeros((rows * lanes, bundles * sharing), bool)
    used[:n_in, :n_out] = weights != 0
    return used.reshape(rows, lanes, bundles, sharing).any(axis=3).sum(axis=0).T


def _quotients(n: int) -> set[int]:
    """All values of ceil(n / k)."""
    small = set(range(1, isqrt(n) + 1))
    return small | {-(-n // k) for k in small}


def dense_lanes(n_in: int, cycles: int) -> list[int]:
    """Elements of words that a vector comes in within so many cycles."""
    return sorted({-(-n_in // words) for words in _quotients(n_in) if words <= cycles})
