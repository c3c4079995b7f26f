"""What a tensor of the file is while it is lowered: a constant, or a flow of codes with operators still pending."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from rtl4ml import formats
from rtl4ml.formats import Codes, Format, Reals
from rtl4ml.graph import Tensor


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
        parameters: its other inputs by position: float32 of shape () or (k,), element e of the source at e % k.
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
        bias: float32 () or (k,) likewise, added to the source's real value in the same rounding, or None.
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


def channels_of(tensor: Tensor) -> int:
    """Length of the last dimension: the channels of a feature map, all elements of a vector."""
    return tensor.shape[-1] if tensor.shape else 1


def shortened(array: NDArray, channels: int) -> NDArray:
    """A periodic array as (channels,) where it is longer and that is a period of it, else as it is."""
    if array.size <= channels or array.size % channels:
        return array
    rows = array.reshape(-1, channels)
    return rows[0].copy() if np.all(rows == rows[0]) else array


def is_permutation(order: Codes) -> bool:
    """Whether every element of a source as large as the tensor is there once."""
    seen = np.zeros(order.size, bool)
    flat = order.reshape(-1)
    if not flat.size or flat.min() < 0 or flat.max() >= flat.size:
        return False
    seen[flat] = True
    return bool(seen.all())


def picked(array: NDArray, elements: Codes | None, channels: int) -> NDArray:
    """A parameter () or (k,) of a tensor as that of some of its elements, as short as `shortened`.

    Args:
        array: element e has entry e % k.
        elements: int64 (n,), those chosen; None: all, in order.
        channels: of the tensor that they make up.
    """
    if array.size == 1 or elements is None:
        return array
    return shortened(array.reshape(-1)[elements % array.size], channels)


def to_source_order(parameter: NDArray, order: Codes, size: int, channels: int | None = None) -> NDArray:
    """A parameter that broadcasts against a tensor, in the order of the tensor's source.

    Args:
        parameter: in the file.
        order: of the tensor's elements, see `Flow`.
        size: elements of the source.
        channels: of the source.

    Returns:
        () or (size,), or (channels,) where elements of one channel are alike.
    """
    parameter = np.asarray(parameter)
    if parameter.size == 1:
        return parameter.reshape(())
    if channels is not None and channels < size:
        result = _of_channels(parameter, order, channels)
        if result is not None:
            return result
    result = np.empty(size, parameter.dtype)
    result[order.reshape(-1)] = np.broadcast_to(parameter, order.shape).reshape(-1)
    return result if channels is None else shortened(result, channels)


def _of_channels(parameter: NDArray, order: Codes, channels: int) -> NDArray | None:
    """A parameter along one dimension which is that of channels, (channels,): found without spreading it."""
    shape = (1,) * (order.ndim - parameter.ndim) + parameter.shape
    axes = [axis for axis, length in enumerate(shape) if length > 1]
    if len(axes) != 1 or shape[axes[0]] != channels:
        return None
    line = order[tuple(slice(None) if axis == axes[0] else 0 for axis in range(order.ndim))] % channels
    if not np.array_equal(np.sort(line), np.arange(channels)):
        return None
    if not np.all(order % channels == line.reshape([-1 if axis == axes[0] else 1 for axis in range(order.ndim)])):
        return None
    result = np.empty(channels, parameter.dtype)
    result[line] = parameter.reshape(-1)
    return result


def period_of(arrays: Iterable[NDArray], size: int, channels: int) -> int:
    """How many elements of a tensor differ in their parameters: 1, `channels`, or all of them.

    Args:
        arrays: parameters () or (k,).
        size: of the tensor.
        channels: of the tensor.
    """
    period = 1
    for array in arrays:
        if array.size == 1 or np.all(array == array.reshape(-1)[0]):
            continue
        if channels % array.size and shortened(array, channels).size != channels:
            return size
        period = channels
    return period


def of_period(array: NDArray, period: int) -> NDArray:
    """A parameter () or (k,) for the first `period` elements, () or (period,)."""
    if array.size == 1 or period == 1:
        return array.reshape(-1)[:1].reshape(())
    return array[:period] if array.size >= period else formats.spread(array, period)


def limits_of(low: Codes, high: Codes, period: int) -> tuple[Codes, Codes]:
    """Limits (k,) of all elements as those of elements that are `period` apart together, int64 (period,) each."""
    if low.size <= period:
        return formats.spread(low, period), formats.spread(high, period)
    return low.reshape(-1, period).min(axis=0), high.reshape(-1, period).max(axis=0)


def alike(*arrays: NDArray) -> tuple[NDArray, ...]:
    """Parameters () or (k,) of one tensor that broadcast against each other."""
    longest = max(array.size for array in arrays)
    return tuple(a if a.size == 1 or a.size == longest else formats.spread(a, longest) for a in arrays)
