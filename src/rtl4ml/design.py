"""A compiled network: predict, trace, emulate, verify, export."""

import functools
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray

from rtl4ml.errors import ConfigurationError, ModelError
from rtl4ml.export import design_files, metadata, package
from rtl4ml.export.verilog import count_multipliers, yosys_version
from rtl4ml.formats import Codes, Reals
from rtl4ml.frontend import equality, host
from rtl4ml.frontend.judge import Judge
from rtl4ml.graph import Graph
from rtl4ml.planning import settings as planning_settings
from rtl4ml.planning.plan import Plan, plan
from rtl4ml.report.verification import Verification, coverage
from rtl4ml.simulation import cocotb_bench, rtl_check, stimuli
from rtl4ml.simulation.native import NativeSimulation
from rtl4ml.simulation.ports import Ports, axis_ports, pipeline_ports

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

VERILOG_WORDS = frozenset(
    "always and assign automatic begin buf case cell config deassign default defparam design disable edge else end endcase endconfig endfunction endgenerate "
    "endmodule endprimitive endspecify endtable endtask event for force forever fork function generate genvar if ifnone initial inout input instance integer join "
    "large liblist library localparam macromodule medium module nand negedge nor not or output parameter pmos posedge primitive pull real reg release repeat scalared "
    "signed small specify strong supply table task time tran tri trireg unsigned use vectored wait wand weak while wire wor xnor xor".split()
)

MAX_RTL_CYCLES = 400_000
BENCH_FRAMES = 24


def compile(  # noqa: A001  (the word of the field)
    graph: Graph,
    reuse: int | str | Mapping[str, int] = 1,
    lanes: int | None = None,
    clock_mhz: float = 200.0,
    backpressure: bool = True,
    name: str | None = None,
    config: str | Path | None = None,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
) -> "Design":
    """Plan a graph's hardware.

    Args:
        graph: from `rtl4ml.load`.
        reuse: reuse factor of the network, or a table of layers with an optional entry `default`, or `"8,fc1=4"`.
        lanes: elements of an input beat; None: all of them when the first layer is unrolled, else as few as keep the interval.
        clock_mhz: the clock that registers are placed for.
        backpressure: False builds the free-running pipeline.
        name: of the IP: a Verilog identifier; None: made from the file's name.
        config: TOML or YAML file with settings; the other arguments win where they are not at their defaults.
        force: unroll layers even when that takes minutes.
        progress: called with the name of each stage while it is planned.

    Raises:
        ConfigurationError: a setting that has no meaning or does not fit the graph.
    """
    base = planning_settings.from_file(config) if config is not None else planning_settings.Settings()
    given: dict[str, Any] = {"reuse": reuse, "lanes": lanes, "clock_mhz": clock_mhz, "backpressure": backpressure}
    defaults = planning_settings.Settings()
    given = {key: value for key, value in given.items() if config is None or value != getattr(defaults, key)}
    chosen = planning_settings.from_mapping(given, base)
    return Design(graph, plan(graph, chosen, force=force, progress=progress), ip_name(graph.name if name is None else name, given=name is not None))


def ip_name(text: str, *, given: bool) -> str:
    """A name for the modules: checked when the user gave it, made plain when it comes from a file.

    Raises:
        ConfigurationError: a given name is no plain Verilog identifier.
    """
    if given:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text) or text in VERILOG_WORDS:
            raise ConfigurationError(f"Name must be a plain Verilog identifier (letters, digits, underscores, no keyword), not {text!r}")
        return text
    plain = re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_")
    if not plain or plain[0].isdigit():
        plain = f"net_{plain}".rstrip("_")
    return f"{plain}_net" if plain in VERILOG_WORDS else plain


