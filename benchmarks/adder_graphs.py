"""Fully unrolled networks against the peers' adder graphs: da4ml and alkaid, in the same simulation and Yosys script.

Each tool gets the same integer matrices and quantizers: layers of a matrix and a bias, between them Relu, a division by
a power of two rounded half up, and saturation to unsigned codes. The peers run in a Python of their own
(`pip install da4ml==0.6.0 alkaid==0.8.2` there), with the defaults of their command lines: registers every 5 adders.
rtl4ml's pipeline is cut into as many steps as the faster of the peers takes.

Each network is measured twice: in portable Verilog, and with ternary adders as instantiated primitives. alkaid fuses
additions to sums of three words by itself, so its module for them is replaced by the same primitives; da4ml has none.
"""

import argparse
import itertools
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from results import console, machine, publish
from rtl4ml.cmvm.estimate import seconds as estimated_seconds
from rtl4ml.cmvm.solve import multiply_matrix
from rtl4ml.datapath.cells import MACRO
from rtl4ml.datapath.cost import carry_bits, live_nodes
from rtl4ml.datapath.delays import GENERIC, Clock, Delays
from rtl4ml.datapath.nodes import ADD, SUBTRACT
from rtl4ml.datapath.pipeline import period_for
from rtl4ml.datapath.ternary_adder import cell, table
from rtl4ml.datapath.words import Datapath
from rtl4ml.export.verilog import convert
from rtl4ml.formats import Format, Rounding
from rtl4ml.graph import Graph, HostFunction, Tensor
from rtl4ml.operators import Dense, Requantize
from rtl4ml.simulation.verilated import Toolchain
from rtl4ml.stages.region import RegionStage
from rtl4ml.staircase import ShiftForm, Staircase
from rtl4ml.synthesis.yosys import Resources, synthesize

SIZES = (16, 64, 32, 32, 5)
INPUT_BITS = ACTIVATION_BITS = 8
FRAMES = 200
DEFAULT_CLOCK = 200.0
PEERS = ("da4ml", "alkaid")
TERNARY = replace(GENERIC, ternary=True)
# Cycles after which no result can come any more.
LONGEST = 64
Codes = NDArray[np.int64]


@dataclass
class Problem:
    """A network: matrices (n, m), biases (m,), and between them the bits that a quantizer drops."""

    name: str
    input_bits: int
    matrices: list[Codes]
    biases: list[Codes]
    shifts: list[int]
    bits: int

    def evaluate(self, x: Codes) -> Codes:
        """Codes (N, n_out) of codes (N, n_in)."""
        for layer, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
            x = x @ matrix + bias
            if layer < len(self.shifts):
                shift = self.shifts[layer]
                x = np.clip((x + (1 << shift >> 1)) >> shift, 0, (1 << self.bits) - 1)
        return x


def jets(weight_bits: int, zeros: float, sizes: Sequence[int] = SIZES) -> Problem:
    """The jet tagger's topology with random weights; quantizers drop what makes activations use their range."""
    generator = np.random.default_rng(weight_bits)
    limit = (1 << (weight_bits - 1)) - 1
    matrices, biases, shifts = [], [], []
    for rows, columns in itertools.pairwise(sizes):
        matrix = generator.integers(-limit, limit + 1, (rows, columns))
        matrix[generator.random(matrix.shape) < zeros] = 0
        matrices.append(matrix)
        biases.append(generator.integers(-limit * 32, limit * 32, columns))
        # Three standard deviations of a sum of codes that fill half their range.
        spread = 3 * limit / 2 * np.sqrt(rows * (1 - zeros)) / 2
        shifts.append(max(1, round(float(np.log2(spread)))))
    name = f"{weight_bits}-bit weights, {'dense' if not zeros else 'half of them zero'}"
    return Problem(name, INPUT_BITS, matrices, biases, shifts[:-1], ACTIVATION_BITS)


