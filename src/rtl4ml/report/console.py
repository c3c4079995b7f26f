"""Tables for people: what a graph is, what a plan costs, what a verification saw."""

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from rtl4ml.graph import Graph
from rtl4ml.planning.plan import Plan, describe_form
from rtl4ml.report.verification import Verification
from rtl4ml.simulation.verilator import ToolStatus


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        left = column in ("tensor", "node", "format", "stage", "staircase", "what", "tool", "needed for", "how to get it", "made by")
        table.add_column(column, justify="left" if left else "right", overflow="fold")
    return table


def graph_table(graph: Graph) -> RenderableType:
    """Tensors and operators, the host's parts above and below."""
    table = _table(f"{graph.name}: {graph.multiplications} multiplications an inference", "tensor", "made by", "shape", "format", "range")
    makers = {o.output: o for o in graph.operators}
    for name, tensor in graph.tensors.items():
        maker = makers.get(name)
        made = "input" if maker is None else f"{maker.kind} {maker.name}"
        table.add_row(name, made, "x".join(map(str, tensor.shape)), str(tensor.format), f"{tensor.range[0]} .. {tensor.range[1]}")
    before, after = graph.prologue.description, graph.epilogue.description
    lines: list[RenderableType] = [table]
    lines.append(Text(f"host, in front: {' -> '.join(before) or 'nothing'}; behind: {' -> '.join(after) or 'nothing'}"))
    return Group(*lines)


def plan_table(plan: Plan) -> RenderableType:
    """Stages with tile, multipliers, cycles and staircases."""
    table = _table("Plan", "stage", "reuse", "tile", "multipliers", "interval", "pipeline", "lanes", "staircase")
    for planned in plan.stages:
        stage = planned.stage
        forms = sorted({describe_form(form) for form in planned.forms.values()})
        table.add_row(
            " -> ".join(stage.operators),
            str(planned.reuse),
            "adders" if planned.tile is None else f"{planned.tile[0]} x {planned.tile[1]}",
            str(stage.multipliers),
            str(planned.interval),
            str(stage.timing.depth),
            f"{stage.lanes_in} -> {stage.lanes_out}",
            "; ".join(forms) or "none",
        )
    efficiency = "" if plan.efficiency is None else f", efficiency of the multipliers {plan.efficiency:.2f}"
    clock = plan.settings.clock_mhz
    text = (
        f"latency {plan.latency} cycles ({plan.latency / clock * 1000:.0f} ns at {clock:g} MHz), interval {plan.interval} cycles, "
        f"{plan.multipliers} multipliers{efficiency}"
    )
    return Group(table, Text(text))


def verification_table(result: Verification) -> RenderableType:
    """Everything compared, one line each, and the verdict."""
    table = _table("Verification", "what", "compared", "planned", "measured", "differences")
    equal = result.equality
    table.add_row("reference = strict judge (exact sums)", f"{equal.codes} codes, {equal.samples} inputs", "", "", str(equal.mismatches))
    required = "must be 0" if equal.judge_required else "float32 sums"
    table.add_row(f"strict judge = ONNX executor, codes ({required})", "", "", "", str(equal.judge_differences))
    table.add_row(f"strict judge = ONNX executor, output bits ({required})", "", "", "", str(equal.output_differences))
    if result.rtl is not None:
        rtl = result.rtl
        frames = f"{rtl.codes} codes, {rtl.frames} frames, {rtl.stalled_frames} stalled"
        table.add_row("Verilog = reference", frames, "", "", str(rtl.mismatches))
        table.add_row("latency, cycles", "", str(result.plan.latency), str(rtl.latency), str(abs(rtl.latency - result.plan.latency)))
        interval = "" if rtl.interval is None else str(rtl.interval)
        table.add_row("interval, cycles", "", str(result.plan.interval), interval, "" if not interval else str(abs(int(interval) - result.plan.interval)))
        table.add_row("every beat on schedule", f"{rtl.cycles} cycles", "", "yes" if rtl.on_schedule else "no", "")
        table.add_row("multipliers in the Verilog", "", str(result.plan.multipliers), str(result.counted_multipliers), "")
    if result.bench is not None:
        for case in result.bench.cases:
            table.add_row(f"protocol: {case.name}", "", "", case.state, case.message)
    parts: list[RenderableType] = [table]
    for reason in equal.unjudged:
        parts.append(Text(f"not judged from integers: {reason}", style="red"))
    if result.accuracy is not None:
        shown = ", ".join(f"{name} {value:.2%}" for name, value in result.accuracy.items())
        parts.append(Text(f"accuracy: {shown}"))
    seen = _table("Range of output codes seen", "tensor", "mean over channels", "worst channel")
    for item in result.coverage:
        seen.add_row(item.tensor, f"{item.mean:.0%}", f"{item.worst:.0%}")
    parts.append(seen)
    for difference in equal.worst[:5]:
        parts.append(
            Text(f"executor differs: {difference.tensor}, sample {difference.sample}, element {difference.element}: {difference.judge:g}, exact {difference.exact:g}")
        )
    parts.append(seconds_line(result.seconds))
    parts.append(Text("PASSED" if result.passed else "FAILED", style="bold green" if result.passed else "bold red"))
    return Group(*parts)


def seconds_line(seconds: dict[str, float] | object) -> Text:
    """Time of each step."""
    assert hasattr(seconds, "items")
    return Text("seconds: " + ", ".join(f"{step} {taken:.2f}" for step, taken in seconds.items()))


def tools_table(tools: list[ToolStatus]) -> RenderableType:
    """What `doctor` found."""
    table = _table("Tools", "tool", "version", "state", "needed for", "how to get it")
    for tool in tools:
        table.add_row(tool.name, tool.version or "", tool.state, tool.needed_for, tool.hint or "")
    return table


def console(*, stderr: bool = False) -> Console:
    """Where people read."""
    return Console(stderr=stderr, soft_wrap=False)
