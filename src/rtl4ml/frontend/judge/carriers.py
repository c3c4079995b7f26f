"""Operators behind which codes are codes of the same grid: layout, choice, maxima over windows, Relu."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from rtl4ml.frontend.judge.arrays import Array, IntArray
from rtl4ml.frontend.judge.grids import Grid, NotIntegerError, shared, uniform
from rtl4ml.frontend.judge.nodes import channels_first, channels_last
from rtl4ml.frontend.judge.selection import SELECTIONS, Selection
from rtl4ml.frontend.judge.sliding import Sliding
from rtl4ml.frontend.judge.steps import LAYOUT, Step


class Carrier(Protocol):
    """What a node does to grids and codes of its data inputs."""

    def grid(self, grids: Sequence[Grid]) -> Grid:
        """Grid of the output; raises NotIntegerError where there is none."""

    def codes(self, codes: Sequence[IntArray]) -> IntArray:
        """Codes of the output, `[n or 1, *shape]`, from those of the inputs."""


class _View:
    """A layout operator: no element is lost."""

    def __init__(self, step: Step):
        self._step = step

    def grid(self, grids: Sequence[Grid]) -> Grid:
        scale, zero = (self._step.move(a[np.newaxis])[0] for a in (grids[0].scale, grids[0].zero_point))
        return Grid(shared(scale), shared(zero))

    def codes(self, codes: Sequence[IntArray]) -> IntArray:
        return self._step.move(codes[0])


class _Rectifier:
    """Relu: codes below that of 0 become that of 0."""

    def __init__(self) -> None:
        self._zero: IntArray = np.zeros((), np.int64)

    def grid(self, grids: Sequence[Grid]) -> Grid:
        if not (grids[0].scale > 0).all():
            raise NotIntegerError("its scale must be positive")
        self._zero = grids[0].zero_point
        return grids[0]

    def codes(self, codes: Sequence[IntArray]) -> IntArray:
        return np.maximum(codes[0], self._zero)


class _Maximum:
    """MaxPool or GlobalMaxPool, channels-last ones included: the largest code is that of the largest value."""

    def __init__(self, step: Step, shapes: Mapping[str, tuple[int, ...]]):
        self._channels_last = step.node.channels_last
        image, self._shape = (
            self._first(np.broadcast_to(0, shapes[name])).shape for name in (step.reads[0], step.name)
        )
        if image[0] != 1:
            raise NotIntegerError(f"its batch is {image[0]}, not 1")
        kernel = image[2:] if step.node.op_type == "GlobalMaxPool" else None
        self._sliding = Sliding.of(step.node, image[2:], self._shape[2:], kernel)

    def _first(self, array: Array, axis: int = 0) -> Array:
        return channels_first(array, axis) if self._channels_last else array

    def _back(self, array: Array, axis: int = 0) -> Array:
        return channels_last(array, axis) if self._channels_last else array

    def grid(self, grids: Sequence[Grid]) -> Grid:
        scale = uniform(self._first(grids[0].scale), "its scales")
        zero = uniform(self._first(grids[0].zero_point), "its zero points")
        if not (scale > 0).all():
            raise NotIntegerError("its scale must be positive")
        spread = [self._back(np.broadcast_to(a, self._shape)) for a in (scale, zero)]
        return Grid(spread[0], spread[1])

    def codes(self, codes: Sequence[IntArray]) -> IntArray:
        images = self._first(codes[0], 1)[:, 0]
        taps = self._sliding.taps(self._sliding.padded(images, np.iinfo(np.int64).min))
        largest = taps[0].copy()
        for tap in taps[1:]:
            np.maximum(largest, tap, out=largest)
        return self._back(largest[:, np.newaxis], 1)


def carrier(
    step: Step, name: str, constants: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]], opset: int
) -> tuple[Carrier, list[str]] | None:
    """What carries codes to an output of a node, and the inputs that they come from; None for other nodes.

    Args:
        step: the node's step.
        name: the output.
        constants: the file's constants.
        shapes: of one sample's tensors.
        opset: of the file's standard operators.

    Raises:
        NotIntegerError: a node of the kind, but with a choice that depends on the input.
    """
    kind, first = step.node.op_type, step.reads[:1]
    if step.node.custom and not step.node.channels_last:
        return None
    if kind in LAYOUT and name == step.name:
        return _View(step), first
    if kind == "Relu":
        return _Rectifier(), first
    if kind in ("MaxPool", "GlobalMaxPool") and name == step.name:
        return _Maximum(step, shapes), first
    if kind in SELECTIONS:
        data = list(dict.fromkeys(step.reads)) if kind == "Concat" else first
        return Selection(step, name, data, constants, shapes, opset), data
    return None
