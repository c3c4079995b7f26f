from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator

from rtl4ml.hdl.zero_skipping import PackedTile
from rtl4ml.operators import Gather, Pool, Window
from rtl4ml.planning.schedule import simulate
from rtl4ml.stages.blocks import BlocksStage
from rtl4ml.stages.dense import DenseStage
from rtl4ml.stages.gather import GatherStage
from rtl4ml.stages.pool import PoolStage
from rtl4ml.stages.reduce import ReduceStage
from rtl4ml.stages.region import RegionStage
from rtl4ml.stages.requantize import RequantizeStage
from rtl4ml.stages.sparse import SparseStage
from tests.hdl.bench import pack, unpack
from tests.stages.chain import Chain
from tests.stages.maps import codes_of, feature_map, graph_of, requantize
from tests.stages.networks import network
from tests.stages.test_reduce import largest
from tests.stages.test_sparse_conv import stage_of as sparse_kernel


def maps():
    x = feature_map((4, 3, 4), seed=1)
    pool = Pool("pool", ("x",), "p", Window(4, 3, (2, 2), pads=(1, 0, 0, 1)), (4, 3, 4))
    step, form = requantize(pool.infer((x,)), "q", "y", kind="thresholds")
    padded = np.pad(np.arange(48).reshape(4, 3, 4), ((1, 0), (0, 2), (0, 0)), constant_values=-1)
    move = Gather("move", ("y",), "m", padded.transpose(1, 0, 2).reshape(-1), (5, 5, 4))
    swap = Gather("swap", ("m",), "s", np.arange(100).reshape(25, 4)[:, [2, 1]].reshape(-1), (5, 5, 2))
    total = replace(largest(5, 5, 2), inputs=("s",))
    graph = graph_of(x, pool, step, move, swap, total)
    return graph, [
        PoolStage(graph, "pool", "q", 2, (1, 2), 3, 200, form),
        GatherStage(graph, "move", 4, 2),
        BlocksStage(graph, ["swap"], 25, 200, {}, [4]),
        ReduceStage(graph, "max", None, 1, 2, 200, None),
    ]


def stages_of(kind):
    if kind == "maps":
        return maps()
    if kind == "sparse kernel":
        graph, stage = sparse_kernel(
            Window(5, 4, (3, 2), pads=(1, 1, 1, 0)), 2, 4, PackedTile(2, 1, 1, 2), kind="affine"
        )
        return graph, [stage]
    graph, forms = network((7, 5, 6), 2, kinds=["affine", "thresholds"])
    if kind == "sparse":
        return graph, [
            SparseStage(graph, "fc0", "q0", PackedTile(2, 3, 2), 2, 200, forms["q0"]),
            SparseStage(graph, "fc1", "q1", PackedTile(4, 1, 4, 2, 2), 2, 200, forms["q1"]),
        ]
    if kind == "dense":
        return graph, [
            DenseStage(graph, "fc0", "q0", (2, 3), 2, 200, forms["q0"]),
            DenseStage(graph, "fc1", "q1", (1, 5), 2, 200, forms["q1"]),
        ]
    if kind == "apart":
        return graph, [
            DenseStage(graph, "fc0", None, (5, 1), 7, 200, None),
            RequantizeStage(graph, "q0", 2, 200, forms["q0"], 5),
            DenseStage(graph, "fc1", "q1", (3, 2), 2, 200, forms["q1"]),
        ]
    return graph, [RegionStage(graph, ["fc0", "q0", "fc1", "q1"], 300, forms, True, 3)]


@pytest.mark.parametrize("kind", ["dense", "apart", "region", "maps", "sparse", "sparse kernel"])
@pytest.mark.parametrize("when", [0, 3, 8, 17, 30, 91])
def test_a_reset_of_one_edge_starts_anew(kind, when):
    graph, stages = stages_of(kind)
    codes = codes_of(graph.input_tensor, 4, 1)
    expected = graph.evaluate(codes)[graph.output]
    first, last = stages[0], stages[-1]
    padded = np.pad(codes, ((0, 0), (0, -first.n_in % first.lanes_in))).reshape(-1, first.lanes_in)
    beats = [pack(lanes, first.in_shape.width) for lanes in padded]
    count = len(codes) * last.timing.beats_out
    chain = Chain(stages)
    reset = Signal()
    words, edges = [], []

    async def bench(ctx):
        ctx.set(chain.o.ready, 1)
        ctx.set(chain.i.valid, 1)
        index = 0
        for edge in range(2000):
            if edge == when:
                # The source starts again with the first beat of the first frame.
                ctx.set(reset, 1)
                await ctx.tick()
                ctx.set(reset, 0)
                index = 0
                words.clear()
                edges.clear()
            ctx.set(chain.i.valid, index < len(beats))
            ctx.set(chain.i.payload.as_value(), beats[min(index, len(beats) - 1)])
            taken = index < len(beats) and ctx.get(chain.i.ready)
            if ctx.get(chain.o.valid):
                words.append(ctx.get(chain.o.payload.as_value()))
                edges.append(edge - when)
            if edge >= when and len(words) == count:
                return
            await ctx.tick()
            index += taken
        raise AssertionError(f"{len(words)} of {count} beats came")

    simulator = Simulator(ResetInserter(reset)(chain))
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    shape = last.out_shape
    got = np.array([unpack(word, shape.width, shape.signed, last.lanes_out) for word in words])
    assert np.array_equal(got.reshape(len(codes), -1)[:, : last.n_out], expected)
    assert np.array_equal(edges, simulate(stages, len(codes)).handed_over.reshape(-1))
