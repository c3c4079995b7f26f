"""Tables for people: what a graph is, what a plan costs, what a verification saw."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from rtl4ml.frontend.equality import Departure, announced
from rtl4ml.graph import Graph
from rtl4ml.planning.description import describe_form, digit_words, tile_words
from rtl4ml.planning.plan import Plan
from rtl4ml.report.verification import Verification
from rtl4ml.simulation.verilator import ToolStatus

DEPARTURES_SHOWN = 40
"""Lines of the table of departures; JSON has them all."""


NUMBERS = frozenset(
    ("reuse", "multipliers", "LUT products", "interval", "pipeline", "mean over channels", "worst channel")
)
"""Columns that stand to the right."""


def _table(title: str, *columns: str) -> Table:
    table = Table(title=Text(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in columns:
        left = column not in NUMBERS
        table.add_column(column, justify="left" if left else "right", overflow="fold")
    return table


def _add(table: Table, *cells: str | Text) -> None:
    """A row whose text is taken as it is: names of nodes may hold what rich takes for markup."""
    table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))


def graph_table(graph: Graph) -> RenderableType:
    """Tensors and operators, the host's parts above and below."""
    table = _table(
        f"{graph.name}: {graph.multiplications} multiplications an inference",
        "tensor",
        "made by",
        "shape",
        "format",
        "range",
    )
    makers = {o.output: o for o in graph.operators}
    for name, tensor in graph.tensors.items():
        maker = makers.get(name)
        made = "input" if maker is None else f"{maker.kind} {maker.name}"
        _add(
            table,
            name,
            made,
            "x".join(map(str, tensor.shape)),
            str(tensor.format),
            f"{tensor.range[0]} .. {tensor.range[1]}",
        )
    before, after = graph.prologue.description, graph.epilogue.description
    lines: list[RenderableType] = [table]
    lines += [departures_table(announced(graph))] if announced(graph) else []
    lines.append(Text(f"host, in front: {' -> '.join(before) or 'nothing'}; behind: {' -> '.join(after) or 'nothing'}"))
    return Group(*lines)


def departures_table(found: Sequence[Departure]) -> RenderableType:
    """Accumulators at which exact arithmetic gives another code than float32."""
    count = sum(d.last - d.first + 1 for d in found)
    title = f"Exact chains leave float32 at {count} accumulators"
    table = _table(title, "tensor", "channel", "accumulator", "code", "in float32")
    for d in found[:DEPARTURES_SHOWN]:
        where = str(d.first) if d.first == d.last else f"{d.first} .. {d.last}"
        _add(table, d.tensor, "all" if d.channel is None else str(d.channel), where, str(d.code), str(d.float32))
    if len(found) > DEPARTURES_SHOWN:
        _add(table, f"and {len(found) - DEPARTURES_SHOWN} more", "", "", "", "")
    return table


def plan_table(plan: Plan) -> RenderableType:
    """Stages with tile, multipliers, cycles and staircases."""
    counts = "multipliers", "LUT products", "interval", "pipeline"
    table = _table("Plan", "stage", "reuse", "tile", *counts, "lanes", "staircase")
    for planned in plan.stages:
        stage = planned.stage
        forms = sorted({describe_form(form) for form in planned.forms.values()})
        _add(
            table,
            " -> ".join(stage.operators) or stage.name,
            str(planned.reuse),
            digit_words(planned.digits) or tile_words(planned.tile) or ("adders" if planned.multiplications else ""),
            str(stage.multipliers),
            str(planned.stage.logic_products),
            str(planned.interval),
            str(stage.timing.depth),
            f"{stage.lanes_in} -> {stage.lanes_out}",
            "; ".join(forms) or "none",
        )
    efficiency = "" if plan.efficiency is None else f", efficiency of the tiles {plan.efficiency:.2f}"
    clock = plan.settings.clock_mhz
    text = (
        f"latency {plan.latency} cycles ({plan.latency / clock * 1000:.0f} ns at {clock:g} MHz), interval "
        f"{plan.interval} cycles, {plan.multipliers} multipliers, {plan.logic_products} products in LUTs{efficiency}, "
        f"{plan.memory_bits / 1000:.1f} kbit in memories and FIFOs of stages"
    )
    parts: list[RenderableType] = [table, Text(text)]
    if plan.fifos:
        parts.append(_fifo_table(plan))
    return Group(*parts)


def _fifo_table(plan: Plan) -> RenderableType:
    """FIFOs behind forks: depth, the least without which the network stops for ever, and what keeps the interval."""
    table = _table("FIFOs behind forks, in beats", "tensor", "to", "depth", "to run", "for the interval")
    for fifo in plan.fifos:
        branch = fifo.branch
        reader = "output" if branch.stage is None else plan.stages[branch.stage].stage.name
        _add(table, branch.tensor, reader, str(fifo.depth), str(fifo.live), str(fifo.full_rate))
    return table


