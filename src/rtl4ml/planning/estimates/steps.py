"""The slowest path of each step of a datapath, as what it consists of.

The timing model behind the pipeline cuts (:mod:`rtl4ml.datapath.delays`) gives a word one time of arrival. Here a word
has two, of its lowest bit and of its highest: where sums follow each other, the second one's carries run close behind
the first one's, and only one of the chains counts in full.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple

from rtl4ml.datapath import nodes as kinds
from rtl4ml.datapath.cost import live_nodes
from rtl4ml.datapath.delays import Delays
from rtl4ml.datapath.nodes import Node, chain
from rtl4ml.datapath.pipeline import Pipeline
from rtl4ml.datapath.words import Datapath
from rtl4ml.planning.estimates.datapaths import tables_in_memory
from rtl4ml.planning.estimates.families import Family
from rtl4ml.planning.estimates.multipliers import common_widths
from rtl4ml.planning.estimates.primitives import Multiply

Terms = Mapping[str, float]
"""How often a path goes through each kind of thing that takes time."""

MODELLED = ("lut", "table", "chain", "carry", "compare", "multiply", "multiply_wide")
"""Terms that are delays of the timing model."""

_LOW, _HIGH = 0, 1
_SUMS = frozenset({kinds.ADD, kinds.SUBTRACT, kinds.TERNARY, kinds.WEIGHTED})
_ENDS = frozenset({kinds.AT_LEAST, kinds.CLIP})
_CARRIES = _SUMS | _ENDS


class _Source(NamedTuple):
    """Where the slowest operand comes from.

    Attributes:
        time: when it is there.
        node: which one; None: a register.
        end: its lowest bit or its highest.
        inverted: an inverter stands in front of a carry chain.
    """

    time: float
    node: int | None = None
    end: int = _HIGH
    inverted: bool = False


class _Arrival(NamedTuple):
    """When a bit of a word is there.

    Attributes:
        time: in ns behind the edge, without the register.
        source: operand on the slowest path.
        whole: the path goes along the node's carry chain.
    """

    time: float
    source: _Source
    whole: bool = True


_REGISTER = _Source(0.0)
_AT_ONCE = _Arrival(0.0, _REGISTER)


def slowest_steps(
    datapath: Datapath, pipeline: Pipeline, behind: Terms, delays: Delays, family: Family
) -> Iterator[Terms]:
    """The slowest path of each step.

    Args:
        datapath: words.
        pipeline: how it is cut.
        behind: what the outputs go through before a register takes them.
        delays: decides which path is the slowest.
        family: decides what is a carry chain, a multiplier block and a block memory.
    """
    walk = _Walk(datapath, pipeline, delays, family)
    for end in walk.ends():
        terms = walk.terms(end)
        yield add_terms(terms, behind) if pipeline.step[end] == pipeline.depth else terms


def add_terms(first: Terms, second: Terms) -> Terms:
    """Both after one another."""
    return {name: first.get(name, 0.0) + second.get(name, 0.0) for name in {**first, **second}}


class _Walk:
    """Arrivals of all words of a datapath in their steps, and where they come from."""

    def __init__(self, datapath: Datapath, pipeline: Pipeline, delays: Delays, family: Family) -> None:
        self._nodes, self._step = datapath.nodes, pipeline.step
        self._family = family
        self._worth = worth_of(delays)
        self._delays, self._no_carries = delays, replace(delays, carry=0.0)
        zero: dict[str, Any] = {field.name: 0.0 for field in fields(Delays) if isinstance(field.default, float)}
        self._units = {name: replace(delays, **(zero | {name: 1.0})) for name in MODELLED}
        self._late = tables_in_memory(datapath, pipeline, family)
        self._arrivals = [(_AT_ONCE, _AT_ONCE)] * len(self._nodes)
        self._live = live_nodes(datapath)
        for index in self._live:
            self._arrivals[index] = self._arrive(index, self._nodes[index])

    def ends(self) -> Iterator[int]:
        """The node of each step whose highest bit comes last."""
        last: dict[int, int] = {}
        for index in self._live:
            step = self._step[index]
            if step not in last or self._arrivals[index][_HIGH].time > self._arrivals[last[step]][_HIGH].time:
                last[step] = index
        yield from (index for index in last.values() if self._arrivals[index][_HIGH].time > 0)

    def terms(self, index: int) -> Terms:
        """What the path to a node's highest bit goes through, the register in front of it included."""
        found: defaultdict[str, float] = defaultdict(float, register=1.0)
        step, end = self._step[index], _HIGH
        while True:
            arrival = self._arrivals[index][end]
            for name, count in self._own(index, whole=arrival.whole).items():
                found[name] += count
            source = arrival.source
            found["invert"] += source.inverted
            if source.node is None:
                break
            if self._step[source.node] != step:
                found["memory"] += 1
                break
            index, end = source.node, source.end
        return {name: count for name, count in found.items() if count}

    def _arrive(self, index: int, node: Node) -> tuple[_Arrival, _Arrival]:
        """When a node's lowest and highest bits are there."""
        # What goes into a block memory ends there; what comes out belongs to the next step.
        if node.kind is kinds.CONSTANT or node.kind is kinds.INPUT or index in self._late:
            return _AT_ONCE, _AT_ONCE
        low, high = self._latest(index, _LOW), self._latest(index, _HIGH)
        if node.kind in kinds.WIRING:
            return _Arrival(low.time, low), _Arrival(high.time, high)
        whole, short = self._time(node)
        if node.kind is kinds.MULTIPLY:
            return _Arrival(high.time + short, high, whole=False), _Arrival(high.time + whole, high)
        if node.kind not in _CARRIES or whole == short:
            # The condition of a choice is one bit, which is its highest.
            first = self._latest(index, _HIGH, 1) if node.kind is kinds.SELECT else high
            first = max(first, low, key=lambda source: source.time) if node.kind is kinds.SELECT else first
            return _Arrival(first.time + whole, first), _Arrival(high.time + whole, high)
        along = low.time + whole > high.time + short
        last = _Arrival(low.time + whole, low) if along else _Arrival(high.time + short, high, whole=False)
        return (_Arrival(low.time + short, low, whole=False) if node.kind in _SUMS else last), last

    def _latest(self, index: int, end: int, operands: int | None = None) -> _Source:
        sources = (
            self._source(index, position, end) for position in range(operands or len(self._nodes[index].operands))
        )
        return max(sources, key=lambda source: source.time)

    def _source(self, index: int, position: int, end: int) -> _Source:
        """When an operand is there; what comes from a step before is there at once, unless from a block memory."""
        nodes, node = self._nodes, self._nodes[index]
        root = node.operands[position]
        if nodes[root].kind is kinds.SHIFT_LEFT:
            (root,) = nodes[root].operands
        if nodes[root].kind is kinds.CONSTANT:
            return _REGISTER
        inverted = self._family.inverters and node.kind in _SUMS and nodes[root].kind is kinds.INVERT
        if self._family.inverters == "subtractions" and node.kind is kinds.SUBTRACT and position == 1:
            inverted = not inverted
        time = self._worth["invert"] * bool(inverted)
        if self._step[root] == self._step[index]:
            return _Source(time + self._arrivals[root][end].time, root, end, bool(inverted))
        if root in self._late and self._step[root] + 1 == self._step[index]:
            return _Source(time + self._worth["memory"], root, end, bool(inverted))
        return _Source(time, inverted=bool(inverted))

    def _time(self, node: Node) -> tuple[float, float]:
        """A node's delay, and the part of it that is no carries."""
        special = self._special(node)
        if special is None:
            more = 0.0
            if node.kind in _ENDS:
                more = self._units["chain"].of(self._nodes, node) * (self._worth["reach"] - self._worth["chain"])
            return more + self._delays.of(self._nodes, node), more + self._no_carries.of(self._nodes, node)
        times = [
            sum(count * self._worth[name] for name, count in special.items() if name not in left_out)
            for left_out in ((), _ALONG)
        ]
        return times[0], times[1]

    def _own(self, index: int, *, whole: bool) -> Terms:
        """What a path through a node adds, with or without the length of its carry chain."""
        node = self._nodes[index]
        if index in self._late or node.kind is kinds.CONSTANT:
            return {}
        special = self._special(node)
        if special is not None:
            return {name: count for name, count in special.items() if whole or name not in _ALONG}
        found = {name: unit.of(self._nodes, node) for name, unit in self._units.items() if whole or name != "carry"}
        if node.kind in _ENDS:
            found["reach"] = found.pop("chain")
        return {name: count for name, count in found.items() if count}

    def _in_block(self, node: Node) -> bool:
        """Whether a multiplier block adds."""
        multiplier = self._family.multiplier
        if multiplier is None or not multiplier.adds:
            return False
        products = (self._nodes[operand] for operand in node.operands)
        return any(
            product.kind is kinds.MULTIPLY and multiplier.blocks(_product(self._nodes, product)) == 1
            for product in products
        )

    def _special(self, node: Node) -> Terms | None:
        """Nodes that the family knows more of than the timing model does."""
        if node.kind is kinds.ADD or node.kind is kinds.SUBTRACT:
            if self._in_block(node):
                return {}
            bits = chain(self._nodes, node).bits
            return {"short": 1.0} if 0 < bits < self._family.least_chain else None
        operands = [self._nodes[operand] for operand in node.operands]
        if node.kind is kinds.SELECT:
            return {"choice": 1.0} if any(operand.kind is kinds.CONSTANT for operand in operands[1:]) else None
        if node.kind is kinds.MULTIPLY:
            return product_terms(_product(self._nodes, node), self._family)
        return None


