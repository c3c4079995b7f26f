"""How fast a plan's clock may be: its slowest step by the timing model, and what stands around the datapaths."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log2

from rtl4ml.datapath import nodes as kinds
from rtl4ml.datapath.cost import live_nodes
from rtl4ml.datapath.delays import Delays, delays_of
from rtl4ml.datapath.pipeline import Pipeline
from rtl4ml.datapath.words import Datapath
from rtl4ml.planning.estimates.primitives import Add, Memory, Multiply, Structure


@dataclass(frozen=True)
class Paths:
    """Slowest paths between registers in ns, each by the timing model, without what routing adds.

    Parameters:
        datapath: of a step of a datapath.
        sum: of the widest sum outside, such as an accumulator with the choice of its first value.
        product: of a multiplier between registers.
        control: of counters and handshakes: a few tables in a row.
    """

    datapath: float
    sum: float
    product: float
    control: float


def paths_of(
    structure: Structure, cuts: Sequence[tuple[Datapath, Pipeline]], target: str, *, from_memory: bool = False
) -> Paths:
    """Paths of a structure and of the datapaths in it, by a target's timing model.

    Args:
        structure: primitives.
        cuts: datapaths and how they are cut.
        target: device.
        from_memory: weights go from a memory into a multiplier within a cycle.
    """
    delays = delays_of(target)
    widest = max((p.bits for p in structure if isinstance(p, Add)), default=0)
    products = [p for p in structure if isinstance(p, Multiply)]
    product = max(
        (delays.multiply if max(p.a_bits, p.b_bits) <= _NARROW else delays.multiply_wide for p in products), default=0.0
    )
    deepest = max((p.depth for p in structure if isinstance(p, Memory)), default=2)
    return Paths(
        datapath=max((_slowest_step(datapath, pipeline, delays) for datapath, pipeline in cuts), default=0.0),
        sum=delays.register + delays.lut + delays.chain + delays.carry * widest,
        product=delays.register + product + delays.memory * from_memory if product else 0.0,
        control=delays.register + delays.lut * (2 + log2(max(2, deepest)) / 4),
    )


def period_of(paths: Paths, cells: int, weights: Mapping[str, float]) -> float:
    """Period in ns: the slowest path, and routing, which grows with the design.

    Args:
        paths: by the timing model.
        cells: of the design.
        weights: factor of each path, and what doubling the design adds.
    """
    slowest = max(
        weights["datapath"] * paths.datapath,
        weights["sum"] * paths.sum,
        weights["product"] * paths.product,
        weights["control"] * paths.control,
    )
    return slowest + weights["size"] * log2(max(2, cells))


def _slowest_step(datapath: Datapath, pipeline: Pipeline, delays: Delays) -> float:
    """The longest path between two levels of registers, with these."""
    nodes, step = datapath.nodes, pipeline.step
    arrival = [0.0] * len(nodes)
    for index in live_nodes(datapath):
        node = nodes[index]
        before = 0.0
        for operand in node.operands:
            root = operand
            if nodes[operand].kind is kinds.SHIFT_LEFT:
                (root,) = nodes[operand].operands
            if step[root] == step[index] and arrival[root] > before:
                before = arrival[root]
        arrival[index] = before + delays.of(nodes, node)
    return delays.register + max(arrival, default=0.0)


_NARROW = 18
"""Bits of an operand up to which a multiplier block takes it whole."""
