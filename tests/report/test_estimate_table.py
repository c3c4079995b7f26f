from io import StringIO

import numpy as np
import pytest
from rich.console import Console

import rtl4ml
from rtl4ml.frontend.load import from_model
from rtl4ml.report.estimate_table import estimate_table
from tests.frontend.build import mlp


@pytest.fixture(scope="module")
def graph():
    return from_model(mlp(np.random.default_rng(5), (24, 32, 10)).model(), "mlp")


def text(*arguments):
    out = StringIO()
    Console(file=out, width=120).print(estimate_table(*arguments))
    return out.getvalue()


def test_a_family_has_no_shares(graph):
    found = rtl4ml.compile(graph, reuse=16, target="ecp5").estimate()
    said = text(found)
    assert "Estimate for ecp5" in said
    assert f"{found.cells:,}" in said
    assert "%" not in said


def test_a_part_has(graph):
    found = rtl4ml.compile(graph, reuse=64, target="ecp5-25f").estimate()
    assert f"{found.dsp} ({found.dsp / 28:.0%})" in text(found)


def test_a_fit_shows_the_next_faster_plan(graph):
    fitting = rtl4ml.compile(graph, fit="ecp5-25f", clock_mhz=50).fitting
    said = text(fitting.chosen.estimate, fitting)
    assert "chosen" in said
    assert "next faster" in said
    assert f"the next faster plan does not fit ecp5-25f: it takes {fitting.faster.estimate.dsp} DSP of 28" in said


def test_the_fastest_there_is(graph):
    fitting = rtl4ml.compile(graph, fit="xcku15p", clock_mhz=50).fitting
    assert "the fastest plan there is fits xcku15p" in text(fitting.chosen.estimate, fitting)
