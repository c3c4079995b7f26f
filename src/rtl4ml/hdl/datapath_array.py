"""A datapath of adders between words that come in and beats that go out, one for one."""

from dataclasses import dataclass, field

import numpy as np
from amaranth.hdl import Elaboratable, Module, Shape
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from rtl4ml.datapath.cost import multipliers
from rtl4ml.datapath.delays import GENERIC, Delays
from rtl4ml.datapath.lowering import lower
from rtl4ml.datapath.pipeline import Pipeline, cut
from rtl4ml.datapath.words import Datapath
from rtl4ml.hdl.delay import delay

Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class DatapathPlan:
    """A datapath from words of S elements to beats of F outputs, with its cut.

    Parameters:
        datapath: with inputs `x_0`, `x_1`, ..., those that it needs, and outputs `o_0`, `o_1`, ...
        lanes: S, elements a word.
        period_ns: of the clock.
        delays: timing model of the device.
    """

    datapath: Datapath
    lanes: int
    period_ns: float
    delays: Delays = GENERIC

    pipeline: Pipeline = field(init=False)

    def __post_init__(self) -> None:
        """Cut the datapath."""
        object.__setattr__(self, "pipeline", cut(self.datapath, self.period_ns, self.delays))

    @property
    def finish_lanes(self) -> int:
        """F, outputs a beat."""
        return len(self.datapath.outputs)

    @property
    def depth(self) -> int:
        """Edges from the issue of a word to the edge that can sample the result."""
        return 1 + self.pipeline.depth

    @property
    def multipliers(self) -> int:
        """Products of two words."""
        return multipliers(self.datapath)

    def evaluate(self, x: Codes) -> Codes:
        """Compute outputs (N, F) from words (N, S) through the datapath."""
        results = self.datapath.evaluate({name: x[:, int(name.removeprefix("x_"))] for name in self.datapath.inputs})
        outputs = [np.broadcast_to(results[f"o_{lane}"], len(x)) for lane in range(self.finish_lanes)]
        return np.stack(outputs, axis=1)


class DatapathArray(wiring.Component):
    """The hardware of a datapath; never stalls. The result of a word is there `plan.depth` edges after its issue.

    Parameters:
        plan: the datapath and its cut.
        in_shape: shape of an element.
        out_shape: shape of an output.

    Members:
        issue: the next word is issued at this edge; any rate.
        word: the word issued at the edge before.
        o_valid: a result is there, for this cycle only.
        o_payload: F outputs.
    """

    def __init__(self, plan: DatapathPlan, in_shape: Shape, out_shape: Shape) -> None:
        self._plan = plan
        super().__init__(
            {
                "issue": In(1),
                "word": In(data.ArrayLayout(in_shape, plan.lanes)),
                "o_valid": Out(1),
                "o_payload": Out(data.ArrayLayout(out_shape, plan.finish_lanes)),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        """Lower the datapath; a flag goes along with it."""
        m = Module()
        plan = self._plan
        m.submodules.arithmetic = arithmetic = Module()
        inputs = {name: self.word[int(name.removeprefix("x_"))] for name in plan.datapath.inputs}
        outputs = lower(arithmetic, plan.datapath, plan.pipeline, inputs)
        m.d.comb += self.o_valid.eq(delay(m, "issued", self.issue, plan.depth))
        m.d.comb += [self.o_payload[lane].eq(outputs[f"o_{lane}"]) for lane in range(plan.finish_lanes)]
        return m
