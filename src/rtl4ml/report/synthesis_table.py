"""Table of what a design takes on a device."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rtl4ml.synthesis.measure import Measurement, Synthesis

_COLUMNS = {
    "LUT": "lut",
    "LUT memory": "lut_memory",
    "FF": "ff",
    "DSP": "dsp",
    "BRAM": "bram",
    "carry": "carry",
}


def synthesis_table(result: Synthesis) -> RenderableType:
    """A line a stage, one of the whole design, what that takes of the part, and its slowest path."""
    table = Table(
        title=Text(f"Synthesis for {result.target}"), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD
    )
    table.add_column("module", overflow="fold")
    placed = result.whole.placement is not None
    for column in (*_COLUMNS, *(["Fmax MHz"] if placed else [])):
        table.add_column(column, justify="right")
    for stage in result.stages:
        table.add_row(*_row(stage, stage.name, placed))
    if result.stages:
        table.add_section()
    table.add_row(*_row(result.whole, "all, flattened", placed))
    lines: list[RenderableType] = [table]
    others = ", ".join(f"{number} {name}" for name, number in result.resources.other.items())
    lines += [Text(f"other cells: {others}")] if others else []
    if (best := result.whole.placement) is not None:
        used = ", ".join(f"{taken:,} of {there:,} {kind}" for kind, (taken, there) in best.used.items())
        lines.append(Text(f"placed: {used}"))
        if best.fmax_mhz is not None:
            reached = "reached" if best.fmax_mhz >= result.clock_mhz else "missed"
            lines.append(Text(f"clock asked for: {result.clock_mhz:g} MHz, {reached} at {best.fmax_mhz:g} MHz"))
        if best.path:
            routing = sum(hop.ns for hop in best.path if hop.kind == "routing")
            total = sum(hop.ns for hop in best.path)
            lines.append(
                Text(f"slowest path: {total:.2f} ns, {routing:.2f} ns of them wires, into {best.path[-1].cell}")
            )
    lines.append(Text(", ".join(f"{tool} {version}" for tool, version in result.tools.items())))
    return Group(*lines)


def _row(measured: Measurement, name: str, placed: bool) -> list[Text]:
    cells = [name, *(f"{getattr(measured.resources, kind):,}" for kind in _COLUMNS.values())]
    if placed:
        cells.append("" if measured.fmax_mhz is None else f"{measured.fmax_mhz:.1f}")
    return [Text(cell) for cell in cells]