@dataclass
class Built:
    """What a tool made of a problem."""

    files: dict[str, str]
    top: str
    seconds: float
    in_bits: int
    out_words: list[tuple[int, int, int]]
    """Sign, bits and zeros below them of each output, the first in the low bits."""
    call: str = ""
    """Instance of the top module between `x` and `y`, a template."""
    cycles: int = 0
    resources: Resources | None = None
    notes: list[str] = field(default_factory=list)


def build_own(problem: Problem, cycles: int | None, delays: Delays = GENERIC) -> Built:
    """The network as one region, cut for `cycles` edges from input to output, or for the default clock."""
    clock = Clock(DEFAULT_CLOCK, delays)
    if cycles is not None:
        graph, forms = graph_of(problem)
        names = [operator.name for operator in graph.operators]
        # The last of the registers holds the result.
        datapath = RegionStage(graph, names, clock, forms, False).datapath
        clock = Clock(1000 / period_for(datapath, cycles - 1, delays), delays)
    started = time.perf_counter()
    graph, forms = graph_of(problem)
    stage = RegionStage(graph, [operator.name for operator in graph.operators], clock, forms, False)
    text = convert(stage.component(), "network", "a network")
    spent = time.perf_counter() - started
    width, signed = stage.out_shape.width, stage.out_shape.signed
    call = "network u(.clk(clk), .rst(1'b0), .\\i.payload (x), .\\i.valid (1'b1), .\\o.payload (y), .\\o.ready (1'b1))"
    ports = set(re.findall(r"(?:in|out)put (?:signed )?(?:\[[^]]*\] )?(\S+) ?;", text))
    call = call.replace("\\i.", "i__").replace("\\o.", "o__") if any(p.startswith("i__") for p in ports) else call
    in_bits = len(problem.matrices[0]) * stage.in_shape.width
    built = Built({"network.v": text}, "network", spent, in_bits, [(int(signed), width, 0)] * stage.n_out, call)
    built.notes.append(f"{carry_bits(stage.datapath):,} bits of carry chain, {clock.mhz:.0f} MHz by the model")
    return built


def graph_of(problem: Problem) -> tuple[Graph, dict[str, ShiftForm]]:
    """The same as an integer graph, and the forms of its staircases."""
    sizes = [len(problem.matrices[0]), *(matrix.shape[1] for matrix in problem.matrices)]
    scale = np.array(1.0)
    form_in = Format(problem.input_bits, True, scale, np.array(0))
    tensor = Tensor("x", (sizes[0],), form_in, np.full(sizes[0], form_in.low), np.full(sizes[0], form_in.high))
    tensors, operators, forms = {"x": tensor}, [], {}
    for layer, (matrix, bias) in enumerate(zip(problem.matrices, problem.biases, strict=True)):
        dense = Dense(f"fc{layer}", (tensor.name,), f"a{layer}", matrix, bias, scale, (sizes[layer + 1],))
        operators.append(dense)
        tensor = tensors[dense.output] = dense.infer((tensor,))
        if layer == len(problem.shifts):
            break
        shift, high = problem.shifts[layer], (1 << problem.bits) - 1
        low, end = np.array([tensor.low.min()]), np.array([tensor.high.max()])
        steps = (np.arange(1, high + 1) << shift) - (1 << shift >> 1)
        steps = steps[(steps > low[0]) & (steps <= end[0])]
        at_low = np.clip((low + (1 << shift >> 1)) >> shift, 0, high)
        staircase = Staircase(low, end, at_low, (steps,), (at_low[0] + 1 + np.arange(len(steps)),))
        name = f"q{layer}"
        quantizer = Requantize(
            name, (tensor.name,), f"y{layer}", staircase, Format(problem.bits, False, scale, np.array(0)), ()
        )
        forms[name] = ShiftForm(shift, np.array([0]), np.array([1 << shift >> 1]), 1, Rounding.FLOOR, 0, high)
        operators.append(quantizer)
        tensor = tensors[quantizer.output] = quantizer.infer((tensor,))
    nothing = HostFunction(b"", (), np.arange(sizes[0]), (sizes[0],))
    after = HostFunction(b"", (), np.arange(sizes[-1]), (sizes[-1],))
    shapes = ((1, sizes[0]), (1, sizes[-1]))
    return Graph("network", tuple(operators), tensors, "x", tensor.name, nothing, after, *shapes), forms


