"""Area of the gamma/neutron network beside the published HLS design of the same network, in the same Yosys script.

The HLS design is the student of ICTP/AUP-ZU3-HLS4ML (161-5-4-4-5-3-2, 8 bits); its Verilog went through the script that
`rtl4ml.synthesis` runs for `xcup`.
"""

import argparse
import sys
from pathlib import Path

from rich.table import Table

import rtl4ml
from results import MODELS, console, find_model, machine, publish
from rtl4ml.synthesis.yosys import TARGETS, Resources, synthesize

HLS_LUT, HLS_FF, HLS_DSP, HLS_CYCLES = 29_653, 22_810, 71, 1_059
MAX_INTERVAL = 1_050
MAX_LUT = HLS_LUT * 15 // 100
MAX_DSP = 8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="?", type=Path, default=MODELS, help="folder of gamma_neutron_student.onnx")
    parser.add_argument("--stages", action="store_true", help="synthesize each stage alone too: where the area goes")
    arguments = parser.parse_args()
    notes = machine()
    # The slowest layer sets the interval, and none takes more cycles than its reuse: the cheapest design in time.
    graph = rtl4ml.load(find_model(arguments.models, "gamma_neutron_student.onnx"))
    design = rtl4ml.compile(graph, reuse=MAX_INTERVAL)
    plan = design.plan

    table = Table("design", title="Gamma/neutron discriminator on UltraScale+ (Yosys)")
    for column in ("LUT", "LUT memory", "FF", "DSP", "BRAM 18K", "interval", "latency"):
        table.add_column(column, justify="right")
    with console.status("synthesizing the design"):
        found = synthesize(design.verilog, design.name)
    table.add_row(
        "HLS, published", *(f"{n:,}" for n in (HLS_LUT,)), "", f"{HLS_FF:,}", f"{HLS_DSP}", "", f"{HLS_CYCLES:,}", ""
    )
    table.add_row("rtl4ml", *_cells(found), f"{plan.interval:,}", f"{plan.latency:,}")
    luts = found.lut + found.lut_memory
    table.add_row(
        "rtl4ml / HLS",
        f"{found.lut / HLS_LUT:.1%}",
        "",
        f"{found.ff / HLS_FF:.1%}",
        f"{found.dsp / HLS_DSP:.1%}",
        "",
        f"{plan.interval / HLS_CYCLES:.1%}",
        "",
    )
    tables = [table]
    if arguments.stages:
        tables.append(_stages(design))

    goals = (
        ("LUT with LUT memory", luts, MAX_LUT),
        ("DSP", found.dsp, MAX_DSP),
        ("interval", plan.interval, MAX_INTERVAL),
    )
    for name, seen, most in goals:
        notes.append(f"{name}: {seen:,} of at most {most:,}: {'reached' if seen <= most else 'MISSED'}")
    others = ", ".join(f"{number} {name}" for name, number in found.other.items()) or "none"
    notes.append(
        f"Script: `{TARGETS['xcup'].format(top=design.name)}`; carry cells: {found.carry}; other cells: {others}"
    )
    publish("Gamma/neutron: area", tables, notes)
    return int(any(seen > most for _, seen, most in goals))


def _cells(found: Resources) -> list[str]:
    return [f"{n:,}" for n in (found.lut, found.lut_memory, found.ff, found.dsp, found.bram)]


def _stages(design: rtl4ml.Design) -> Table:
    """Each module alone: the sum differs from the whole, which Yosys optimises across modules."""
    table = Table("module", title="Each module alone")
    for column in ("LUT", "LUT memory", "FF", "DSP", "BRAM 18K"):
        table.add_column(column, justify="right")
    wrapper, core, *stages = design.verilog
    for file in (*stages, wrapper):
        module = file.removesuffix(".v")
        with console.status(f"synthesizing {module}"):
            if file == wrapper:
                # The core as a black box: what is left is the bus.
                core_name = core.removesuffix(".v")
                header = design.verilog[core].split(f"module {core_name}", 1)[1].split(";", 1)[0]
                box = f"(* blackbox *) module {core_name}{header}; endmodule\n"
                table.add_row(module, *_cells(synthesize({wrapper: design.verilog[wrapper], core: box}, module)))
            else:
                table.add_row(module, *_cells(synthesize({file: design.verilog[file]}, module)))
    return table


if __name__ == "__main__":
    sys.exit(main())
