"""Max and Min of two activations, decided on codes: exact for all scales, however wide the operands are."""

import numpy as np
import pytest

import rtl4ml
from tests.networks.branched import Builder, graph_of


def agrees(model, kind):
    """The graph decides by codes, and is what the file says."""
    graph = graph_of(model)
    assert sum(o.kind == "Extreme" for o in graph.operators) == 1
    result = rtl4ml.compile(graph, reuse=10**6).verify(samples=300, rtl=False).equality
    assert result.mismatches == 0
    assert result.passed
    return graph


def products(b, n=4):
    """Accumulators of 14 bits and more, with biases of their own."""
    q = b.quant("x", 0.031, 8)
    both = [b.node("Add", [b.dense(q, n, n, 0.0625, 8), b.constant(b.random.normal(size=n))]) for _ in range(2)]
    return both


@pytest.mark.parametrize("kind", ["Max", "Min"])
def test_accumulators_on_other_scales(kind):
    b = Builder(4)
    first, second = products(b)
    y = b.quant(b.node(kind, [first, b.node("Mul", [second, b.constant(0.7)])]), 0.9, 5)
    agrees(b.model(b.dense(y, 4, 2)), kind)


@pytest.mark.parametrize("kind", ["Max", "Min"])
def test_what_follows_may_turn_the_order_round(kind):
    """Of some channels and not of others."""
    b = Builder(4)
    turned = b.node("Mul", [b.node(kind, products(b)), b.constant([0.5, -0.5, 0.0, -1.5])])
    agrees(b.model(b.dense(b.quant(b.node("Add", [turned, b.constant(0.3)]), 0.9, 5), 4, 2)), kind)


def test_two_codes():
    """Bipolar: there is no code 0 between them."""
    b = Builder(4)
    y = b.node("BipolarQuant", [b.node("Max", products(b)), b.constant(1.0)], domain="qonnx.custom_op.general")
    graph = agrees(b.model(b.dense(y, 4, 2)), "Max")
    assert graph.tensors[y].format.bipolar


def test_what_keeps_no_order_is_left_to_the_pairs():
    b = Builder(4)
    q = b.quant("x", 0.3, 3)
    y = b.quant(b.node("Abs", [b.node("Max", [q, b.layer(q, 4, 4, 0.13, 3)])]), 0.4, 4)
    agrees(b.model(b.dense(y, 4, 2)), "Max")


def test_codes_are_compared_that_fit_each_other():
    b = Builder(4)
    graph = agrees(b.model(b.dense(b.quant(b.node("Min", products(b)), 0.9, 5, zero=3), 4, 2)), "Min")
    extreme = next(o for o in graph.operators if o.kind == "Extreme")
    assert np.all(extreme.left == 1)
    assert np.all(extreme.right == 1)
    assert graph.tensors[extreme.output].format.bits <= 5
