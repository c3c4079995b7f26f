"""Which form of a staircase is built: the cheapest that equals it, by a count of the bits that need logic."""

from dataclasses import dataclass

import numpy as np

from rtl4ml.formats import Codes, width_of
from rtl4ml.staircase import (
    AffineForm,
    ConstantForm,
    Form,
    ShiftForm,
    Staircase,
    StepForm,
    TableForm,
    ThresholdForm,
    fit_affine,
    fit_constant,
    fit_shift,
    fit_steps,
    fit_table,
    fit_thresholds,
)

MULTIPLIER_COST = 120
"""What a multiplier counts for, in bits of logic: below that, a DSP block is scarcer than the LUTs it saves."""

TABLE_SHARE = 16
"""Bits of a table that count as one bit of adder: a lookup table holds 64, of which multiplexers take their part."""

TABLE_ENTRIES = 1 << 12
"""Domains of more integers get no table."""

MAX_THRESHOLDS = 1 << 12
"""Functions of more codes get no thresholds where there is another form."""


@dataclass(frozen=True)
class FormCost:
    """A candidate form and what it was weighed at.

    Parameters:
        form: equal to the staircase on its whole domain.
        cost: bits of adders, comparators and parameter memory for one channel, on average.
    """

    form: Form
    cost: float


def _signed_digits(value: int) -> int:
    """Nonzero digits of the canonical signed-digit form (Reitwieser 1960)."""
    return ((3 * value) ^ value).bit_count() if value >= 0 else _signed_digits(-value)


def _clip_cost(form: ShiftForm | AffineForm, bits: int) -> int:
    return 2 * max(1, bits - getattr(form, "shift", 0)) + width_of(form.low, form.high)[0]


def _search_cost(levels: int, bits: int, code_bits: int, share: float) -> float:
    """Thresholds side by side, or a binary search; `share`: of a bit of adder, for a bit of memory."""
    if levels <= 7:
        return levels * bits + levels * code_bits
    return levels.bit_length() * 2 * bits + levels * bits * share + (levels + 1) * code_bits * share


def _code_bits(codes: Codes) -> int:
    return width_of(int(codes.min()), int(codes.max()))[0]


def _constant_cost(form: Form, bits: int) -> float:
    """Cost of a channel whose parameters are constants in logic."""
    match form:
        case ConstantForm():
            return 0
        case ShiftForm():
            return bits + int(form.left.max()) + _clip_cost(form, bits + int(form.left.max()))
        case AffineForm():
            digits = float(np.mean([_signed_digits(int(m)) for m in form.multiplier]))
            wide = bits + int(np.abs(form.multiplier).max()).bit_length()
            listed = float(np.mean([len(e) for e in form.exceptions])) * (bits / 5 + 8)
            return digits * wide + _clip_cost(form, wide) + listed
        case ThresholdForm():
            return (
                form.levels * bits + form.levels
                if form.levels <= 7
                else form.levels.bit_length() * 2 * bits + form.levels * bits / 4
            )
        case StepForm():
            return _search_cost(form.levels, bits, _code_bits(form.codes), 1 / 4)
        case TableForm():
            code_bits = _code_bits(form.codes)
            return form.entries * code_bits / TABLE_SHARE + code_bits
    return float("inf")


def _parameter_cost(form: Form, bits: int) -> float:
    """Cost of a channel whose parameters are read from memory, beat by beat."""
    match form:
        case ConstantForm():
            return width_of(int(form.value.min()), int(form.value.max()))[0] / 4
        case ShiftForm():
            return bits * 1.5 + _clip_cost(form, bits) + 2 * bits * int(np.ptp(form.left) > 0)
        case AffineForm():
            wide = bits + int(np.abs(form.multiplier).max()).bit_length()
            listed = max(len(e) for e in form.exceptions) * (bits * 1.5 + 8)
            return MULTIPLIER_COST + wide + _clip_cost(form, wide) + listed
        case ThresholdForm():
            compare = (
                form.levels * bits if form.levels <= 7 else form.levels.bit_length() * 2 * bits + form.levels * bits / 2
            )
            return compare + form.levels * bits / 4
        case StepForm():
            code_bits = _code_bits(form.codes)
            memory = (form.levels * bits + (form.levels + 1) * code_bits) / 4
            return _search_cost(form.levels, bits, code_bits, 1 / 2) + memory
        case TableForm():
            code_bits = _code_bits(form.codes)
            return bits + form.rows * form.entries * code_bits / TABLE_SHARE + code_bits
    return float("inf")


def candidates(staircase: Staircase, *, multiplexed: bool) -> list[FormCost]:
    """Every form that equals the staircase, cheapest first.

    Args:
        staircase: the function.
        multiplexed: whether channels take turns on one unit (parameters from memory unless all share them).
    """
    constant = fit_constant(staircase)
    if constant is not None:
        return [FormCost(constant, 0.0)]
    bits = width_of(int(staircase.low.min()), int(staircase.high.max()))[0]
    low, high = staircase.code_ends
    forms: list[Form] = []
    thresholds = fit_thresholds(staircase) if (high - low).max() <= MAX_THRESHOLDS else None
    if thresholds is not None:
        forms.append(thresholds)
    shift = fit_shift(staircase)
    if shift is not None:
        forms.append(shift)
    elif staircase.code_high - staircase.code_low > 3:
        affine = fit_affine(staircase)
        if affine is not None:
            forms.append(affine)
    table = fit_table(staircase, TABLE_ENTRIES)
    if table is not None:
        forms.append(table)
    if shift is None:
        # Steps of several codes at once are fewer than thresholds; and there always is this form.
        forms.append(fit_steps(staircase))
    cost = _parameter_cost if multiplexed and staircase.rows > 1 else _constant_cost
    return sorted((FormCost(form, round(cost(form, bits), 1)) for form in forms), key=lambda c: c.cost)


def choose(staircase: Staircase, *, multiplexed: bool) -> Form:
    """The cheapest form."""
    return candidates(staircase, multiplexed=multiplexed)[0].form
