"""The picture of a profile: for each tensor the histogram of its codes between the limits of its format.

Saturated codes stand outside the limits, in red, where their values lie:

    name        |##|    .:####:..        |#|    5.20 % saturated
    int<8>      -128        0          127      range used 100 %
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rtl4ml.errors import ConfigurationError, ToolError
from rtl4ml.report.profile import Profile, TensorProfile
from rtl4ml.report.profile_table import MUCH, SOME, findings, kind_of, percent, saturation_matters

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".svg", ".png", ".pdf")

CODES, SUMS, SATURATED, SOMEWHAT, REACHABLE, LIMITS, TEXT, SEEN = (
    "#2f6fb3",
    "#8fb0d0",
    "#d62728",
    "#e08a00",
    "#dfe5ec",
    "#f5f6f8",
    "#5f6b7a",
    "#1b2a3a",
)
BAND = (0.012, 0.042)
"""Where the red bars stand outside the limits, in widths of the axis: from and to."""

MARGIN = 0.135
"""Room for the red bars and their shares on either side, in widths of the axis."""

ROW_INCHES, HEAD_INCHES = 0.92, 0.95


def check_target(path: Path) -> None:
    """See that a plot can be drawn before anything long is started.

    Raises:
        ConfigurationError: the file's name does not end like a picture, or its folder does not exist.
        ToolError: matplotlib is missing.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigurationError(f"Plot must be a file {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, not {str(path)!r}")
    if not path.absolute().parent.is_dir():
        raise ConfigurationError(f"Folder of the plot must exist, not {str(path.parent)!r}")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ToolError("matplotlib must be installed for plots: pip install 'rtl4ml[plot]'") from error


def plot(profile: Profile, path: str | Path) -> None:
    """Draw a profile into a file; the same profile gives the same bytes.

    Args:
        profile: from `rtl4ml.profile`.
        path: .svg, .png or .pdf.

    Raises:
        ConfigurationError: another kind of file, or one that cannot be written.
        ToolError: matplotlib is missing.
    """
    path = Path(path)
    check_target(path)
    # Not at the top: matplotlib is an extra. Not pyplot: it keeps figures and wants a display.
    import matplotlib
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    tensors = list(profile.tensors.values())
    height = HEAD_INCHES + ROW_INCHES * len(tensors)
    with matplotlib.rc_context({"svg.hashsalt": "rtl4ml", "font.family": "DejaVu Sans", "font.size": 8}):
        figure = Figure(figsize=(11, height), facecolor="white")
        axes = figure.subplots(len(tensors), 1, squeeze=False)[:, 0]
        bottom, top = 0.25 / height, 1 - HEAD_INCHES / height
        figure.subplots_adjust(left=0.17, right=0.805, bottom=bottom, top=top, hspace=0.75)
        for axis, item in zip(axes, tensors, strict=True):
            _draw(axis, item)
        title = f"{profile.network}: codes on {profile.samples:,} samples"
        figure.text(0.02, 1 - 0.3 / height, title, fontsize=13, fontweight="bold", va="center")
        figure.text(0.98, 1 - 0.3 / height, "heights: square root of the share of codes", ha="right", color=TEXT)
        patches: list[Artist] = [
            Patch(color=CODES, label="quantized codes"),
            Patch(color=SUMS, label="sums and the like"),
            Patch(color=SATURATED, label="saturated"),
            Patch(color=REACHABLE, label="reachable"),
            Patch(facecolor=LIMITS, edgecolor="#c8ced6", label="limits of the format"),
            Line2D([], [], color=SEEN, lw=1.4, label="from lowest to highest code seen"),
        ]
        where = (0.02, 1 - 0.68 / height)
        figure.legend(handles=patches, loc="center left", bbox_to_anchor=where, ncols=6, frameon=False, borderpad=0)
        try:
            date = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower())
            figure.savefig(path, dpi=150, metadata=date)
        except OSError as error:
            raise ConfigurationError(f"Plot {str(path)!r} must be writable: {error.strerror}") from error


