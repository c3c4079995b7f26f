"""The fastest plan that fits a part: estimates instead of synthesis, so that a search takes seconds.

A network that takes more cycles for a frame needs less hardware. So the intervals at which the folding of some layer
changes are searched by halves for the first whose plan fits; that before it is the next faster plan, which does not.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rtl4ml.errors import ConfigurationError
from rtl4ml.graph import Graph
from rtl4ml.operators import Conv, Requantize
from rtl4ml.passes.bipolar_bits import pack_bipolar
from rtl4ml.planning.estimates.model import Estimate, estimate
from rtl4ml.planning.folding import Folder
from rtl4ml.planning.forms import choose
from rtl4ml.planning.parts import Part, find_part
from rtl4ml.planning.plan import Plan, plan
from rtl4ml.planning.settings import Settings

ROOM: Mapping[str, float] = {"cells": 0.9, "ff": 0.9, "dsp": 1.0, "bram": 1.0}
"""Shares of a part that a network may take: lookup tables and flip-flops are estimated, and a full part does not route;
multipliers and memories are exact."""


@dataclass(frozen=True)
class Fitted:
    """A plan and its estimate.

    Parameters:
        plan: for some interval.
        estimate: on the part.
    """

    plan: Plan
    estimate: Estimate


@dataclass(frozen=True)
class Fit:
    """What was found for a part.

    Parameters:
        part: to be fitted to.
        chosen: the fastest plan that fits.
        faster: the next faster one, which does not; None: the chosen one is the fastest there is.
    """

    part: Part
    chosen: Fitted
    faster: Fitted | None

    def describe(self) -> dict[str, Any]:
        """The result as plain types."""
        return {
            "part": self.part.name,
            "interval_cycles": self.chosen.plan.interval,
            "estimate": self.chosen.estimate.describe(),
            "shares": shares(self.chosen.estimate, self.part),
            "faster": None
            if self.faster is None
            else {
                "interval_cycles": self.faster.plan.interval,
                "estimate": self.faster.estimate.describe(),
                "shares": shares(self.faster.estimate, self.part),
            },
        }


def shares(found: Estimate, part: Part) -> dict[str, float]:
    """What an estimate takes of a part, 1 for all of it; of what the part has none, what it takes is counted whole."""
    return {kind: round(getattr(found, kind) / (getattr(part, kind) or 1), 3) for kind in ROOM}


def fits(found: Estimate, part: Part) -> bool:
    """Whether a design of that estimate has room on a part."""
    return all(getattr(found, kind) <= share * getattr(part, kind) for kind, share in ROOM.items())


def fit(
    graph: Graph,
    settings: Settings,
    part: str,
    *,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Fit:
    """Find the fastest plan that fits a part.

    Args:
        graph: the network.
        settings: clock, lanes, foldings and so on; neither a goal nor a reuse of the network.
        part: one of `PARTS`.
        force: try the unrolled network even where that takes minutes.
        progress: called with what is being tried.

    Raises:
        ConfigurationError: an unknown part, a goal beside it, or a network of which no plan fits.
    """
    found = find_part(part)
    settings = replace(settings, fit=None, target=found.name)
    tried: dict[int, Fitted | None] = {}
    intervals = _intervals(graph, settings)

    def at(position: int) -> Fitted | None:
        if position not in tried:
            if progress is not None:
                progress(f"interval {intervals[position]}")
            tried[position] = _planned(graph, settings, intervals[position], force=force)
        return tried[position]

    low, high = -1, len(intervals)
    while high - low > 1:
        middle = (low + high) // 2
        candidate = at(middle)
        low, high = (low, middle) if candidate is not None and fits(candidate.estimate, found) else (middle, high)
    if high == len(intervals):
        least = next((f for f in (tried[p] for p in sorted(tried, reverse=True)) if f is not None), None)
        raise ConfigurationError(
            f"Network must fit {part}, but no folding does" + ("" if least is None else f": {_excess(least, found)}")
        )
    chosen = at(high)
    assert chosen is not None
    # Several intervals may give the same plan: the next faster one is another.
    faster = None
    for position in range(low, -1, -1):
        faster = at(position)
        if faster is not None and faster.plan.interval < chosen.plan.interval:
            break
        faster = None
    # What was asked for is the part; the interval is what came of it.
    asked = replace(settings, fit=found.name)
    return Fit(found, replace(chosen, plan=replace(chosen.plan, settings=asked)), faster)


def _excess(least: Fitted, part: Part) -> str:
    """What the smallest plan tried takes too much of."""
    over = [
        f"{getattr(least.estimate, kind):,} {kind.upper()} of {getattr(part, kind):,}"
        for kind, share in ROOM.items()
        if getattr(least.estimate, kind) > share * getattr(part, kind)
    ]
    return f"with an interval of {least.plan.interval} cycles it takes about {', '.join(over)}"


def _planned(graph: Graph, settings: Settings, interval: int, *, force: bool) -> Fitted | None:
    """The plan for an interval and its estimate; None: there is none, or unrolling would take minutes."""
    assert settings.target is not None
    try:
        found = plan(graph, replace(settings, interval=interval), force=force)
    except ConfigurationError:
        return None
    return Fitted(found, estimate(found, settings.target))


def _intervals(graph: Graph, settings: Settings) -> list[int]:
    """Intervals to try, ascending: those at which some folding changes, and shorter ones for images."""
    packed = pack_bipolar(graph)
    forms = {
        node.name: choose(node.staircase, multiplexed=True) for node in packed.operators if isinstance(node, Requantize)
    }
    found = set(Folder(packed, settings, forms).intervals())
    pixels = max((node.window.pixels_out for node in packed.operators if isinstance(node, Conv)), default=0)
    while pixels > _FEWEST_PIXELS:
        pixels = -(-pixels // 2)
        found.add(pixels)
    if not any(isinstance(node, Conv) for node in packed.operators):
        found.add(1)
    return sorted(found)


_FEWEST_PIXELS = 8
"""Cycles a frame of an image below which nothing is tried: whole images at once are larger than any part."""
