"""Tiles and forms in words and in plain types."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rtl4ml.hdl.zero_skipping import PackedTile
from rtl4ml.planning.folding import Tile
from rtl4ml.stages.conv_tile import ConvTile
from rtl4ml.staircase import AffineForm, ConstantForm, Form, ShiftForm, StepForm, TableForm, ThresholdForm


def describe_tile(tile: Tile | None, pixels: int = 0, *, pixelwise: bool = False) -> dict[str, Any] | None:
    """A tile in plain types, as a folding has it.

    Args:
        tile: which.
        pixels: output pixels side by side, whose number says all.
        pixelwise: a tile that leaves out zeros is of a convolution.
    """
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
    if isinstance(tile, PackedTile):
        lanes = {"channels" if pixelwise else "inputs": tile.lanes}
        skipping = {"skip": 1, "copies": tile.copies, "sharing": tile.sharing}
        return {"outputs": tile.outputs} | lanes | skipping | ({"finish": tile.finish} if pixelwise else {})
    return None if tile is None else {"outputs": tile[0], "inputs": tile[1]}


def tile_words(tile: Tile | None) -> str:
    """A tile in a few words; none for none."""
    if isinstance(tile, ConvTile):
        rows, columns = tile.taps
        taps = "" if tile.taps == (1, 1) else f" x {rows} x {columns} taps"
        side = "" if tile.groups == 1 else f", {tile.groups} groups"
        return f"{tile.outputs} x {tile.channels}{taps}{side}"
    if isinstance(tile, PackedTile):
        return f"{tile.outputs} x {tile.lanes}" + (f" x {tile.copies}" if tile.copies > 1 else "") + ", no zeros"
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
