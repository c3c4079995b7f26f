"""Between unrolled and folded: the half-sparse jet tagger when digits of its activations enter hard-wired sums.

The network of `adder_graphs.py` with 6-bit weights, half of them zero. An interval of n cycles takes digits of 1/n of
the activations' bits: 8-bit activations have intervals 1, 2, 4 and 8, 7-bit ones have 7 as well.
"""

import argparse
import sys

import numpy as np
from rich.table import Table

import adder_graphs
from results import console, machine, publish
from rtl4ml.datapath.delays import GENERIC, Clock, delays_of
from rtl4ml.export.verilog import convert
from rtl4ml.operators import Dense
from rtl4ml.stages.base import Stage
from rtl4ml.stages.digit_serial import DigitStage
from rtl4ml.stages.region import RegionStage
from rtl4ml.synthesis.yosys import synthesize

MODELLED = {2: "77 %", 4: "53 %", 7: "31 %"}
FRAMES = 200


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clock", type=float, default=200.0, help="MHz that registers are placed for")
    parser.add_argument("--ternary", action="store_true", help="sums of three words, as primitives of UltraScale+")
    arguments = parser.parse_args()
    notes = machine()
    table = Table(
        "activations", "interval", title="16-64-32-32-5, 6-bit weights, half of them zero, UltraScale+ (Yosys)"
    )
    for column in ("LUT", "of interval 1", "modelled", "FF", "carry cells", "DSP"):
        table.add_column(column, justify="right")
    clock = Clock(arguments.clock, delays_of("xcup") if arguments.ternary else GENERIC)
    for bits, intervals in ((8, (1, 2, 4, 8)), (7, (1, 7))):
        whole = 0
        for interval in intervals:
            with console.status(f"{bits} bits, interval {interval}"):
                stage = _stage(bits, interval, clock)
                text = convert(stage.component(), "network", "a network")
                found = synthesize({"network.v": text}, "network")
            whole = whole or found.lut
            numbers = (f"{found.ff:,}", f"{found.carry:,}", f"{found.dsp}")
            share = f"{found.lut / whole:.1%}"
            row = [f"{bits} bits", f"{interval}", f"{found.lut:,}", share, MODELLED.get(interval, "")]
            table.add_row(*row, *numbers)
            console.print(*row, *numbers, highlight=False)
    notes.append(f"registers placed for {arguments.clock:g} MHz; codes of {FRAMES} frames equal NumPy's")
    publish("Digit-serial", [table], notes)
    return 0


def _stage(bits: int, interval: int, clock: Clock) -> Stage:
    """The network as one stage, its codes compared with NumPy's."""
    adder_graphs.INPUT_BITS = adder_graphs.ACTIVATION_BITS = bits
    problem = adder_graphs.jets(6, 0.5)
    graph, forms = adder_graphs.graph_of(problem)
    names = [operator.name for operator in graph.operators]
    stage: Stage
    if interval == 1:
        stage = RegionStage(graph, names, clock, forms, False)
    else:
        digits = {operator.name: -(-bits // interval) for operator in graph.operators if isinstance(operator, Dense)}
        stage = DigitStage(graph, names, digits, clock, forms, False)
    low = -(1 << (bits - 1))
    x = np.random.default_rng(0).integers(low, -low, (FRAMES, len(problem.matrices[0])))
    if not np.array_equal(stage.evaluate(x), problem.evaluate(x)):
        sys.exit(f"Codes at interval {interval} must be those of NumPy, but are not")
    return stage


if __name__ == "__main__":
    sys.exit(main())
