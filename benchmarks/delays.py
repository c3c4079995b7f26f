"""What adders, multiplexers, tables and multipliers take on a device, and the timing model that follows from it."""

import argparse
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace

import numpy as np
from amaranth.hdl import Elaboratable, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from rich.table import Table

from results import HERE, machine, publish
from rtl4ml.cmvm.solve import multiply_matrix
from rtl4ml.datapath import nodes as kinds
from rtl4ml.datapath.delays import MEASURED, Delays, delays_of
from rtl4ml.datapath.lowering import lower
from rtl4ml.datapath.pipeline import cut
from rtl4ml.datapath.words import Datapath
from rtl4ml.export.verilog import convert
from rtl4ml.synthesis.nextpnr import place
from rtl4ml.synthesis.yosys import map_cells

DATA = HERE / "delays.json"
TARGETS = {"ecp5-25f": "ecp5", "ice40-hx8k": "ice40", "ice40-up5k": "ice40-up5k"}  # and their timing models
UNTIMED = {"ice40-up5k": "multiply"}  # nextpnr takes multiplier blocks of these for registers: paths end there
HIDDEN_MHZ = 1000.0  # beyond reach: the placer never stops early
COPIES = 4  # of each small circuit: wires get in each other's way as they do in a network
FITTED = ("register", "lut", "table", "chain", "carry", "compare", "multiply", "multiply_wide")
Build = Callable[[Datapath, int], None]


def _words(datapath: Datapath, copy: int, number: int, bits: int) -> list:
    return [datapath.input(f"x{copy}_{index}", -(1 << bits - 1), (1 << bits - 1) - 1) for index in range(number)]


def _add(bits: int) -> Build:
    return lambda d, c: d.output(f"y{c}", d.add(*_words(d, c, 2, bits)))


def _sum(number: int, bits: int) -> Build:
    return lambda d, c: d.output(f"y{c}", d.sum(_words(d, c, number, bits)))


def _maximum(number: int, bits: int) -> Build:
    def build(d: Datapath, c: int) -> None:
        best, *others = _words(d, c, number, bits)
        for other in others:
            best = d.select(d.at_least(best, other), best, other)
        d.output(f"y{c}", best)

    return build


def _selects(depth: int, bits: int) -> Build:
    def build(d: Datapath, c: int) -> None:
        word, *others = _words(d, c, depth + 1, bits)
        for index, other in enumerate(others):
            word = d.select(d.input(f"s{c}_{index}", 0, 1), word, other)
        d.output(f"y{c}", word)

    return build


def _clip(number: int, bits: int, high: int) -> Build:
    def build(d: Datapath, c: int) -> None:
        d.output(f"y{c}", d.clip(d.sum(_words(d, c, number, bits)), 0, high))

    return build


def _table(bits: int, entry_bits: int) -> Build:
    def build(d: Datapath, c: int) -> None:
        values = np.random.default_rng(bits + c).integers(0, 1 << entry_bits, 1 << bits)
        values[:2] = 0, (1 << entry_bits) - 1
        d.output(f"y{c}", d.table(d.input(f"x{c}", 0, (1 << bits) - 1), values.tolist()))

    return build


def _matrix(size: int, bits: int, weight_bits: int) -> Build:
    def build(d: Datapath, c: int) -> None:
        high = 1 << weight_bits - 1
        matrix = np.random.default_rng(size + c).integers(1 - high, high, (size, size))
        for index, word in enumerate(multiply_matrix(d, _words(d, c, size, bits), matrix, np.zeros(size, np.int64))):
            d.output(f"y{c}_{index}", word)

    return build


def _multiply(bits: int) -> Build:
    return lambda d, c: d.output(f"y{c}", d.multiply(*_words(d, c, 2, bits)))


def _multiply_add(bits: int) -> Build:
    def build(d: Datapath, c: int) -> None:
        a, b, offset = _words(d, c, 3, bits)
        d.output(f"y{c}", d.add(d.multiply(a, b), offset))

    return build


CASES: Mapping[str, tuple[Build, int]] = {
    **{f"add {bits}": (_add(bits), COPIES) for bits in (4, 8, 16, 32)},
    **{f"sum of {n} x {bits}": (_sum(n, bits), COPIES) for n, bits in ((4, 6), (8, 6), (16, 6), (4, 14), (8, 14))},
    **{f"maximum of {n} x {bits}": (_maximum(n, bits), COPIES) for n, bits in ((2, 8), (4, 8), (2, 16))},
    **{f"{n} selects in a row": (_selects(n, 8), COPIES) for n in (2, 4, 8)},
    "clip of 4 x 8": (_clip(4, 8, 63), COPIES),
    "clip of 4 x 8 to 100": (_clip(4, 8, 100), COPIES),
    **{f"table {bits} to 6": (_table(bits, 6), COPIES) for bits in (4, 6, 8, 10)},
    **{f"matrix {n} x {n}": (_matrix(n, 6, 6), 1) for n in (4, 8)},
    "matrix 16 x 16 of 3 bits": (_matrix(16, 4, 3), 1),
    **{f"multiply {bits}": (_multiply(bits), 1) for bits in (8, 16, 24)},
    "multiply 8, add": (_multiply_add(8), 1),
}


