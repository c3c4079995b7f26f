"""All Verilog of a design: a module for each stage, the core that wires them, the wrapper with the bus."""

from collections.abc import Callable
from dataclasses import dataclass

import jinja2
from amaranth.hdl import Shape

import rtl4ml
from rtl4ml import resources
from rtl4ml.export.verilog import convert
from rtl4ml.graph import Graph
from rtl4ml.planning.plan import Plan, StagePlan


@dataclass(frozen=True)
class PortShape:
    """Elements on one side of a design.

    Parameters:
        lanes: elements a beat.
        bits: of an element.
        signed: whether it is a two's complement number.
        slot: bits that an element takes in tdata.
    """

    lanes: int
    bits: int
    signed: bool
    slot: int

    @classmethod
    def of(cls, shape: Shape, lanes: int, *, packed: bool) -> "PortShape":
        """Whole bytes a slot (8, 16, 32, 64 bits), or none to spare when `packed`."""
        slot = shape.width if packed else next(s for s in (8, 16, 32, 64) if s >= shape.width)
        return cls(lanes, shape.width, shape.signed, slot)


def sides(plan: Plan) -> tuple[PortShape, PortShape]:
    """Input and output side of a plan."""
    packed = not plan.settings.backpressure
    first, last = plan.stages[0].stage, plan.stages[-1].stage
    return PortShape.of(first.in_shape, first.lanes_in, packed=packed), PortShape.of(
        last.out_shape, last.lanes_out, packed=packed
    )


def _render(template: str, **variables: object) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resources.path("rtl_templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return environment.get_template(template).render(**variables)


def _comment(graph: Graph, planned: StagePlan) -> str:
    stage = planned.stage
    what = (
        "one datapath of adders, no multiplier"
        if planned.tile is None
        else f"{planned.tile[0]} x {planned.tile[1]} multipliers, reuse {planned.reuse}"
    )
    nodes = " -> ".join(stage.operators)
    return f"{nodes}: {stage.n_in} -> {stage.n_out} elements, {what}"


def _frames_in_flight(plan: Plan) -> int:
    """Most frames inside at once: each stage holds two in its store, one in its adapter, more in pipeline and FIFO."""
    frames = 2
    for planned in plan.stages:
        timing = planned.stage.timing
        in_pipeline = timing.depth // max(1, planned.interval) + 1
        frames += 3 + in_pipeline + -(-(timing.slots or 0) // timing.beats_out)
    return frames


def verilog_files(graph: Graph, plan: Plan, name: str, progress: Callable[[str], None] | None = None) -> dict[str, str]:
    """Verilog text by file name, the wrapper first.

    Args:
        graph: the network.
        plan: its stages.
        name: of the IP; every module's name starts with it.
        progress: called with the name of each stage before it is written.

    Raises:
        ToolError: Yosys is missing or fails.
    """
    i, o = sides(plan)
    stages, files = [], {}
    for index, planned in enumerate(plan.stages):
        if progress is not None:
            progress(planned.stage.name)
        module = f"{name}_s{index}_{planned.stage.name}"
        comment = _comment(graph, planned)
        files[f"{module}.v"] = convert(planned.stage.component(), module, f"{module}\n{comment}")
        width = planned.stage.lanes_in * planned.stage.in_shape.width
        stages.append({"module": module, "in_width": width, "comment": comment})
    common = {"name": name, "version": rtl4ml.__version__, "latency": plan.latency, "interval": plan.interval}
    core = _render(
        "core.v.j2",
        **common,
        in_width=i.lanes * i.bits,
        out_width=o.lanes * o.bits,
        backpressure=plan.settings.backpressure,
        stages=stages,
    )
    wrapper = _render(
        "axis_wrapper.v.j2" if plan.settings.backpressure else "pipeline_wrapper.v.j2",
        **common,
        n_in=graph.input_tensor.size,
        lanes_in=i.lanes,
        in_bits=i.bits,
        in_signed=i.signed,
        in_slot=i.slot,
        n_out=graph.output_tensor.size,
        lanes_out=o.lanes,
        out_bits=o.bits,
        out_signed=o.signed,
        out_slot=o.slot,
        frames_in_flight=_frames_in_flight(plan),
    )
    return {f"{name}.v": wrapper, f"{name}_core.v": core, **files}
