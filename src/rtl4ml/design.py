"""A compiled network: predict, trace, emulate, verify, export."""

import functools
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtl4ml.errors import ConfigurationError, ModelError
from rtl4ml.export import design_files, metadata, package
from rtl4ml.export.ip import registers, resources
from rtl4ml.export.ip.facts import IpFacts
from rtl4ml.export.ip.files import ip_files
from rtl4ml.export.names import ip_name
from rtl4ml.export.verilog import count_multipliers
from rtl4ml.formats import Codes, Reals
from rtl4ml.frontend import border, equality, host
from rtl4ml.frontend.load import with_free_weights
from rtl4ml.graph import Graph
from rtl4ml.planning import settings as planning_settings
from rtl4ml.planning import writable
from rtl4ml.planning.estimates.model import Estimate, estimate
from rtl4ml.planning.fit import Fit
from rtl4ml.planning.fit import fit as find_fit
from rtl4ml.planning.plan import Plan, plan
from rtl4ml.report.profile import Profile
from rtl4ml.report.profiling import profile
from rtl4ml.report.progress import Callback, callback
from rtl4ml.report.verification import Verification, coverage
from rtl4ml.simulation import cocotb_bench, rtl_check, stimuli
from rtl4ml.simulation.native import NativeSimulation
from rtl4ml.simulation.ports import LoadPort, Ports, axis_ports, pipeline_ports
from rtl4ml.synthesis.measure import Synthesis, synthesize_design
from rtl4ml.yosys import yosys_version

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

MAX_RTL_CYCLES = 400_000
BENCH_FRAMES = 24
MAX_VECTOR_CYCLES = 50_000
"""The benches of an exported IP take about so many cycles a run: a minute in a slow simulator."""


def compile(
    graph: Graph,
    reuse: int | str | Mapping[str, int] | None = None,
    interval: int | None = None,
    fps: float | None = None,
    latency: int | None = None,
    multipliers: int | None = None,
    folding: Mapping[str, Mapping[str, Any]] | None = None,
    lanes: int | None = None,
    output_lanes: int | None = None,
    weights: str | None = None,
    clock_mhz: float | None = None,
    target: str | None = None,
    fit: str | None = None,
    backpressure: bool | None = None,
    style: str | Mapping[str, str] | None = None,
    name: str | None = None,
    config: str | Path | None = None,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
) -> "Design":
    """Plan a graph's hardware.

    Args:
        graph: from `rtl4ml.load`.
        reuse: reuse factor of the network, or a table by layer name and kind (`{"fc1": 4, "dense": 8, "default": 16}`:
            a name wins over a kind, a kind over the default), or the same as text, `"16,dense=8,fc1=4"`; "auto": the
            smallest with which the network fits `target`, which then is a part; 1 if nothing says otherwise.
        interval: cycles from frame to frame that every layer shall keep, with the fewest multipliers; instead of a
            reuse.
        fps: frames a second instead, at `clock_mhz`.
        latency: cycles that a frame shall take at most, with the fewest multipliers; instead of the above.
        multipliers: how many there shall be at most, for the shortest interval; instead of the above.
        folding: tiles and lanes of nodes by name, as `Plan.folding` has them and an IP's folding.yaml.
        lanes: elements of an input beat; None: all of them when the first layer is unrolled, else as few as keep the
            interval.
        output_lanes: elements of an output beat; None: as many as the last stage makes at a time.
        weights: "writable" puts weights and biases into RAM, which a port loads at run time: see `Design.weight_words`;
            every layer then needs a reuse above 1. "fixed" if nothing says otherwise.
        clock_mhz: the clock that registers are placed for; 200 if nothing says otherwise.
        target: the device whose timing says where: a family ("ecp5", "ice40", "xc7", "xcup") or a part of it, such as
            "ecp5-25f"; of no device in particular if nothing says otherwise.
        fit: part, such as "ecp5-25f" or "xc7z020", that the network shall fit with the shortest interval; instead of a
            reuse or a goal. The search goes by estimates and takes seconds: see `Design.fitting`.
        backpressure: False builds the free-running pipeline; True if nothing says otherwise.
        style: what layers with a reuse above 1 are made of: "multipliers", "digits" (hard-wired adders that take some
            bits of every activation a cycle), "sparse" (multipliers that skip zeros) or "auto" (what is cheapest); or
            a table by layer name and kind, or the same as text, `"auto,fc1=digits"`; multipliers if nothing says
            otherwise.
        name: of the IP: a Verilog identifier; None: made from the file's name.
        config: TOML or YAML file with settings; arguments that are given win over it.
        force: unroll layers even when that takes minutes.
        progress: called with the name of each stage while it is planned.

    Raises:
        ModelError: the graph is none, a path, say.
        ConfigurationError: a setting that has no meaning or does not fit the graph.
    """
    if not isinstance(graph, Graph):
        raise ModelError(f"Network of a design must be a graph, as rtl4ml.load(path) gives it, not {graph!r}")
    base = planning_settings.from_file(config) if config is not None else planning_settings.Settings()
    given: dict[str, Any] = {
        "reuse": reuse,
        "interval": interval,
        "fps": fps,
        "latency": latency,
        "multipliers": multipliers,
        "folding": folding,
        "lanes": lanes,
        "output_lanes": output_lanes,
        "weights": weights,
        "clock_mhz": clock_mhz,
        "target": target,
        "fit": fit,
        "backpressure": backpressure,
        "style": style,
    }
    given = {key: value for key, value in given.items() if value is not None}
    chosen = planning_settings.from_mapping(given, base)
    if chosen.weights == "writable":
        graph = with_free_weights(graph)
    ip = ip_name(graph.name if name is None else name, given=name is not None)
    if chosen.fit is None:
        return Design(graph, plan(graph, chosen, force=force, progress=progress), ip)
    found = find_fit(graph, chosen, chosen.fit, force=force, progress=progress)
    return Design(graph, found.chosen.plan, ip, found)


