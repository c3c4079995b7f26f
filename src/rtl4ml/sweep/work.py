"""One point becomes one result, wherever it runs: numbers of the plan, and an area as exact as was asked for."""

import json
import time
import traceback
from dataclasses import asdict, dataclass, replace
from typing import Any

from rtl4ml.cache import key_of
from rtl4ml.design import Design
from rtl4ml.errors import ConfigurationError, Rtl4mlError
from rtl4ml.export.names import ip_name
from rtl4ml.frontend.load import with_free_weights
from rtl4ml.planning.estimates.model import Estimate, estimate
from rtl4ml.planning.plan import Plan, plan
from rtl4ml.sweep.model import Reading, graph_of
from rtl4ml.sweep.points import Point
from rtl4ml.sweep.results import Record
from rtl4ml.sweep.versions import versions
from rtl4ml.synthesis.targets import TARGETS, find_target
from rtl4ml.synthesis.yosys import Resources, synthesize

MEASURES = ("plan", "estimate", "map", "place")
"""How areas are found: by the plan's own numbers, by estimating cells, by mapping to cells, by place and route too."""

LUTS_OF_CARRY = {"ecp5": 2}
"""Lookup tables inside a carry cell, where there are any: in an ECP5 a CCU2C is two of them."""


@dataclass(frozen=True)
class Measure:
    """How exact the area shall be.

    Parameters:
        how: one of `MEASURES`.
        target: device; its timing says where registers stand, too; None: no device in particular, for plans alone.
        seeds: placements of each point; the fastest counts.
        force: unroll layers even when that takes minutes.

    Raises:
        ConfigurationError: a word without a meaning, or a target that does not fit it.
    """

    how: str = "plan"
    target: str | None = None
    seeds: int = 1
    force: bool = False

    def __post_init__(self) -> None:
        """Check that the target can be measured on so."""
        if self.how not in MEASURES:
            raise ConfigurationError(f"Measure must be one of {', '.join(MEASURES)}, not {self.how!r}")
        if self.seeds < 1:
            raise ConfigurationError(f"seeds must be an integer of at least 1, not {self.seeds!r}")
        if self.target is None:
            if self.how != "plan":
                raise ConfigurationError(f"Measure {self.how!r} must have a target ({', '.join(TARGETS)}), not none")
            return
        if not find_target(self.target).placed and self.how == "place":
            placed = ", ".join(name for name, target in TARGETS.items() if target.placed)
            raise ConfigurationError(f"Target of place and route must be one of {placed}, not {self.target!r}")

    @property
    def words(self) -> str:
        """What a title says of it."""
        done = {"plan": "planned", "estimate": "estimated", "map": "mapped", "place": "placed"}[self.how]
        return done if self.target is None else f"{done} for {self.target}"

    def describe(self) -> dict[str, Any]:
        """What the result depends on, as plain types."""
        return asdict(self)

    def versions(self) -> dict[str, str]:
        """Versions of what measures.

        Raises:
            ToolError: a tool is missing.
        """
        return versions(self.how in ("map", "place"), self.target, self.how == "place")


@dataclass(frozen=True)
class Job:
    """A point with all that its result depends on.

    Parameters:
        digest: of the model.
        point: what is built.
        measure: how it is measured.
        reading: how the model is read.
        versions: those that the result shall be of.
    """

    digest: str
    point: Point
    measure: Measure
    reading: Reading
    versions: tuple[tuple[str, str], ...]

    @property
    def key(self) -> str:
        """Hash of everything above: the same key, the same result."""
        parts = self.point.describe(), self.measure.describe(), self.reading.describe(), dict(self.versions)
        return key_of([self.digest, *(json.dumps(part, sort_keys=True) for part in parts)])

    def record(self, **outcome: Any) -> Record:
        """What the file of results keeps."""
        return {
            "key": self.key,
            "model": self.digest,
            "point": self.point.describe(),
            "measure": self.measure.describe(),
            "reading": self.reading.describe(),
            "versions": dict(self.versions),
            **outcome,
        }


def run(job: Job) -> Record:
    """Build and measure a point. What it is refused for is a result too: `error` with `kind` and `message`.

    Raises:
        ConfigurationError: this process has other versions than the job is for, or never got the model.
        ToolError: a tool is missing here.
    """
    here = job.measure.versions()
    if here != dict(job.versions):
        raise ConfigurationError(f"Worker must have {_words(dict(job.versions))}, not {_words(here)}")
    started = time.perf_counter()
    try:
        outcome = {"result": _result(job)}
    except Rtl4mlError as error:
        outcome = {"error": {"kind": type(error).__name__, "message": str(error)}}
    except Exception as error:  # one point's bug or lack of memory must not cost the others
        said = "".join(traceback.format_exception_only(error)).strip()
        outcome = {"error": {"kind": type(error).__name__, "message": said, "trace": traceback.format_exc()}}
    return job.record(**outcome, seconds=round(time.perf_counter() - started, 3))


def _words(found: dict[str, str]) -> str:
    return ", ".join(f"{tool} {version}" for tool, version in found.items())


def _result(job: Job) -> dict[str, Any]:
    point, measure = job.point, job.measure
    graph = graph_of(job.digest, job.reading, point.input_format)
    settings = point.settings if measure.target is None else replace(point.settings, target=measure.target)
    if settings.weights == "writable":
        graph = with_free_weights(graph)
    design = Design(graph, plan(graph, settings, force=measure.force), ip_name(graph.name, given=False))
    return {"plan": plan_numbers(design.plan), **_area(design, measure)}


def plan_numbers(plan: Plan) -> dict[str, Any]:
    """What a plan says before any hardware exists: cycles, nanoseconds at the clock asked for, parts."""
    period_ns = 1000 / plan.settings.clock_mhz
    network = plan.network
    return {
        "latency_cycles": plan.latency,
        "latency_ns": round(plan.latency * period_ns, 3),
        "interval_cycles": plan.interval,
        "interval_ns": round(plan.interval * period_ns, 3),
        "multipliers": plan.multipliers,
        "lut_products": plan.logic_products,
        "memory_bits": plan.memory_bits,
        "fifo_bits": sum(fifo.depth * network.width(fifo.branch.tensor) for fifo in plan.fifos),
        "input_lanes": plan.input_lanes,
        "stages": len(plan.stages),
    }


def _area(design: Design, measure: Measure) -> dict[str, Any]:
    """Cells, and the clock where it is found."""
    if measure.how == "plan" or measure.target is None:
        return {}
    if measure.how == "estimate":
        guess = estimate(design.plan, measure.target)
        return {"cells": _cells(guess, measure.target), "fmax_estimate_mhz": guess.fmax_mhz}
    if measure.how == "map":
        return {"cells": _cells(synthesize(design.verilog, design.name, measure.target), measure.target)}
    # One run at a time: the cluster says how many there are side by side.
    found = design.synthesize(measure.target, stages=False, seeds=measure.seeds, jobs=1)
    return {"cells": _cells(found.resources, measure.target), "fmax_mhz": found.fmax_mhz}


def _cells(found: Resources | Estimate, target: str) -> dict[str, int]:
    """Cells by kind; `lut` are all lookup tables: those that compute, those used as memory, those of carry cells."""
    carries = found.carry * LUTS_OF_CARRY.get(find_target(target).family, 0)
    kinds = {kind: getattr(found, kind) for kind in ("ff", "dsp", "bram", "carry")}
    return {"lut": found.lut + found.lut_memory + carries, "lut_memory": found.lut_memory, **kinds}
