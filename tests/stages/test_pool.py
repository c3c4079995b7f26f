"""Max pooling: codes of the graph, every edge where the schedule has it."""

import re

import numpy as np
import pytest

from rtl4ml.errors import ConfigurationError
from rtl4ml.operators import Gather, Pool, Window
from rtl4ml.planning.schedule import summarise
from rtl4ml.stages.pool import PoolStage
from tests.stages.maps import check, feature_map, graph_of, multipliers_in_verilog, requantize

WINDOWS = {
    "halves": Window(4, 6, (2, 2), stride=(2, 2)),
    "overlapping": Window(5, 5, (3, 3), stride=(2, 2)),
    "padded": Window(4, 5, (3, 3), pads=(1, 1, 1, 1)),
    "padded on one side": Window(4, 4, (2, 3), stride=(1, 2), pads=(0, 2, 1, 0)),
    "dilated": Window(6, 5, (2, 2), dilation=(3, 2), pads=(1, 0, 0, 1)),
    "rows left over": Window(5, 7, (2, 2), stride=(2, 2)),
    "length": Window(7, 1, (3, 1), stride=(2, 1), pads=(1, 0, 1, 0)),
    "sparse": Window(5, 5, (1, 1), stride=(2, 2)),
    "whole": Window.whole(3, 3),
}


def staged(window, channels, lanes, taps=(1, 1), kind=None, *, lanes_in=None, clock=200, **options):
    x = feature_map((window.in_height, window.in_width, channels), **options)
    pool = Pool("pool", ("x",), "a", window, (window.out_height, window.out_width, channels))
    lanes_in = lanes_in or lanes
    if kind is None:
        return (graph := graph_of(x, pool)), PoolStage(graph, "pool", None, lanes, taps, lanes_in, clock, None)
    step, form = requantize(pool.infer((x,)), "q", "y", kind=kind, bits=3)
    graph = graph_of(x, pool, step)
    return graph, PoolStage(graph, "pool", "q", lanes, taps, lanes_in, clock, form)


def all_taps(window):
    rows, columns = window.kernel
    return list(dict.fromkeys([(1, 1), (rows, 1), (1, columns), (rows, columns)]))


@pytest.mark.parametrize(("case", "taps"), [(case, taps) for case, w in WINDOWS.items() for taps in all_taps(w)])
def test_windows(case, taps):
    """Channels of other ranges, so that padding is another code in each."""
    graph, stage = staged(WINDOWS[case], 2, 1 + len(case) % 2, taps, seed=1)
    assert stage.multipliers == 0
    check(graph, stage)


@pytest.mark.parametrize("lanes_in", [1, 3, 4, 8])
@pytest.mark.parametrize("lanes", [1, 4])
def test_lanes(lanes, lanes_in):
    check(*staged(WINDOWS["halves"], 4, lanes, (1, 2), lanes_in=lanes_in, signed=False))


@pytest.mark.parametrize("kind", ["shift", "affine", "thresholds"])
@pytest.mark.parametrize("taps", [(1, 1), (2, 2)])
@pytest.mark.parametrize("lanes", [1, 3])
def test_finish(kind, taps, lanes):
    graph, stage = staged(WINDOWS["halves"], 3, lanes, taps, kind, clock=400, bits=6, seed=4)
    assert stage.multipliers == (1 if (kind, lanes) == ("affine", 1) else 0)  # all channels side by side: constants
    check(graph, stage)
    assert multipliers_in_verilog(stage) == stage.multipliers


@pytest.mark.parametrize("seed", range(12))
def test_random_windows(seed):
    generator = np.random.default_rng(seed)
    kernel, stride, dilation = (tuple(generator.integers(1, 4, 2).tolist()) for _ in range(3))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    # Padding of less than what a window reaches over, so that none lies on padding alone.
    pads = tuple(int(generator.integers(0, min(r, 3))) for r in reach * 2)
    height, width = (int(r + generator.integers(0, 4)) for r in reach)
    window = Window(height, width, kernel, stride, dilation, pads)
    if np.any(np.all(window.taps < 0, axis=1)):
        window = Window(height, width, kernel, stride, dilation)
    taps = all_taps(window)[seed % len(all_taps(window))]
    channels = int(generator.integers(1, 4))
    lanes = int(generator.choice([c for c in range(1, channels + 1) if channels % c == 0]))
    kind = generator.choice(["shift", "affine", "thresholds"])
    lanes_in = int(generator.integers(1, 2 * channels + 1))
    check(*staged(window, channels, lanes, taps, kind, lanes_in=lanes_in, seed=seed))


@pytest.mark.parametrize("clock", [50, 500])
def test_clocks(clock):
    check(*staged(WINDOWS["overlapping"], 2, 2, (3, 3), clock=clock, bits=7))
    check(*staged(WINDOWS["overlapping"], 2, 2, (1, 3), clock=clock, bits=7))


def test_as_fast_as_pixels_come():
    """Halving both sides with two taps a word: four pixels in for two words; nothing waits."""
    window = Window(16, 8, (2, 2), stride=(2, 2))
    _, stage = staged(window, 4, 2, (1, 1))
    assert summarise([stage]).interval == 16 * 8 * 2
    assert stage.plan.held < 16 * 8 * 2 // 2
    window = Window(8, 8, (3, 3), pads=(1, 1, 1, 1))
    _, stage = staged(window, 2, 2, (3, 3))
    assert summarise([stage]).interval == 8 * 8


def test_errors():
    def refused(message, build):
        with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
            build()

    refused("Lanes of node 'pool' must divide its 4 channels, not be 3", lambda: staged(WINDOWS["halves"], 4, 3))
    refused(
        "Taps of node 'pool' must be 1 or all of 3 x 3, not 2 x 3",
        lambda: staged(WINDOWS["padded"], 2, 1, (2, 3)),
    )
    x = feature_map((2, 2))
    graph = graph_of(x, Gather("move", ("x",), "y", np.arange(4), (2, 2)))
    refused("Node 'move' must be a Pool, not a Gather", lambda: PoolStage(graph, "move", None, 1, (1, 1), 1, 200, None))
    graph, _ = staged(WINDOWS["halves"], 2, 2, kind="shift")
    refused(
        "Form and Requantize of node 'pool' must be given together, not one of them",
        lambda: PoolStage(graph, "pool", "q", 1, (1, 1), 1, 200, None),
    )
