"""Goals are met with the fewest multipliers; a folding that was written gives the same plan again."""

import json
import re

import pytest
import yaml
from typer.testing import CliRunner

import rtl4ml
from rtl4ml.cli import app
from rtl4ml.errors import ConfigurationError
from rtl4ml.operators import Conv, Dense, Pool
from rtl4ml.planning.settings import FOLDS_OF_KIND, Settings
from tests.networks import spatial

NETWORKS = {
    "depthwise": spatial.depthwise_twice,
    "maximum": lambda: spatial.padded_maximum(signed=True),
    "average": lambda: spatial.pooled_behind("Average"),
    "u-shaped": spatial.u_shaped,
    "skip": lambda: spatial.deep_skip(2),
    "bytes": spatial.quantized_bytes,
}
OTHERS = {"tiny": spatial.tiny}


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folding")
    return {name: rtl4ml.load(build().save(folder, name=f"{name}.onnx")) for name, build in (NETWORKS | OTHERS).items()}


def planned(graph, **settings):
    return rtl4ml.compile(graph, **settings).plan


def refused(message, graph, **settings):
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        planned(graph, **settings)


def hardware(plan):
    """What is built, whatever led to it."""
    described = plan.describe()
    names = ("latency_cycles", "interval_cycles", "multipliers", "memory_bits", "fifos", "clock_mhz")
    stages = [{key: value for key, value in stage.items() if key != "reuse"} for stage in described["stages"]]
    return {name: described[name] for name in names} | {"stages": stages, "lanes": plan.input_lanes}


@pytest.mark.parametrize("name", NETWORKS)
def test_an_interval_is_kept_by_every_stage_with_no_more_multipliers_than_need_be(graphs, name):
    """Whole kernels, which are adders, are of no concern here: every layer has time for two words of its kernel."""
    spent = []
    for interval in (150, 200, 300, 500, 1000, 3000, 100_000):
        plan = planned(graphs[name], interval=interval)
        assert plan.interval <= interval
        assert all(stage.interval <= interval for stage in plan.stages)
        spent.append(plan.multipliers)
    assert spent == sorted(spent, reverse=True)
    layers = [o for o in graphs[name].operators if isinstance(o, Conv | Dense)]
    assert spent[-1] < spent[0]
    assert spent[-1] <= 2 * len(layers) + 1


def test_no_layer_is_faster_than_it_need_be(graphs):
    """One step fewer in any tile and the layer would be too slow."""
    graph, interval = graphs["depthwise"], 500
    for stage in planned(graph, interval=interval).stages:
        layer = next(o for o in graph.operators if o.name == stage.stage.operators[0])
        slower = planned(graph, interval=10**6, reuse={layer.name: min(layer.multiplications, 2 * interval)})
        same = next(s for s in slower.stages if s.stage.operators[0] == layer.name)
        assert same.products < stage.products
        assert same.interval > interval


@pytest.mark.parametrize("clock", [50, 187.5])
def test_frames_a_second_are_an_interval_at_a_clock(graphs, clock):
    graph = graphs["depthwise"]
    plan = planned(graph, fps=250_000, clock_mhz=clock)
    assert hardware(plan) == hardware(planned(graph, interval=int(clock * 1e6 / 250_000), clock_mhz=clock))
    assert clock * 1e6 / plan.interval >= 250_000


