"""Which bits of a weighted sum share a lookup table: a search in which groups stand in chains of adders.

A chain begins with a table and adds a table to its sum in every further step; where the adder's own lookup tables have
inputs to spare, they take the table in. How many bits each step takes is known from few numbers of its group: how far
the sum reaches, which power of two its weights share, and how many of them each bit of the table hangs on. So single
moves are tried quickly, and simulated annealing (S. Kirkpatrick et al., Science 220, 1983) finds groups whose sums stay
narrow for long and whose low bits are wires.
"""

import functools
import heapq
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtl4ml.cmvm.compiled import Array, bits_of, compiled
from rtl4ml.datapath.delays import Delays

CHAIN = 8
"""Groups of a chain where adders take tables in: longer ones would save less than the time they cost."""

SUM, NEGATIVE, SIZE = range(3)
"""Columns of the groups: sum of the magnitudes of their weights, of the negative ones, number of bits."""

_POWERS = 40
"""Powers of two of weights that are told apart."""

_MOVES, _MOST = 2000, 150_000
"""Moves that are tried for each bit of a sum, and at most."""

_ESTIMATING = 60
"""Moves for each bit of a sum that is only estimated."""

_HOT, _COLD = 0.5, 0.1
"""Lookup tables that a move may cost at the beginning and at the end, about."""


class Fabric(NamedTuple):
    """What lookup tables of a device hold.

    Attributes:
        inputs: of a lookup table.
        joined: inputs of a table that the adder behind it takes in.
    """

    inputs: int
    joined: int

    @classmethod
    def of(cls, delays: Delays) -> "Fabric":
        """That of a device by its timing model."""
        return cls(delays.inputs, delays.joined)

    @property
    def chain(self) -> int:
        """Groups of a chain: without joined tables, words are better summed as a balanced tree."""
        return CHAIN if self.joined > 1 else 1


