"""A constant matrix times narrow words: lookup tables of partial sums, added up in chains.

Distributed arithmetic (A. Croisier et al., US patent 3,777,130, 1973; A. Peled and B. Liu, IEEE Trans. ASSP 22, 1974):
a sum of some weights, each times a bit, is a function of these bits, and a lookup table for every bit of it. Devices
whose adders have lookup tables of six inputs add five more bits of the vector for what an adder of two words costs.

The wider the words, the more an adder graph that columns share is worth. Both are built on trial and counted, and each
column is made in the cheaper way.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtl4ml.cmvm.digits import Bounds
from rtl4ml.cmvm.packing import Fabric, pack, tables_of
from rtl4ml.cmvm.solve import multiply_matrix
from rtl4ml.datapath.cost import live_nodes
from rtl4ml.datapath.delays import Delays
from rtl4ml.datapath.nodes import ADD, SUBTRACT, TERNARY, WEIGHTED, Node, chain
from rtl4ml.datapath.ternary import with_ternary_sums
from rtl4ml.datapath.words import Datapath, Word
from rtl4ml.errors import ConfigurationError

_SUMS = (ADD, SUBTRACT, TERNARY, WEIGHTED)

WIDEST = 8
"""Bits of a word up to which tables are tried; already from five on adder graphs are nearly always smaller."""


def multiply_narrow(datapath: Datapath, words: Sequence[Word], matrix: ArrayLike, delays: Delays) -> list[Word]:
    """Builds ``words @ matrix`` by adder graphs, by tables of partial sums, or each column by the cheaper one.

    Args:
        datapath: Where to build.
        words: The vector, n words; they are taken to be independent of one another.
        matrix: Integers of shape (n, m).
        delays: Timing model of the device, which knows its lookup tables.

    Returns:
        m words, with the exact range of each sum.

    Raises:
        ConfigurationError: If the shapes do not fit or values are not integers.
    """
    weights = np.asarray(matrix)
    if max((word.bits for word in words if word.low != word.high), default=0) > WIDEST:
        return multiply_matrix(datapath, words, weights, ternary=delays.ternary)
    graph, tables = (_on_trial(words, weights, delays, by_tables) for by_tables in (False, True))
    fabric = Fabric.of(delays)
    chosen = _cheaper(graph, tables, fabric)
    if not chosen.any():
        return multiply_matrix(datapath, words, weights, ternary=delays.ternary)
    results: dict[str, Word] = {}
    for source, columns in ((graph, np.flatnonzero(~chosen)), (tables, np.flatnonzero(chosen))):
        results |= _copy(datapath, source, [f"p_{column}" for column in columns.tolist()], words)
    return [results[f"p_{column}"] for column in range(weights.shape[1])]


def multiply_by_tables(datapath: Datapath, words: Sequence[Word], matrix: ArrayLike, fabric: Fabric) -> list[Word]:
    """Builds ``words @ matrix`` by tables of partial sums alone.

    Columns that are equal up to a power of two are built once.

    Args:
        datapath: Where to build.
        words: The vector, n words; they are taken to be independent of one another.
        matrix: Integers of shape (n, m).
        fabric: What lookup tables hold.

    Returns:
        m words, with the exact range of each sum.

    Raises:
        ConfigurationError: If the shapes do not fit or values are not integers.
    """
    weights = np.asarray(matrix)
    if weights.ndim != 2 or weights.shape[0] != len(words):
        raise ConfigurationError(f"matrix must have shape ({len(words)}, m), not {weights.shape}")
    if weights.dtype.kind not in "iu":
        raise ConfigurationError(f"matrix must hold integers, not {weights.dtype}")
    weights = weights.astype(np.int64)
    bits, factors, rows, fixed = _bits(datapath, words)
    constants = fixed @ weights
    bounds = Bounds(*(np.array([getattr(word, end) for word in words], np.int64) for end in ("low", "high")))
    found: dict[bytes, Word] = {}
    results = []
    for column, constant in zip(weights.T, constants.tolist(), strict=True):
        of_bits = factors * column[rows]
        union = int(np.bitwise_or.reduce(of_bits, initial=0))
        shift = max((union & -union).bit_length() - 1, 0)
        key = (of_bits >> shift).tobytes()
        if key not in found:
            used = np.flatnonzero(of_bits)
            parts = [bits[bit] for bit in used.tolist()]
            found[key] = _sum(datapath, parts, (of_bits[used] >> shift).tolist(), fabric)
        word = datapath.add(datapath.shift_left(found[key], shift), datapath.constant(constant))
        results.append(datapath.narrow(word, *bounds.of(column)))
    return results


def logic_bits(datapath: Datapath, fabric: Fabric, roots: Iterable[Word] | None = None) -> int:
    """Returns the lookup tables of sums: one for each bit of a carry chain, and tables that no adder takes in.

    Args:
        datapath: The datapath.
        fabric: What lookup tables hold.
        roots: Count what these words need; the outputs if left out.
    """
    return sum(_cost(datapath.nodes, index, fabric) for index in live_nodes(datapath, roots))


def _bits(
    datapath: Datapath, words: Sequence[Word]
) -> tuple[list[Word], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Returns the bits of words that vary, what each is worth, which word it is of, and what is fixed of each word."""
    bits, factors, rows = [], [], []
    fixed = np.zeros(len(words), np.int64)
    for row, word in enumerate(words):
        if word.low == word.high:
            fixed[row] = word.low
            continue
        for place in range(word.bits):
            bit = datapath.low_bits(datapath.shift_right(word, place), 1)
            factor = -(1 << place) if word.low < 0 and place == word.bits - 1 else 1 << place
            if bit.low == bit.high:
                fixed[row] += factor * bit.low
                continue
            bits.append(bit)
            factors.append(factor)
            rows.append(row)
    return bits, np.array(factors, np.int64), np.array(rows, np.int64), fixed


