"""Two activations meet: what the integers become, what is refused, and that float32 is the definition."""

import re

import numpy as np
import pytest

import rtl4ml
from rtl4ml.errors import ModelError
from rtl4ml.frontend.load import from_model
from tests.networks.branched import Builder, graph_of, residual


def operators(model):
    return {o.kind: o for o in from_model(model, "net").operators}


@pytest.mark.parametrize(
    ("first", "second", "left", "right"),
    [(0.25, 0.25, 1, 1), (0.25, 1.0, 1, 4), (0.75, 0.5, 3, 2), (0.3, 0.3, 1, 1), (0.1, 0.3, 1, 3), (0.2, 0.3, 2, 3)],
)
def test_small_integers_for_rational_ratios(first, second, left, right):
    add = operators(residual(scale_a=first, scale_b=second))["Add"]
    assert (int(add.left), int(add.right)) == (left, right)


def test_other_ratios_are_proven_over_all_pairs():
    """The staircase behind the sum gives the executor's code for each pair of codes that there is."""
    graph = from_model(residual(scale_a=0.1234567, scale_b=0.0765432, out=0.37), "net")
    add = next(o for o in graph.operators if o.kind == "Add")
    quant = graph.consumers(add.output)[0]
    first, second = (graph.tensors[name] for name in add.inputs)
    a, b = (g.reshape(-1) for g in np.meshgrid(np.arange(-8, 8), np.arange(0, 8)))
    pairs = [np.repeat(c[:, None], 8, axis=1) for c in (a, b)]
    codes = quant.evaluate([add.evaluate(pairs, [first, second])], [graph.tensors[add.output]])
    reals = np.float32(0.1234567) * a.astype(np.float32) + np.float32(0.0765432) * b.astype(np.float32)
    expected = np.clip(np.round(reals / np.float32(0.37)), -8, 7)
    assert np.array_equal(codes[:, 0], expected)


def test_a_rounding_that_no_line_follows():
    """Where pairs with one sum get two codes, finer factors are found, or the file is refused: never a wrong code."""
    for seed in range(12):
        random = np.random.default_rng(seed)
        first, second, out = (float(np.float32(s)) for s in random.uniform(0.05, 0.6, 3))
        graph = graph_of(residual(scale_a=first, scale_b=second, out=out))
        assert rtl4ml.compile(graph, reuse=64).verify(samples=200, rtl=False).equality.mismatches == 0


def test_eight_bits():
    b = Builder(4)
    q = b.quant("x", 0.031, 8)
    y = b.quant(b.node("Add", [q, b.layer(q, 4, 4, 0.0171, 8)]), 0.043, 8)
    graph = graph_of(b.model(b.dense(y, 4, 2)))
    assert rtl4ml.compile(graph, reuse=64).verify(samples=500, rtl=False).equality.mismatches == 0


def test_several_quantizers_of_one_sum():
    b = Builder(4)
    q = b.quant("x", 0.3)
    total = b.node("Add", [q, b.layer(q, 4, 4, 0.11)])
    coarse, fine = b.quant(total, 0.7), b.quant(total, 0.2, 6)
    y = b.node("Concat", [b.layer(coarse, 4, 3, 0.5), b.layer(fine, 4, 3, 0.5)], axis=1)
    graph = graph_of(b.model(b.dense(y, 6, 2)))
    assert sum(o.kind == "Add" for o in graph.operators) == 2
    assert rtl4ml.compile(graph, reuse=64).verify(samples=300, rtl=False).equality.mismatches == 0


def test_operators_before_and_behind_the_sum():
    b = Builder(4)
    q = b.quant("x", 0.3)
    scaled = b.node("Mul", [q, b.constant([[1.5, 0.3, 0.7, 1.1]])])
    total = b.node("Add", [scaled, b.node("Relu", [b.node("Sub", [b.layer(q, 4, 4, 0.3), b.constant(0.6)])])])
    y = b.quant(b.node("Relu", [b.node("Add", [total, b.constant([[0.1, -0.2, 0.3, 0.0]])])]), 0.4)
    graph = graph_of(b.model(b.dense(y, 4, 2)))
    assert rtl4ml.compile(graph, reuse=64).verify(samples=300, rtl=False).equality.mismatches == 0