# Runs in the peers' Python; the problem comes as JSON, the files go into the folder. Prints seconds and output words.
_PEER = """
import contextlib, io, json, sys, time
import numpy as np
tool, folder = sys.argv[1:]
problem = json.load(sys.stdin)
rows = len(problem["matrices"][0])
with contextlib.redirect_stdout(io.StringIO()):
    if tool == "da4ml":
        from da4ml.codegen import VerilogModel
        from da4ml.trace import FixedVariableArrayInput, HWConfig, comb_trace
        from da4ml.trace.ops import quantize, relu
        started = time.perf_counter()
        x = first = FixedVariableArrayInput(rows, HWConfig(1, -1, -1), {"hard_dc": 2})
    else:
        from alkaid.codegen import RTLModel
        from alkaid.trace import FVArrayInput, HWConfig, trace
        from alkaid.trace.ops import quantize, relu
        started = time.perf_counter()
        x = first = FVArrayInput(rows, HWConfig(1, 1, -1), {"hard_dc": 5})
    x = quantize(x, 1, problem["input_bits"] - 1, 0)
    for layer, (matrix, bias) in enumerate(zip(problem["matrices"], problem["biases"])):
        x = x @ np.array(matrix, np.float64) + np.array(bias, np.float64)
        if layer < len(problem["shifts"]):
            shift = problem["shifts"][layer]
            x = quantize(relu(x), 0, problem["bits"] + shift, -shift, "SAT", "RND") * 2.0**-shift
    if tool == "da4ml":
        logic = comb_trace(first, x)
        VerilogModel(logic, "top", folder, latency_cutoff=problem["cutoff"]).write()
    else:
        logic = trace(first, x)
        RTLModel(logic, folder, "top", latency_cutoff=problem["cutoff"]).write()
    seconds = time.perf_counter() - started
words = [[int(k), int(k + i + f), int(-f)] for k, i, f in zip(*logic.out_kifs)]
print(json.dumps([seconds, words]))
"""

_SOLVE = """
import json, sys, time
import numpy as np
tool = sys.argv[1]
matrix = np.array(json.load(sys.stdin), np.float32)
if tool == "da4ml":
    from da4ml.cmvm import solve
    started = time.perf_counter()
    solve(matrix, hard_dc=2, adder_size=1, carry_size=-1)
else:
    from alkaid.trace import FVArrayInput, HWConfig, trace
    from alkaid.trace.ops import quantize
    started = time.perf_counter()
    x = FVArrayInput(len(matrix), HWConfig(1, 1, -1), {"hard_dc": 5})
    trace(x, quantize(x, 1, 7, 0) @ matrix)
print(time.perf_counter() - started)
"""


def build_peer(tool: str, python: Path, problem: Problem, cutoff: float = 5) -> Built:
    """The network by a peer, in its own Python, with registers every `cutoff` adders."""
    numbers = {
        "cutoff": cutoff,
        "matrices": [matrix.tolist() for matrix in problem.matrices],
        "biases": [bias.tolist() for bias in problem.biases],
        "shifts": problem.shifts,
        "bits": problem.bits,
        "input_bits": problem.input_bits,
    }
    with tempfile.TemporaryDirectory(prefix="rtl4ml-") as folder:
        spent, words = run_peer(python, _PEER, [tool, folder], numbers)
        sources = sorted((Path(folder) / "src").rglob("*.v"))
        texts = {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in sources}
    # Tables that nothing uses ask for a file of contents that is not there.
    files = {name: text for name, text in texts.items() if "wrapper" not in name and "lookup" not in name}
    call = "top u(.clk(clk), .model_inp(x), .model_out(y))"
    in_bits = len(problem.matrices[0]) * problem.input_bits
    return Built(files, "top", spent, in_bits, [tuple(word) for word in words], call)


