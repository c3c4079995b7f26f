"""A graph and the user's settings become stages, their forms and the exact schedule, before any hardware exists."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rtl4ml.cmvm.estimate import seconds as solving_seconds
from rtl4ml.errors import ConfigurationError
from rtl4ml.graph import Graph, Operator
from rtl4ml.operators import Dense, Requantize
from rtl4ml.planning.forms import choose
from rtl4ml.planning.schedule import summarise
from rtl4ml.planning.settings import Settings
from rtl4ml.stages.base import Stage
from rtl4ml.stages.dense import DenseStage
from rtl4ml.stages.region import RegionStage
from rtl4ml.stages.requantize import RequantizeStage
from rtl4ml.stages.tile import choose_tile
from rtl4ml.staircase import AffineForm, ConstantForm, Form, ShiftForm, ThresholdForm

PATIENCE_SECONDS = 120.0
"""Unrolling layers that would take longer needs the user's word."""


@dataclass(frozen=True)
class StagePlan:
    """A stage and why it is as it is.

    Parameters:
        stage: the hardware to be.
        reuse: reuse factor asked for.
        tile: (P, S) of a time-multiplexed layer, or None.
        forms: of the staircases inside, by node name.
        multiplications: products an inference takes in it.
    """

    stage: Stage
    reuse: int
    tile: tuple[int, int] | None
    forms: dict[str, Form]
    multiplications: int

    @property
    def interval(self) -> int:
        """Cycles a frame takes in this stage alone."""
        timing = self.stage.timing
        return max(timing.issues, timing.beats_in, timing.beats_out)

    def describe(self) -> dict[str, Any]:
        """The stage as plain types."""
        stage = self.stage
        return {
            "name": stage.name,
            "operators": list(stage.operators),
            "kind": type(stage).__name__.removesuffix("Stage").lower(),
            "reuse": self.reuse,
            "tile": None if self.tile is None else {"outputs": self.tile[0], "inputs": self.tile[1]},
            "multipliers": stage.multipliers,
            "multiplications": self.multiplications,
            "interval_cycles": self.interval,
            "pipeline_cycles": stage.timing.depth,
            "fifo_beats": stage.timing.slots,
            "lanes_in": stage.lanes_in,
            "lanes_out": stage.lanes_out,
            "staircases": {name: describe_form(form) for name, form in self.forms.items()},
        }


@dataclass(frozen=True)
class Plan:
    """Stages in order and what they come to.

    Parameters:
        settings: what was asked for.
        stages: in the order of the data.
        latency: cycles from the edge that accepts the first input beat to the one that hands over the last output beat.
        interval: cycles between the last output beats of consecutive frames.
    """

    settings: Settings
    stages: tuple[StagePlan, ...]
    latency: int
    interval: int

    @property
    def multipliers(self) -> int:
        """Multipliers in the hardware."""
        return sum(s.stage.multipliers for s in self.stages)

    @property
    def efficiency(self) -> float | None:
        """Multiplications of the time-multiplexed layers / (interval x multipliers); None without multipliers."""
        folded = sum(s.multiplications for s in self.stages if s.tile is not None)
        return folded / (self.interval * self.multipliers) if self.multipliers else None

    def describe(self) -> dict[str, Any]:
        """The plan as plain types."""
        settings = self.settings
        return {
            "reuse": settings.reuse,
            "layer_reuse": dict(settings.layer_reuse),
            "lanes": settings.lanes,
            "clock_mhz": settings.clock_mhz,
            "backpressure": settings.backpressure,
            "latency_cycles": self.latency,
            "interval_cycles": self.interval,
            "multipliers": self.multipliers,
            "efficiency": self.efficiency,
            "stages": [stage.describe() for stage in self.stages],
        }


def describe_form(form: Form) -> str:
    """A form in a few words."""
    match form:
        case ConstantForm():
            return "constant"
        case ShiftForm():
            return f"shift by {form.shift}, {form.rounding.value}"
        case AffineForm():
            listed = sum(map(len, form.exceptions))
            bits = max(int(abs(m)).bit_length() for m in form.multiplier)
            return f"multiply by {bits} bits, add, shift by {form.shift}" + (f", {listed} exceptions" if listed else "")
        case ThresholdForm():
            return f"{form.levels} thresholds"
    return type(form).__name__


