"""The designs of a sweep: a grid of settings and of what the input pins carry, from a file or from options.

A grid names axes with their values; the sweep builds every combination:

    reuse = [8, 16, 32]
    clock_mhz = [100, 200]
    input_format = ["codes", "fixed<16,6>"]
    interface = ["axi", "free-running"]

Ways to fold (`reuse`, `interval`, `fps`, `latency`, `multipliers`) exclude each other, so they stand side by side on
one axis. Lanes of the input are the AXI4-Stream's: a free-running pipeline takes all elements at once, so its designs
are built once, whatever the lanes. `points` lists single designs beside the grid.
"""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rtl4ml.errors import ConfigurationError
from rtl4ml.formats import InputFormat
from rtl4ml.planning.settings import GOALS, Settings, from_mapping, read_table

CODES = "codes"
"""Input format: the codes of the file's first quantizer."""

AUTO = "auto"
"""Lanes: as planning chooses them."""

INTERFACES = {"axi": True, "free-running": False}
"""Interfaces by name, and whether they have back-pressure."""

FOLDING_AXES = ("reuse", *GOALS)
AXES = (*FOLDING_AXES, "clock_mhz", "input_format", "interface", "lanes", "output_lanes", "weights")
"""What a grid may name."""


@dataclass(frozen=True)
class Point:
    """One design of a sweep.

    Parameters:
        settings: how it is built.
        input_format: what the input pins carry, as `rtl4ml.load` takes it; None: the codes of the first quantizer.
    """

    settings: Settings
    input_format: str | None = None

    def describe(self) -> dict[str, Any]:
        """The point as plain types: settings by name, and the input format."""
        return {**asdict(self.settings), "input_format": self.input_format}

    def axes(self) -> dict[str, str]:
        """The point's place on each axis, in words; ways to fold are one axis, `folding`."""
        chosen = self.settings
        return {
            "folding": _folding_words(chosen),
            "clock_mhz": f"{chosen.clock_mhz:g}",
            "input_format": self.input_format or CODES,
            "interface": next(name for name, value in INTERFACES.items() if value == chosen.backpressure),
            "lanes": AUTO if chosen.lanes is None else str(chosen.lanes),
            "output_lanes": AUTO if chosen.output_lanes is None else str(chosen.output_lanes),
            "weights": chosen.weights,
        }


def _folding_words(settings: Settings) -> str:
    goal = next((name for name in GOALS if getattr(settings, name) is not None), None)
    layers = [f"{name}={reuse}" for name, reuse in settings.layer_reuse.items()]
    first = f"reuse {settings.reuse}" if goal is None else f"{goal} {getattr(settings, goal):g}"
    return ", ".join([first, *layers])


def grid(axes: Mapping[str, Any], base: Settings | None = None) -> list[Point]:
    """Every combination of the values on the axes, each once, the last axis fastest.

    Args:
        axes: by name, from `AXES`, a value or a list of values; `points`: a list of tables of single values.
        base: what holds for every point; the default settings if there is none.

    Raises:
        ConfigurationError: an unknown axis, an axis without values, or a value without a meaning.
    """
    base = base or Settings()
    singles = axes.get("points", [])
    if not isinstance(singles, Sequence) or not all(isinstance(single, Mapping) for single in singles):
        raise ConfigurationError(f"points of a sweep must be a list of tables, not {singles!r}")
    named = {name: _values(name, value) for name, value in axes.items() if name != "points"}
    # A file with single points alone has no grid.
    found = list(_combinations(named, base)) if named or not singles else []
    for single in singles:
        values = {name: _values(name, value) for name, value in single.items()}
        if any(len(value) > 1 for value in values.values()):
            raise ConfigurationError(f"A single point of a sweep must have one value an axis, not {dict(single)!r}")
        found += _combinations(values, base)
    return list(_once(found))


def _values(name: str, value: Any) -> list[Any]:
    if name not in AXES:
        raise ConfigurationError(f"Axis of a sweep must be one of {', '.join(AXES)} or points, not {name!r}")
    values = list(value) if isinstance(value, list | tuple) else [value]
    if not values:
        raise ConfigurationError(f"Axis {name!r} of a sweep must have at least one value, not none")
    return values


def _combinations(axes: Mapping[str, list[Any]], base: Settings) -> Iterator[Point]:
    folds = [(name, value) for name in FOLDING_AXES for value in axes.get(name, [])]
    others = [name for name in AXES if name in axes and name not in FOLDING_AXES]
    alternatives: list[tuple[str, Any] | None] = [*folds] if folds else [None]
    for fold in alternatives:
        for values in itertools.product(*(axes[name] for name in others)):
            chosen = dict(zip(others, values, strict=True))
            if fold is not None:
                chosen[fold[0]] = fold[1]
            yield _point(chosen, base)


def _point(values: dict[str, Any], base: Settings) -> Point:
    input_format = values.pop("input_format", None)
    if input_format is not None and not isinstance(input_format, str):
        raise ConfigurationError(f"Input format must be a text such as 'fixed<16,6>', not {input_format!r}")
    if input_format == CODES:
        input_format = None
    if input_format is not None:
        InputFormat.parse(input_format)  # a slip shall be found before anything runs
    interface = values.pop("interface", None)
    if interface is not None:
        if interface not in INTERFACES:
            raise ConfigurationError(f"Interface must be {' or '.join(INTERFACES)}, not {interface!r}")
        values["backpressure"] = INTERFACES[interface]
    for name in ("clock_mhz", "fps"):
        if type(values.get(name)) is int:  # 200 is the same point as 200.0
            values[name] = float(values[name])
    for name in ("lanes", "output_lanes"):
        if values.get(name) == AUTO:
            values[name] = None
    if not values.get("backpressure", base.backpressure):
        values.pop("lanes", None)
    return Point(from_mapping(values, base), input_format)


def _once(points: Iterable[Point]) -> Iterator[Point]:
    seen = set()
    for point in points:
        words = json.dumps(point.describe(), sort_keys=True)
        if words not in seen:
            seen.add(words)
            yield point


def read_grid(path: str | Path) -> dict[str, Any]:
    """Axes from a TOML (.toml) or YAML file.

    Raises:
        ConfigurationError: the file cannot be read or parsed, or is no table.
    """
    return dict(read_table(path, "Grid", "axes"))


def parse_values(texts: Sequence[str], name: str) -> list[Any]:
    """Values of an axis from the command line: commas between them, several options one after the other.

    Commas inside `<...>` belong to an input format. A reuse with `=` in it is one value: reuses of layers.

    Raises:
        ConfigurationError: not a number where the axis has numbers.
    """
    found: list[Any] = []
    for text in texts:
        if name == "reuse" and "=" in text:
            found.append(text)
            continue
        found += [_value(part, name) for part in _split(text)]
    return found


def _split(text: str) -> list[str]:
    parts, depth = [""], 0
    for character in text:
        depth += (character == "<") - (character == ">")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _value(text: str, name: str) -> Any:
    if name in ("input_format", "interface", "weights") or (text == AUTO and name in ("lanes", "output_lanes")):
        return text
    kind = float if name in ("clock_mhz", "fps") else int
    try:
        return kind(text)
    except ValueError:
        expected = "a number" if kind is float else "an integer"
        raise ConfigurationError(f"{name} must be {expected}, several separated by commas, not {text!r}") from None