class Design:
    """A graph with its plan.

    Parameters:
        graph: what is computed.
        plan: how: stages, latency, interval.
        name: of the IP.
    """

    def __init__(self, graph: Graph, plan: Plan, name: str) -> None:
        self.graph = graph
        self.plan = plan
        self.name = name

    # ---- Software

    def encode(self, x: ArrayLike) -> Codes:
        """Real values in the file's input layout, (N, ...), to the hardware's input codes (N, n_in).

        Raises:
            ModelError: another shape, or values that are not finite.
        """
        graph = self.graph
        values = np.asarray(x, np.float32)
        if values.shape == graph.input_shape:
            values = values[None]
        if values.shape[1:] != graph.input_shape:
            wanted = ", ".join(["N", *map(str, graph.input_shape)])
            raise ModelError(f"Input must have shape ({wanted}), not {values.shape}")
        if not np.all(np.isfinite(values)):
            raise ModelError("Input must be finite, not NaN or infinite")
        assert graph.encode is not None
        return graph.encode(host.run(graph.prologue, values)).reshape(len(values), -1)

    def decode(self, codes: Codes) -> Reals:
        """Output codes (N, n_out) to real values in the file's output layout, through the host's epilogue."""
        graph = self.graph
        reals = graph.output_tensor.format.real(codes, graph.epilogue.bias)
        shaped = reals[:, graph.epilogue.order].reshape(len(codes), *graph.epilogue.shape)
        return host.run(graph.epilogue, shaped)

    def predict(self, x: ArrayLike, *, codes: bool = False, progress: Callable[[int, int], None] | None = None) -> NDArray:
        """The reference on real values (N, ...) in the file's input layout.

        Returns:
            Real values in the file's output layout, as the ONNX executor would; with `codes`, the integers (N, n_out) of the hardware's output.

        Raises:
            ModelError: another shape, or values that are not finite.
        """
        result = self.graph.evaluate(self.encode(x), progress=progress)[self.graph.output]
        return result if codes else self.decode(result)

    def trace(self, x: ArrayLike) -> dict[str, Codes]:
        """Codes of every tensor by its name in the file, int64 (N, ...) in the file's layout."""
        values = self.graph.evaluate(self.encode(x), keep=self.graph.tensors)
        layouts = self.graph.layouts
        return {name: v[:, layouts[name].reshape(-1)].reshape(len(v), *layouts[name].shape[1:]) for name, v in values.items()}

    # ---- Hardware

    @functools.cached_property
    def verilog(self) -> dict[str, str]:
        """All Verilog files by name, the wrapper first."""
        return design_files.verilog_files(self.graph, self.plan, self.name)

    @functools.cached_property
    def ports(self) -> Ports:
        """The wrapper's ports."""
        i, o = design_files.sides(self.plan)
        shape: dict[str, Any] = {"n_in": self.graph.input_tensor.size, "n_out": self.graph.output_tensor.size}
        for side, port in (("in", i), ("out", o)):
            shape |= {f"lanes_{side}": port.lanes, f"{side}_bits": port.bits, f"{side}_signed": port.signed}
        if not self.plan.settings.backpressure:
            return pipeline_ports(**shape)
        return axis_ports(**shape, in_slot=i.slot, out_slot=o.slot)

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

    def emulate(self, x: ArrayLike, *, codes: bool = False, progress: Callable[[int, int], None] | None = None) -> NDArray:
        """Like `predict`, through the Verilog."""
        spacing = 0 if self.plan.settings.backpressure else self.plan.interval
        patience = 10 * self.plan.interval + self.plan.latency + 10_000
        result = self.simulation.run(self.encode(x), spacing=spacing, patience=patience, progress=progress).codes
        return result if codes else self.decode(result)

    def metadata(self) -> dict[str, Any]:
        """What `metadata.json` holds."""
        i, o = design_files.sides(self.plan)
        return metadata.describe(
            self.graph, self.plan, self.name, {"input": dict(i.__dict__), "output": dict(o.__dict__)}, [f"rtl/{f}" for f in self.verilog], {"yosys": yosys_version()}
        )

    def export(self, folder: str | Path) -> Path:
        """Write the IP into `folder/NAME`, whole or not at all.

        Returns:
            The IP's folder.

        Raises:
            ConfigurationError: the folder cannot be written to, or holds something else.
            ToolError: Yosys is missing.
        """
        target = Path(folder) / self.name
        package.check_target(target)
        return package.write(target, self.verilog, self.metadata())

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
            ModelError: the graph came from no file, or x has another shape.
            ToolError: a simulator is asked for and not there.
        """
        graph = self.graph
        if not graph.model:
            raise ModelError(f"Graph {graph.name!r} must come from an ONNX file to be verified against it")
        model = onnx.ModelProto.FromString(graph.model)
        seconds: dict[str, float] = {}
        notify = progress or (lambda step, done, total: None)

        def timed(step: str, started: float) -> None:
            seconds[step] = round(time.perf_counter() - started, 3)

        started = time.perf_counter()
        values, codes = self._inputs(x, samples, seed)
        timed("stimuli", started)
        started = time.perf_counter()
        equal = equality.compare(graph, model, values, codes, self.decode, lambda d, t: notify("reference against ONNX", d, t))
        kept = graph.evaluate(codes, keep=[graph.input, *(o.output for o in graph.operators)])
        timed("reference", started)
        accuracy = None
        if labels is not None:
            accuracy = self._accuracy(model, values, kept[graph.output], np.asarray(labels).reshape(-1), notify)
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
            checked = rtl_check.check(simulation, self.plan, codes[:frames], kept[graph.output][:frames], lambda d, t: notify("Verilog against reference", d, t))
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
        if x is not None:
            values = np.asarray(x, np.float32)
        else:
            drawn = stimuli.draw(graph, samples, seed)
            if graph.input_format is not None:
                return graph.input_format.decode(drawn).reshape(len(drawn), *graph.input_shape), drawn
            border = graph.input_tensor.format.real(drawn).reshape(len(drawn), *graph.prologue.shape)
            values = host.invert(graph.prologue, border, graph.input_shape)
        codes = self.encode(values)
        if graph.input_format is not None:
            # The file shall see what the pins carry.
            values = graph.input_format.decode(codes).reshape(len(codes), *graph.input_shape)
        return values, codes

    def _accuracy(self, model: onnx.ModelProto, values: Reals, output: Codes, labels: NDArray, notify: Progress) -> dict[str, float]:
        if len(labels) != len(values):
            raise ModelError(f"Labels must be as many as inputs, {len(values)}, not {len(labels)}")
        end = model.graph.output[0].name
        judged = Judge(model).run(values, [end], lambda d, t: notify("ONNX executor", d, t))[end]
        results = {"reference": self.decode(output), "onnx": judged}
        return {name: float(np.mean(y.reshape(len(labels), -1).argmax(axis=1) == labels)) for name, y in results.items()}

    def _bench(self, codes: Codes) -> cocotb_bench.BenchResult:
        with tempfile.TemporaryDirectory(prefix="rtl4ml-") as folder:
            return cocotb_bench.run_bench(
                self.name,
                self._write_verilog(Path(folder)),
                self.ports,
                codes[:BENCH_FRAMES],
                lambda frames: self.graph.evaluate(frames)[self.graph.output],
                self.plan.latency,
                self.plan.interval,
            )
