"""What the datasheet says of resources: a synthesis that was asked for, else what the plan knows."""

from collections.abc import Mapping
from typing import Any, Protocol


class Measured(Protocol):
    """A synthesis: `rtl4ml.synthesis.measure.Synthesis`, a room on the same floor."""

    def describe(self) -> dict[str, Any]:
        """As plain types: target, clock_mhz, tools, whole (cells by kind, fmax_mhz)."""


KINDS = (
    ("lut", "LUT"),
    ("lut_memory", "LUT as memory"),
    ("ff", "flip-flops"),
    ("dsp", "DSP"),
    ("bram", "block RAM"),
    ("carry", "carry cells"),
)
"""Kinds of cells, as a synthesis and as people call them."""


def describe(measured: Measured) -> dict[str, Any]:
    """What metadata.json says of a synthesis: part, tools, cells and clock of the whole design."""
    found = measured.describe()
    cells = {kind: found["whole"][kind] for kind, _ in KINDS}
    return {
        "target": found["target"],
        "tools": found["tools"],
        "cells": cells,
        "fmax_mhz": found["whole"]["fmax_mhz"],
        "placed_for_mhz": found["clock_mhz"],
    }


def sentence(metadata: Mapping[str, Any]) -> str:
    """Resources with tool and part, for the datasheet."""
    memory = f"{metadata['plan'].get('memory_bits', 0):,} bits of memory planned"
    found, estimate = metadata["resources"], metadata.get("estimate")
    if found is None and estimate is not None:
        return (
            f"estimated for {estimate['target']}: {estimate['cells']:,} LUT, {estimate['ff']:,} flip-flops, "
            f"{estimate['dsp']:,} DSP, {estimate['bram']:,} block RAM, {estimate['fmax_mhz']:.0f} MHz; {memory}"
        )
    if found is None:
        return f"{memory}; measure the rest on your part: `vivado/synth_ooc.tcl`, `quartus/synth.tcl`, `yosys/`"
    cells = ", ".join(
        f"{found['cells'][kind]:,} {name}" for kind, name in KINDS if found["cells"][kind] or kind in ("lut", "ff")
    )
    tools = ", ".join(f"{tool} {version}" for tool, version in found["tools"].items())
    clock = f"; {found['fmax_mhz']:g} MHz after place and route" if found["fmax_mhz"] else ", before placement"
    return f"{cells} on {found['target']}{clock} ({tools}; out of context); {memory}"
