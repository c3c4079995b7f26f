"""The structure of a plan: everything that its export would hold, counted without writing it."""

from collections import Counter
from dataclasses import replace

from amaranth.hdl import unsigned
from amaranth.lib import wiring
from amaranth.utils import ceil_log2

from rtl4ml.datapath.pipeline import Pipeline
from rtl4ml.datapath.words import Datapath
from rtl4ml.hdl.fifo import Fifo
from rtl4ml.hdl.fork import Fork
from rtl4ml.hdl.frame_store import is_stored
from rtl4ml.hdl.mac_plan import MacPlan
from rtl4ml.hdl.weight_control import WeightControl
from rtl4ml.hdl.window_plan import WindowPlan
from rtl4ml.planning import writable
from rtl4ml.planning.estimates.fmax import Surroundings
from rtl4ml.planning.estimates.hardware import count_component
from rtl4ml.planning.estimates.primitives import Memory, Register, Structure
from rtl4ml.planning.estimates.wrapper import count_gate, count_wrapper
from rtl4ml.planning.network import Network
from rtl4ml.planning.plan import Plan
from rtl4ml.stages.base import Stage
from rtl4ml.stages.conv import ConvStage
from rtl4ml.stages.dense import DenseStage
from rtl4ml.stages.sparse_conv import SparseConvStage
from rtl4ml.stages.timing import Side

Cut = tuple[Datapath, Pipeline]


def structure_of(plan: Plan) -> tuple[Structure, list[Cut]]:
    """Primitives of a plan's hardware, and the datapaths in it."""
    structure: Structure = Counter()
    cuts: list[Cut] = []
    for component in _components(plan):
        cuts += count_component(structure, component)
    _merge_registers(structure, plan.network)
    network = plan.network
    beats_in, beats_out = (network.beats(name) for name in (network.input, network.output))
    if plan.settings.backpressure:
        count_wrapper(structure, beats_in, beats_out, network.width(network.input), _frames(plan))
    else:
        count_gate(structure, plan.interval)
    return structure, cuts


def surroundings_of(plan: Plan) -> Surroundings:
    """What stands around a plan's datapaths."""
    parts = [getattr(planned.stage, "plan", None) for planned in plan.stages]
    windows = [part for part in parts if isinstance(part, WindowPlan)]
    windows += [planned.stage.words.window for planned in plan.stages if isinstance(planned.stage, ConvStage)]
    windows += [planned.stage.reads.window for planned in plan.stages if isinstance(planned.stage, SparseConvStage)]
    macs = [part for part in parts if isinstance(part, MacPlan)]
    return Surroundings(
        from_memory=any(mac.has_multipliers and not mac.operand_register for mac in macs),
        window_bits=max((ceil_log2(window.ring) + 2 for window in windows), default=0),
        stored=any(is_stored(mac.words, mac.groups) for mac in macs),
        handshake=plan.settings.backpressure,
        sums=tuple((mac.trees, mac.sum_register) for mac in macs if mac.words > 1),
    )


def _merge_registers(structure: Structure, network: Network) -> None:
    """FIFOs whose words go into registers and nowhere else: Yosys takes these for the register of the memory."""
    makers = {placed.output: placed.stage for placed in network.stages}
    for placed in network.stages:
        for name, side in zip(placed.inputs, placed.stage.timing.sides, strict=True):
            maker = makers.get(name)
            slots = 0 if maker is None else maker.timing.slots or 0
            if maker is None or slots < 2 or len(network.consumers(name)) > 1 or not _registers(placed.stage, side):
                continue
            width = maker.lanes_out * maker.out_shape.width
            plain = Memory(1 << (slots - 1).bit_length(), width, 1, registered=False, contents=None)
            if structure[plain]:
                structure[plain] -= 1
                structure[replace(plain, registered=True)] += 1
                structure[Register(1, control=True)] -= width


def _registers(stage: Stage, side: Side) -> bool:
    """Whether a stage has nothing but a register behind a stream.

    An adapter has where a frame is one word, which beats are shifted into; a matrix without one, where it holds one
    word at a time.
    """
    if side.lanes_in != side.lanes:
        return side.words == 1
    if not isinstance(stage, DenseStage) or not isinstance(stage.plan, MacPlan):
        return False
    return not is_stored(stage.plan.words, stage.plan.groups)


def _components(plan: Plan) -> list[wiring.Component]:
    network = plan.network
    found = [placed.stage.component() for placed in network.stages]
    for tensor in network.tensors:
        branches = network.consumers(tensor)
        if len(branches) > 1:
            width = unsigned(network.width(tensor))
            found.append(Fork(width, 1, len(branches)))
            found += [Fifo(width, 1, depth) for branch in branches if (depth := network.fifos.get(branch))]
    loads = writable.stages_with_tables(plan)
    if loads:
        found.append(WeightControl(writable.address_bits(plan), network.beats(network.input), len(loads)))
    return found


def _frames(plan: Plan) -> int:
    """About as many frames as can be inside at once, which the wrapper remembers a flag of."""
    frames = 2
    for planned in plan.stages:
        timing = planned.stage.timing
        frames += 3 + timing.depth // max(1, planned.interval) + 1 + -(-(timing.slots or 0) // timing.beats_out)
    return frames
