import numpy as np
import pytest

from rtl4ml.cmvm.column import build_column
from rtl4ml.cmvm.digits import Bounds
from rtl4ml.cmvm.tree import Summand, Tree
from rtl4ml.datapath.nodes import ADD, SUBTRACT, chain
from rtl4ml.datapath.words import Datapath


def summands(datapath, rng, count):
    """Inputs with random shifts, signs and widths: their words, the summands and their ranges."""
    found, words = [], []
    for number, unit in enumerate(np.eye(count, dtype=np.int64)):
        low = int(rng.integers(-20, 5))
        word = datapath.input(f"x{number}", low, low + int(rng.integers(1, 60)))
        sign, shift = int(rng.choice([-1, 1])), int(rng.integers(0, 7))
        words.append(word)
        found.append(Summand(number, word.low, word.high, shift, sign, 0, unit))
    bounds = Bounds(np.array([s.low for s in found]), np.array([s.high for s in found]))
    return words, found, bounds


@pytest.mark.parametrize("constant", [0, 1, -1, 37, -300, 5000])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 33, 100])
def test_sum(count, constant):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        datapath = Datapath()
        words, terms, bounds = summands(datapath, rng, count)
        levels = (count - 1 + (constant != 0)).bit_length()
        word = datapath.output("y", build_column(datapath, bounds, levels, words, terms, constant))
        x = np.stack([rng.integers(s.low, s.high, 50, endpoint=True) for s in terms], axis=1)
        weights = np.array([s.sign << s.shift for s in terms])
        result = datapath.evaluate({f"x{i}": x[:, i] for i in range(count)})["y"]
        np.testing.assert_array_equal(result, x @ weights + constant)
        assert (word.low - constant, word.high - constant) == bounds.of(weights)
        depths = []
        for node in datapath.nodes:
            before = max((depths[operand] for operand in node.operands), default=0)
            depths.append(before + (node.kind in (ADD, SUBTRACT) and chain(datapath.nodes, node).bits > 0))
        # Where no unit makes up for a sign that changes, one addition more does.
        assert depths[word.index] <= levels + any(s.sign < 0 for s in terms)


def test_bits_are_those_of_the_node():
    rng = np.random.default_rng(7)
    for _ in range(50):
        datapath = Datapath()
        words, (a, b), bounds = summands(datapath, rng, 2)
        tree = Tree(bounds, 1)
        tree.sum([a, b])
        if a.shift > b.shift:
            a, b = b, a
        shifted = datapath.shift_left(words[b.row], b.shift - a.shift)
        first = words[a.row]
        word = datapath.add(first, shifted) if a.sign == b.sign else datapath.subtract(first, shifted)
        assert tree.bits == chain(datapath.nodes, datapath.nodes[word.index]).bits


@pytest.mark.parametrize("count", [3, 4, 9, 40])
def test_three_at_a_time(count):
    """Every second sum is the inner one of a ternary adder, which the outer one alone uses."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        datapath = Datapath()
        words, terms, bounds = summands(datapath, rng, count)
        levels = (count - 1).bit_length()
        binary, ternary = Tree(bounds, levels), Tree(bounds, levels, ternary=True)
        binary.sum(terms)
        root = ternary.sum(terms)
        assert ternary.bits < binary.bits
        assert root.depth <= levels
        word = datapath.output("y", build_column(datapath, bounds, levels, words, terms, 11, ternary=True))
        x = np.stack([rng.integers(s.low, s.high, 50, endpoint=True) for s in terms], axis=1)
        weights = np.array([s.sign << s.shift for s in terms])
        result = datapath.evaluate({f"x{i}": x[:, i] for i in range(count)})["y"]
        np.testing.assert_array_equal(result, x @ weights + 11)
        assert (word.low - 11, word.high - 11) == bounds.of(weights)


def test_too_few_levels():
    datapath = Datapath()
    _, terms, bounds = summands(datapath, np.random.default_rng(0), 5)
    with pytest.raises(ValueError, match=r"^depth of the summands must leave room for a sum in 2 levels$"):
        Tree(bounds, 2).sum(terms)
