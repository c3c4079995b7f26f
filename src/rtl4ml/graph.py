"""The integer graph: tensors of codes, operators between them, and their evaluation in NumPy (the reference)."""

from __future__ import annotations

import abc
import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, Format, InputFormat, spread

TILE_BYTES = 1 << 19
"""Samples are evaluated in tiles whose widest tensor takes about this much: it stays in a core's cache."""

TILES_OF_MAPS = 1 << 26
"""Small tiles cost calls: up to 64 samples are taken together while the widest tensor stays under this much memory."""


@functools.cache
def _blas() -> ThreadpoolController:
    """NumPy's BLAS, whose threads can be limited."""
    return ThreadpoolController()


@dataclass(frozen=True, eq=False)
class Tensor:
    """Codes between operators.

    Parameters:
        name: as in the file where it has one.
        shape: without the batch.
        format: meaning of the codes.
        low: int64 (k,), lowest code that element e can reach, at e % k: k is the size, or a divisor of it, such as
            the channels where they come last.
        high: int64 (k,), highest.
    """

    name: str
    shape: tuple[int, ...]
    format: Format
    low: Codes
    high: Codes

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def channels(self) -> int:
        """What reports count by: channels of a feature map, elements of a vector."""
        return self.shape[-1] if len(self.shape) > 1 and self.low.size <= self.shape[-1] else self.size

    @property
    def lows(self) -> Codes:
        """Lowest code of every element, int64 (size,)."""
        return spread(self.low, self.size)

    @property
    def highs(self) -> Codes:
        """Highest code of every element, int64 (size,)."""
        return spread(self.high, self.size)

    @property
    def range(self) -> tuple[int, int]:
        """Lowest and highest code of any element."""
        return int(self.low.min()), int(self.high.max())


