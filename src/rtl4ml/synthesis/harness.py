"""What stands around a netlist for place and route, so that its timing is between registers and not between pads.

nextpnr times what lies between registers, and a part has fewer pins than a stream of a whole tensor has bits. Each
input bit comes from a flip-flop, and these are a shift register behind one pin; each output bit goes into a flip-flop
whose output leads nowhere. The netlist itself is not touched, and no table is added to it: what was counted before is
what is timed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Cell, its clock, data input and output, and what else it must be told.
_FLIP_FLOPS: Mapping[str, tuple[str, str, str, str, Mapping[str, str]]] = {
    "ecp5": (
        "TRELLIS_FF",
        "CLK",
        "DI",
        "Q",
        # The blank says that this 1 is text: Yosys writes numbers as binary digits.
        {"GSR": "DISABLED", "CEMUX": "1 ", "CLKMUX": "CLK", "LSRMUX": "LSR", "REGSET": "RESET"},
    ),
    "ice40": ("SB_DFF", "C", "D", "Q", {}),
}
PREFIX = "harness_"
"""Names of the harness' cells begin with this."""


@dataclass(frozen=True)
class Harnessed:
    """A netlist with its harness.

    Parameters:
        text: Yosys' JSON.
        flip_flops: how many of the harness' are in it.
    """

    text: str
    flip_flops: int


def with_harness(netlist: str, top: str, clock: str, family: str) -> Harnessed:
    """Put a flip-flop at every port of a mapped netlist.

    Args:
        netlist: Yosys' JSON.
        top: name of the module.
        clock: name of its clock; a module without such a port gets one.
        family: "ecp5" or "ice40".
    """
    design = json.loads(netlist)
    module = design["modules"][top]
    # Blocks that only describe the family's cells have no business here.
    design["modules"] = {top: module}
    cells: dict[str, Any] = module["cells"]
    kind, clock_pin, data_pin, output_pin, parameters = _FLIP_FLOPS[family]
    read = {
        bit
        for cell in cells.values()
        for pin, bits in cell["connections"].items()
        if cell.get("port_directions", {}).get(pin) != "output"
        for bit in bits
    }
    ports = module["ports"]
    outgoing = [bit for port in ports.values() if port["direction"] == "output" for bit in port["bits"]]
    read.update(outgoing)
    free = 1 + max((bit for bit in _numbers(module) if isinstance(bit, int)), default=1)
    if clock in ports:
        clock_bit = ports[clock]["bits"][0]
    else:
        clock_bit, free = free, free + 1
    serial, free = free, free + 1
    previous, added = serial, 0

    def register(data: object, output: object) -> None:
        nonlocal added
        cells[f"{PREFIX}{added}"] = {
            "hide_name": 0,
            "type": kind,
            "parameters": dict(parameters),
            "attributes": {"keep": "1"},
            "port_directions": {clock_pin: "input", data_pin: "input", output_pin: "output"},
            "connections": {clock_pin: [clock_bit], data_pin: [data], output_pin: [output]},
        }
        added += 1

    for name, port in ports.items():
        if port["direction"] == "input" and name != clock:
            for bit in port["bits"]:
                if bit in read:
                    register(previous, bit)
                    previous = bit
    for bit in outgoing:
        if isinstance(bit, int):  # the others are constants
            register(bit, free)
            free += 1
    module["ports"] = {
        clock: {"direction": "input", "bits": [clock_bit]},
        f"{PREFIX}serial": {"direction": "input", "bits": [serial]},
    }
    module["netnames"] = {
        name: net for name, net in module["netnames"].items() if name not in ports or name == clock
    } | {f"{PREFIX}serial": {"hide_name": 0, "bits": [serial], "attributes": {}}}
    return Harnessed(json.dumps(design, separators=(",", ":")), added)


def _numbers(module: Mapping[str, Any]) -> set[object]:
    """Numbers of all nets."""
    bits = {bit for cell in module["cells"].values() for pins in cell["connections"].values() for bit in pins}
    return bits | {bit for port in module["ports"].values() for bit in port["bits"]}
