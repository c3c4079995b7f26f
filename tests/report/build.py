"""A verification of a small network, with the hardware's part made up."""

from dataclasses import replace
from pathlib import Path

import numpy as np

import rtl4ml
from rtl4ml.report.verification import Verification
from rtl4ml.simulation.cocotb_bench import BenchCase, BenchResult
from rtl4ml.simulation.rtl_check import RtlCheck
from tests.frontend.build import load, mlp


def verification(folder: Path) -> Verification:
    """Everything held."""
    design = rtl4ml.compile(load(mlp(np.random.default_rng(24), [6, 5, 4]), folder), reuse=5)
    plan = design.plan
    rtl = RtlCheck(50, 400, 0, plan.latency, plan.interval, True, 50, True, 999, 0.25)
    bench = BenchResult((BenchCase("stalls", "passed", "", 1.0), BenchCase("tlast_early", "skipped", "one beat", 0.0)))
    result = design.verify(samples=50, rtl=False)
    return replace(result, rtl=rtl, bench=bench, counted_multipliers=plan.multipliers)
