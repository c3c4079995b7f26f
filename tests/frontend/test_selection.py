import re

import numpy as np
import pytest

import rtl4ml
from rtl4ml.errors import ModelError
from rtl4ml.frontend.load import from_model
from tests.networks.branched import Builder, graph_of


def agrees(b, output):
    graph = graph_of(b.model(output))
    assert rtl4ml.compile(graph, reuse=64).verify(samples=200, rtl=False).equality.mismatches == 0
    return graph


def start(scale=0.25, n=6):
    b = Builder(n)
    return b, b.layer(b.quant("x", 0.25), n, n, scale)


def test_one_choice_is_made_once():
    b, y = start()
    first = b.node("Gather", [y, b.constant([4, 1], np.int64)], axis=1)
    second = b.node("Gather", [y, b.constant([4, 1], np.int64)], axis=1)
    graph = agrees(b, b.node("Add", [b.dense(first, 2, 2), b.dense(second, 2, 2)]))
    assert [o.kind for o in graph.operators].count("Gather") == 1


def test_a_choice_in_front_of_the_first_quantizer_is_the_hosts():
    b = Builder(6)
    left = b.node("Gather", ["x", b.constant([5, 0, 2], np.int64)], axis=1)
    graph = agrees(b, b.dense(b.quant(left, 0.25), 3, 2))
    assert graph.input_tensor.size == 3
    assert graph.prologue.description == ("Gather",)


def test_a_choice_at_the_output():
    b, y = start()
    graph = agrees(b, b.node("Slice", [y, *(b.constant(v, np.int64) for v in ([1], [6], [1], [2]))]))
    assert graph.output_tensor.size == 3


def test_operators_before_a_choice_follow_it():
    b, y = start()
    y = b.node("Add", [b.dense(y, 6, 6), b.constant(b.random.normal(0, 1, 6))])
    half = b.node("Split", [y], 2, axis=1, num_outputs=2)
    z = b.node("Concat", [b.quant(f"{half}_1", 0.5), b.quant(half, 0.5)], axis=1)
    agrees(b, b.dense(z, 6, 2))


def test_channels_interleaved():
    b, y = start()
    y = b.node("Reshape", [y, b.constant([1, 2, 3], np.int64)])
    turned = b.node("Transpose", [y], perm=[0, 2, 1])
    both = b.node("Concat", [turned, turned], axis=2)
    flat = b.node("Flatten", [b.node("Slice", [both, *(b.constant(v, np.int64) for v in ([1], [3], [2]))])])
    agrees(b, b.dense(flat, 6, 2))


def refused(b, output, message):
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        from_model(b.model(output), "net")


def test_errors():
    b, y = start()
    refused(
        b,
        b.node("Concat", [y, b.node("Relu", [b.dense(y, 6, 6)])], axis=1),
        "Input 'relu5' of node 'n_concat6' (Concat) must be quantized, as its other inputs are: put a Quant node in "
        "front of it",
    )
    b, y = start()
    refused(b, b.node("Concat", [y, y], axis=0), "axis of node 'n_concat4' (Concat) must not be the batch, 0")
    b, y = start()
    refused(b, b.node("Concat", [y, y], axis=2), "axis of node 'n_concat4' (Concat) must be from -2 to 1, not 2")
    b, y = start()
    three = b.node("Reshape", [y, b.constant([1, 2, 3], np.int64)])
    refused(
        b,
        b.node("Concat", [three, b.node("Reshape", [y, b.constant([1, 3, 2], np.int64)])], axis=1),
        "Inputs of node 'n_concat6' (Concat) must have shapes that agree beside axis 1, not [1, 2, 3], [1, 3, 2]",
    )
    b, y = start()
    refused(
        b,
        b.dense(b.node("Slice", [y, *(b.constant(v, np.int64) for v in ([4], [2], [1]))]), 1, 1),
        "Output 'slice4' of node 'n_slice4' (Slice) must have elements, not none",
    )
    b, y = start(0.3)
    total = b.node("Add", [y, y])
    refused(
        b,
        b.node("Slice", [total, *(b.constant(v, np.int64) for v in ([0], [2], [1]))]),
        "Input 'add4' of node 'n_slice5' (Slice) must be quantized, not the output of node 'n_add4' (Add): put a Quant "
        "node between them",
    )


def test_all_elements_are_chosen():
    """The judge is told that they still are on their grid, though a Slice stands between."""
    b, y = start()
    whole = b.node("Slice", [y, *(b.constant(v, np.int64) for v in ([0], [6], [1]))])
    agrees(b, b.dense(whole, 6, 2))


def test_the_second_output_of_a_split_in_a_product():
    b, y = start()
    half = b.node("Split", [y], 2, axis=1, num_outputs=2)
    graph = agrees(b, b.dense(f"{half}_1", 3, 2))
    assert sum(o.kind == "Gather" for o in graph.operators) == 1
