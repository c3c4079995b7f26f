import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator

from rtl4ml.errors import ModelError
from rtl4ml.export.verilog import convert, count_multipliers
from rtl4ml.operators.window import Window
from rtl4ml.planning.schedule import simulate
from rtl4ml.stages.conv import ConvStage
from rtl4ml.stages.conv_tile import ConvTile, tiles, whole_tile
from tests.hdl.bench import pack, refuses, unpack
from tests.stages.chain import Chain
from tests.stages.convolutions import network, stage_of
from tests.stages.maps import check, codes_of

SQUARE = Window(5, 5, (3, 3), pads=(1, 1, 1, 1))
LINE = Window(11, 1, (4, 1), pads=(1, 0, 2, 0))

TILES = [
    # window, channels, outputs, groups, tile, lanes in
    (SQUARE, 2, 4, 1, ConvTile(1, 1, (1, 1), 1, 1), 1),
    (SQUARE, 2, 4, 1, ConvTile(2, 2, (1, 1), 1, 2), 2),
    (SQUARE, 2, 4, 1, ConvTile(4, 1, (1, 1), 1, 1), 2),
    (SQUARE, 2, 4, 1, ConvTile(4, 2, (3, 1), 1, 2), 1),
    (SQUARE, 2, 4, 1, ConvTile(2, 1, (1, 3), 1, 1), 4),
    (SQUARE, 2, 4, 1, ConvTile(2, 2, (3, 3), 1, 2), 2),
    (SQUARE, 2, 4, 1, ConvTile(2, 1, (3, 3), 1, 1), 10),
    (SQUARE, 2, 5, 1, ConvTile(3, 2, (1, 1), 1, 1), 2),
    (SQUARE, 2, 6, 1, ConvTile(4, 2, (3, 1), 1, 2), 2),
    (SQUARE, 4, 4, 2, ConvTile(2, 2, (1, 1), 1, 1), 2),
    (SQUARE, 4, 4, 2, ConvTile(1, 1, (3, 3), 1, 1), 4),
    (SQUARE, 4, 6, 2, ConvTile(2, 2, (1, 3), 1, 1), 4),
    (SQUARE, 4, 4, 2, ConvTile(4, 4, (1, 1), 2, 1), 4),
    (SQUARE, 4, 4, 2, ConvTile(4, 4, (1, 3), 2, 4), 2),
    (SQUARE, 4, 4, 4, ConvTile(2, 2, (3, 1), 2, 1), 2),
    (SQUARE, 4, 4, 4, ConvTile(2, 2, (3, 3), 2, 2), 4),
    (SQUARE, 4, 8, 4, ConvTile(4, 2, (1, 1), 2, 1), 4),
    (SQUARE, 3, 9, 3, ConvTile(9, 3, (1, 1), 3, 3), 3),
    (SQUARE, 3, 9, 3, ConvTile(2, 1, (1, 1), 1, 1), 1),
    (LINE, 3, 2, 1, ConvTile(2, 3, (1, 1), 1, 1), 3),
    (LINE, 3, 2, 1, ConvTile(1, 3, (4, 1), 1, 1), 1),
    (LINE, 3, 3, 3, ConvTile(3, 3, (1, 1), 3, 1), 3),
]


def examine(case, **options):
    shape, channels, outputs, groups, tile, lanes = case
    graph, conv, form = network(shape, channels, outputs, groups=groups, **options)
    stage = stage_of(graph, conv, form, tile, lanes)
    return graph, stage, check(graph, stage)


def interval(handed):
    """Edges between the ends of the last two frames."""
    return int(handed[-1, -1] - handed[-2, -1])


@pytest.mark.parametrize("case", TILES)
def test_every_kind_of_tile(case):
    tile = case[4]
    _, stage, handed = examine(case, kind="affine")
    cycles = stage.timing.issues
    assert cycles == tile.frame_cycles(stage.conv)
    assert interval(handed) == max(cycles, stage.timing.beats_in, stage.timing.beats_out)
    assert stage.multipliers <= tile.products + tile.finish


WINDOWS = [
    Window(7, 6, (2, 3), stride=(2, 2)),
    Window(7, 6, (2, 3), stride=(2, 1), dilation=(2, 1), pads=(1, 0, 0, 2)),
    Window(6, 7, (3, 3), dilation=(1, 3), pads=(0, 3, 2, 3)),
    Window(6, 5, (1, 1)),
    Window(6, 5, (1, 1), stride=(2, 2)),
    Window(6, 5, (2, 2), stride=(3, 3)),
    Window(4, 4, (4, 4)),
    Window(3, 3, (2, 2), pads=(2, 2, 2, 2)),
    Window(13, 1, (3, 1), stride=(2, 1), dilation=(3, 1), pads=(4, 0, 0, 0)),
    Window(1, 9, (1, 5), pads=(0, 2, 0, 2)),
]


