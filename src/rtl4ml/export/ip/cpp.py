"""The C++ model of a graph: numbers and statements for rtl_templates/ip/model/model.hpp.j2."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rtl4ml.export.ip.border import decoder, encoder
from rtl4ml.export.ip.cpp_staircase import staircase_lines
from rtl4ml.export.ip.cpp_text import Tables, bytes_of, literal, narrowest, storage
from rtl4ml.export.ip.facts import plain
from rtl4ml.formats import Codes, spread
from rtl4ml.graph import Graph, Operator, Tensor
from rtl4ml.operators import Add, Concat, Conv, Dense, Extreme, Gather, Multiply, Pool, Requantize, Top, Window
from rtl4ml.operators.elementwise import scaled_limits

SUMS = (Add, Conv, Dense, Multiply)
FEW_OUTPUTS = 8
ROUNDINGS = {
    "ROUND": "std::nearbyint(y)",
    "HALF_EVEN": "std::nearbyint(y)",
    "CEIL": "std::ceil(y)",
    "FLOOR": "std::floor(y)",
    "UP": "std::copysign(std::ceil(std::fabs(y)), y)",
    "DOWN": "std::trunc(y)",
    "HALF_UP": "std::copysign(std::floor(std::fabs(y) + 0.5f), y)",
    "HALF_DOWN": "std::copysign(std::ceil(std::fabs(y) - 0.5f), y)",
}


@dataclass(frozen=True)
class Variable:
    """An array of the workspace."""

    type: str
    variable: str
    size: int
    comment: str


@dataclass(frozen=True)
class Step:
    """An operator's statements."""

    comment: str
    lines: list[str]


@dataclass
class Cpp:
    """What the template needs.

    Parameters:
        input_type: of input codes.
        output_type: of output codes.
        input_period: entries of the tables of the input's limits.
        fixed_scale: what real inputs are multiplied with, where the input format is a fixed-point one.
        rounding: expression that rounds y, where the input's quantizer is a Quant node.
        tables: lines.
        workspace: arrays.
        steps: operators in order.
    """

    input_type: str
    output_type: str
    input_period: int
    fixed_scale: str = ""
    rounding: str = ""
    tables: list[str] = field(default_factory=list)
    workspace: list[Variable] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    @property
    def workspace_bytes(self) -> int:
        """Memory of the arrays."""
        return sum(bytes_of(v.type) * v.size for v in self.workspace)


def cpp_model(graph: Graph) -> Cpp:
    """Numbers and statements of a graph."""
    return _Writer(graph).result


