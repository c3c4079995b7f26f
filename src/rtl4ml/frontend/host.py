"""The host's part of a model: what stands before the hardware and behind it, run by the executor's kernels."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, Reals
from rtl4ml.frontend import kernels
from rtl4ml.graph import HostFunction

BATCHABLE = frozenset(
    {"Add", "Sub", "Mul", "Div", "Relu", "Clip", "BatchNormalization"}
    | {"Identity", "Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze"}
)
"""Operators whose results do not depend on the batch in the last bit. Others run sample by sample."""


def extract(
    model: onnx.ModelProto,
    start: str,
    end: str,
    start_shape: tuple[int, ...],
    constants: dict[str, NDArray],
    opset: int,
    order: Codes,
) -> HostFunction:
    """The nodes between two tensors of the file as a model of their own.

    Args:
        model: the file.
        start: tensor that it takes.
        end: tensor that it gives.
        start_shape: shape of `start`, batch of 1 included.
        constants: every constant tensor known at import, by name.
        opset: of the file.
        order: element of the border tensor -> element of the hardware's tensor.
    """
    wanted, nodes = {end}, []
    for node in reversed(model.graph.node):
        if not wanted.intersection(node.output) or all(not name or name in constants for name in node.input):
            continue
        if start in node.output:
            continue
        nodes.append(node)
        wanted.update(name for name in node.input if name not in constants)
    nodes.reverse()
    if not nodes or start == end:
        return HostFunction(b"", (), order.reshape(-1), order.shape[1:])
    used = {name: constants[name] for node in nodes for name in node.input if name in constants}
    words = tuple(node.op_type for node in nodes)

    def part(batch: int | None) -> bytes:
        shape: list[int | str | None] = [batch, *start_shape[1:]]
        made = kernels.build(nodes, {start: (onnx.TensorProto.FLOAT, shape)}, [end], used, opset)
        return made.SerializeToString()

    function = HostFunction(part(None), words, order.reshape(-1), order.shape[1:], batched=True)
    if all(node.op_type in BATCHABLE for node in nodes) and _takes_batches(function, start_shape):
        return function
    return replace(function, model=part(start_shape[0] if start_shape else None), batched=False)


def _takes_batches(function: HostFunction, shape: tuple[int, ...]) -> bool:
    """Whether two samples at once give what they give alone: a constant or a shape in the file may be made for one."""
    if shape[:1] != (1,):
        return False
    samples = np.random.default_rng(0).standard_normal((2, *shape[1:])).astype(np.float32)
    alone = run(replace(function, batched=False), samples)
    try:
        together = run(function, samples)
    except Exception:  # onnxruntime's own classes, which share no useful base
        return False
    return alone.shape == together.shape and np.array_equal(alone, together, equal_nan=True)


@functools.lru_cache(maxsize=64)
def _session(model: bytes) -> onnxruntime.InferenceSession:
    return kernels.session(model)


def run(function: HostFunction, values: Reals, progress: Callable[[int, int], None] | None = None) -> Reals:
    """Apply a host function to values (N, ...) of the tensor it takes; without nodes they come back unchanged."""
    if not function.model:
        return values
    session = _session(function.model)
    name, output = session.get_inputs()[0].name, session.get_outputs()[0].name
    values = np.ascontiguousarray(values, np.float32)
    if not len(values):
        shape = run(function, np.zeros((1, *values.shape[1:]), np.float32)).shape
        return np.zeros((0, *shape[1:]), np.float32)
    if function.batched:
        return session.run([output], {name: values})[0]
    results = []
    for index in range(len(values)):
        results.append(session.run([output], {name: values[index : index + 1]})[0])
        if progress is not None and index % 1000 == 999:
            progress(index + 1, len(values))
    return np.concatenate(results)


def output_shape(function: HostFunction, shape: Sequence[int]) -> tuple[int, ...]:
    """Shape that the function gives for one sample of `shape` (without the batch).

    Raises:
        ModelError: the host's part cannot be run.
    """
    try:
        return tuple(run(function, np.zeros((1, *shape), np.float32)).shape[1:])
    except ModelError:
        raise
    except Exception as error:
        text = str(error).splitlines()[0]
        raise ModelError(f"Operators behind the last quantizer must run in onnxruntime, but it says: {text}") from error


def invert(function: HostFunction, targets: Reals, shape: Sequence[int]) -> Reals:
    """File inputs (N, *shape) whose prologue gives values close to `targets` (N, *border shape).

    By bisection, all elements at once: right for elementwise monotone prologues that keep the order of elements, which
    is what exporters write; for any other the values are merely some inputs. Callers encode them again and so know
    their codes exactly.
    """
    flat = targets.reshape(len(targets), -1)
    if not function.model:
        return targets.reshape(len(targets), *shape)
    if not function.batched:
        # NumPy's generator takes no more than the range of a float32 or so.
        spread = min(max(1.0, float(np.abs(flat).max())), 2.0**100)
        return np.random.default_rng(0).uniform(-spread, spread, (len(targets), *shape)).astype(np.float32)
    largest = float(1 << 20)

    def apply(x: NDArray) -> Reals:
        return run(function, x.reshape(len(targets), *shape).astype(np.float32)).reshape(len(targets), -1)

    low, high = np.full(flat.shape, -largest), np.full(flat.shape, largest)
    falling = apply(high) < apply(low)
    for _ in range(48):
        middle = (low + high) / 2
        above = (apply(middle) > flat) ^ falling
        high, low = np.where(above, middle, high), np.where(above, low, middle)
    return ((low + high) / 2).reshape(len(targets), *shape).astype(np.float32)
