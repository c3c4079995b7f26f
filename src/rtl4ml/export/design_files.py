"""All Verilog of a design: a module for each stage, the core that wires them, the wrapper with the bus."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Shape

import rtl4ml
from rtl4ml.export.templates import render
from rtl4ml.export.verilog import to_rtlil, to_verilog
from rtl4ml.export.wiring import module_name, wire
from rtl4ml.graph import Graph
from rtl4ml.hdl.weight_control import WeightControl
from rtl4ml.planning import writable
from rtl4ml.planning.building import StagePlan
from rtl4ml.planning.description import digit_words, tile_words
from rtl4ml.planning.plan import Plan
from rtl4ml.stages.lanes import LanesStage


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
    network = plan.network
    branch = network.consumers(network.input)[0]
    assert branch.stage is not None
    first = network.stages[branch.stage].stage
    shape = (first.in_shape, *first.other_shapes)[branch.side]
    last = next(placed.stage for placed in network.stages if placed.output == network.output)
    return (
        PortShape.of(shape, first.timing.sides[branch.side].lanes_in, packed=packed),
        PortShape.of(last.out_shape, last.lanes_out, packed=packed),
    )


def _comment(graph: Graph, planned: StagePlan) -> str:
    stage = planned.stage
    if isinstance(stage, LanesStage):
        return f"{stage.n_out} elements, {stage.lanes_in} a beat in, {stage.lanes_out} a beat out"
    what = (
        f"one datapath, {stage.multipliers or 'no'} multipliers"
        if planned.tile is None and not planned.digits
        else f"adders that take {digit_words(planned.digits)}, {stage.multipliers or 'no'} multipliers"
        if planned.digits
        else f"tile of {tile_words(planned.tile)}, {stage.multipliers} multipliers, reuse {planned.reuse}"
    )
    nodes = " -> ".join(stage.operators)
    elements = " + ".join(str(side.n) for side in stage.timing.sides)
    return f"{nodes}: {elements} -> {stage.n_out} elements, {what}"


def _frames_in_flight(plan: Plan) -> int:
    """Most frames inside at once: each stage holds two in its store, one in its adapter, more in buffers and FIFO."""
    frames = 2 + sum(-(-fifo.depth // plan.network.beats(fifo.branch.tensor)) + 1 for fifo in plan.fifos)
    for planned in plan.stages:
        timing = planned.stage.timing
        in_pipeline = timing.depth // max(1, planned.interval) + 1
        frame_bits = planned.stage.n_in * planned.stage.in_shape.width
        buffered = -(-planned.stage.memory_bits.get("line buffer", 0) // max(1, frame_bits))
        frames += 3 + buffered + in_pipeline + -(-(timing.slots or 0) // timing.beats_out)
    return frames


def _loads(plan: Plan, name: str) -> dict[str, Any] | None:
    """What the core's template needs for the port that loads weights."""
    stages = writable.stages_with_tables(plan)
    if not stages:
        return None
    return {
        "address_bits": writable.address_bits(plan),
        "module": f"{name}_load",
        "instances": [f"stage_{index}" for index in stages],
    }


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
    wired = wire(name, plan.network)
    loads = _loads(plan, name)
    stages, texts = [], {}
    # Yosys writes one stage, in a process of its own, while the next is elaborated here.
    with ThreadPoolExecutor(max_workers=1) as writer:
        for index, planned in enumerate(plan.stages):
            if progress is not None:
                progress(planned.stage.name)
            module = module_name(name, plan.network, index)
            comment = _comment(graph, planned)
            rtlil = to_rtlil(planned.stage.component(), module)
            texts[f"{module}.v"] = writer.submit(to_verilog, rtlil, f"{module}\n{comment}")
            stages.append({"module": module, "comment": comment})
        for module, (build, comment) in wired.parts.items():
            texts[f"{module}.v"] = writer.submit(to_verilog, to_rtlil(build(), module), f"{module}\n{comment}")
        if loads is not None:
            port = WeightControl(
                writable.address_bits(plan), plan.network.beats(plan.network.input), len(loads["instances"])
            )
            comment = f"{loads['module']}\nthe port that loads weights"
            texts[f"{loads['module']}.v"] = writer.submit(to_verilog, to_rtlil(port, loads["module"]), comment)
        files = {file: text.result() for file, text in texts.items()}
    common = {"name": name, "version": rtl4ml.__version__, "latency": plan.latency, "interval": plan.interval}
    core = render(
        "core.v.j2",
        **common,
        in_width=i.lanes * i.bits,
        out_width=o.lanes * o.bits,
        backpressure=plan.settings.backpressure,
        stages=stages,
        wired=wired,
        loads=loads,
    )
    wrapper = render(
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
        load_address_bits=writable.address_bits(plan),
    )
    return {f"{name}.v": wrapper, f"{name}_core.v": core, **files}
