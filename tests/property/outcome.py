"""What becomes of a random network: equal, different, refused or broken."""

from __future__ import annotations

import re
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import rtl4ml
from rtl4ml.errors import Rtl4mlError
from tests.property.networks import Network

REASONS: dict[str, str] = {
    r"must have at most 2\*\*20 pairs of codes": (
        "two tensors of many codes meet on scales that float32 does not add exactly"
    ),
    r"must have scales that integers of 24 bits can stand for": (
        "float32 rounds what two tensors make in a way that follows no integers, and a table of all pairs is too large"
    ),
    r"^Steps of .* must be (at most|found within)": "a function with more steps than search and hardware can take",
}
"""Refusals that may be, by what their message says, and why."""


@dataclass(frozen=True)
class Outcome:
    """One network.

    Parameters:
        status: "equal", "different", "refused" (for one of `REASONS`), "refused without reason" or "broken".
        message: of the error, or what differs.
        codes: compared.
        seconds: in all.
        rtl: whether the Verilog was simulated.
        settings: of the hardware.
    """

    status: str
    message: str
    codes: int
    seconds: float
    rtl: bool = False
    settings: str = ""

    def describe(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def reason(message: str) -> str | None:
    """Why a message may be; None where it may not."""
    return next((why for pattern, why in REASONS.items() if re.search(pattern, message)), None)


def settings_for(number: int, multiplications: int, n_in: int, *, spatial: bool = False) -> dict[str, Any]:
    """Hardware of all kinds: unrolled where that is small, folded otherwise; images take cycles for their pixels."""
    random = np.random.default_rng([7, number])
    reuse = int(random.choice([20, 60, 200, 600, 3000, 10**6] if spatial else [2, 3, 5, 16, 64, 10**6]))
    if multiplications <= 600 and random.random() < (0.1 if spatial else 0.4):
        reuse = 1
    lanes = int(random.integers(1, n_in + 1)) if random.random() < 0.4 and reuse > 1 else None
    backpressure = bool(random.random() < 0.8)
    # Adders for digits are solved for as unrolled ones are: not for wide layers.
    styles = ["multipliers", "multipliers", "sparse", "digits", "auto"]
    style = str(random.choice(styles)) if multiplications <= 600 else None
    target = "xcup" if random.random() < 0.3 else None
    settings = {"reuse": reuse, "lanes": lanes if backpressure else None, "backpressure": backpressure}
    return settings | {"style": style, "target": target}


def _multiplications(operator: Any) -> int:
    """Of a product by weights that are not 0: once, or once for every pixel of its result."""
    if not hasattr(operator, "weights"):
        return 0
    pixels = operator.window.pixels_out if hasattr(operator, "window") else 1
    return int(np.count_nonzero(operator.weights)) * pixels


def run(network: Network, number: int = 0, *, samples: int = 150, rtl: bool = False) -> Outcome:
    """Load a network, compile it and compare it with the strict judge; with `rtl`, the Verilog with it as well."""
    started = time.perf_counter()
    settings: dict[str, Any] = {"reuse": 10**6}

    def outcome(status: str, message: str = "", codes: int = 0) -> Outcome:
        return Outcome(status, message, codes, round(time.perf_counter() - started, 3), rtl, str(settings))

    try:
        with tempfile.TemporaryDirectory(prefix="rtl4ml-") as folder:
            path = Path(folder) / "net.onnx"
            onnx.save(network.model, path)
            graph = rtl4ml.load(path, network.input_format, chains=network.chains)
        if rtl:
            multiplications = sum(_multiplications(o) for o in graph.operators)
            spatial = any(hasattr(o, "window") for o in graph.operators)
            settings = settings_for(number, multiplications, graph.input_tensor.size, spatial=spatial)
        result = rtl4ml.compile(graph, **settings).verify(samples=samples, seed=number, rtl=rtl)
    except Rtl4mlError as error:
        message = str(error)
        return outcome("refused" if reason(message) else "refused without reason", message)
    except Exception:
        return outcome("broken", traceback.format_exc())
    equality = result.equality
    wrong = [f"{t.name}: {t.mismatches} of {t.codes}" for t in equality.tensors if t.mismatches]
    if wrong or equality.unjudged:
        return outcome("different", "; ".join([*wrong, *equality.unjudged]), equality.codes)
    if not equality.passed:
        where = [t.name for t in equality.tensors if t.judge_differences]
        return outcome("different", f"judges differ where they must not: {', '.join(where)}", equality.codes)
    if not result.passed:
        return outcome("different", f"Verilog: {result.rtl} {result.counted_multipliers}/{result.plan.multipliers}")
    return outcome("equal", "", equality.codes)
