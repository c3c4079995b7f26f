from rtl4ml.operators import Conv, Dense
from rtl4ml.stages.layer import layer_of
from tests.hdl.bench import refuses
from tests.stages.networks import network


def test_a_layer_and_what_is_around_it():
    graph, forms = network((4, 3), 1)
    layer = layer_of(graph, Dense, "fc0", "q0", forms["q0"])
    assert layer.operators == ("fc0", "q0")
    assert (layer.source.name, layer.target.name) == (graph.input, graph.output)
    assert layer.sums is graph.tensors[layer.node.output]


def test_accumulators_alone():
    graph, _ = network((4, 3), 1, last=False)
    layer = layer_of(graph, Dense, "fc0", None, None)
    assert layer.operators == ("fc0",)
    assert layer.sums is layer.target


def test_nodes_that_do_not_fit():
    graph, forms = network((4, 3, 2), 1)
    refuses(lambda: layer_of(graph, Conv, "fc0", None, None), "Node 'fc0' must be a Conv, not a Dense")
    refuses(
        lambda: layer_of(graph, Dense, "fc0", "q0", None),
        "Form and Requantize of node 'fc0' must be given together, not one of them",
    )
    refuses(
        lambda: layer_of(graph, Dense, "fc0", "q1", forms["q1"]), "Node 'q1' alone must read the output of node 'fc0'"
    )