def _verdict(held: bool, text: str = "") -> Text:
    return Text(text or ("held" if held else "FAILED"), style="green" if held else "bold red")


def verification_table(result: Verification) -> RenderableType:
    """Everything compared, one line each, and the verdict."""
    equal, rtl, plan = result.equality, result.rtl, result.plan
    table = _table("Verification", "what", "seen", "verdict")
    _add(
        table,
        "reference = strict judge",
        f"{equal.mismatches} of {equal.codes} codes differ, {equal.samples} inputs",
        _verdict(equal.mismatches == 0),
    )
    differs = f"{equal.judge_differences} codes, {equal.output_differences} output values differ"
    why = "power-of-two scales: none may" if equal.judge_required else "float32 sums round"
    _add(
        table,
        "strict judge = ONNX executor",
        f"{differs} ({why})",
        _verdict(equal.passed or equal.mismatches > 0, "" if equal.judge_required else "noted"),
    )
    if equal.announced:
        runs = sum(d.last - d.first + 1 for d in equal.announced)
        _add(
            table,
            "exact chains = float32",
            f"{equal.departures} codes differ, each at one of the {runs} accumulators announced",
            _verdict(equal.mismatches == 0, "noted" if equal.mismatches == 0 else "FAILED"),
        )
    if rtl is not None:
        _add(
            table,
            "Verilog = reference",
            f"{rtl.mismatches} of {rtl.codes} codes differ, {rtl.frames} frames, {rtl.stalled_frames} again with "
            "stalls",
            _verdict(rtl.mismatches == 0),
        )
        _add(
            table,
            "latency",
            f"planned {plan.latency}, measured {rtl.latency} cycles",
            _verdict(plan.latency == rtl.latency),
        )
        measured = "none" if rtl.interval is None else str(rtl.interval)
        _add(
            table,
            "interval",
            f"planned {plan.interval}, measured {measured} cycles",
            _verdict(rtl.interval in (None, plan.interval)),
        )
        _add(table, "every beat in its cycle", f"{rtl.cycles} cycles in {rtl.seconds:.2f} s", _verdict(rtl.on_schedule))
        _add(table, "framing", "tlast, tuser, error", _verdict(rtl.framing))
        counted = result.counted_multipliers
        _add(
            table,
            "multipliers",
            f"planned {plan.multipliers}, counted in the Verilog {counted}",
            _verdict(plan.multipliers == counted),
        )
    if result.bench is not None:
        for case in result.bench.cases:
            _add(
                table,
                f"protocol: {case.name.replace('_', ' ')}",
                case.message or f"{case.seconds:.1f} s",
                _verdict(case.state != "failed", case.state),
            )
    parts: list[RenderableType] = [table]
    parts += [Text(f"not judged from integers: {reason}", style="red") for reason in equal.unjudged]
    if result.accuracy is not None:
        shown = ", ".join(f"{name} {value:.2%}" for name, value in result.accuracy.items())
        parts.append(Text(f"accuracy: {shown}"))
    seen = _table("Range of codes seen", "tensor", "mean over channels", "worst channel")
    for item in result.coverage:
        _add(seen, item.tensor, f"{item.mean:.0%}", f"{item.worst:.0%}")
    parts.append(seen)
    for difference in equal.worst[:5]:
        parts.append(
            Text(
                f"executor differs: {difference.tensor}, sample {difference.sample}, element {difference.element}: "
                f"{difference.judge:g}, exact {difference.exact:g}"
            )
        )
    parts.append(seconds_line(result.seconds))
    parts.append(_verdict(result.passed, "PASSED" if result.passed else "FAILED"))
    return Group(*parts)


def seconds_line(seconds: Mapping[str, float]) -> Text:
    """Time of each step."""
    return Text("seconds: " + ", ".join(f"{step} {taken:.2f}" for step, taken in seconds.items()))


def tools_table(tools: list[ToolStatus]) -> RenderableType:
    """What `doctor` found."""
    table = _table("Tools", "tool", "version", "state", "needed for", "how to get it")
    for tool in tools:
        _add(table, tool.name, tool.version or "", tool.state, tool.needed_for, tool.hint or "")
    return table


def console(*, stderr: bool = False) -> Console:
    """Where people read; files and pipes get lines that are wide enough."""
    found = Console(stderr=stderr)
    return found if found.is_terminal else Console(stderr=stderr, width=160)
