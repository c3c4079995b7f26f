"""How fast the C++ model of an exported IP is: inferences a second on one core."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.table import Table

import rtl4ml
from results import EXAMPLES, console, machine, publish
from rtl4ml.simulation.verilator import find_compiler

GOAL = 1_000_000
"""Inferences a second of the jet tagger, with plain -O2."""

NETWORKS = ("jet_tagger", "digits_mlp", "digits_cnn")
FLAGS = ("-O2", "-O3 -march=native")
MAIN = """
#include <cstdio>
#include <ctime>
#include <vector>
#include "%(name)s.hpp"

namespace model = rtl4ml_%(name)s;

// Prints inferences a second of processor time, a line a run, and on stderr a sum of all results.
int main() {
    std::vector<std::array<model::Input, model::inputs>> frames;
    std::array<model::Input, model::inputs> x{};
    std::size_t element = 0;
    for (long long code; std::scanf("%%lld", &code) == 1;) {
        x[element] = static_cast<model::Input>(code);
        element = (element + 1) %% model::inputs;
        if (element == 0) frames.push_back(x);
    }
    long long sum = 0;
    std::size_t at = 0;
    for (int run = 0; run < %(runs)d; ++run) {
        long long inferences = 0;
        const std::clock_t begin = std::clock();
        std::clock_t taken = 0;
        for (; taken < %(seconds)g * CLOCKS_PER_SEC; taken = std::clock() - begin, inferences += 10000)
            for (int i = 0; i < 10000; ++i) {
                for (const auto code : model::infer(frames[at])) sum += code;
                if (++at == frames.size()) at = 0;
            }
        std::printf("%%.0f\\n", static_cast<double>(inferences) * CLOCKS_PER_SEC / static_cast<double>(taken));
    }
    std::fprintf(stderr, "%%lld\\n", sum);
}
"""


def rates(name: str, flags: str, runs: int, seconds: float) -> list[float]:
    """Inferences a second of one network's model, one number a run.

    Args:
        name: of a shipped network.
        flags: of the compiler.
        runs: how often.
        seconds: of processor time, each.
    """
    design = rtl4ml.compile(rtl4ml.load(EXAMPLES / "models" / f"{name}.onnx"), reuse=4096)
    with tempfile.TemporaryDirectory() as folder:
        ip = design.export(folder)
        program = Path(folder) / "twin"
        source = Path(folder) / "twin.cpp"
        source.write_text(MAIN % {"name": name, "runs": runs, "seconds": seconds}, encoding="utf-8")
        include = f"-I{ip / 'model'}"
        subprocess.run(
            [find_compiler(), "-std=c++17", *flags.split(), include, "-o", str(program), str(source)], check=True
        )
        with (ip / "sim/input_codes.txt").open() as codes:
            done = subprocess.run([program], stdin=codes, capture_output=True, text=True, check=True)
    return [float(line) for line in done.stdout.split()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of each; the fastest counts")
    parser.add_argument("--seconds", type=float, default=0.5, help="of processor time, each run")
    parser.add_argument("--goal", action="store_true", help="only the network and the flags of the goal; write nothing")
    arguments = parser.parse_args()
    if arguments.goal:
        found = rates(NETWORKS[0], FLAGS[0], arguments.runs, arguments.seconds)
        print(json.dumps({"goal": GOAL, "rates": found}))
        return int(max(found) < GOAL)
    notes = machine()
    table = Table()
    for column in ("network", "multiplications", *FLAGS):
        table.add_column(column, justify="left" if column == "network" else "right")
    reached = 0.0
    for name in NETWORKS:
        with console.status(name):
            best = [max(rates(name, flags, arguments.runs, arguments.seconds)) for flags in FLAGS]
        reached = best[0] if name == NETWORKS[0] else reached
        products = rtl4ml.load(EXAMPLES / "models" / f"{name}.onnx").multiplications
        table.add_row(name, f"{products:,}", *(f"{rate:,.0f}" for rate in best))
    version = subprocess.run([find_compiler(), "--version"], capture_output=True, text=True, check=True).stdout
    notes.append(f"{version.splitlines()[0]}; the fastest of {arguments.runs} runs of {arguments.seconds:g} s")
    verdict = "reached" if reached >= GOAL else "MISSED"
    notes.append(f"goal, {GOAL:,} inferences a second of the jet tagger on one core at {FLAGS[0]}: {verdict}")
    publish("C++ models", [table], notes)
    return int(reached < GOAL)


if __name__ == "__main__":
    sys.exit(main())
