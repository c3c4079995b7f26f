"""Two products of an element in one multiplier."""

import numpy as np
import pytest

from rtl4ml.export.verilog import convert, count_multipliers
from rtl4ml.hdl.mac_pairs import any_pair_fits
from rtl4ml.operators.window import Window
from rtl4ml.stages.conv import ConvStage
from rtl4ml.stages.conv_tile import ConvTile
from rtl4ml.stages.dense import DenseStage
from tests.stages import convolutions
from tests.stages.maps import check as check_map
from tests.stages.networks import network
from tests.stages.test_dense import check


def stage_of(sizes, tile, pair_bits=27, seed=1, clock=200, **options):
    graph, forms = network(sizes, seed, **({"bits": 8, "weight_bits": 8} | options))
    requantize = "q0" if "q0" in forms else None
    form = forms.get("q0")
    return graph, DenseStage(graph, "fc0", requantize, tile, tile[1], clock, form, pair_bits=pair_bits)


@pytest.mark.parametrize("tile", [(2, 1), (3, 2), (4, 1), (4, 3), (6, 2)])
@pytest.mark.parametrize("options", [{}, dict(signed=False), dict(last=False, zero_point=5), dict(bits=4)])
def test_codes_and_cycles(tile, options):
    graph, stage = stage_of((6, 6), tile, **options)
    alone = stage_of((6, 6), tile, 0, **options)[1]
    check(graph, [stage])
    assert stage.multipliers == -(-tile[0] // 2) * tile[1] < alone.multipliers
    assert count_multipliers({"a.v": convert(stage.component(), "a", "a")}, "a") == stage.multipliers


@pytest.mark.parametrize("clock", [50, 400])
@pytest.mark.parametrize("weights", [-128, 127, 1])
def test_extremes(clock, weights):
    """Products at both ends of their ranges, with and without a borrow."""

    def ends(layer, n_in, n_out):
        found = np.full((n_in, n_out), weights)
        found[::2] = -128
        found[1, :] = 127
        return found

    graph, stage = stage_of((4, 4), (4, 1), clock=clock, weights=ends, last=False)
    assert stage.multipliers == 2
    check(graph, [stage], frames=8)


def test_products_that_are_too_wide_stay_alone():
    graph, stage = stage_of((4, 4), (2, 2), 25, bits=12)
    assert stage.multipliers == 4
    check(graph, [stage])
    weights = np.array([-128, 127])
    assert any_pair_fits(weights, -128, 127, 25)
    assert any_pair_fits(weights, 0, 255, 25)
    assert not any_pair_fits(weights, -512, 511, 25)
    assert any_pair_fits(weights, -512, 511, 27)


def test_nothing_is_paired_that_nobody_needs():
    graph, stage = stage_of((4, 4), (2, 1), kinds=["constant"])
    assert stage.multipliers == 0
    check(graph, [stage])


def test_convolutions():
    graph, _, form = convolutions.network(Window(4, 4, (3, 3), pads=(1, 1, 1, 1)), 2, 4, kind="affine")
    tile = ConvTile(4, 2, (1, 1), 1, 1)
    stage = ConvStage(graph, "conv", "q", tile, 2, 200, form, pair_bits=27)
    assert stage.multipliers == 4 + 1
    check_map(graph, stage)