def run_peer(python: Path, script: str, arguments: Sequence[str], numbers: object, limit: float | None = None) -> Any:
    """What a script in the peers' Python prints last, as JSON.

    Raises:
        subprocess.TimeoutExpired: it takes longer than `limit` seconds.
    """
    command = [str(python), "-c", script, *arguments]
    done = subprocess.run(command, input=json.dumps(numbers), capture_output=True, text=True, timeout=limit)
    if done.returncode:
        sys.exit(f"Peer {arguments[0]} must build the network, but does not: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


_MAIN = """
#include "Vbench.h"
#include "verilated.h"
int main() {
    VerilatedContext context;
    Vbench top(&context);
    for (int k = 0; k < 2 * STEPS + 1; ++k) { top.clk = k & 1; top.eval(); }
}
"""


def simulate(built: Built, problem: Problem) -> int:
    """Edges from a frame at the inputs to its result at the outputs, a new frame every cycle; all results compared.

    The end of the script if a result is wrong.
    """
    generator = np.random.default_rng(0)
    low, high = -(1 << (problem.input_bits - 1)), (1 << (problem.input_bits - 1)) - 1
    x = generator.integers(low, high + 1, (FRAMES, len(problem.matrices[0])))
    x[:4] = [[low], [high], [0], [-1]]
    expected = problem.evaluate(x)
    mask, digits = (1 << problem.input_bits) - 1, -(-built.in_bits // 4)
    lines = [sum((int(v) & mask) << (e * problem.input_bits) for e, v in enumerate(frame)) for frame in x]
    out_bits = sum(bits for _, bits, _ in built.out_words)
    steps = FRAMES + LONGEST
    bench = f"""module bench(input clk);
  reg [{built.in_bits - 1}:0] frames [0:{steps - 1}];
  reg [31:0] at = 0;
  wire [{out_bits - 1}:0] y;
  wire [{built.in_bits - 1}:0] x = frames[at];
  initial $readmemh("frames.hex", frames);
  {built.call};
  always @(posedge clk) begin $display("%h", y); at <= at + 1; end
endmodule
"""
    with tempfile.TemporaryDirectory(prefix="rtl4ml-") as name:
        folder = Path(name)
        texts = [line % (1 << built.in_bits) for line in lines] + [0] * LONGEST
        (folder / "frames.hex").write_text("".join(f"{value:0{digits}x}\n" for value in texts), encoding="utf-8")
        sources = []
        for index, text in enumerate([bench, *built.files.values()]):
            sources.append(folder / f"source{index}.v")
            sources[-1].write_text(text, encoding="utf-8")
        tools = Toolchain.find()
        tools.verilate("bench", sources, folder, "Vbench", "--cc")
        (folder / "main.cpp").write_text(_MAIN.replace("STEPS", str(steps)), encoding="utf-8")
        tools.compile_program(folder, "Vbench", "main.cpp", ("verilated", "verilated_threads"), folder / "bench")
        done = subprocess.run([str(folder / "bench")], cwd=folder, capture_output=True, text=True, check=True)
    values = [int(line, 16) for line in done.stdout.split()]
    columns, at = [], 0
    for signed, bits, zeros in built.out_words:
        column = np.array([(value >> at) & ((1 << bits) - 1) for value in values], np.int64)
        columns.append((column - ((column >> (bits - 1)) << bits if signed else 0)) << zeros if bits else 0 * column)
        at += bits
    found = np.stack(columns, axis=1)
    for cycles in range(LONGEST):
        if np.array_equal(found[cycles : cycles + FRAMES], expected):
            return cycles
    sys.exit(f"Results of {built.top} for {problem.name} must be those of NumPy, but are not")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="Python that has da4ml and alkaid; without it rtl4ml alone is built")
    parser.add_argument("--bits", type=int, nargs="*", default=[4, 6, 8], help="bits of the weights")
    parser.add_argument("--zeros", type=float, nargs="*", default=[0.0, 0.5], help="parts of the weights that are zero")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="elements from layer to layer")
    parser.add_argument(
        "--explicit-adders", action="store_true", help="for all tools: no merging of additions by Yosys"
    )
    parser.add_argument("--squares", type=int, nargs="*", default=[64, 128, 256], help="matrices to solve for time")
    parser.add_argument("--limit", type=float, default=300, help="seconds after which a peer's solver is ended")
    arguments = parser.parse_args()
    notes = machine()
    if arguments.bits:
        publish("Adder graphs", [_networks(arguments, notes)], notes)
    if arguments.squares:
        publish("Adder graphs: solver", [_squares(arguments)], machine())
    return 0


