"""Operators that only choose and repeat elements: which ones, found by running the node on element numbers."""

import copy
from collections.abc import Mapping, Sequence

import numpy as np

from rtl4ml.frontend.judge.arrays import Array, FloatArray, IntArray
from rtl4ml.frontend.judge.grids import Grid, NotIntegerError, shared
from rtl4ml.frontend.judge.nodes import Node
from rtl4ml.frontend.judge.steps import Step

SELECTIONS = frozenset(
    {"Concat", "Slice", "Split", "Gather", "GatherElements", "GatherND", "Expand", "Tile", "DepthToSpace"}
    | {"SpaceToDepth", "Pad", "Resize", "Upsample"}
)

_DIGIT = 4096
"""Element numbers go through float32 in two digits."""


def lone(step: Step, opset: int) -> Node:
    """The node once more, with sessions of its own."""
    return Node(copy.deepcopy(step.node.proto), {"": opset})


class Selection:
    """Codes of the output: those of chosen elements, or of a constant that the node puts beside them.

    Args:
        step: the node's step.
        name: the output.
        data: inputs whose elements are chosen.
        constants: the file's constants.
        shapes: of one sample's tensors.
        opset: of the file's standard operators.

    Raises:
        NotIntegerError: the choice depends on the input, or values are changed.
    """

    def __init__(
        self,
        step: Step,
        name: str,
        data: Sequence[str],
        constants: Mapping[str, Array],
        shapes: Mapping[str, tuple[int, ...]],
        opset: int,
    ):
        others = [other for other in step.reads if other not in data]
        if any(other not in constants for other in others):
            raise NotIntegerError(f"what {name!r} chooses depends on the input")
        if step.node.attribute("mode", b"nearest") != b"nearest" and step.node.op_type in ("Resize", "Upsample"):
            raise NotIntegerError(f"{name!r} interpolates")
        node = lone(step, opset)
        sizes = [int(np.prod(shapes[source])) for source in data]
        starts = np.cumsum([0, *sizes])

        def run(digit: Array) -> Array:
            parts = {
                source: digit[start : start + size].reshape(shapes[source]).astype(np.float32)
                for source, start, size in zip(data, starts.tolist(), sizes, strict=False)
            }
            results = node.execute({**{other: constants[other] for other in others}, **parts})
            return results[step.writes.index(name)].astype(np.float64)

        numbers = np.arange(starts[-1])
        low, moved = run(numbers % _DIGIT), run(numbers % _DIGIT + _DIGIT)
        chosen = run(numbers // _DIGIT) * _DIGIT + low
        self._fixed = low == moved
        self._values: FloatArray = np.where(self._fixed, low, 0.0)
        self._chosen = np.where(self._fixed, 0, chosen).astype(np.int64)
        self._codes: IntArray | None = None

    def _take(self, arrays: Sequence[Array]) -> Array:
        """Chosen elements of `[n or 1, *shape]` each."""
        count = max(len(array) for array in arrays)
        flat = [np.broadcast_to(a.reshape(len(a), -1), (count, a[0].size)) for a in arrays]
        whole = flat[0] if len(flat) == 1 else np.concatenate(flat, axis=1)
        return whole[:, self._chosen.reshape(-1)].reshape(count, *self._chosen.shape)

    def grid(self, grids: Sequence[Grid]) -> Grid:
        """Grid of the output.

        Raises:
            NotIntegerError: a constant of the node is not on the grid of its surroundings.
        """
        scale, zero = (self._take([a[np.newaxis] for a in arrays])[0] for arrays in _columns(grids))
        if self._fixed.any():
            scale, zero = self._surrounded(scale), self._surrounded(zero.astype(np.float64))
            codes = np.rint(self._values / scale)
            if not np.array_equal((codes * scale).astype(np.float32), self._values.astype(np.float32)):
                raise NotIntegerError("a constant beside its codes is not on their grid")
            self._codes = (codes + zero).astype(np.int64)
        return Grid(shared(scale.astype(np.float64)), shared(zero.astype(np.int64)))

    def _surrounded(self, values: FloatArray) -> FloatArray:
        """Values with those of the fixed elements taken from others in the same line, axis by axis."""
        filled = np.where(self._fixed, np.nan, values)
        for axis in range(filled.ndim):
            line = np.fmax.reduce(filled, axis=axis, keepdims=True)
            filled = np.where(np.isnan(filled), line, filled)
        if np.isnan(filled).any():
            raise NotIntegerError("nothing but constants is left of it")
        return filled

    def codes(self, codes: Sequence[IntArray]) -> IntArray:
        """Codes of the output, `[n or 1, *shape]`, from those of the data inputs."""
        taken: IntArray = self._take(codes)
        return taken if self._codes is None else np.where(self._fixed, self._codes, taken)


def _columns(grids: Sequence[Grid]) -> tuple[list[Array], list[Array]]:
    return [grid.scale for grid in grids], [grid.zero_point for grid in grids]
