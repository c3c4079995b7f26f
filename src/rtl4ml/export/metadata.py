"""`metadata.json`: all that a driver, a bench or a report needs to know of an exported IP."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import rtl4ml
from rtl4ml.formats import Format
from rtl4ml.graph import Graph, Tensor
from rtl4ml.planning import writable
from rtl4ml.planning.plan import Plan

SCHEMA_VERSION = 1


def _numbers(array: NDArray) -> Any:
    return array.item() if array.ndim == 0 else array.tolist()


def _format(tensor_format: Format) -> dict[str, Any]:
    return {
        "bits": tensor_format.bits,
        "signed": tensor_format.signed,
        "narrow": tensor_format.narrow,
        "bipolar": tensor_format.bipolar,
        "scale": _numbers(tensor_format.scale),
        "zero_point": _numbers(tensor_format.zero_point),
    }


def _side(
    tensor: Tensor, layout: NDArray, lanes: int, bits: int, signed: bool, slot: int, coding: str
) -> dict[str, Any]:
    order = layout.reshape(-1)
    return {
        "tensor": tensor.name,
        "shape": list(layout.shape[1:]),
        "elements": tensor.size,
        "lanes": lanes,
        "beats": -(-tensor.size // lanes),
        "element_bits": bits,
        "element_signed": signed,
        "slot_bits": slot,
        # How an element's bits are a code: "integer", or "bipolar" (0 is code -1, 1 is code +1).
        "element_coding": coding,
        "format": _format(tensor.format),
        # Element e of a stream is element order[e] of the file's row-major tensor; null: the same order.
        "order": None if np.array_equal(order, np.arange(tensor.size)) else np.argsort(order).tolist(),
    }


def describe(
    graph: Graph,
    plan: Plan,
    name: str,
    sides: Mapping[str, Mapping[str, Any]],
    files: list[str],
    tools: Mapping[str, str],
    control: Mapping[str, Any] | None = None,
    resources: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The metadata as plain types.

    Args:
        graph: the network.
        plan: its folding and schedule.
        name: of the IP.
        sides: `input` and `output`: lanes, bits, signed, slot, coding ("integer" or "bipolar").
        files: Verilog files, top first, relative to the IP's folder.
        tools: versions of the tools that wrote it.
        control: registers on AXI4-Lite; None where nobody asked for them.
        resources: what a synthesis measured; None where none was asked for.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "network": graph.name,
        "rtl4ml": rtl4ml.__version__,
        "tools": dict(tools),
        "source": dict(graph.source),
        "interface": "axi4-stream" if plan.settings.backpressure else "pipeline",
        "files": files,
        "clock_mhz": plan.settings.clock_mhz,
        "latency_cycles": plan.latency,
        "interval_cycles": plan.interval,
        "multipliers": plan.multipliers,
        "multiplications": graph.multiplications,
        "input": _side(graph.input_tensor, graph.layouts[graph.input], **sides["input"]),
        "output": _side(graph.output_tensor, graph.layouts[graph.output], **sides["output"]),
        "host": {
            "input_format": None if graph.input_format is None else dict(graph.input_format.__dict__),
            "prologue": list(graph.prologue.description),
            "epilogue": list(graph.epilogue.description),
            "bias": None if graph.epilogue.bias is None else graph.epilogue.bias.tolist(),
            "file_input_shape": list(graph.input_shape),
            "file_output_shape": list(graph.output_shape),
        },
        "resources": None if resources is None else dict(resources),
        "control": None if control is None else dict(control),
        "weight_port": writable.describe(graph, plan),
        "plan": plan.describe(),
    }