class Design:
    """A graph with its plan.

    Parameters:
        graph: what is computed.
        plan: how: stages, latency, interval.
        name: of the IP.
        fitting: how the plan was found, where it was to fit a part.
    """

    def __init__(self, graph: Graph, plan: Plan, name: str, fitting: Fit | None = None) -> None:
        self.graph = graph
        self.plan = plan
        self.name = name
        self.fitting = fitting

    # ---- Software

    def encode(self, x: ArrayLike) -> Codes:
        """Real values in the file's input layout, (N, ...), to the hardware's input codes (N, n_in).

        Raises:
            ModelError: another shape, or values that are not finite.
        """
        return border.encode(self.graph, border.samples(self.graph, x))

    def decode(self, codes: Codes) -> Reals:
        """Output codes (N, n_out) to real values in the file's output layout, through the host's epilogue."""
        return border.decode(self.graph, codes)

    def predict(self, x: ArrayLike, *, codes: bool = False, progress: Callback | bool | None = None) -> NDArray:
        """The reference on real values (N, ...) in the file's input layout, in batches: memory is for the results.

        Args:
            x: real values; an array is not copied, so a memory-mapped one may be larger than the memory.
            codes: give the hardware's output instead of real values.
            progress: called with samples done and samples in all; True: a bar on stderr.

        Returns:
            Real values in the file's output layout, as the ONNX executor would; with `codes`, the integers (N, n_out)
            of the hardware's output.

        Raises:
            ModelError: another shape, or values that are not finite.
        """
        graph = self.graph

        def run(batch: Codes, tell: Callback) -> NDArray:
            result = graph.evaluate(batch, progress=tell)[graph.output]
            return result if codes else self.decode(result)

        with callback(progress, "predict") as tell:
            return border.in_batches(graph, border.samples(graph, x), run, tell)

    def trace(self, x: ArrayLike, *, progress: Callback | bool | None = None) -> dict[str, Codes]:
        """Codes of every tensor by its name in the file, int64 (N, ...) in the file's layout; `progress` as above."""
        graph = self.graph
        x = border.samples(graph, x)
        whole = {name: np.empty((len(x), *graph.layouts[name].shape[1:]), np.int64) for name in graph.tensors}
        with callback(progress, "trace") as tell:
            for part in border.batches(graph, len(x)):
                batch = border.encode(graph, x[part])
                values = graph.evaluate(batch, keep=whole, progress=border.moved(tell, part.start, len(x)))
                for name, codes in values.items():
                    whole[name][part] = codes[:, graph.layouts[name].reshape(-1)].reshape(whole[name][part].shape)
                tell(part.stop, len(x))
        return whole

    def profile(self, x: ArrayLike, *, progress: Callback | bool | None = None) -> Profile:
        """What the codes do on real values: ranges, saturation, dead channels, unused bits; see `rtl4ml.profile`."""
        return profile(self.graph, x, progress)

    # ---- Hardware

    @functools.cached_property
    def verilog(self) -> dict[str, str]:
        """All Verilog files by name, the wrapper first."""
        return design_files.verilog_files(self.graph, self.plan, self.name)

    def estimate(self, target: str | None = None) -> Estimate:
        """What the hardware takes of a device and how fast it is there, before any synthesis and in milliseconds.

        Args:
            target: a family (`"ecp5"`, `"ice40"`, `"xc7"`, `"xcup"`) or a part; None: what the design was planned for.

        Raises:
            ConfigurationError: nothing is known of the target, or there is none.
        """
        wanted = target or self.plan.settings.target
        if wanted is None:
            raise ConfigurationError("target of an estimate must be a device, not None: none was planned for")
        return estimate(self.plan, wanted)

    @functools.cached_property
    def own_estimate(self) -> Estimate | None:
        """On the device that the design was planned for; None for no device in particular."""
        return None if self.plan.settings.target in (None, "generic") else self.estimate()

    @functools.cached_property
    def ports(self) -> Ports:
        """The wrapper's ports."""
        i, o = design_files.sides(self.plan)
        shape: dict[str, Any] = {"n_in": self.graph.input_tensor.size, "n_out": self.graph.output_tensor.size}
        for side, port in (("in", i), ("out", o)):
            shape |= {f"lanes_{side}": port.lanes, f"{side}_bits": port.bits, f"{side}_signed": port.signed}
        if self.plan.settings.backpressure:
            ports = axis_ports(**shape, in_slot=i.slot, out_slot=o.slot)
        else:
            ports = pipeline_ports(**shape)
        return replace(ports, load=LoadPort()) if writable.stages_with_tables(self.plan) else ports

    @functools.cached_property
    def simulation(self) -> NativeSimulation:
        """The Verilog, built into a native simulation.

        Raises:
            ToolError: Verilator or the C++ compiler is missing, or refuses the design.
        """
        with tempfile.TemporaryDirectory(prefix="rtl4ml-") as folder:
            return NativeSimulation.build(self.name, self._write_verilog(Path(folder)), self.ports)

    def _write_verilog(self, folder: Path) -> list[Path]:
        paths = []
        for name, text in self.verilog.items():
            paths.append(folder / name)
            paths[-1].write_text(text, encoding="utf-8")
        return paths

    def emulate(self, x: ArrayLike, *, codes: bool = False, progress: Callback | bool | None = None) -> NDArray:
        """Like `predict`, through the Verilog; each batch begins with a reset."""
        spacing = 0 if self.plan.settings.backpressure else self.plan.interval
        patience = 10 * self.plan.interval + self.plan.latency + 10_000

        def run(batch: Codes, tell: Callback) -> NDArray:
            numbers = self.plan.to_wires(self.graph.input, batch)
            run = self.simulation.run(numbers, spacing=spacing, patience=patience, progress=tell)
            result = self.plan.from_wires(self.graph.output, run.codes)
            return result if codes else self.decode(result)

        x = border.samples(self.graph, x)
        with callback(progress, "emulate") as tell:
            return border.in_batches(self.graph, x, run, tell)

    def metadata(self, *, axi_lite: bool = False, measured: Synthesis | None = None) -> dict[str, Any]:
        """What `metadata.json` holds; arguments as for `export`."""
        i, o = design_files.sides(self.plan)
        found = metadata.describe(
            self.graph,
            self.plan,
            self.name,
            {
                side: port.__dict__ | {"coding": "bipolar" if name in self.plan.packed else "integer"}
                for side, port, name in (("input", i, self.graph.input), ("output", o, self.graph.output))
            },
            [f"rtl/{f}" for f in self.verilog],
            {"yosys": yosys_version()},
            registers.describe(self.name, loads=self.ports.load is not None) if axi_lite else None,
            None if measured is None else resources.describe(measured),
        )
        if self.own_estimate is not None:
            found["estimate"] = self.own_estimate.describe()
        if self.fitting is not None:
            found["fit"] = self.fitting.describe()
        return found

    def export(self, folder: str | Path, *, axi_lite: bool = False, measured: Synthesis | None = None) -> Path:
        """Write the IP into `folder/NAME`, whole or not at all.

        Args:
            folder: that receives the IP's folder.
            axi_lite: add `NAME_axil`, the core behind registers (start, done, interrupt; weights, where they are
                writable).
            measured: from `synthesize`: what the datasheet shall say of resources.

        Returns:
            The IP's folder.

        Raises:
            ConfigurationError: the folder cannot be written to, or holds something else; registers were asked for
                around a free-running pipeline.
            ToolError: Yosys is missing.
        """
        target = Path(folder) / self.name
        package.check_target(target)
        facts = self.facts(axi_lite=axi_lite, measured=measured)
        return package.write(target, self.verilog, dict(facts.metadata), self.plan.folding(), ip_files(facts))

    def facts(self, *, axi_lite: bool = False, measured: Synthesis | None = None) -> IpFacts:
        """What the files beside the Verilog are written from; arguments and errors as for `export`."""
        if axi_lite and not self.plan.settings.backpressure:
            raise ConfigurationError(
                "Registers on AXI4-Lite must stand around AXI4-Stream, not the free-running pipeline: leave out "
                "backpressure=False (--free-running)"
            )
        frames = min(BENCH_FRAMES, max(4, MAX_VECTOR_CYCLES // self.plan.interval))
        codes = stimuli.draw(self.graph, frames)
        metadata = self.metadata(axi_lite=axi_lite, measured=measured)
        return IpFacts(self.graph, metadata, asdict(self.ports), codes, self._outputs(codes), self._outputs)

    def _outputs(self, codes: Codes) -> Codes:
        return self.graph.evaluate(codes)[self.graph.output]

    def synthesize(
        self,
        target: str,
        *,
        stages: bool = True,
        seeds: int = 1,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> Synthesis:
        """Cells and clock on a device, out of context: every port registered, no pads; nothing of that is counted.

        Args:
            target: a part of Lattice (`"ecp5-25f"`, `"ice40-up5k"`, ...), which is placed and routed for the design's
                clock, or a family (`"xcup"`, `"xc7"`, `"ecp5"`, `"ice40"`), for which cells are counted only.
            stages: measure each stage by itself too.
            seeds: placements of each; the fastest counts.
            jobs: runs at a time; None: as many as there are processors.
            progress: called with (what, runs done, runs in all).

        Raises:
            ConfigurationError: an unknown target, no seeds, no jobs.
            ToolError: a tool is missing, or the design does not fit the part.
        """
        clock_mhz = self.plan.settings.clock_mhz
        return synthesize_design(
            self.verilog, self.name, self.ports.clock, target, clock_mhz, stages, seeds, jobs, progress
        )

    def with_weights(self, weights: Mapping[str, ArrayLike], biases: Mapping[str, ArrayLike] | None = None) -> Graph:
        """The graph that the hardware computes once these weights are loaded; see `weight_words`."""
        return writable.with_weights(self.graph, weights, biases)

    def weight_words(self, weights: Mapping[str, ArrayLike], biases: Mapping[str, ArrayLike] | None = None) -> Codes:
        """What loads other weights: int64 (writes, 2), address and data; a commit behind them puts them to use.

        Args:
            weights: by layer, codes (n_in, n_out) in the graph's order of elements; other layers stay as they are.
            biases: by layer, codes (n_out,); those of named layers that are left out are the model's.

        Raises:
            ConfigurationError: the design's weights are fixed, an unknown layer, or numbers beyond the layer's bits.
        """
        return writable.weight_words(self.graph, self.plan, weights, biases)

    # ---- Verification

    def verify(
        self,
        x: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        samples: int = 1000,
        seed: int = 0,
        rtl: bool = True,
        bench: bool = False,
        progress: Progress | None = None,
    ) -> Verification:
        """Compare reference with ONNX file, Verilog with reference, cycles with the plan.

        Args:
            x: real inputs (N, ...); None: stimuli that reach extremes and rounding ties are drawn.
            labels: the right class for each x: accuracies are reported too.
            samples: how many stimuli are drawn.
            seed: of the stimuli.
            rtl: False: the reference alone.
            bench: run the cocotb protocol bench too.
            progress: called with (step, done, all).

        Raises:
            ModelError: the graph came from no file, or x has another shape or no samples.
            ToolError: a simulator is asked for and not there.
        """
        graph = self.graph
        model = equality.source_model(graph)
        seconds: dict[str, float] = {}
        notify = progress or (lambda step, done, total: None)

        def timed(step: str, started: float) -> None:
            seconds[step] = round(time.perf_counter() - started, 3)

        started = time.perf_counter()
        values, codes = self._inputs(x, samples, seed)
        timed("stimuli", started)
        started = time.perf_counter()
        equal = equality.compare(
            graph, model, values, codes, self.decode, lambda d, t: notify("reference against ONNX", d, t)
        )
        kept = graph.evaluate(codes, keep=[graph.input, *(o.output for o in graph.operators)])
        timed("reference", started)
        accuracy = None
        if labels is not None:
            accuracy = self._accuracy(values, kept[graph.output], np.asarray(labels).reshape(-1), notify)
        checked, counted, protocol = None, None, None
        if rtl:
            started = time.perf_counter()
            notify("Verilog", 0, 1)
            counted = count_multipliers(self.verilog, self.name)
            timed("verilog", started)
            started = time.perf_counter()
            notify("building the simulation", 0, 1)
            simulation = self.simulation
            timed("simulation build", started)
            started = time.perf_counter()
            frames = len(codes) if x is not None else min(len(codes), max(16, MAX_RTL_CYCLES // self.plan.interval))
            checked = rtl_check.check(
                simulation,
                self.plan,
                self.plan.to_wires(graph.input, codes[:frames]),
                self.plan.to_wires(graph.output, kept[graph.output][:frames]),
                lambda d, t: notify("Verilog against reference", d, t),
            )
            timed("simulation", started)
        if bench and rtl:
            started = time.perf_counter()
            notify("protocol bench", 0, 1)
            protocol = self._bench(codes)
            timed("protocol bench", started)
        shown = {name: seen for name, seen in kept.items() if name != graph.input}
        return Verification(self.plan, equal, checked, protocol, counted, coverage(graph, shown), accuracy, seconds)

    def _inputs(self, x: ArrayLike | None, samples: int, seed: int) -> tuple[Reals, Codes]:
        graph = self.graph
        order = graph.prologue.order
        if x is not None:
            values = np.asarray(x, np.float32)
            if not len(values):
                raise ModelError("Input must have at least one sample, not none")
        else:
            drawn = stimuli.draw(graph, samples, seed)
            if graph.input_format is not None:
                return graph.input_format.decode(drawn[:, order]).reshape(len(drawn), *graph.input_shape), drawn
            border = graph.input_tensor.format.real(drawn)[:, order].reshape(len(drawn), *graph.prologue.shape)
            values = host.invert(graph.prologue, border, graph.input_shape)
        codes = self.encode(values)
        if graph.input_format is not None:
            # The file shall see what the pins carry.
            values = graph.input_format.decode(codes[:, order]).reshape(len(codes), *graph.input_shape)
        return values, codes

    def _accuracy(self, values: Reals, output: Codes, labels: NDArray, notify: Progress) -> dict[str, float]:
        if len(labels) != len(values):
            raise ModelError(f"Labels must be as many as inputs, {len(values)}, not {len(labels)}")
        judged = equality.executor_output(self.graph, values, lambda d, t: notify("ONNX executor", d, t))
        results = {"reference": self.decode(output), "onnx": judged}
        return {name: float(np.mean(_classes(y.reshape(len(labels), -1)) == labels)) for name, y in results.items()}

    def _bench(self, codes: Codes) -> cocotb_bench.BenchResult:
        with tempfile.TemporaryDirectory(prefix="rtl4ml-") as folder:
            return cocotb_bench.run_bench(
                self.name,
                self._write_verilog(Path(folder)),
                self.ports,
                self.plan.to_wires(self.graph.input, codes[:BENCH_FRAMES]),
                lambda frames: self.plan.graph.evaluate(frames)[self.graph.output],
                self.plan.latency,
                self.plan.interval,
            )


def _classes(outputs: NDArray) -> NDArray:
    """Numbers of the classes chosen: a single output is one already."""
    return outputs[:, 0] if outputs.shape[1] == 1 else outputs.argmax(axis=1)