def _networks(arguments: argparse.Namespace, notes: list[str]) -> Table:
    table = Table("weights", "tool", title=f"{'-'.join(map(str, arguments.sizes))}, UltraScale+ (Yosys), reuse 1")
    for column in (
        "LUT",
        "inverters",
        "FF",
        "carry cells",
        "cycles",
        "generation s",
        "LUT / better peer",
        "with inverters",
    ):
        table.add_column(column, justify="right")
    for bits in arguments.bits:
        for zeros in arguments.zeros:
            problem = jets(bits, zeros, arguments.sizes)
            for primitives in (False, True):
                for row in _rows(arguments, problem, primitives):
                    table.add_row(*row)
                    console.print(*row, highlight=False)
    notes.append(
        "simulated with Verilator against NumPy, extreme frames included; cycles are edges from input to output; "
        "Yosys: synth_xilinx -family xcup -flatten -noiopad -noclkbuf"
    )
    return table


def _rows(arguments: argparse.Namespace, problem: Problem, primitives: bool) -> Iterator[list[str]]:
    """What each tool makes of a problem."""
    peers: list[Built] = []
    for tool in (*PEERS, "rtl4ml") if arguments.peers else ("rtl4ml",):
        with console.status(f"{problem.name}: {tool}"):
            if tool == "rtl4ml":
                fastest = min((built.cycles for built in peers), default=None)
                built = build_own(problem, fastest, TERNARY if primitives else GENERIC)
            else:
                built = build_peer(tool, arguments.peers, problem)
                if primitives:
                    built.files = {name: _with_primitives(text) for name, text in built.files.items()}
            built.cycles = simulate(built, problem)
            built.resources = r = synthesize(built.files, built.top, explicit_adders=arguments.explicit_adders)
        inverters = r.other.get("INV", 0)
        shares = ["", ""]
        if tool == "rtl4ml" and peers:
            found = [b.resources for b in peers if b.resources]
            shares = [
                f"{r.lut / min(p.lut for p in found):.3f}",
                f"{(r.lut + inverters) / min(p.lut + p.other.get('INV', 0) for p in found):.3f}",
            ]
        if tool != "rtl4ml":
            peers.append(built)
        name = f"{problem.name}{', ternary primitives' if primitives else ''}"
        numbers = (r.lut, inverters, r.ff, r.carry, built.cycles)
        yield [name, tool, *(f"{number:,}" for number in numbers), f"{built.seconds:.2f}", *shares]


