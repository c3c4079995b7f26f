"""Taking back shared rows that do not pay.

Where three words meet at a time, a row that stands in two or three columns saves nothing in those whose number of
summands is odd: a sum of three words becomes one of two. Whether it pays is seen when all else is done.
"""

import numpy as np

from rtl4ml.cmvm.bits import Task, column_bits, row_bits, uses_of
from rtl4ml.cmvm.compiled import Array, compiled, ones
from rtl4ml.cmvm.patterns import LOWER, SHIFT, SIGN, UPPER
from rtl4ml.cmvm.ruin import give

_PARTS = 7
"""Digits that may stand for a row, at most."""

_DIGITS = 8
"""Rows with more places in the columns pay."""


@compiled
def prune(rows: Array, functions: Array, masks: Array, task: Task, tries: int) -> int:
    """Takes back each row that only columns use and that cost no more without it.

    Its operands take its place, or what these are made of if nothing else uses them.

    Args:
        rows: As :func:`rtl4ml.cmvm.sharing.share` returns them; those that go stay here, without uses.
        functions: Likewise.
        masks: Likewise; changed in place.
        task: What is summed.
        tries: Trees that are tried for a column.

    Returns:
        Bits of carry chain that are saved.
    """
    inputs, columns = len(task.matrix), masks.shape[2]
    costs = np.zeros(columns, np.int64)
    for column in range(columns):
        costs[column] = column_bits(column, rows, functions, masks, task, tries)
    uses = uses_of(rows, masks, inputs)
    inside = row_bits(rows, uses, inputs, task.ternary)
    saved = 0
    parts = np.zeros((_PARTS, 3), np.int64)
    for row in range(len(rows) - 1, inputs - 1, -1):
        own = _digits(masks, row)
        if not own or uses[row] != own or own > _DIGITS:
            continue
        where = np.flatnonzero(masks[row, 0] | masks[row, 1])
        before = masks[:, :, where].copy()
        for deep in range(2):
            count = _operands(rows, uses, inputs, row, deep > 0, parts)
            if deep and count == 2:
                break
            _inline(masks, where, row, parts, count)
            trial_uses = _changed(uses, rows, inputs, row, before, masks, where)
            trial_inside = row_bits(rows, trial_uses, inputs, task.ternary)
            gain = int(inside - trial_inside)
            trial_costs = costs.copy()
            for place in where:
                trial_costs[place] = column_bits(int(place), rows, functions, masks, task, tries)
                gain += int(costs[place] - trial_costs[place])
            if gain >= 0:
                saved += gain
                uses, inside, costs = trial_uses, trial_inside, trial_costs
                break
            for at, place in enumerate(where):
                masks[:, :, place] = before[:, :, at]
    return saved


@compiled
def _digits(masks: Array, row: int) -> int:
    """Returns in how many places of the columns a row stands."""
    number = 0
    for column in range(masks.shape[2]):
        number += ones(masks[row, 0, column]) + ones(masks[row, 1, column])
    return number


@compiled
def _operands(rows: Array, uses: Array, inputs: int, row: int, deep: bool, parts: Array) -> int:
    """Lists (row, power, plane) of what a row is made of; returns how many there are."""
    parts[0, 0], parts[0, 1], parts[0, 2] = rows[row, LOWER], 0, 0
    parts[1, 0], parts[1, 1], parts[1, 2] = rows[row, UPPER], rows[row, SHIFT], 1 if rows[row, SIGN] < 0 else 0
    count, at = 2, 0
    while deep and at < count:
        part, power, plane = parts[at, 0], parts[at, 1], parts[at, 2]
        if part < inputs or uses[part] > 1 or count == _PARTS:
            at += 1
            continue
        parts[at, 0], parts[count, 0] = rows[part, LOWER], rows[part, UPPER]
        parts[count, 1], parts[count, 2] = power + rows[part, SHIFT], plane ^ (1 if rows[part, SIGN] < 0 else 0)
        count += 1
    return count


@compiled
def _inline(masks: Array, where: Array, row: int, parts: Array, count: int) -> None:
    """Puts digits in the places of a row, in some columns."""
    for column in where:
        for plane in range(2):
            mask, power = masks[row, plane, column], 0
            masks[row, plane, column] = 0
            while mask:
                if mask & 1:
                    for at in range(count):
                        give(masks, parts[at, 0], column, power + parts[at, 1], plane ^ parts[at, 2])
                mask >>= 1
                power += 1


@compiled
def _changed(uses: Array, rows: Array, inputs: int, gone: int, before: Array, masks: Array, where: Array) -> Array:
    """Returns how often each row is used when some columns are others than before and a row is used no more."""
    uses = uses.copy()
    for row in range(len(rows)):
        for at, column in enumerate(where):
            for plane in range(2):
                uses[row] += ones(masks[row, plane, column]) - ones(before[row, plane, at])
    idle = np.zeros(len(rows), np.bool_)
    idle[gone] = True
    for row in range(gone, inputs - 1, -1):
        if idle[row] and uses[row] == 0:
            for part in (rows[row, LOWER], rows[row, UPPER]):
                uses[part] -= 1
                idle[part] = True
    return uses
