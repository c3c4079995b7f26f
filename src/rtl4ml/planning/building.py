"""A group of nodes becomes a stage: kind, lanes, tile and forms decided, hardware parameters worked out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rtl4ml.errors import ConfigurationError
from rtl4ml.graph import Graph
from rtl4ml.hdl.zero_skipping import PackedTile
from rtl4ml.operators import Concat, Conv, Dense, Gather, Pool, Requantize
from rtl4ml.planning.description import describe_form, describe_tile
from rtl4ml.planning.folding import Fold, Tile, lanes_for
from rtl4ml.planning.grouping import Group, is_feature_map
from rtl4ml.planning.settings import Settings
from rtl4ml.stages.base import Stage
from rtl4ml.stages.blocks import BlocksStage
from rtl4ml.stages.concat import ConcatStage
from rtl4ml.stages.conv import ConvStage
from rtl4ml.stages.conv_tile import ConvTile
from rtl4ml.stages.dense import DenseStage
from rtl4ml.stages.digit_serial import DigitStage
from rtl4ml.stages.elementwise import ElementwiseStage
from rtl4ml.stages.gather import GatherStage
from rtl4ml.stages.packed import PackedStage
from rtl4ml.stages.pool import PoolStage
from rtl4ml.stages.reduce import ReduceStage
from rtl4ml.stages.region import RegionStage, region_border
from rtl4ml.stages.side_by_side import graph_with, pixels_at_once
from rtl4ml.stages.sparse import SparseStage
from rtl4ml.stages.sparse_conv import SparseConvStage
from rtl4ml.stages.walks import widest_word
from rtl4ml.staircase import Form


@dataclass(frozen=True)
class StagePlan:
    """A stage and why it is as it is.

    Parameters:
        stage: the hardware to be.
        reuse: cycles asked for.
        tile: of a time-multiplexed layer: (outputs, inputs), or that of a convolution; None for other stages.
        forms: of the staircases inside, by node name.
        multiplications: products an inference takes in it.
        pixels: output pixels of a convolution side by side; 0: one after the other.
        digits: bits of each element that go through hard-wired adders in a cycle, by name of the layer.
    """

    stage: Stage
    reuse: int
    tile: Tile | None
    forms: dict[str, Form]
    multiplications: int
    pixels: int = 0
    digits: Mapping[str, int] = field(default_factory=dict)

    @property
    def interval(self) -> int:
        """Cycles a frame takes in this stage alone."""
        timing = self.stage.timing
        return max(timing.issues, timing.beats_out, *(side.beats for side in timing.sides))

    @property
    def products(self) -> int:
        """Products side by side in the tile of a time-multiplexed layer; 0 for other stages."""
        if self.digits:
            return 0
        if isinstance(self.stage, PackedStage):
            return len(self.stage.plan.positions)
        if isinstance(self.tile, ConvTile):
            return self.tile.products
        assert not isinstance(self.tile, PackedTile)
        return self.tile[0] * self.tile[1] if self.tile else 0

    @property
    def skips(self) -> bool:
        """Whether weights that are 0 take no multiplier's time."""
        return isinstance(self.stage, PackedStage)

    def describe_tile(self) -> dict[str, Any] | None:
        """The tile as a folding has it; of several output pixels side by side their number says all."""
        return describe_tile(self.tile, self.pixels, pixelwise=isinstance(self.stage, SparseConvStage))

    def describe(self) -> dict[str, Any]:
        """The stage as plain types."""
        stage = self.stage
        return {
            "name": stage.name,
            "operators": list(stage.operators),
            "kind": type(stage).__name__.removesuffix("Stage").lower(),
            "reuse": self.reuse,
            "tile": self.describe_tile(),
            "digits": dict(self.digits),
            "multipliers": stage.multipliers,
            "lut_products": stage.logic_products,
            "multiplications": self.multiplications,
            "interval_cycles": self.interval,
            "pipeline_cycles": stage.timing.depth,
            "fifo_beats": stage.timing.slots,
            "memory_bits": dict(stage.memory_bits),
            "lanes_in": stage.lanes_in,
            "lanes_out": stage.lanes_out,
            "staircases": {name: describe_form(form) for name, form in self.forms.items()},
        }


