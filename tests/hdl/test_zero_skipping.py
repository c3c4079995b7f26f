import numpy as np
import pytest

from rtl4ml.hdl.zero_skipping import PackedSearch, PackedTile, dense_lanes, pack_matrix
from tests.hdl.bench import refuses


def matrix(seed, n_in, n_out, share=0.5):
    generator = np.random.default_rng(seed)
    return generator.integers(-8, 9, (n_in, n_out)) * (generator.random((n_in, n_out)) < share)


TILES = [
    PackedTile(1, 1, 1),
    PackedTile(2, 3, 2),
    PackedTile(4, 1, 2),
    PackedTile(5, 7, 5),
    PackedTile(1, 7, 1),
    PackedTile(2, 2, 2, copies=3),
    PackedTile(3, 2, 1, copies=2, sharing=2),
    PackedTile(5, 1, 5, copies=9, sharing=3),
    PackedTile(4, 3, 2, sharing=4),
]


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_every_weight_has_its_place_once(tile, share):
    weights = matrix(1, 7, 5, share)
    packed = pack_matrix(weights, tile)
    found = np.zeros((8 * tile.lanes, len(packed.lengths) * tile.outputs), np.int64)
    assert packed.weights.any(axis=(0, 1)).sum() <= tile.sharing * packed.used.sum()
    for h, g, p, r in np.argwhere(packed.weights).tolist():
        assert g < packed.lengths[h]
        assert packed.used[p // tile.sharing, r]
        element = packed.words[h, g, p // tile.sharing, r] * tile.lanes + r % tile.lanes
        output = h * tile.outputs + p
        assert found[element, output] == 0
        found[element, output] = packed.weights[h, g, p, r]
    assert np.array_equal(found[:7, :5], weights)
    assert not found[7:].any()
    assert not found[:, 5:].any()
    apart = packed.apart()
    assert apart.shape == (*packed.weights.shape[:3], tile.bundles * tile.readers)
    assert np.array_equal(apart.sum(axis=3), packed.weights.sum(axis=3))


def lengths(weights, *tile, **options):
    return pack_matrix(weights, PackedTile(*tile, **options)).lengths.tolist()


def test_passes_are_as_long_as_their_busiest_reader():
    weights = np.array([[1, 0, 2], [0, 0, 3], [4, 0, 5], [0, 0, 0]])
    assert lengths(weights, 1, 1, 1) == [2, 1, 3]
    assert lengths(weights, 1, 2, 1) == [2, 1, 2]
    assert lengths(weights, 2, 1, 2) == [2, 3]
    assert lengths(weights, 3, 1, 3) == [3]
    assert lengths(weights, 1, 1, 1, copies=2) == [1, 1, 2]
    # The elements of outputs that share readers are read together; passes have time for their beats.
    assert lengths(weights, 3, 1, 3, sharing=3) == [3]
    assert lengths(np.eye(3, dtype=int), 3, 1, 3, sharing=3) == [3]
    assert lengths(np.eye(3, dtype=int), 3, 1, 3) == [1]
    assert lengths(np.eye(3, dtype=int), 3, 1, 1) == [3]


def possible(weights, search, cycles):
    """All tiles that are fast enough."""
    n_in, n_out = weights.shape
    for lanes in search.lanes:
        for outputs in range(1, n_out + 1):
            for copies in range(1, n_in + 1) if search.copies else (1,):
                for sharing in (1, 2) if search.pairs else (1,):
                    for finish in [d for d in range(1, outputs + 1) if outputs % d == 0 == n_out % d]:
                        if not search.whole_beats and finish < outputs:
                            continue
                        tile = PackedTile(outputs, lanes, finish, copies, sharing)
                        packed = pack_matrix(weights, tile)
                        if packed.lengths.sum() <= cycles:
                            yield tile, packed


@pytest.mark.parametrize("cycles", [1, 3, 8, 20, 64, 1000])
@pytest.mark.parametrize(
    "options",
    [
        dict(lanes=dict.fromkeys([1, 2, 3, 4, 6, 12], 0.0)),
        dict(lanes=dict.fromkeys([1, 2, 3, 4, 6, 12], 0.0), pairs=True, finish_multipliers=True),
        dict(lanes={1: 0.0, 3: 0.0}, copies=True, whole_beats=True, finish_multipliers=True),
        dict(lanes={2: 0.0}, copies=True, whole_beats=True, pairs=True),
    ],
)
def test_the_smallest_tile(cycles, options):
    weights = matrix(2, 12, 6)
    search = PackedSearch(**options)
    found = search.cheapest(weights, cycles)
    sizes = [
        packed.used.sum() + tile.finish * search.finish_multipliers
        for tile, packed in possible(weights, search, cycles)
    ]
    if found is None:
        assert not sizes
        return
    packed = pack_matrix(weights, found.tile)
    assert packed.lengths.sum() == found.cycles <= cycles
    assert packed.used.sum() == found.readers
    assert found.multipliers == found.readers + found.tile.finish * search.finish_multipliers == min(sizes)


def test_readers_cost_too():
    weights = matrix(3, 24, 8)
    free, dear = (PackedSearch(lanes, copies=True) for lanes in ({1: 0.0, 8: 0.0}, {1: 1.0, 8: 0.01}))
    fewest, found = (search.cheapest(weights, 20) for search in (free, dear))
    assert (fewest.tile.lanes, found.tile.lanes) == (1, 8)
    assert fewest.multipliers < found.multipliers < 2 * fewest.multipliers
    assert dear.cheapest(weights, 20, found.multipliers).multipliers < found.multipliers
    assert free.cheapest(weights, 20, fewest.multipliers) is None


def test_words_of_a_vector_come_in_time():
    assert dense_lanes(12, 3) == [4, 6, 12]
    assert dense_lanes(12, 100) == [1, 2, 3, 4, 6, 12]
    assert PackedSearch({}).cheapest(matrix(1, 4, 4), 3) is None


def test_tiles_that_make_no_sense():
    message = (
        "Outputs, lanes, finish, copies and sharing of a tile must be 1 or more, and finish a divisor of the outputs, "
        "not (3, 1, 2, 1, 1)"
    )
    refuses(lambda: PackedTile(3, 1, 2), message)
