"""What the user asked for: folding, lanes, clock, handshake; from Python, the command line, or a TOML or YAML file."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from rtl4ml.datapath.delays import Clock, delays_of
from rtl4ml.errors import ConfigurationError
from rtl4ml.graph import Graph
from rtl4ml.operators import Conv, Dense, Pool
from rtl4ml.planning.parts import PARTS, find_part

Linear = Conv | Dense

STYLES = ("multipliers", "sparse", "digits", "auto")
"""What a layer that takes several cycles a frame can be made of."""

LAYER_KINDS = (Conv.kind.lower(), Dense.kind.lower())
"""Kinds of layers that a reuse can be given for."""


WEIGHTS = ("fixed", "writable")
"""What weights can be."""

AUTO = "auto"
"""A reuse that planning finds: the smallest with which the network fits its target."""

GOALS = ("interval", "fps", "latency", "multipliers")
"""What planning can be asked to meet, instead of a reuse."""

FOLDS = (
    "outputs",
    "inputs",
    "channels",
    "taps",
    "groups",
    "finish",
    "lanes",
    "pixels",
    "digit",
    "skip",
    "copies",
    "sharing",
)
"""What a folding can say of a node."""

FOLDS_OF_KIND = {
    Dense: ("outputs", "inputs", "skip", "copies", "sharing", "digit", "lanes"),
    Conv: ("outputs", "channels", "taps", "groups", "finish", "pixels", "skip", "copies", "sharing", "digit", "lanes"),
    Pool: ("lanes", "taps"),
}
"""What it can say of a node of these kinds; of any other kind, lanes."""

TILE_EXAMPLE = "{outputs: 4, inputs: 16}"
"""A folding of a node, for errors."""


@dataclass(frozen=True)
class Settings:
    """How a graph shall be built.

    Parameters:
        reuse: reuse factor of the network: cycles a frame may take in a layer; a layer with fewer multiplications gets
            one multiplier.
        layer_reuse: by layer name or kind of layer ("dense", "conv"), instead of `reuse`. A layer's own entry wins over
            that of its kind; more than the layer's multiplications is an error there, while that of a kind goes as far
            as the layer has any.
        style: what layers with a reuse above 1 are made of: "multipliers", a tile of them that goes through the matrix;
            "sparse", the same, but a multiplier reads only elements that its weights are not 0 for;
            "digits", hard-wired adders that take some bits of every activation a cycle, in as many cycles as the
            activations have bits at the most; or "auto", the cheapest on the target.
        layer_style: by layer name or kind of layer, instead of `style`; a layer's own entry wins over that of its kind.
        lanes: elements of an input beat; None: all of them when the first layer is unrolled or the pipeline runs
            free, else the fewest that keep the interval.
        clock_mhz: the clock that registers are placed for.
        backpressure: True: valid and ready everywhere; False: the free-running pipeline of triggers.
        output_lanes: elements of an output beat; None: as many as the last stage makes at a time.
        weights: "fixed", or "writable": they lie in RAM, and a port loads others at run time.
        interval: cycles from frame to frame that every layer shall keep with the fewest multipliers.
        fps: frames a second instead, at `clock_mhz`.
        latency: cycles that a frame shall take at most, with the fewest multipliers.
        multipliers: at most so many, for the shortest interval. At most one of these four goals, and none with a reuse
            of the network; reuses of single layers and foldings hold beside them.
        folding: tiles and lanes of nodes by name, as a plan writes them.
        target: family or part whose timing model says where registers stand: "ecp5", "ice40", "xc7", "xcup",
            "ecp5-25f", ...; None: no device in particular.
        fit: part that the network shall fit with the shortest interval, found by estimates
            (:mod:`rtl4ml.planning.fit`); instead of a goal or a reuse of the network. Its timing model is taken.
    """

    reuse: int = 1
    layer_reuse: Mapping[str, int] = field(default_factory=dict)
    lanes: int | None = None
    clock_mhz: float = 200.0
    backpressure: bool = True
    output_lanes: int | None = None
    weights: str = "fixed"
    interval: int | None = None
    fps: float | None = None
    latency: int | None = None
    multipliers: int | None = None
    folding: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    target: str | None = None
    style: str = "multipliers"
    layer_style: Mapping[str, str] = field(default_factory=dict)
    fit: str | None = None

    def __post_init__(self) -> None:
        """Check each value by itself.

        Raises:
            ConfigurationError: naming the setting.
        """
        for name, value in (
            ("reuse", self.reuse),
            *((f"reuse of layer {k!r}", v) for k, v in self.layer_reuse.items()),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigurationError(f"{name} must be an integer of at least 1, not {value!r}")
        for name in ("lanes", "output_lanes", "interval", "latency", "multipliers"):
            number = getattr(self, name)
            if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
                raise ConfigurationError(f"{name} must be an integer of at least 1, not {number!r}")
        self._check_goals()
        self._check_folding()
        if (
            isinstance(self.clock_mhz, bool)
            or not isinstance(self.clock_mhz, int | float)
            or not 1 <= self.clock_mhz <= 2000
        ):
            raise ConfigurationError(f"clock_mhz must be a number from 1 to 2000, not {self.clock_mhz!r}")
        if self.target is not None and not isinstance(self.target, str):
            raise ConfigurationError(f"target must be the name of a device, not {self.target!r}")
        delays_of(self.timing_target)
        self._check_fit()
        if not isinstance(self.backpressure, bool):
            raise ConfigurationError(f"backpressure must be true or false, not {self.backpressure!r}")
        if self.weights not in WEIGHTS:
            raise ConfigurationError(f"weights must be {' or '.join(WEIGHTS)}, not {self.weights!r}")
        for name, style in (
            ("style", self.style),
            *((f"style of layer {k!r}", v) for k, v in self.layer_style.items()),
        ):
            if style not in STYLES:
                raise ConfigurationError(f"{name} must be one of {', '.join(STYLES)}, not {style!r}")

    def _check_goals(self) -> None:
        if self.fps is not None and (
            isinstance(self.fps, bool) or not isinstance(self.fps, int | float) or not 0 < self.fps <= 2e9
        ):
            raise ConfigurationError(f"fps must be a positive number, not {self.fps!r}")
        goals = [name for name in GOALS if getattr(self, name) is not None]
        if len(goals) > 1:
            raise ConfigurationError(
                f"Goal of the folding must be one of {', '.join(GOALS)}, not {' and '.join(goals)}"
            )
        if goals and self.reuse != 1:
            raise ConfigurationError(
                f"{goals[0]} must stand without a reuse of the network, not with reuse {self.reuse}"
            )

    def _check_fit(self) -> None:
        if self.fit is None:
            return
        part = find_part(self.fit)
        if self.has_goal or self.reuse != 1:
            other = next((name for name in GOALS if getattr(self, name) is not None), f"reuse {self.reuse}")
            raise ConfigurationError(
                f"fit must stand without a goal and without a reuse of the network, not with {other}"
            )
        if self.target not in (None, part.target, part.name):
            raise ConfigurationError(f"target beside fit {self.fit} must be {part.name}, not {self.target}")

    def _check_folding(self) -> None:
        if not isinstance(self.folding, Mapping):
            raise ConfigurationError(
                f"folding must be a table of nodes, such as {{fc1: {TILE_EXAMPLE}}}, not {self.folding!r}"
            )
        for name, fold in self.folding.items():
            where = f"Folding of node {name!r}"
            if not isinstance(fold, Mapping):
                raise ConfigurationError(f"{where} must be a table, such as {TILE_EXAMPLE}, not {fold!r}")
            for key, value in fold.items():
                if key == "reuse":
                    raise ConfigurationError(
                        f"{where} must be a tile, such as {TILE_EXAMPLE}, not a reuse: one of a single layer stands "
                        f"outside folding, as reuse: {{{name}: {value}}}"
                    )
                if key not in FOLDS:
                    raise ConfigurationError(f"{where} must say one of {', '.join(FOLDS)}, not {key!r}")
                if key == "taps" and not (isinstance(value, list | tuple) and len(value) == 2):
                    raise ConfigurationError(
                        f"taps of node {name!r} must be two numbers, rows and columns, such as [3, 3], not {value!r}"
                    )
                numbers = value if key == "taps" and isinstance(value, list | tuple) else [value]
                if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in numbers):
                    raise ConfigurationError(f"{key} of node {name!r} must be integers of at least 1, not {value!r}")

    @property
    def cycles(self) -> int | None:
        """Interval asked for, by itself or as frames a second."""
        return self.interval if self.fps is None else max(1, int(self.clock_mhz * 1e6 / self.fps))

    @property
    def clock(self) -> Clock:
        """What registers are placed for."""
        return Clock(self.clock_mhz, delays_of(self.timing_target))

    @property
    def timing_target(self) -> str | None:
        """What timing model and synthesis know the target as: parts of AMD by their families."""
        return PARTS[self.target].target if self.target is not None and self.target in PARTS else self.target

    @property
    def has_goal(self) -> bool:
        """Whether planning shall find the reuse."""
        return any(getattr(self, name) is not None for name in GOALS)

    def reuse_of(self, layer: Linear) -> int:
        """Reuse of a layer: its own, or else its kind's or the network's as far as it has multiplications."""
        return self.layer_reuse.get(layer.name, min(self.common_reuse(layer), layer.multiplications))

    def common_reuse(self, layer: Linear) -> int:
        """Reuse of the layer's kind, or else the network's."""
        return self.layer_reuse.get(kind_of(layer), self.reuse)

    def style_of(self, layer: Linear) -> str:
        """Style of a layer: its own, its kind's, or the network's."""
        return self.layer_style.get(layer.name, self.layer_style.get(kind_of(layer), self.style))

    def check(self, graph: Graph) -> None:
        """Check the settings against a graph.

        Raises:
            ConfigurationError: an unknown layer, more reuse than multiplications, more lanes than elements, or weights
                that are adders and shall be writable.
        """
        layers = {o.name: o for o in graph.operators if isinstance(o, Linear)}
        for name, reuse in self.layer_reuse.items():
            if name not in layers:
                if name in LAYER_KINDS:
                    continue
                raise ConfigurationError(
                    f"Layer of a reuse must be one of {', '.join(map(repr, layers))}, or a kind of layer "
                    f"({', '.join(map(repr, LAYER_KINDS))}), not {name!r}"
                )
            if reuse > layers[name].multiplications:
                raise ConfigurationError(
                    f"reuse of layer {name!r} must be at most its {layers[name].multiplications} multiplications, "
                    f"not {reuse}"
                )
        for name in self.layer_style:
            if name not in layers and name not in LAYER_KINDS:
                raise ConfigurationError(
                    f"Layer of a style must be one of {', '.join(map(repr, layers))}, or a kind of layer "
                    f"({', '.join(map(repr, LAYER_KINDS))}), not {name!r}"
                )
        for layer in layers.values():
            if self.weights == "writable" and (style := self.style_of(layer)) in ("sparse", "digits"):
                raise ConfigurationError(
                    f"style of layer {layer.name!r} must be multipliers for writable weights, not {style}: what is "
                    "built depends on the weights"
                )
        self._check_nodes(graph)
        if self.lanes is not None and self.lanes > graph.input_tensor.size:
            raise ConfigurationError(
                f"lanes must be at most the {graph.input_tensor.size} elements of the input, not {self.lanes}"
            )
        if self.output_lanes is not None and self.output_lanes > graph.output_tensor.size:
            raise ConfigurationError(
                f"output_lanes must be at most the {graph.output_tensor.size} elements of the output, not "
                f"{self.output_lanes}"
            )

    def _check_nodes(self, graph: Graph) -> None:
        """See that every folding is of a node, and says only what there is of its kind."""
        kinds = {o.name: type(o) for o in graph.operators}
        for name, fold in self.folding.items():
            if name not in kinds:
                raise ConfigurationError(
                    f"Node of a folding must be one of the graph's ({', '.join(map(repr, kinds))}), not {name!r}"
                )
            known = FOLDS_OF_KIND.get(kinds[name], ("lanes",))
            if other := next((key for key in fold if key not in known), None):
                raise ConfigurationError(
                    f"Folding of node {name!r} ({kinds[name].kind}) must say {', '.join(known)}, not {other}"
                )


def kind_of(layer: Linear) -> str:
    """Name of a layer's kind, as a reuse may say it."""
    return layer.kind.lower()


