"""Quantized ONNX networks to Verilog, bit-exact and cycle-exact, without HLS.

>>> import rtl4ml
>>> graph = rtl4ml.load("examples/models/digits_mlp.onnx")
>>> design = rtl4ml.compile(graph, reuse=16)
>>> design.plan.multipliers > 0
True
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "ConfigurationError",
    "Design",
    "Graph",
    "ModelError",
    "Rtl4mlError",
    "ToolError",
    "compile",
    "load",
    "profile",
]

if TYPE_CHECKING:
    from rtl4ml.design import Design, compile
    from rtl4ml.errors import ConfigurationError, ModelError, Rtl4mlError, ToolError
    from rtl4ml.frontend.load import load
    from rtl4ml.graph import Graph
    from rtl4ml.report.profiling import profile

# Imported when first used: a room can be used alone, without the executors and simulators that others need.
_HOMES = {
    "Design": "design",
    "compile": "design",
    "load": "frontend.load",
    "Graph": "graph",
    "profile": "report.profiling",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'rtl4ml' has no attribute {name!r}")
    return getattr(importlib.import_module(f"rtl4ml.{_HOMES.get(name, 'errors')}"), name)
