"""Small random convolutions as graphs, and their stages."""

from dataclasses import replace

import numpy as np

from rtl4ml.operators import Conv
from rtl4ml.operators.dense import WeightLimits
from rtl4ml.stages.conv import ConvStage
from rtl4ml.stages.conv_tile import ConvTile, choose_conv_tile
from tests.stages.maps import feature_map, graph_of, requantize


def conv_of(window, channels, outputs, *, groups=1, seed=0, weights=None, limits=False, name="conv", source="x"):
    """A Conv of random weights from -8 to 7, or of the given ones only."""
    generator = np.random.default_rng(seed)
    shape = (*window.kernel, channels // groups, outputs)
    numbers = generator.choice(np.arange(-8, 8) if weights is None else weights, shape)
    bias = generator.integers(-20, 21, outputs)
    image = window.out_height, window.out_width, outputs
    conv = Conv(name, (source,), f"{name}_sums", window, numbers, bias, np.array(0.25), groups, image)
    return replace(conv, limits=WeightLimits.of(numbers, bias)) if limits else conv


def network(window, channels, outputs, *, kind="shift", groups=1, seed=0, weights=None, limits=False, source=None):
    """A graph of a Conv and the Requantize behind it; without a kind the Conv alone. `source` says what comes in.

    Returns the graph, the Conv, and the form of the Requantize or None.
    """
    image = feature_map((window.in_height, window.in_width, channels), **source or {})
    conv = conv_of(window, channels, outputs, groups=groups, seed=seed, weights=weights, limits=limits)
    if kind is None:
        return graph_of(image, conv), conv, None
    node, form = requantize(conv.infer((image,)), "q", "y", kind=kind, seed=seed)
    return graph_of(image, conv, node), conv, form


def stage_of(graph, conv, form, tile, lanes=None, clock=200, first_address=None):
    """Its stage, on a tile or on the smallest for a number of cycles."""
    if not isinstance(tile, ConvTile):
        tile = choose_conv_tile(conv, tile)
    requantize = None if form is None else "q"
    return ConvStage(graph, conv.name, requantize, tile, lanes or tile.channels, clock, form, first_address)
