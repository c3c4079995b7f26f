"""Small integer graphs, made by hand, that use every operator and every form of a staircase."""

from dataclasses import replace

import numpy as np

from rtl4ml.formats import Format
from rtl4ml.graph import Graph, HostFunction, Tensor
from rtl4ml.operators import Add, Concat, Conv, Dense, Extreme, Gather, Multiply, Pool, Requantize, Top, Window
from rtl4ml.staircase import Staircase
from tests.stages.networks import bipolar_network, network, requantizer, staircase_of


def tensor(name, shape, bits=4, *, signed=True, zero=0):
    """A tensor with one range for all elements."""
    kind = Format(bits, signed, np.array(0.25), np.asarray(zero))
    return Tensor(name, tuple(shape), kind, np.array([kind.low]), np.array([kind.high]))


class Builder:
    """Operators one after the other."""

    def __init__(self, source, seed=1):
        self.tensors = {source.name: source}
        self.operators = []
        self.source = source
        self.random = np.random.default_rng(seed)

    def put(self, kind, inputs, output, **parameters):
        """Add an operator; its output's name."""
        operator = kind(f"{kind.kind}_{output}", tuple(inputs), output, **parameters)
        self.operators.append(operator)
        self.tensors[output] = operator.infer(tuple(self.tensors[name] for name in inputs))
        return output

    def conv(self, x, output, outputs, window, *, groups=1, limit=4):
        """A convolution with random weights and biases."""
        channels = self.tensors[x].shape[-1] // groups
        weights = self.random.integers(-limit, limit, (*window.kernel, channels, outputs))
        bias = self.random.integers(-9, 10, outputs)
        shape = (window.out_height, window.out_width, outputs)
        parameters = {"window": window, "weights": weights, "bias": bias, "scale": np.array(0.5)}
        return self.put(Conv, [x], output, **parameters, groups=groups, shape=shape)

    def requantize(self, x, output, kind="affine", bits=4):
        """A staircase a channel."""
        source = self.tensors[x]
        channels = source.shape[-1]
        low, high = (limits.reshape(-1, min(channels, limits.size)) for limits in (source.low, source.high))
        low, high = np.broadcast_to(low.min(axis=0), channels), np.broadcast_to(high.max(axis=0), channels)
        target = Format(bits, True, np.array(0.5))
        staircase, _ = requantizer(self.random, kind, low.copy(), high.copy(), target.low, target.high)
        return self.put(Requantize, [x], output, staircase=staircase, format=target, chain=())

    def staircase(self, x, output, function, bits=8):
        """A staircase of all elements, by enumeration of any function."""
        low, high = self.tensors[x].range
        staircase = staircase_of([low], [high], lambda row, v: function(v))
        return self.put(
            Requantize, [x], output, staircase=staircase, format=Format(bits, True, np.array(1.0)), chain=()
        )

    def graph(self, name="net"):
        """What was put, the last output the graph's."""
        last = self.operators[-1].output
        return with_border(
            Graph(
                name,
                tuple(self.operators),
                self.tensors,
                self.source.name,
                last,
                nothing(self.source),
                nothing(self.tensors[last]),
                self.source.shape,
                self.tensors[last].shape,
            )
        )


def nothing(source):
    """A host that does nothing with a tensor."""
    return HostFunction(b"", (), np.arange(source.size), source.shape)


def with_border(graph):
    """The graph with host functions that fit its tensors."""
    return replace(
        graph, prologue=nothing(graph.input_tensor), epilogue=nothing(graph.output_tensor), layouts=layouts(graph)
    )


def layouts(graph):
    """Every tensor in the order of its elements."""
    return {name: np.arange(t.size).reshape(1, *t.shape) for name, t in graph.tensors.items()}


