"""Estimates of whole plans."""

import time

import numpy as np
import pytest

import rtl4ml
from rtl4ml.errors import ConfigurationError
from rtl4ml.frontend.load import from_model
from rtl4ml.planning.estimates.families import FAMILIES, FEATURES
from rtl4ml.planning.estimates.model import coefficients, estimate
from tests.frontend.build import mlp


@pytest.fixture(scope="module")
def graph() -> rtl4ml.Graph:
    return from_model(mlp(np.random.default_rng(5), (16, 24, 10)).model(), "mlp")


def test_every_family_has_coefficients() -> None:
    assert set(coefficients()) == set(FAMILIES)
    for name, found in coefficients().items():
        assert set(found) == {"lut", "carry", "ff", "wide", "cells", "period"}, name
        assert set(found["lut"]) <= {*FEATURES, "one", "absorbed"}, name


@pytest.mark.parametrize("target", ["ecp5-25f", "ice40-up5k", "ice40-hx8k", "xcup", "xc7", "xc7z020", "xczu3eg"])
def test_less_hardware_in_more_time(graph: rtl4ml.Graph, target: str) -> None:
    fast, slow = (rtl4ml.compile(graph, reuse=reuse, target="ecp5").plan for reuse in (8, 96))
    many, few = estimate(fast, target), estimate(slow, target)
    assert many.cells > few.cells > 0
    assert many.ff > few.ff > 0
    assert min(many.fmax_mhz, few.fmax_mhz) > 5
    assert many.describe()["target"] == target


def test_multipliers_are_exact(graph: rtl4ml.Graph) -> None:
    plan = rtl4ml.compile(graph, reuse=32, target="ecp5").plan
    assert estimate(plan, "ecp5").dsp == plan.multipliers
    assert estimate(plan, "ice40-hx8k").dsp == 0


def test_milliseconds(graph: rtl4ml.Graph) -> None:
    """Most of a second would be a slow machine; synthesis takes a hundred times as long."""
    plan = rtl4ml.compile(graph, reuse=16, target="ecp5").plan
    started = time.process_time()
    estimate(plan, "ecp5")
    assert time.process_time() - started < 1.0


def test_free_running(graph: rtl4ml.Graph) -> None:
    plan = rtl4ml.compile(graph, reuse=1, backpressure=False, target="ecp5").plan
    assert estimate(plan, "ecp5").cells > 0


def test_an_unknown_target(graph: rtl4ml.Graph) -> None:
    design = rtl4ml.compile(graph, reuse=16)
    with pytest.raises(ConfigurationError, match=r"^Target of an estimate must be one of .*, not 'max10'$"):
        design.estimate("max10")
    with pytest.raises(ConfigurationError, match=r"^target of an estimate must be a device, not None"):
        design.estimate()
