"""What a datapath costs: numbers for reports and for choosing between forms."""

from collections.abc import Iterable

from rtl4ml.datapath import nodes as kinds
from rtl4ml.datapath.nodes import chain
from rtl4ml.datapath.pipeline import Pipeline
from rtl4ml.datapath.words import Datapath, Word


def live_nodes(datapath: Datapath, roots: Iterable[Word] | None = None) -> list[int]:
    """Returns the indices of the nodes that the ``roots`` need (the outputs, if none are named), in ascending order."""
    live = [False] * len(datapath.nodes)
    for word in datapath.outputs.values() if roots is None else roots:
        live[word.index] = True
    for index in range(len(live) - 1, -1, -1):
        if live[index]:
            for operand in datapath.nodes[index].operands:
                live[operand] = True
    return [index for index, alive in enumerate(live) if alive]


def carry_bits(datapath: Datapath, roots: Iterable[Word] | None = None) -> int:
    """Returns the bits of carry chain in all additions, subtractions and comparators, multiplications left out.

    Args:
        datapath: The datapath.
        roots: Count what these words need; the outputs if left out.
    """
    total = 0
    for index in live_nodes(datapath, roots):
        node = datapath.nodes[index]
        if node.kind in (kinds.ADD, kinds.SUBTRACT, kinds.TERNARY, kinds.WEIGHTED):
            total += chain(datapath.nodes, node).bits
        elif node.kind is kinds.AT_LEAST:
            first, second = (datapath.nodes[operand] for operand in node.operands)
            total += max(compared_bits(first, second), 0)
        elif node.kind is kinds.CLIP:
            source = datapath.nodes[node.operands[0]]
            total += constant_bits(source, node.high + 1) if source.high > node.high else 0
            total += constant_bits(source, node.low) if source.low < node.low else 0
    return total


def compared_bits(first: kinds.Node, second: kinds.Node) -> int:
    """Returns the bits of carry chain of ``first >= second``."""
    if second.kind is kinds.CONSTANT:
        return constant_bits(first, second.low)
    if first.kind is kinds.CONSTANT:
        return constant_bits(second, first.low + 1)
    return max(first.bits, second.bits)


def constant_bits(node: kinds.Node, value: int) -> int:
    """Returns the bits of carry chain of ``node >= value``; none where the sign or some upper bits tell."""
    zeros = (value & -value).bit_length() - 1 if value else 0
    return 0 if value >> zeros in (-1, 0, 1) else max(node.bits - zeros, 0)


def multipliers(datapath: Datapath) -> int:
    """Returns how many products of two variable words the outputs need."""
    return sum(datapath.nodes[index].kind is kinds.MULTIPLY for index in live_nodes(datapath))


def register_bits(datapath: Datapath, pipeline: Pipeline) -> int:
    """Returns the bits of all registers between the steps."""
    return sum(
        (until - step) * node.bits
        for node, step, until in zip(datapath.nodes, pipeline.step, pipeline.until, strict=True)
    )
