"""Staircases in C++: the form that a compiler vectorises best."""

from collections.abc import Callable

import numpy as np

from rtl4ml.export.ip.cpp_text import Tables, literal
from rtl4ml.formats import Codes, Rounding
from rtl4ml.staircase import (
    AffineForm,
    ShiftForm,
    Staircase,
    ThresholdForm,
    fit_affine,
    fit_constant,
    fit_shift,
    fit_steps,
    fit_table,
    fit_thresholds,
)

FEW_LEVELS = 8
TABLE_ENTRIES = 4096


def staircase_lines(
    tables: Tables, name: str, staircase: Staircase, low: int, high: int, size: int, x: str, y: str
) -> list[str]:
    """Statements that compute a staircase of `size` elements.

    Args:
        tables: receives the numbers.
        name: that tables begin with.
        staircase: the function.
        low: lowest x of any element.
        high: highest.
        size: elements.
        x: expression of the input's pointer.
        y: of the output's.
    """
    largest = max(abs(low), abs(high))
    rows, body, exceptions = _body(tables, name, staircase, largest)
    row = " row" if any("row" in line for line in body) else ""
    lines = [f"apply<{size}, {rows}>({x}, {y}, [](auto v, std::size_t{row}) {{", *(f"    {b}" for b in body), "});"]
    if exceptions:
        listed = [f"{{{row}, {literal(at)}, {literal(code)}}}" for row, at, code in exceptions]
        tables.declare(f"inline constexpr Exception {name}_exceptions[] = {{", listed)
        lines.append(f"except<{size}, {rows}>({x}, {y}, {name}_exceptions);")
    return lines


def _body(
    tables: Tables, name: str, staircase: Staircase, largest: int
) -> tuple[int, list[str], list[tuple[int, int, int]]]:
    """Rows of the form, the function's lines, and the exceptions (row, x, y) to it."""
    constant = fit_constant(staircase)
    if constant is not None:
        text = _parameter(tables, f"{name}_value", constant.value)
        return constant.rows, ["static_cast<void>(v);", f"return {text};"], []
    shift = fit_shift(staircase)
    if shift is not None:
        return shift.rows, _shift(tables, name, shift, largest), []
    levels = int((staircase.code_ends[1] - staircase.code_ends[0]).max())
    affine = fit_affine(staircase)
    short = affine is not None and _affine_bound(affine, largest) < 1 << 31
    thresholds = fit_thresholds(staircase) if levels <= FEW_LEVELS and not short else None
    if thresholds is not None:
        return thresholds.rows, _thresholds(tables, name, thresholds), []
    if affine is not None:
        listed = [(row, x, y) for row, pairs in enumerate(affine.exceptions) for x, y in pairs]
        return affine.rows, _affine(tables, name, affine, largest), listed
    table = fit_table(staircase, max(1, TABLE_ENTRIES // staircase.rows))
    if table is not None:
        codes = tables.add(f"{name}_codes", table.codes)
        low = _parameter(tables, f"{name}_low", table.low)
        at = f"static_cast<std::size_t>(static_cast<std::int64_t>(v) - {low})"
        return table.rows, [f"return {codes}[{f'row * {table.entries} + ' if table.rows > 1 else ''}{at}];"], []
    steps = fit_steps(staircase)
    codes, positions = tables.add(f"{name}_codes", steps.codes), tables.add(f"{name}_positions", steps.positions)
    start = (f" + row * {steps.levels}", f"row * {steps.levels + 1} + ") if steps.rows > 1 else ("", "")
    search = f"reached<{steps.levels}>({positions}{start[0]}, static_cast<std::int64_t>(v))"
    return steps.rows, [f"return {codes}[{start[1]}{search}];"], []


def _parameter(tables: Tables, name: str, values: Codes) -> str:
    """An expression of row: a literal where there is one value only."""
    if np.all(values == values[0]):
        return literal(int(values[0]))
    return f"{tables.add(name, values)}[row]"


def _word(bound: int) -> str:
    return "std::int32_t" if bound < 1 << 31 else "std::int64_t"


def _shift(tables: Tables, name: str, form: ShiftForm, largest: int) -> list[str]:
    one = 1 << form.shift
    bound = (largest << int(form.left.max())) + int(np.abs(form.offset).max()) + one
    factor = _parameter(tables, f"{name}_factor", form.sign * (np.int64(1) << form.left))
    offset = _parameter(tables, f"{name}_offset", form.offset)
    shifted = f"floor_shift(t, {form.shift})"
    half = literal(one >> 1)
    below = literal((one >> 1) - 1)
    addends: dict[Rounding, Callable[[], str]] = {
        Rounding.FLOOR: lambda: "0",
        Rounding.HALF_EVEN: lambda: f"{below} + ({shifted} & 1)",
        Rounding.HALF_AWAY: lambda: f"{half} - (t < 0)",
        Rounding.HALF_TOWARD: lambda: f"{below} + (t < 0)",
        Rounding.AWAY: lambda: f"(t >= 0) * {literal(one - 1)}",
        Rounding.TOWARD: lambda: f"(t < 0) * {literal(one - 1)}",
    }
    addend = addends[form.rounding]() if form.shift else "0"
    return [
        f"using T = {_word(bound)};",
        f"const T t = static_cast<T>(v) * static_cast<T>({factor}) + static_cast<T>({offset});",
        f"const T rounded = floor_shift(static_cast<T>(t + static_cast<T>({addend})), {form.shift});",
        f"return clip<T>(rounded, {literal(form.low)}, {literal(form.high)});",
    ]


def _affine_bound(form: AffineForm, largest: int) -> int:
    return int(np.abs(form.multiplier).max()) * largest + int(np.abs(form.offset).max())


def _affine(tables: Tables, name: str, form: AffineForm, largest: int) -> list[str]:
    multiplier = _parameter(tables, f"{name}_multiplier", form.multiplier)
    offset = _parameter(tables, f"{name}_offset", form.offset)
    return [
        f"using T = {_word(_affine_bound(form, largest))};",
        f"const T t = static_cast<T>(v) * static_cast<T>({multiplier}) + static_cast<T>({offset});",
        f"return clip<T>(floor_shift(t, {form.shift}), {literal(form.low)}, {literal(form.high)});",
    ]


def _thresholds(tables: Tables, name: str, form: ThresholdForm) -> list[str]:
    """All comparisons written out, so that the loop over elements is the innermost one and vectorises."""
    base = _parameter(tables, f"{name}_base", form.base)
    sign = _parameter(tables, f"{name}_sign", form.sign)
    levels = [_parameter(tables, f"{name}_level{k}", form.thresholds[:, k]) for k in range(form.levels)]
    word = _word(int(np.abs(form.thresholds).max()) + 1)
    count = " + ".join(f"(t >= static_cast<T>({level}))" for level in levels)
    return [
        f"using T = {word};",
        "const T t = static_cast<T>(v);",
        f"return static_cast<T>({base} + {sign} * ({count}));",
    ]
