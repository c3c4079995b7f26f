"""Operators that only choose among values and stand between a product and its quantizer: they move behind it.

Maxima and copies of accumulators are wide. Whatever a chain does to each value, it may do before the choice: the
largest code is that of the largest value as long as what follows the maximum never falls. So an operator stands on
the accumulators first, for consumers that want them; a quantizer that comes behind is taken in front of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes
from rtl4ml.frontend.chain_kernels import StepKernels
from rtl4ml.frontend.lowering import Lowering
from rtl4ml.frontend.quantizer import AnyQuantizer
from rtl4ml.frontend.values import Flow, Step, of_period, period_of
from rtl4ml.graph import Operator

_FAR = 2.0**60
"""A value behind which no operator turns any more; none leaves float32 that far out but to infinity."""

Rebuild = Callable[[str, str, str], Operator]
"""An operator of a name, an input and an output."""


@dataclass(frozen=True, eq=False)
class Early:
    """An operator in front of operators of the file that come before it there.

    Parameters:
        flow: that it chooses from.
        name: of the operator.
        what: the node in the file, for messages.
        channels: of its output and input: what it chooses keeps its channel.
        rebuild: makes it on another tensor.
        maximum: it takes the largest, not a given one.
        exact: it is right where it stands, too: nothing in front of it falls.
        place: channel of the output that each channel of the input becomes; None: the same.
    """

    flow: Flow
    name: str
    what: str
    channels: int
    rebuild: Rebuild
    maximum: bool
    exact: bool
    place: Codes | None = None

    def moved(self, array: NDArray) -> NDArray:
        """A parameter () or (k,) of the output as that of the input's channels."""
        return array if array.size == 1 or self.place is None else of_period(array, self.channels)[self.place]


def rising(steps: tuple[Step, ...], channels: int, opset: int) -> bool:
    """Whether operators whose constants are () or (channels,) never fall for rising values."""
    moved = [replace(s, parameters={k: of_period(p, channels) for k, p in s.parameters.items()}) for s in steps]
    kernels = StepKernels(moved, channels, opset)
    if not steps or not kernels.monotone:
        return not steps
    ends = np.repeat(np.array([[-_FAR], [_FAR]], np.float32), channels, axis=1)
    with np.errstate(all="ignore"):
        try:
            low, high = kernels.values(ends)
        except ModelError:
            return False
    return bool(np.all(low <= high))


def by_channel(steps: tuple[Step, ...], quantizer: AnyQuantizer | None, size: int, channels: int) -> bool:
    """Whether no constant differs between pixels."""
    arrays = [p for step in steps for p in step.parameters.values()]
    arrays += [] if quantizer is None else list(quantizer.parameters)
    return period_of(arrays, size, channels) <= channels


def require_exact(lowering: Lowering, flow: Flow, name: str, node: onnx.NodeProto) -> None:
    """Refuse to use a maximum of values that the operators in front of it turn round.

    Raises:
        ModelError: naming the maximum.
    """
    found = lowering.early.get(flow.source or "")
    if found is not None and not found.exact:
        raise ModelError(
            f"Input {name!r} of node {node.name!r} ({node.op_type}) must be quantized: {found.what} takes the maximum "
            "of values that fall while codes rise; put a Quant node behind it, or in front of it"
        )


def close(
    lowering: Lowering,
    flow: Flow,
    quantizer: AnyQuantizer,
    name: str,
    inner: Callable[[Flow, AnyQuantizer, str], Flow],
) -> Flow | None:
    """Take a quantizer in front of the operator that makes a flow's source.

    Args:
        lowering: the import.
        flow: from that operator to the quantizer.
        quantizer: its parameters () or (k,) in the order of the operator's output.
        name: of the quantizer's tensor.
        inner: closes the flow in front with a quantizer, as a tensor of a name.

    Returns:
        The flow from the operator's new output; None where it has to stay where it is.

    Raises:
        ModelError: neither is exact.
    """
    found = lowering.early.get(flow.source or "")
    if found is None:
        return None
    assert flow.source is not None
    tensor = lowering.tensors[flow.source]
    after = flow.steps[len(found.flow.steps) :]
    moves = by_channel(after, quantizer, tensor.size, found.channels)
    if moves and found.maximum:
        moves = rising(after, found.channels, lowering.opset)
    if not moves:
        if not found.exact:
            raise ModelError(
                f"Operators between {found.what} and node {quantizer.node!r} ({quantizer.operator}) must not fall for "
                "rising values, nor differ between pixels: values in front of the maximum fall while codes rise; put a "
                "Quant node in front of it"
            )
        return None
    before = f"{name}_everywhere"
    while before in lowering.tensors or before in lowering.names:
        before += "_"
    layout = lowering.layouts[str(found.flow.source)]
    behind = [replace(s, parameters={k: found.moved(p) for k, p in s.parameters.items()}) for s in after]
    in_front = replace(found.flow, order=layout, steps=(*found.flow.steps, *behind))
    quantized = inner(in_front, quantizer.moved(found.moved), before)
    assert quantized.source is not None
    title = found.name
    while any(operator.name == title for operator in lowering.operators):
        title += "_"
    lowering.append(found.rebuild(title, quantized.source, name), flow.order)
    return Flow(name, name, flow.order)
