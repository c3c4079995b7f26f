"""Operators on whole tensors as datapaths: convolutions, pooling, moves and decisions, every element side by side."""

from collections.abc import Sequence

import numpy as np

from rtl4ml.cmvm.solve import multiply_matrix
from rtl4ml.datapath.words import Datapath, Word
from rtl4ml.formats import Codes, spread
from rtl4ml.graph import Tensor
from rtl4ml.operators import Concat, Conv, Gather, Pool, Top


def build_conv(
    datapath: Datapath, conv: Conv, tensor: Tensor, words: Sequence[Word], ternary: bool = False
) -> list[Word]:
    """Add a convolution to a datapath: adders and shifts for every output pixel.

    A tap on padding holds the zero point, a constant, and takes no adder.

    Args:
        datapath: where to.
        conv: the node.
        tensor: what it reads.
        words: of that tensor, pixel by pixel.
        ternary: whether one carry chain adds three words.
    """
    zero = spread(tensor.format.zero_point, conv.channels_in).tolist()
    offsets = conv.effective_bias(tensor)
    taps, channels = conv.weights.shape[0] * conv.weights.shape[1], conv.weights.shape[2]
    weights = conv.weights.reshape(taps * channels, conv.channels_out)
    each = conv.channels_out // conv.groups
    padding = [datapath.constant(code) for code in zero]
    results = []
    for pixels in conv.window.taps.tolist():
        for group in range(conv.groups):
            inside = range(group * channels, (group + 1) * channels)
            window = [
                words[pixel * conv.channels_in + channel] if pixel >= 0 else padding[channel]
                for pixel in pixels
                for channel in inside
            ]
            outputs = slice(group * each, (group + 1) * each)
            results += multiply_matrix(datapath, window, weights[:, outputs], offsets[outputs], ternary=ternary)
    return results


def build_pool(datapath: Datapath, pool: Pool, words: Sequence[Word]) -> list[Word]:
    """Add maxima under a window to a datapath, a tree for every output element; padding takes no part.

    Args:
        datapath: where to.
        pool: the node.
        words: of the tensor that it reads, pixel by pixel.
    """
    channels = pool.shape[-1]
    return [
        largest(datapath, [words[pixel * channels + channel] for pixel in pixels if pixel >= 0])
        for pixels in pool.window.taps.tolist()
        for channel in range(channels)
    ]


def largest(datapath: Datapath, words: Sequence[Word]) -> Word:
    """Add the maximum of one or more words to a datapath as a balanced tree."""
    players = list(words)
    while len(players) > 1:
        pairs = list(zip(players[::2], players[1::2], strict=False))
        rest = players[2 * len(pairs) :]
        players = [larger(datapath, a, b) for a, b in pairs] + rest
    return players[0]


def larger(datapath: Datapath, a: Word, b: Word) -> Word:
    """Add the maximum of two words to a datapath, with its exact range."""
    chosen = datapath.select(datapath.at_least(a, b), a, b)
    return datapath.narrow(chosen, max(a.low, b.low), max(a.high, b.high))


def build_gather(datapath: Datapath, gather: Gather, words: Sequence[Word]) -> list[Word]:
    """Add a choice of elements to a datapath: wires, and constants where an element comes from nowhere."""
    fill = datapath.constant(gather.fill)
    return [words[index] if index >= 0 else fill for index in gather.indices.tolist()]


def build_concat(concat: Concat, inputs: Sequence[Sequence[Word]]) -> list[Word]:
    """The words of all inputs, block by block."""
    each = [len(part) // concat.blocks for part in inputs]
    return [
        word
        for block in range(concat.blocks)
        for part, size in zip(inputs, each, strict=True)
        for word in part[block * size : (block + 1) * size]
    ]


def build_top(datapath: Datapath, top: Top, words: Sequence[Word]) -> list[Word]:
    """Add decisions to a datapath, one for each block of words."""
    n = len(words) // top.blocks
    factors, offsets = (np.broadcast_to(a, (n,)) for a in (top.factors, top.offsets))
    results = []
    for start in range(0, len(words), n):
        results += _decide(datapath, words[start : start + n], factors, offsets, top.count)
    return results


def _decide(datapath: Datapath, words: Sequence[Word], factors: Codes, offsets: Codes, count: int) -> list[Word]:
    """Rounds of a tournament; the winner of a round does not play in the next."""
    values = [
        datapath.add(datapath.multiply(word, datapath.constant(factor)), datapath.constant(offset))
        for word, factor, offset in zip(words, factors.tolist(), offsets.tolist(), strict=True)
    ]
    out = datapath.constant(min(value.low for value in values) - 1)
    winners = []
    for round_ in range(count):
        players = [(value, datapath.constant(index)) for index, value in enumerate(values)]
        while len(players) > 1:
            # Neighbours meet, so the first of a pair has the lower numbers: it wins a tie.
            pairs = list(zip(players[::2], players[1::2], strict=False))
            rest = players[2 * len(pairs) :]
            players = [_duel(datapath, a, b) for a, b in pairs] + rest
        winner = players[0][1]
        winners.append(winner)
        if round_ < count - 1:
            values = [
                datapath.select(datapath.equal(winner, datapath.constant(index)), out, value)
                for index, value in enumerate(values)
            ]
    return winners


def _duel(datapath: Datapath, a: tuple[Word, Word], b: tuple[Word, Word]) -> tuple[Word, Word]:
    first = datapath.at_least(a[0], b[0])
    return datapath.select(first, a[0], b[0]), datapath.select(first, a[1], b[1])