class _Writer:
    """Writes operators one by one; `names` and `types` know where tensors are."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._tables = Tables()
        wide = {o.output for o in graph.operators if isinstance(o, SUMS)}
        self._types = {name: storage(tensor, wide=name in wide) for name, tensor in graph.tensors.items()}
        self._names = {graph.input: "x"}
        limits = graph.input_tensor
        self.result = Cpp(self._types[graph.input], self._types[graph.output], limits.low.size)
        self._tables.add("input_low", limits.low)
        self._tables.add("input_high", limits.high)
        self._border()
        for index, operator in enumerate(graph.operators):
            self._write(index, operator)
        if graph.output == graph.input:
            self.result.steps.append(Step("nothing to compute", [f"place<1, {limits.size}, {limits.size}>(x, y);"]))
        self.result.tables = self._tables.lines

    def _border(self) -> None:
        encode, decode = encoder(self._graph), decoder(self._graph)
        if encode is not None:
            if "scale" in encode and encode["kind"] != "fixed":
                self._tables.floats("encode_scale", encode["scale"], "float")
                self._tables.floats("encode_zero", encode["zero_point"], "float")
            if encode["order"] is not None:
                self._tables.add("encode_order", encode["order"])
            self.result.fixed_scale = repr(2.0 ** encode.get("fraction_bits", 0))
            self.result.rounding = ROUNDINGS[encode.get("rounding", "ROUND")]
        self._tables.floats("decode_scale", decode["scale"], "double")
        self._tables.declare(
            "inline constexpr std::int64_t decode_zero[] = {", [literal(v) for v in decode["zero_point"]]
        )
        if decode["bias"] is not None:
            self._tables.floats("decode_bias", decode["bias"], "double")
        if decode["order"] is not None:
            self._tables.add("decode_order", decode["order"])

    def _write(self, index: int, operator: Operator) -> None:
        tensors = tuple(self._graph.tensors[name] for name in (*operator.inputs, operator.output))
        output = tensors[-1]
        if operator.output == self._graph.output:
            self._names[operator.output] = "y"
        else:
            variable = f"t{index}"
            self._names[operator.output] = f"workspace.{variable}"
            kind = self._types[operator.output]
            self.result.workspace.append(Variable(kind, variable, output.size, plain(operator.output)))
        names = [self._names[name] for name in (*operator.inputs, operator.output)]
        lines = WRITERS[type(operator)](self, operator, f"n{index}", tensors, names)
        sources = ", ".join(operator.inputs)
        comment = plain(f"{operator.output} = {operator.kind} {operator.name} ({sources})")
        self.result.steps.append(Step(comment, lines))

    # ---- Operators: each takes itself, a prefix for tables, its tensors and their pointers, outputs last

    def _dense(self, node: Dense, name: str, tensors: tuple[Tensor, ...], at: list[str]) -> list[str]:
        inputs, outputs = node.weights.shape
        few = outputs <= FEW_OUTPUTS < inputs
        weights = self._tables.add(f"{name}_weights", node.weights.T if few else node.weights)
        bias = self._tables.add(f"{name}_bias", node.effective_bias(tensors[0]))
        kernel = "dense_few" if few else "dense"
        return [f"{kernel}<{inputs}, {outputs}>({at[0]}, {weights}, {bias}, {at[1]});"]

    def _window(self, window: Window, name: str) -> str:
        numbers = (
            *(window.in_height, window.in_width, window.out_height, window.out_width),
            *(*window.kernel, *window.stride, *window.dilation, *window.pads[:2]),
        )
        self._tables.lines.append(f"inline constexpr Window {name}_window{{{', '.join(map(str, numbers))}}};")
        return f"{name}_window"

    def _conv(self, node: Conv, name: str, tensors: tuple[Tensor, ...], at: list[str]) -> list[str]:
        window = self._window(node.window, name)
        weights = self._tables.add(f"{name}_weights", node.weights)
        bias = self._tables.add(f"{name}_bias", node.bias)
        zeros = spread(tensors[0].format.zero_point, node.channels_in)
        alike = bool(np.all(zeros == zeros[0]))
        zero = f"Same{{{literal(int(zeros[0]))}}}" if alike else self._tables.add(f"{name}_zero", zeros)
        inputs = node.weights.shape[2]
        if inputs == 1 and node.groups > 1:
            sizes = f"depthwise<{node.groups}, {node.channels_out // node.groups}>"
        else:
            sizes = f"convolve<{node.groups}, {inputs}, {node.channels_out}>"
        # A table of zero points decays to a pointer, so that a group's part of it can be named.
        zero = zero if alike else f"&{zero}[0]"
        return [f"{sizes}({window}, {at[0]}, {weights}, {bias}, {zero}, {at[1]});"]

    def _pool(self, node: Pool, name: str, tensors: tuple[Tensor, ...], at: list[str]) -> list[str]:
        return [f"pool<{node.shape[-1]}>({self._window(node.window, name)}, {at[0]}, {at[1]});"]

    def _requantize(self, node: Requantize, name: str, tensors: tuple[Tensor, ...], at: list[str]) -> list[str]:
        x = tensors[0]
        return staircase_lines(self._tables, name, node.staircase, *x.range, x.size, at[0], at[1])

    def _gather(self, node: Gather, name: str, tensors: tuple[Tensor, ...], at: list[str]) -> list[str]:
        indices = self._tables.add(f"{name}_indices", np.append(node.indices, -1))  # signed, whatever they are
        fill = f"static_cast<{self._types[node.output]}>({node.fill})"
        return [f"gather<{len(node.indices)}>({at[0]}, {indices}, {fill}, {at[1]});"]

    def _concat(self, node: Concat, name: str, tensors: tuple[Tensor, ...], at: list[str]) -> list[str]:
        step, first, lines = tensors[-1].size // node.blocks, 0, []
        for tensor, source in zip(tensors[:-1], at, strict=False):
            each = tensor.size // node.blocks
            lines.append(f"place<{node.blocks}, {each}, {step}>({source}, {at[-1]} + {first});")
            first += each
        return lines

    def _parameters(self, name: str, values: dict[str, Codes]) -> tuple[int, dict[str, str]]:
        """Periodic arrays as expressions of row, and their common period."""
        period = max(np.asarray(v).size for v in values.values())
        texts = {}
        for key, value in values.items():
            flat = np.asarray(value).reshape(-1)
            if np.all(flat == flat[0]):
                texts[key] = literal(int(flat[0]))
            else:
                texts[key] = f"{self._tables.add(f'{name}_{key}', spread(flat, period))}[row]"
        return (period if any("row" in text for text in texts.values()) else 1), texts

    def _join(
        self, node: Operator, name: str, tensors: tuple[Tensor, ...], at: list[str], values: dict[str, Codes]
    ) -> tuple[str, dict[str, str]]:
        """Head of a join's call, and its parameters."""
        values = {"za": tensors[0].format.zero_point, "zb": tensors[1].format.zero_point, **values}
        period, texts = self._parameters(name, values)
        row = " row" if period > 1 else ""
        head = f"join<{tensors[-1].size}, {period}>({at[0]}, {at[1]}, {at[2]}, [](auto a, auto b, std::size_t{row}) {{"
        return head, texts

    def _add(self, node: Add | Multiply, name: str, tensors: tuple[Tensor, ...], at: list[str]) -> list[str]:
        factors = {"left": node.left, "right": node.right} if isinstance(node, Add) else {}
        head, p = self._join(node, name, tensors, at, factors)
        a, b = _term("U", "a", p["za"], p.get("left", "1")), _term("U", "b", p["zb"], p.get("right", "1"))
        kind = self._types[node.output]
        # Modulo the width of the result, in words that are not promoted to int.
        word = "std::uint64_t" if bytes_of(kind) == 8 else "std::uint32_t"
        sign = "+" if isinstance(node, Add) else "*"
        return [head, f"    using U = {word};", f"    return static_cast<{kind}>({a} {sign} {b});", "});"]

    def _extreme(self, node: Extreme, name: str, tensors: tuple[Tensor, ...], at: list[str]) -> list[str]:
        factors = {"left": node.left, "right": node.right, "zero": tensors[-1].format.zero_point}
        head, p = self._join(node, name, tensors, at, factors)
        limits = [*scaled_limits(tensors[0], node.left), *scaled_limits(tensors[1], node.right)]
        codes = [limit for tensor in tensors for limit in (tensor.low, tensor.high, tensor.format.zero_point)]
        bound = 2 * max(int(np.abs(limit).max()) for limit in (*limits, *codes))
        return [
            head,
            f"    using T = {narrowest(-bound, bound, bits=32)};",
            f"    const T first = {_term('T', 'a', p['za'], p['left'])};",
            f"    const T second = {_term('T', 'b', p['zb'], p['right'])};",
            f"    return (first {'>' if node.largest else '<'} second ? first : second) + static_cast<T>({p['zero']});",
            "});",
        ]

    def _top(self, node: Top, name: str, tensors: tuple[Tensor, ...], at: list[str]) -> list[str]:
        each = tensors[0].size // node.blocks
        period, texts = self._parameters(name, {"factors": node.factors, "offsets": node.offsets})
        row = " row" if period > 1 else ""
        value = f"static_cast<std::int64_t>(v) * {texts['factors']} + {texts['offsets']}"
        return [
            f"top<{node.blocks}, {each}, {node.count}>({at[0]}, {at[1]}, [](auto v, std::size_t{row}) {{",
            f"    return static_cast<std::int64_t>({value});",
            "});",
        ]


def _term(word: str, x: str, zero: str, factor: str) -> str:
    """`(x - zero) * factor` in a type; what changes nothing is left out."""
    text = f"static_cast<{word}>({x})"
    if zero != "0":
        text = f"({text} - static_cast<{word}>({zero}))"
    return text if factor == "1" else f"{text} * static_cast<{word}>({factor})"


WRITERS: dict[type[Operator], Callable[..., list[str]]] = {
    Add: _Writer._add,
    Concat: _Writer._concat,
    Conv: _Writer._conv,
    Dense: _Writer._dense,
    Extreme: _Writer._extreme,
    Gather: _Writer._gather,
    Multiply: _Writer._add,
    Pool: _Writer._pool,
    Requantize: _Writer._requantize,
    Top: _Writer._top,
}


def border_facts(graph: Graph) -> dict[str, Any]:
    """Encoder and decoder for templates."""
    return {"encode": encoder(graph), "decode": decoder(graph)}