class Builder:
    """Builds the stages of a plan, one after the other.

    Parameters:
        graph: the network, with bits for bipolar tensors.
        settings: what the user asked for.
        folds: of the linear layers, by name.
        interval: cycles a frame that the stages between the layers have time for.
        form: chooses a staircase's form.
    """

    def __init__(
        self,
        graph: Graph,
        settings: Settings,
        folds: Mapping[str, Fold],
        interval: int,
        form: Callable[..., Form],
    ) -> None:
        self._graph, self._settings, self._folds, self._interval = graph, settings, folds, interval
        self._form = form
        self._address = 0

    def sources(self, group: Group) -> list[str]:
        """Tensors of the streams into a group's stage, in order."""
        if group.kind == "concat":
            return list(group.nodes[0].inputs)
        return region_border(self._graph, group.nodes)[0]

    def build(self, group: Group, lanes: Sequence[int], *, handshake: bool) -> StagePlan:
        """The stage of a group.

        Args:
            group: the nodes.
            lanes: elements a beat of each stream in.
            handshake: with back-pressure; without, only a region can be built, or layers on digits.

        Raises:
            ConfigurationError: a folding that does not fit.
        """
        nodes, clock = group.nodes, self._settings.clock
        names = [node.name for node in nodes]
        first = nodes[0]
        multiplexed = group.kind != "region" and not self._digits(group)
        forms = {n.name: self._form(n.staircase, multiplexed=multiplexed) for n in nodes if isinstance(n, Requantize)}
        follower = names[1] if len(names) > 1 else None
        form = None if follower is None else forms.get(follower)
        reuse, tile, pixels = 1, None, 0
        stage: Stage
        if group.kind == "region":
            stage = RegionStage(self._graph, names, clock, forms, handshake, lanes_in=list(lanes))
        elif group.kind == "digits":
            reuse = max(self._folds[node.name].reuse for node in nodes if isinstance(node, Dense))
            stage = DigitStage(self._graph, names, self._digits(group), clock, forms, handshake, lanes[0])
        elif group.kind == "elementwise":
            stage = ElementwiseStage(self._graph, names, self._lanes(group, lanes), clock, forms, lanes_in=list(lanes))
        elif group.kind == "blocks":
            stage = BlocksStage(self._graph, names, getattr(first, "blocks"), clock, forms, list(lanes))  # noqa: B009
        elif isinstance(first, Concat):
            stage = ConcatStage(self._graph, first.name, self._concat_lanes(first, lanes), list(lanes))
        elif isinstance(first, Gather):
            stage = GatherStage(self._graph, first.name, self._gather_lanes(first), lanes[0])
        elif group.kind == "reduce":
            wanted = self._given(first.name) or self._wanted(first.inputs[0])
            channels = self._graph.tensors[first.output].size
            stage = ReduceStage(self._graph, first.name, follower, _divisor(channels, wanted), lanes[0], clock, form)
        elif isinstance(first, Pool):
            stage = PoolStage(self._graph, first.name, follower, *self._pool_words(first), lanes[0], clock, form)
        else:
            assert isinstance(first, Conv | Dense)
            fold = self._folds[first.name]
            reuse, tile = fold.reuse, fold.tile
            stage = self._linear(first, follower, fold, lanes[0], form)
            pixels = fold.pixels
        multiplications = sum(node.multiplications for node in nodes)
        if isinstance(stage, PackedStage):
            assert isinstance(first, Conv | Dense)
            # As many of all as are of weights that are not 0.
            multiplications = multiplications // first.weights.size * int(np.count_nonzero(first.weights))
        return StagePlan(stage, reuse, tile, forms, multiplications, pixels, self._digits(group))

    def _digits(self, group: Group) -> dict[str, int]:
        """Bits a cycle of the layers on digits."""
        folds = [(node.name, self._folds.get(node.name)) for node in group.nodes]
        return {name: fold.digit for name, fold in folds if fold is not None and fold.digit}

    def _linear(self, layer: Conv | Dense, follower: str | None, fold: Fold, lanes: int, form: Form | None) -> Stage:
        clock = self._settings.clock
        address = self._address if self._settings.weights == "writable" else None
        stage: DenseStage | PackedStage | ConvStage
        tile = fold.tile
        if isinstance(tile, ConvTile):
            graph = self._graph
            if isinstance(layer, Conv) and fold.pixels:
                graph = graph_with(graph, pixels_at_once(layer, fold.pixels))
            options = {"digit": fold.digit, "pair_bits": fold.pair_bits}
            stage = ConvStage(graph, layer.name, follower, tile, lanes, clock, form, address, **options)
        elif isinstance(tile, PackedTile):
            kind = SparseConvStage if isinstance(layer, Conv) else SparseStage
            stage = kind(self._graph, layer.name, follower, tile, lanes, clock, form, fold.pair_bits)
        else:
            assert tile is not None
            given = (self._graph, layer.name, follower, tile, lanes, clock, form, address)
            stage = DenseStage(*given, pair_bits=fold.pair_bits)
        if stage.tables:
            self._address = stage.tables[1].base + stage.tables[1].size
        return stage

    def _given(self, name: str) -> int | None:
        """Lanes that the user gave a node."""
        given: Any = self._settings.folding.get(name, {}).get("lanes")
        return given

    def _wanted(self, tensor: str) -> int:
        """The fewest lanes that bring a tensor in the interval."""
        found = self._graph.tensors[tensor]
        return lanes_for(found.size, found.channels, self._interval)

    def _lanes(self, group: Group, lanes: Sequence[int]) -> int:
        """Elements a beat of elementwise nodes; on vectors as many as the widest stream brings: they wait for none."""
        output = group.nodes[-1].output
        given = next((self._given(node.name) for node in group.nodes if self._given(node.name)), None)
        if given is not None:
            size = self._graph.tensors[output].size
            if given > size:
                raise ConfigurationError(
                    f"lanes of node {group.nodes[0].name!r} must be at most its {size} elements, not {given}"
                )
            return given
        return self._wanted(output) if is_feature_map(self._graph.tensors[output]) else max(lanes)

    def _gather_lanes(self, node: Gather) -> int:
        """The narrowest words that bring the frame in the interval, as wide as elements stay together at the most."""
        size = self._graph.tensors[node.inputs[0]].size
        widest = widest_word(node.indices, size)
        return self._given(node.name) or _divisor(widest, -(-max(size, len(node.indices)) // self._interval))

    def _pool_words(self, node: Pool) -> tuple[int, tuple[int, int]]:
        """Channels and taps of a word: the fewest side by side that keep the interval."""
        window, channels = node.window, node.shape[-1]
        rows, columns = window.kernel
        given = self._settings.folding.get(node.name, {})
        found = []
        for lanes in (d for d in range(1, channels + 1) if channels % d == 0):
            for taps in sorted({(1, 1), (rows, 1), (1, columns), (rows, columns)}):
                words = channels // lanes
                cycles = max(
                    window.pixels_out * words * (rows // taps[0]) * (columns // taps[1]), window.pixels_in * words
                )
                asked = lanes == given.get("lanes", lanes) and list(taps) == list(given.get("taps", taps))
                if asked:
                    found.append((max(cycles, self._interval), lanes * taps[0] * taps[1], taps, lanes))
        if not found:
            raise ConfigurationError(
                f"Folding of node {node.name!r} must have lanes that divide {channels} channels and taps of 1 or all "
                f"of {rows} x {columns}, not {dict(given)}"
            )
        _, _, taps, lanes = min(found)
        return lanes, taps

    def _concat_lanes(self, node: Concat, lanes: Sequence[int]) -> int:
        """Words that go through one after the other where the interval leaves the time, else blocks side by side.

        A stream whose turn it is not has one word ready and waits, however long its beats take to fill the next.
        """
        given = self._given(node.name)
        if given is not None:
            return given
        sizes = [self._graph.tensors[name].size // node.blocks for name in node.inputs]
        wanted = -(-sum(sizes) * node.blocks // max(1, self._interval))
        for word in range(wanted, min(sizes) + 1):
            cycles = sum(-(-size // min(word, beat)) for size, beat in zip(sizes, lanes, strict=True))
            if all(size % word == 0 for size in sizes) and cycles * node.blocks <= self._interval:
                return word
        pixels = min(node.blocks, -(-wanted // sum(sizes)))
        return sum(sizes) * next(p for p in range(pixels, node.blocks + 1) if node.blocks % p == 0)


def _divisor(n: int, least: int) -> int:
    """The smallest divisor of n that is `least` or more; n itself at the most."""
    return next((d for d in range(min(least, n), n + 1) if n % d == 0), n)