def _draw(axis: "Axes", item: TensorProfile) -> None:
    """One tensor; the axis runs from 0, the lower edge of the first code's cell, to 1."""
    span = item.end - item.start + 1
    edges = np.minimum(np.arange(len(item.histogram) + 1) * item.width / span, 1)
    low, high = item.tensor.range
    counts = item.histogram.astype(np.float64)
    saturated = item.saturated()
    colour = CODES if item.quantized else SUMS
    outside = (0.0, 0.0)
    if saturated is not None and item.lower is not None and item.upper is not None:
        outside = (float(item.lower.saturated.sum()), float(item.upper.saturated.sum()))
        counts[(item.lower.code - item.start) // item.width] -= outside[0]
        counts[(item.upper.code - item.start) // item.width] -= outside[1]
    tallest = max(counts.max(), *outside, 1)

    axis.set_xlim(-MARGIN, 1 + MARGIN)
    axis.set_ylim(0, 1.12)
    axis.axvspan(0, 1, color=LIMITS, lw=0)
    axis.axvspan((low - item.start) / span, (high - item.start + 1) / span, color=REACHABLE, lw=0)
    axis.stairs(np.sqrt(counts / tallest), edges, fill=True, color=colour, lw=0)
    seen = [(item.seen[0] - item.start) / span, (item.seen[1] - item.start + 1) / span]
    axis.plot(seen, [-0.05, -0.05], color=SEEN, lw=1.4, solid_capstyle="butt", clip_on=False)
    for count, left in zip(outside, (-BAND[1], 1 + BAND[0]), strict=True):
        if count:
            height = float(np.sqrt(count / tallest))
            axis.bar(left, height, BAND[1] - BAND[0], align="edge", color=SATURATED)
            share = percent(count / item.samples / item.tensor.size)
            beside, align = (left - 0.006, "right") if left < 0 else (left + BAND[1] - BAND[0] + 0.006, "left")
            shade = SATURATED if sum(saturated or ()) >= SOME and saturation_matters(item) else TEXT
            axis.text(beside, 0.5, share, ha=align, va="center", color=shade, fontsize=7.5)
    for side in ("top", "right", "left", "bottom"):
        axis.spines[side].set_visible(False)
    axis.set_yticks([])
    _ticks(axis, item, span)
    _words(axis, item)


def _ticks(axis: "Axes", item: TensorProfile, span: int) -> None:
    """The ends of the format, and the ends of what was seen where they would not touch."""
    codes = {code: (code - item.start + 0.5) / span for code in (item.start, item.end, *item.seen)}
    shown = [item.start, item.end]
    for code in item.seen:
        if all(abs(codes[code] - codes[other]) > 0.1 for other in shown):
            shown.append(code)
    axis.set_xticks([codes[code] for code in shown], [f"{code:,}" for code in shown])
    axis.tick_params(axis="x", length=2, pad=2, labelsize=7, colors=TEXT)


def _words(axis: "Axes", item: TensorProfile) -> None:
    """Name and format to the left, numbers to the right."""
    found = findings(item)
    colour = "black" if not found else SATURATED if found[0].severe else SOMEWHAT
    name = item.name if len(item.name) <= 28 else f"{item.name[:13]}...{item.name[-13:]}"
    put: dict[str, Any] = {"transform": axis.transAxes, "va": "center"}
    axis.text(-0.005, 0.68, name, ha="right", fontsize=9, fontweight="bold", color=colour, **put)
    words = kind_of(item) if item.quantized else f"{item.made_by.split()[0]}, {kind_of(item)}"
    axis.text(-0.005, 0.3, f"{words}, {item.tensor.size:,} channels", ha="right", color=TEXT, **put)
    saturated = item.saturated()
    if saturated is not None:
        share = sum(saturated)
        loud = share >= SOME and saturation_matters(item)
        shade = TEXT if not loud else SATURATED if share >= MUCH else SOMEWHAT
        style: dict[str, Any] = {
            "fontsize": 10 if loud else 8,
            "fontweight": "bold" if loud else "normal",
            "color": shade,
        }
        axis.text(1.005, 0.82, f"{percent(share)} saturated", ha="left", **style, **put)
    bits = item.top_bits_in_all + item.low_bits_in_all
    unused = f"{bits} bit{'s' if bits > 1 else ''} unused" if bits else "every bit used"
    axis.text(1.005, 0.46, f"range used {percent(item.used_in_all)}, {unused}", ha="left", color=TEXT, **put)
    if item.constant.any():
        dead = f"{int(item.constant.sum())} of {item.tensor.size} channels dead"
        axis.text(1.005, 0.1, dead, ha="left", color=SATURATED if item.constant.all() else SOMEWHAT, **put)
