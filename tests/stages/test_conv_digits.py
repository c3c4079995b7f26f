"""Convolutions whose whole kernel takes digits of a window, a window of several cycles after the other."""

import numpy as np
import pytest

from rtl4ml.hdl.digit_plan import DigitPlan
from rtl4ml.operators.window import Window
from rtl4ml.stages.conv import ConvStage
from rtl4ml.stages.conv_tile import whole_tile
from tests.hdl.bench import refuses
from tests.stages.convolutions import network
from tests.stages.maps import check
from tests.stages.test_conv import LINE, SQUARE, WINDOWS, interval


def stage_of(graph, conv, form, digit, lanes=None, clock=200):
    requantize = None if form is None else "q"
    return ConvStage(
        graph, conv.name, requantize, whole_tile(conv), lanes or conv.channels_in, clock, form, None, digit
    )


@pytest.mark.parametrize("digit", [1, 2, 3])
@pytest.mark.parametrize(
    ("window", "channels", "outputs", "groups"),
    [(SQUARE, 2, 3, 1), (SQUARE, 4, 4, 2), (SQUARE, 3, 3, 3), (LINE, 3, 2, 1), (Window(5, 5, (3, 3)), 1, 2, 1)],
)
def test_digits(window, channels, outputs, groups, digit):
    graph, conv, form = network(window, channels, outputs, groups=groups, kind="affine")
    stage = stage_of(graph, conv, form, digit)
    assert isinstance(stage.plan, DigitPlan)
    assert stage.multipliers == 0
    handed = check(graph, stage)
    cycles = max(window.pixels_out * stage.plan.cycles, window.pixels_in)
    assert interval(handed) == cycles == stage.timing.issues


@pytest.mark.parametrize("window", WINDOWS)
def test_windows(window):
    graph, conv, form = network(window, 2, 2, kind="thresholds", seed=1)
    check(graph, stage_of(graph, conv, form, 2, clock=400))


@pytest.mark.parametrize("lanes", [1, 2, 5, 6])
@pytest.mark.parametrize("kind", [None, "shift"])
def test_lanes(lanes, kind):
    graph, conv, form = network(SQUARE, 2, 3, kind=kind, seed=2)
    check(graph, stage_of(graph, conv, form, 1, lanes))


@pytest.mark.parametrize("source", [dict(zero=3), dict(signed=False, zero=5), dict(seed=2)])
def test_zero_points(source):
    graph, conv, form = network(SQUARE, 2, 3, seed=3, source=source)
    check(graph, stage_of(graph, conv, form, 2))


def test_channels_without_weights():
    graph, conv, form = network(SQUARE, 2, 3, weights=[0])
    assert not np.any(conv.weights)
    check(graph, stage_of(graph, conv, form, 1))


def test_digits_are_parts():
    graph, conv, form = network(SQUARE, 2, 3)
    refuses(lambda: stage_of(graph, conv, form, 7), "Digits must have 1 to 3 bits, less than the elements, not 7")
