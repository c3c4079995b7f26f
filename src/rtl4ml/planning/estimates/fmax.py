"""How fast a plan's clock may be: the slowest of its paths, each a sum of what it goes through."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from rtl4ml.datapath.delays import Delays
from rtl4ml.datapath.pipeline import Pipeline
from rtl4ml.datapath.words import Datapath
from rtl4ml.planning.estimates.families import Family
from rtl4ml.planning.estimates.memories import map_memory
from rtl4ml.planning.estimates.primitives import Add, Memory, Multiply, Structure
from rtl4ml.planning.estimates.steps import Terms, product_terms, slowest_steps, worth_of

KEPT = 12
"""Paths that are kept of a plan: which of them is the slowest depends on what the terms are worth."""


@dataclass(frozen=True)
class Surroundings:
    """What stands around the datapaths.

    Parameters:
        from_memory: weights or words go from a memory into a multiplier within a cycle, no register between.
        window_bits: of the widest address of a window buffer; 0: there is none.
        stored: some stage stores frames.
        handshake: the pipeline can be held up.
        sums: datapaths whose outputs go to accumulators, and whether a register stands between.
    """

    from_memory: bool
    window_bits: int
    stored: bool
    handshake: bool
    sums: tuple[tuple[Datapath, bool], ...] = ()


def paths_of(
    structure: Structure,
    cuts: Sequence[tuple[Datapath, Pipeline]],
    around: Surroundings,
    delays: Delays,
    family: Family,
) -> list[Terms]:
    """The slowest paths between registers, by the timing model, the slowest first.

    Args:
        structure: primitives.
        cuts: datapaths and how they are cut.
        around: what else there is.
        delays: timing model of the device.
        family: the device's.
    """
    widest = max((p.bits for p in structure if isinstance(p, Add)), default=0)
    # An accumulator with the choice of its first value, a counter with that of its end.
    accumulator = {"lut": 1.0, "chain": 1.0, "carry": float(widest)}
    found: list[Terms] = [{"register": 1.0, **accumulator}]
    for datapath, pipeline in cuts:
        registers = [registered for trees, registered in around.sums if trees is datapath]
        behind: Terms = {"write": 1.0}
        if registers:
            behind = {} if registers[0] else {"chain": 1.0}
        found += slowest_steps(datapath, pipeline, behind, delays, family)
    late = around.from_memory and any(
        map_memory(p, family.memories, family.rom_cost).bram for p in structure if isinstance(p, Memory)
    )
    products = {tuple(product_terms(p, family).items()) for p in structure if isinstance(p, Multiply)}
    found += [{"register": 1.0, **dict(terms)} | ({"memory": 1.0} if late else {}) for terms in products]
    found.append(_control(around, family))
    worth = worth_of(delays)
    distinct = {tuple(sorted(terms.items())): terms for terms in found}.values()
    return sorted(distinct, key=lambda terms: -_time(terms, worth))[:KEPT]


def period_of(paths: Iterable[Terms], cells: int, weights: Mapping[str, float]) -> float:
    """Period in ns: that of the slowest path.

    Args:
        paths: as `paths_of` gives them.
        cells: of the design, across which handshakes reach.
        weights: ns of each term.
    """
    sized = {**weights, "size": weights["size"] * across(cells)}
    return max(_time(terms, sized) for terms in paths)


def across(cells: int) -> float:
    """How far it is across a design, in tens of cells."""
    return sqrt(cells) / 10


def _control(around: Surroundings, family: Family) -> Terms:
    """From a counter through handshakes to what they enable.

    A window buffer subtracts addresses to see whether there is room, and whether there is decides whether the stream
    may go on. Where there are no small memories, flip-flops that are chosen between by an address take their place.
    """
    if not around.handshake:
        return {"register": 1.0, "gate": 2.0, "size": 1.0}
    gates = 4.0 + (around.stored or around.window_bits > 0) + all(shape.block for shape in family.memories)
    compare = {"chain": 1.0, "carry": float(around.window_bits)} if around.window_bits else {}
    return {"register": 1.0, **compare, "gate": gates, "size": 1.0}


def _time(terms: Terms, weights: Mapping[str, float]) -> float:
    return sum(count * weights[name] for name, count in terms.items())
