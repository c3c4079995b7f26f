"""The quantizer nodes in float32, as qonnx executes them, giving codes instead of values."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, Format, code_limits

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


@dataclass(frozen=True, eq=False)
class Quantizer:
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

    node: str
    operator: str
    scale: NDArray
    zero_point: NDArray
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
        if not np.all(np.isfinite(self.scale)):
            raise ModelError(
                f"Scale of {where} must be finite, not "
                f"{self.scale.reshape(-1)[~np.isfinite(self.scale.reshape(-1))][0]}"
            )
        if np.any(self.scale == 0):
            raise ModelError(f"Scale of {where} must not be 0")
        if np.any(self.scale < 0):
            raise ModelError(f"Scale of {where} must be positive, not {self.scale.min()}")
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
        """Codes of float32 values that the parameters broadcast against; the operations and dtypes are qonnx's."""
        y = values / self.scale + self.zero_point if self.divides else values
        if self.bipolar:
            return np.where(y >= 0, 1, -1).astype(np.int64)
        low, high = code_limits(self.bits, signed=self.signed, narrow=self.narrow)
        y = np.where(y > high, y.dtype.type(high), y)
        y = np.where(y < low, y.dtype.type(low), y)
        return ROUNDING_MODES[self.rounding_mode](y).astype(np.int64)

    def format(self, flatten: Callable[[NDArray], NDArray]) -> Format:
        """The format of the codes; `flatten` brings parameters to shape () or (n,) in the hardware's element order."""
        return Format(
            self.bits,
            self.signed,
            flatten(self.scale).astype(np.float64),
            flatten(self.zero_point).astype(np.int64),
            narrow=self.narrow,
            bipolar=self.bipolar,
        )
