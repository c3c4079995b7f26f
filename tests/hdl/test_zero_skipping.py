import numpy as np
import pytest

from rtl4ml.hdl.zero_skipping import choose_packed_tile, pack_matrix, packed_cycles


def matrix(seed, n_in, n_out, share=0.5):
    generator = np.random.default_rng(seed)
    return generator.integers(-8, 9, (n_in, n_out)) * (generator.random((n_in, n_out)) < share)


@pytest.mark.parametrize("tile", [(1, 1), (2, 3), (4, 1), (5, 7), (1, 7)])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_every_weight_has_its_place_once(tile, share):
    weights = matrix(1, 7, 5, share)
    outputs, lanes = tile
    packed = pack_matrix(weights, outputs, lanes)
    found = np.zeros((8 * lanes, len(packed.lengths) * outputs), np.int64)
    for h, g, p, s in np.argwhere(packed.weights).tolist():
        assert g < packed.lengths[h]
        element, output = packed.words[h, g, p, s] * lanes + s, h * outputs + p
        assert found[element, output] == 0
        found[element, output] = packed.weights[h, g, p, s]
    assert np.array_equal(found[:7, :5], weights)
    assert not found[7:].any()
    assert not found[:, 5:].any()


def test_passes_are_as_long_as_their_busiest_multiplier():
    weights = np.array([[1, 0, 2], [0, 0, 3], [4, 0, 5], [0, 0, 0]])
    assert pack_matrix(weights, 1, 1).lengths.tolist() == [2, 1, 3]
    assert pack_matrix(weights, 1, 2).lengths.tolist() == [2, 1, 2]
    assert pack_matrix(weights, 2, 1).lengths.tolist() == [2, 3]
    assert packed_cycles(weights, 2).tolist() == [2, 1, 2]


@pytest.mark.parametrize("cycles", [1, 3, 8, 20, 64, 1000])
def test_the_smallest_tile(cycles):
    weights = matrix(2, 12, 8)
    outputs, lanes, taken = choose_packed_tile(weights, cycles)
    assert taken == pack_matrix(weights, outputs, lanes).lengths.sum() <= max(cycles, taken * (cycles == 1))
    smaller = [
        (p, s)
        for p in range(1, 9)
        for s in range(1, 13)
        if p * s < outputs * lanes and pack_matrix(weights, p, s).lengths.sum() <= cycles and -(-12 // s) <= cycles
    ]
    assert smaller == []
