"""Folding: from a reuse factor to a tile of multipliers."""

import numpy as np

from rtl4ml.errors import ConfigurationError


def choose_tile(
    n_in: int, n_out: int, reuse: int, *, pairs: bool = False, finish_multipliers: bool = False
) -> tuple[int, int]:
    """The smallest tile of P outputs by S inputs that needs at most `reuse` passes.

    `ceil(n_out / P) * ceil(n_in / S) <= reuse` with the fewest multipliers P * S; among equals the fewest outputs (each
    needs an accumulator and what follows it), then the fewest passes.

    Args:
        n_in: elements of the input.
        n_out: elements of the output.
        reuse: passes allowed; more than n_in * n_out leave one multiplier.
        pairs: two products of an element share a multiplier, so that a tile takes ceil(P / 2) * S.
        finish_multipliers: with pairs, whether each output has a multiplier behind its accumulator: they count too.

    Returns:
        (P, S).

    Raises:
        ConfigurationError: a number is below 1.

    >>> choose_tile(16, 64, 4)
    (16, 16)
    >>> choose_tile(784, 10, 7840)
    (1, 1)
    >>> choose_tile(16, 64, 64, pairs=True)
    (2, 8)
    """
    if min(n_in, n_out, reuse) < 1:
        raise ConfigurationError(f"Elements and reuse must be 1 or more, not {n_in} x {n_out}, reuse {reuse}")
    outputs = np.arange(1, n_out + 1, dtype=np.int64)
    groups = -(-n_out // outputs)
    words = np.minimum(reuse // groups, n_in)
    possible = words > 0
    outputs, groups, words = outputs[possible], groups[possible], words[possible]
    elements = -(-n_in // words)
    passes = groups * -(-n_in // elements)
    multipliers = outputs * elements
    if pairs:
        multipliers = -(-outputs // 2) * elements + outputs * finish_multipliers
    best = np.lexsort((passes, outputs, multipliers))[0]
    return int(outputs[best]), int(elements[best])


def check_tile(name: str, outputs: int, lanes: int, n_in: int, n_out: int) -> None:
    """Check that a tile is no larger than the matrix of a node.

    Args:
        name: of the node.
        outputs: P of the tile.
        lanes: S of the tile.
        n_in: elements of the input.
        n_out: elements of the output.

    Raises:
        ConfigurationError: it is larger.
    """
    if not (1 <= outputs <= n_out and 1 <= lanes <= n_in):
        raise ConfigurationError(
            f"Tile of node {name!r} must be of 1 to {n_out} outputs and 1 to {n_in} inputs, not {outputs} x {lanes}"
        )
