"""QDQ files made in the tests."""

from typing import Any

import ml_dtypes
import numpy as np
import onnxruntime
from numpy.typing import ArrayLike, NDArray

from tests.frontend.build import File

LIMITS = {
    "int4": (-8, 7),
    "uint4": (0, 15),
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-(1 << 15), (1 << 15) - 1),
    "uint16": (0, (1 << 16) - 1),
}


def dtype(kind: str) -> Any:
    """NumPy's type of a name, the 4-bit ones included."""
    return np.dtype(getattr(ml_dtypes, kind)) if kind.endswith("int4") else np.dtype(kind)


def opset_of(*kinds: str) -> int:
    """The first version that has these types."""
    return 21 if set(kinds) - {"int8", "uint8", "int32"} else 13


class QdqFile(File):
    """A file with ONNX's own quantizers."""

    def q(
        self, x: str, scale: ArrayLike, zero_point: ArrayLike | None = 0, kind: str = "int8", **attributes: Any
    ) -> str:
        """A QuantizeLinear."""
        inputs = [self.constant(scale)]
        if zero_point is not None:
            inputs.append(self.constant(zero_point, dtype(kind)))
        return self.add("QuantizeLinear", x, *inputs, **attributes)

    def dq(
        self, x: str, scale: ArrayLike, zero_point: ArrayLike | None = 0, kind: str = "int8", **attributes: Any
    ) -> str:
        """A DequantizeLinear."""
        inputs = [self.constant(scale)]
        if zero_point is not None:
            inputs.append(self.constant(zero_point, dtype(kind)))
        return self.add("DequantizeLinear", x, *inputs, **attributes)

    def qdq(
        self, x: str, scale: ArrayLike, zero_point: ArrayLike | None = 0, kind: str = "int8", **attributes: Any
    ) -> str:
        """The two of them."""
        return self.dq(self.q(x, scale, zero_point, kind, **attributes), scale, zero_point, kind, **attributes)

    def integers(
        self,
        codes: ArrayLike,
        scale: ArrayLike,
        zero_point: ArrayLike | None = 0,
        kind: str = "int8",
        **attributes: Any,
    ) -> str:
        """A DequantizeLinear on an initializer."""
        return self.dq(self.constant(codes, dtype(kind)), scale, zero_point, kind, **attributes)


def draw(rng: np.random.Generator, kind: str, shape: Any) -> NDArray:
    """Codes of a type."""
    low, high = LIMITS[kind]
    return rng.integers(low, high + 1, shape)


def session(model: Any) -> onnxruntime.InferenceSession:
    """The whole file, unfused."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