@dataclass(frozen=True, eq=False)
class Operator(abc.ABC):
    """A node: reads tensors by name, makes one. Subclasses add their parameters."""

    kind: ClassVar[str]

    name: str
    inputs: tuple[str, ...]
    output: str

    @abc.abstractmethod
    def infer(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The output tensor with its format and range, from those of the inputs."""

    @abc.abstractmethod
    def evaluate(self, inputs: Sequence[NDArray], tensors: Sequence[Tensor]) -> NDArray:
        """Codes (N, n_out) from the inputs' codes (N, n_in) each, in whichever dtype holds them exactly.

        Args:
            inputs: codes in the order of `self.inputs`, of any dtype that holds them.
            tensors: what they are.
        """

    @property
    def multiplications(self) -> int:
        """Products an evaluation of one sample takes."""
        return 0


@dataclass(frozen=True, eq=False)
class HostFunction:
    """What stands in front of the hardware's input or behind its output in the file, and runs on the host.

    Parameters:
        model: a serialised ONNX model, one input and one output, batch 1; empty: nothing to do.
        description: operators in words, for the metadata.
        order: int64 (n,): element e of the (flattened) float tensor at the border is element order[e] of the
            hardware's tensor.
        shape: of the float tensor at the border, without the batch.
        bias: (n_hardware,), float32 or float64: added to the output's real values in the same rounding; epilogue only.
        batched: the model takes any batch.
    """

    model: bytes
    description: tuple[str, ...]
    order: Codes
    shape: tuple[int, ...]
    bias: NDArray[np.floating] | None = None
    batched: bool = False


@dataclass(frozen=True, eq=False)
class Graph:
    """A quantized network as integer operators.

    Parameters:
        name: of the network.
        operators: in topological order.
        tensors: by name.
        input: name of the tensor that the hardware takes.
        output: name of the tensor that it gives.
        prologue: real values of the file to real values of the input.
        epilogue: real values of the output to real values of the file.
        input_format: what the input pins carry, when the user said so.
        input_shape: of the file, without the batch.
        output_shape: of the file, without the batch.
        encode: real values behind the prologue to input codes, as the first quantizer or the input format has it.
        layouts: for each tensor the order of its elements in the file: an array in the file's shape (batch of 1
            included) whose entries are element numbers of the tensor.
        grids: scales of the file's tensors that reach a product on a grid which exact arithmetic, not a quantizer,
            keeps.
        source: facts about the file: its name, its hash, versions of the executors that defined the staircases.
        model: the file itself, which the judges run; empty for a graph that came from none.
    """

    name: str
    operators: tuple[Operator, ...]
    tensors: Mapping[str, Tensor]
    input: str
    output: str
    prologue: HostFunction
    epilogue: HostFunction
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    input_format: InputFormat | None = None
    encode: Callable[[NDArray], Codes] | None = None
    layouts: Mapping[str, Codes] = field(default_factory=dict)
    grids: Mapping[str, float | NDArray[np.float64]] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    model: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        """Check that names are unique and every input is made before it is read.

        Raises:
            ModelError: they are not.
        """
        made = {self.input}
        for operator in self.operators:
            for name in operator.inputs:
                if name not in made:
                    raise ModelError(
                        f"Input {name!r} of node {operator.name!r} ({operator.kind}) must be made by an earlier node"
                    )
            if operator.output in made:
                raise ModelError(
                    f"Output {operator.output!r} of node {operator.name!r} ({operator.kind}) must be a new tensor"
                )
            made.add(operator.output)
        if self.output not in made:
            raise ModelError(f"Output of graph {self.name!r} must be one of its tensors, not {self.output!r}")

    @property
    def input_tensor(self) -> Tensor:
        """What the hardware takes."""
        return self.tensors[self.input]

    @property
    def output_tensor(self) -> Tensor:
        """What the hardware gives."""
        return self.tensors[self.output]

    @property
    def multiplications(self) -> int:
        """Products in one inference."""
        return sum(o.multiplications for o in self.operators)

    def consumers(self, name: str) -> list[Operator]:
        """Operators that read a tensor."""
        return [o for o in self.operators if name in o.inputs]

    def with_operators(self, operators: Iterable[Operator]) -> Graph:
        """The same graph with other operators; formats and ranges are inferred anew."""
        operators = tuple(operators)
        tensors: dict[str, Tensor] = {self.input: self.tensors[self.input]}
        for operator in operators:
            tensors[operator.output] = operator.infer(tuple(tensors[name] for name in operator.inputs))
        return replace(self, operators=operators, tensors=tensors)

    def evaluate(
        self, codes: NDArray, *, keep: Iterable[str] | None = None, progress: Callable[[int, int], None] | None = None
    ) -> dict[str, Codes]:
        """The reference: codes of the output, or of the tensors named in `keep`, for input codes (N, n_in).

        Returns:
            int64 arrays (N, size) by name.

        Raises:
            ModelError: `codes` has another number of elements, or codes outside the input's range.
        """
        names = [self.output] if keep is None else list(keep)
        codes = np.asarray(codes)
        tensor = self.input_tensor
        if codes.ndim != 2 or codes.shape[1] != tensor.size:
            raise ModelError(f"Input codes must have shape (N, {tensor.size}), not {codes.shape}")
        if codes.size and (np.any(codes.min(axis=0) < tensor.lows) or np.any(codes.max(axis=0) > tensor.highs)):
            raise ModelError(
                f"Input codes must lie in [{tensor.range[0]}, {tensor.range[1]}], not in [{codes.min()}, {codes.max()}]"
            )
        results = {name: np.empty((len(codes), self.tensors[name].size), np.int64) for name in names}
        widest = max(t.size for t in self.tensors.values())
        tile = max(1, min(64, TILES_OF_MAPS // (4 * widest)), TILE_BYTES // (4 * widest))

        def run(start: int) -> int:
            part = codes[start : start + tile]
            for name, values in self._evaluate_tile(part, names).items():
                results[name][start : start + tile] = values
            return len(part)

        starts = range(0, len(codes), tile)
        if starts:
            run(0)  # alone: it fills the operators' caches
        done = min(tile, len(codes))
        # Threads over tiles, one BLAS thread each: BLAS's own threads cost more than they give on matrices this small.
        with _blas().limit(limits=1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
            for count in pool.map(run, starts[1:]):
                done += count
                if progress is not None:
                    progress(done, len(codes))
        return results

    def _evaluate_tile(self, codes: NDArray, names: list[str]) -> dict[str, NDArray]:
        values = {self.input: codes}
        for operator in self.operators:
            sources = [values[name] for name in operator.inputs]
            values[operator.output] = operator.evaluate(sources, [self.tensors[name] for name in operator.inputs])
        return {name: values[name] for name in names}

    def describe(self) -> dict[str, Any]:
        """The graph in plain types, without weights: tensors, operators, the host's parts."""
        tensors = [
            {
                "name": t.name,
                "shape": list(t.shape),
                "format": str(t.format),
                "bits": t.format.bits,
                "low": t.range[0],
                "high": t.range[1],
            }
            for t in self.tensors.values()
        ]
        operators = [
            {
                "name": o.name,
                "kind": o.kind,
                "inputs": list(o.inputs),
                "output": o.output,
                "multiplications": o.multiplications,
            }
            for o in self.operators
        ]
        return {
            "name": self.name,
            "input": self.input,
            "output": self.output,
            "multiplications": self.multiplications,
            "prologue": list(self.prologue.description),
            "epilogue": list(self.epilogue.description),
            "tensors": tensors,
            "operators": operators,
            "source": dict(self.source),
        }

    def __str__(self) -> str:
        lines = [f"graph {self.name}"]
        if self.prologue.description:
            lines.append(f"  host: {' -> '.join(self.prologue.description)}")
        for name in self.tensors:
            tensor = self.tensors[name]
            maker = next((o for o in self.operators if o.output == name), None)
            made = f"{maker.kind}({', '.join(maker.inputs)})" if maker else "input"
            lines.append(
                f"  {name}: {list(tensor.shape)} {tensor.format} in [{tensor.range[0]}, {tensor.range[1]}] = {made}"
            )
        if self.epilogue.description:
            lines.append(f"  host: {' -> '.join(self.epilogue.description)}")
        return "\n".join(lines)
