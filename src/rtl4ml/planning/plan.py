"""A graph and the user's settings become stages, their forms and the exact schedule, before any hardware exists."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtl4ml.cmvm.estimate import seconds as solving_seconds
from rtl4ml.errors import ConfigurationError
from rtl4ml.formats import Codes
from rtl4ml.graph import Graph
from rtl4ml.operators import Dense, Requantize
from rtl4ml.passes.bipolar_bits import from_bits, pack_bipolar, packable, to_bits
from rtl4ml.planning.fifo_depths import FifoDepth, find_depths
from rtl4ml.planning.forms import choose
from rtl4ml.planning.grouping import Group, group
from rtl4ml.planning.network import Network, Placed
from rtl4ml.planning.schedule import summarise
from rtl4ml.planning.settings import Settings
from rtl4ml.stages.base import Stage, edge_shape
from rtl4ml.stages.dense import DenseStage
from rtl4ml.stages.elementwise import ElementwiseStage
from rtl4ml.stages.lanes import LanesStage
from rtl4ml.stages.region import RegionStage, region_border
from rtl4ml.stages.tile import choose_tile
from rtl4ml.staircase import AffineForm, ConstantForm, Form, ShiftForm, StepForm, TableForm, ThresholdForm

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

    @property
    def logic_products(self) -> int:
        """Products of the tile that are made of lookup tables and adders instead of a multiplier."""
        return self.stage.logic_products if isinstance(self.stage, DenseStage) else 0

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
            "lut_products": self.logic_products,
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
        network: the stages and the streams between them.
        fifos: behind forks, and why they are as deep as they are.
        graph: what the stages compute: as the user's, but with bits for bipolar tensors.
        packed: names of the tensors whose codes -1 and +1 are bits on the wires.
    """

    settings: Settings
    stages: tuple[StagePlan, ...]
    latency: int
    interval: int
    network: Network
    fifos: tuple[FifoDepth, ...]
    graph: Graph
    packed: frozenset[str]

    def to_wires(self, tensor: str, codes: Codes) -> Codes:
        """Numbers on the wires for a tensor's codes."""
        return to_bits(codes) if tensor in self.packed else codes

    def from_wires(self, tensor: str, numbers: Codes) -> Codes:
        """A tensor's codes from the numbers on its wires."""
        return from_bits(numbers) if tensor in self.packed else numbers

    @property
    def logic_products(self) -> int:
        """Products of time-multiplexed layers that are made without a multiplier."""
        return sum(s.logic_products for s in self.stages)

    @property
    def multipliers(self) -> int:
        """Multipliers in the hardware."""
        return sum(s.stage.multipliers for s in self.stages)

    @property
    def efficiency(self) -> float | None:
        """Multiplications of the time-multiplexed layers / (interval x products of their tiles); None without any."""
        tiles = [(s.multiplications, s.tile[0] * s.tile[1]) for s in self.stages if s.tile is not None]
        folded, products = (sum(numbers) for numbers in zip(*tiles, strict=True)) if tiles else (0, 0)
        return folded / (self.interval * products) if products else None

    def describe(self) -> dict[str, Any]:
        """The plan as plain types."""
        settings = self.settings
        return {
            "reuse": settings.reuse,
            "layer_reuse": dict(settings.layer_reuse),
            "lanes": settings.lanes,
            "output_lanes": settings.output_lanes,
            "clock_mhz": settings.clock_mhz,
            "backpressure": settings.backpressure,
            "weights": settings.weights,
            "latency_cycles": self.latency,
            "interval_cycles": self.interval,
            "multipliers": self.multipliers,
            "lut_products": self.logic_products,
            "efficiency": self.efficiency,
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
        case StepForm():
            return f"{form.levels} steps, up and down" if _turns(form) else f"{form.levels} steps"
        case TableForm():
            return f"table of {form.entries} codes"
    return type(form).__name__


def _turns(form: StepForm) -> bool:
    jumps = np.diff(form.codes, axis=1)
    return bool(np.any(np.any(jumps > 0, axis=1) & np.any(jumps < 0, axis=1)))


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
    packed = packable(graph)
    graph = pack_bipolar(graph)
    groups = group(graph, settings)
    if settings.weights == "writable":
        _check_writable(groups)
    if not force:
        _check_time(groups)
    lanes = settings.lanes or _default_lanes(graph, groups, settings)
    if not settings.backpressure and lanes != graph.input_tensor.size:
        raise ConfigurationError(
            f"lanes of a free-running pipeline must be all {graph.input_tensor.size} elements of the input, not {lanes}"
        )
    free = (
        not settings.backpressure and len(groups) == 1 and groups[0].kind == "region" and settings.output_lanes is None
    )
    lanes_of = {graph.input: lanes}
    stages: list[StagePlan] = []
    placed: list[Placed] = []
    address = 0
    for found in groups:
        if progress is not None:
            progress(found.nodes[0].name)
        sources, target = region_border(graph, found.nodes)
        stages.append(_stage(graph, settings, found, [lanes_of[name] for name in sources], address, handshake=not free))
        placed.append(Placed(stages[-1].stage, tuple(sources), target))
        lanes_of[target] = stages[-1].stage.lanes_out
        if isinstance(found_stage := stages[-1].stage, DenseStage) and found_stage.tables:
            address = found_stage.tables[1].base + found_stage.tables[1].size
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
    return Plan(settings, tuple(stages), summary.latency, summary.interval, network, depths, graph, packed)


def _output_stage(graph: Graph, lanes: int | None, made: int) -> StagePlan:
    assert lanes is not None
    stage = LanesStage("output_lanes", edge_shape(graph, graph.output), graph.output_tensor.size, made, lanes)
    return StagePlan(stage, 1, None, {}, 0)


def _check_writable(groups: list[Group]) -> None:
    for found in groups:
        for node in found.nodes:
            if isinstance(node, Dense) and found.kind != "dense":
                raise ConfigurationError(
                    f"Layer {node.name!r} must have a reuse above 1 for writable weights: unrolled, its weights are "
                    "logic"
                )


def _address_loads(stages: list[StagePlan]) -> None:
    """Give every stage that weights are loaded into the width of the whole map."""
    loadable = [planned.stage for planned in stages if isinstance(planned.stage, DenseStage) and planned.stage.tables]
    bits = max((stage.address_bits for stage in loadable), default=0)
    for stage in loadable:
        stage.address_bits = bits


def _check_time(groups: list[Group]) -> None:
    for found in groups:
        for node in found.nodes:
            if found.kind == "region" and isinstance(node, Dense):
                estimate = solving_seconds(node.weights)
                if estimate > PATIENCE_SECONDS:
                    raise ConfigurationError(
                        f"Layer {node.name!r} has {node.multiplications} multiplications: unrolling it (reuse 1) takes "
                        f"about {estimate / 60:.0f} minutes and makes a large design; give it more reuse, or --force "
                        "(force=True)"
                    )


def _default_lanes(graph: Graph, groups: list[Group], settings: Settings) -> int:
    """All elements where the first layers are unrolled or nothing may wait; else what keeps the slowest layer busy."""
    size = graph.input_tensor.size
    first = [found for found in groups if any(graph.input in node.inputs for node in found.nodes)]
    if all(found.kind == "region" for found in first) or not settings.backpressure:
        return size
    passes = 1
    for found in groups:
        layer = found.nodes[0]
        if found.kind == "dense" and isinstance(layer, Dense):
            n_in, n_out = layer.weights.shape
            p, s = choose_tile(n_in, n_out, settings.reuse_of(layer))
            passes = max(passes, -(-n_out // p) * -(-n_in // s))
    return -(-size // passes)


def _stage(
    graph: Graph, settings: Settings, found: Group, lanes: list[int], address: int, *, handshake: bool
) -> StagePlan:
    nodes, clock = found.nodes, settings.clock_mhz
    names = [node.name for node in nodes]
    multiplexed = found.kind != "region"
    forms = {
        node.name: choose(node.staircase, multiplexed=multiplexed) for node in nodes if isinstance(node, Requantize)
    }
    multiplications = sum(node.multiplications for node in nodes)
    if found.kind == "region":
        region = RegionStage(graph, names, clock, forms, handshake, lanes_in=lanes)
        return StagePlan(region, 1, None, forms, multiplications)
    if found.kind == "elementwise":
        # As many elements a beat as the widest stream brings: it waits for nobody.
        elementwise = ElementwiseStage(graph, names, max(lanes), clock, forms, lanes_in=lanes)
        return StagePlan(elementwise, 1, None, forms, multiplications)
    dense = nodes[0]
    assert isinstance(dense, Dense)
    reuse = settings.reuse_of(dense)
    n_in, n_out = dense.weights.shape
    tile = choose_tile(n_in, n_out, reuse)
    follower = names[1] if len(nodes) > 1 else None
    form = forms[follower] if follower is not None else None
    first_address = address if settings.weights == "writable" else None
    stage = DenseStage(graph, dense.name, follower, tile, lanes[0], clock, form, first_address)
    return StagePlan(stage, reuse, tile, forms, multiplications)
