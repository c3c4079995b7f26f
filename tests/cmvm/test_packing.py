import numpy as np
import pytest

from rtl4ml.cmvm.packing import CHAIN, Fabric, estimated_tables, pack, tables_of
from rtl4ml.datapath.delays import delays_of

SIX, FOUR = Fabric(6, 5), Fabric(4, 1)


def random_weights(seed, number, limit=31):
    weights = np.random.default_rng(seed).integers(-limit, limit + 1, number)
    return tuple(np.where(weights == 0, 1, weights).tolist())


def test_devices():
    assert Fabric.of(delays_of("xcup")) == Fabric.of(delays_of(None)) == SIX
    assert Fabric.of(delays_of("ecp5-25f")) == Fabric.of(delays_of("ice40-up5k")) == FOUR
    assert (SIX.chain, FOUR.chain) == (CHAIN, 1)


def test_tables_of_a_function():
    assert [tables_of(support, 6) for support in range(9)] == [0, 0, 1, 1, 1, 1, 1, 2, 4]
    assert [tables_of(support, 4) for support in range(7)] == [0, 0, 1, 1, 1, 2, 4]


@pytest.mark.parametrize("fabric", [SIX, FOUR])
@pytest.mark.parametrize("number", [0, 1, 2, 5, 6, 7, 31, 41, 42, 100])
def test_each_bit_is_in_one_group(number, fabric):
    chains = pack(random_weights(number, number), fabric)
    groups = [group for chain in chains for group in chain]
    assert sorted(bit for group in groups for bit in group) == list(range(number))
    assert all(len(group) <= fabric.inputs + 1 for group in groups)
    assert all(chain and all(chain) for chain in chains)
    assert all(len(chain) <= fabric.chain + 1 for chain in chains)


def test_the_same_twice():
    weights = random_weights(3, 20)
    first = pack(weights, SIX)
    pack.cache_clear()
    assert pack(weights, SIX) == first


def test_five_bits_more_for_one_adder():
    # A bit by itself is a wire; the table of the others is in front of its adder.
    assert sorted(len(group) for group in pack((1, 3, 5, 7, 9, 11), SIX)[0]) == [1, 5]
    assert estimated_tables((1, 3, 5, 7, 9, 11), SIX) == 6
    assert estimated_tables((1, 3, 5, 7, 9), SIX) == 5
    assert estimated_tables((), SIX) == 0


def test_wires_take_nothing():
    assert estimated_tables((1, 2), SIX) == 0
    assert estimated_tables((7,), FOUR) == 0


@pytest.mark.parametrize("fabric", [SIX, FOUR])
def test_more_bits_take_more(fabric):
    weights = random_weights(0, 64)
    costs = [estimated_tables(weights[:number], fabric) for number in (4, 8, 16, 32, 64)]
    assert costs == sorted(set(costs))