@pytest.mark.parametrize("name", ["depthwise", "average", "skip"])
def test_latency_with_the_fewest_multipliers(graphs, name):
    for latency in (700, 1500, 4000):
        plan = planned(graphs[name], latency=latency)
        assert plan.latency <= latency
        # The next cheaper plan is too slow.
        for interval in range(plan.interval + 1, 4 * plan.interval, max(1, plan.interval // 8)):
            cheaper = planned(graphs[name], interval=interval)
            assert cheaper.latency > latency or cheaper.multipliers >= plan.multipliers


@pytest.mark.parametrize("name", ["depthwise", "average", "skip", "bytes"])
def test_the_shortest_interval_of_a_budget(graphs, name):
    for multipliers in (20, 40):
        plan = planned(graphs[name], multipliers=multipliers)
        assert plan.multipliers <= multipliers
        shorter = planned(graphs[name], interval=plan.interval - 1)
        assert shorter.multipliers > multipliers


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"latency": 3},
            "latency must be at least the 6 cycles of the unrolled network, not 3; 114.6 MHz instead of 200 MHz would "
            "allow it",
        ),
        (
            {"multipliers": 1},
            "multipliers must be at least 2, one a layer and those of the functions behind them, not 1",
        ),
        (
            {"interval": 100, "fps": 1e6},
            "Goal of the folding must be one of interval, fps, latency, multipliers, not interval and fps",
        ),
        ({"interval": 30, "reuse": 4}, "interval must stand without a reuse of the network, not with reuse 4"),
        ({"interval": 12, "lanes": 1}, "Interval must be at least the 25 cycles of node 'Conv_2', not 12"),
        ({"fps": -1}, "fps must be a positive number, not -1"),
    ],
)
def test_goals_that_cannot_be_met(graphs, settings, message):
    refused(message, graphs["tiny"], **settings)


def test_the_clock_that_a_short_latency_needs(graphs):
    assert planned(graphs["tiny"], latency=3, clock_mhz=114.6).latency == 3


def test_reuses_of_single_layers_hold_beside_a_goal(graphs):
    plan = planned(graphs["depthwise"], interval=150, reuse={"Conv_6": 4000})
    assert plan.stages[0].interval <= 150 < plan.stages[1].interval


def test_strides_and_missing_pads(graphs):
    """More pixels come in than go out: they may be what takes longest."""
    for interval in (9, 12, 13, 25, 26, 27):
        assert planned(graphs["tiny"], interval=interval).interval <= interval


def test_narrow_streams_are_joined_in_time(graphs):
    """Two streams of an element a cycle come together in the time of one."""
    for interval in (64, 100, 300):
        assert planned(graphs["u-shaped"], interval=interval).interval <= interval


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("goal", [{"interval": 500}, {"reuse": 3000}])
def test_a_written_folding_gives_the_same_plan(graphs, name, goal):
    plan = planned(graphs[name], **goal)
    again = planned(graphs[name], **yaml.safe_load(yaml.safe_dump(plan.folding())))
    assert hardware(again) == hardware(plan)
    assert again.folding() == plan.folding()


def code_of(path):
    """Lines that are no comments, which name the reuse that was asked for."""
    return [line for line in path.read_text().splitlines() if not line.startswith("//")]