def plan(
    graph: Graph, settings: Settings, *, force: bool = False, progress: Callable[[str], None] | None = None
) -> Plan:
    """Fold, choose forms, schedule.

    Args:
        graph: the network.
        settings: what the user asked for.
        force: unroll layers even when the adder graphs take minutes.
        progress: called with the name of each stage before it is planned.

    Raises:
        ConfigurationError: settings that do not fit the graph, or unrolling that would take minutes without `force`.
    """
    settings.check(graph)
    if not graph.operators:
        raise ConfigurationError(
            f"Graph {graph.name!r} must have at least one operator behind its input quantizer, not none: there is "
            "nothing to build"
        )
    groups = _group(graph, settings)
    if not force:
        _check_time(graph, groups, settings)
    lanes = settings.lanes or _default_lanes(graph, groups, settings)
    if not settings.backpressure and lanes != graph.input_tensor.size:
        raise ConfigurationError(
            f"lanes of a free-running pipeline must be all {graph.input_tensor.size} elements of the input, not {lanes}"
        )
    free = not settings.backpressure and len(groups) == 1 and groups[0][0] == "region"
    stages: list[StagePlan] = []
    for kind, nodes in groups:
        if progress is not None:
            progress(nodes[0].name)
        stages.append(_stage(graph, settings, kind, nodes, lanes, handshake=not free))
        lanes = stages[-1].stage.lanes_out
    summary = summarise([s.stage for s in stages])
    return Plan(settings, tuple(stages), summary.latency, summary.interval)


def _group(graph: Graph, settings: Settings) -> list[tuple[str, list[Operator]]]:
    """Nodes by stage: unrolled neighbours together, a multiplexed layer with its staircase, other staircases alone."""
    groups: list[tuple[str, list[Operator]]] = []
    unrolled_next = all(settings.reuse_of(o) == 1 for o in graph.operators if isinstance(o, Dense))
    for operator in graph.operators:
        last = groups[-1] if groups else None
        if isinstance(operator, Dense):
            if settings.reuse_of(operator) > 1 or _asked_to_multiply(operator, settings):
                groups.append(("dense", [operator]))
            elif last is not None and last[0] == "region":
                last[1].append(operator)
            else:
                groups.append(("region", [operator]))
        elif last is not None and (last[0] == "region" or (last[0] == "dense" and len(last[1]) == 1)):
            last[1].append(operator)
        else:
            groups.append(("region" if unrolled_next and last is None else "requantize", [operator]))
    return groups


def _asked_to_multiply(operator: Dense, settings: Settings) -> bool:
    """A layer with one multiplication has reuse 1 whatever the network's; it gets a multiplier when that was over 1."""
    return operator.name not in settings.layer_reuse and settings.reuse > 1 and operator.multiplications == 1


def _check_time(graph: Graph, groups: list[tuple[str, list[Operator]]], settings: Settings) -> None:
    for kind, nodes in groups:
        for node in nodes:
            if kind == "region" and isinstance(node, Dense):
                estimate = solving_seconds(node.weights)
                if estimate > PATIENCE_SECONDS:
                    raise ConfigurationError(
                        f"Layer {node.name!r} has {node.multiplications} multiplications: unrolling it (reuse 1) takes "
                        f"about {estimate / 60:.0f} minutes and makes a large design; give it more reuse, or --force "
                        "(force=True)"
                    )


def _default_lanes(graph: Graph, groups: list[tuple[str, list[Operator]]], settings: Settings) -> int:
    """All elements where the first layer is unrolled or nothing may wait; else what keeps the slowest layer busy."""
    size = graph.input_tensor.size
    if groups[0][0] == "region" or not settings.backpressure:
        return size
    passes = 1
    for kind, nodes in groups:
        if kind == "dense" and isinstance(nodes[0], Dense):
            n_in, n_out = nodes[0].weights.shape
            p, s = choose_tile(n_in, n_out, settings.reuse_of(nodes[0]))
            passes = max(passes, -(-n_out // p) * -(-n_in // s))
    return -(-size // passes)


def _stage(
    graph: Graph, settings: Settings, kind: str, nodes: list[Operator], lanes: int, *, handshake: bool
) -> StagePlan:
    multiplexed = kind != "region"
    forms = {
        node.name: choose(node.staircase, multiplexed=multiplexed) for node in nodes if isinstance(node, Requantize)
    }
    multiplications = sum(node.multiplications for node in nodes)
    if kind == "region":
        stage: Stage = RegionStage(
            graph, [node.name for node in nodes], settings.clock_mhz, forms, handshake, lanes_in=lanes
        )
        return StagePlan(stage, 1, None, forms, multiplications)
    if kind == "requantize":
        stage = RequantizeStage(graph, nodes[0].name, lanes, settings.clock_mhz, forms[nodes[0].name])
        return StagePlan(stage, 1, None, forms, multiplications)
    dense = nodes[0]
    assert isinstance(dense, Dense)
    reuse = settings.reuse_of(dense)
    tile = choose_tile(*dense.weights.shape, reuse)
    follower = nodes[1].name if len(nodes) > 1 else None
    form = forms[follower] if follower is not None else None
    stage = DenseStage(graph, dense.name, follower, tile, lanes, settings.clock_mhz, form)
    return StagePlan(stage, reuse, tile, forms, multiplications)
