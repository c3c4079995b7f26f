"""The quantizer nodes in float32, as their executors have them, giving codes instead of values."""

import abc
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, Format, code_limits, width_of

MAX_CONSTANT_BITS = 32
"""Wider constants do not survive float32 and the wires of a MAC array."""

ROUNDING_MODES: dict[str, Callable[[NDArray], NDArray]] = {
    "ROUND": np.round,
    "HALF_EVEN": np.round,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "DOWN": np.fix,
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - 0.5),
}


def check_scale(scale: NDArray, where: str) -> None:
    """Refuse scales without a meaning.

    Raises:
        ModelError: naming the node.
    """
    if not np.all(np.isfinite(scale)):
        raise ModelError(f"Scale of {where} must be finite, not {scale[~np.isfinite(scale)][0]}")
    if np.any(scale == 0):
        raise ModelError(f"Scale of {where} must not be 0")
    if np.any(scale < 0):
        raise ModelError(f"Scale of {where} must be positive, not {scale.min()}")


@dataclass(frozen=True, eq=False)
class AnyQuantizer(abc.ABC):
    """What all quantizers have.

    Parameters:
        node: name of the node, for messages.
        operator: its type.
        scale: float32, broadcast against the tensor.
        zero_point: likewise.
    """

    ARRAYS: ClassVar[tuple[str, ...]] = ("scale", "zero_point")
    """Names of the fields that broadcast against the tensor."""

    node: str
    operator: str
    scale: NDArray
    zero_point: NDArray

    def _check_scale(self, scale: NDArray) -> None:
        check_scale(scale, f"node {self.node!r} ({self.operator})")

    @abc.abstractmethod
    def codes(self, values: NDArray) -> Codes:
        """Codes of float32 values that the parameters broadcast against, in the executor's operations and dtypes."""

    @property
    @abc.abstractmethod
    def limits(self) -> tuple[int, int] | None:
        """Lowest and highest code; None where nothing bounds them."""

    @property
    def width(self) -> int:
        """Bits of a code; 0 where nothing bounds them."""
        return width_of(*self.limits)[0] if self.limits else 0

    @property
    def code_scale(self) -> NDArray:
        """Scale of the codes."""
        return self.scale

    @property
    def code_zero_point(self) -> NDArray:
        """Zero point of the codes."""
        return self.zero_point

    @property
    def parameters(self) -> tuple[NDArray, ...]:
        """All that broadcasts against the tensor."""
        return tuple(getattr(self, name) for name in self.ARRAYS)

    def moved(self, move: Callable[[NDArray], NDArray]) -> Self:
        """The same with each parameter moved: to another order of elements, or to one channel."""
        moved: dict[str, Any] = {name: move(getattr(self, name)) for name in self.ARRAYS}
        return replace(self, **moved)

    def format(self, low: int, high: int) -> Format:
        """The format of the codes, of which [low, high] are reached; parameters are of shape () or (n,) by then."""
        bits, signed = width_of(*(self.limits or (low, high)))
        return Format(
            bits, signed, np.asarray(self.code_scale, np.float64), np.asarray(self.code_zero_point).astype(np.int64)
        )


