import itertools
import time

import pytest

from rtl4ml.errors import ConfigurationError
from rtl4ml.operators.window import Window
from rtl4ml.stages.conv_tile import ConvTile, choose_conv_tile, tiles, whole_tile
from tests.hdl.bench import refuses
from tests.stages.convolutions import conv_of

CONVS = [
    conv_of(Window(8, 8, (3, 3), pads=(1, 1, 1, 1)), 4, 6),
    conv_of(Window(8, 8, (3, 3), stride=(2, 2), pads=(1, 1, 1, 1)), 4, 6),
    conv_of(Window(8, 8, (2, 3)), 6, 6, groups=6),
    conv_of(Window(8, 8, (2, 3)), 4, 8, groups=4),
    conv_of(Window(8, 1, (5, 1)), 6, 10, groups=2),
    conv_of(Window(8, 8, (1, 1)), 6, 7),
    conv_of(Window(8, 8, (1, 1), stride=(2, 2)), 5, 4),
]


def fitting(conv):
    """All tiles that pass the check."""
    rows, columns = conv.window.kernel
    sizes = range(1, conv.channels_out + 1), range(1, conv.channels_in + 1), {1, rows}, {1, columns}
    for p, c, i, j, gamma, f in itertools.product(*sizes, range(1, conv.groups + 1), range(1, conv.channels_out + 1)):
        tile = ConvTile(p, c, (i, j), gamma, f)
        try:
            tile.check(conv)
        except ConfigurationError:
            continue
        yield tile


def cost(tile, finish_multipliers):
    return tile.products + tile.finish * finish_multipliers


@pytest.mark.parametrize("finish_multipliers", [False, True])
@pytest.mark.parametrize("conv", CONVS)
def test_the_fewest_multipliers(conv, finish_multipliers):
    pixels, least = conv.window.pixels_out, -(-conv.window.pixels_in // conv.window.pixels_out)
    found = [tile for tile in fitting(conv) if tile.cycles(conv) > 1]
    for passes in [2, 3, 4, 5, 6, 8, 9, 11, 12, 17, 18, 24, 36, 50, 1000]:
        tile = choose_conv_tile(conv, passes, finish_multipliers=finish_multipliers)
        tile.check(conv)
        possible = [other for other in found if other.frame_cycles(conv) <= pixels * max(passes, least)]
        if not possible:
            assert tile == whole_tile(conv)
            continue
        assert tile.frame_cycles(conv) <= pixels * max(passes, least)
        best = min(cost(other, finish_multipliers) for other in possible)
        assert cost(tile, finish_multipliers) == best
        equal = [other for other in possible if cost(other, finish_multipliers) == best]
        assert tile.outputs == min(other.outputs for other in equal)


@pytest.mark.parametrize("conv", CONVS)
def test_list_of_tiles(conv):
    found = tiles(conv, finish_multipliers=True)
    assert found[0] == (1, 0, whole_tile(conv))
    assert all(a < b for (a, _, _), (b, _, _) in itertools.pairwise(found))
    assert all(a > b for (_, a, _), (_, b, _) in itertools.pairwise(found[1:]))
    for cycles, multipliers, tile in found[1:]:
        assert tile == choose_conv_tile(conv, cycles, finish_multipliers=True)
        assert cost(tile, True) == multipliers
        assert (cycles - 1) * conv.window.pixels_out < tile.frame_cycles(conv) <= cycles * conv.window.pixels_out


def test_whole_kernel():
    conv = CONVS[0]
    assert choose_conv_tile(conv, 1) == whole_tile(conv) == ConvTile(6, 4, (3, 3), 1, 6)
    assert whole_tile(conv).cycles(conv) == 1
    single = conv_of(Window(4, 4, (1, 1)), 1, 1)
    assert choose_conv_tile(single, 9) == whole_tile(single)


def test_more_elements_rather_than_more_outputs():
    conv = conv_of(Window(8, 8, (3, 3)), 16, 16)
    assert choose_conv_tile(conv, 16) == ConvTile(1, 16, (3, 3), 1, 1)
    assert choose_conv_tile(conv, 9) == ConvTile(16, 16, (1, 1), 1, 16)
    assert choose_conv_tile(conv, 9, finish_multipliers=True) == ConvTile(16, 16, (1, 1), 1, 2)


def test_one_multiplier():
    conv = conv_of(Window(8, 8, (3, 3)), 4, 4)
    tile = choose_conv_tile(conv, 10**6)
    assert (tile.products, tile.cycles(conv)) == (1, 144)


def test_large_layers_are_searched_at_once():
    conv = conv_of(Window(8, 8, (3, 3)), 512, 512)
    start = time.perf_counter()
    choose_conv_tile(conv, 100, finish_multipliers=True)
    assert time.perf_counter() - start < 0.5


def test_errors():
    conv = CONVS[0]
    refuses(lambda: choose_conv_tile(conv, 0), "Passes of node 'conv' must be 1 or more, not 0")
    refuses(
        lambda: ConvTile(4, 4, (1, 1), 1, 4).check(conv),
        "Lanes that follow the accumulators of node 'conv' must divide 4 and 6 outputs, and be through with them in 9 "
        "words, not 4",
    )
    refuses(
        lambda: ConvTile(6, 4, (3, 3), 1, 3).check(conv),
        "Lanes that follow the accumulators of node 'conv' must divide 6 and 6 outputs, and be through with them in 1 "
        "words, not 3",
    )
    refuses(
        lambda: ConvTile(1, 4, (2, 1), 1, 1).check(conv),
        "Tile of node 'conv' must be of 1 to 6 outputs and a divisor of 4 channels, or of all outputs and channels of "
        "several of its 1 groups, and of 1 or all of 3 x 3 taps, not ConvTile(outputs=1, channels=4, taps=(2, 1), "
        "groups=1, finish=1)",
    )
