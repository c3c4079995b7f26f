"""What stages of a Dense or a Conv have in common: the node, what it reads, and the staircases that follow it."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from rtl4ml.errors import ConfigurationError
from rtl4ml.graph import Graph, Tensor
from rtl4ml.operators.conv import Conv
from rtl4ml.operators.dense import Dense
from rtl4ml.stages.base import edge_shape, identifier
from rtl4ml.stages.finishing import following_form
from rtl4ml.stages.loadable import LoadableStage
from rtl4ml.staircase import Form

Node = TypeVar("Node", Dense, Conv)


@dataclass(frozen=True, eq=False)
class Layer(Generic[Node]):
    """A node and its neighbourhood.

    Parameters:
        node: of the products.
        operators: names of the node and of the Requantize node behind it, if there is one.
        source: what the node reads.
        sums: its accumulators.
        target: what the last of the operators gives.
    """

    node: Node
    operators: tuple[str, ...]
    source: Tensor
    sums: Tensor
    target: Tensor


def layer_of(graph: Graph, kind: type[Node], name: str, requantize: str | None, form: Form | None) -> Layer[Node]:
    """A node of a kind and its neighbourhood.

    Args:
        graph: where the nodes are.
        kind: Dense or Conv.
        name: of the node.
        requantize: of the Requantize node that follows; None: the accumulators' codes are the output.
        form: of the Requantize node's staircase; None without one.

    Raises:
        ConfigurationError: the node is of another kind, form and `requantize` do not go together, or others read what
            comes between.
    """
    node = next(operator for operator in graph.operators if operator.name == name)
    if not isinstance(node, kind):
        raise ConfigurationError(f"Node {name!r} must be a {kind.__name__}, not a {node.kind}")
    follower = following_form(graph, name, requantize, form)
    names = (name,) if follower is None else (name, follower.name)
    tensors = graph.tensors
    target = node.output if follower is None else follower.output
    return Layer(node, names, tensors[node.inputs[0]], tensors[node.output], tensors[target])


class LayerStage(LoadableStage):
    """A stage of a Dense or a Conv."""

    def _place_between(self, graph: Graph, layer: Layer[Node], lanes_in: int, lanes_out: int) -> None:
        """Take over names and streams.

        Args:
            graph: where the node is.
            layer: the node.
            lanes_in: elements a beat in.
            lanes_out: elements a beat out.
        """
        self.name = identifier(layer.node.name)
        self.operators = layer.operators
        self.n_in, self.lanes_in, self.in_shape = layer.source.size, lanes_in, edge_shape(graph, layer.source.name)
        self.n_out, self.lanes_out, self.out_shape = layer.target.size, lanes_out, edge_shape(graph, layer.target.name)
