"""Requantize on its own: a staircase on every lane, beat in, beat out."""

from rtl4ml.datapath.delays import Clock
from rtl4ml.graph import Graph
from rtl4ml.stages.elementwise import ElementwiseStage
from rtl4ml.staircase import Form


class RequantizeStage(ElementwiseStage):
    """`y[j] = staircase_j(x[j])`, `lanes` elements at a time.

    Parameters:
        graph: where the node is.
        name: of the node.
        lanes: elements a beat out.
        clock_mhz: clock frequency that the datapath is cut for, in MHz or with a device.
        form: of the node's staircase.
        lanes_in: elements a beat in; None: as out.
    """

    def __init__(
        self, graph: Graph, name: str, lanes: int, clock_mhz: float | Clock, form: Form, lanes_in: int | None = None
    ) -> None:
        super().__init__(graph, [name], lanes, clock_mhz, {name: form}, None if lanes_in is None else [lanes_in])
