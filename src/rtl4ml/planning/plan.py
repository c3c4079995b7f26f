"""A graph and the user's settings become stages, their forms and the exact schedule, before any hardware exists."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rtl4ml.cmvm.estimate import building_seconds
from rtl4ml.cmvm.estimate import seconds as solving_seconds
from rtl4ml.datapath.pipeline import period_for
from rtl4ml.errors import ConfigurationError
from rtl4ml.formats import Codes
from rtl4ml.graph import Graph
from rtl4ml.operators import Conv, Dense, Requantize
from rtl4ml.passes.bipolar_bits import from_bits, pack_bipolar, packable, to_bits
from rtl4ml.planning.building import Builder, StagePlan
from rtl4ml.planning.fifo_depths import FifoDepth, find_depths
from rtl4ml.planning.folding import Fold, Folder, lanes_for
from rtl4ml.planning.forms import choose
from rtl4ml.planning.grouping import Group, group, is_feature_map
from rtl4ml.planning.network import Network, Placed
from rtl4ml.planning.schedule import summarise
from rtl4ml.planning.settings import GOALS, Settings
from rtl4ml.stages.base import edge_shape
from rtl4ml.stages.conv_tile import ConvTile
from rtl4ml.stages.lanes import LanesStage
from rtl4ml.stages.pool import PoolStage
from rtl4ml.stages.region import RegionStage

WHOLE = ("region", "digits")
"""Kinds of groups that take whole frames, and can do without back-pressure."""

PATIENCE_SECONDS = 120.0
"""Unrolling layers that would take longer needs the user's word."""


