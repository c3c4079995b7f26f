"""What layers are made of: as asked for, or whichever is cheaper."""

import re
from dataclasses import replace

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

import rtl4ml
from rtl4ml.cli import app
from rtl4ml.cmvm.packing import Fabric
from rtl4ml.cmvm.solve import multiply_matrix
from rtl4ml.cmvm.tables import logic_bits, multiply_by_tables
from rtl4ml.datapath.cost import carry_bits
from rtl4ml.datapath.delays import delays_of
from rtl4ml.datapath.words import Datapath
from rtl4ml.errors import ConfigurationError
from rtl4ml.operators import Conv, Dense
from rtl4ml.operators.dense import WeightLimits
from rtl4ml.operators.window import Window
from rtl4ml.planning.estimates.model import estimate
from rtl4ml.planning.folding import Folder
from rtl4ml.planning.forms import MULTIPLIER_COST
from rtl4ml.planning.plan import plan
from rtl4ml.planning.settings import Settings, from_mapping, parse_style
from rtl4ml.planning.styles import BLOCK_COST, TileShape, adder_bits, digit_cost, memory_cost, table_bits, tile_cost
from rtl4ml.stages.digit_matrix import DigitMatrix, digit_matrix
from tests.networks import spatial
from tests.stages import convolutions, maps
from tests.stages.networks import bipolar_network, network


def planned(graph, **settings):
    return plan(graph, from_mapping(settings))


def refused(message, graph, **settings):
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        planned(graph, **settings)


@pytest.fixture(scope="module")
def graph():
    return network((8, 12, 9, 4), 3, kinds=["affine", "shift", "thresholds"], bits=6, weight_bits=5)[0]


def made_of(found):
    return [dict(stage.digits) or stage.tile for stage in found.stages]