def parse_reuse(text: str) -> tuple[int | None, dict[str, int]]:
    """`8`, `fc1=4`, `dense=16`, or several with commas: the network's reuse, if given, and those of layers and kinds.

    The network's may be written `default=8` too.

    Raises:
        ConfigurationError: something else.
    """
    network: int | None = None
    layers: dict[str, int] = {}
    for part in text.split(","):
        name, _, number = part.strip().rpartition("=")
        try:
            value = int(number)
        except ValueError:
            raise ConfigurationError(
                f"reuse must be an integer or LAYER=integer, several separated by commas, not {text!r}"
            ) from None
        if name and name.strip() != "default":
            layers[name.strip()] = value
        else:
            network = value
    return network, layers


def parse_style(text: str) -> tuple[str | None, dict[str, str]]:
    """`digits`, `fc1=auto`, `conv=digits`, or several with commas: the network's style, if given, those of layers.

    The network's may be written `default=digits` too.
    """
    network: str | None = None
    layers: dict[str, str] = {}
    for part in text.split(","):
        name, _, style = part.strip().rpartition("=")
        if name and name.strip() != "default":
            layers[name.strip()] = style.strip()
        else:
            network = style.strip()
    return network, layers


def from_mapping(values: Mapping[str, Any], base: Settings | None = None) -> Settings:
    """Settings from a file's or a caller's words; `reuse` and `style` may be tables of layers with an entry `default`.

    Raises:
        ConfigurationError: an unknown word or a value without a meaning.
    """
    values = dict(values)
    known = set(Settings.__dataclass_fields__) - {"layer_reuse", "layer_style"}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigurationError(f"Setting must be one of {', '.join(sorted(known))}, not {unknown[0]!r}")
    reuse = values.get("reuse")
    if isinstance(reuse, str) and reuse.strip() == AUTO:
        values.pop("reuse")
        values.setdefault("fit", _part_of(values, base))
    elif isinstance(reuse, str):
        network, layers = parse_reuse(reuse)
        values["layer_reuse"] = layers
        values.pop("reuse")
        if network is not None:
            values["reuse"] = network
    elif isinstance(reuse, Mapping):
        layers = {str(k): v for k, v in reuse.items() if k != "default"}
        values["layer_reuse"] = layers
        values.pop("reuse")
        if "default" in reuse:
            values["reuse"] = reuse["default"]
    style = values.get("style")
    if isinstance(style, str | Mapping):
        network_style, layer_styles = parse_style(style) if isinstance(style, str) else _table_of(style)
        values["layer_style"] = layer_styles
        values.pop("style")
        if network_style is not None:
            values["style"] = network_style
    return replace(base or Settings(), **values)


