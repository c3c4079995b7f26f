"""Convolutions on tiles that leave out zeros: codes, edges and what is built."""

from dataclasses import replace

import numpy as np
import pytest

from rtl4ml.export.verilog import convert, count_multipliers
from rtl4ml.hdl.zero_skipping import PackedTile, pack_matrix
from rtl4ml.operators.window import Window
from rtl4ml.stages.sparse_conv import SparseConvStage, kernel_matrix
from tests.hdl.bench import refuses
from tests.stages.convolutions import network
from tests.stages.maps import check, graph_of
from tests.stages.test_conv import LINE, SQUARE, WINDOWS, interval


def stage_of(window, channels, outputs, tile, lanes=None, *, share=0.5, clock=200, pair_bits=0, seed=0, **options):
    """A graph of a Conv that lacks some of its weights, and its stage."""
    graph, conv, form = network(window, channels, outputs, seed=seed, **options)
    kept = np.random.default_rng(seed + 1).random(conv.weights.shape) < share
    weights = conv.weights * kept
    weights[..., -1] = 0
    graph = graph_of(graph.tensors["x"], replace(conv, weights=weights), *graph.operators[1:])
    requantize = None if form is None else "q"
    return graph, SparseConvStage(graph, "conv", requantize, tile, lanes or tile.lanes, clock, form, pair_bits)


TILES = [
    # window, channels, outputs, groups, tile, lanes in
    (SQUARE, 2, 4, 1, PackedTile(1, 1, 1), 1),
    (SQUARE, 2, 4, 1, PackedTile(2, 2, 2), 2),
    (SQUARE, 2, 4, 1, PackedTile(4, 1, 1), 2),
    (SQUARE, 2, 4, 1, PackedTile(4, 2, 4, copies=3), 1),
    (SQUARE, 2, 4, 1, PackedTile(2, 1, 1, copies=2), 4),
    (SQUARE, 2, 4, 1, PackedTile(4, 2, 4, copies=9), 2),
    (SQUARE, 2, 5, 1, PackedTile(3, 2, 1), 2),
    (SQUARE, 2, 6, 1, PackedTile(4, 1, 2, sharing=2), 10),
    (SQUARE, 4, 4, 2, PackedTile(2, 2, 2), 2),
    (SQUARE, 4, 6, 2, PackedTile(6, 4, 2), 4),
    (SQUARE, 4, 4, 4, PackedTile(2, 2, 1), 2),
    (SQUARE, 3, 9, 3, PackedTile(9, 3, 3, copies=2), 3),
    (LINE, 3, 2, 1, PackedTile(2, 3, 1), 3),
    (LINE, 3, 3, 3, PackedTile(3, 1, 1, sharing=3), 1),
]


@pytest.mark.parametrize("case", TILES)
def test_every_kind_of_tile(case):
    window, channels, outputs, groups, tile, lanes = case
    graph, stage = stage_of(window, channels, outputs, tile, lanes, groups=groups, kind="affine")
    handed = check(graph, stage)
    cycles = stage.timing.issues
    words = pack_matrix(kernel_matrix(stage.conv), tile).lengths.sum()
    assert cycles == max(window.pixels_out * words, window.pixels_in * channels // tile.lanes)
    assert interval(handed) == max(cycles, stage.timing.beats_in, stage.timing.beats_out)
    assert stage.multipliers <= tile.outputs * tile.readers + tile.finish


@pytest.mark.parametrize("shape", WINDOWS)
@pytest.mark.parametrize("tile", [PackedTile(1, 1, 1), PackedTile(3, 2, 3, copies=2)])
def test_windows(shape, tile):
    graph, stage = stage_of(shape, 2, 3, tile)
    check(graph, stage)


@pytest.mark.parametrize(
    "options",
    [
        dict(source=dict(zero=3)),
        dict(source=dict(signed=False, zero=5)),
        dict(source=dict(seed=4)),
        dict(source=dict(zero=100)),
        dict(kind=None),
        dict(kind=None, source=dict(seed=3), groups=2),
        dict(kind="thresholds", source=dict(bits=1, signed=False)),
        dict(weights=[-1, 1]),
        dict(weights=[3]),
    ],
)
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_formats_and_padding(options, share):
    graph, stage = stage_of(SQUARE, 2, 4, PackedTile(2, 2, 2, copies=2), share=share, **options)
    check(graph, stage)


@pytest.mark.parametrize("clock", [50, 450])
@pytest.mark.parametrize("tile", [PackedTile(2, 1, 1), PackedTile(4, 2, 4)])
def test_clocks(clock, tile):
    graph, stage = stage_of(Window(6, 6, (3, 3), pads=(1, 1, 1, 1)), 4, 4, tile, clock=clock, kind="affine")
    check(graph, stage)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("lanes", [1, 8])
def test_no_cycle_is_lost(stride, lanes):
    shape = Window(8, 8, (3, 3), stride=(stride, stride), pads=(1, 1, 1, 1))
    graph, stage = stage_of(shape, 4, 8, PackedTile(8, 4, 8, copies=2), lanes)
    handed = check(graph, stage, stalls=False)
    assert interval(handed) == max(256 // lanes, stage.timing.issues)


@pytest.mark.parametrize("groups", [1, 4])
def test_multipliers_are_those_of_the_verilog(groups):
    _, stage = stage_of(SQUARE, 4, 4, PackedTile(4, 2, 4, copies=2), groups=groups, share=0.8)
    # Between groups there are no weights: an output reads one of the lanes only.
    assert stage.multipliers == stage.packed.used.sum() == (12 if groups == 1 else 6)
    assert count_multipliers({"a.v": convert(stage.component(), "a", "a")}, "a") == stage.multipliers


@pytest.mark.parametrize("tile", [PackedTile(2, 1, 2, sharing=2), PackedTile(4, 1, 2, copies=2, sharing=2)])
def test_two_outputs_share_readers_and_multipliers(tile):
    graph, stage = stage_of(SQUARE, 2, 4, tile, share=0.6, source=dict(bits=8), pair_bits=27)
    check(graph, stage)
    assert stage.multipliers == stage.packed.used.sum()
    assert count_multipliers({"a.v": convert(stage.component(), "a", "a")}, "a") == stage.multipliers


def test_zeros_take_no_time():
    _, stage = stage_of(SQUARE, 2, 4, PackedTile(1, 1, 1), share=0.2)
    each = np.maximum(np.count_nonzero(kernel_matrix(stage.conv), axis=0), 1)
    assert stage.timing.issues == 25 * each.sum() < 0.4 * 25 * stage.conv.weights.size


def test_tiles_that_do_not_fit():
    refuses(
        lambda: stage_of(SQUARE, 4, 6, PackedTile(4, 3, 4)),
        "Lanes of the tile of node 'conv' must divide its 4 channels, and its beats its 6 outputs, not 3 and 4",
    )
    refuses(
        lambda: stage_of(SQUARE, 2, 4, PackedTile(8, 1, 4)),
        "Tile of node 'conv' must be of 1 to 4 outputs and 1 to 18 inputs, not 8 x 1",
    )
