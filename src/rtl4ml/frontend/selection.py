"""Operators that choose and line up elements: Slice, Split, Gather with constant indices, Concat."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, spread
from rtl4ml.frontend import kernels
from rtl4ml.frontend.early import Early, require_exact
from rtl4ml.frontend.lowering import Lowering, handles
from rtl4ml.frontend.saturation import identity
from rtl4ml.frontend.values import Constant, Flow, channels_of, picked
from rtl4ml.graph import Operator
from rtl4ml.operators import Concat, Gather, Requantize


def select(
    lowering: Lowering,
    source: str,
    elements: Codes,
    shape: tuple[int, ...],
    name: str | None = None,
    fill: int = 0,
    layout: Codes | None = None,
) -> str:
    """A tensor of the graph whose elements are some of another's, made once for each choice.

    Args:
        lowering: the import.
        source: the other tensor.
        elements: int64 (n,), its elements in the order wanted; -1 for a constant.
        shape: of the result, without the batch.
        name: of the result; None: made from the source's.
        fill: code of the constant.
        layout: of the result in the file; None: its elements in order.

    Returns:
        Its name; the source itself where nothing is chosen or moved.
    """
    size = lowering.tensors[source].size
    if len(elements) == size and np.array_equal(elements, np.arange(size)):
        return source
    elements = np.array(elements, np.int64)
    key = source, hashlib.sha256(elements.tobytes()).digest(), shape, fill
    if key not in lowering.selections:
        if name is None or name in lowering.tensors:
            name = f"{source}_selection_{len(lowering.selections)}"
        layout = np.arange(len(elements)).reshape(1, *shape) if layout is None else layout
        lowering.append(Gather(name, (source,), name, elements, shape, fill), layout)
        lowering.selections[key] = name
        lowering.unquantized.add(name)
    return lowering.selections[key]


def moved(
    lowering: Lowering, flow: Flow, elements: Codes, order: Codes, shape: tuple[int, ...], name: str, fill: int = 0
) -> Flow:
    """The same flow from another tensor, made of elements of its source.

    Args:
        lowering: the import.
        flow: from the source.
        elements: int64 (n,), elements of the source in the order of the new tensor; -1 for a constant.
        order: of the flow, to elements of the new tensor.
        shape: of the new tensor, without the batch.
        name: of the file's tensor.
        fill: code of the constant.
    """
    assert flow.source is not None
    source = select(lowering, flow.source, elements, shape, name, fill, order)
    if source == flow.source:
        return replace(flow, order=order)
    channels = channels_of(lowering.tensors[source])

    def pick(array: NDArray) -> NDArray:
        return picked(array, np.maximum(elements, 0), channels)

    # Behind the choice each operator sees the chosen elements in their new order.
    steps = tuple(replace(s, parameters={k: pick(p) for k, p in s.parameters.items()}, order=order) for s in flow.steps)
    view = flow.view
    if view is not None:
        view = replace(view, scale=pick(view.scale), zero_point=pick(view.zero_point))
    bias = None if flow.bias is None else pick(flow.bias)
    if steps:
        lowering.origins.setdefault(source, flow)
    kept = channels_of(lowering.tensors[flow.source]) == channels and np.all(elements >= 0)
    pending = bool(steps) or bias is not None or lowering.is_product(flow.source)
    if pending and kept and np.all(elements % channels == np.arange(len(elements)) % channels):

        def rebuild(title: str, given: str, output: str) -> Operator:
            return Gather(title, (given,), output, elements, shape)

        lowering.early[source] = Early(flow, name, f"node {name!r}", channels, rebuild, maximum=False, exact=True)
    return replace(flow, tensor=name, source=source, order=order, bias=bias, steps=steps, view=view)


def arranged(order: Codes) -> tuple[int, ...]:
    """Dimensions of a tensor of the file from the outermost to the innermost in its source; the batch comes first."""
    first = int(order[(0,) * order.ndim])
    keys: list[tuple[float, int]] = []
    for axis, length in enumerate(order.shape):
        # A dimension of 1 stays behind the one in front of it, wherever that goes.
        key = keys[-1][0] if keys else -np.inf
        if length > 1:
            key = -abs(int(order[tuple(int(a == axis) for a in range(order.ndim))]) - first)
        keys.append((key, axis))
    return tuple(axis for _, axis in sorted(keys))


def rebase(lowering: Lowering, flow: Flow, name: str, fill: int = 0, like: Codes | None = None) -> Flow:
    """The same flow from a tensor that has its elements and no others, dimensions nested as they are in its source.

    Args:
        lowering: the import.
        flow: from a tensor that may have more; -1 in its order is a constant.
        name: of the file's tensor.
        fill: code of the constant.
        like: layout from which the flow's was chosen.
    """
    axes = arranged(flow.order if like is None or like.ndim != flow.order.ndim else like)
    turned = flow.order.transpose(axes)
    order = np.arange(turned.size).reshape(turned.shape).transpose(np.argsort(axes))
    return moved(lowering, flow, turned.reshape(-1), order, turned.shape[1:], name, fill)


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


def apply(lowering: Lowering, node: onnx.NodeProto, moves: list[Callable[[NDArray], NDArray]]) -> None:
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
        require_chosen(lowering, node, value)
        flow = rebase(lowering, replace(value, order=order), name, like=value.order)
        lowering.values[name] = flow
        if not (flow.steps or flow.integer or flow.bias is not None):
            # Where all elements are chosen, too, the judge is told that they still are on their grid.
            scale = lowering.source(flow).format.scale
            lowering.grids[name] = scale if scale.ndim == 0 else spread(scale, flow.order.size)[flow.order]


def require_chosen(lowering: Lowering, node: onnx.NodeProto, flow: Flow) -> None:
    """Refuse to choose among values that only exist behind a quantizer.

    Raises:
        ModelError: they wait for a join's quantizer, or are maxima that stand in the wrong place.
    """
    if flow.source in lowering.joins:
        raise ModelError(
            f"Input {node.input[0]!r} of node {node.name!r} ({node.op_type}) must be quantized, not the output of "
            f"{lowering.joins[flow.source].where}: put a Quant node between them"
        )
    require_exact(lowering, flow, node.input[0], node)


def executed(lowering: Lowering, node: onnx.NodeProto) -> list[Callable[[NDArray], NDArray]]:
    """The node as functions of arrays of its first input's shape, one for each output, run by the executor."""
    constants = {name: lowering.constant(name, node).value for name in node.input[1:] if name}
    dtype = np.int32 if node.op_type in ("Resize", "Upsample") else np.int64  # of kernels that choose whole numbers

    def output(index: int) -> Callable[[NDArray], NDArray]:
        def move(array: NDArray) -> NDArray:
            # Element numbers go through the executor's own operator; then anything follows them.
            numbers = np.arange(array.size, dtype=dtype).reshape(array.shape)
            chosen = kernels.run_node(node, {**constants, node.input[0]: numbers}, lowering.opset)
            present = [name for name in node.output if name]
            return array.reshape(-1)[chosen[present.index(node.output[index])]]

        return move

    return [output(index) for index in range(len(node.output))]


