"""The table of a profile: one line a tensor, what is wrong in words and in colour."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rtl4ml.report.profile import Profile, TensorProfile

MUCH, SOME = 0.5, 0.05
"""Shares of saturated codes from which a tensor is shown in red and in yellow."""

FEW_BITS = 2
"""Quantizers of so few bits are meant to saturate: shares are shown, nobody is warned."""

SPARE_BITS = 2
"""From so many bits never used a quantizer is worth a word."""

ADVICE = {
    "saturated": "more integer bits or a larger scale, or data scaled as in training (--divide, --input-format)",
    "dead": "prune them, if this data is all there is",
    "spare": "a narrower format holds the same codes on this data",
}


@dataclass(frozen=True)
class Finding:
    """Something that a person should see.

    Parameters:
        kind: key of ADVICE.
        severe: red rather than yellow.
        short: for the table's last column.
        text: whole sentence without the tensor's name.
    """

    kind: str
    severe: bool
    short: str
    text: str

    @property
    def style(self) -> str:
        """Colour, for rich."""
        return "bold red" if self.severe else "yellow"


def percent(share: float) -> str:
    """A share such that 0 % and 100 % are said of nothing else: `0 %`, `<0.01 %`, `4.20 %`, `>99.99 %`, `100 %`."""
    if share in (0, 1):
        return f"{share:.0%}".replace("%", " %")
    if share < 0.0001 or share > 0.9999:
        return "<0.01 %" if share < 0.5 else ">99.99 %"
    return f"{share * 100:.2f} %"


def saturation_matters(item: TensorProfile) -> bool:
    """Whether saturated codes count against a tensor."""
    return item.lower is not None and item.tensor.format.bits > FEW_BITS


def kind_of(item: TensorProfile) -> str:
    """Its format in a word."""
    form = item.tensor.format
    if form.bipolar:
        return "bipolar"
    if not item.quantized:
        return f"{form.bits} bits"
    return f"{'int' if form.signed else 'uint'}<{form.bits}>"


def findings(item: TensorProfile) -> list[Finding]:
    """What is worth a word about a tensor, the worst first."""
    found = []
    saturated = item.saturated()
    if saturated is not None and saturation_matters(item) and sum(saturated) >= SOME and item.lower and item.upper:
        how = "is clipped" if item.clipping_known else "sits at the quantizer's limits"
        share = percent(sum(saturated))
        text = (
            f"{share} {how}: {percent(saturated[0])} to {item.lower.code}, {percent(saturated[1])} to {item.upper.code}"
        )
        severe = sum(saturated) >= MUCH
        found.append(Finding("saturated", severe, f"{share} {'SATURATED' if severe else 'saturated'}", text))
    dead, always, n = int(item.constant.sum()), int(item.always_constant.sum()), item.tensor.size
    if dead:
        words = f"{dead} of {n} channels constant on this data, {always} of them whatever the input"
        found.append(Finding("dead", dead == n, f"{dead} of {n} DEAD" if dead == n else f"{dead} dead", words))
    spare = item.top_bits_in_all + item.low_bits_in_all
    if item.lower is not None and spare >= SPARE_BITS and dead < n:
        bits = item.tensor.format.bits
        found.append(Finding("spare", False, f"{spare} of {bits} bits spare", f"{spare} of {bits} bits never used"))
    return sorted(found, key=lambda f: not f.severe)


def _pair(first: str, second: str, style: str = "") -> Text:
    """Two lines: of all channels, and dim below it a detail or the worst channel."""
    return Text.assemble((first, style), ("\n" + second if second else "", "dim"))


def _format(item: TensorProfile) -> Text:
    form = item.tensor.format
    return _pair(kind_of(item), f"{form.low} .. {form.high}" if item.quantized else item.made_by.split()[0])


def _saturation(item: TensorProfile) -> tuple[Text, Text, Text]:
    """Lower limit, upper limit, both."""
    saturated, channels = item.saturated(), item.saturation
    if saturated is None or channels is None:
        return Text("-", style="dim"), Text("-", style="dim"), Text("-", style="dim")
    share, worst = sum(saturated), int(np.argmax(channels))
    style = "" if share < SOME or not saturation_matters(item) else "bold red" if share >= MUCH else "yellow"
    both = _pair(percent(share), f"{percent(float(channels[worst]))} in {worst}" if share else "", style)
    return Text(percent(saturated[0]), style=style), Text(percent(saturated[1]), style=style), both


def _bits(item: TensorProfile) -> Text:
    def words(top: int, low: int) -> str:
        return ", ".join(f"{count} {where}" for count, where in ((top, "top"), (low, "low")) if count)

    worst = item.worst(item.top_bits + item.low_bits)
    channel = words(int(item.top_bits[worst]), int(item.low_bits[worst]))
    return _pair(words(item.top_bits_in_all, item.low_bits_in_all) or "0", f"{channel} in {worst}" if channel else "")


def _row(item: TensorProfile, found: list[Finding]) -> list[Text]:
    (seen_low, seen_high), (low, high) = item.seen, item.tensor.range
    least = item.worst(item.used, lowest=True)
    dead, always = int(item.constant.sum()), int(item.always_constant.sum())
    return [
        Text(item.name, style="" if not found else found[0].style),
        _format(item),
        _pair(f"{seen_low} .. {seen_high}", f"{low} .. {high}"),
        _pair(percent(item.used_in_all), f"{percent(float(item.used[least]))} in {least}"),
        *_saturation(item),
        _pair(str(dead), f"{always} always" if dead else ""),
        _bits(item),
        Text("\n").join(Text(f.short, style=f.style) for f in found),
    ]


def profile_table(profile: Profile) -> RenderableType:
    """Tensors in the order of the data, then every finding as a sentence."""
    title = f"{profile.network}: codes on {profile.samples} samples"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for number, (heading, below) in enumerate(
        (
            ("tensor", ""),
            ("format", "limits"),
            ("codes seen", "reachable"),
            ("range used", "worst channel"),
            ("low", ""),
            ("high", ""),
            ("saturated", "worst channel"),
            ("dead", ""),
            ("bits unused", "worst channel"),
            ("look here", ""),
        )
    ):
        justify: Literal["left", "right"] = "right" if 2 <= number <= 8 else "left"
        table.add_column(_pair(heading, below), justify=justify, overflow="fold")
    sentences: dict[str, list[RenderableType]] = {kind: [] for kind in ADVICE}
    for item in profile.tensors.values():
        found = findings(item)
        table.add_row(*_row(item, found))
        for f in found:
            sentences[f.kind].append(Text(f"{item.name}: {f.text}", style=f.style))
    parts: list[RenderableType] = [table]
    for kind, lines in sentences.items():
        if lines:
            parts += [*lines, Text(f"  -> {ADVICE[kind]}", style="dim"), Text()]
    if len(parts) == 1:
        parts.append(Text("nothing saturates, nothing is dead, every bit is used", style="green"))
    return Group(*parts)