_PEERS_TERNARY = """
module ternary_adder #(
  parameter BW_INPUT0 = 32, parameter SIGNED0 = 0, parameter NEGATE0 = 0, parameter PAD0 = 0,
  parameter BW_INPUT1 = 32, parameter SIGNED1 = 0, parameter NEGATE1 = 0, parameter PAD1 = 0,
  parameter BW_INPUT2 = 32, parameter SIGNED2 = 0, parameter NEGATE2 = 0, parameter PAD2 = 0,
  parameter BW_OUT = 32, parameter DROP_LSBS = 0
) (input [BW_INPUT0-1:0] in0, input [BW_INPUT1-1:0] in1, input [BW_INPUT2-1:0] in2, output [BW_OUT-1:0] out);
  localparam W = BW_OUT + DROP_LSBS;
  wire [W+BW_INPUT0-1:0] e0 = {{W{SIGNED0 ? in0[BW_INPUT0-1] : 1'b0}}, in0};
  wire [W+BW_INPUT1-1:0] e1 = {{W{SIGNED1 ? in1[BW_INPUT1-1] : 1'b0}}, in1};
  wire [W+BW_INPUT2-1:0] e2 = {{W{SIGNED2 ? in2[BW_INPUT2-1] : 1'b0}}, in2};
  wire [W-1:0] x0 = e0 << PAD0;
  wire [W-1:0] x1 = e1 << PAD1;
  wire [W-1:0] x2 = e2 << PAD2;
  localparam LEAST = PAD0 <= PAD1 && PAD0 <= PAD2 ? 0 : PAD1 <= PAD2 ? 1 : 2;
  localparam NEXT = LEAST == 0 ? (PAD1 < PAD2 ? PAD1 : PAD2) : LEAST == 1 ? (PAD0 < PAD2 ? PAD0 : PAD2)
    : (PAD0 < PAD1 ? PAD0 : PAD1);
  localparam NEGATED = LEAST == 0 ? NEGATE0 : LEAST == 1 ? NEGATE1 : NEGATE2;
  localparam PAD = LEAST == 0 ? PAD0 : LEAST == 1 ? PAD1 : PAD2;
  localparam LOW = NEGATED ? PAD : NEXT;
  localparam WIRED = LOW < W ? LOW : W - 1;
  localparam [2:0] INVERT = {NEGATE2 ? 1'b1 : 1'b0, NEGATE1 ? 1'b1 : 1'b0, NEGATE0 ? 1'b1 : 1'b0};
  localparam COUNT = (NEGATE0 ? 1 : 0) + (NEGATE1 ? 1 : 0) + (NEGATE2 ? 1 : 0);
  wire [W-1:0] least = LEAST == 0 ? x0 : LEAST == 1 ? x1 : x2;
  wire [W-1:0] y;
  assign out = y[W-1:DROP_LSBS];
  generate
    if (WIRED > 0) begin : low
      assign y[WIRED-1:0] = least[WIRED-1:0];
    end
    three_words #(.WIDTH(W - WIRED), .INVERT(INVERT), .UNITS({COUNT > 1, COUNT > 0}), .TABLE(TABLES))
      adder (.a(x0[W-1:WIRED]), .b(x1[W-1:WIRED]), .c(x2[W-1:WIRED]), .y(y[W-1:WIRED]));
  endgenerate
endmodule
"""


def _with_primitives(text: str) -> str:
    """The peer's module of sums of three words, with the same ports, around rtl4ml's primitives."""
    if not re.search(r"^module ternary_adder\b", text, re.MULTILINE):
        return text
    contents = [table((bool(k & 1), bool(k & 2), bool(k & 4))) for k in range(8)]
    tables = "".join(f"INVERT == {k} ? 64'h{value:016x} : " for k, value in enumerate(contents[:-1]))
    return _PEERS_TERNARY.replace("TABLES", f"{tables}64'h{contents[-1]:016x}") + cell("three_words", MACRO)


def _squares(arguments: argparse.Namespace) -> Table:
    table = Table("matrix", title="Solver: dense 6-bit matrices, 8-bit words; seconds")
    for column in ("rtl4ml", "estimated", "additions", "carry bits", *(PEERS if arguments.peers else ())):
        table.add_column(column, justify="right")
    for size in arguments.squares:
        matrix = np.random.default_rng(size).integers(-31, 32, (size, size))
        datapath = Datapath()
        words = [datapath.input(f"x{row}", -128, 127) for row in range(size)]
        with console.status(f"{size} x {size}"):
            started = time.perf_counter()
            for column, word in enumerate(multiply_matrix(datapath, words, matrix)):
                datapath.output(f"y{column}", word)
            spent = time.perf_counter() - started
            additions = sum(datapath.nodes[index].kind in (ADD, SUBTRACT) for index in live_nodes(datapath))
            cells = [f"{spent:.1f}", f"{estimated_seconds(matrix):.1f}", f"{additions:,}", f"{carry_bits(datapath):,}"]
            for tool in PEERS if arguments.peers else ():
                try:
                    seconds = run_peer(arguments.peers, _SOLVE, [tool], matrix.tolist(), arguments.limit)
                    cells.append(f"{seconds:.1f}")
                except subprocess.TimeoutExpired:
                    cells.append(f"> {arguments.limit:g}")
        table.add_row(f"{size} x {size}", *cells)
    return table


if __name__ == "__main__":
    sys.exit(main())