def _sum(datapath: Datapath, bits: Sequence[Word], weights: Sequence[int], fabric: Fabric) -> Word:
    """Returns the sum of bits times weights.

    No table but the last of a chain has negative entries, so that no sum needs a sign; where an adder follows, none has
    the entry 0 either, because one less is what stands in the table. The last table makes up for all that.
    """
    chains = []
    for groups in pack(tuple(weights), fabric):
        word, made_up = datapath.constant(0), 0
        for group in groups:
            numbers = [weights[bit] for bit in group]
            constant = -sum(min(number, 0) for number in numbers)
            union = int(np.bitwise_or.reduce(numbers))
            zeros = (union & -union).bit_length() - 1
            if word.high >> zeros:
                constant += 1 << zeros
            constant = -made_up if group is groups[-1] else constant
            made_up += constant
            word = datapath.weighted(word, [bits[bit] for bit in group], numbers, constant)
        chains.append(word)
    return datapath.sum(chains)


def _on_trial(words: Sequence[Word], weights: NDArray[np.int64], delays: Delays, by_tables: bool) -> Datapath:
    """Returns a datapath of the product alone, from inputs `x_0`, ... to outputs `p_0`, ..."""
    trial = Datapath()
    inputs = [trial.input(f"x_{row}", word.low, word.high) for row, word in enumerate(words)]
    if by_tables:
        products = multiply_by_tables(trial, inputs, weights, Fabric.of(delays))
    else:
        products = multiply_matrix(trial, inputs, weights, ternary=delays.ternary)
    for column, word in enumerate(products):
        trial.output(f"p_{column}", word)
    return with_ternary_sums(trial) if delays.ternary else trial


def _cost(nodes: Sequence[Node], index: int, fabric: Fabric) -> int:
    """Returns the lookup tables of a sum."""
    node = nodes[index]
    if node.kind not in _SUMS:
        return 0
    zeros, count = added = chain(nodes, node)
    if node.kind is WEIGHTED:
        weights = node.parameter[1:]
        for power in range(zeros, sum(abs(weight) for weight in weights).bit_length()):
            support = sum(weight & ((2 << power) - 1) != 0 for weight in weights)
            if not added.bits or support > fabric.joined:
                count += tables_of(support, fabric.inputs)
    return count


class _Uses:
    """How many sums and outputs need each node of a datapath, and what those cost that any does."""

    def __init__(self, datapath: Datapath, fabric: Fabric) -> None:
        self._nodes, self._fabric = datapath.nodes, fabric
        self._counts = [0] * len(datapath.nodes)
        self.cost = 0
        for word in datapath.outputs.values():
            self.claim(word.index)

    def claim(self, index: int) -> None:
        """One more needs a node."""
        self._change(index, 1)

    def release(self, index: int) -> int:
        """One less needs a node; returns what is saved by that."""
        before = self.cost
        self._change(index, -1)
        return before - self.cost

    def _change(self, index: int, by: int) -> None:
        pending = [index]
        while pending:
            index = pending.pop()
            self._counts[index] += by
            # Its first user, or its last one.
            if self._counts[index] == (by > 0):
                self.cost += by * _cost(self._nodes, index, self._fabric)
                pending += self._nodes[index].operands


def _cheaper(graph: Datapath, tables: Datapath, fabric: Fabric) -> NDArray[np.bool_]:
    """Returns which columns are made by tables, bool (m,).

    Columns leave the adder graph one by one, while what they alone need of it is more than their tables are. All of
    them leave if that is best.
    """
    columns = range(len(graph.outputs))
    uses = _Uses(graph, fabric)
    alone = [logic_bits(tables, fabric, [tables.outputs[f"p_{column}"]]) for column in columns]
    chosen = np.zeros(len(columns), np.bool_)
    moved = True
    while moved:
        moved = False
        for column in np.flatnonzero(~chosen).tolist():
            index = graph.outputs[f"p_{column}"].index
            if uses.release(index) > alone[column]:
                chosen[column] = moved = True
            else:
                uses.claim(index)
    mixed = uses.cost + sum(alone[column] for column in np.flatnonzero(chosen).tolist())
    return np.ones(len(columns), np.bool_) if logic_bits(tables, fabric) < mixed else chosen


def _copy(datapath: Datapath, source: Datapath, names: Sequence[str], words: Sequence[Word]) -> dict[str, Word]:
    """Returns outputs of a datapath by name, built in another one from the words that are its inputs there."""
    roots = {name: source.outputs[name] for name in names}
    places = {source.inputs[f"x_{row}"].index: word for row, word in enumerate(words)}
    for index in live_nodes(source, roots.values()):
        if index not in places:
            node = source.nodes[index]
            operands = tuple(places[operand].index for operand in node.operands)
            places[index] = datapath.append(node._replace(operands=operands))
    return {name: places[word.index] for name, word in roots.items()}
