"""Input codes that look for trouble: extremes of inputs and neurons, values around rounding steps, random ones."""

import numpy as np

from rtl4ml.errors import ConfigurationError
from rtl4ml.formats import Codes, spread
from rtl4ml.graph import Graph
from rtl4ml.operators import Dense, Requantize


def draw(graph: Graph, samples: int, seed: int = 0) -> Codes:
    """Input codes (samples, n_in), int64, the same for the same seed.

    In this order, as far as `samples` goes: all inputs lowest, highest, zero; inputs (of large frames, some)
    at each extreme, others random; inputs that drive each neuron of the first layer to its extremes; inputs that put
    such a neuron right on, and one below, a step of its staircase (there lie the rounding ties); then uniform codes,
    sparse ones, and ones near the middle, by turns.

    Raises:
        ConfigurationError: no samples are asked for.
    """
    if samples < 1:
        raise ConfigurationError(f"samples must be at least 1, not {samples}")
    tensor = graph.input_tensor
    low, high = tensor.lows, tensor.highs
    random = np.random.default_rng(seed)
    if tensor.format.bipolar:
        return random.choice(np.array([-1, 1]), (samples, tensor.size)).astype(np.int64)
    zero = np.clip(spread(tensor.format.zero_point, tensor.size), low, high)
    parts = [low[None], high[None], zero[None]]
    # Of large inputs, as many elements as there are samples for; the rest of the samples has other work.
    chosen = random.permutation(tensor.size)[: max(1, samples // 4)]
    for limit in (low, high):
        single = random.integers(low, high + 1, (len(chosen), tensor.size))
        single[np.arange(len(chosen)), chosen] = limit[chosen]
        parts.append(single)
    first = next((o for o in graph.operators if isinstance(o, Dense) and o.inputs[0] == graph.input), None)
    if first is not None:
        positive = first.weights.T > 0
        parts += [np.where(positive, high, low), np.where(positive, low, high)]
        parts.append(_on_steps(graph, first, random, max(64, samples // 4)))
    count = max(0, samples - sum(len(p) for p in parts))
    uniform = random.integers(low, high + 1, (count, tensor.size))
    sparse = np.where(random.random((count, tensor.size)) < 0.2, uniform, zero)
    width = np.maximum(1, (high - low) / 6)
    middle = np.clip(np.rint(random.normal((low + high) / 2, width, (count, tensor.size))), low, high).astype(np.int64)
    turn = np.arange(count)[:, None] % 3
    parts.append(np.where(turn == 0, uniform, np.where(turn == 1, sparse, middle)))
    codes = np.concatenate(parts)[:samples]
    return codes[random.permutation(len(codes))]


def _on_steps(graph: Graph, dense: Dense, random: np.random.Generator, count: int) -> Codes:
    """Random inputs, moved weight by weight until an accumulator stands on a step of its staircase, or one before."""
    tensor = graph.input_tensor
    follower = next((o for o in graph.consumers(dense.output) if isinstance(o, Requantize)), None)
    low, high = tensor.lows, tensor.highs
    x = random.integers(low, high + 1, (count, tensor.size))
    if follower is None:
        return x
    staircase = follower.staircase
    neuron = random.integers(0, dense.weights.shape[1], count)
    target = np.empty(count, np.int64)
    for index, channel in enumerate(neuron):
        row = int(channel) if staircase.rows > 1 else 0
        where = staircase.positions[row]
        target[index] = random.choice(where) - random.integers(0, 2) if len(where) else 0
    weights = dense.weights[:, neuron].T
    missing = target - (np.einsum("ij,ij->i", x, weights) + dense.effective_bias(tensor)[neuron])
    for element in np.argsort(-np.abs(dense.weights).max(axis=1), kind="stable"):
        weight = weights[:, element]
        divisor = np.where(weight == 0, 1, weight)
        change = np.where(weight == 0, 0, np.sign(missing) * np.sign(divisor) * (np.abs(missing) // np.abs(divisor)))
        moved = np.clip(x[:, element] + change, low[element], high[element])
        missing -= (moved - x[:, element]) * weight
        x[:, element] = moved
    return x