@pytest.mark.parametrize("shape", WINDOWS)
@pytest.mark.parametrize("taps", [(False, False), (True, False), (True, True)])
def test_windows(shape, taps):
    rows, columns = (size if all_of_them else 1 for size, all_of_them in zip(shape.kernel, taps, strict=True))
    examine((shape, 2, 3, 1, ConvTile(3, 1, (rows, columns), 1, 3), 1))


@pytest.mark.parametrize("shape", WINDOWS)
@pytest.mark.parametrize("groups", [1, 2])
def test_adders_alone(shape, groups):
    graph, conv, form = network(shape, 2, 4, groups=groups, kind="thresholds")
    stage = stage_of(graph, conv, form, whole_tile(conv), 2)
    handed = check(graph, stage)
    assert stage.multipliers == stage.logic_products == 0
    assert stage.memory_bits["weights"] == 0
    assert interval(handed) == max(stage.timing.beats_in, shape.pixels_out)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("lanes", [1, 8])
@pytest.mark.parametrize("cycles", [1, 4, 9])
def test_no_cycle_is_lost(stride, lanes, cycles):
    shape = Window(8, 8, (3, 3), stride=(stride, stride), pads=(1, 1, 1, 1))
    graph, conv, form = network(shape, 4, 8)
    stage = stage_of(graph, conv, form, cycles, lanes)
    handed = check(graph, stage, stalls=False)
    assert interval(handed) == max(256 // lanes, stage.tile.frame_cycles(conv))


@pytest.mark.parametrize(
    "options",
    [
        dict(source=dict(zero=3)),
        dict(source=dict(signed=False, zero=5)),
        dict(source=dict(seed=4)),
        dict(source=dict(zero=100)),
        dict(kind=None),
        dict(kind=None, source=dict(seed=3), groups=2),
        dict(kind="constant"),
        dict(kind="thresholds", source=dict(bits=2)),
        dict(weights=[-1, 0, 1]),
        dict(weights=[-1, 1], source=dict(bits=1, signed=False)),
        dict(weights=[0]),
        dict(weights=[3], source=dict(zero=-2)),
    ],
)
@pytest.mark.parametrize("tile", [ConvTile(1, 2, (1, 1), 1, 1), ConvTile(2, 1, (3, 3), 1, 1), None])
def test_codes_and_weights(options, tile):
    groups = options.get("groups", 1)
    shape = Window(4, 5, (3, 3), pads=(1, 0, 1, 2))
    graph, conv, form = network(shape, 2 * groups, 2 * groups, **options)
    stage = stage_of(graph, conv, form, tile or whole_tile(conv), 2)
    check(graph, stage)


def random_case(seed):
    """Any window, groups, tile, beat and staircase."""
    generator = np.random.default_rng(seed)

    def draw(low, high):
        return int(generator.integers(low, high + 1))

    while True:
        kernel, stride, dilation = ((draw(1, 3), draw(1, 3)) for _ in range(3))
        pads = tuple(draw(0, 2) for _ in range(4))
        try:
            shape = Window(draw(1, 6), draw(1, 6), kernel, stride, dilation, pads)
        except ModelError:
            continue
        if np.all(shape.taps < 0):
            continue
        groups = draw(1, 3)
        channels, outputs = groups * draw(1, 3), groups * draw(1, 3)
        kind = str(generator.choice(["shift", "affine", "thresholds"]))
        source = dict(bits=draw(2, 5), zero=draw(-2, 2)) if seed % 3 else dict(seed=seed)
        graph, conv, form = network(shape, channels, outputs, groups=groups, kind=kind, seed=seed, source=source)
        found = [entry[2] for entry in tiles(conv, finish_multipliers=bool(seed % 2))]
        found = [tile for tile in found if tile.frame_cycles(conv) < 600]
        if found:
            tile = found[draw(0, len(found) - 1)]
            lanes = draw(1, 2 * channels)
            return graph, stage_of(graph, conv, form, tile, lanes, draw(100, 400))


@pytest.mark.parametrize("seed", range(16))
def test_random_cases(seed):
    check(*random_case(seed))


@pytest.mark.parametrize("clock", [50, 150, 500])
@pytest.mark.parametrize("cycles", [1, 2, 9])
def test_clocks(clock, cycles):
    graph, conv, form = network(SQUARE, 3, 4, kind="affine", source=dict(bits=6))
    check(graph, stage_of(graph, conv, form, cycles, 3, clock))


@pytest.mark.parametrize("case", [TILES[3], TILES[2], TILES[13], TILES[17]])
def test_multipliers_are_those_of_the_verilog(case):
    shape, channels, outputs, groups, tile, lanes = case
    graph, conv, form = network(shape, channels, outputs, groups=groups, kind="affine")
    stage = stage_of(graph, conv, form, tile, lanes)
    text = convert(stage.component(), "layer", "a layer")
    assert count_multipliers({"layer.v": text}, "layer") == stage.multipliers > 0


def test_adders_alone_have_no_multiplier():
    graph, conv, form = network(SQUARE, 2, 3, kind="affine")
    stage = stage_of(graph, conv, form, whole_tile(conv))
    text = convert(stage.component(), "layer", "a layer")
    assert count_multipliers({"layer.v": text}, "layer") == stage.multipliers == 0


def test_memory_is_counted():
    graph, conv, form = network(SQUARE, 2, 4, kind="affine")
    stage = stage_of(graph, conv, form, ConvTile(4, 1, (1, 1), 1, 1))
    window = stage.words.window
    assert set(stage.memory_bits) == {"line buffer", "weights", "parameters", "fifo"}
    assert stage.memory_bits["line buffer"] == window.held * 1 * 4
    assert stage.memory_bits["weights"] == 18 * 4 * 4
    assert stage.memory_bits["fifo"] == stage.timing.slots * 4
    assert stage.memory_bits["parameters"] > 0


@pytest.mark.parametrize("tile", [ConvTile(4, 2, (1, 1), 1, 1), ConvTile(2, 2, (3, 3), 1, 2), None])
@pytest.mark.parametrize("when", [3, 17, 41, 90])
def test_a_reset_of_one_edge_starts_anew(tile, when):
    graph, conv, form = network(SQUARE, 2, 4, kind="affine")
    stage = stage_of(graph, conv, form, tile or whole_tile(conv), 2)
    codes = codes_of(graph.input_tensor, 2, 1)
    beats = [pack(lanes, stage.in_shape.width) for lanes in codes.reshape(-1, 2)]
    count = len(codes) * stage.timing.beats_out
    chain, reset = Chain([stage]), Signal()
    words, edges = [], []

    async def bench(ctx):
        ctx.set(chain.o.ready, 1)
        index = edge = 0
        while len(words) < count:
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
            if edge < when:
                del words[count - 1 :]  # none of them counts
            await ctx.tick()
            index += taken
            edge += 1

    simulator = Simulator(ResetInserter(reset)(chain))
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    shape = stage.out_shape
    got = np.array([unpack(word, shape.width, shape.signed, stage.lanes_out) for word in words])
    assert np.array_equal(got.reshape(len(codes), -1), graph.evaluate(codes)[graph.output])
    assert np.array_equal(edges, simulate([stage], len(codes)).handed_over.reshape(-1))


def test_what_does_not_fit_is_refused():
    graph, conv, form = network(SQUARE, 2, 4)
    refuses(
        lambda: stage_of(graph, conv, form, ConvTile(5, 2, (1, 1), 1, 5)),
        "Tile of node 'conv' must be of 1 to 4 outputs and a divisor of 2 channels, or of all outputs and channels of "
        "several of its 1 groups, and of 1 or all of 3 x 3 taps, not ConvTile(outputs=5, channels=2, taps=(1, 1), "
        "groups=1, finish=5)",
    )
    refuses(
        lambda: stage_of(graph, conv, form, whole_tile(conv), first_address=0),
        "Tile of node 'conv' must not be the whole kernel for its weights to be loaded: they are logic",
    )
    refuses(
        lambda: stage_of(graph, conv, form, ConvTile(2, 2, (1, 1), 1, 2), first_address=0),
        "Node 'conv' must say what its weights may become, to let them be loaded",
    )
    refuses(
        lambda: ConvStage(graph, "q", None, whole_tile(conv), 2, 200, None),
        "Node 'q' must be a Conv, not a Requantize",
    )
    refuses(
        lambda: ConvStage(graph, "conv", "q", whole_tile(conv), 2, 200, None),
        "Form and Requantize of node 'conv' must be given together, not one of them",
    )
