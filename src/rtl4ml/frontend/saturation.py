"""Narrower limits for codes that a quantizer has made, and the meaning of the codes that leave the hardware."""

from dataclasses import replace

import numpy as np
import onnx

from rtl4ml.formats import Format, width_of
from rtl4ml.frontend.lowering import Lowering
from rtl4ml.frontend.quantizer import LinearQuantizer
from rtl4ml.frontend.values import Flow
from rtl4ml.graph import Tensor
from rtl4ml.operators import Dense, Requantize
from rtl4ml.staircase import Staircase


def clipped(staircase: Staircase, low: int, high: int) -> Staircase:
    """A staircase with its codes limited to [low, high]."""
    positions, codes = [], []
    first = np.minimum(np.maximum(staircase.first, low), high)
    for row, (where, reached) in enumerate(zip(staircase.positions, staircase.codes, strict=True)):
        limited = np.minimum(np.maximum(reached, low), high)
        changed = limited != np.concatenate([first[row : row + 1], limited[:-1]])
        positions.append(where[changed])
        codes.append(limited[changed])
    return replace(staircase, first=first, positions=tuple(positions), codes=tuple(codes))


def identity(tensor: Tensor) -> Staircase:
    """The staircase that gives back a tensor's codes."""
    low, high = tensor.range
    steps = np.arange(low + 1, high + 1)
    return Staircase(np.array([low]), np.array([high]), np.array([low]), (steps,), (steps,))


def _narrowed(tensor_format: Format, low: int, high: int) -> Format:
    bits, signed = width_of(low, high)
    narrow = signed and low == 1 - (1 << bits - 1)
    return replace(tensor_format, bits=bits, signed=signed, narrow=narrow, bipolar=False)


def saturate(lowering: Lowering, node: onnx.NodeProto, flow: Flow, low: int, high: int) -> Flow:
    """Codes limited to [low, high]: in the quantizer that makes them if nothing else reads it, else by themselves.

    Args:
        lowering: the import.
        node: the Clip or Relu.
        flow: codes.
        low: limit.
        high: limit, which wins if it is below `low`, as in ONNX.
    """
    low = min(low, high)
    tensor = lowering.source(flow)
    reach = min(max(tensor.range[0], low), high), min(max(tensor.range[1], low), high)
    if reach == tensor.range:
        return replace(flow)
    name = node.output[0]
    tensor_format = _narrowed(tensor.format, *reach)
    alone = node.input[0] == flow.source and lowering.uses[node.input[0]] == 1
    maker = lowering.operators[-1] if lowering.operators else None
    if alone and flow.source == lowering.input and isinstance(lowering.input_quantizer, LinearQuantizer):
        limits = [np.minimum(np.maximum(a, low), high) for a in (tensor.low, tensor.high)]
        lowering.layouts[name] = lowering.layouts.pop(tensor.name)
        del lowering.tensors[tensor.name]
        lowering.tensors[name] = Tensor(name, tensor.shape, tensor_format, *limits)
        lowering.input, lowering.input_quantizer = name, lowering.input_quantizer.clipped(low, high)
    elif alone and isinstance(maker, Requantize) and maker.output == flow.source:
        lowering.operators.pop()
        order = lowering.layouts.pop(tensor.name)
        del lowering.tensors[tensor.name]
        staircase = clipped(maker.staircase, low, high)
        departures = None if maker.departures is None else maker.departures.clipped(low, high)
        limited = replace(maker, output=name, staircase=staircase, format=tensor_format, departures=departures)
        lowering.append(replace(limited, chain=(*maker.chain, node.op_type)), order)
    else:
        staircase = clipped(identity(tensor), low, high)
        words = (node.op_type,)
        lowering.append(Requantize(node.name, (tensor.name,), name, staircase, tensor_format, words), flow.order)
    return Flow(name, name, flow.order, integer=True)


def settle_output(lowering: Lowering, flow: Flow) -> Flow:
    """The file's output: the graph's tensor itself has the meaning that the file's last node gives to its codes."""
    tensor = lowering.source(flow)
    meaning = flow.view
    if flow.integer:
        meaning = replace(tensor.format, scale=np.ones(()), zero_point=np.zeros((), np.int64), bipolar=False)
    if meaning is None:
        return flow
    assert flow.source is not None
    settled = replace(flow, view=None, integer=False)
    read = any(flow.source in operator.inputs for operator in lowering.operators)
    makers = [i for i, operator in enumerate(lowering.operators) if operator.output == flow.source]
    maker = lowering.operators[makers[0]] if makers else None
    if maker is None and not read:
        lowering.tensors[flow.source] = replace(tensor, format=meaning)
    elif isinstance(maker, Requantize) and not read:
        lowering.operators[makers[0]] = replace(maker, format=meaning)
        lowering.tensors[flow.source] = replace(tensor, format=meaning)
    elif isinstance(maker, Dense) and not read:
        again = replace(maker, scale=meaning.scale, bias=maker.bias - meaning.zero_point)
        lowering.operators[makers[0]] = again
        lowering.tensors[flow.source] = again.infer((lowering.tensors[maker.inputs[0]],))
    else:
        name = f"{flow.source}_output"
        lowering.append(
            Requantize(name, (flow.source,), name, identity(tensor), meaning, ("Identity",)),
            lowering.layouts[flow.source],
        )
        settled = replace(settled, source=name)
    return settled
