"""Records as a sweep makes them, without one."""

from typing import Any

from rtl4ml.planning.settings import Settings
from rtl4ml.sweep.points import Point


def record(
    settings: Settings,
    latency: int,
    cells: dict[str, int] | None = None,
    fmax: float | None = None,
    input_format: str | None = None,
) -> dict[str, Any]:
    """A finished point with 10 multipliers fewer for each cycle of latency."""
    period = 1000 / settings.clock_mhz
    plan = {
        "latency_cycles": latency,
        "latency_ns": latency * period,
        "interval_cycles": latency // 2,
        "interval_ns": latency // 2 * period,
        "multipliers": max(0, 1000 - 10 * latency),
        "memory_bits": 64,
    }
    result: dict[str, Any] = {"plan": plan}
    if cells is not None:
        result["cells"] = cells
    if fmax is not None:
        result["fmax_mhz"] = fmax
    return {"key": str(latency), "point": Point(settings, input_format).describe(), "result": result}


def failed(settings: Settings, message: str) -> dict[str, Any]:
    """A point that is none."""
    return {
        "key": message,
        "point": Point(settings).describe(),
        "error": {"kind": "ConfigurationError", "message": message},
    }
