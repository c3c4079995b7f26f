"""The fronts as a table for people."""

from collections import Counter

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from rtl4ml.sweep.rows import AREAS, CLOCKS, Row, Table

HEADS = {
    "folding": "folding",
    "clock_mhz": "MHz",
    "input_format": "input",
    "interface": "interface",
    "lanes": "lanes",
    "output_lanes": "output lanes",
    "weights": "weights",
}
CLOCK_HEADS = {"fmax_mhz": "Fmax", "fmax_estimate_mhz": "Fmax, est."}
ERRORS_SHOWN = 5


def nanoseconds(number: float) -> str:
    """A time in the unit that suits it.

    >>> nanoseconds(12.5), nanoseconds(31560), nanoseconds(2.4e7)
    ('12.5 ns', '31.6 µs', '24 ms')
    """
    for unit in ("ns", "µs", "ms"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} s"


def sweep_table(table: Table, name: str, asked: int) -> RenderableType:
    """Points on the fronts by time, how many there are, and why others failed.

    Args:
        table: what is finished.
        name: of the network.
        asked: how many points the sweep has.
    """
    areas = [area for area in AREAS if any(area in row.numbers for row in table.rows)]
    clock = next((name for name in CLOCKS if any(name in row.numbers for row in table.rows)), None)
    shown = RichTable(
        title=Text(f"{name}: points that no other beats"), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD
    )
    axes = list(dict.fromkeys(("folding", *table.varied)))
    for axis in axes:
        shown.add_column(HEADS[axis], overflow="fold")
    for column in (
        "latency",
        "cycles",
        "interval",
        *(AREAS[area] for area in areas),
        *([] if clock is None else [CLOCK_HEADS[clock]]),
    ):
        shown.add_column(column, justify="right")
    shown.add_column("least")
    for row in table.best:
        shown.add_row(*(Text(cell) for cell in _cells(row, axes, areas, clock)))
    lines: list[RenderableType] = [shown, Text(_count(table, asked))]
    failed = Counter(row.error for row in table.rows if row.error is not None)
    for error, count in failed.most_common(ERRORS_SHOWN):
        lines.append(Text(f"{count} failed: {error}", style="red"))
    if len(failed) > ERRORS_SHOWN:
        lines.append(Text(f"and {len(failed) - ERRORS_SHOWN} other errors, which the CSV file has", style="red"))
    return Group(*lines)


def _cells(row: Row, axes: list[str], areas: list[str], clock: str | None) -> list[str]:
    numbers = row.numbers
    cells = [row.axes[axis] for axis in axes]
    cells += [nanoseconds(numbers["latency_ns"]), f"{numbers['latency_cycles']:,}", f"{numbers['interval_cycles']:,}"]
    cells += [f"{numbers[area]:,}" for area in areas]
    if clock is not None:
        cells.append(f"{numbers[clock]:.1f}" if clock in numbers else "")
    return [*cells, ", ".join(AREAS[area] for area in row.fronts)]


def _count(table: Table, asked: int) -> str:
    good, missed = table.good, sum(row.missed for row in table.rows)
    text = f"{len(table.rows)} of {asked} points finished, {len(table.best)} of them on a front"
    if len(good) < len(table.rows):
        text += f", {len(table.rows) - len(good)} failed"
    return text + (f", {missed} missed their clock and are on none" if missed else "")