def _product(nodes: Sequence[Node], node: Node) -> Multiply:
    a, b = (nodes[operand] for operand in node.operands)
    return Multiply(a.bits, a.low < 0, b.bits, b.low < 0, node.bits)


_ALONG = frozenset({"chain", "carry"})
"""Terms of a product that its lowest bits do not wait for."""


def product_terms(product: Multiply, family: Family) -> Terms:
    """What a product goes through: a block, several with a sum behind them, or levels of tables."""
    a, b = common_widths(product)
    blocks = 0 if family.multiplier is None else family.multiplier.blocks(product)
    if blocks == 1:
        return {"multiply": 1.0}
    if blocks > 1:
        assert family.multiplier is not None
        return {"multiply": 1.0, "chain": 1.0, "carry": float(max(1, product.bits - family.multiplier.part))}
    # Partial products, added three at a time without carries, and a sum behind them.
    levels = 1.0
    rows = min(a, b)
    while rows > 2:
        rows, levels = rows - rows // 3, levels + 1.0
    return {"layer": levels, "chain": 1.0, "carry": float(product.bits)}


def worth_of(delays: Delays) -> dict[str, float]:
    """What every term takes, in ns, by the timing model alone."""
    known = {name: float(getattr(delays, name)) for name in ("register", *MODELLED, "memory")}
    others = {
        "short": delays.chain,
        "reach": delays.chain,
        "choice": 0.5 * delays.lut,
        # A table alone; what the timing model calls one is mostly merged with its neighbours.
        "invert": 2 * delays.lut,
        "layer": delays.lut,
        "write": 0.5 * delays.lut,
        "gate": delays.lut,
        "size": 0.5 * delays.lut,
    }
    return known | others


TERMS = ("register", *MODELLED, "memory", "short", "reach", "choice", "invert", "layer", "write", "gate", "size")
"""All terms: those of the timing model; sums too short for a carry chain; carry chains of which
only the end is used; choices of which one word is constant;
inverters in front of a carry chain; levels of a product of tables; the way into a memory behind a datapath; gates of
handshakes and counters; tens of cells across the design, as far as handshakes reach."""