@pytest.mark.parametrize("kind", ["Add", "Sub"])
def test_a_negated_operand(kind):
    """Its factor is negative: with the other sign only numbers of pairs would be found, 15,000 steps instead of 60."""
    b = Builder(4)
    q = b.quant("x", 0.0447, 8)
    turned = b.node("Mul", [b.node("Neg", [b.layer(q, 4, 4, 0.0156, 8)]), b.constant(0.9)])
    y = b.quant(b.node("Relu", [b.node(kind, [q, turned])]), 0.0897, 8, signed=0)
    graph = graph_of(b.model(b.dense(y, 4, 2)))
    assert rtl4ml.compile(graph, reuse=64).verify(samples=300, rtl=False).equality.mismatches == 0
    add = next(o for o in graph.operators if o.kind == "Add")
    assert int(add.left) * int(add.right) * (1 if kind == "Add" else -1) < 0
    assert max(len(p) for p in graph.consumers(add.output)[0].staircase.positions) < 256


def test_channels_that_differ_in_front_of_the_sum_only():
    """Each has a function of its own, though the quantizer is one for all; and elements with other ranges."""
    b = Builder(5)
    q = b.quant("x", 0.319, 4, signed=0)
    both = [b.node("Add", [b.dense(q, 5, 6, s), b.constant(b.random.normal(size=6))]) for s in (0.25, 0.125)]
    y = b.quant(b.node("Add", both), 13.9, 3)
    graph = graph_of(b.model(b.dense(y, 6, 2)))
    assert rtl4ml.compile(graph, reuse=64).verify(samples=300, rtl=False).equality.mismatches == 0


def test_a_bias_read_by_two_joins_the_accumulator_once():
    b = Builder(4)
    q = b.quant("x", 0.25)
    y = b.node("Add", [b.dense(q, 4, 4), b.constant([[0.5, 0.25, -1.0, 0.125]])])
    z = b.quant(b.node("Add", [y, b.quant(b.node("Relu", [y]), 0.5)]), 0.5)
    graph = graph_of(b.model(b.dense(z, 4, 2)))
    assert [o.kind for o in graph.operators] == ["Dense", "Requantize", "Add", "Requantize", "Dense"]
    assert rtl4ml.compile(graph, reuse=64).verify(samples=300, rtl=False).equality.mismatches == 0


def test_broadcasting():
    b = Builder(4)
    q = b.quant("x", 0.25)
    y = b.quant(b.node("Add", [q, b.layer(q, 4, 1)]), 0.5)
    graph = graph_of(b.model(b.dense(y, 4, 2)))
    assert rtl4ml.compile(graph, reuse=64).verify(samples=200, rtl=False).equality.mismatches == 0


def refused(builder, output, message):
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        from_model(builder.model(output), "net")


def test_output_without_a_quantizer():
    b = Builder(4)
    q = b.quant("x", 0.3)
    refused(
        b,
        b.node("Add", [q, b.layer(q, 4, 4, 0.3)]),
        "Output 'add4' must be quantized behind node 'n_add4' (Add), whose scales 0.30000001 and 0.30000001 float32 "
        "does not add exactly: put a Quant node behind it, or use scales that are powers of two",
    )


def test_product_without_a_quantizer():
    b = Builder(4)
    q = b.quant("x", 0.3)
    total = b.node("Add", [q, b.layer(q, 4, 4, 0.3)])
    refused(
        b,
        b.dense(total, 4, 2),
        "Input 'add4' of node 'n_matmul5' (MatMul) must be quantized, not the output of node 'n_add4' (Add): put a "
        "Quant node in front of it",
    )


def test_three_at_once():
    b = Builder(4)
    q = b.quant("x", 0.3)
    total = b.node("Add", [q, b.layer(q, 4, 4, 0.3)])
    refused(
        b,
        b.quant(b.node("Add", [total, q]), 0.5),
        "Input 'add4' of node 'n_add5' (Add) must be quantized, not the output of node 'n_add4' (Add), whose scales "
        "float32 does not add exactly: put a Quant node between them",
    )


def test_too_many_pairs():
    b = Builder(4)
    q = b.quant("x", 0.3, 11)
    refused(
        b,
        b.quant(b.node("Add", [q, b.layer(q, 4, 4, 0.3, 11, signed=0)]), 0.5),
        "Operands of node 'n_add4' (Add) must have at most 2**20 pairs of codes a channel, and 2**24 over all "
        "channels, not 2048 x 2048 over 1 channels, unless float32 adds them exactly (scales that are powers of two): "
        "put a Quant node on each",
    )


def test_shapes():
    b = Builder(4)
    q = b.quant("x", 0.25)
    refused(
        b,
        b.quant(b.node("Add", [q, b.layer(q, 4, 3)]), 0.5),
        "Inputs of node 'n_add4' (Add) must have shapes that broadcast, not [1, 4] and [1, 3]",
    )


def test_one_side_on_the_host():
    b = Builder(4)
    q = b.quant("x", 0.25)
    refused(
        b,
        b.quant(b.node("Add", ["x", q]), 0.5),
        "Input 'x' of node 'n_add1' (Add) must be quantized like its other input, not real: put a Quant node in front "
        "of it",
    )