@pytest.mark.parametrize(("reuse", "digit"), [(2, 3), (3, 2), (4, 2), (5, 2), (6, 1), (9, 1), (500, 1)])
def test_digits_take_the_cycles_they_are_given(graph, reuse, digit):
    found = planned(graph, reuse=reuse, style="digits")
    assert made_of(found) == [{"fc0": digit, "fc1": digit, "fc2": digit}]
    assert (found.interval, found.multipliers) == (-(-6 // digit), 0)
    assert found.efficiency is None


def test_multipliers_unless_something_else_is_asked_for(graph):
    assert planned(graph, reuse=4).describe() == planned(graph, reuse=4, style="multipliers").describe()
    assert made_of(planned(graph, reuse=1, style="digits")) == [None]


def test_styles_of_layers_and_kinds(graph):
    first, _, last = made_of(planned(graph, reuse=3))
    assert made_of(planned(graph, reuse=3, style="fc1=digits")) == [first, {"fc1": 2}, last]
    styles = {"dense": "digits", "fc0": "multipliers"}
    assert made_of(planned(graph, reuse=3, style=styles)) == [first, {"fc1": 2, "fc2": 2}]
    assert parse_style("auto, fc1 = digits,default=digits") == ("digits", {"fc1": "digits"})


@pytest.mark.parametrize("settings", [dict(reuse=4), dict(interval=3), dict(reuse=2, backpressure=False)])
def test_a_folding_gives_the_plan_again(graph, settings):
    found = planned(graph, style="digits", **settings)
    kept = {"backpressure": False} if "backpressure" in settings else {}
    again = planned(graph, **yaml.safe_load(yaml.safe_dump(found.folding())), **kept)
    assert found.folding()["folding"]["fc1"] == {"digit": dict(found.stages[0].digits)["fc1"]}
    for name in ("latency_cycles", "interval_cycles", "multipliers", "memory_bits"):
        assert again.describe()[name] == found.describe()[name]


def test_goals(graph):
    assert planned(graph, interval=3, style="digits").interval == 3
    assert planned(graph, multipliers=1, style="digits").interval == 2
    assert planned(graph, latency=40, style="digits").latency <= 40


def test_the_cheaper_is_chosen(graph):
    """Digits where few cycles are to be had; multipliers that are used often; never digits where weights change."""
    assert made_of(planned(graph, reuse=2, style="auto")) == [{"fc0": 3, "fc1": 3, "fc2": 3}]
    assert made_of(planned(graph, reuse=96, style="auto")) == made_of(planned(graph, reuse=96))
    changing = [
        replace(o, limits=WeightLimits.of(o.weights, o.bias)) if isinstance(o, Dense) else o for o in graph.operators
    ]
    folds = Folder(replace(graph, operators=tuple(changing)), Settings(reuse=2, style="auto"), {}).folds()
    assert [fold.digit for fold in folds.values()] == [0, 0, 0]


def test_a_bit_is_no_digit():
    graph = bipolar_network((9, 8, 4), 1)
    found = planned(graph, reuse=3, style="digits")
    assert [type(stage.stage).__name__ for stage in found.stages] == ["RegionStage"]


def test_errors(graph):
    refused("style must be one of multipliers, sparse, digits, auto, not 'fast'", graph, style="fast")
    refused("style of layer 'fc0' must be one of multipliers, sparse, digits, auto, not 'x'", graph, style="fc0=x")
    refused(
        "Layer of a style must be one of 'fc0', 'fc1', 'fc2', or a kind of layer ('conv', 'dense'), not 'fc9'",
        graph,
        style="fc9=auto",
    )
    refused(
        "style of layer 'fc0' must be multipliers for writable weights, not digits: what is built depends on the "
        "weights",
        graph,
        style="digits",
        weights="writable",
        reuse=2,
    )
    refused(
        "digit of node 'fc0' must be of fixed weights and less than the 6 bits of its elements, not 6",
        graph,
        folding={"fc0": {"digit": 6}},
    )
    refused(
        "Folding of node 'fc0' must say digit alone, not digit, outputs",
        graph,
        folding={"fc0": {"digit": 2, "outputs": 3}},
    )


def test_convolutions(tmp_path):
    graph = rtl4ml.load(spatial.depthwise_twice().save(tmp_path, name="net.onnx"))
    pixels = {o.name: o.window.pixels_out for o in graph.operators if hasattr(o, "window")}
    found = planned(graph, interval=4 * max(pixels.values()), style="conv=digits")
    assert found.interval <= 4 * max(pixels.values())
    layers = {name: digit for stage in found.stages for name, digit in stage.digits.items()}
    assert layers
    for stage in found.stages:
        for name, digit in stage.digits.items():
            layer = next(o for o in graph.operators if o.name == name)
            steps = -(-digit_matrix(found.graph, layer).bits // digit)
            assert stage.interval == max(layer.window.pixels_out * steps, layer.window.pixels_in)
            assert stage.stage.multipliers == stage.products == 0
    assert planned(graph, **found.folding()).interval == found.interval


@pytest.mark.parametrize("shape", [(16, 16), (32, 24)])
@pytest.mark.parametrize(("bits", "share"), [(4, 1.0), (6, 0.5)])
@pytest.mark.parametrize("digit", [1, 2, 4])
def test_estimate_of_adders(shape, bits, share, digit):
    generator = np.random.default_rng(bits)
    weights = generator.integers(-(1 << bits - 1), 1 << bits - 1, shape) * (generator.random(shape) < share)
    datapath = Datapath()
    words = [datapath.input(f"x{s}", 0, (1 << digit) - 1) for s in range(shape[0])]
    for p, word in enumerate(multiply_matrix(datapath, words, weights)):
        datapath.output(f"y{p}", word)
    assert 0.6 < adder_bits(weights, digit) / carry_bits(datapath) < 1.6


@pytest.mark.parametrize("target", [None, "ecp5"])
@pytest.mark.parametrize("digit", [1, 2])
def test_estimate_of_tables(digit, target):
    generator = np.random.default_rng(digit)
    weights = generator.integers(-31, 32, (32, 6)) * (generator.random((32, 6)) < 0.5)
    delays = delays_of(target)
    fabric = Fabric.of(delays)
    datapath = Datapath()
    words = [datapath.input(f"x{s}", 0, (1 << digit) - 1) for s in range(len(weights))]
    for p, word in enumerate(multiply_by_tables(datapath, words, weights, fabric)):
        datapath.output(f"y{p}", word)
    assert 0.8 < table_bits(weights, digit, delays) / logic_bits(datapath, fabric) < 1.25


def test_digits_cost_the_smaller_of_tables_and_adders():
    generator = np.random.default_rng(1)
    matrix = DigitMatrix(generator.integers(-31, 32, (32, 8)), np.zeros(8, np.int64), np.zeros(32), np.full(32, 15))
    # Tables of four inputs are worth less, and of whole elements none is made.
    assert digit_cost(matrix, 1, None) < digit_cost(matrix, 1, None, "ecp5") < digit_cost(matrix, 4, None)
    assert digit_cost(matrix, 4, None) == digit_cost(matrix, 4, None, "ecp5")


def test_costs_grow_with_what_is_built():
    generator = np.random.default_rng(0)
    matrix = DigitMatrix(generator.integers(-8, 8, (16, 8)), np.zeros(8, np.int64), np.zeros(16), np.full(16, 255))
    costs = [digit_cost(matrix, digit, None) for digit in (1, 2, 4)]
    assert costs == sorted(costs)
    shapes = [TileShape(p, p * 16, p * 16, p) for p in (1, 2, 4, 8)]
    costs = [tile_cost(matrix, shape, None, None) for shape in shapes]
    assert costs == sorted(costs)
    assert tile_cost(matrix, shapes[0], None, "ice40") < tile_cost(matrix, shapes[0], None, None)
    assert matrix.bits == 8


@pytest.mark.rtl
def test_command_line(tmp_path):
    model = spatial.tiny().save(tmp_path, name="net.onnx")
    done = CliRunner().invoke(app, ["verify", str(model), "--interval", "400", "--style", "digits", "--samples", "8"])
    assert done.exit_code == 0, done.output
    assert "bits a cycle" in done.output


def test_default_settings():
    assert (Settings().style, Settings().layer_style) == ("multipliers", {})


def half_sparse(layer, n_in, n_out):
    generator = np.random.default_rng(layer)
    return generator.integers(-15, 16, (n_in, n_out)) * (generator.random((n_in, n_out)) < 0.5)


@pytest.mark.parametrize("target", [None, "xcup"])
def test_zeros_save_multipliers(target):
    graph, _ = network((16, 24, 12), 7, bits=6, weights=half_sparse)
    for reuse in (30, 96, 200):
        found, dense = (planned(graph, reuse=reuse, target=target, style=style) for style in ("sparse", "multipliers"))
        assert found.interval <= reuse
        assert found.multipliers <= dense.multipliers - (target is None)
        assert found.efficiency is not None
        assert found.efficiency <= 1
        again = planned(graph, **yaml.safe_load(yaml.safe_dump(found.folding())))
        for name in ("latency_cycles", "interval_cycles", "multipliers", "memory_bits"):
            assert again.describe()[name] == found.describe()[name]


def test_matrices_without_zeros_stay_as_they_were():
    graph, _ = network((8, 6), 7, bits=6, weights=lambda layer, n_in, n_out: 5 + np.eye(n_in, n_out, dtype=int))
    assert [stage.skips for stage in planned(graph, reuse=12, style="sparse").stages] == [False]


@pytest.mark.parametrize(("target", "share"), [(None, 1), ("ecp5", 1), ("xc7", 2), ("xcup", 2)])
def test_products_share_multipliers_where_these_are_wide(target, share):
    graph, _ = network((12, 8), 2, bits=8, weight_bits=8, kinds=["shift"])
    found = planned(graph, reuse=8, target=target)
    assert found.multipliers == 12 // share
    assert planned(graph, **found.folding()).multipliers == found.multipliers
    odd = planned(graph, folding={"fc0": {"outputs": 3, "inputs": 2}}, target=target)
    assert odd.multipliers == (6 if share == 1 else 4)


def test_images_share_multipliers_too(tmp_path):
    graph = rtl4ml.load(spatial.tiny().save(tmp_path, name="net.onnx"))
    plain, shared = (planned(graph, interval=100, target=target) for target in (None, "xcup"))
    assert shared.interval <= 100
    assert shared.multipliers < plain.multipliers


def pruned(graph, share):
    """A graph whose convolutions keep about that share of their weights."""
    generator = np.random.default_rng(0)

    def less(layer):
        return replace(layer, weights=layer.weights * (generator.random(layer.weights.shape) < share))

    return replace(graph, operators=tuple(less(o) if isinstance(o, Conv) else o for o in graph.operators))


IMAGES = {"image": spatial.tiny, "depthwise": spatial.depthwise_twice, "bytes": spatial.quantized_bytes}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    return {name: rtl4ml.load(build().save(folder, name=f"{name}.onnx")) for name, build in IMAGES.items()}


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("target", [None, "xcup"])
def test_zeros_of_kernels_save_multipliers(images, name, target):
    sparse = pruned(images[name], 0.3)
    saved = 0
    for interval in (200, 1500):
        found = planned(sparse, interval=interval, style="sparse", target=target)
        plain = planned(sparse, interval=interval, target=target)
        assert found.interval <= interval
        assert found.multipliers <= plain.multipliers
        assert found.efficiency is None or found.efficiency <= 1
        saved += plain.multipliers - found.multipliers
        again = planned(sparse, **yaml.safe_load(yaml.safe_dump(found.folding())))
        for what in ("latency_cycles", "interval_cycles", "multipliers", "memory_bits"):
            assert again.describe()[what] == found.describe()[what]
    assert saved > 0 or name != "bytes"


def test_the_cheaper_of_all_may_be_without_zeros(images):
    sparse = pruned(images["bytes"], 0.15)
    found = planned(sparse, interval=1500, style="auto", target="xcup")
    assert any(stage.skips for stage in found.stages)
    full = planned(pruned(images["bytes"], 1.0), interval=1500, style="auto", target="xcup")
    assert not any(stage.skips for stage in full.stages)


def test_as_many_multipliers_are_faster_without_zeros(images):
    sparse = pruned(images["bytes"], 0.3)
    for multipliers in (12, 30):
        found = planned(sparse, multipliers=multipliers, style="sparse")
        plain = planned(sparse, multipliers=multipliers)
        assert found.multipliers <= multipliers
        assert found.interval < 0.8 * plain.interval


@pytest.mark.parametrize("interval", [800, 3200])
@pytest.mark.parametrize("share", [0.2, 0.6])
@pytest.mark.parametrize("style", ["multipliers", "sparse"])
def test_costs_of_tiles_are_what_is_estimated_for_the_hardware(style, share, interval):
    window = Window(8, 8, (3, 3), pads=(1, 1, 1, 1))
    options = {"kind": "affine", "source": dict(bits=6), "weights": np.arange(-100, 101)}
    graph, conv, form = convolutions.network(window, 8, 8, **options)
    kept = np.random.default_rng(0).random(conv.weights.shape) < share
    conv = replace(conv, weights=conv.weights * kept)
    graph = maps.graph_of(graph.tensors["x"], conv, *graph.operators[1:])
    settings = from_mapping({"interval": interval, "style": style, "target": "xcup"})
    folder = Folder(graph, settings, {"q": form})
    found = estimate(plan(graph, settings), "xcup")
    cells = found.lut + found.lut_memory + MULTIPLIER_COST * found.dsp
    assert 0.6 < folder._cost(conv, folder.folds()["conv"]) / cells < 1.4


def test_memories_cost_what_they_are_made_of():
    assert memory_cost(256, 8, None) == 64
    assert memory_cost(256, 4, "xcup") < memory_cost(256, 4, "ecp5")
    assert memory_cost(4096, 36, "xcup") >= 8 * BLOCK_COST
    assert memory_cost(2, 1, "ice40") == 4


def test_tiles_without_zeros_by_hand(images):
    graph = images["bytes"]
    layer = next(o for o in graph.operators if isinstance(o, Conv))
    name, channels, outputs = layer.name, layer.channels_in, layer.channels_out

    def folded(**tile):
        return {"interval": 2000, "folding": {name: {"outputs": 1, "channels": 1, "skip": 1} | tile}}

    found = planned(graph, **folded(copies=3))
    (stage,) = [stage for stage in found.stages if stage.skips]
    assert stage.describe()["tile"] == {"outputs": 1, "channels": 1, "skip": 1, "copies": 3, "sharing": 1, "finish": 1}
    where = f"Folding of node {name!r}"
    refused(
        f"{where} must have channels that divide {channels}, at most {outputs} outputs, and a finish that divides both "
        f"these and {outputs}, not {channels + 1}, 1 and 1",
        graph,
        **folded(channels=channels + 1),
    )
    refused(f"{where} must say skip without taps: the weights say what is read", graph, **folded(taps=[1, 1]))
    writable = replace(layer, limits=WeightLimits.of(layer.weights, layer.bias))
    changed = replace(graph, operators=tuple(writable if o is layer else o for o in graph.operators))
    refused(f"{where} must not say skip where weights are writable", changed, **folded())
    refused(
        f"style of layer {name!r} must be multipliers for writable weights, not sparse: what is built depends on the "
        "weights",
        graph,
        interval=2000,
        style="sparse",
        weights="writable",
    )
