"""Tiles and forms in words and in plain types."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rtl4ml.planning.folding import Tile
from rtl4ml.stages.conv_tile import ConvTile
from rtl4ml.staircase import AffineForm, ConstantForm, Form, ShiftForm, StepForm, TableForm, ThresholdForm


def describe_tile(tile: Tile | None, pixels: int = 0, *, skips: bool = False) -> dict[str, Any] | None:
    """A tile in plain types, as a folding has it; of several output pixels side by side their number says all."""
    if pixels:
        return {"pixels": pixels}
    if isinstance(tile, ConvTile):
        return {
            "outputs": tile.outputs,
            "channels": tile.channels,
            "taps": list(tile.taps),
            "groups": tile.groups,
            "finish": tile.finish,
        }
    return None if tile is None else {"outputs": tile[0], "inputs": tile[1]} | ({"skip": 1} if skips else {})


def tile_words(tile: Tile | None) -> str:
    """A tile in a few words; none for none."""
    if isinstance(tile, ConvTile):
        rows, columns = tile.taps
        taps = "" if tile.taps == (1, 1) else f" x {rows} x {columns} taps"
        side = "" if tile.groups == 1 else f", {tile.groups} groups"
        return f"{tile.outputs} x {tile.channels}{taps}{side}"
    return "" if tile is None else f"{tile[0]} x {tile[1]}"


def digit_words(digits: Mapping[str, int]) -> str:
    """Digits of layers in a few words; none for none."""
    return f"{', '.join(map(str, digits.values()))} bits a cycle" if digits else ""


def describe_form(form: Form) -> str:
    """A form in a few words."""
    match form:
        case ConstantForm():
            return "constant"
        case ShiftForm():
            return f"shift by {form.shift}, {form.rounding.value}"
        case AffineForm():
            listed = sum(map(len, form.exceptions))
            bits = max(int(abs(m)).bit_length() for m in form.multiplier)
            return f"multiply by {bits} bits, add, shift by {form.shift}" + (f", {listed} exceptions" if listed else "")
        case ThresholdForm():
            return f"{form.levels} thresholds"
        case StepForm():
            return f"{form.levels} steps, up and down" if _turns(form) else f"{form.levels} steps"
        case TableForm():
            return f"table of {form.entries} codes"
    return type(form).__name__


def _turns(form: StepForm) -> bool:
    jumps = np.diff(form.codes, axis=1)
    return bool(np.any(np.any(jumps > 0, axis=1) & np.any(jumps < 0, axis=1)))
