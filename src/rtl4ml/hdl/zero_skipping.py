"""Matrices without their zeros: what each multiplier of a tile reads in each cycle, if it reads nothing in vain."""

from dataclasses import dataclass
from math import isqrt

import numpy as np

from rtl4ml.formats import Codes


@dataclass(frozen=True, eq=False)
class PackedMatrix:
    """The weights of a matrix that are not 0, packed to the front (Gale et al. 2020 call the like ELLPACK in rows).

    A multiplier (p, s) of a tile of P x S works on output h * P + p in pass h and reads elements e with e % S = s only,
    word e // S of its bank. So a pass takes as many cycles as any of its multipliers has weights, one at least.

    Parameters:
        lengths: int64 (H,), cycles of each pass.
        words: int64 (H, G, P, S), number of the word that is read; 0 where there is nothing to do.
        weights: int64 (H, G, P, S), 0 there.
    """

    lengths: Codes
    words: Codes
    weights: Codes


def pack_matrix(weights: Codes, outputs: int, lanes: int) -> PackedMatrix:
    """Pack a matrix for a tile.

    Args:
        weights: int64 (n_in, n_out).
        outputs: P of the tile.
        lanes: S of the tile.
    """
    n_in, n_out = weights.shape
    groups, rows = -(-n_out // outputs), -(-n_in // lanes)
    padded = np.zeros((rows * lanes, groups * outputs), np.int64)
    padded[:n_in, :n_out] = weights
    banks = padded.reshape(rows, lanes, groups, outputs).transpose(2, 3, 1, 0)  # (H, P, S, words)
    used = banks != 0
    lengths = np.maximum(used.sum(axis=3).max(axis=(1, 2)), 1)
    # A stable sort by "is zero" brings the words with weights to the front in order.
    order = np.argsort(~used, axis=3, kind="stable")[..., : int(lengths.max())]
    packed = np.take_along_axis(banks, order, axis=3)
    words = np.where(packed != 0, order, 0)
    return PackedMatrix(
        lengths.astype(np.int64),
        np.ascontiguousarray(words.transpose(0, 3, 1, 2)),
        np.ascontiguousarray(packed.transpose(0, 3, 1, 2)),
    )


def packed_cycles(weights: Codes, lanes: int) -> Codes:
    """Cycles that each output alone takes with so many elements a word: int64 (n_out,)."""
    n_in, n_out = weights.shape
    padded = np.zeros((-(-n_in // lanes) * lanes, n_out), bool)
    padded[:n_in] = weights != 0
    counts = padded.reshape(-1, lanes, n_out).sum(axis=0).max(axis=0)
    return np.maximum(counts, 1).astype(np.int64)


def choose_packed_tile(weights: Codes, cycles: int, *, finish_multipliers: bool = False) -> tuple[int, int, int]:
    """The smallest tile that works through the weights that are not 0 in so many cycles.

    Fewest multipliers; among equals the fewest outputs, then the fewest cycles. The words of a frame are written in as
    many cycles at the most, too.

    Args:
        weights: int64 (n_in, n_out).
        cycles: allowed, 1 or more.
        finish_multipliers: each output of a pass has a multiplier behind it.

    Returns:
        P, S and the cycles that they take.
    """
    n_in, n_out = weights.shape
    behind = int(finish_multipliers)
    best = (n_in * n_out + n_out * behind, n_out, 1, n_in)
    for lanes in sorted({-(-n_in // words) for words in _quotients(n_in)}):
        if -(-n_in // lanes) > cycles:
            continue
        each = packed_cycles(weights, lanes)
        for outputs in sorted({-(-n_out // groups) for groups in _quotients(n_out)}):
            padded = np.pad(each, (0, -n_out % outputs)).reshape(-1, outputs)
            taken = int(padded.max(axis=1).sum())
            if taken <= cycles:
                best = min(best, (outputs * (lanes + behind), outputs, taken, lanes))
    return best[1], best[3], best[2]


def _quotients(n: int) -> set[int]:
    """All values of ceil(n / k)."""
    small = set(range(1, isqrt(n) + 1))
    return small | {-(-n // k) for k in small}