@handles("Slice", "Split", "Gather", "Expand", "Tile", constants=True, integers=True)
def choose(lowering: Lowering, node: onnx.NodeProto) -> None:
    """The choice is constant.

    Raises:
        ModelError: the indices depend on the input, or the batch is split.
    """
    apply(lowering, node, executed(lowering, node))


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
        require_exact(lowering, flow, name, node)
    flows = [viewed(lowering, flow) for flow in flows]
    axis = _axis(lowering, node, flows[0].order.ndim)
    if axis == 0:
        raise ModelError(f"axis of node {node.name!r} (Concat) must not be the batch, 0")
    nested = arranged(flows[0].order)
    sources, shapes = [], []
    for flow in flows:
        assert flow.source is not None
        turned = flow.order.transpose(nested) if flow.order.ndim == len(nested) else flow.order
        elements = turned.reshape(-1)
        sources.append(select(lowering, flow.source, elements, turned.shape[1:], f"{flow.source}_part"))
        shapes.append(turned.shape)
    at = nested.index(axis)
    others = {(len(shape), *(d for a, d in enumerate(shape) if a != at)) for shape in shapes}
    if len(others) > 1:
        raise ModelError(
            f"Inputs of node {node.name!r} (Concat) must have shapes that agree beside axis {axis}, not "
            f"{', '.join(str(list(flow.order.shape)) for flow in flows)}"
        )
    # One block for each element of the dimensions around the axis.
    blocks = int(np.prod(shapes[0][:at], dtype=np.int64))
    all_of_it = (*shapes[0][:at], sum(shape[at] for shape in shapes), *shapes[0][at + 1 :])
    numbers = np.arange(int(np.prod(all_of_it, dtype=np.int64)))
    layout = numbers.reshape(all_of_it).transpose(np.argsort(nested))
    name = node.output[0]
    lowering.append(Concat(node.name or name, tuple(sources), name, all_of_it[1:], blocks), layout)
    lowering.unquantized.add(name)
    lowering.values[name] = Flow(name, name, layout)


def _axis(lowering: Lowering, node: onnx.NodeProto, rank: int) -> int:
    axis = int(lowering.attributes(node).get("axis", 1))  # type: ignore[call-overload]
    if not -rank <= axis < rank:
        raise ModelError(f"axis of node {node.name!r} (Concat) must be from {-rank} to {rank - 1}, not {axis}")
    return axis % rank
