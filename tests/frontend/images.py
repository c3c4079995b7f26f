"""Small files on images, made in the tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import rtl4ml
from rtl4ml.frontend.equality import Equality
from tests.frontend.build import File, equal

CHANNELS_LAST = "qonnx.custom_op.channels_last"


class Images(File):
    """A file whose input is an image, channels first, behind a quantizer."""

    def __init__(self, shape: Sequence[int], *, seed: int = 0, opset: int = 18, **attributes: Any):
        super().__init__([1, *shape], opset=opset, **attributes)
        self.random = np.random.default_rng(seed)

    def start(self, scale: ArrayLike = 0.125, bits: int = 4, zero: ArrayLike = 0.0, **attributes: Any) -> str:
        """The quantized input."""
        return self.quant("x", scale, bits, zero, **attributes)

    def kernel(self, *shape: int, scale: ArrayLike = 0.25, bits: int = 4) -> str:
        """Quantized weights."""
        return self.weights(self.random.normal(size=shape), scale, bits)

    def conv(self, x: str, outputs: int, channels: int, *kernel: int, bias: bool = False, **attributes: Any) -> str:
        """A convolution with quantized weights and perhaps a bias off the accumulator's grid."""
        inputs = [x, self.kernel(outputs, channels, *kernel)]
        inputs += [self.constant(self.random.normal(size=outputs))] if bias else []
        return self.add("Conv", *inputs, **attributes)

    def relu(self, x: str, scale: ArrayLike = 0.5, bits: int = 4) -> str:
        """Relu and a quantizer."""
        return self.quant(self.add("Relu", x), scale, bits, signed=0)


def proven(file: File, folder: Path, *, samples: int = 12, kinds: str | None = None, **options: Any) -> rtl4ml.Graph:
    """The graph of a file, equal to both judges everywhere; `kinds` are its operators in order."""
    graph = rtl4ml.load(file.save(folder), **options)
    result: Equality = equal(graph, samples=samples)
    assert result.unjudged == ()
    assert result.mismatches == 0
    assert result.passed
    assert result.codes > 0
    if kinds is not None:
        assert [o.kind for o in graph.operators] == kinds.split()
    return graph