def spatial(seed=3):
    """Every operator on feature maps: padding with zero points, strides, groups, depthwise, joins, blocks."""
    random = np.random.default_rng(seed)
    b = Builder(tensor("x", (5, 6, 4), zero=random.integers(-3, 4, 4)), seed)
    a = b.conv("x", "a", 6, Window(5, 6, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)))
    q = b.requantize(a, "q", "affine")
    g = b.conv(q, "g", 4, Window(5, 6, (3, 2), (2, 1), (1, 2), (2, 0, 1, 1)), groups=2)
    r = b.requantize(g, "r", "shift")
    d = b.conv(r, "d", 8, Window(3, 5, (2, 2), (1, 1), (1, 1), (0, 0, 1, 1)), groups=4)
    s = b.requantize(d, "s", "thresholds")
    p = b.put(Pool, [s], "p", window=Window(3, 5, (2, 3), (2, 2), (1, 1), (0, 1, 1, 1)), shape=(2, 3, 8))
    e = b.conv(p, "e", 8, Window(2, 3, (1, 1)))
    t = b.requantize(e, "t", "affine")
    scale = np.array(0.25)
    left = random.integers(1, 4, 8)
    both = b.put(Add, [t, p], "both", left=left, right=np.array(-3), scale=scale)
    m = b.put(Multiply, [t, p], "m", scale=scale)
    w = b.staircase(both, "w", lambda v: (v * 5 // 16) % 23 - 11)
    z = b.staircase(m, "z", lambda v: np.where(v < -3, 7, np.where(v < 9, -2, 4)))
    extreme = {"left": np.array(2), "right": left, "format": Format(12, True, np.array(1.0), np.array(5))}
    n = b.put(Extreme, [w, z], "n", **extreme, largest=False)
    c = b.put(Concat, [n, p, w], "c", shape=(2, 3, 24), blocks=6)
    indices = np.where(random.random(100) < 0.2, -1, random.integers(0, 144, 100))
    h = b.put(Gather, [c], "h", indices=indices, shape=(100,), fill=-4)
    b.put(Top, [h], "y", factors=np.array(3), offsets=random.integers(-20, 20, 25), count=3, shape=(12,), blocks=4)
    return b.graph()


def wide(seed=4):
    """Sums of 16, 32 and 64 bits, many outputs, few outputs, affine forms in both word sizes, long searches."""
    random = np.random.default_rng(seed)
    b = Builder(tensor("x", (40,), 12, signed=False, zero=7), seed)
    weights = random.integers(-1000, 1000, (40, 150))
    parameters = {"bias": random.integers(-(10**6), 10**6, 150), "scale": np.array(1.0), "shape": (150,)}
    a = b.put(Dense, ["x"], "a", weights=weights, **parameters)
    low, high = b.tensors[a].low, b.tensors[a].high
    positions = tuple(np.unique(np.linspace(a + 1, z, 300).astype(np.int64)) for a, z in zip(low, high, strict=True))
    codes = tuple(np.arange(len(row)) - 149 for row in positions)
    staircase = Staircase(low, high, np.full(150, -150), positions, codes)
    q = b.put(Requantize, [a], "q", staircase=staircase, format=Format(10, True, np.array(1.0)), chain=())
    again = random.integers(-(2**31), 2**31, (150, 5))
    parameters = {"bias": random.integers(-9, 9, 5), "scale": np.array(1.0), "shape": (5,)}
    e = b.put(Dense, [q], "e", weights=again, **parameters)
    low, high = b.tensors[e].low, b.tensors[e].high
    positions = tuple(np.linspace(a + 1, z, 60).astype(np.int64) for a, z in zip(low, high, strict=True))
    codes = tuple(np.where(np.arange(60) % 2, 1, -1) * (np.arange(60) + 3) for _ in low)
    staircase = Staircase(low, high, np.full(5, 100), positions, codes)
    b.put(Requantize, [e], "y", staircase=staircase, format=Format(8, True, np.array(1.0)), chain=())
    return b.graph()


def alike():
    """Rows of a staircase that differ in nothing."""
    b = Builder(tensor("x", (6,)))
    source = b.tensors["x"]
    low, high = (np.repeat(limit, 3) for limit in (source.low, source.high))
    staircase = staircase_of(low, high, lambda row, v: np.clip(v, -3, 3))
    b.put(Requantize, ["x"], "y", staircase=staircase, format=Format(3, True, np.array(1.0)), chain=())
    return b.graph()


def graphs():
    """All of them by name."""
    layers = network([9, 70, 6, 5, 3], 2, kinds=["shift", "affine", "thresholds", "constant"], zero_point=1)[0]
    return {
        "layers": with_border(layers),
        "sums": with_border(network([7, 4], 5, last=False)[0]),
        "bits": with_border(bipolar_network([12, 10, 4], 3)),
        "spatial": spatial(),
        "wide": wide(),
        "alike": alike(),
        "class": with_border(network([4, 3], 8)[0]),  # a name that C++ reserves
    }


def inputs(graph, frames, seed=1):
    """Random codes (frames, n), the extremes first."""
    source = graph.input_tensor
    if source.format.bipolar:
        return np.random.default_rng(seed).choice([-1, 1], (frames, source.size))
    codes = np.random.default_rng(seed).integers(source.lows, source.highs + 1, (frames, source.size))
    codes[0], codes[1] = source.lows, source.highs
    return codes
