"""From counts to estimates: a handful of coefficients a family, fitted to synthesized designs.

`benchmarks/estimates.py` fits them and writes `coefficients.json` beside this file.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

from rtl4ml.datapath.delays import delays_of
from rtl4ml.planning.estimates.families import Counting, Counts, family_of
from rtl4ml.planning.estimates.fmax import paths_of, period_of
from rtl4ml.planning.estimates.structure import structure_of, surroundings_of
from rtl4ml.planning.parts import PARTS
from rtl4ml.planning.plan import Plan


@dataclass(frozen=True)
class Estimate:
    """What a plan takes on a device, and how fast it is there.

    Parameters:
        target: name of the device.
        lut: lookup tables that compute, as Yosys counts them.
        lut_memory: lookup tables that hold words or are shift registers, likewise.
        ff: flip-flops.
        dsp: multiplier blocks.
        bram: block memories: of 18 Kibit on AMD parts and ECP5, of 4 Kibit on iCE40.
        carry: carry cells, as Yosys counts them.
        cells: lookup tables as the device's data sheet counts them, those inside carry cells and those that hold words
            with them; logic cells on iCE40.
        fmax_mhz: clock after place and route; for AMD parts, of which nothing was placed, by the timing model alone.
    """

    target: str
    lut: int
    lut_memory: int
    ff: int
    dsp: int
    bram: int
    carry: int
    cells: int
    fmax_mhz: float

    def describe(self) -> dict[str, Any]:
        """The estimate as plain types."""
        return asdict(self)


@functools.cache
def coefficients() -> Mapping[str, Mapping[str, Mapping[str, float]]]:
    """Coefficients by family and by what is estimated: "lut", "carry", "ff", "wide", "cells", "period"."""
    text = resources.files("rtl4ml.planning.estimates").joinpath("coefficients.json").read_text(encoding="utf-8")
    found: dict[str, dict[str, dict[str, float]]] = json.loads(text)
    return found


def weighted(weights: Mapping[str, float], values: Mapping[str, float]) -> float:
    """Sum of values, each times its weight; those without a weight do not count."""
    return sum(weight * values[name] for name, weight in weights.items())


def values_of(counts: Counts) -> dict[str, float]:
    """Numbers that coefficients belong to."""
    return {
        **counts.features,
        "ff": counts.ff,
        "carry": counts.carry,
        "lut_memory": counts.lut_memory,
        "absorbed": counts.absorbed,
        "dsp": counts.dsp,
        "bram": counts.bram,
        "one": 1,
    }


def estimated_cells(weights: Mapping[str, Mapping[str, float]], values: Mapping[str, float]) -> dict[str, int]:
    """Cells by kind: "lut", "carry", "ff" and "wide" (multiplexers behind tables) as Yosys counts them, and "cells".

    Args:
        weights: coefficients of a family.
        values: numbers that they belong to.
    """
    found = {kind: max(0, round(weighted(weights[kind], values))) for kind in ("lut", "carry", "ff", "wide")}
    return found | {"cells": max(0, round(weighted(weights["cells"], {**values, **found})))}


def estimate(plan: Plan, target: str) -> Estimate:
    """Estimate what a plan takes on a device, in milliseconds.

    Args:
        plan: the design.
        target: a family or a part of it, such as "ecp5-25f" or "xc7z020".

    Raises:
        ConfigurationError: nothing is known of the target.
    """
    known = PARTS[target].target if target in PARTS else target
    family = family_of(known)
    structure, cuts = structure_of(plan)
    counts = Counting(family).count(structure)
    weights = coefficients()[family.name]
    values = values_of(counts)
    cells = estimated_cells(weights, values)
    lut, carry, ff = (cells[kind] for kind in ("lut", "carry", "ff"))
    paths = paths_of(structure, cuts, surroundings_of(plan), delays_of(known), family)
    period = period_of(paths, cells["cells"], weights["period"])
    fmax = round(1000 / period, 1)
    return Estimate(target, lut, counts.lut_memory, ff, counts.dsp, counts.bram, carry, cells["cells"], fmax)
