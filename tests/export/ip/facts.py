"""Facts of an IP for graphs that have no design, and of designs."""

from dataclasses import asdict, replace

from rtl4ml.export.ip import registers
from rtl4ml.export.ip.facts import IpFacts
from rtl4ml.formats import width_of
from rtl4ml.simulation.ports import axis_ports
from tests.export.ip.graphs import inputs


def facts_of_graph(graph, name, frames=24):
    """An IP with AXI4-Stream whose hardware is missing: enough for the software."""
    i, o = graph.input_tensor, graph.output_tensor

    def evaluate(codes):
        return graph.evaluate(codes)[graph.output]

    (in_bits, in_signed), (out_bits, out_signed) = width_of(*i.range), width_of(*o.range)
    slots = [next(s for s in (8, 16, 32, 64) if s >= bits) for bits in (in_bits, out_bits)]
    ports = axis_ports(
        n_in=i.size, lanes_in=3, in_bits=in_bits, in_signed=in_signed, in_slot=slots[0],
        n_out=o.size, lanes_out=2, out_bits=out_bits, out_signed=out_signed, out_slot=slots[1],
    )  # fmt: skip
    sides = {
        side: {
            "tensor": t.name, "shape": list(t.shape), "elements": t.size, "lanes": port.lanes, "beats": port.beats,
            "element_bits": port.bits, "element_signed": port.signed, "slot_bits": port.slot,
            "element_coding": "integer", "order": None,
            "format": {"bits": t.format.bits, "scale": 0.25, "zero_point": 0},
        }
        for side, t, port in (("input", i, ports.i), ("output", o, ports.o))
    }  # fmt: skip
    metadata = {
        "name": name, "network": graph.name, "rtl4ml": "0.0.0", "interface": "axi4-stream", "files": [f"rtl/{name}.v"],
        "clock_mhz": 200.0, "latency_cycles": 9, "interval_cycles": 4, "multipliers": 1, "multiplications": 2,
        "source": {}, "host": {"prologue": [], "epilogue": []}, "plan": {"stages": []}, "weight_port": None, **sides,
        "resources": None, "control": registers.describe(name, loads=False),
    }  # fmt: skip
    codes = inputs(graph, frames)
    return IpFacts(graph, metadata, asdict(ports), codes, evaluate(codes), evaluate)


def renamed(facts, name):
    """The same IP under another name."""
    return replace(facts, metadata=dict(facts.metadata) | {"name": name})
