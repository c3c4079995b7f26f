"""How much each layer's multipliers are shared: from a reuse, from an interval to keep, or from multipliers to spend.

A layer's cycles are those that a frame keeps its multipliers busy. At an interval of N cycles, each layer gets the
tile with the fewest multipliers that needs at most N, so that none is faster than it need be. Fewer multipliers never
make a shorter interval possible, so a budget is met by bisection over the intervals at which some layer's tile changes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import isqrt
from typing import Any

import numpy as np

from rtl4ml.errors import ConfigurationError
from rtl4ml.graph import Graph, Operator
from rtl4ml.hdl.mac_pairs import any_pair_fits
from rtl4ml.hdl.mac_products import ProductKind, classify
from rtl4ml.hdl.zero_skipping import PackedFold, PackedTile
from rtl4ml.operators import Add, Conv, Dense, Extreme, Multiply, Requantize
from rtl4ml.planning.settings import Linear, Settings
from rtl4ml.planning.styles import TileShape, digit_cost, tile_cost
from rtl4ml.planning.zero_skipping import (
    Products,
    frame_cycles,
    given_tile,
    held_elements,
    packed_fold,
    reader_cost,
    smaller_packed,
)
from rtl4ml.stages.arithmetic import combination_parameters
from rtl4ml.stages.conv_tile import ConvTile, choose_conv_tile, tiles, whole_tile
from rtl4ml.stages.digit_matrix import DigitMatrix, digit_matrix
from rtl4ml.stages.reduce import reduction_of
from rtl4ml.stages.side_by_side import counts, pixels_at_once
from rtl4ml.stages.tile import choose_tile
from rtl4ml.staircase import AffineForm, Form, Staircase

Tile = tuple[int, int] | ConvTile | PackedTile

PAIR_BITS = {"xc7": 25, "xcup": 27}
"""Width of the wider signed operand of the multiplier blocks (DSP48E1, DSP48E2), on families where two products of an
element share one."""


@dataclass(frozen=True)
class Fold:
    """How a linear layer is built.

    Parameters:
        reuse: cycles that a frame may take in it.
        tile: its multipliers: (outputs, inputs) of a Dense, those of a kernel, or those that leave out zeros; None:
            constants in logic.
        cycles: that a frame takes.
        multipliers: of the tile and behind its accumulators.
        pixels: output pixels of a convolution side by side, in wide pixels; 0: one after the other.
        digit: bits of each element that go through hard-wired adders in a cycle; 0: all.
        pair_bits: width of the wider operand of multiplier blocks that two products share; 0: none do.
    """

    reuse: int
    tile: Tile | None
    cycles: int
    multipliers: int
    pixels: int = 0
    digit: int = 0
    pair_bits: int = 0

    @property
    def shared(self) -> bool:
        """Whether a frame takes several cycles, on hardware that is no part of a whole datapath."""
        return self.tile is not None or self.digit > 0


class Folder:
    """Finds the folds of a graph's layers.

    Parameters:
        graph: the network.
        settings: what the user asked for.
        forms: of the staircases of multiplexed layers and of others, by node name.
    """

    def __init__(self, graph: Graph, settings: Settings, forms: Mapping[str, Form]) -> None:
        self._graph, self._settings, self._forms = graph, settings, forms
        # Sums over whole images are found while these come in: no tile has a part in it.
        self._layers = [o for o in graph.operators if isinstance(o, Linear) and reduction_of(o) is None]
        self._known: dict[tuple[str, int, int], Fold] = {}
        self._matrices: dict[str, DigitMatrix] = {}

    def folds(self, interval: int | None = None) -> dict[str, Fold]:
        """Folds by layer name: as the settings say it, or for an interval that a search tries.

        Raises:
            ConfigurationError: a folding that does not fit its layer, or an interval that no tile can keep.
        """
        return {layer.name: self._fold(layer, interval or self._settings.cycles) for layer in self._layers}

    def within(self, multipliers: int) -> int:
        """The shortest interval of at most so many multipliers.

        Raises:
            ConfigurationError: even one multiplier a layer is more.
        """
        candidates = self.intervals()
        if not candidates:
            return 1
        least = self.spent(candidates[-1])
        if least > multipliers:
            raise ConfigurationError(
                f"multipliers must be at least {least}, one a layer and those of the functions behind them, not "
                f"{multipliers}"
            )
        low, high = -1, len(candidates) - 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.spent(candidates[middle]) <= multipliers else (middle, high)
        return candidates[high]

    def spent(self, interval: int) -> int:
        """Multipliers of all layers, and of what stands between them, at an interval."""
        return sum(fold.multipliers for fold in self.folds(interval).values()) + self._between(interval)

    def intervals(self) -> list[int]:
        """Intervals at which some layer's tile changes, ascending, without those that are too short for some layer."""
        found: set[int] = set()
        shortest = 2
        for layer in self._layers:
            if self._digits_allowed(layer):
                pixels, bits = _pixels(layer), self._matrix(layer).bits
                found.update(pixels * -(-bits // digit) for digit in range(1, bits))
            if self._settings.style_of(layer) in ("sparse", "auto") and layer.limits is None:
                # As many as some number of multipliers takes that all have weights all the time.
                weights = max(1, int(np.count_nonzero(layer.weights)))
                found.update(_pixels(layer) * cycles for cycles in _quotients(weights))
            if isinstance(layer, Conv):
                pixels = layer.window.pixels_out
                found.update(pixels * cycles for cycles, _, _ in tiles(layer))
                shortest = max(shortest, pixels, layer.window.pixels_in)
            else:
                found.update(_dense_cycles(*layer.weights.shape))
        return sorted(cycles for cycles in found if cycles >= shortest)

    def _fold(self, layer: Linear, interval: int | None) -> Fold:
        given = self._settings.folding.get(layer.name)
        if given is not None and set(given) - {"lanes"}:
            return self._given(layer, given)
        asked = self._settings.layer_reuse.get(layer.name) or self._settings.layer_reuse.get(type(layer).kind.lower())
        if interval is None:
            reuse = self._settings.reuse_of(layer)
            shared = reuse > 1 or (layer.multiplications == 1 and self._settings.common_reuse(layer) > 1)
        else:
            reuse = min(asked or interval, layer.multiplications)
            shared = (asked or interval) > 1
        if not shared:
            return Fold(1, None, 1, 0)
        # Digits are of activations: a layer may take more cycles than it has products.
        cycles = self._settings.layer_reuse.get(layer.name, self._settings.common_reuse(layer))
        cycles = cycles if interval is None else asked or interval
        key = (layer.name, reuse, cycles)
        if key not in self._known:
            self._known[key] = self._styled(layer, reuse, cycles)
        return self._known[key]

    def _styled(self, layer: Linear, reuse: int, cycles: int) -> Fold:
        """A fold of the style that the settings say, or of the cheaper.

        Args:
            layer: which.
            reuse: cycles that its products can be spread over.
            cycles: that a frame may take.
        """
        style, steps = self._settings.style_of(layer), cycles // _pixels(layer)
        found = {}
        if style != "digits" or steps < 2 or layer.limits is not None:
            found[style] = tiled = self._tiled(layer, reuse)
            if style in ("sparse", "auto") and (sparse := self._sparse_fold(layer, reuse, tiled)) is not None:
                found["sparse"] = sparse
        if self._digits_allowed(layer) and steps > 1:
            bits = self._matrix(layer).bits
            if bits > 1:
                found["digits"] = self._digit_fold(layer, cycles, -(-bits // steps))
            elif style == "digits":
                return self._hard_wired(layer, cycles)
        if style == "auto":
            return min(found.values(), key=lambda fold: self._cost(layer, fold))
        return found[style]

    def _digits_allowed(self, layer: Linear) -> bool:
        """Whether the settings ask for digits, or for what is cheapest, and weights stay as they are."""
        return self._settings.style_of(layer) in ("digits", "auto") and layer.limits is None

    def _sparse_fold(self, layer: Linear, reuse: int, tiled: Fold) -> Fold | None:
        """A tile that leaves out zeros; None where it has no fewer multipliers than the one that does not."""
        if layer.limits is not None or not self._multiplied(layer):
            return None
        tile = None if tiled.pixels or isinstance(tiled.tile, PackedTile) else tiled.tile
        found = smaller_packed(layer, reuse, self._products(layer), tile, tiled.multipliers)
        return None if found is None else self._packed_fold(layer, reuse, found)

    def _products(self, layer: Linear) -> Products:
        low, high = self._graph.tensors[layer.inputs[0]].range
        pairs, behind = self._pair_bits(layer) > 0, self.multiplies_behind(layer)
        return Products(low, high, pairs, behind, self._settings.timing_target)

    def _packed_fold(self, layer: Linear, reuse: int, found: PackedFold) -> Fold:
        cycles = frame_cycles(layer, found.tile, found.cycles)
        return Fold(reuse, found.tile, cycles, found.multipliers, pair_bits=self._pair_bits(layer))

    def _matrix(self, layer: Linear) -> DigitMatrix:
        if layer.name not in self._matrices:
            self._matrices[layer.name] = digit_matrix(self._graph, layer)
        return self._matrices[layer.name]

    def _hard_wired(self, layer: Linear, reuse: int) -> Fold:
        """Elements of one bit are digits themselves: all adders, a vector or a pixel a cycle."""
        if isinstance(layer, Dense):
            return Fold(reuse, None, 1, 0)
        return self._conv_fold(layer, reuse, whole_tile(layer))

    def _digit_fold(self, layer: Linear, reuse: int, digit: int) -> Fold:
        """Hard-wired adders that take so many bits of each element a cycle."""
        steps = -(-self._matrix(layer).bits // digit)
        if isinstance(layer, Dense):
            return Fold(reuse, None, steps, 0, digit=digit)
        cycles = max(layer.window.pixels_out * steps, layer.window.pixels_in)
        return Fold(reuse, whole_tile(layer), cycles, 0, digit=digit)

    def _cost(self, layer: Linear, fold: Fold) -> float:
        """Cost of a tile; of hard-wired adders where there is none, or where that is what the cycles leave."""
        matrix, staircase, tile = self._matrix(layer), self._staircase_behind(layer), fold.tile
        if fold.digit:
            return digit_cost(matrix, fold.digit, staircase, self._settings.timing_target)
        if isinstance(tile, PackedTile):
            count = fold.multipliers - tile.finish * self.multiplies_behind(layer)
            places = int(np.count_nonzero(layer.weights)) * held_elements(layer, tile.lanes).bit_length()
            readers = count * reader_cost(layer, tile.lanes, self._products(layer))
            shape = TileShape(tile.outputs, count * tile.sharing, fold.multipliers, tile.finish, 0, readers, places)
        elif isinstance(tile, ConvTile):
            if fold.pixels or tile.products * tile.groups == matrix.weights.size:
                return digit_cost(matrix, matrix.bits, staircase) * max(1, fold.pixels)
            logic = 0 if self._multiplied(layer) else tile.products
            shape = TileShape(tile.outputs, tile.products, fold.multipliers, tile.finish, logic)
        else:
            assert tile is not None
            products = tile[0] * tile[1]
            logic = 0 if self._multiplied(layer) else products
            shape = TileShape(tile[0], products, fold.multipliers, tile[0], logic)
        return tile_cost(matrix, shape, staircase, self._settings.target)

    def _staircase_behind(self, layer: Linear) -> Staircase | None:
        """The staircase that alone reads a layer."""
        readers = self._graph.consumers(layer.output)
        return readers[0].staircase if len(readers) == 1 and isinstance(readers[0], Requantize) else None

    def _tiled(self, layer: Linear, reuse: int) -> Fold:
        finishing = self.multiplies_behind(layer)
        if isinstance(layer, Dense):
            n_in, n_out = layer.weights.shape
            pair_bits = self._pair_bits(layer)
            tile = choose_tile(n_in, n_out, reuse, pairs=pair_bits > 0, finish_multipliers=finishing)
            cycles = -(-n_out // tile[0]) * -(-n_in // tile[1])
            multipliers = self._dense_products(layer, tile) + finishing * tile[0]
            return Fold(reuse, tile, cycles, multipliers, pair_bits=pair_bits)
        pixels = layer.window.pixels_out
        # A layer with fewer products than pixels has one multiplier, whatever it takes to bring the pixels in.
        if reuse < min(max(pixels, layer.window.pixels_in), layer.multiplications) and layer.limits is None:
            return self._wide_fold(layer, reuse, reuse)
        pairs = self._pair_bits(layer) > 0
        passes = max(1, reuse // pixels)
        conv_tile = choose_conv_tile(layer, passes, finish_multipliers=finishing, pairs=pairs)
        # With strides or without padding, all tiles but the widest may take the image in too slowly.
        if min(layer.multiplications, conv_tile.frame_cycles(layer)) > reuse and layer.limits is None:
            return self._wide_fold(layer, reuse, reuse)
        return self._conv_fold(layer, reuse, conv_tile)

    def _wide_fold(self, layer: Conv, reuse: int, most: int) -> Fold:
        """Several output pixels a cycle, hard-wired: as few as keep to `most` cycles."""
        for pixels in counts(layer):
            window = pixels_at_once(layer, pixels).window
            cycles = max(window.pixels_in, window.pixels_out)
            if cycles <= most:
                break
        wide = pixels_at_once(layer, pixels)
        finishing = wide.channels_out if self.multiplies_behind(layer) else 0
        return Fold(reuse, whole_tile(wide), cycles, finishing, pixels)

    def _conv_fold(self, layer: Conv, reuse: int, tile: ConvTile) -> Fold:
        """One output pixel after the other. Whole kernels are hard-wired; small weights need no multipliers either."""
        finishing = tile.finish if self.multiplies_behind(layer) else 0
        pair_bits = self._pair_bits(layer)
        products = tile.paired_products if pair_bits else tile.products
        if tile.cycles(layer) == 1 or not self._multiplied(layer):
            products = 0
        return Fold(reuse, tile, tile.frame_cycles(layer), products + finishing, pair_bits=pair_bits)

    def _multiplied(self, layer: Linear) -> bool:
        """Whether products of a layer are made of multipliers: not those with few weights or codes."""
        low, high = self._graph.tensors[layer.inputs[0]].range
        values = layer.weights if layer.limits is None else layer.limits.values
        return classify(values.reshape(-1), low, high, three_bits=True).kind is ProductKind.MULTIPLIER

    def _dense_products(self, layer: Dense, tile: tuple[int, int]) -> int:
        """Multipliers of a tile's products."""
        if not self._multiplied(layer):
            return 0
        return (-(-tile[0] // 2) if self._pair_bits(layer) else tile[0]) * tile[1]

    def _pair_bits(self, layer: Linear) -> int:
        """Width of the wider operand of the target's multiplier blocks, where two products of the layer fit one."""
        bits = PAIR_BITS.get((self._settings.timing_target or "").split("-")[0], 0)
        if not bits or layer.limits is not None or not self._multiplied(layer):
            return 0
        return bits if any_pair_fits(layer.weights, *self._graph.tensors[layer.inputs[0]].range, bits) else 0

    def _given(self, layer: Linear, given: Mapping[str, Any]) -> Fold:
        """A fold in the user's words."""
        where = f"Folding of node {layer.name!r}"
        if "digit" in given:
            return self._given_digit(layer, given, where)
        if isinstance(layer, Dense):
            n_in, n_out = layer.weights.shape
            if not {"outputs", "inputs"}.issubset(given):
                raise ConfigurationError(
                    f"{where} must say outputs and inputs, such as {{outputs: 1, inputs: {n_in}}}, not "
                    f"{', '.join(given)} alone"
                )
            outputs, inputs = int(given["outputs"]), int(given["inputs"])
            if outputs > n_out or inputs > n_in:
                raise ConfigurationError(f"{where} must be at most {n_out} x {n_in}, not {outputs} x {inputs}")
            cycles = -(-n_out // outputs) * -(-n_in // inputs)
            if "skip" in given:
                return self._given_packed(layer, given, where)
            multipliers = self._dense_products(layer, (outputs, inputs)) + outputs * self.multiplies_behind(layer)
            return Fold(cycles, (outputs, inputs), cycles, multipliers, pair_bits=self._pair_bits(layer))
        if "pixels" not in given and not {"outputs", "channels"}.issubset(given):
            raise ConfigurationError(
                f"{where} must say outputs and channels, such as {{outputs: 1, channels: {layer.weights.shape[2]}}}, "
                f"or pixels, not {', '.join(given)} alone"
            )
        if "skip" in given:
            return self._given_packed(layer, given, where)
        if "pixels" in given:
            possible = counts(layer)
            if given["pixels"] not in possible:
                raise ConfigurationError(
                    f"pixels of node {layer.name!r} must be one of {', '.join(map(str, possible))}, not "
                    f"{given['pixels']}"
                )
            window = pixels_at_once(layer, int(given["pixels"])).window
            cycles = max(window.pixels_in, window.pixels_out)
            return self._wide_fold(layer, cycles, cycles)
        rows, columns = given.get("taps", (1, 1))
        tile = ConvTile(
            outputs=int(given["outputs"]),
            channels=int(given["channels"]),
            taps=(int(rows), int(columns)),
            groups=int(given.get("groups", 1)),
            finish=int(given.get("finish", given["outputs"])),
        )
        tile.check(layer)
        fold = self._conv_fold(layer, 1, tile)
        return replace(fold, reuse=fold.cycles)

    def _given_packed(self, layer: Linear, given: Mapping[str, Any], where: str) -> Fold:
        tile = given_tile(layer, given, where)
        fold = self._packed_fold(layer, 1, packed_fold(layer, tile, self._products(layer)))
        if not self._multiplied(layer):
            fold = replace(fold, multipliers=tile.finish * self.multiplies_behind(layer))
        return replace(fold, reuse=fold.cycles)

    def _given_digit(self, layer: Linear, given: Mapping[str, Any], where: str) -> Fold:
        if set(given) - {"digit", "lanes"}:
            raise ConfigurationError(f"{where} must say digit alone, not {', '.join(given)}")
        bits = self._matrix(layer).bits
        if layer.limits is not None or not given["digit"] < bits:
            what = "writable weights" if layer.limits is not None else f"{given['digit']}"
            raise ConfigurationError(
                f"digit of node {layer.name!r} must be of fixed weights and less than the {bits} bits of its elements, "
                f"not {what}"
            )
        fold = self._digit_fold(layer, 1, int(given["digit"]))
        return Fold(fold.cycles, fold.tile, fold.cycles, 0, digit=fold.digit)

    def multiplies_behind(self, layer: Linear) -> bool:
        """Whether the staircase that alone reads a layer multiplies by a number of each channel."""
        readers = self._graph.consumers(layer.output)
        return len(readers) == 1 and isinstance(readers[0], Requantize) and self._multiplies(readers[0])

    def _multiplies(self, node: Operator) -> bool:
        form = self._forms.get(node.name)
        return isinstance(form, AffineForm) and bool(np.ptp(form.multiplier))

    def _between(self, interval: int) -> int:
        """Multipliers of elementwise nodes that stand by themselves."""
        count = 0
        for node in self._graph.operators:
            if isinstance(node, Requantize):
                maker = next((o for o in self._graph.operators if o.output == node.inputs[0]), None)
                inside = isinstance(maker, Linear) and len(self._graph.consumers(node.inputs[0])) == 1
                each = int(not inside and self._multiplies(node))
            elif isinstance(node, Multiply):
                each = 1
            elif isinstance(node, Add | Extreme):
                named = combination_parameters(node, [self._graph.tensors[name] for name in node.inputs])
                each = sum(int(np.ptp(named[side]) > 0) for side in ("left", "right"))
            else:
                each = 0
            tensor = self._graph.tensors[node.output]
            count += each * lanes_for(tensor.size, tensor.channels, interval)
        return count


def _pixels(layer: Linear) -> int:
    """Output pixels of a layer, one after the other."""
    return layer.window.pixels_out if isinstance(layer, Conv) else 1


def lanes_for(n: int, channels: int, interval: int) -> int:
    """The fewest elements a beat that bring n elements in an interval: a divisor of the channels or whole pixels.

    >>> lanes_for(1024 * 16, 16, 4096)
    4
    """
    least = -(-n // max(1, interval))
    if least >= n:
        return n
    if least > channels:
        return min(n, -(-least // channels) * channels)
    return next(lanes for lanes in range(least, channels + 1) if channels % lanes == 0)


def _dense_cycles(n_in: int, n_out: int) -> set[int]:
    """All numbers of passes that a tile of a matrix can need."""
    return {groups * words for groups in _quotients(n_out) for words in _quotients(n_in)}


def _quotients(n: int) -> Iterable[int]:
    """All values of ceil(n / k)."""
    small = set(range(1, isqrt(n) + 1))
    return small | {-(-n // k) for k in small}
