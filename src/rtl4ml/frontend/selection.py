"""Operators that choose and line up elements: Slice, Split, Gather with constant indices, Concat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes
from rtl4ml.frontend import kernels
from rtl4ml.frontend.lowering import Lowering, handles
from rtl4ml.frontend.saturation import identity
from rtl4ml.frontend.values import Constant, Flow
from rtl4ml.operators import Concat, Gather, Requantize


def select(lowering: Lowering, source: str, elements: Codes, shape: tuple[int, ...], name: str | None = None) -> str:
    """A tensor of the graph whose elements are some of another's, made once for each choice.

    Args:
        lowering: the import.
        source: the other tensor.
        elements: int64 (n,), its elements in the order wanted.
        shape: of the result, without the batch.
        name: of the result; None: made from the source's.

    Returns:
        Its name; the source itself where nothing is chosen or moved.
    """
    size = lowering.tensors[source].size
    if len(elements) == size and np.array_equal(elements, np.arange(size)):
        return source
    key = source, elements.tobytes(), shape
    if key not in lowering.selections:
        if name is None or name in lowering.tensors:
            name = f"{source}_selection_{len(lowering.selections)}"
        layout = np.arange(len(elements)).reshape(1, *shape)
        lowering.append(Gather(name, (source,), name, np.array(elements, np.int64), shape), layout)
        lowering.selections[key] = name
        lowering.unquantized.add(name)
    return lowering.selections[key]


def rebase(lowering: Lowering, flow: Flow, name: str) -> Flow:
    """The same flow from a tensor that has its elements and no others, in the order of the file.

    Args:
        lowering: the import.
        flow: from a tensor that may have more.
        name: of the file's tensor.
    """
    assert flow.source is not None
    elements = flow.order.reshape(-1)
    source = select(lowering, flow.source, elements, flow.order.shape[1:], name)
    if source == flow.source:
        return flow
    order = np.arange(len(elements)).reshape(flow.order.shape)

    def pick(array: NDArray) -> NDArray:
        return array if array.size == 1 else array[elements]

    # Behind the choice each operator sees the chosen elements in their new order.
    steps = tuple(replace(s, parameters={k: pick(p) for k, p in s.parameters.items()}, order=order) for s in flow.steps)
    view = flow.view
    if view is not None:
        view = replace(view, scale=pick(view.scale), zero_point=pick(view.zero_point))
    bias = None if flow.bias is None else pick(flow.bias)
    return replace(flow, tensor=name, source=source, order=order, bias=bias, steps=steps, view=view)


def viewed(lowering: Lowering, flow: Flow) -> Flow:
    """The same flow from a tensor whose format says what the codes mean here: the codes themselves stay."""
    if flow.view is None or flow.source is None:
        return flow
    tensor = lowering.tensors[flow.source]
    name = f"{flow.tensor}_view"
    while name in lowering.tensors or name in lowering.names:
        name += "_"
    relabelled = Requantize(name, (tensor.name,), name, identity(tensor), flow.view, ())
    lowering.append(relabelled, lowering.layouts[tensor.name])
    return replace(flow, source=name, view=None)


def _choose(lowering: Lowering, node: onnx.NodeProto, moves: list[Callable[[NDArray], NDArray]]) -> None:
    """Apply one choice for each output of the node.

    Raises:
        ModelError: the chosen values wait for a join's quantizer, or none is left.
    """
    value = lowering.value(node.input[0], node)
    for name, move in zip(node.output, moves, strict=True):
        if not name:
            continue
        if isinstance(value, Constant):
            codes = None if value.codes is None else move(value.codes)
            scale = None if value.scale is None else move(value.scale)
            lowering.values[name] = Constant(move(np.asarray(value.value)), codes, scale)
            continue
        if value.opaque:
            lowering.values[name] = replace(value, opaque=(*value.opaque, node))
            continue
        order = move(value.order)
        if not order.size:
            raise ModelError(f"Output {name!r} of node {node.name!r} ({node.op_type}) must have elements, not none")
        if order.shape[:1] != (1,):
            raise ModelError(
                f"Output {name!r} of node {node.name!r} ({node.op_type}) must keep the batch of 1 as its first "
                f"dimension, not have shape {list(order.shape)}"
            )
        if value.source is None:
            # The host chooses; the hardware begins behind.
            lowering.values[name] = replace(value, order=order, opaque=(*value.opaque, node))
            continue
        _require_chosen(lowering, node, value)
        flow = rebase(lowering, replace(value, order=order), name)
        lowering.values[name] = flow
        if not (flow.steps or flow.integer or flow.bias is not None):
            # Where all elements are chosen, too, the judge is told that they still are on their grid.
            scale = lowering.source(flow).format.scale
            lowering.grids[name] = scale if scale.ndim == 0 else scale[flow.order]


def _require_chosen(lowering: Lowering, node: onnx.NodeProto, flow: Flow) -> None:
    if flow.source in lowering.joins:
        raise ModelError(
            f"Input {node.input[0]!r} of node {node.name!r} ({node.op_type}) must be quantized, not the output of "
            f"{lowering.joins[flow.source].where}: put a Quant node between them"
        )


def _run(lowering: Lowering, node: onnx.NodeProto) -> list[Callable[[NDArray], NDArray]]:
    """The node as functions of arrays of its first input's shape, one for each output, run by the executor."""
    constants = {name: lowering.constant(name, node).value for name in node.input[1:] if name}

    def output(index: int) -> Callable[[NDArray], NDArray]:
        def move(array: NDArray) -> NDArray:
            # Element numbers go through the executor's own operator; then anything follows them.
            numbers = np.arange(array.size).reshape(array.shape)
            chosen = kernels.run_node(node, {**constants, node.input[0]: numbers}, lowering.opset)
            present = [name for name in node.output if name]
            return array.reshape(-1)[chosen[present.index(node.output[index])]]

        return move

    return [output(index) for index in range(len(node.output))]


