"""All files of an IP beside its Verilog and metadata.json."""

import json
from collections.abc import Mapping

from rtl4ml import resources
from rtl4ml.export.ip.cpp import border_facts, cpp_model
from rtl4ml.export.ip.facts import IpFacts
from rtl4ml.export.ip.graph_json import graph_json
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
    name = facts.name
    version = ".".join(facts.metadata["rtl4ml"].split(".")[:2])
    load = list(facts.ports["load"].values()) if facts.ports["load"] else []
    vectors = {facts.input.data, facts.output.data, *load[3:]}
    common = facts.common() | {
        "parts": PARTS,
        "load": load,
        "vectors": vectors,
        "ip_version": version,
        "core_name": f"rtl4ml:ip:{name}:{facts.metadata['rtl4ml']}",
        "load_bits": facts.metadata["weight_port"]["address_bits"] if load else 0,
        "count_bits": max(1, (facts.input.beats - 1).bit_length()),
        "half_ns": f"{500 / facts.metadata['clock_mhz']:.3f}",
        "namespace": f"rtl4ml_{name}",
        "border": border_facts(facts.graph),
        "wide": max(facts.graph.input_tensor.range[1], facts.graph.output_tensor.range[1]) >= 1 << 31,
    }
    files: dict[str, str | bytes] = {"README.md": readme(facts)}
    templates = {
        f"{name}.core": "core.j2",
        "filelist.f": "filelist.f.j2",
        f"{name}_inst.v": "inst.v.j2",
        f"{name}.vhd": "component.vhd.j2",
        f"constraints/{name}.xdc": "constraints.xdc.j2",
        f"constraints/{name}.sdc": "constraints.sdc.j2",
        "lint.vlt": "lint.vlt.j2",
        "LICENSE": "LICENSE.j2",
        "vivado/synth_ooc.tcl": "vendor/synth_ooc.tcl.j2",
        "quartus/synth.tcl": "vendor/quartus_synth.tcl.j2",
        f"quartus/{name}_hw.tcl": "vendor/hw.tcl.j2",
        "sim/Makefile": "sim/Makefile.j2",
        "sim/cocotb/run.py": "sim/run.py.j2",
        "model/reference.py": "model/reference.py.j2",
    }
    if facts.streaming:
        templates |= {
            f"axi_lite/{name}_axil.v": "axil.v.j2",
            f"driver/{name}_driver.h": "driver/driver.h.j2",
            f"driver/{name}_pynq.py": "driver/pynq.py.j2",
        }
    files |= {path: render(f"ip/{template}", **common) for path, template in templates.items()}
    tops = {name: ("package_ip.tcl", facts.verilog)}
    if facts.streaming:
        tops[f"{name}_axil"] = ("package_axil.tcl", [*facts.verilog, f"axi_lite/{name}_axil.v"])
    for top, (script, sources) in tops.items():
        files[f"vivado/{script}"] = render(
            "ip/vendor/package_ip.tcl.j2", **common, top=top, script=script, sources=sources
        )
    for family, command in SYNTHESES.items():
        script = f"synth_{family}.ys" if family else "synth.ys"
        files[f"yosys/{script}"] = render(
            "ip/vendor/synth.ys.j2", **common, family=family, script=script, command=command
        )
    files["model/graph.json"] = graph_json(facts.graph, name, facts.metadata["rtl4ml"])
    files[f"model/{name}.hpp"] = render("ip/model/model.hpp.j2", **common, cpp=cpp_model(facts.graph))
    return files | _benches(facts, common)


def _benches(facts: IpFacts, common: Mapping[str, object]) -> dict[str, str | bytes]:
    name, frames = facts.name, len(facts.codes)
    latency, interval = facts.metadata["latency_cycles"], facts.metadata["interval_cycles"]
    pace = max(interval, facts.input.beats, facts.output.beats)
    bench = render(
        "ip/sim/bench.v.j2",
        **common,
        frames=frames,
        runs=RUNS,
        patience=1000 + 10 * (latency + frames * (pace + 16)),
        drain=latency + 32,
    )
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
        f"sim/{name}_tb.v": bench,
        f"sim/{name}_tb_in.hex": hex_words(beats(facts.input, facts.codes, unused=1), facts.input.width),
        f"sim/{name}_tb_out.hex": hex_words(beats(facts.output, facts.outputs, unused=0), facts.output.width),
        "sim/input_codes.txt": lines(facts.codes),
        "sim/output_codes.txt": lines(facts.outputs),
        "sim/vectors.npz": archive(bench_arrays(facts)),
        "sim/cocotb/bench.json": json.dumps(description, indent=2) + "\n",
        **shared,
    }