def test_a_folding_in_a_file(graphs, tmp_path):
    """What export writes beside the Verilog, given back through --config."""
    design = rtl4ml.compile(graphs["maximum"], interval=500, output_lanes=2, name="net")
    folder = design.export(tmp_path / "one")
    text = (folder / "folding.yaml").read_text()
    assert rtl4ml.compile(graphs["maximum"], config=folder / "folding.yaml").plan.folding() == design.plan.folding()
    model = tmp_path / "net.onnx"
    model.write_bytes(graphs["maximum"].model)
    arguments = ["build", str(model), "--config", str(folder / "folding.yaml"), "-o", str(tmp_path / "two"), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    again = tmp_path / "two" / "net"
    assert json.loads(result.stdout)["plan"]["interval_cycles"] == design.plan.interval
    assert (again / "folding.yaml").read_text() == text
    for path in (folder / "rtl").iterdir():
        assert code_of(again / "rtl" / path.name) == code_of(path)


def test_an_edited_folding_changes_the_tile(graphs):
    graph = graphs["depthwise"]
    plan = planned(graph, interval=500)
    settings = plan.folding()
    names = list(settings["folding"])
    settings["folding"][names[0]] |= {"outputs": 4, "channels": 1, "taps": [1, 1], "finish": 4}
    edited = planned(graph, **settings)
    tiles = [(stage.tile.outputs, stage.tile.channels, stage.tile.taps) for stage in edited.stages]
    assert tiles[0] == (4, 1, (1, 1)) != (plan.stages[0].tile.outputs, *tiles[0][1:])
    assert [stage.tile for stage in edited.stages[1:]] == [stage.tile for stage in plan.stages[1:]]
    assert edited.interval == 8 * 7 * 27
    # Layers that a file says nothing of follow the other settings.
    del settings["folding"][names[0]]
    assert planned(graph, **settings, interval=500).folding() == plan.folding()


TILE = (
    "Tile of node 'Conv_2' must be of 1 to 4 outputs and a divisor of 3 channels, or of all outputs and channels of "
    "several of its 1 groups, and of 1 or all of 3 x 3 taps, not "
)


@pytest.mark.parametrize(
    ("fold", "message"),
    [
        (
            {"outputs": 5},
            "Folding of node 'Conv_2' must say outputs and channels, such as {outputs: 1, channels: 3}, or pixels, not "
            "outputs alone",
        ),
        (
            {"outputs": 2, "inputs": 3},
            f"Folding of node 'Conv_2' (Conv) must say {', '.join(FOLDS_OF_KIND[Conv])}, not inputs",
        ),
        (
            {"outputs": 2, "channels": 1, "taps": 3},
            "taps of node 'Conv_2' must be two numbers, rows and columns, such as [3, 3], not 3",
        ),
        (
            {"reuse": 64},
            "Folding of node 'Conv_2' must be a tile, such as {outputs: 4, inputs: 16}, not a reuse: one of a single "
            "layer stands outside folding, as reuse: {Conv_2: 64}",
        ),
        (
            {"outputs": 9, "channels": 1},
            f"{TILE}ConvTile(outputs=9, channels=1, taps=(1, 1), groups=1, finish=9)",
        ),
        (
            {"outputs": 2, "channels": 2},
            f"{TILE}ConvTile(outputs=2, channels=2, taps=(1, 1), groups=1, finish=2)",
        ),
        (
            {"outputs": 2, "channels": 1, "taps": [2, 3]},
            f"{TILE}ConvTile(outputs=2, channels=1, taps=(2, 3), groups=1, finish=2)",
        ),
        (
            {"outputs": 4, "channels": 1, "finish": 3},
            "Lanes that follow the accumulators of node 'Conv_2' must divide 4 and 4 outputs, and be through with them "
            "in 27 words, not 3",
        ),
        ({"outputs": 0, "channels": 1}, "outputs of node 'Conv_2' must be integers of at least 1, not 0"),
        (3, "Folding of node 'Conv_2' must be a table, such as {outputs: 4, inputs: 16}, not 3"),
    ],
)
def test_foldings_that_do_not_fit(graphs, fold, message):
    refused(message, graphs["depthwise"], folding={"Conv_2": fold})


def test_foldings_of_other_nodes_that_do_not_fit(graphs):
    name = next(o.name for o in graphs["maximum"].operators if isinstance(o, Pool))
    refused(
        f"Folding of node {name!r} must have lanes that divide 4 channels and taps of 1 or all of 3 x 3, not "
        "{'lanes': 3}",
        graphs["maximum"],
        folding={name: {"lanes": 3}},
        interval=500,
    )
    refused(
        f"Folding of node {name!r} (Pool) must say lanes, taps, not outputs",
        graphs["maximum"],
        folding={name: {"outputs": 3}},
    )
    names = ", ".join(repr(o.name) for o in graphs["maximum"].operators)
    refused(
        f"Node of a folding must be one of the graph's ({names}), not 'x'",
        graphs["maximum"],
        folding={"x": {"lanes": 1}},
    )
    with pytest.raises(ConfigurationError, match=r"^Folding of node 'x' must say one of .*, not 'speed'$"):
        Settings(folding={"x": {"speed": 1}})
