"""Tiles that leave out zeros against those that do not: multipliers as they are built, cycles as they are taken."""

from dataclasses import replace

import numpy as np
import pytest

from rtl4ml.hdl.zero_skipping import PackedTile
from rtl4ml.operators.window import Window
from rtl4ml.planning.zero_skipping import (
    Products,
    frame_cycles,
    held_elements,
    packed_fold,
    plain_products,
    reader_cost,
    smaller_packed,
)
from rtl4ml.stages.conv import ConvStage
from rtl4ml.stages.conv_tile import ConvTile
from rtl4ml.stages.dense import DenseStage
from rtl4ml.stages.sparse import SparseStage
from rtl4ml.stages.sparse_conv import SparseConvStage
from rtl4ml.stages.tile import choose_tile
from tests.stages import convolutions, maps, networks

SQUARE = Window(5, 5, (3, 3), pads=(1, 1, 1, 1))


def dense_layer(share, **options):
    def weights(layer, n_in, n_out):
        generator = np.random.default_rng(layer)
        return generator.integers(-8, 8, (n_in, n_out)) * (generator.random((n_in, n_out)) < share)

    graph, _ = networks.network((12, 7), 2, weights=weights, last=False, bits=8, **options)
    return graph, graph.operators[0]


def conv_layer(share, channels, outputs, groups):
    graph, conv, _ = convolutions.network(SQUARE, channels, outputs, groups=groups, kind=None, source=dict(bits=8))
    kept = np.random.default_rng(3).random(conv.weights.shape) < share
    conv = replace(conv, weights=conv.weights * kept)
    return maps.graph_of(graph.tensors["x"], conv), conv


def products_of(graph, layer, pair_bits):
    return Products(*graph.tensors[layer.inputs[0]].range, pair_bits > 0, False)


@pytest.mark.parametrize("pair_bits", [0, 27])
@pytest.mark.parametrize("share", [0.15, 0.6])
@pytest.mark.parametrize("tile", [(1, 1), (2, 3), (3, 5), (7, 2)])
def test_multipliers_of_a_matrix(tile, share, pair_bits):
    graph, layer = dense_layer(share)
    stage = DenseStage(graph, layer.name, None, tile, 12, 200, None, pair_bits=pair_bits)
    assert plain_products(layer, tile, products_of(graph, layer, pair_bits)) == stage.multipliers


@pytest.mark.parametrize("pair_bits", [0, 27])
@pytest.mark.parametrize("share", [0.15, 0.6])
@pytest.mark.parametrize(
    ("channels", "outputs", "groups", "tile"),
    [
        (2, 4, 1, ConvTile(2, 2, (1, 3), 1, 2)),
        (2, 5, 1, ConvTile(3, 1, (3, 1), 1, 1)),
        (4, 8, 2, ConvTile(2, 1, (1, 1), 1, 2)),
        (4, 8, 4, ConvTile(4, 2, (1, 3), 2, 4)),
        (4, 8, 2, ConvTile(8, 4, (3, 1), 2, 8)),
    ],
)
def test_multipliers_of_a_kernel(channels, outputs, groups, tile, share, pair_bits):
    graph, layer = conv_layer(share, channels, outputs, groups)
    stage = ConvStage(graph, layer.name, None, tile, tile.channels, 200, None, pair_bits=pair_bits)
    assert plain_products(layer, tile, products_of(graph, layer, pair_bits)) == stage.multipliers


@pytest.mark.parametrize("pair_bits", [0, 27])
@pytest.mark.parametrize("cycles", [12, 24, 48])
def test_a_smaller_tile_of_a_matrix(cycles, pair_bits):
    graph, layer = dense_layer(0.3)
    products = products_of(graph, layer, pair_bits)
    tile = choose_tile(12, 7, cycles)
    found = smaller_packed(layer, cycles, products, tile, tile[0] * tile[1])
    stage = SparseStage(graph, layer.name, None, found.tile, found.tile.lanes, 200, None, pair_bits)
    assert stage.timing.issues == frame_cycles(layer, found.tile, found.cycles) <= cycles
    assert stage.multipliers <= found.multipliers < plain_products(layer, tile, products)
    assert packed_fold(layer, found.tile, products) == found


@pytest.mark.parametrize("pair_bits", [0, 27])
@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("cycles", [150, 400, 1000])
def test_a_smaller_tile_of_a_kernel(cycles, groups, pair_bits):
    graph, layer = conv_layer(0.4, 4, 8, groups)
    products = products_of(graph, layer, pair_bits)
    found = smaller_packed(layer, cycles, products, None, 100)
    stage = SparseConvStage(graph, layer.name, None, found.tile, found.tile.lanes, 200, None, pair_bits)
    assert stage.timing.issues == frame_cycles(layer, found.tile, found.cycles) <= cycles
    assert stage.multipliers <= found.multipliers < 100
    assert packed_fold(layer, found.tile, products) == found


def test_nothing_is_left_out_where_there_are_no_zeros_or_is_no_time():
    graph, layer = conv_layer(0.4, 4, 8, 1)
    products = products_of(graph, layer, 0)
    assert smaller_packed(replace(layer, weights=np.ones_like(layer.weights)), 1000, products, None, 100) is None
    assert smaller_packed(layer, 24, products, None, 1000) is None
    assert smaller_packed(layer, 1000, products, None, 1) is None


def test_readers_cost_what_they_hold():
    graph, layer = conv_layer(0.4, 4, 8, 1)
    stage = SparseConvStage(graph, "conv", None, PackedTile(1, 2, 1), 2, 200, None)
    assert held_elements(layer, 2) == stage.reads.window.ring
    products = products_of(graph, layer, 0)
    for target in (None, "xcup", "ecp5", "ice40"):
        costs = [reader_cost(layer, lanes, replace(products, target=target)) for lanes in (1, 2, 4)]
        assert costs == sorted(costs, reverse=True)
        assert costs[-1] > 8
    assert held_elements(dense_layer(0.5)[1], 5) == 6
