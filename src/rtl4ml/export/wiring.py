"""Names for the streams of a network and the modules on them: what the core's template writes down."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from amaranth.hdl import unsigned
from amaranth.lib import wiring

from rtl4ml.hdl.fifo import Fifo
from rtl4ml.hdl.fork import Fork
from rtl4ml.planning.network import Branch, Network
from rtl4ml.stages.base import input_name

Build = Callable[[], wiring.Component]


@dataclass(frozen=True)
class Wire:
    """A stream.

    Parameters:
        name: prefix of its three wires: valid, ready, payload.
        width: bits of the payload.
        comment: where it comes from.
    """

    name: str
    width: int
    comment: str


@dataclass(frozen=True)
class Instance:
    """A module in its place.

    Parameters:
        module: its name.
        name: of the instance.
        ports: prefix of the module's port and name of the wire, for each stream.
    """

    module: str
    name: str
    ports: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Wiring:
    """A core's streams and modules.

    Parameters:
        wires: all streams.
        instances: stages, forks and FIFOs.
        parts: forks and FIFOs to be written, by module name: what builds each, and a comment.
        first: name of the wire that comes in.
        last: name of the wire that goes out.
    """

    wires: tuple[Wire, ...]
    instances: tuple[Instance, ...]
    parts: dict[str, tuple[Build, str]]
    first: str
    last: str


def module_name(name: str, network: Network, index: int) -> str:
    """Module of a stage."""
    return f"{name}_s{index}_{network.stages[index].stage.name}"


def wire(name: str, network: Network) -> Wiring:
    """Lay out a network.

    Args:
        name: of the IP; modules start with it.
        network: what is connected.
    """
    wires: list[Wire] = []
    instances: list[Instance] = []
    parts: dict[str, tuple[Build, str]] = {}
    ends: dict[Branch, str] = {}
    names = {tensor: f"s{index}" for index, tensor in enumerate(network.tensors)}
    for tensor, own in names.items():
        width = network.width(tensor)
        wires.append(Wire(own, width, "input" if tensor == network.input else tensor))
        consumers = network.consumers(tensor)
        if len(consumers) == 1:
            ends[consumers[0]] = own
            continue
        module = f"{name}_fork_{len(consumers)}x{width}"
        parts[module] = (partial(Fork, unsigned(width), 1, len(consumers)), f"one stream to {len(consumers)} consumers")
        outputs = [f"{own}_b{k}" for k in range(len(consumers))]
        wires += [Wire(output, width, "") for output in outputs]
        ports = (("i", own), *((f"o{k}", output) for k, output in enumerate(outputs)))
        instances.append(Instance(module, f"fork_{own}", ports))
        for branch, output in zip(consumers, outputs, strict=True):
            ends[branch] = output
            depth = network.fifos.get(branch, 0)
            if depth:
                module = f"{name}_fifo_{depth}x{width}"
                parts[module] = (partial(Fifo, unsigned(width), 1, depth), f"{depth} beats of {width} bits, in order")
                ends[branch] = f"{output}_late"
                wires.append(Wire(ends[branch], width, ""))
                instances.append(Instance(module, f"fifo_{output}", (("i", output), ("o", ends[branch]))))
    instances += _stages(name, network, names, ends)
    return Wiring(tuple(wires), tuple(instances), parts, names[network.input], ends[Branch(network.output, None, 0)])


def _stages(name: str, network: Network, names: dict[str, str], ends: dict[Branch, str]) -> Iterator[Instance]:
    for index, placed in enumerate(network.stages):
        inputs = ((input_name(side), ends[Branch(tensor, index, side)]) for side, tensor in enumerate(placed.inputs))
        ports = (*inputs, ("o", names[placed.output]))
        yield Instance(module_name(name, network, index), f"stage_{index}", ports)
