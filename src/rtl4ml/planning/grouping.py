"""Which nodes become one stage."""

from dataclasses import dataclass

from rtl4ml.graph import Graph, Operator
from rtl4ml.operators import Dense, Requantize
from rtl4ml.planning.settings import Settings
from rtl4ml.stages.arithmetic import ELEMENTWISE


@dataclass(frozen=True)
class Group:
    """Nodes that become one stage.

    Parameters:
        kind: "dense" (a time-multiplexed layer, with the staircase that alone reads it), "region" (whole frames,
            nothing shared), or "elementwise" (some elements a beat).
        nodes: in topological order; the last one's output leaves the stage, no other does.
    """

    kind: str
    nodes: tuple[Operator, ...]


def group(graph: Graph, settings: Settings) -> list[Group]:
    """Groups in topological order.

    1. A layer with a reuse over 1 stands alone, with its staircase if nothing else reads the accumulators.
    2. Every other node joins the group of its consumers if that is one group and no layer of 1; so branches that meet
       again without leaving stand in one datapath.
    3. A group of elementwise nodes takes a few elements a beat, unless the network has no layer of 1 at all. So nodes
       that need whole frames (choices, rows of tensors, decisions) do not join it, nor it them: that would unroll it.
    """
    found: dict[str, list[Operator]] = {}
    multiplexed: set[str] = set()
    for operator in graph.operators:
        if isinstance(operator, Dense) and is_multiplexed(operator, settings):
            nodes: list[Operator] = [operator]
            followers = graph.consumers(operator.output)
            if len(followers) == 1 and isinstance(followers[0], Requantize) and operator.output != graph.output:
                nodes.append(followers[0])
            for node in nodes:
                found[node.name] = nodes
                multiplexed.add(node.name)
    for operator in reversed(graph.operators):
        if operator.name in found:
            continue
        consumers = graph.consumers(operator.output)
        groups = {id(found[c.name]) for c in consumers}
        alone = operator.output == graph.output or len(groups) != 1 or any(c.name in multiplexed for c in consumers)
        if not alone and multiplexed:
            alone = not _fit_together(operator, found[consumers[0].name])
        nodes = [] if alone else found[consumers[0].name]
        nodes.insert(0, operator)
        found[operator.name] = nodes
    place = {operator.name: index for index, operator in enumerate(graph.operators)}
    result = []
    for nodes in {id(nodes): nodes for nodes in found.values()}.values():
        if nodes[0].name in multiplexed:
            kind = "dense"
        elif multiplexed and all(isinstance(node, ELEMENTWISE) for node in nodes):
            kind = "elementwise"
        else:
            kind = "region"
        result.append(Group(kind, tuple(sorted(nodes, key=lambda node: place[node.name]))))
    return sorted(result, key=lambda found_group: place[found_group.nodes[-1].name])


def _fit_together(operator: Operator, nodes: list[Operator]) -> bool:
    """Whether a node may join a group: both elementwise, both not, or beside an unrolled layer."""
    if any(isinstance(node, Dense) for node in (operator, *nodes)):
        return True
    return len({isinstance(node, ELEMENTWISE) for node in (operator, *nodes)}) == 1


def is_multiplexed(layer: Dense, settings: Settings) -> bool:
    """Whether a layer's multipliers are shared.

    A layer with one multiplication has reuse 1 whatever the network's; it gets a multiplier when that was over 1.
    """
    asked = layer.name not in settings.layer_reuse and settings.common_reuse(layer) > 1 and layer.multiplications == 1
    return settings.reuse_of(layer) > 1 or asked
