"""What a verification saw, as one object: for people, for machines, and for the exit status."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rtl4ml.formats import Codes, spread
from rtl4ml.frontend.equality import Equality
from rtl4ml.graph import Graph
from rtl4ml.planning.plan import Plan
from rtl4ml.simulation.cocotb_bench import BenchResult
from rtl4ml.simulation.rtl_check import RtlCheck


@dataclass(frozen=True)
class ChannelCoverage:
    """How much of a tensor's possible codes the stimuli reached.

    Parameters:
        tensor: its name.
        channels: fraction of the possible range between the lowest and the highest code seen, for each channel.
    """

    tensor: str
    channels: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over channels."""
        return float(np.mean(self.channels))

    @property
    def worst(self) -> float:
        """Of the channel seen least."""
        return float(min(self.channels))


def coverage(graph: Graph, codes: Mapping[str, Codes]) -> tuple[ChannelCoverage, ...]:
    """Coverage of every tensor in `codes`, int64 (N, n) each."""
    found = []
    for name, seen in codes.items():
        tensor = graph.tensors[name]
        seen = seen.reshape(-1, tensor.channels)
        low, high = (spread(limit, tensor.channels) for limit in (tensor.low, tensor.high))
        possible = np.maximum(1, high - low)
        reached = np.where(high == low, 1.0, (seen.max(axis=0) - seen.min(axis=0)) / possible)
        found.append(ChannelCoverage(name, tuple(round(float(r), 4) for r in reached)))
    return tuple(found)


@dataclass(frozen=True)
class Verification:
    """All that was compared.

    Parameters:
        plan: what the hardware must keep to.
        equality: reference against the ONNX file.
        rtl: Verilog against reference and plan, or None when only the reference was asked for.
        bench: the protocol bench, or None.
        counted_multipliers: in the exported Verilog; None without RTL.
        coverage: of every quantized tensor and the output.
        accuracy: with labels: of the reference and of the unmodified judge.
        seconds: for each step.
    """

    plan: Plan
    equality: Equality
    rtl: RtlCheck | None
    bench: BenchResult | None
    counted_multipliers: int | None
    coverage: tuple[ChannelCoverage, ...]
    accuracy: Mapping[str, float] | None
    seconds: Mapping[str, float]

    @property
    def passed(self) -> bool:
        """Everything held."""
        return (
            self.equality.passed
            and (self.rtl is None or self.rtl.passed)
            and (self.bench is None or self.bench.passed)
            and self.counted_multipliers in (None, self.plan.multipliers)
        )

    def describe(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        rtl = None if self.rtl is None else asdict(self.rtl) | {"passed": self.rtl.passed}
        return {
            "passed": self.passed,
            "reference": {
                "samples": self.equality.samples,
                "codes": self.equality.codes,
                "mismatches": self.equality.mismatches,
                "judge_differences": self.equality.judge_differences,
                "output_differences": self.equality.output_differences,
                "judge_required": self.equality.judge_required,
                "departures": self.equality.departures,
                "announced": [asdict(d) for d in self.equality.announced],
                "unjudged": list(self.equality.unjudged),
                "tensors": [asdict(t) for t in self.equality.tensors],
                "worst": [asdict(w) for w in self.equality.worst],
            },
            "rtl": rtl,
            "bench": None
            if self.bench is None
            else {"passed": self.bench.passed, "cases": [asdict(c) for c in self.bench.cases]},
            "latency_cycles": {"planned": self.plan.latency, "measured": self.rtl.latency if self.rtl else None},
            "interval_cycles": {"planned": self.plan.interval, "measured": self.rtl.interval if self.rtl else None},
            "multipliers": {"planned": self.plan.multipliers, "counted": self.counted_multipliers},
            "coverage": [
                {"tensor": c.tensor, "mean": c.mean, "worst": c.worst, "channels": list(c.channels)}
                for c in self.coverage
            ],
            "accuracy": None if self.accuracy is None else dict(self.accuracy),
            "seconds": dict(self.seconds),
        }
