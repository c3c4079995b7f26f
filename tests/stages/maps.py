"""Small graphs with feature maps, and comparisons of a stage with the graph, with its schedule and with simulation."""

import numpy as np

from rtl4ml.export.verilog import convert, count_multipliers
from rtl4ml.formats import Format
from rtl4ml.graph import Graph, HostFunction, Tensor
from rtl4ml.operators import Requantize
from rtl4ml.planning.network import Network, Placed
from rtl4ml.planning.schedule import simulate
from tests.hdl.bench import randomly
from tests.planning.dag import run_network
from tests.stages.networks import NOTHING, requantizer


def feature_map(shape, *, bits=4, signed=True, zero=0, seed=None, name="x"):
    """A tensor (H, W, C), with limits and zero points that differ between channels when there is a seed."""
    channels = shape[-1]
    kind = Format(bits, signed, np.array(0.25), np.array(zero))
    low, high = np.full(channels, kind.low), np.full(channels, kind.high)
    if seed is not None:
        generator = np.random.default_rng(seed)
        low = low + generator.integers(0, 3, channels)
        high = high - generator.integers(0, 3, channels)
        kind = Format(bits, signed, np.array(0.25), generator.integers(low, high + 1, channels))
    return Tensor(name, tuple(shape), kind, low, high)


def graph_of(source, *operators):
    """A graph of operators in a row or otherwise; the last one's output is the graph's."""
    tensors = {source.name: source}
    for operator in operators:
        tensors[operator.output] = operator.infer(tuple(tensors[name] for name in operator.inputs))
    last = operators[-1].output
    nothing: HostFunction = NOTHING
    shapes = source.shape, tensors[last].shape
    return Graph("net", tuple(operators), tensors, source.name, last, nothing, nothing, *shapes)


def requantize(tensor, name, output, *, kind="shift", bits=4, seed=0):
    """A Requantize of a tensor's channels and its form."""
    channels = tensor.shape[-1]
    target = Format(bits, True, np.array(0.5))
    low, high = (limits.reshape(-1, min(channels, limits.size)) for limits in (tensor.low, tensor.high))
    low, high = low.min(axis=0), high.max(axis=0)
    generator = np.random.default_rng(seed)
    staircase, form = requantizer(generator, kind, low, high, target.low, target.high)
    return Requantize(name, (tensor.name,), output, staircase, target, ()), form


def codes_of(tensor, frames, seed):
    """Random codes (frames, n) with the extremes in the first two frames."""
    codes = np.random.default_rng(seed).integers(tensor.lows, tensor.highs + 1, (frames, tensor.size))
    codes[0] = tensor.lows
    codes[1:2] = tensor.highs
    return codes


def check(graph, stage, sources=None, *, frames=3, seed=1, stalls=True, cycles=30000):
    """A stage of all the graph's nodes: codes by evaluation and in simulation, every edge as the schedule has it."""
    codes = codes_of(graph.input_tensor, frames, seed)
    sources = sources or [graph.input]
    values = graph.evaluate(codes, keep=[*sources, graph.output])
    expected = values[graph.output]
    assert np.array_equal(stage.evaluate(*(values[name] for name in sources)), expected)
    network = Network((Placed(stage, tuple(sources), graph.output),), graph.input, graph.output)
    return check_network(network, codes, expected, stalls=stalls, cycles=cycles)


def check_network(network, codes, expected, *, stalls=True, cycles=30000):
    """Codes and edges of a network in simulation, and codes under random stalls."""
    got, accepted, handed = run_network(network, codes, cycles=cycles)
    assert np.array_equal(got, expected)
    timeline = simulate(network, len(codes))
    assert np.array_equal(accepted, timeline.accepted)
    assert np.array_equal(handed, timeline.handed_over)
    if stalls:
        got, *_ = run_network(network, codes, source=randomly(1, 0.4), sink=randomly(2, 0.6), cycles=cycles)
        assert np.array_equal(got, expected)
    return handed


def multipliers_in_verilog(stage):
    """Multipliers that stand in a stage's Verilog."""
    return count_multipliers({"stage.v": convert(stage.component(), "stage", "a stage")}, "stage")