@dataclass(frozen=True, eq=False)
class Quantizer(AnyQuantizer):
    """A `Quant` or `BipolarQuant` node with constant parameters.

    Parameters:
        node: name of the node, for messages.
        operator: its type.
        scale: as in the file, broadcast against the tensor.
        zero_point: as in the file (its dtype decides in which precision it is added).
        bits: width.
        signed: from the node.
        narrow: from the node.
        rounding_mode: upper case.
        divides: False for BipolarQuant, which compares with 0 directly.
    """

    bits: int
    signed: bool
    narrow: bool
    rounding_mode: str
    divides: bool = True

    def __post_init__(self) -> None:
        """Refuse parameters without a meaning.

        Raises:
            ModelError: naming the node and what is supported.
        """
        where = f"node {self.node!r} ({self.operator})"
        self._check_scale(self.scale)
        if not np.all(np.isfinite(self.zero_point)) or np.any(self.zero_point != np.round(self.zero_point)):
            raise ModelError(
                f"Zero point of {where} must be an integer, not {np.asarray(self.zero_point).reshape(-1)[0]}"
            )
        if self.rounding_mode not in ROUNDING_MODES:
            raise ModelError(
                f"Rounding mode of {where} must be one of {', '.join(ROUNDING_MODES)}, not {self.rounding_mode!r}"
            )

    @property
    def bipolar(self) -> bool:
        """Codes are -1 and +1."""
        return self.bits == 1 and self.signed

    def codes(self, values: NDArray) -> Codes:
        """As qonnx's `int_quant` and `BipolarQuant`."""
        y = values / self.scale + self.zero_point if self.divides else values
        if self.bipolar:
            return np.where(y >= 0, 1, -1).astype(np.int64)
        low, high = code_limits(self.bits, signed=self.signed, narrow=self.narrow)
        y = np.where(y > high, y.dtype.type(high), y)
        y = np.where(y < low, y.dtype.type(low), y)
        return ROUNDING_MODES[self.rounding_mode](y).astype(np.int64)

    @property
    def limits(self) -> tuple[int, int]:
        """Lowest and highest code."""
        return (-1, 1) if self.bipolar else code_limits(self.bits, signed=self.signed, narrow=self.narrow)

    def format(self, low: int, high: int) -> Format:
        """The format of the codes: the node's own, whatever is reached."""
        scale, zero_point = self.scale.astype(np.float64), self.zero_point.astype(np.int64)
        return Format(self.bits, self.signed, scale, zero_point, narrow=self.narrow, bipolar=self.bipolar)


@dataclass(frozen=True, eq=False)
class LinearQuantizer(AnyQuantizer):
    """ONNX's `QuantizeLinear`: `saturate(round_half_even(x / scale) + zero_point)`.

    The zero point is added after rounding, unlike in `Quant`: ties go to the even integer before it.

    Parameters:
        low: of the integer type, or of a Clip behind the node.
        high: likewise.
    """

    low: int
    high: int

    def __post_init__(self) -> None:
        """Refuse parameters without a meaning.

        Raises:
            ModelError: naming the node.
        """
        self._check_scale(self.scale)

    @property
    def limits(self) -> tuple[int, int]:
        """Lowest and highest code."""
        return self.low, self.high

    def codes(self, values: NDArray) -> Codes:
        """As onnxruntime's MlasQuantizeLinear: divide, clamp, round half to even, add the zero point."""
        zero_point = self.zero_point.astype(np.float32)
        y = np.clip(values / self.scale, np.float32(self.low) - zero_point, np.float32(self.high) - zero_point)
        return np.rint(y).astype(np.int64) + self.zero_point

    def format(self, low: int, high: int) -> Format:
        """The format of the codes."""
        plain = super().format(low, high)
        return replace(plain, narrow=self.low == 1 - (1 << plain.bits - 1) if plain.signed else False)

    def clipped(self, low: int, high: int) -> "LinearQuantizer":
        """The same with a Clip behind it."""
        return replace(self, low=min(max(self.low, low), high), high=min(max(self.high, low), high))


@dataclass(frozen=True, eq=False)
class Rescaling(LinearQuantizer):
    """Requantisation of onnxruntime's integer products: `saturate(round_half_even(acc * multiplier) + zero_point)`.

    The accumulator is rounded to float32 first. The multiplier is `alpha * a_scale * b_scale / y_scale`, computed from
    left to right in float32. Found by experiment (MlasRequantizeOutput); the tests repeat it.

    Parameters:
        multiplier: float32, broadcast against the tensor.
    """

    ARRAYS: ClassVar[tuple[str, ...]] = (*LinearQuantizer.ARRAYS, "multiplier")

    multiplier: NDArray

    def codes(self, values: NDArray) -> Codes:
        """As onnxruntime's MlasRequantizeOutput, from accumulators in float32."""
        zero_point = self.zero_point.astype(np.float32)
        y = np.clip(values * self.multiplier, np.float32(self.low) - zero_point, np.float32(self.high) - zero_point)
        return np.rint(y).astype(np.int64) + self.zero_point