class _Block(wiring.Component):
    """A datapath without registers."""

    def __init__(self, datapath: Datapath) -> None:
        self.datapath = datapath
        self.pipeline = cut(datapath, 1e6)
        ports = {name: In(word.bits) for name, word in datapath.inputs.items()}
        ports |= {name: Out(word.bits) for name, word in datapath.outputs.items()}
        super().__init__(ports)

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        inputs = {
            name: getattr(self, name).as_signed() if word.low < 0 else getattr(self, name)
            for name, word in self.datapath.inputs.items()
        }
        for name, value in lower(m, self.datapath, self.pipeline, inputs).items():
            m.d.comb += getattr(self, name).eq(value)
        return m


def datapath_of(name: str) -> Datapath:
    """The circuit of a case."""
    build, copies = CASES[name]
    datapath = Datapath()
    for copy in range(copies):
        build(datapath, copy)
    return datapath


def measure(name: str, target: str) -> float:
    """Nanoseconds from register to register, the better of two placements."""
    module = f"case_{zlib.crc32(name.encode()):08x}"
    text = convert(_Block(datapath_of(name)), module, name)
    netlist = map_cells({"case.v": text}, module, target).netlist
    fastest = max(place(netlist, module, target, "clk", HIDDEN_MHZ, seed).fmax_mhz or 0.0 for seed in (1, 2))
    return round(1000 / fastest, 3)


def features(datapath: Datapath, delays: Delays) -> list[float]:
    """How often each of the model's numbers is in the slowest path, by the model."""
    nodes = datapath.nodes
    # What is no time stays: the inputs of a table, and whether one chain adds three words.
    zero = {f.name: 0.0 for f in fields(Delays) if f.type is float or f.type == "float"}
    units = [replace(delays, **(zero | {name: 1.0})) for name in FITTED[1:]]
    arrival, before = [0.0] * len(nodes), [-1] * len(nodes)
    for index, node in enumerate(nodes):
        inputs = [operand for operand in node.operands if nodes[operand].kind is not kinds.CONSTANT]
        before[index] = max(inputs, key=lambda operand: arrival[operand], default=-1)
        arrival[index] = (arrival[before[index]] if inputs else 0.0) + delays.of(nodes, node)
    at = max((word.index for word in datapath.outputs.values()), key=lambda index: arrival[index])
    counts = [1.0] + [0.0] * len(units)
    while at >= 0:
        for position, unit in enumerate(units):
            counts[1 + position] += unit.of(nodes, nodes[at])
        at = before[at]
    return counts


def predicted(datapath: Datapath, delays: Delays) -> float:
    """Nanoseconds by the model."""
    return sum(n * getattr(delays, name) for n, name in zip(features(datapath, delays), FITTED, strict=True))


def fit(measured: Mapping[str, float], start: Delays) -> Delays:
    """Numbers with the least squared relative error; the slowest path is that of the numbers of the round before."""
    delays, datapaths = start, {name: datapath_of(name) for name in measured}
    for _ in range(8):
        rows = np.array([features(datapath, delays) for datapath in datapaths.values()])
        times = np.array(list(measured.values()))
        free = rows.any(axis=0)
        while True:
            found, *_ = np.linalg.lstsq(rows[:, free] / times[:, None], np.ones(len(times)), rcond=None)
            if (found >= 0).all():
                break
            free[np.flatnonzero(free)[found.argmin()]] = False
        # What no circuit has stays as it was.
        values = np.where(rows.any(axis=0), 0.0, [getattr(start, name) for name in FITTED])
        values[free] = found
        delays = Delays(**(asdict(start) | dict(zip(FITTED, np.round(values, 3).tolist(), strict=True))))
    return delays


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", choices=TARGETS, action="append", help="measure these only")
    parser.add_argument("--fit-only", action="store_true", help="from the numbers in delays.json")
    arguments = parser.parse_args()
    known: dict[str, dict[str, float]] = json.loads(DATA.read_text(encoding="utf-8")) if DATA.is_file() else {}
    notes = machine()
    for target in () if arguments.fit_only else arguments.target or TARGETS:
        for name in CASES:
            known.setdefault(target, {})[name] = measure(name, target)
            DATA.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    publish("Delays", [_fitted(known), _compared(known)], notes)


def _fitted(known: Mapping[str, Mapping[str, float]]) -> Table:
    table = Table(
        "target", *(name.replace("_", " ") for name in FITTED), "mean error", "worst", title="Timing model, ns"
    )
    for target, measured in known.items():
        timed = {name: time for name, time in measured.items() if not name.startswith(UNTIMED.get(target, " "))}
        delays = fit(timed, MEASURED[TARGETS[target]])
        errors = [predicted(datapath_of(name), delays) / time - 1 for name, time in timed.items()]
        numbers = [f"{getattr(delays, name):.3f}" for name in FITTED]
        table.add_row(target, *numbers, f"{np.mean(np.abs(errors)):.0%}", f"{max(errors, key=abs):+.0%}")
    return table


def _compared(known: Mapping[str, Mapping[str, float]]) -> Table:
    table = Table("circuit", title="Register to register, ns: measured, and by the model in use")
    for target in known:
        table.add_column(target, justify="right")
    for name in CASES:
        cells = [
            f"{measured[name]:.2f} ({predicted(datapath_of(name), delays_of(target)):.2f})" if name in measured else ""
            for target, measured in known.items()
        ]
        table.add_row(name, *cells)
    return table


if __name__ == "__main__":
    main()
