"""Results as rows of numbers, with their places on the fronts: what table, CSV and plot are made from."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rtl4ml.errors import ConfigurationError
from rtl4ml.planning.settings import Settings
from rtl4ml.sweep.pareto import front
from rtl4ml.sweep.points import Point
from rtl4ml.sweep.results import Record

TIMES = {"latency": "latency_ns", "interval": "interval_ns"}
"""What area is drawn against."""

AREAS = {
    "lut": "LUT",
    "ff": "FF",
    "dsp": "DSP",
    "bram": "BRAM",
    "multipliers": "multipliers",
    "memory_bits": "memory bits",
}
"""What areas can be counted in, and how they are called."""

CLOCKS = ("fmax_mhz", "fmax_estimate_mhz")
"""The clock after place and route, and what is expected of it. Only the first tells whether a clock was missed."""


@dataclass(frozen=True)
class Row:
    """A finished point.

    Parameters:
        axes: its place on each axis, in words.
        numbers: by name; empty when it failed.
        error: why it failed; None: it did not.
        fronts: areas on whose front, against time, it stands.
        best: no other point is at most as much in time and every area and less in one.
    """

    axes: Mapping[str, str]
    numbers: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None
    fronts: tuple[str, ...] = ()
    best: bool = False

    @property
    def missed(self) -> bool:
        """Whether place and route missed the clock that cycles are counted in."""
        reached = self.numbers.get("fmax_mhz")
        return reached is not None and reached < float(self.axes["clock_mhz"])


@dataclass(frozen=True)
class Table:
    """Rows, and what they are compared by.

    Parameters:
        rows: in the points' order.
        time: name of the number that area stands against.
        areas: names of the numbers that are areas.
        varied: axes on which the points differ.
    """

    rows: tuple[Row, ...]
    time: str
    areas: tuple[str, ...]
    varied: tuple[str, ...]

    @property
    def good(self) -> list[Row]:
        """Rows with numbers."""
        return [row for row in self.rows if row.error is None]

    @property
    def best(self) -> list[Row]:
        """Rows on one of the fronts, by time."""
        found = [row for row in self.rows if row.fronts]
        return sorted(found, key=lambda row: (row.numbers[self.time], *(row.numbers[name] for name in self.areas)))


def tabulate(records: Sequence[Record], against: str = "latency", areas: Sequence[str] = ()) -> Table:
    """Rows with their fronts.

    Args:
        records: finished points.
        against: "latency" or "interval".
        areas: from `AREAS`; none: lookup tables and multiplier blocks where cells were counted, else multipliers and
            memory.

    Raises:
        ConfigurationError: a word that is none of these, or an area that was not measured.
    """
    if against not in TIMES:
        raise ConfigurationError(f"Area must stand against {' or '.join(TIMES)}, not {against!r}")
    time = TIMES[against]
    rows = [_row(record) for record in records]
    measured = {name for row in rows for name in row.numbers}
    counted = areas or (("lut", "dsp") if "lut" in measured else ("multipliers", "memory_bits"))
    for name in counted:
        if name not in AREAS:
            raise ConfigurationError(f"Area must be one of {', '.join(AREAS)}, not {name!r}")
        if measured and name not in measured:
            known = ", ".join(area for area in AREAS if area in measured)
            raise ConfigurationError(f"Area must be one of those measured here ({known}), not {name!r}")
    costs = np.array(
        [[np.nan if row.missed else row.numbers.get(name, np.nan) for name in (time, *counted)] for row in rows]
    ).reshape(len(rows), 1 + len(counted))
    alone = {name: front(costs[:, [0, index]]) for index, name in enumerate(counted, 1)}
    together = front(costs)
    placed = [
        Row(
            row.axes,
            row.numbers,
            row.error,
            tuple(name for name in counted if alone[name][index]),
            bool(together[index]),
        )
        for index, row in enumerate(rows)
    ]
    axes = rows[0].axes if rows else {}
    varied = tuple(name for name in axes if len({row.axes[name] for row in rows}) > 1)
    return Table(tuple(placed), time, tuple(counted), varied)


def _row(record: Record) -> Row:
    words = dict(record["point"])
    input_format = words.pop("input_format")
    axes = Point(Settings(**words), input_format).axes()
    if "error" in record:
        return Row(axes, error=record["error"]["message"])
    found: dict[str, Any] = record["result"]
    numbers = {**found["plan"], **found.get("cells", {})}
    numbers |= {name: found[name] for name in CLOCKS if found.get(name) is not None}
    return Row(axes, numbers)


def as_csv(table: Table) -> str:
    """All rows: axes, numbers, 1 for each front that a row is on, 1 for the front of everything together, error."""
    names = list(dict.fromkeys(name for row in table.rows for name in row.numbers))
    axes = list(table.rows[0].axes) if table.rows else []
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*axes, *names, *(f"front_{name}" for name in table.areas), "front", "error"])
    for row in table.rows:
        fronts = [int(name in row.fronts) for name in table.areas]
        numbers = [row.numbers.get(name, "") for name in names]
        writer.writerow([*row.axes.values(), *numbers, *fronts, int(row.best), row.error or ""])
    return out.getvalue()


def write_csv(table: Table, path: Path) -> None:
    """Write all rows, the whole file or nothing.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(as_csv(table), encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise ConfigurationError(f"Table {str(path)!r} must be writable: {error.strerror}") from error
