"""The border between the file's real values and the hardware's codes, crossed in batches of bounded memory."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, Reals
from rtl4ml.frontend import host
from rtl4ml.graph import Graph

BATCH_ELEMENTS = 1 << 22
"""Elements of a batch in its widest tensor: 32 MB of codes, and enough tiles of the reference for every core."""


def samples(graph: Graph, x: ArrayLike) -> NDArray:
    """Values (N, ...) in the file's input layout, in the dtype they came in and not copied; one sample gets its batch.

    Raises:
        ModelError: another shape, or no real numbers.
    """
    try:
        values = np.asarray(x)
    except ValueError as error:
        raise ModelError(f"Input must be an array, not a ragged sequence: {error}") from error
    if values.dtype.kind not in "fiub":
        raise ModelError(f"Input must be an array of real numbers, not of {values.dtype}")
    if values.shape == graph.input_shape:
        values = values[None]
    if values.shape[1:] != graph.input_shape:
        wanted = ", ".join(["N", *map(str, graph.input_shape)])
        raise ModelError(f"Input must have shape ({wanted}), not {values.shape}")
    return values


def real(graph: Graph, x: NDArray) -> Reals:
    """Values (N, ...) from `samples` as they arrive at the first quantizer or the input format: float32 (N, ...).

    Raises:
        ModelError: values that are not finite in float32.
    """
    with np.errstate(over="ignore"):
        values = x.astype(np.float32, copy=False)
    if not np.all(np.isfinite(values)):
        raise ModelError("Input must be finite, not NaN or infinite")
    return host.run(graph.prologue, values)


def encode(graph: Graph, x: NDArray) -> Codes:
    """Values (N, ...) from `samples` to the hardware's input codes (N, n_in).

    Raises:
        ModelError: values that are not finite in float32.
    """
    assert graph.encode is not None
    in_file = graph.encode(real(graph, x)).reshape(len(x), graph.input_tensor.size)
    codes = np.empty_like(in_file)
    codes[:, graph.prologue.order] = in_file
    return codes


def decode(graph: Graph, codes: Codes) -> Reals:
    """Output codes (N, n_out) to real values in the file's output layout, through the host's epilogue."""
    reals = graph.output_tensor.format.real(codes, graph.epilogue.bias)
    shaped = reals[:, graph.epilogue.order].reshape(len(codes), *graph.epilogue.shape)
    return host.run(graph.epilogue, shaped)


def batches(graph: Graph, count: int) -> Iterator[slice]:
    """`count` samples in slices whose widest tensor has BATCH_ELEMENTS elements; no samples: one empty slice."""
    size = max(64, BATCH_ELEMENTS // max(t.size for t in graph.tensors.values()))
    for start in range(0, max(1, count), size):
        yield slice(start, min(start + size, count))


def in_batches(
    graph: Graph,
    x: NDArray,
    run: Callable[[Codes, Callable[[int, int], None]], NDArray],
    progress: Callable[[int, int], None],
) -> NDArray:
    """`run` over the codes of `samples`, batch by batch, its results one behind the other.

    Args:
        graph: whose border the samples cross.
        x: from `samples`.
        run: codes (n, n_in) and a progress callback to an array (n, ...).
        progress: called with the samples that are done and all samples.
    """
    whole: NDArray | None = None
    for part in batches(graph, len(x)):
        result = run(encode(graph, x[part]), moved(progress, part.start, len(x)))
        if whole is None:
            whole = np.empty((len(x), *result.shape[1:]), result.dtype)
        whole[part] = result
        progress(part.stop, len(x))
    assert whole is not None
    return whole


def moved(progress: Callable[[int, int], None], start: int, total: int) -> Callable[[int, int], None]:
    """A batch's progress as the whole's."""
    return lambda done, _: progress(start + done, total)
