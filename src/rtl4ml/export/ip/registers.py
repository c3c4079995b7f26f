"""The registers of NAME_axil, the AXI4-Lite wrapper: their map for metadata and datasheet, and its ports."""

from dataclasses import asdict, dataclass
from typing import Any

from rtl4ml.export.ip.ports import Port

ADDRESS_BITS = 6


@dataclass(frozen=True)
class Register:
    """A word of 32 bits: its offset in bytes, name, "r", "w" or "rw", and what its bits are."""

    offset: int
    name: str
    access: str
    bits: str


CONTROL = (
    Register(
        0x00,
        "control",
        "rw",
        "0 start: frames pass; 1 done: a frame left, cleared by reading; 2 idle: no frame inside, none may enter; "
        "3 ready: a frame was taken, cleared by reading; 7 auto restart: all frames pass, not one",
    ),
    Register(0x04, "gier", "rw", "0 interrupts reach the pin"),
    Register(0x08, "ier", "rw", "0 done, 1 ready"),
    Register(0x0C, "isr", "rw", "0 done, 1 ready, where enabled; a written 1 toggles"),
    Register(0x10, "status", "r", "0 error: an input tlast came in the wrong place; until reset"),
    Register(0x14, "frames", "r", "frames that left since reset"),
)
LOADING = (
    Register(0x20, "address", "rw", "of the next word of weights; counts up with each"),
    Register(0x24, "word", "w", "writing loads it; the answer waits until it is taken"),
    Register(
        0x28,
        "commit",
        "rw",
        "writing puts the loaded words to use for frames that enter later; 0 when read while that is on its way",
    ),
)


def registers(*, loads: bool) -> tuple[Register, ...]:
    """All registers; those that load weights where there is a port for them."""
    return CONTROL + (LOADING if loads else ())


def describe(name: str, *, loads: bool) -> dict[str, Any]:
    """What metadata.json says of the wrapper."""
    return {
        "interface": "axi4-lite",
        "top": f"{name}_axil",
        "file": f"axi_lite/{name}_axil.v",
        "address_bits": ADDRESS_BITS,
        "registers": [asdict(register) for register in registers(loads=loads)],
    }


def axil_ports(ports: tuple[Port, ...], load: list[str]) -> tuple[Port, ...]:
    """Ports of the wrapper in its order.

    Args:
        ports: of the core that it stands around.
        load: names of the core's ports that load weights, which the registers drive.
    """
    kept = [port for port in ports if port.name not in load]
    bus = (
        Port("input", "s_axi_awaddr", ADDRESS_BITS, "address of a write, in bytes"),
        Port("input", "s_axi_awprot", 3, "ignored"),
        Port("input", "s_axi_awvalid", 1, "it is offered"),
        Port("output", "s_axi_awready", 1, "it is taken"),
        Port("input", "s_axi_wdata", 32, "word to be written"),
        Port("input", "s_axi_wstrb", 4, "bytes that are written: all, or none"),
        Port("input", "s_axi_wvalid", 1, "it is offered"),
        Port("output", "s_axi_wready", 1, "it is taken"),
        Port("output", "s_axi_bresp", 2, "always OKAY"),
        Port("output", "s_axi_bvalid", 1, "the write is done"),
        Port("input", "s_axi_bready", 1, "the answer is taken"),
        Port("input", "s_axi_araddr", ADDRESS_BITS, "address of a read, in bytes"),
        Port("input", "s_axi_arprot", 3, "ignored"),
        Port("input", "s_axi_arvalid", 1, "it is offered"),
        Port("output", "s_axi_arready", 1, "it is taken"),
        Port("output", "s_axi_rdata", 32, "word that was read"),
        Port("output", "s_axi_rresp", 2, "always OKAY"),
        Port("output", "s_axi_rvalid", 1, "it is offered"),
        Port("input", "s_axi_rready", 1, "it is taken"),
    )
    interrupt = Port("output", "irq", 1, "interrupt, high until isr is cleared")
    return (*kept[:2], *bus, *kept[2:-1], interrupt, kept[-1])