@handles("Slice", "Split", "Gather", constants=True, integers=True)
def choose(lowering: Lowering, node: onnx.NodeProto) -> None:
    """The choice is constant.

    Raises:
        ModelError: the indices depend on the input, or the batch is split.
    """
    _choose(lowering, node, _run(lowering, node))


@handles("Concat")
def concat(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Tensors of codes one after the other, along any axis but the batch.

    Raises:
        ModelError: an input is constant, real-valued or on the host.
    """
    flows = [lowering.flow(name, node) for name in node.input]
    if len(flows) == 1:
        lowering.values[node.output[0]] = flows[0]
        return
    if all(flow.source is None for flow in flows):
        opaque = tuple(n for flow in flows for n in flow.opaque)
        whole = np.concatenate([f.order for f in flows], axis=_axis(lowering, node, flows[0].order.ndim))
        order = np.arange(whole.size).reshape(whole.shape)
        lowering.values[node.output[0]] = Flow(flows[0].tensor, None, order, opaque=(*opaque, node))
        return
    for name, flow in zip(node.input, flows, strict=True):
        lowering.require_clear(flow, node)
        if flow.source is None or flow.steps or flow.bias is not None or flow.source in lowering.joins:
            raise ModelError(
                f"Input {name!r} of node {node.name!r} (Concat) must be quantized, as its other inputs are: put a "
                "Quant node in front of it"
            )
    flows = [viewed(lowering, flow) for flow in flows]
    axis = _axis(lowering, node, flows[0].order.ndim)
    if axis == 0:
        raise ModelError(f"axis of node {node.name!r} (Concat) must not be the batch, 0")
    # Element numbers in the row of all inputs, then along the axis.
    starts = np.cumsum([0, *(flow.order.size for flow in flows)])
    sources, numbers = [], []
    for flow, start in zip(flows, starts, strict=False):
        assert flow.source is not None
        complete = len(np.unique(flow.order)) == flow.order.size == lowering.tensors[flow.source].size
        based = flow if complete else rebase(lowering, flow, f"{flow.source}_part")
        sources.append(str(based.source))
        numbers.append(based.order + start)
    try:
        order = np.concatenate(numbers, axis=axis)
    except ValueError as error:
        raise ModelError(
            f"Inputs of node {node.name!r} (Concat) must have shapes that agree beside axis {axis}, not "
            f"{', '.join(str(list(n.shape)) for n in numbers)}"
        ) from error
    name = node.output[0]
    lowering.append(Concat(node.name or name, tuple(sources), name, (order.size,)), order)
    lowering.unquantized.add(name)
    lowering.values[name] = Flow(name, name, order)


def _axis(lowering: Lowering, node: onnx.NodeProto, rank: int) -> int:
    axis = int(lowering.attributes(node).get("axis", 1))  # type: ignore[call-overload]
    if not -rank <= axis < rank:
        raise ModelError(f"axis of node {node.name!r} (Concat) must be from {-rank} to {rank - 1}, not {axis}")
    return axis % rank
