"""Table of what a design is estimated to take, and of how a part was fitted."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rtl4ml.planning.estimates.model import Estimate
from rtl4ml.planning.fit import Fit, Fitted, shares
from rtl4ml.planning.parts import PARTS, Part

_KINDS = {"cells": "LUT", "ff": "FF", "dsp": "DSP", "bram": "BRAM"}


def estimate_table(found: Estimate, fitting: Fit | None = None) -> RenderableType:
    """An estimate, as shares of the part where the target is one; of a fit, the next faster plan too."""
    table = Table(
        title=Text(f"Estimate for {found.target}"), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD
    )
    for column in ("plan", "interval", *_KINDS.values(), "Fmax MHz") if fitting else (*_KINDS.values(), "Fmax MHz"):
        table.add_column(column, justify="left" if column == "plan" else "right")
    part = PARTS.get(found.target)
    if fitting is None:
        table.add_row(*_cells(found, part))
        return table
    rows = [("chosen", fitting.chosen)]
    rows += [("next faster", fitting.faster)] if fitting.faster is not None else []
    for name, fitted in rows:
        table.add_row(name, f"{fitted.plan.interval:,}", *_cells(fitted.estimate, fitting.part))
    return Group(table, Text(_verdict(fitting)))


def _verdict(fitting: Fit) -> str:
    if fitting.faster is None:
        return f"the fastest plan there is fits {fitting.part.name}"
    return f"the next faster plan does not fit {fitting.part.name}: it takes {_most(fitting.faster, fitting.part)}"


def _most(fitted: Fitted, part: Part) -> str:
    """What a plan takes the most of."""
    found = shares(fitted.estimate, part)
    kind = max(found, key=lambda kind: found[kind])
    return f"{getattr(fitted.estimate, kind):,} {_KINDS[kind]} of {getattr(part, kind):,}"


def _cells(found: Estimate, part: Part | None) -> list[str]:
    """Numbers, and with a part what share of it they are."""
    cells = []
    for kind in _KINDS:
        number = getattr(found, kind)
        there = 0 if part is None else getattr(part, kind)
        cells.append(f"{number:,} ({number / there:.0%})" if there else f"{number:,}")
    return [*cells, f"{found.fmax_mhz:.0f}"]
