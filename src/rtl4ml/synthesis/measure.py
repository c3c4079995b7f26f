"""A design and each of its stages, measured on a device: cells, and the clock where place and route runs."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from rtl4ml.errors import ConfigurationError
from rtl4ml.synthesis.nextpnr import Placement, nextpnr_version, place
from rtl4ml.synthesis.targets import find_target
from rtl4ml.synthesis.yosys import Resources, map_cells
from rtl4ml.yosys import yosys_version


@dataclass(frozen=True)
class Block:
    """Verilog to be measured by itself.

    Parameters:
        name: for people.
        top: name of its module.
        files: text by file name; all that the module needs.
        clock: name of its clock.
    """

    name: str
    top: str
    files: Mapping[str, str]
    clock: str


@dataclass(frozen=True)
class Measurement:
    """What a block takes and how fast it is.

    Parameters:
        name: of the block.
        resources: cells as Yosys maps them.
        placements: one a seed; none where only Yosys runs.
    """

    name: str
    resources: Resources
    placements: tuple[Placement, ...]

    @property
    def placement(self) -> Placement | None:
        """The fastest."""
        return max(self.placements, key=lambda placement: placement.fmax_mhz or 0.0, default=None)

    @property
    def fmax_mhz(self) -> float | None:
        """Clock of the fastest placement; None where there is none, or no path between registers."""
        return None if self.placement is None else self.placement.fmax_mhz

    def describe(self) -> dict[str, Any]:
        """The measurement as plain types."""
        best = self.placement
        return {
            "name": self.name,
            **asdict(self.resources),
            "fmax_mhz": self.fmax_mhz,
            "fmax_mhz_by_seed": {str(placement.seed): placement.fmax_mhz for placement in self.placements},
            "placement": None if best is None else best.describe(),
        }


@dataclass(frozen=True)
class Synthesis:
    """A design on a device.

    Parameters:
        target: name of the device.
        clock_mhz: what the placer tried to reach.
        tools: versions by name.
        whole: the design with its bus, flattened.
        stages: each module by itself, with registers of the harness around it. They do not add up to the whole: Yosys
            optimises across modules once they are flattened.
    """

    target: str
    clock_mhz: float
    tools: Mapping[str, str]
    whole: Measurement
    stages: tuple[Measurement, ...]

    @property
    def resources(self) -> Resources:
        """Cells of the whole design."""
        return self.whole.resources

    @property
    def fmax_mhz(self) -> float | None:
        """Clock of the whole design; None where place and route does not run."""
        return self.whole.fmax_mhz

    def describe(self) -> dict[str, Any]:
        """The synthesis as plain types."""
        return {
            "target": self.target,
            "clock_mhz": self.clock_mhz,
            "tools": dict(self.tools),
            "whole": self.whole.describe(),
            "stages": [stage.describe() for stage in self.stages],
        }


def measure(
    blocks: Sequence[Block],
    target: str,
    clock_mhz: float,
    seeds: int = 1,
    jobs: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Measurement]:
    """Map blocks to a device, place and route them where nextpnr can, several side by side.

    Args:
        blocks: what to measure.
        target: one of `TARGETS`.
        clock_mhz: what the placer tries to reach.
        seeds: placements a block; the fastest counts.
        jobs: runs at a time; None: as many as there are processors.
        progress: called with (what, runs done, runs in all).

    Raises:
        ConfigurationError: an unknown target, no seeds, no jobs.
        ToolError: a tool is missing or refuses a block.
    """
    found = find_target(target)
    for name, number in (("seeds", seeds), ("jobs", jobs)):
        if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
            raise ConfigurationError(f"{name} must be an integer of at least 1, not {number!r}")
    done, total = 0, len(blocks) * (1 + (seeds if found.placed else 0))

    def tell(what: str) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(what, done, total)

    with ThreadPoolExecutor(max_workers=jobs or os.cpu_count() or 1) as runs:
        mapping = [runs.submit(map_cells, block.files, block.top, target) for block in blocks]
        placing = []
        try:
            for block, mapped in zip(blocks, mapping, strict=True):
                netlist = mapped.result().netlist
                tell(f"mapping {block.name}")
                placing.append(
                    [
                        runs.submit(place, netlist, block.top, target, block.clock, clock_mhz, seed)
                        for seed in range(1, seeds + 1)
                    ]
                    if found.placed
                    else []
                )
            results = []
            for block, mapped, attempts in zip(blocks, mapping, placing, strict=True):
                placements = []
                for attempt in attempts:
                    placements.append(attempt.result())
                    tell(f"placing {block.name}")
                results.append(Measurement(block.name, mapped.result().resources, tuple(placements)))
        except BaseException:
            runs.shutdown(wait=False, cancel_futures=True)
            raise
    return results


def tool_versions(target: str) -> dict[str, str]:
    """Versions of the tools that measure on a target.

    Raises:
        ConfigurationError: an unknown target.
        ToolError: a tool is missing.
    """
    found = find_target(target)
    versions = {"yosys": yosys_version()}
    return versions | ({"nextpnr": nextpnr_version(found.family)} if found.placed else {})


def synthesize_design(
    files: Mapping[str, str],
    name: str,
    clock: str,
    target: str,
    clock_mhz: float,
    stages: bool = True,
    seeds: int = 1,
    jobs: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Synthesis:
    """Measure an IP and each of the modules that its core is made of.

    Args:
        files: Verilog by file name: the wrapper, the core, and a file for each module in it.
        name: of the wrapper.
        clock: of the wrapper.
        target: one of `TARGETS`.
        clock_mhz: what the placer tries to reach.
        stages: False: the whole alone.
        seeds: placements of each; the fastest counts.
        jobs: runs at a time; None: as many as there are processors.
        progress: called with (what, runs done, runs in all).

    Raises:
        ConfigurationError: an unknown target, no seeds, no jobs.
        ToolError: a tool is missing, or the design does not fit.
    """
    tools = tool_versions(target)
    blocks = [Block(name, name, files, clock)]
    if stages:
        modules = [file.removesuffix(".v") for file in files if file not in (f"{name}.v", f"{name}_core.v")]
        blocks += [
            Block(module.removeprefix(f"{name}_"), module, {f"{module}.v": files[f"{module}.v"]}, "clk")
            for module in modules
        ]
    whole, *parts = measure(blocks, target, clock_mhz, seeds, jobs, progress)
    return Synthesis(target, clock_mhz, tools, whole, tuple(parts))
