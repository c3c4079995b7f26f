"""Tiles that leave out zeros: the cheapest for some cycles, and those that a user gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np

from rtl4ml.errors import ConfigurationError
from rtl4ml.formats import Codes, width_of
from rtl4ml.hdl.mac_products import ProductKind, classify, has_three_bits
from rtl4ml.hdl.zero_skipping import PackedFold, PackedSearch, PackedTile, dense_lanes, pack_matrix
from rtl4ml.operators import Conv, Dense
from rtl4ml.planning.styles import memory_cost, product_cost
from rtl4ml.stages.conv_tile import ConvTile
from rtl4ml.stages.sparse_conv import kernel_matrix


def matrix_of(layer: Conv | Dense) -> Codes:
    """Weights of a layer, for each pixel where it has several: int64 (n_in, n_out)."""
    return kernel_matrix(layer) if isinstance(layer, Conv) else layer.weights


@dataclass(frozen=True)
class Products:
    """What the products of a layer are of.

    Parameters:
        low: lowest code of an element.
        high: highest.
        pairs: two outputs that read the same elements share multipliers.
        finish_multipliers: each lane behind the accumulators has a multiplier.
        target: that they are made for, as estimates know it; None: any.
    """

    low: int
    high: int
    pairs: bool
    finish_multipliers: bool
    target: str | None = None

    @property
    def bits(self) -> int:
        """Of an element."""
        return width_of(self.low, self.high)[0]


def smaller_packed(
    layer: Conv | Dense, cycles: int, products: Products, tile: tuple[int, int] | ConvTile | None, multipliers: int
) -> PackedFold | None:
    """The cheapest tile that leaves out zeros for so many cycles of a frame; None where none has fewer multipliers.

    Args:
        layer: which.
        cycles: that a frame may take.
        products: what they are of.
        tile: the other, of the layer's matrix or kernel; None: anything else.
        multipliers: that the other one has at the most.
    """
    if layer.weights.all():
        return None
    found = _cheapest(layer, cycles, products, multipliers)
    if found is None or tile is None:
        return found
    # Zeros may have emptied places of the other tile too.
    finish = tile.finish if isinstance(tile, ConvTile) else tile[0]
    left = plain_products(layer, tile, products) + finish * products.finish_multipliers
    return found if found.multipliers < left else _cheapest(layer, cycles, products, left)


def _cheapest(layer: Conv | Dense, cycles: int, products: Products, below: int) -> PackedFold | None:
    if isinstance(layer, Dense):
        lanes, pixels = dense_lanes(layer.weights.shape[0], cycles), 1
    else:
        written, channels, pixels = layer.window.pixels_in, layer.channels_in, layer.window.pixels_out
        lanes = [n for n in range(1, channels + 1) if channels % n == 0 and written * channels // n <= cycles]
    if cycles < pixels:
        return None
    weight_bits = width_of(int(layer.weights.min()), int(layer.weights.max()))[0]
    price = product_cost(products.bits, weight_bits, products.target)
    search = PackedSearch(
        {n: reader_cost(layer, n, products) / price for n in lanes},
        copies=True,
        pairs=products.pairs,
        finish_multipliers=products.finish_multipliers,
        whole_beats=isinstance(layer, Conv),
    )
    return search.cheapest(matrix_of(layer), cycles // pixels, below)


def reader_cost(layer: Conv | Dense, lanes: int, products: Products) -> float:
    """What a reader costs, in bits of logic: its memory, its address, and a choice between what it finds and padding.

    Args:
        layer: which.
        lanes: elements of a word.
        products: what they are of.
    """
    held, bits = held_elements(layer, lanes), products.bits
    return memory_cost(held, bits, products.target) + bits + held.bit_length()


def plain_products(layer: Conv | Dense, tile: tuple[int, int] | ConvTile, products: Products) -> int:
    """Multipliers of the products of a tile that leaves out no zeros, but for those of places that are 0 in all passes.

    Args:
        layer: which.
        tile: of its matrix or kernel.
        products: what they are of.
    """
    places = _places(layer, tile)
    three_bits = has_three_bits(layer.weights)
    multiplied = np.zeros(places.shape[:3], bool)
    for place in np.ndindex(multiplied.shape):
        kind = classify(places[place], products.low, products.high, three_bits=three_bits).kind
        multiplied[place] = kind is ProductKind.MULTIPLIER
    of_elements = multiplied.sum(axis=1)
    return int((-(-of_elements // 2) if products.pairs else of_elements).sum())


def _places(layer: Conv | Dense, tile: tuple[int, int] | ConvTile) -> Codes:
    """Weights that each place of a tile sees: int64 (groups, outputs of a group, elements of a group, passes)."""
    if not isinstance(tile, ConvTile):
        (n_in, n_out), (outputs, lanes) = layer.weights.shape, tile
        words = -(-n_in // lanes)
        padded = np.pad(layer.weights, ((0, words * lanes - n_in), (0, 0)))[:, _columns(n_out, outputs)]
        return padded.reshape(words, lanes, -1, outputs).transpose(3, 1, 0, 2).reshape(1, outputs, lanes, -1)
    rows, columns, channels, n_out = layer.weights.shape
    assert isinstance(layer, Conv)
    (height, width), side = tile.taps, tile.groups
    each, outputs, lanes = n_out // layer.groups, tile.outputs // side, tile.channels // side
    kernel = layer.weights.reshape(rows, columns, channels, layer.groups, each)[..., _columns(each, outputs)]
    split = kernel.reshape(
        rows // height,
        height,
        columns // width,
        width,
        channels // lanes,
        lanes,
        layer.groups // side,
        side,
        -1,
        outputs,
    )
    return split.transpose(7, 9, 1, 3, 5, 0, 2, 4, 6, 8).reshape(side, outputs, height * width * lanes, -1)


def _columns(n_out: int, outputs: int) -> Codes:
    """Output in each place of each pass; where there is none, one that widens no choice."""
    places = np.arange(-(-n_out // outputs) * outputs)
    return np.where(places < n_out, places, places % outputs)


def frame_cycles(layer: Conv | Dense, tile: PackedTile, cycles: int) -> int:
    """Cycles of a frame: those of all its pixels, or of writing its words where that takes longer.

    Args:
        layer: which.
        tile: of its matrix.
        cycles: that the passes of a pixel take.
    """
    if isinstance(layer, Dense):
        return max(cycles, -(-layer.weights.shape[0] // tile.lanes))
    return max(layer.window.pixels_out * cycles, layer.window.pixels_in * layer.channels_in // tile.lanes)


def given_tile(layer: Conv | Dense, given: Mapping[str, Any], where: str) -> PackedTile:
    """The tile of a folding with `skip`.

    Args:
        layer: that the folding is of.
        given: the folding, whose outputs and inputs or channels are known to be there.
        where: how errors begin.

    Raises:
        ConfigurationError: the folding says what such tiles have not, or the tile does not fit the layer.
    """
    if layer.limits is not None:
        raise ConfigurationError(f"{where} must not say skip where weights are writable")
    outputs, copies, sharing = (int(given.get(key, 1)) for key in ("outputs", "copies", "sharing"))
    if isinstance(layer, Dense):
        return PackedTile(outputs, int(given["inputs"]), outputs, copies, sharing)
    if other := [key for key in ("taps", "groups", "pixels") if key in given]:
        raise ConfigurationError(f"{where} must say skip without {', '.join(other)}: the weights say what is read")
    lanes = int(given["channels"])
    n_in, n_out = layer.channels_in, layer.channels_out
    finish = int(given.get("finish", gcd(outputs, n_out)))
    if n_in % lanes or outputs > n_out or outputs % finish or n_out % finish:
        raise ConfigurationError(
            f"{where} must have channels that divide {n_in}, at most {n_out} outputs, and a finish that divides both "
            f"these and {n_out}, not {lanes}, {outputs} and {finish}"
        )
    return PackedTile(outputs, lanes, finish, copies, sharing)


def packed_fold(layer: Conv | Dense, tile: PackedTile, products: Products) -> PackedFold:
    """What a given tile comes to.

    Args:
        layer: which.
        tile: of its matrix.
        products: what they are of.
    """
    packed = pack_matrix(matrix_of(layer), tile)
    readers = int(packed.used.sum())
    each = readers if products.pairs and tile.sharing == 2 else int(packed.weights.any(axis=(0, 1)).sum())
    return PackedFold(tile, int(packed.lengths.sum()), readers, each + products.finish_multipliers * tile.finish)


def held_elements(layer: Conv | Dense, lanes: int) -> int:
    """Elements in the memory of each reader, about: of two frames of a vector, or of the rows of a window."""
    if isinstance(layer, Dense):
        return 2 * -(-layer.weights.shape[0] // lanes)
    window = layer.window
    rows, columns = ((size - 1) * step for size, step in zip(window.kernel, window.dilation, strict=True))
    words = (rows * window.in_width + columns + 1) * layer.channels_in // lanes
    return 1 << words.bit_length()
