"""What the files of an IP are written from."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rtl4ml.export.ip.ports import Port
from rtl4ml.export.ip.registers import axil_ports
from rtl4ml.formats import Codes
from rtl4ml.graph import Graph


@dataclass(frozen=True)
class Stream:
    """One side of an IP.

    Parameters:
        elements: of a tensor.
        lanes: elements a beat; lane 0 stands in the low bits.
        bits: of an element.
        signed: whether its bits are a two's complement number.
        slot: bits that an element takes in the data port.
        bipolar: a bit of 0 is code -1, a bit of 1 is code +1.
        data: name of the data port; valid, ready, last, user likewise, None where there is none.
    """

    elements: int
    lanes: int
    bits: int
    signed: bool
    slot: int
    bipolar: bool
    data: str
    valid: str
    ready: str | None
    last: str | None
    user: str | None

    @property
    def beats(self) -> int:
        """Beats of a frame."""
        return -(-self.elements // self.lanes)

    @property
    def width(self) -> int:
        """Bits of the data port."""
        return self.lanes * self.slot

    def wires(self, codes: Codes) -> Codes:
        """Numbers on the wires for codes of any shape."""
        return (codes + 1) // 2 if self.bipolar else codes

    def codes(self, wires: Codes) -> Codes:
        """Codes for numbers on the wires, of any shape."""
        return 2 * wires - 1 if self.bipolar else wires


@dataclass(frozen=True, eq=False)
class IpFacts:
    """An IP as its files need to know it.

    Parameters:
        graph: what is computed.
        metadata: content of metadata.json.
        ports: of the wrapper, as plain types: clock, reset, reset_level, error, load, i, o.
        codes: int64 (frames, n_in), input codes of the benches; 4 frames or more.
        outputs: int64 (frames, n_out), codes that they give.
        evaluate: output codes for input codes: for frames that end early, whose rest is filled.
    """

    graph: Graph
    metadata: Mapping[str, Any]
    ports: Mapping[str, Any]
    codes: Codes
    outputs: Codes
    evaluate: Callable[[Codes], Codes]

    @property
    def name(self) -> str:
        """Of the IP."""
        return str(self.metadata["name"])

    @property
    def streaming(self) -> bool:
        """AXI4-Stream; else the free-running pipeline."""
        return bool(self.metadata["interface"] == "axi4-stream")

    @property
    def control(self) -> bool:
        """Whether registers on AXI4-Lite were asked for."""
        return self.metadata["control"] is not None

    @property
    def load(self) -> list[str]:
        """Names of the ports that load weights: valid, ready, commit, address, data; none where weights are fixed."""
        return list(self.ports["load"].values()) if self.ports["load"] else []

    @cached_property
    def input(self) -> Stream:
        """The input side."""
        return self._stream("i", "input")

    @cached_property
    def output(self) -> Stream:
        """The output side."""
        return self._stream("o", "output")

    def _stream(self, port: str, side: str) -> Stream:
        return Stream(**self.ports[port], bipolar=self.metadata[side]["element_coding"] == "bipolar")

    @property
    def verilog(self) -> list[str]:
        """Verilog files relative to the IP's folder, the wrapper first."""
        return list(self.metadata["files"])

    @cached_property
    def port_list(self) -> tuple[Port, ...]:
        """All ports in the wrapper's order."""
        i, o, ports = self.input, self.output, self.ports
        level = "high" if ports["reset_level"] else "low"
        found = [
            Port("input", ports["clock"], 1, "clock, rising edge"),
            Port("input", ports["reset"], 1, f"synchronous reset, active {level}"),
        ]
        sides = (("input", "output", i), ("output", "input", o))
        for direction, opposite, stream in sides:
            what = "input" if stream is i else "output"
            data = Port(direction, stream.data, stream.width, f"{stream.lanes} elements of the {what} tensor")
            valid = Port(direction, stream.valid, 1, "a beat is offered")
            found += [data, valid] if stream.ready else [valid, data]
            if stream.ready:
                found.append(Port(opposite, stream.ready, 1, "the beat is taken"))
            if stream.last:
                purpose = "last beat of a frame; may be tied low" if stream is i else "last beat of every output tensor"
                found.append(Port(direction, stream.last, 1, purpose))
            if stream.user:
                found.append(Port(direction, stream.user, 1, "on the last beat: this frame's input ended early"))
        load = ports["load"]
        if load:
            found += [
                Port("input", load["valid"], 1, "a word or a commit is offered"),
                Port("output", load["ready"], 1, "it is taken"),
                Port("input", load["commit"], 1, "what was written holds from the next frame on"),
                Port("input", load["address"], self.metadata["weight_port"]["address_bits"], "address of the word"),
                Port("input", load["data"], 32, "the word"),
            ]
        found.append(Port("output", ports["error"], 1, "sticky until reset: an input came at a wrong place or time"))
        return tuple(found)

    @cached_property
    def axil_port_list(self) -> tuple[Port, ...]:
        """All ports of the AXI4-Lite wrapper in its order."""
        return axil_ports(self.port_list, self.load)

    @property
    def period_ns(self) -> str:
        """Clock period in ns, as constraint files write it."""
        return f"{1000 / self.metadata['clock_mhz']:.3f}"

    def common(self) -> dict[str, Any]:
        """Variables that every template may use."""
        return {
            "name": self.name,
            "version": self.metadata["rtl4ml"],
            "network": plain(str(self.metadata["network"])),
            "streaming": self.streaming,
            "control": self.control,
            "load": self.load,
            "latency": self.metadata["latency_cycles"],
            "interval": self.metadata["interval_cycles"],
            "clock_mhz": self.metadata["clock_mhz"],
            "period_ns": self.period_ns,
            "verilog": self.verilog,
            "ports": self.port_list,
            "clock": self.ports["clock"],
            "reset": self.ports["reset"],
            "reset_level": self.ports["reset_level"],
            "error": self.ports["error"],
            "i": self.input,
            "o": self.output,
            "metadata": self.metadata,
        }


def plain(text: str) -> str:
    """A name from a file as printable ASCII that ends no comment and breaks no line."""
    return re.sub(r"[^A-Za-z0-9_.,:/<>()=+ -]|\*/|\?\?", "_", text)