@dataclass(frozen=True, eq=False)
class IntegerInput:
    """An input that the file itself has as integers.

    Parameters:
        name: of the tensor.
        low: of its type.
        high: likewise.
    """

    name: str
    low: int
    high: int

    def codes(self, values: NDArray) -> Codes:
        """The integers.

        Raises:
            ModelError: others than the type holds, or fractions.
        """
        codes = np.rint(values).astype(np.int64)
        if np.any(codes != values) or np.any(codes < self.low) or np.any(codes > self.high):
            raise ModelError(f"Input {self.name!r} must hold integers from {self.low} to {self.high}, not others")
        return codes


@dataclass(frozen=True, eq=False)
class Truncation(AnyQuantizer):
    """QONNX's `Trunc`: the codes of a quantized tensor, less their low bits.

    Parameters:
        output_scale: version 2: scale of the result, of which `scale` is divided by a power of two; version 1: None.
        input_bits: as in the file.
        output_bits: as in the file.
        signed: version 2.
        narrow: version 2.
        rounding_mode: upper case.
    """

    output_scale: NDArray | None
    input_bits: NDArray
    output_bits: NDArray
    signed: bool
    narrow: bool
    rounding_mode: str

    def __post_init__(self) -> None:
        """Refuse parameters without a meaning.

        Raises:
            ModelError: naming the node and what is supported.
        """
        where = f"node {self.node!r} ({self.operator})"
        self._check_scale(self.scale)
        if self.output_scale is not None:
            self._check_scale(self.output_scale)
        zero_point = self.code_zero_point
        if not np.all(np.isfinite(zero_point)) or np.any(zero_point != np.round(zero_point)):
            raise ModelError(f"Zero point of {where} must be an integer behind it, not {np.reshape(zero_point, -1)[0]}")
        if self.rounding_mode not in ROUNDING_MODES:
            raise ModelError(
                f"Rounding mode of {where} must be one of {', '.join(ROUNDING_MODES)}, not {self.rounding_mode!r}"
            )

    @property
    def _divisor(self) -> NDArray:
        """The power of two that codes are divided by."""
        if self.output_scale is None:
            return np.asarray(2.0 ** (self.input_bits - self.output_bits))
        return np.asarray(2 ** np.round(np.log2(self.output_scale / self.scale)))

    @property
    def parameters(self) -> tuple[NDArray, ...]:
        """All that broadcasts against the tensor."""
        return (*super().parameters, *(() if self.output_scale is None else (self.output_scale,)))

    def moved(self, move: Callable[[NDArray], NDArray]) -> "Truncation":
        """The same with each parameter moved."""
        output_scale = None if self.output_scale is None else move(self.output_scale)
        return replace(super().moved(move), output_scale=output_scale)

    @property
    def limits(self) -> tuple[int, int] | None:
        """Version 1 does not saturate."""
        if self.output_scale is None:
            return None
        return code_limits(int(self.output_bits), signed=self.signed, narrow=self.narrow)

    @property
    def code_scale(self) -> NDArray:
        """Scale of the codes."""
        return self.scale if self.output_scale is None else self.output_scale

    @property
    def code_zero_point(self) -> NDArray:
        """Zero point of the codes."""
        return self.zero_point if self.output_scale is None else np.asarray(self.zero_point / self._divisor)

    def codes(self, values: NDArray) -> Codes:
        """As qonnx's `trunc_v1` and `trunc_v2`."""
        y = np.round(values / self.scale + self.zero_point) / self._divisor
        if self.limits is not None:
            low, high = self.limits
            y = np.where(y > high, y.dtype.type(high), y)
            y = np.where(y < low, y.dtype.type(low), y)
        return ROUNDING_MODES[self.rounding_mode](y).astype(np.int64)
