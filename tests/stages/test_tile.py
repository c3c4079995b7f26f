import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtl4ml.errors import ConfigurationError
from rtl4ml.stages.tile import choose_tile


def by_trial(n_in, n_out, reuse):
    def passes(p, s):
        return -(-n_out // p) * -(-n_in // s)

    tiles = [(p, s) for p in range(1, n_out + 1) for s in range(1, n_in + 1) if passes(p, s) <= reuse]
    return min(tiles, key=lambda tile: (tile[0] * tile[1], tile[0], passes(*tile)))


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 500))
def test_is_the_smallest(n_in, n_out, reuse):
    assert choose_tile(n_in, n_out, reuse) == by_trial(n_in, n_out, reuse)


@pytest.mark.parametrize(
    ("reuse", "tile"), [(1, (64, 784)), (64, (1, 784)), (784, (4, 16)), (50176, (1, 1)), (10**9, (1, 1))]
)
def test_a_large_layer(reuse, tile):
    assert choose_tile(784, 64, reuse) == tile


def test_numbers_are_checked():
    with pytest.raises(ConfigurationError, match=r"^Elements and reuse must be 1 or more, not 3 x 4, reuse 0$"):
        choose_tile(3, 4, 0)
