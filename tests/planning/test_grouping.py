from rtl4ml.planning.folding import Folder
from rtl4ml.planning.grouping import group
from rtl4ml.planning.settings import Settings
from tests.networks.branched import MODELS, graph_of


def kinds(name, settings):
    graph = graph_of(MODELS[name]())
    shared = {layer for layer, fold in Folder(graph, settings, {}).folds().items() if fold.tile is not None}
    return [(g.kind, [node.kind for node in g.nodes]) for g in group(graph, shared, 4, streams=bool(shared))]


def test_all_unrolled_is_one_region():
    (only,) = kinds("eight_consumers", Settings())
    assert only[0] == "region"
    assert len(only[1]) == 31


def test_layers_take_the_staircase_that_alone_reads_them():
    assert kinds("residual", Settings(reuse=4)) == [
        ("dense", ["Dense", "Requantize"]),
        ("elementwise", ["Add", "Requantize"]),
        ("dense", ["Dense"]),
    ]


def test_accumulators_with_two_readers_leave_their_stage():
    assert kinds("accumulators", Settings(reuse=4)) == [
        ("dense", ["Dense"]),
        ("dense", ["Dense"]),
        ("elementwise", ["Add", "Requantize", "Add", "Requantize"]),
        ("dense", ["Dense"]),
    ]


def test_an_unrolled_layer_makes_a_region():
    settings = Settings(reuse=1, layer_reuse={"n_matmul1": 4})
    assert kinds("residual", settings) == [
        ("dense", ["Dense", "Requantize"]),
        ("region", ["Add", "Requantize", "Dense"]),
    ]


def test_whole_frames_stand_apart_from_a_few_elements_a_beat():
    assert kinds("mean", Settings(reuse=4)) == [
        ("dense", ["Dense", "Requantize"]),
        ("dense", ["Dense", "Requantize"]),
        ("region", ["Gather"]),
        ("elementwise", ["Add", "Requantize"]),
        ("dense", ["Dense"]),
    ]
    assert kinds("split_and_sliced", Settings(reuse=4)) == [
        ("dense", ["Dense", "Requantize"]),
        ("region", ["Gather"]),
        ("region", ["Gather"]),
        ("elementwise", ["Add", "Requantize"]),
        ("region", ["Gather", "Gather"]),
        ("dense", ["Dense"]),
    ]
