"""All files of an IP beside its Verilog and metadata.json."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rtl4ml import resources
from rtl4ml.export.ip.cpp import border_facts, cpp_model
from rtl4ml.export.ip.facts import IpFacts
from rtl4ml.export.ip.graph_json import graph_json
from rtl4ml.export.ip.ports import Port
from rtl4ml.export.ip.readme import readme
from rtl4ml.export.ip.vectors import archive, beats, bench_arrays, hex_words, lines
from rtl4ml.export.templates import render

PARTS = {"vivado": "xc7z020clg400-1", "quartus": "10CX220YF780I5G", "quartus_family": "Cyclone 10 GX"}
"""What scripts build for unless told: boards that many have; the Quartus part needs no licence."""

SYNTHESES = {"": "synth", "xilinx": "synth_xilinx -family xc7 -flatten", "ecp5": "synth_ecp5", "ice40": "synth_ice40"}
RUNS = 3
BENCH_SCHEMA = 1


def ip_files(facts: IpFacts) -> dict[str, str | bytes]:
    """Content of every file by its path in the IP's folder; the same bytes for the same facts.

    Raises:
        ModelError: the graph has an operator that the software twins do not know.
    """
    name, common = facts.name, _common(facts)
    files: dict[str, str | bytes] = {"README.md": readme(facts)}
    templates = {
        f"{name}.core": "core.j2",
        "filelist.f": "filelist.f.j2",
        f"constraints/{name}.xdc": "constraints.xdc.j2",
        f"constraints/{name}.sdc": "constraints.sdc.j2",
        "lint.vlt": "lint.vlt.j2",
        "LICENSE": "LICENSE.j2",
        "vivado/synth_ooc.tcl": "vendor/synth_ooc.tcl.j2",
        "quartus/synth.tcl": "vendor/quartus_synth.tcl.j2",
        f"litex/{name}_litex.py": "litex.py.j2",
        "sim/Makefile": "sim/Makefile.j2",
        "sim/cocotb/run.py": "sim/run.py.j2",
    }
    files |= {path: render(f"ip/{template}", **common) for path, template in templates.items()}
    if facts.control:
        files[f"axi_lite/{name}_axil.v"] = registers_verilog(facts)
    if facts.streaming:
        drivers = driver_files(facts, bitfile="design.bit", dma="axi_dma_0", block=f"{name}_axil_0")
        files |= {f"driver/{file}": text for file, text in drivers.items()}
    for top in _tops(facts):
        values = common | {"top": top.name, "top_ports": top.ports, "top_vectors": top.vectors, "sources": top.sources}
        files |= {
            f"{top.folder}{top.name}_inst.v": render("ip/inst.v.j2", **values),
            f"{top.folder}{top.name}.vhd": render("ip/component.vhd.j2", **values),
            f"vivado/{top.script}": render("ip/vendor/package_ip.tcl.j2", **values, script=top.script),
            f"quartus/{top.name}_hw.tcl": render("ip/vendor/hw.tcl.j2", **values),
        }
    for family, command in SYNTHESES.items():
        script = f"synth_{family}.ys" if family else "synth.ys"
        files[f"yosys/{script}"] = render(
            "ip/vendor/synth.ys.j2", **common, family=family, script=script, command=command
        )
    files |= {f"model/{file}": text for file, text in model_files(facts).items()}
    files[f"model/{name}.hpp"] = render("ip/model/model.hpp.j2", **common, cpp=cpp_model(facts.graph))
    return files | _benches(facts, common)


def driver_files(facts: IpFacts, *, bitfile: str, dma: str, block: str) -> dict[str, str]:
    """The drivers for bare metal and PYNQ by file name.

    Args:
        facts: of an IP with AXI4-Stream.
        bitfile: a bitstream, for an example.
        dma: name of the AXI DMA in the design that PYNQ loads.
        block: name of the core in it, where it has registers.
    """
    variables = _common(facts) | {"bitfile": bitfile, "dma": dma, "block": block}
    files = {f"{facts.name}_driver.h": "driver.h.j2", f"{facts.name}_pynq.py": "pynq.py.j2"}
    return {file: render(f"ip/driver/{template}", **variables) for file, template in files.items()}


def registers_verilog(facts: IpFacts) -> str:
    """Verilog of `NAME_axil`: the AXI4-Stream wrapper behind registers."""
    return render("ip/axil.v.j2", **_common(facts))


def model_files(facts: IpFacts) -> dict[str, str]:
    """The model in Python by file name: what a PYNQ driver needs beside it."""
    return {
        "reference.py": render("ip/model/reference.py.j2", **_common(facts)),
        "graph.json": graph_json(facts.graph, facts.name, facts.metadata["rtl4ml"]),
    }


def _common(facts: IpFacts) -> dict[str, object]:
    """Variables of all templates."""
    name, version = facts.name, facts.metadata["rtl4ml"]
    return facts.common() | {
        "parts": PARTS,
        "vectors": {facts.input.data, facts.output.data, *facts.load[3:]},
        "ip_version": ".".join(version.split(".")[:2]),
        "core_name": f"rtl4ml:ip:{name}:{version}",
        "load_bits": facts.metadata["weight_port"]["address_bits"] if facts.load else 0,
        "count_bits": max(1, (facts.input.beats - 1).bit_length()),
        "half_ns": f"{500 / facts.metadata['clock_mhz']:.3f}",
        "namespace": f"rtl4ml_{name}",
        "border": border_facts(facts.graph),
        "wide": max(facts.graph.input_tensor.range[1], facts.graph.output_tensor.range[1]) >= 1 << 31,
    }


@dataclass(frozen=True)
class _Top:
    """A module that others may instantiate: its name, the folder of its templates, its ports, Verilog, and script."""

    name: str
    folder: str
    ports: tuple[Port, ...]
    vectors: set[str]
    sources: list[str]
    script: str


def _tops(facts: IpFacts) -> Iterator[_Top]:
    name, streams = facts.name, {facts.input.data, facts.output.data}
    yield _Top(name, "", facts.port_list, {*streams, *facts.load[3:]}, facts.verilog, "package_ip.tcl")
    if facts.control:
        ports = facts.axil_port_list
        words = {port.name for port in ports if port.name.startswith("s_axi_") and port.width > 1}
        sources = [*facts.verilog, f"axi_lite/{name}_axil.v"]
        yield _Top(f"{name}_axil", "axi_lite/", ports, words | streams, sources, "package_axil.tcl")


def _benches(facts: IpFacts, common: Mapping[str, object]) -> dict[str, str | bytes]:
    name, frames = facts.name, len(facts.codes)
    latency, interval = facts.metadata["latency_cycles"], facts.metadata["interval_cycles"]
    pace = max(interval, facts.input.beats, facts.output.beats)
    plain = {
        f"sim/{top.name}_tb.v": render(
            "ip/sim/bench.v.j2",
            **common,
            top=top.name,
            top_ports=top.ports,
            frames=frames,
            runs=RUNS,
            patience=1000 + 10 * (latency + frames * (pace + 16)),
            drain=latency + 32,
        )
        for top in _tops(facts)
    }
    description = {
        "schema": BENCH_SCHEMA,
        "top": name,
        "latency": latency,
        "interval": interval,
        "ports": facts.ports,
        "vectors": "../vectors.npz",
    }
    protocol = "test_axis.py" if facts.streaming else "test_pipeline.py"
    shared = {
        f"sim/cocotb/{file}": resources.path("sim", "cocotb", file).read_text(encoding="utf-8")
        for file in ("bench.py", protocol)
    }
    return {
        **plain,
        f"sim/{name}_tb_in.hex": hex_words(beats(facts.input, facts.codes, unused=1), facts.input.width),
        f"sim/{name}_tb_out.hex": hex_words(beats(facts.output, facts.outputs, unused=0), facts.output.width),
        "sim/input_codes.txt": lines(facts.codes),
        "sim/output_codes.txt": lines(facts.outputs),
        "sim/vectors.npz": archive(bench_arrays(facts)),
        "sim/cocotb/bench.json": json.dumps(description, indent=2) + "\n",
        **shared,
    }