def _part_of(values: Mapping[str, Any], base: Settings | None) -> str:
    """The part that `reuse="auto"` folds for: the target.

    Raises:
        ConfigurationError: there is no target, or it is a family without a size.
    """
    target = values.get("fit") or values.get("target") or (None if base is None else base.fit or base.target)
    if target not in PARTS:
        raise ConfigurationError(
            f"target of reuse auto must be the part to be fitted to, one of {', '.join(PARTS)}, not {target!r}"
        )
    return str(target)


def _table_of(values: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The entry `default`, None without one, and the others."""
    return values.get("default"), {str(k): v for k, v in values.items() if k != "default"}


def from_file(path: str | Path) -> Settings:
    """Settings from a TOML or YAML file.

    Raises:
        ConfigurationError: the file cannot be read or parsed, or holds an unknown setting.
    """
    return from_mapping(read_table(path, "Configuration", "settings"))


def read_table(path: str | Path, what: str, entries: str) -> Mapping[str, Any]:
    """The table in a TOML (.toml) or YAML file.

    Args:
        path: of the file.
        what: the file is, for errors.
        entries: what the table holds, likewise.

    Raises:
        ConfigurationError: the file cannot be read or parsed, or is no table.
    """
    path = Path(path)
    name = f"{what} {str(path)!r}"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{name} must be a readable text file: {error}") from error
    try:
        values = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{name} must be TOML (.toml) or YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"{name} must be a table of {entries}, not {type(values).__name__}")
    return values
