"""What an adder graph costs: bits of carry chain in shared rows and in the sums of columns."""

from typing import NamedTuple

import numpy as np

from rtl4ml.cmvm import patterns, tree
from rtl4ml.cmvm.compiled import Array, compiled, ones

_TRIES = 4
"""Trees of a column by which solutions are compared."""


class Task(NamedTuple):
    """What is to be summed, for compiled code.

    Attributes:
        matrix: int64 (n, m).
        constants: int64 (m,), what the sums have more.
        parents: int64 (m,), the column that a column is made of; -1 for none.
        signs: int64 (m,), of the parents.
        order: int64 (m,), columns behind their parents.
        levels: int64 (m,), additions one after the other that a column may take.
        ternary: whether sums take three words at a time.
        middles: int64 (n + 1,), sum of the ends of each input's range; the last input is always 1.
        widths: int64 (n + 1,), difference of these ends.
    """

    matrix: Array
    constants: Array
    parents: Array
    signs: Array
    order: Array
    levels: Array
    ternary: bool
    middles: Array
    widths: Array


@compiled
def uses_of(rows: Array, masks: Array, inputs: int) -> Array:
    """Returns how often each row is used: in columns, and by rows that are used themselves."""
    uses = np.zeros(len(rows), np.int64)
    for row in range(len(rows) - 1, -1, -1):
        for column in range(masks.shape[2]):
            uses[row] += ones(masks[row, 0, column]) + ones(masks[row, 1, column])
        if row >= inputs and uses[row]:
            uses[rows[row, patterns.LOWER]] += 1
            uses[rows[row, patterns.UPPER]] += 1
    return uses


@compiled
def row_bits(rows: Array, uses: Array, inputs: int, ternary: bool) -> int:
    """Returns the bits of carry chain of all rows that are used."""
    total = 0
    bits = np.zeros(len(rows), np.int64)
    outer = np.zeros(len(rows), np.bool_)
    for row in range(inputs, len(rows)):
        if not uses[row]:
            continue
        lower, upper, shift = rows[row, patterns.LOWER], rows[row, patterns.UPPER], rows[row, patterns.SHIFT]
        free = rows[row, patterns.SIGN] > 0 and shift > 0
        if free and rows[lower, patterns.LOW] >= 0 and rows[lower, patterns.HIGH] >> shift == 0:
            continue
        bits[row] = max(rows[row, patterns.BITS] - shift, 0)
        total += bits[row]
        if ternary and lower != upper:
            # What only this row uses, and what is no sum of three yet, joins it.
            saved = 0
            for part in (lower, upper):
                if part >= inputs and uses[part] == 1 and not outer[part]:
                    saved = max(saved, bits[part])
            outer[row] = saved > 0
            total -= saved
    return total


@compiled
def column_bits(column: int, rows: Array, functions: Array, masks: Array, task: Task, tries: int) -> int:
    """Returns the bits of carry chain in a column's sum, the best of some trees where three meet at a time."""
    inputs = len(task.matrix)
    given = 0
    for row in range(len(rows)):
        given += ones(masks[row, 0, column]) + ones(masks[row, 1, column])
    parent = task.parents[column]
    given += 1 if parent >= 0 else 0
    constant = task.constants[column] - (task.signs[column] * task.constants[parent] if parent >= 0 else 0)
    given += 1 if constant != 0 else 0
    terms = np.zeros((2 * given - 1, 8), np.int64)
    linear = np.zeros((2 * given - 1, inputs + 1), np.int64)
    at = 0
    if parent >= 0:
        middle, width = 0, 0
        for index in range(inputs):
            factor = task.matrix[index, parent]
            linear[0, index] = factor
            middle += factor * task.middles[index]
            width += abs(factor) * task.widths[index]
        terms[0, tree.LOW], terms[0, tree.HIGH] = (middle - width) >> 1, (middle + width) >> 1
        terms[0, tree.SIGN], terms[0, tree.DEPTH] = task.signs[column], task.levels[parent]
        at = 1
    if constant != 0:
        shift = 0
        while not (constant >> shift) & 1:
            shift += 1
        terms[at, tree.LOW] = terms[at, tree.HIGH] = linear[at, inputs] = constant >> shift
        terms[at, tree.SHIFT], terms[at, tree.SIGN] = shift, 1
        at += 1
    for row in range(len(rows)):
        for plane in range(2):
            mask, power = masks[row, plane, column], 0
            while mask:
                if mask & 1:
                    terms[at, tree.LOW], terms[at, tree.HIGH] = rows[row, patterns.LOW], rows[row, patterns.HIGH]
                    terms[at, tree.SHIFT], terms[at, tree.SIGN] = power, 1 - 2 * plane
                    terms[at, tree.DEPTH] = rows[row, patterns.DEPTH]
                    linear[at, :inputs] = functions[row]
                    at += 1
                mask >>= 1
                power += 1
    level, ranges = task.levels[column], (task.middles, task.widths)
    if task.ternary:
        return tree.best_tree(terms, linear, given, level, ranges[0], ranges[1], tries)[1]
    return tree.add_up(terms, linear, given, level, False, ranges[0], ranges[1], 0)


@compiled
def total_bits(rows: Array, functions: Array, masks: Array, task: Task) -> int:
    """Returns the bits of carry chain in all shared rows and all columns."""
    inputs = len(task.matrix)
    total = row_bits(rows, uses_of(rows, masks, inputs), inputs, task.ternary)
    for column in task.order:
        total += column_bits(column, rows, functions, masks, task, _TRIES)
    return total
