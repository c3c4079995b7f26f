"""Which nodes become one stage."""

from collections.abc import Collection
from dataclasses import dataclass

from rtl4ml.graph import Graph, Operator, Tensor
from rtl4ml.operators import Concat, Conv, Dense, Gather, Pool, Requantize, Top
from rtl4ml.stages.arithmetic import ELEMENTWISE
from rtl4ml.stages.reduce import reduction_of
from rtl4ml.stages.walks import widest_word


@dataclass(frozen=True)
class Group:
    """Nodes that become one stage.

    Parameters:
        kind: "dense" or "conv" (a time-multiplexed layer), "digits" (Dense layers in a row on digits of their inputs),
            "reduce" (a global pooling), "pool", each with the staircase
            that alone reads it; "gather", "concat", "blocks" (moves and decisions on feature maps, some elements a
            beat); "elementwise" (some elements a beat); or "region" (whole frames, nothing shared).
        nodes: in topological order; the last one's output leaves the stage, no other does.
    """

    kind: str
    nodes: tuple[Operator, ...]


FINISHED = ("dense", "digits", "conv", "reduce", "pool")
"""Kinds of stages that take the staircase behind them in."""


def group(
    graph: Graph, multiplexed: Collection[str], interval: int, *, streams: bool, digits: Collection[str] = ()
) -> list[Group]:
    """Groups in topological order.

    1. Where nothing streams, everything joins as far as rule 3 lets it: whole frames, nothing shared.
    2. A multiplexed layer, a pooling, and whatever moves elements of feature maps or decides between their channels
       stands alone; layers and poolings with their staircase if nothing else reads what they make. Unless the interval
       is too short for it to go through pixel by pixel: then it stays with the others.
    3. Every other node joins the group of its consumers if that is one group and none of 2; so branches that meet again
       without leaving stand in one datapath.
    4. Dense layers on digits of their inputs join one another where one alone reads what the other makes: each passes
       whole vectors on.
    5. A group of elementwise nodes takes a few elements a beat, where anything streams. So nodes that need whole
       vectors (choices, rows of tensors, decisions) do not join it, nor it them: that would unroll it.

    Args:
        graph: the network.
        multiplexed: names of the layers whose multipliers are shared.
        interval: cycles a frame.
        streams: whether frames come in several beats anywhere: not where everything is unrolled.
        digits: names of those multiplexed layers that take digits of their inputs.
    """
    found: dict[str, list[Operator]] = {}
    kinds: dict[str, str] = {}
    for operator in graph.operators if streams else ():
        kind = _kind(graph, operator, multiplexed, interval, digits)
        if kind is None:
            continue
        nodes: list[Operator] = [operator]
        followers = graph.consumers(operator.output)
        if (
            kind in FINISHED
            and len(followers) == 1
            and isinstance(followers[0], Requantize)
            and operator.output != graph.output
        ):
            nodes.append(followers[0])
        if kind == "digits":
            nodes = _joined(graph, found, kinds, nodes)
        for node in nodes:
            found[node.name] = nodes
            kinds[node.name] = kind
    for operator in reversed(graph.operators):
        if operator.name in found:
            continue
        consumers = graph.consumers(operator.output)
        groups = {id(found[c.name]) for c in consumers}
        alone = operator.output == graph.output or len(groups) != 1 or any(c.name in kinds for c in consumers)
        if not alone and streams:
            alone = not _fit_together(operator, found[consumers[0].name])
        nodes = [] if alone else found[consumers[0].name]
        nodes.insert(0, operator)
        found[operator.name] = nodes
    place = {operator.name: index for index, operator in enumerate(graph.operators)}
    result = []
    for nodes in {id(nodes): nodes for nodes in found.values()}.values():
        if nodes[0].name in kinds:
            kind = kinds[nodes[0].name]
        elif streams and all(isinstance(node, ELEMENTWISE) for node in nodes):
            kind = "elementwise"
        else:
            kind = "region"
        result.append(Group(kind, tuple(sorted(nodes, key=lambda node: place[node.name]))))
    return sorted(result, key=lambda found_group: place[found_group.nodes[-1].name])


def _joined(
    graph: Graph, found: dict[str, list[Operator]], kinds: dict[str, str], nodes: list[Operator]
) -> list[Operator]:
    """Nodes of a layer on digits behind those of the layer before, if that is one too and feeds nobody else."""
    (source,) = nodes[0].inputs
    makers = [operator for operator in graph.operators if operator.output == source]
    if not makers or kinds.get(makers[0].name) != "digits" or source == graph.output:
        return nodes
    return [*found[makers[0].name], *nodes] if len(graph.consumers(source)) == 1 else nodes


def _kind(
    graph: Graph, operator: Operator, multiplexed: Collection[str], interval: int, digits: Collection[str]
) -> str | None:
    """Kind of a node that stands alone; None for others."""
    if isinstance(operator, Conv | Pool) and reduction_of(operator) is not None:
        return "reduce" if operator.window.pixels_in <= interval else None
    if isinstance(operator, Conv | Dense):
        if isinstance(operator, Dense) and operator.name in digits:
            return "digits"
        return operator.kind.lower() if operator.name in multiplexed else None
    if isinstance(operator, Pool):
        return "pool" if max(operator.window.pixels_in, operator.window.pixels_out) <= interval else None
    maps = any(is_feature_map(graph.tensors[name]) for name in (*operator.inputs, operator.output))
    if isinstance(operator, Gather):
        size = graph.tensors[operator.inputs[0]].size
        words = max(size, len(operator.indices)) // widest_word(operator.indices, size)
        return "gather" if maps and words <= interval else None
    if isinstance(operator, Concat):
        return "concat" if maps else None
    return "blocks" if isinstance(operator, Top) and 1 < operator.blocks <= interval else None


def is_feature_map(tensor: Tensor) -> bool:
    """Whether a tensor has several pixels of several elements or more."""
    return len(tensor.shape) > 1 and tensor.size > tensor.shape[-1]


def _fit_together(operator: Operator, nodes: list[Operator]) -> bool:
    """Whether a node may join a group: both elementwise, both not, or beside an unrolled layer."""
    if any(isinstance(node, Dense | Conv) for node in (operator, *nodes)):
        return True
    return len({isinstance(node, ELEMENTWISE) for node in (operator, *nodes)}) == 1
