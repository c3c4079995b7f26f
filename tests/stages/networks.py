"""Small random networks as integer graphs, and their forms."""

import itertools
from dataclasses import replace

import numpy as np

from rtl4ml.formats import Format
from rtl4ml.graph import Graph, HostFunction, Tensor
from rtl4ml.operators.dense import Dense, WeightLimits
from rtl4ml.operators.requantize import Requantize
from rtl4ml.staircase import Staircase, fit_affine, fit_constant, fit_shift, fit_thresholds

NOTHING = HostFunction(b"", (), np.arange(1), (1,))


def staircase_of(low, high, function):
    """Staircase of a monotone `function(row, x)` on [low[row], high[row]], by enumeration."""
    first, positions, codes = [], [], []
    for row in range(len(low)):
        x = np.arange(low[row], high[row] + 1)
        y = function(row, x)
        steps = np.flatnonzero(np.diff(y)) + 1
        first.append(y[0])
        positions.append(x[steps])
        codes.append(y[steps])
    return Staircase(np.array(low), np.array(high), np.array(first), tuple(positions), tuple(codes))


def requantizer(generator, kind, low, high, code_low, code_high):
    """Staircase and form of a kind for elements in [low, high]; 'affine' and 'thresholds' differ between channels."""
    spans = (high - low + 1) / (code_high - code_low + 1)
    middle = (code_low + code_high + 1) // 2
    if kind in ("shift", "constant"):
        low, high = low.min(keepdims=True), high.max(keepdims=True)
        shift = max(1, int(np.log2(spans.mean())))
        if kind == "constant":
            staircase = staircase_of(low, high, lambda row, x: np.full(x.shape, code_high))
            return staircase, fit_constant(staircase)

        def function(row, x):
            t = x + 1
            return np.clip((t + (1 << (shift - 1)) - 1 + ((t >> shift) & 1)) >> shift, code_low, code_high)

        staircase = staircase_of(low, high, function)
        return staircase, fit_shift(staircase) or fit_thresholds(staircase)
    gain = generator.uniform(0.4, 1.2, len(low)) / np.maximum(spans, 0.05)
    offset = generator.uniform(-1, 1, len(low)) + middle
    centre = (low + high) / 2
    if kind == "thresholds":
        gain *= generator.choice([-1.0, 1.0], len(low))

    def line(row, x):
        return np.clip(np.floor((x - centre[row]) * gain[row] + offset[row]), code_low, code_high).astype(np.int64)

    staircase = staircase_of(low, high, line)
    form = None if kind == "thresholds" else fit_affine(staircase)
    return staircase, form or fit_thresholds(staircase)


def network(sizes, seed, *, kinds=None, bits=4, weight_bits=4, zero_point=0, signed=True, last=True, weights=None):
    """Dense and Requantize in turn, `sizes` elements each; without `last` the last Requantize is missing.

    Returns the graph and the forms by name of the Requantize node.
    """
    generator = np.random.default_rng(seed)
    kinds = kinds or ["shift"] * (len(sizes) - 1)
    format_in = Format(bits, signed, np.array(0.25), np.array(zero_point))
    tensor = Tensor("x", (sizes[0],), format_in, np.full(sizes[0], format_in.low), np.full(sizes[0], format_in.high))
    operators, forms = [], {}
    first = tensor
    limit = 1 << (weight_bits - 1)
    for layer, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        w = generator.integers(-limit, limit, (n_in, n_out)) if weights is None else weights(layer, n_in, n_out)
        bias = generator.integers(-limit * 3, limit * 3 + 1, n_out)
        dense = Dense(f"fc{layer}", (tensor.name,), f"a{layer}", w, bias, np.array(0.25), (n_out,))
        operators.append(dense)
        tensor = dense.infer((tensor,))
        if layer == len(sizes) - 2 and not last:
            break
        format_out = Format(bits, signed, np.array(0.5), np.array(zero_point))
        staircase, form = requantizer(generator, kinds[layer], tensor.low, tensor.high, format_out.low, format_out.high)
        requantize = Requantize(f"q{layer}", (tensor.name,), f"y{layer}", staircase, format_out, ())
        forms[requantize.name] = form
        operators.append(requantize)
        tensor = requantize.infer((tensor,))
    graph = Graph("net", (), {"x": first}, "x", "x", NOTHING, NOTHING, (sizes[0],), (sizes[-1],))
    tensors = {"x": first}
    for operator in operators:
        tensors[operator.output] = operator.infer(tuple(tensors[name] for name in operator.inputs))
    graph = Graph("net", tuple(operators), tensors, "x", tensor.name, NOTHING, NOTHING, (sizes[0],), (sizes[-1],))
    return graph, forms


def bipolar_network(sizes, seed, *, last=True, activations=True, palette=(-1, 1), writable=False):
    """Bipolar activations and weights; thresholds that rise or fall, with a constant channel."""
    generator = np.random.default_rng(seed)
    form = Format(1, True, np.array(1.0), bipolar=True) if activations else Format(2, True, np.array(1.0))
    tensor = Tensor("x", (sizes[0],), form, np.full(sizes[0], form.low), np.full(sizes[0], form.high))
    tensors, operators = {"x": tensor}, []
    for layer, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        weights = generator.choice(palette, (n_in, n_out))
        bias = generator.integers(-2, 3, n_out)
        dense = Dense(f"fc{layer}", (tensor.name,), f"a{layer}", weights, bias, np.array(1.0), (n_out,))
        if writable:
            dense = replace(dense, limits=WeightLimits.of(weights, bias))
        operators.append(dense)
        tensor = tensors[dense.output] = dense.infer((tensor,))
        if layer == len(sizes) - 2 and not last:
            break
        threshold = generator.integers(tensor.low, tensor.high + 1)
        falling = generator.random(n_out) < 0.4

        def step(row, x, threshold=threshold, falling=falling):
            return np.where((x >= threshold[row]) ^ falling[row], 1, -1)

        staircase = staircase_of(tensor.low, tensor.high, step)
        target = Format(1, True, np.array(1.0), bipolar=True)
        requantize = Requantize(f"q{layer}", (tensor.name,), f"y{layer}", staircase, target, ())
        operators.append(requantize)
        tensor = tensors[requantize.output] = requantize.infer((tensor,))
        if not activations:
            break
    shapes = (sizes[0],), (sizes[-1],)
    graph = Graph("net", tuple(operators), tensors, "x", tensor.name, NOTHING, NOTHING, *shapes)
    return replace(graph, layouts={name: np.arange(t.size)[None] for name, t in tensors.items()})


def inputs(graph, frames, seed):
    """Random codes (frames, n) with the extremes in the first two frames."""
    tensor = graph.input_tensor
    codes = np.random.default_rng(seed).integers(tensor.low, tensor.high + 1, (frames, tensor.size))
    codes[: len(codes[:1])] = tensor.low
    codes[1:2] = tensor.high
    return codes
