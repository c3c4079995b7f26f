import numpy as np
import pytest

from rtl4ml.operators.window import Window
from rtl4ml.stages.conv_tile import ConvTile
from rtl4ml.stages.conv_words import ConvWords
from tests.stages.convolutions import conv_of

CASES = [
    (2, 5, 1, ConvTile(3, 1, (1, 1), 1, 1)),
    (4, 6, 2, ConvTile(2, 2, (1, 3), 1, 1)),
    (4, 8, 4, ConvTile(4, 2, (2, 1), 2, 2)),
    (4, 4, 2, ConvTile(4, 4, (2, 3), 2, 4)),
]


@pytest.mark.parametrize("case", CASES)
def test_words_times_weights_are_the_convolution(case):
    channels, outputs, groups, tile = case
    window = Window(4, 5, (2, 3), stride=(1, 2), dilation=(2, 1), pads=(1, 1, 0, 2))
    conv = conv_of(window, channels, outputs, groups=groups)
    zero = np.arange(channels)
    words = ConvWords(conv, tile, zero)
    x = np.random.default_rng(2).integers(-8, 8, (3, 20 * channels))
    patches = np.concatenate([patch.reshape(3, -1, patch.shape[1]) for patch in words.patches(x)], axis=1)
    split = patches.reshape(3, window.pixels_out, tile.passes(conv), tile.words(conv), -1)
    sums = np.einsum("nkhgs,hgps->nkhp", split, words.weights(conv.weights))
    # By hand: every tap of every pixel, padding with the zero points.
    padded = np.concatenate([x.reshape(3, 20, channels), np.broadcast_to(zero, (3, 1, channels))], axis=1)
    whole = np.einsum("nktc,tco->nko", padded[:, window.taps], conv.matrix)
    assert np.array_equal(sums, whole[:, :, words.columns])
    kept = [
        words.columns[h, beat * tile.finish : (beat + 1) * tile.finish]
        for h, count in enumerate(words.beats)
        for beat in range(count)
    ]
    assert np.concatenate(kept).tolist() == list(range(outputs))


@pytest.mark.parametrize("case", CASES)
def test_channels_of_words(case):
    channels, outputs, groups, tile = case
    conv = conv_of(Window(4, 5, (2, 3)), channels, outputs, groups=groups)
    words = ConvWords(conv, tile, np.zeros(channels, np.int64))
    x = np.broadcast_to(np.arange(channels), (1, 20, channels)).reshape(1, -1)
    (patch,) = words.patches(x)
    assert np.array_equal(np.broadcast_to(words.channels(np.arange(channels)).reshape(-1), patch.shape), patch)
