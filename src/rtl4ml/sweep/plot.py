"""The picture of a sweep: a panel for each area against time, every point, and the line of the front."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtl4ml.errors import ConfigurationError
from rtl4ml.report.profile_plot import CODES, SATURATED, SEEN, TEXT, check_target
from rtl4ml.sweep.pareto import staircase
from rtl4ml.sweep.rows import AREAS, Row, Table
from rtl4ml.sweep.table import HEADS, nanoseconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["check_target", "plot"]

COLOURS = (CODES, "#e08a00", "#2a9d6f", "#8e5bb5", SATURATED, "#7a6652", "#d16ba5", "#4f5d6b")
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")
FILLED, HOLLOW = "filled", "hollow"
FADED = 0.32
"""Points behind the front, beside those on it."""

PANEL_INCHES, HEIGHT_INCHES, LEGEND_INCHES = 5.4, 5.2, 0.24
NAME_INCHES = 0.85
LABEL_GAP = 15.0
"""Labels nearer to each other than this, in points, would touch."""


def plot(table: Table, title: str, path: str | Path) -> None:
    """Draw a sweep into a file; the same sweep gives the same bytes.

    Args:
        table: finished points.
        title: what stands above.
        path: .svg, .png or .pdf.

    Raises:
        ConfigurationError: another kind of file, one that cannot be written, or no point to draw.
        ToolError: matplotlib is missing.
    """
    path = Path(path)
    check_target(path)
    if not table.good:
        raise ConfigurationError("Sweep must have at least one point with numbers to be drawn, not none")
    # Not at the top: matplotlib is an extra. Not pyplot: it keeps figures and wants a display.
    import matplotlib
    from matplotlib.figure import Figure

    look = _Look(table)
    width = PANEL_INCHES * len(table.areas)
    foot = 0.15 + LEGEND_INCHES * len(look.axes)
    height = HEIGHT_INCHES + foot
    with matplotlib.rc_context({"svg.hashsalt": "rtl4ml", "font.family": "DejaVu Sans", "font.size": 9}):
        figure = Figure(figsize=(width, height), facecolor="white")
        panels = figure.subplots(1, len(table.areas), squeeze=False)[0]
        left, right = 0.75 / width, 1 - 0.25 / width
        figure.subplots_adjust(left=left, right=right, bottom=(foot + 0.55) / height, top=1 - 1.2 / height, wspace=0.2)
        for panel, area in zip(panels, table.areas, strict=True):
            _draw(panel, table, area, look)
        figure.text(left, 1 - 0.3 / height, title, fontsize=13, fontweight="bold", va="center")
        figure.text(left, 1 - 0.6 / height, _below(table), color=TEXT, va="center")
        look.legends(figure, left, foot / height, LEGEND_INCHES / height)
        try:
            date = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower())
            figure.savefig(path, dpi=150, metadata=date)
        except OSError as error:
            raise ConfigurationError(f"Plot {str(path)!r} must be writable: {error.strerror}") from error


def _below(table: Table) -> str:
    missed = sum(row.missed for row in table.good)
    text = f"{len(table.good)} designs; strong: on the front, faint: another is better; labels: {_labelled(table)}"
    return text + (f"; crossed out: {missed} that miss their clock" if missed else "")


def _labelled(table: Table) -> str:
    kinds = {row.axes["folding"].split()[0] for row in table.best}
    return kinds.pop() if len(kinds) == 1 else "folding"


class _Look:
    """Which axis is shown how: the first of those that vary by colour, the next by shape, one of two values by fill."""

    def __init__(self, table: Table) -> None:
        values: dict[str, list[str]] = {}
        for name in table.varied:
            if name != "folding":
                values[name] = list(dict.fromkeys(row.axes[name] for row in table.rows))
        order = sorted(values, key=lambda name: -len(values[name]))
        pairs = [name for name in order if len(values[name]) == 2]
        fill = pairs[-1] if len(order) > 2 and pairs else None
        rest = [name for name in order if name != fill]
        self.axes: dict[str, tuple[str, dict[str, Any]]] = {}
        channels: list[tuple[str, Sequence[str]]] = [("color", COLOURS), ("marker", MARKERS)]
        for name, (channel, signs) in zip(rest, channels, strict=False):
            self.axes[name] = channel, {v: signs[i % len(signs)] for i, v in enumerate(values[name])}
        if fill is not None:
            self.axes[fill] = "fill", dict(zip(values[fill], (FILLED, HOLLOW), strict=True))

    def of(self, row: Row) -> dict[str, str]:
        """Colour, marker and fill of a row."""
        style = {"color": COLOURS[0], "marker": MARKERS[0], "fill": FILLED}
        return style | {channel: signs[row.axes[name]] for name, (channel, signs) in self.axes.items()}

    def legends(self, figure: "Figure", left: float, top: float, step: float) -> None:
        """A line for each axis that is shown: its name, then its values; in shares of the figure."""
        from matplotlib.lines import Line2D

        names = NAME_INCHES / figure.get_figwidth()
        for index, (name, (channel, signs)) in enumerate(self.axes.items()):
            y = top - (index + 0.5) * step
            figure.text(left, y, HEADS[name], color=TEXT, va="center")
            handles = []
            for value, sign in signs.items():
                style = {"color": COLOURS[0] if channel == "color" else SEEN, "marker": MARKERS[0], "fill": FILLED}
                style |= {channel: sign}
                face = style["color"] if style["fill"] == FILLED else "white"
                look: dict[str, Any] = {"marker": style["marker"], "mfc": face, "mec": style["color"]}
                handles.append(Line2D([], [], lw=0, ms=6, mew=1.3, label=value, **look))
            figure.legend(
                handles=handles,
                loc="center left",
                bbox_to_anchor=(left + names, y),
                ncols=len(handles),
                frameon=False,
                borderpad=0,
                borderaxespad=0,
                handletextpad=0.1,
                columnspacing=1.4,
            )


def _draw(axis: "Axes", table: Table, area: str, look: _Look) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    rows = table.good
    best = [row for row in rows if area in row.fronts]
    axis.set_xscale("log")
    lowest = min(row.numbers[area] for row in rows)
    highest = max(row.numbers[area] for row in rows)
    # Of multipliers there may be none: a logarithm has no place for that.
    if lowest > 0:
        axis.set_yscale("log")
    elif highest > 100:
        axis.set_yscale("symlog", linthresh=10)
    x, y = staircase([row.numbers[table.time] for row in best], [row.numbers[area] for row in best])
    axis.plot(x, y, drawstyle="steps-post", color=SEEN, lw=1.2, zorder=2)
    for row in sorted(rows, key=lambda row: area in row.fronts):
        style, on = look.of(row), area in row.fronts
        face = style["color"] if style["fill"] == FILLED else "white"
        axis.plot(
            row.numbers[table.time],
            row.numbers[area],
            marker="x" if row.missed else style["marker"],
            ms=7.5 if on else 6,
            mfc=face,
            mec=style["color"],
            mew=1.4,
            alpha=1 if on else FADED,
            zorder=4 if on else 3,
            lw=0,
        )
    axis.margins(0.09, 0.11)
    axis.grid(which="major", color="#e6e9ed", lw=0.7)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color("#c8ced6")
    axis.tick_params(which="both", colors=TEXT, labelcolor=TEXT)
    axis.set_xlabel(f"{'latency' if table.time == 'latency_ns' else 'interval'}")
    axis.set_title(AREAS[area], loc="left", fontsize=10.5, fontweight="bold", color=SEEN)
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: nanoseconds(value)))
    axis.xaxis.set_minor_formatter(NullFormatter())
    if lowest > 0:
        axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
    _labels(axis, table, area, best)


def _labels(axis: "Axes", table: Table, area: str, best: Sequence[Row]) -> None:
    """Names beside points of the front, where they do not touch the one before."""
    figure = axis.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # places on the paper are known then
    before: list[tuple[float, float]] = []
    scale = 72 / figure.dpi
    for row in sorted(best, key=lambda row: row.numbers[table.time]):
        place = row.numbers[table.time], row.numbers[area]
        x, y = axis.transData.transform(place) * scale
        if all(abs(x - other[0]) > LABEL_GAP * 1.6 or abs(y - other[1]) > LABEL_GAP for other in before):
            before.append((x, y))
            words = row.axes["folding"]
            words = words.split()[-1] if len(words.split()) == 2 else words
            axis.annotate(words, place, (6, 6), textcoords="offset points", fontsize=8, color=SEEN, zorder=5)