@functools.lru_cache(maxsize=1024)
def pack(weights: tuple[int, ...], fabric: Fabric) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Returns chains of groups of positions, in the order in which they are added.

    Args:
        weights: Of the bits; none is 0.
        fabric: What lookup tables hold.
    """
    if not weights:
        return ()
    places, groups = _packed(weights, fabric, min(_MOVES * len(weights), _MOST))
    chains = range(int(places.max()) // groups + 1)
    found = [[tuple(np.flatnonzero(places == c * groups + g).tolist()) for g in range(groups)] for c in chains]
    return tuple(tuple(group for group in chain if group) for chain in found if any(chain))


def estimated_tables(weights: Sequence[int], fabric: Fabric) -> int:
    """Returns about how many lookup tables the sum of some bits takes, by a short search.

    Args:
        weights: Of the bits; none is 0.
        fabric: What lookup tables hold.
    """
    if not weights:
        return 0
    places, groups = _packed(weights, fabric, _ESTIMATING * len(weights))
    values = np.array(weights, np.int64)
    cost = int(_cost(values, places, groups, _sizes(fabric), fabric.joined))
    # The sums of the chains meet two at a time, the narrowest first.
    sums = np.bincount(places // groups, weights=np.abs(values)).astype(np.int64).tolist()
    heap = [total for total in sums if total]
    heapq.heapify(heap)
    while len(heap) > 1:
        total = heapq.heappop(heap) + heapq.heappop(heap)
        cost += total.bit_length() + 1
        heapq.heappush(heap, total)
    return cost


def _packed(weights: Sequence[int], fabric: Fabric, moves: int) -> tuple[Array, int]:
    """Returns a group for each bit after a search of so many moves, and the groups of a chain."""
    number = len(weights)
    later = max(fabric.joined, fabric.inputs if fabric.chain == 1 else 1)
    whole = fabric.inputs + (fabric.chain - 1) * later
    chains = -(-number // whole)
    least = [len(part) for part in np.array_split(np.arange(number), chains)]
    # A group more than needed: a narrow sum at the start of a chain costs little.
    groups = max(2 + max(0, -(-(part - fabric.inputs) // later)) for part in least) if fabric.chain > 1 else 1
    values = np.array(weights, np.int64)
    places = _start(values, chains, groups)
    return _annealed(values, places, groups, _sizes(fabric), fabric.joined, moves if number > 1 else 0), groups


def _sizes(fabric: Fabric) -> Array:
    """Returns the lookup tables of functions by the number of their bits."""
    return np.array([tables_of(s, fabric.inputs) for s in range(fabric.inputs + 2)], np.int64)


def tables_of(support: int, inputs: int) -> int:
    """Returns the lookup tables of a function of so many bits; wires need none."""
    return 0 if support < 2 else 1 << max(0, support - inputs)


def _start(weights: NDArray[np.int64], chains: int, groups: int) -> NDArray[np.int64]:
    """Returns a group for each bit: small weights first."""
    order = np.argsort(np.abs(weights), kind="stable")
    places = np.empty(len(weights), np.int64)
    for chain, part in enumerate(np.array_split(order, chains)):
        for group, members in enumerate(np.array_split(part, groups)):
            places[members] = chain * groups + group
    return places


@compiled
def _length(value: int) -> int:
    bits = 0
    while value > 0:
        bits += 1
        value >>= 1
    return bits


@compiled
def _zeros(value: int) -> int:
    zeros = 0
    while value and not value & 1:
        zeros += 1
        value >>= 1
    return zeros


@compiled
def _chain_cost(groups: Array, powers: Array, first: int, length: int, tables: Array, joined: int) -> int:
    """Returns the lookup tables of a chain: of the groups from the first on, as many as its length."""
    last = -1
    for group in range(first, first + length):
        if groups[group, SIZE]:
            last = group
    cost = total = offset = taken = 0
    for group in range(first, last + 1):
        if not groups[group, SIZE]:
            continue
        before, total = total + offset, total + groups[group, SUM]
        taken += groups[group, NEGATIVE]
        zeros = 0
        while not powers[group, zeros]:
            zeros += 1
        if group == last:
            made_up = offset + taken - groups[group, NEGATIVE]
            zeros = min(zeros, _zeros(made_up)) if made_up else zeros
            offset = -taken
        alone = before >> zeros == 0
        if not alone:
            offset += 1 << zeros if group != last else 0
            cost += max(bits_of(offset if group == last else 0, total + offset) - zeros, 0)
        support = 0
        for power in range(zeros, _length(groups[group, SUM])):
            support += powers[group, power] if power < powers.shape[1] else 0
            if alone or support > joined:
                cost += tables[min(support, len(tables) - 1)]
    return cost


@compiled
def _cost(weights: Array, places: Array, length: int, tables: Array, joined: int) -> int:
    """Returns the lookup tables of all chains, those left out that add them up."""
    chains = places.max() // length + 1
    groups, powers = np.zeros((chains * length, 3), np.int64), np.zeros((chains * length, _POWERS), np.int64)
    for bit in range(len(weights)):
        _put(bit, weights[bit], 1, places[bit], groups, powers)
    total = 0
    for chain in range(chains):
        total += _chain_cost(groups, powers, chain * length, length, tables, joined)
    return total


@compiled
def _random(state: Array) -> int:
    """Returns the next 48 bits of a generator (G. Marsaglia: Xorshift RNGs, 2003)."""
    value = np.uint64(state[0])
    value ^= value << np.uint64(13)
    value ^= value >> np.uint64(7)
    value ^= value << np.uint64(17)
    state[0] = np.int64(value)
    return int(np.int64(value >> np.uint64(16)))


@compiled
def _put(bit: int, weight: int, sign: int, place: int, groups: Array, powers: Array) -> None:
    """Adds a bit to a group; takes it out again if the sign is negative."""
    groups[place, SUM] += sign * abs(weight)
    groups[place, NEGATIVE] += sign * max(-weight, 0)
    groups[place, SIZE] += sign
    powers[place, min(_zeros(weight), powers.shape[1] - 1)] += sign


@compiled
def _annealed(weights: Array, places: Array, length: int, tables: Array, joined: int, moves: int) -> Array:
    """Returns the best groups of the bits that were found.

    Args:
        weights: Of the bits.
        places: Group of each bit, changed meanwhile; as many chains as the last one says.
        length: Groups of a chain.
        tables: Lookup tables of a function of so many bits; there are groups of all these sizes but the last.
        joined: Inputs of a table that an adder takes in.
        moves: How many are tried.
    """
    number = len(weights)
    chains = places.max() // length + 1
    groups, powers = np.zeros((chains * length, 3), np.int64), np.zeros((chains * length, _POWERS), np.int64)
    for bit in range(number):
        _put(bit, weights[bit], 1, places[bit], groups, powers)
    costs = np.zeros(chains, np.int64)
    for chain in range(chains):
        costs[chain] = _chain_cost(groups, powers, chain * length, length, tables, joined)
    cost = least = costs.sum()
    best, state = places.copy(), np.full(1, 88172645463325252)
    heat, cooling = _HOT, (_COLD / _HOT) ** (1.0 / max(moves, 1))
    for _ in range(moves):
        heat *= cooling
        bit, choice = _random(state) % number, _random(state) % (number + chains * length)
        # Two bits change places, or one goes to another group.
        other = choice if choice < number else -1
        source = places[bit]
        target = places[other] if other >= 0 else choice - number
        if target == source or (other < 0 and groups[target, SIZE] >= len(tables) - 1):
            continue
        _swap(weights, bit, other, source, target, groups, powers)
        one, two = source // length, target // length
        cost_one = _chain_cost(groups, powers, one * length, length, tables, joined)
        cost_two = cost_one if two == one else _chain_cost(groups, powers, two * length, length, tables, joined)
        change = cost_one - costs[one] + (0 if two == one else cost_two - costs[two])
        if change > 0 and _random(state) * 2.0**-48 >= np.exp(-change / heat):
            _swap(weights, bit, other, target, source, groups, powers)
            continue
        costs[one], costs[two] = cost_one, cost_two
        places[bit] = target
        if other >= 0:
            places[other] = source
        cost += change
        if cost < least:
            least = cost
            best[:] = places
    return best


@compiled
def _swap(weights: Array, bit: int, other: int, source: int, target: int, groups: Array, powers: Array) -> None:
    """Moves a bit from one group to another, and another bit, if there is one (not negative), the other way."""
    _put(bit, weights[bit], -1, source, groups, powers)
    _put(bit, weights[bit], 1, target, groups, powers)
    if other >= 0:
        _put(other, weights[other], -1, target, groups, powers)
        _put(other, weights[other], 1, source, groups, powers)
