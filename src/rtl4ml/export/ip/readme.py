"""The datasheet of an IP."""

from collections.abc import Iterator, Mapping
from typing import Any

from rtl4ml.export.ip.border import encoder
from rtl4ml.export.ip.facts import IpFacts, Stream, plain
from rtl4ml.export.ip.registers import registers
from rtl4ml.export.ip.resources import sentence
from rtl4ml.export.ip.vectors import beats
from rtl4ml.export.templates import render
from rtl4ml.formats import Codes

BOX = 100
SHOWN_BEATS = 4
SHOWN_CODES = 8


def readme(facts: IpFacts) -> str:
    """Text of README.md."""
    metadata = facts.metadata
    low, high = facts.graph.input_tensor.range
    host_before, host_after = _host(facts)
    return render(
        "ip/README.md.j2",
        **facts.common(),
        source=metadata["source"] | {key: metadata["source"].get(key) for key in ("file", "sha256")},
        rate=f"{metadata['clock_mhz'] * 1e6 / metadata['interval_cycles']:,.0f}",
        resources=sentence(metadata),
        diagram="\n".join(_diagram(facts)),
        sides=[
            _side("Input", facts.input, metadata["input"], "ignored above the element's bits"),
            _side("Output", facts.output, metadata["output"], ""),
        ],
        example="\n".join(_example(facts)),
        registers=registers(loads=bool(facts.load)) if facts.control else (),
        axil_ports=facts.axil_port_list if facts.control else (),
        low=low,
        high=high,
        host_before=host_before,
        host_after=host_after,
    )


def _box(lines: list[str]) -> Iterator[str]:
    yield f"+{'-' * (BOX - 2)}+"
    for line in lines:
        yield f"| {line[: BOX - 4]:<{BOX - 4}} |"
    yield f"+{'-' * (BOX - 2)}+"


def _diagram(facts: IpFacts) -> Iterator[str]:
    """The stages one below the other; what each reads is named where it is not the one above."""
    metadata = facts.metadata
    bus_in, bus_out = ("s_axis", "m_axis") if facts.streaming else ("i", "o")
    yield f"{bus_in}: {metadata['input']['elements']} elements, {metadata['input']['lanes']} a beat"
    above = metadata["input"]["tensor"]
    for index, stage in enumerate(metadata["plan"]["stages"]):
        reads = stage.get("inputs", [above])
        yield "  |"
        yield "  v"
        nodes = " -> ".join(stage["operators"]) or stage["name"]
        facts_line = f"{stage['multipliers']} multipliers, a frame in {stage['interval_cycles']} cycles"
        lines = [plain(f"stage {index}: {nodes}"), facts_line]
        if reads != [above]:
            lines.insert(1, plain(f"reads {', '.join(reads)}"))
        yield from _box(lines)
        above = stage.get("output", above)
        yield f"  |  {plain(above)}: {stage['lanes_out']} a beat"
    yield "  v"
    yield f"{bus_out}: {metadata['output']['elements']} elements, {metadata['output']['lanes']} a beat"


def _side(title: str, stream: Stream, described: Mapping[str, Any], ignored: str) -> dict[str, Any]:
    spare = stream.slot - stream.bits
    if not spare:
        extension = ", without gaps"
    elif ignored:
        extension = f"; the other {spare} bits of its {stream.slot}-bit slot are ignored"
    else:
        extension = f", {'sign' if stream.signed else 'zero'}-extended to {stream.slot} bits"
    kind = described["format"]
    if stream.bipolar:
        meaning = "A bit of 0 is code -1, a bit of 1 is code +1."
    else:
        meaning = "The number on the wires is the code."
    scale, zero = kind["scale"], kind["zero_point"]
    if isinstance(scale, list) or isinstance(zero, list):
        meaning += " value = (code - zero_point) * scale, with scales and zero points in `metadata.json`."
    else:
        meaning += f" value = {f'(code - {zero})' if zero else 'code'} * {scale!r}."
    if described["order"] is None:
        order = "Elements stand in the order of the file's tensor, row-major."
    else:
        order = f"Element e is element `{title.lower()}.order[e]` (`metadata.json`) of the file's row-major tensor."
    return {
        "title": title,
        "stream": stream,
        "shape": " x ".join(map(str, described["shape"])) or "1",
        "extension": extension,
        "order": order,
        "meaning": meaning,
    }


def _example(facts: IpFacts) -> Iterator[str]:
    for title, stream, codes in (("input", facts.input, facts.codes), ("output", facts.output, facts.outputs)):
        frame: Codes = codes[:1]
        shown = ", ".join(map(str, frame[0, :SHOWN_CODES].tolist()))
        yield f"{title} codes: {shown}{', ...' if frame.shape[1] > SHOWN_CODES else ''}"
        words = beats(stream, frame, unused=0)
        digits = -(-stream.width // 4)
        for beat, word in enumerate(words[:SHOWN_BEATS]):
            last = f"  {stream.last} = 1" if stream.last and beat == len(words) - 1 else ""
            yield f"  beat {beat}: {stream.data} = {stream.width}'h{word:0{digits}x}{last}"
        if len(words) > SHOWN_BEATS:
            yield f"  ... {len(words)} beats"


def _host(facts: IpFacts) -> tuple[str, str]:
    encode = encoder(facts.graph)
    prologue, epilogue = facts.metadata["host"]["prologue"], facts.metadata["host"]["epilogue"]
    before = f"the file's {', '.join(prologue)}, then " if prologue else ""
    if encode is None:
        before += "a quantizer that only the executor can run."
    else:
        before += {
            "bipolar": "+1 for values from 0 on, else -1.",
            "fixed": "rounding to the input format, half to even, saturating.",
            "integer": "nothing: the file's input is integers.",
        }.get(encode["kind"]) or _quantizer(encode)
    after = "`decode` of the software models makes real values of the codes"
    after += f", then the file's {', '.join(epilogue)}." if epilogue else "."
    return before, after


def _quantizer(encode: Mapping[str, Any]) -> str:
    """The file's first quantizer in words; its numbers too where all elements share them."""
    text = "the file's first quantizer (`encode` of the software models)"
    scale, zero = encode["scale"], encode["zero_point"]
    if len(scale) > 1 or len(zero) > 1:
        return f"{text}."
    rounding = encode.get("rounding", "ROUND")
    how = "half to even" if rounding in ("ROUND", "HALF_EVEN") else rounding.lower().replace("_", " ")
    offset = f" + {zero[0]:g}" if zero[0] else ""
    # A linear quantizer rounds before it adds, a Quant node behind.
    inner, outer = (offset, "") if encode["kind"] == "quant" else ("", offset)
    return (
        f"{text}: code = round(value / {scale[0]!r}{inner}){outer}, {how}, clipped to [{encode['low']}, "
        f"{encode['high']}], in float32."
    )
