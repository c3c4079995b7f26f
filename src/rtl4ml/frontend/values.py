"""What a tensor of the file is while it is lowered: a constant, or a flow of codes with operators still pending."""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from rtl4ml.formats import Codes, Format, Reals


@dataclass(frozen=True, eq=False)
class Constant:
    """A known tensor, with its codes and scales when a quantizer made it.

    Parameters:
        value: the tensor.
        codes: int64, value / scale (the zero point is taken off), or None.
        scale: float64 of the same shape, or None.
    """

    value: NDArray
    codes: Codes | None = None
    scale: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class Step:
    """An elementwise operator on a flow, its constants in the order of the flow's source tensor.

    Parameters:
        node: the file's node.
        operand: which of its inputs is the flow.
        parameters: its other inputs by position: float32 of shape () or (n_source,).
        order: of its output, see Flow.
    """

    node: onnx.NodeProto
    operand: int
    parameters: dict[int, Reals]
    order: Codes


@dataclass(frozen=True, eq=False)
class Flow:
    """A tensor that depends on the input: codes of the integer graph, then operators that no quantizer has closed yet.

    Parameters:
        tensor: the file's tensor whose real values the steps start from.
        source: the integer graph's tensor, or None for the file's input without input format.
        order: int64 in the shape of the tensor (batch of 1 included): element -> element of the source.
        bias: float32 () or (n_source,) added to the source's real value in the same rounding, or None.
        steps: elementwise operators pending.
        opaque: nodes pending that only the host can run; empty if none.
        view: what the source's codes mean here, where that is not what the graph's tensor says: behind a
            DequantizeLinear with another scale or zero point than its QuantizeLinear's.
        integer: the file's tensor is of an integer type and holds the codes themselves.
    """

    tensor: str
    source: str | None
    order: Codes
    bias: Reals | None = None
    steps: tuple[Step, ...] = ()
    opaque: tuple[onnx.NodeProto, ...] = ()
    view: Format | None = None
    integer: bool = False


Value = Constant | Flow


def to_source_order(parameter: NDArray, order: Codes, size: int) -> NDArray:
    """A parameter that broadcasts against a tensor, as () or (size,) in the order of the tensor's source."""
    parameter = np.asarray(parameter)
    if parameter.size == 1:
        return parameter.reshape(())
    spread = np.broadcast_to(parameter, order.shape).reshape(-1)
    result = np.empty(size, parameter.dtype)
    result[order.reshape(-1)] = spread
    return result
