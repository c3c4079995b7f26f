"""Taking back shared rows: what they stood for are digits of the columns again."""

import numpy as np

from rtl4ml.cmvm.compiled import Array, compiled
from rtl4ml.cmvm.patterns import LOWER, SHIFT, SIGN, UPPER


@compiled
def give(masks: Array, row: int, column: int, power: int, plane: int) -> None:
    """Adds a digit to a mask; two equal ones are one of the next power, and opposite ones none."""
    while True:
        if masks[row, 1 - plane, column] >> power & 1:
            masks[row, 1 - plane, column] ^= 1 << power
            return
        masks[row, plane, column] ^= 1 << power
        if masks[row, plane, column] >> power & 1:
            return
        power += 1


@compiled
def without(rows: Array, masks: Array, inputs: int, gone: Array) -> tuple[Array, Array]:
    """Takes back some rows.

    Args:
        rows: As :func:`rtl4ml.cmvm.sharing.share` returns them.
        masks: Likewise.
        inputs: How many of the rows are inputs.
        gone: By row whether it goes; rows that are made of such ones go with them, and those that nothing uses then
            (changed in place).

    Returns:
        Rows and masks without them; the rows that stay have kept their order.
    """
    masks = masks.copy()
    kept = inputs
    used = np.zeros(len(rows), np.bool_)
    for row in range(inputs, len(rows)):
        if gone[rows[row, LOWER]] or gone[rows[row, UPPER]]:
            gone[row] = True
        used[row] = masks[row].any()
    for row in range(len(rows) - 1, inputs - 1, -1):
        gone[row] = gone[row] or not used[row]
        if not gone[row]:
            used[rows[row, LOWER]] = used[rows[row, UPPER]] = True
            kept += 1
    for row in range(len(rows) - 1, inputs - 1, -1):
        if not gone[row]:
            continue
        lower, upper, shift = rows[row, LOWER], rows[row, UPPER], rows[row, SHIFT]
        turned = 1 if rows[row, SIGN] < 0 else 0
        for column in range(masks.shape[2]):
            for plane in range(2):
                mask, power = masks[row, plane, column], 0
                while mask:
                    if mask & 1:
                        give(masks, lower, column, power, plane)
                        give(masks, upper, column, power + shift, plane ^ turned)
                    mask >>= 1
                    power += 1
    numbers = np.full(len(rows), -1, np.int64)
    rows_left = np.zeros((kept, rows.shape[1]), np.int64)
    masks_left = np.zeros((kept, 2, masks.shape[2]), np.int64)
    at = 0
    for row in range(len(rows)):
        if row >= inputs and gone[row]:
            continue
        numbers[row] = at
        rows_left[at] = rows[row]
        masks_left[at] = masks[row]
        if row >= inputs:
            rows_left[at, LOWER], rows_left[at, UPPER] = numbers[rows[row, LOWER]], numbers[rows[row, UPPER]]
        at += 1
    return rows_left, masks_left