@dataclass(frozen=True)
class Plan:
    """Stages in order and what they come to.

    Parameters:
        settings: what was asked for.
        stages: in the order of the data.
        latency: cycles from the edge that accepts the first input beat to the one that hands over the last output beat.
        interval: cycles between the last output beats of consecutive frames.
        network: the stages and the streams between them.
        fifos: behind forks, and why they are as deep as they are.
        graph: what the stages compute: as the user's, but with bits for bipolar tensors.
        packed: names of the tensors whose codes -1 and +1 are bits on the wires.
        input_lanes: elements of an input beat.
    """

    settings: Settings
    stages: tuple[StagePlan, ...]
    latency: int
    interval: int
    network: Network
    fifos: tuple[FifoDepth, ...]
    graph: Graph
    packed: frozenset[str]
    input_lanes: int

    def to_wires(self, tensor: str, codes: Codes) -> Codes:
        """Numbers on the wires for a tensor's codes."""
        return to_bits(codes) if tensor in self.packed else codes

    def from_wires(self, tensor: str, numbers: Codes) -> Codes:
        """A tensor's codes from the numbers on its wires."""
        return from_bits(numbers) if tensor in self.packed else numbers

    @property
    def logic_products(self) -> int:
        """Products of time-multiplexed layers that are made without a multiplier."""
        return sum(s.stage.logic_products for s in self.stages)

    @property
    def multipliers(self) -> int:
        """Multipliers in the hardware."""
        return sum(s.stage.multipliers for s in self.stages)

    @property
    def memory_bits(self) -> int:
        """Bits of weights, buffers, parameters and FIFOs inside the stages."""
        return sum(sum(s.stage.memory_bits.values()) for s in self.stages)

    @property
    def efficiency(self) -> float | None:
        """Multiplications of the time-multiplexed layers / (interval x products of their tiles); None without any."""
        tiles = [(s.multiplications, s.products) for s in self.stages if s.tile is not None and not s.digits]
        folded, products = (sum(numbers) for numbers in zip(*tiles, strict=True)) if tiles else (0, 0)
        return folded / (self.interval * products) if products else None

    def describe(self) -> dict[str, Any]:
        """The plan as plain types."""
        settings = self.settings
        return {
            "reuse": settings.reuse,
            "goal": {name: value for name in GOALS if (value := getattr(settings, name)) is not None},
            "layer_reuse": dict(settings.layer_reuse),
            "style": settings.style,
            "layer_style": dict(settings.layer_style),
            "lanes": settings.lanes,
            "output_lanes": settings.output_lanes,
            "clock_mhz": settings.clock_mhz,
            "target": settings.target,
            "backpressure": settings.backpressure,
            "weights": settings.weights,
            "latency_cycles": self.latency,
            "interval_cycles": self.interval,
            "multipliers": self.multipliers,
            "lut_products": self.logic_products,
            "efficiency": self.efficiency,
            "memory_bits": self.memory_bits,
            "stages": [self._describe(index) for index in range(len(self.stages))],
            "fifos": [
                {
                    "tensor": fifo.branch.tensor,
                    "to": "output" if fifo.branch.stage is None else self.stages[fifo.branch.stage].stage.name,
                    "beats": fifo.depth,
                    "beats_to_run": fifo.live,
                    "beats_for_the_interval": fifo.full_rate,
                }
                for fifo in self.fifos
            ],
        }

    def _describe(self, index: int) -> dict[str, Any]:
        placed = self.network.stages[index]
        return self.stages[index].describe() | {"inputs": list(placed.inputs), "output": placed.output}

    def folding(self) -> dict[str, Any]:
        """What was decided, as settings that give this plan again: to be edited and given back."""
        nodes: dict[str, dict[str, Any]] = {}
        for planned in self.stages:
            stage = planned.stage
            if not stage.operators:
                continue
            tile = planned.describe_tile()
            if planned.digits:
                nodes |= {name: {"digit": digit} for name, digit in planned.digits.items()}
            elif tile is not None:
                nodes[stage.operators[0]] = tile
            elif isinstance(stage, PoolStage):
                nodes[stage.operators[0]] = {"lanes": stage.lanes_out, "taps": list(stage.taps)}
            elif not isinstance(stage, RegionStage):
                nodes[stage.operators[0]] = {"lanes": stage.lanes_out}
        return {"clock_mhz": self.settings.clock_mhz, "lanes": self.input_lanes, "folding": nodes} | (
            {name: value for name in ("output_lanes", "target") if (value := getattr(self.settings, name)) is not None}
        )


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
        ConfigurationError: settings that do not fit the graph, a goal that cannot be met, or unrolling that would take
            minutes without `force`.
    """
    settings.check(graph)
    if not graph.operators:
        raise ConfigurationError(
            f"Graph {graph.name!r} must have at least one operator behind its input quantizer, not none: there is "
            "nothing to build"
        )
    packed = packable(graph)
    planner = _Planner(pack_bipolar(graph), settings, packed, force, progress)
    if settings.latency is not None:
        return planner.within_latency(settings.latency)
    if settings.multipliers is not None:
        return planner.within_multipliers(settings.multipliers)
    found = planner.at(None)
    _check_interval(found)
    return found


def _check_interval(found: Plan) -> None:
    """Check that a plan keeps the interval asked for, unless the user folded layers otherwise.

    Raises:
        ConfigurationError: it does not, and which stage takes longest.
    """
    settings = found.settings
    if settings.cycles is None or found.interval <= settings.cycles or settings.layer_reuse or settings.folding:
        return
    slowest = max(found.stages, key=lambda planned: planned.interval).stage
    name = slowest.operators[0] if slowest.operators else slowest.name
    raise ConfigurationError(
        f"Interval must be at least the {found.interval} cycles of node {name!r}, not {settings.cycles}"
    )


class _Planner:
    """Makes plans of one graph for different intervals."""

    def __init__(
        self,
        graph: Graph,
        settings: Settings,
        packed: frozenset[str],
        force: bool,
        progress: Callable[[str], None] | None,
    ) -> None:
        self._graph, self._settings, self._packed, self._force = graph, settings, packed, force
        self._progress = progress or (lambda name: None)
        self._form = functools.cache(choose)
        forms = {
            node.name: self._form(node.staircase, multiplexed=True)
            for node in graph.operators
            if isinstance(node, Requantize)
        }
        self._folder = Folder(graph, settings, forms)

    def within_multipliers(self, most: int) -> Plan:
        """The shortest interval with at most so many multipliers in the hardware."""
        intervals = self._folder.intervals()
        found = self.at(interval := self._folder.within(most))
        # The estimate leaves out what only the hardware's own numbers tell; then the next intervals are tried.
        while found.multipliers > most:
            later = [n for n in intervals if n > interval and self._folder.spent(n) < self._folder.spent(interval)]
            if not later:
                raise ConfigurationError(f"multipliers must be at least {found.multipliers}, not {most}")
            found = self.at(interval := later[0])
        return found

    def within_latency(self, most: int) -> Plan:
        """The fewest multipliers with which a frame takes at most so many cycles."""
        intervals = self._folder.intervals()
        best: Plan | None = None
        low, high = -1, len(intervals)
        while high - low > 1:
            middle = (low + high) // 2
            found = self.at(intervals[middle])
            if found.latency <= most:
                best, low = found, middle
            else:
                high = middle
        if best is not None:
            return best
        unrolled = self.at(1)
        if unrolled.latency > most:
            raise ConfigurationError(
                f"latency must be at least the {unrolled.latency} cycles of the unrolled network, not {most}"
                + self._slower_clock(unrolled, most)
            )
        return unrolled

    def _slower_clock(self, unrolled: Plan, most: int) -> str:
        """What to say of the clock at which the unrolled network takes so many cycles; nothing if there is none."""
        clock = self._settings.clock
        regions = [planned.stage for planned in unrolled.stages if isinstance(planned.stage, RegionStage)]
        depth = sum(region.pipeline.depth for region in regions) - (unrolled.latency - most)
        if depth < 0:
            return ""
        mhz = 1000 / period_for([region.datapath for region in regions], depth, clock.delays)
        if mhz < 1:
            return ""
        return f"; {int(10 * mhz) / 10:g} MHz instead of {clock.mhz:g} MHz would allow it"

    def at(self, interval: int | None) -> Plan:
        """The plan for an interval; None: as the settings say."""
        graph, settings = self._graph, self._settings
        folds = self._folder.folds(interval)
        shared = {name for name, fold in folds.items() if fold.shared}
        digits = {name for name, fold in folds.items() if fold.digit}
        wanted = interval or settings.cycles or max((fold.cycles for fold in folds.values()), default=1)
        streams = (
            bool(shared) or wanted > 1 or settings.reuse > 1 or any("lanes" in f for f in settings.folding.values())
        )
        if wanted == 1 and streams:
            wanted = settings.reuse
        groups = group(graph, shared, wanted, streams=streams, digits=digits)
        if settings.weights == "writable":
            _check_writable(groups)
        if not self._force:
            _check_time(groups, folds, settings.clock.delays.ternary)
        return self._built(groups, Builder(graph, settings, folds, wanted, self._form), folds, wanted)

    def _built(self, groups: list[Group], builder: Builder, folds: dict[str, Fold], interval: int) -> Plan:
        graph, settings = self._graph, self._settings
        lanes = settings.lanes or _default_lanes(graph, groups, settings, folds, interval)
        if not settings.backpressure and lanes != graph.input_tensor.size:
            raise ConfigurationError(
                f"lanes of a free-running pipeline must be all {graph.input_tensor.size} elements of the input, not "
                f"{lanes}"
            )
        alone = len(groups) == 1 and groups[0].kind in WHOLE
        free = not settings.backpressure and alone and settings.output_lanes is None
        lanes_of = {graph.input: lanes}
        stages: list[StagePlan] = []
        placed: list[Placed] = []
        for found in groups:
            self._progress(found.nodes[0].name)
            sources, target = builder.sources(found), found.nodes[-1].output
            stages.append(builder.build(found, [lanes_of[name] for name in sources], handshake=not free))
            placed.append(Placed(stages[-1].stage, tuple(sources), target))
            lanes_of[target] = stages[-1].stage.lanes_out
        _address_loads(stages)
        output = graph.output
        if settings.output_lanes not in (None, lanes_of[output]):
            output = f"{graph.output} in beats of {settings.output_lanes}"
            stages.append(_output_stage(graph, settings.output_lanes, lanes_of[graph.output]))
            placed.append(Placed(stages[-1].stage, (graph.output,), output))
        network = Network(tuple(placed), graph.input, output)
        depths = find_depths(network, free_running=not settings.backpressure)
        network = network.with_fifos({found.branch: found.depth for found in depths})
        summary = summarise(network)
        return Plan(
            settings, tuple(stages), summary.latency, summary.interval, network, depths, graph, self._packed, lanes
        )


def _output_stage(graph: Graph, lanes: int | None, made: int) -> StagePlan:
    assert lanes is not None
    stage = LanesStage("output_lanes", edge_shape(graph, graph.output), graph.output_tensor.size, made, lanes)
    return StagePlan(stage, 1, None, {}, 0)


def _check_writable(groups: list[Group]) -> None:
    for found in groups:
        for node in found.nodes:
            if isinstance(node, Dense | Conv) and found.kind not in ("dense", "conv", "reduce"):
                raise ConfigurationError(
                    f"Layer {node.name!r} must have a reuse above 1 for writable weights: unrolled, its weights are "
                    "logic"
                )


def _address_loads(stages: list[StagePlan]) -> None:
    """Give every stage that weights are loaded into the width of the whole map."""
    loadable = [planned.stage for planned in stages if planned.stage.tables]
    bits = max((stage.address_bits for stage in loadable), default=0)
    for stage in loadable:
        stage.address_bits = bits


def _check_time(groups: list[Group], folds: dict[str, Fold], ternary: bool) -> None:
    estimates: list[tuple[float, Dense | Conv, int]] = []
    for found in groups:
        for node in found.nodes:
            if not isinstance(node, Dense | Conv) or found.kind == "reduce":
                continue
            fold = folds.get(node.name)
            tile = None if fold is None else fold.tile
            # Whole kernels and wider ones are adders; other tiles are multipliers.
            if tile is not None and not (isinstance(tile, ConvTile) and tile.products >= node.weights.size):
                continue
            copies = 1 if fold is None else max(1, fold.pixels)
            if isinstance(node, Conv) and tile is None:
                copies = node.window.pixels_out
            matrix = node.weights.reshape(-1, node.weights.shape[-1])
            # The same kernel is solved once, and built as often as it stands side by side.
            estimate = solving_seconds(matrix, ternary) + building_seconds(matrix) * copies
            estimates.append((estimate, node, node.multiplications // matrix.size if tile is not None else 1))
    total = sum(estimate for estimate, _, _ in estimates)
    if total > PATIENCE_SECONDS:
        _, node, reuse = max(estimates, key=lambda found: found[0])
        raise ConfigurationError(
            f"Layer {node.name!r} has {node.multiplications} multiplications: unrolling it (reuse {reuse}) "
            f"takes about {total / 60:.0f} minutes{' together with the others' if len(estimates) > 1 else ''} and "
            "makes a large design; give it more reuse, or --force (force=True)"
        )


def _default_lanes(graph: Graph, groups: list[Group], settings: Settings, folds: dict[str, Fold], interval: int) -> int:
    """All elements where the first layers are unrolled or nothing may wait; else what keeps the slowest layer busy."""
    tensor = graph.input_tensor
    first = [found for found in groups if any(graph.input in node.inputs for node in found.nodes)]
    if all(found.kind in WHOLE for found in first) or not settings.backpressure:
        return tensor.size
    if is_feature_map(tensor):
        return lanes_for(tensor.size, tensor.channels, interval)
    return -(-tensor.size // max((fold.cycles for fold in folds.values() if fold.shared), default=1))
