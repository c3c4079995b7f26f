"""Sums of three words where a device adds them in one carry chain: pairs of additions become one node.

The same devices have tables with two outputs, so that two bits of a limited word share one.

Tables of six inputs hold the full adder of two words and the compressor of a third: a chain of as many bits as for two
words (J. Simkins, B. Philofsky: "Structures and methods for implementing ternary adders", US patent 7,274,211).
"""

from collections.abc import Sequence

from rtl4ml.datapath.nodes import ADD, CLIP, PAIRED, SHIFT_LEFT, SUBTRACT, TERNARY, Node, chain
from rtl4ml.datapath.words import Datapath, Word

_SUMS = (ADD, SUBTRACT)


def with_ternary_sums(datapath: Datapath) -> Datapath:
    """Returns the same function with sums of three, and clips of two bits a table.

    An addition takes in one of its operands if that is an addition which nothing else uses. Which of them do is chosen
    such that as few bits of carry chain as possible remain.

    Args:
        datapath: What is to be built; it is not changed.
    """
    chosen = _matching(datapath)
    inner = set(chosen.values())
    result = Datapath()
    places: dict[int, Word] = {}

    for index in _live(datapath):
        node = datapath.nodes[index]
        if index in inner:
            continue
        if index in chosen:
            terms = _terms(datapath.nodes, index, chosen[index])
            words = [result.shift_left(places[operand], k) for operand, k, _ in terms]
            signs = tuple(sign for _, _, sign in terms[1:])
            operands = tuple(word.index for word in words)
            places[index] = result.append(Node(TERNARY, operands, signs, node.low, node.high))
        elif node.kind is SHIFT_LEFT and node.operands[0] in inner:
            continue  # the wires of an inner sum, which its outer one has followed
        else:
            operands = tuple(places[operand].index for operand in node.operands)
            paired = node._replace(parameter=PAIRED) if node.kind is CLIP and node.bits > 1 else node
            places[index] = result.append(paired._replace(operands=operands))
    for name, word in datapath.outputs.items():
        result.output(name, places[word.index])
    return result


def _live(datapath: Datapath) -> list[int]:
    """Returns the nodes that are needed, and all inputs, which are ports in any case."""
    needed = {word.index for word in [*datapath.outputs.values(), *datapath.inputs.values()]}
    for index in range(len(datapath.nodes) - 1, -1, -1):
        if index in needed:
            needed.update(datapath.nodes[index].operands)
    return sorted(needed)


def _source(nodes: Sequence[Node], index: int) -> tuple[int, int]:
    """Returns the node behind wires that shift it, and by how much."""
    node = nodes[index]
    return (node.operands[0], node.parameter) if node.kind is SHIFT_LEFT else (index, 0)


def _terms(nodes: Sequence[Node], outer: int, inner: int) -> list[tuple[int, int, int]]:
    """Returns (node, shift, sign) of three words, the first of them not subtracted."""
    terms = []
    for operand, sign in zip(nodes[outer].operands, _signs(nodes[outer]), strict=True):
        source, k = _source(nodes, operand)
        if source != inner:
            terms.append((source, k, sign))
            continue
        for part, other in zip(nodes[inner].operands, _signs(nodes[inner]), strict=True):
            behind, more = _source(nodes, part)
            terms.append((behind, k + more, sign * other))
    return sorted(terms, key=lambda term: term[2] < 0)


def _signs(node: Node) -> tuple[int, int]:
    return 1, 1 if node.kind is ADD else -1


def _matching(datapath: Datapath) -> dict[int, int]:
    """Returns the inner addition of every outer one: no addition is both, and the saving is the largest there is."""
    nodes = datapath.nodes
    order = _live(datapath)
    users: dict[int, set[int]] = {index: set() for index in order}
    for index in order:
        if nodes[index].kind is not SHIFT_LEFT:
            for operand in nodes[index].operands:
                users[_source(nodes, operand)[0]].add(index)
    for word in datapath.outputs.values():
        users[_source(nodes, word.index)[0]].add(-1)
    # Best saving below a node when it takes in none of its operands, and when it may; and what it takes in then.
    alone: dict[int, int] = {}
    best: dict[int, int] = {}
    takes: dict[int, int] = {}
    for index in order:
        node = nodes[index]
        if node.kind not in _SUMS or not chain(nodes, node).bits:
            continue
        sources = [_source(nodes, operand)[0] for operand in node.operands]
        # What stands on both sides, shifted, would be four words.
        below = [] if sources[0] == sources[1] else [s for s in sources if s in best and users[s] == {index}]
        alone[index] = best[index] = sum(best[source] for source in below)
        for source in below:
            saving = alone[index] - best[source] + alone[source] + _saving(nodes, index, source)
            if saving > best[index]:
                best[index], takes[index] = saving, source
    chosen = {}
    taken: set[int] = set()
    for index in reversed(order):
        if index in takes and index not in taken:
            chosen[index] = takes[index]
            taken.add(takes[index])
    return chosen


def _saving(nodes: Sequence[Node], outer: int, inner: int) -> int:
    """Returns the bits of carry chain that one sum saves against two; negative where fewer low bits are wires."""
    terms = _terms(nodes, outer, inner)
    zeros = sorted((k, sign) for _, k, sign in terms)
    wired = zeros[1][0] if zeros[0][1] > 0 else zeros[0][0]
    bits = max(nodes[outer].bits - wired, 0)
    return chain(nodes, nodes[outer]).bits + chain(nodes, nodes[inner]).bits - bits
