"""Random quantized networks of fully connected layers, over every operator, dialect, rounding mode and width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto

from tests.property import elementwise, joins
from tests.property.choices import Choices, Seeded
from tests.property.elementwise import chain, layout
from tests.property.joins import exact
from tests.property.products import WEIGHTS, dense
from tests.property.quantizers import BITS, DOMAINS, MODES, NEW_TYPES, TYPES_OPSET, quantize, truncate
from tests.property.sketch import Live, Sketch, tensor_kind

DIALECTS = ("qonnx", "qdq", "integer")
INPUT_FORMATS = ("fixed<6,3>", "ufixed<5,2>", "int<5>", "uint<8>", "uint<8>/255", "int<6>*0.3", "bipolar")
ENDS = (
    *("quantized", "accumulators", "accumulators", "activation on the host", "Softmax", "ArgMax", "ArgMin", "TopK"),
    "LogSoftmax",
)

_QONNX = (
    *("Quant", "IntQuant", "BipolarQuant", *BITS),
    *("narrow", "bit width as a tensor", "scale per channel", "scale per element", "zero point"),
    *("bias on the grid", "bias through Quant", "weight scale per element", "weights with a zero point"),
)
_EVERYWHERE = (
    *("scales powers of two", "scales floats", "bias off the grid", "no bias", "dead neurons", "sparse weights"),
    *("residual", "branches", "sum of products", "choice", "reduction", "layout", "names with slashes"),
    *("constant subgraph", "input format", "chains real", "transA", "transB", "alpha", "beta", "Gemm", "MatMul"),
    *("negative gains", "zero gain", "negative slopes", "weight scale per column", "no quantizer at the input"),
)

FOCUSES: dict[str, tuple[str, ...]] = {
    **{name: ("qonnx", name) for name in _QONNX},
    **{f"mode {mode}": ("qonnx", mode) for mode in MODES},
    **{f"domain {domain}": ("qonnx", domain) for domain in DOMAINS},
    **{f"weights {name}": ("qonnx", name) for name in WEIGHTS},
    **{f"Trunc version {v}": ("qonnx", "truncations", f"Trunc version {v}") for v in (1, 2)},
    **{f"codes {name}": ("qdq", "new types", name) for name in NEW_TYPES},
    **{f"qdq {name}": ("qdq", name) for name in ("scale per channel", "zero point", "zero point absent", "Clip")},
    **{name: ("qdq", name) for name in ("bias in int32", "scale behind is another", "weights through QuantizeLinear")},
    **{name: ("integer", name) for name in ("MatMulInteger", "QLinearMatMul", "integer input")},
    "QGemm": ("integer", "QGemm"),
    "QGemm to float32": ("integer", "QGemm", "QGemm to float32"),
    **{name: (name,) for name in _EVERYWHERE},
    "transA": ("qonnx", "Gemm", "transA"),
    **{name: ("qonnx", "Gemm", name) for name in ("transB", "alpha", "beta")},
    **{name: ("newest", f"chain {name}") for name in elementwise.FEATURES},
    **{name: ("chain BatchNormalization", name) for name in ("negative gains", "zero gain")},
    "negative slopes": ("chain PRelu", "negative slopes"),
    **{kind.replace("join", "two tensors"): ("residual", kind) for kind in dict.fromkeys(joins.JOINS)},
    **{kind: ("choice", kind) for kind in ("Slice", "Gather", "Split")},
    **{kind: ("reduction", kind) for kind in ("ReduceSum", "ReduceMean")},
    **{f"layout {kind}": ("layout", kind) for kind in ("Reshape", "Transpose", "Unsqueeze", "Flatten", "Identity")},
    **{f"input format {word}": ("qonnx", "input format", word) for word in INPUT_FORMATS},
    "bias on the grid": ("qonnx", "scales powers of two", "bias on the grid"),
    "input format": ("qonnx", "input format"),
    "no quantizer at the input": ("qonnx", "input format", "fixed<6,3>", "no quantizer at the input"),
    **{f"end {word}": (word,) for word in dict.fromkeys(ENDS)},
}
"""What a network may be asked for, and the words that lead there."""


@dataclass(frozen=True)
class Network:
    """A file and how it is read.

    Parameters:
        model: the file.
        features: what it has.
        input_format: for the import.
        chains: for the import.
    """

    model: onnx.ModelProto
    features: frozenset[str]
    input_format: str | None
    chains: str


def numbered(number: int) -> Network:
    """The network of a number: every focus in turn, and every third network with 32 neurons or more in a layer."""
    words = list(FOCUSES.values())
    return network(Seeded(number, words[number % len(words)]), wide=number % 3 == 0)


def network(choose: Choices, *, wide: bool) -> Network:
    """A network by decisions."""
    dialect = choose.pick(DIALECTS)
    new = choose.flag("new types", 30) or choose.flag("newest", 0)
    opset = 21 if new else choose.pick((13, 14, 17, 18, 20, TYPES_OPSET, *((11, 12) if dialect == "qonnx" else ())))
    version = 2 if choose.pick(("Trunc version 1", "Trunc version 2")) == "Trunc version 2" else 1
    imports = {"qonnx.custom_op.general": version, "onnx.brevitas": version} if dialect == "qonnx" else {}
    if dialect == "integer":
        imports["com.microsoft"] = 1
    if dialect == "qonnx" and version == 1:
        imports["finn.custom_op.general"] = 1
    n = choose.integer(2, 24)
    word = choose.pick(INPUT_FORMATS) if dialect == "qonnx" and choose.flag("input format", 25) else None
    integers = dialect == "integer" and choose.flag("integer input", 20)
    tensor = None if not integers else choose.pick(("int8", "uint8"))
    s, x = _input(choose, dialect, n, opset, imports, tensor)
    s.feature(f"opset {opset}")
    x = _entrance(s, x, word, tensor)
    x = _body(s, x, wide=wide)
    end, kind = _end(s, x)
    chains = "real" if choose.flag("chains real", 12) else "float32"
    if word is not None:
        s.feature("input format", f"input format {word}")
    if chains == "real":
        s.feature("chains real")
    return Network(s.finished(end, kind), frozenset(s.features), word, chains)


def _input(
    choose: Choices, dialect: str, n: int, opset: int, imports: dict[str, int], tensor: str | None
) -> tuple[Sketch, Live]:
    """The file with its input: a vector, or something that is flattened in front."""
    batch: int | str | None = choose.pick((1, "batch", None))
    picture = tensor is None and choose.flag("input with more dimensions", 15)
    shape: tuple[int, ...] = (1, 2, (n + 3) // 4, 2) if picture else (1, n)
    kind = TensorProto.FLOAT if tensor is None else tensor_kind(tensor)
    s = Sketch(choose, dialect, [batch, *shape[1:]], opset=opset, imports=imports, kind=kind)
    x = Live("x", shape, choose.number(0.5, 4))
    if picture:
        s.feature("input with more dimensions")
        if choose.integer(0, 1):
            x = Live(s.add("Transpose", x.name, perm=[0, 2, 3, 1]), shape, x.spread)
        x = Live(s.add("Flatten", x.name), (1, int(np.prod(shape))), x.spread)
    return s, x


def _entrance(s: Sketch, x: Live, word: str | None, tensor: str | None) -> Live:
    """From the input to the first codes."""
    c = s.choose
    if tensor is not None:
        s.feature("integer input", f"codes {tensor}")
        low = -128 if tensor == "int8" else 0
        zero = np.array(c.integer(low, low + 255))
        return Live("x", x.shape, 2.0, True, np.array(2.0 / 64, np.float32), (low, low + 255), tensor, zero)
    if word is not None:
        divided = "/" in word or "*" in word
        spread = {"fixed<6,3>": 2.0, "ufixed<5,2>": 2.0, "int<5>": 8.0, "uint<8>": 128.0}.get(word, 1.0)
        x = Live(x.name, x.shape, spread, not word.startswith("u"))
        if not divided and c.flag("no quantizer at the input", 50):
            s.feature("no quantizer at the input")
            scale = {"fixed<6,3>": 0.125, "ufixed<5,2>": 0.125}.get(word, 1.0)
            return Live(x.name, x.shape, spread, x.signed, np.array(scale, np.float32), (-128, 255))
    elif c.flag("operators in front of the first quantizer", 15):
        s.feature("operators in front of the first quantizer")
        x = chain(s, x, 2)
    return quantize(s, chain(s, x, 2) if word is not None and c.integer(0, 1) else x)


BLOCKS = (
    "layer",
    "layer",
    "layer",
    "residual",
    "branches",
    "sum of products",
    "choice",
    "reduction",
    "chain",
    "layout",
)


def _body(s: Sketch, x: Live, *, wide: bool) -> Live:
    """Blocks, every one from codes to codes."""
    c = s.choose
    blocks = ["layer"] + [b for b in dict.fromkeys(BLOCKS) if c.flag(b, 0)]
    blocks += [c.pick(BLOCKS) for _ in range(c.integer(0, 2))]
    if c.flag("truncations", 12):
        blocks.append("truncation")
    for index, block in enumerate(blocks):
        assert x.scale is not None
        if not exact(x):
            x = quantize(s, x, plain=True)
        if c.flag("layout", 15):
            s.feature("layout")
            x = layout(s, x)
        if block == "layer":
            x = dense(s, x, c.integer(32, 48) if wide and not index else c.integer(1, 16))
            x = _quantized(s, chain(s, x))
        elif block == "residual":
            x = _quantized(s, joins.residual(s, x))
        elif block == "sum of products":
            x = _quantized(s, joins.sums(s, x))
        elif block == "branches":
            x = joins.branches(s, x)
        elif block == "choice":
            s.feature("choice")
            x = joins.choice(s, x)
        elif block == "reduction":
            s.feature("reduction")
            x = joins.reduction(s, x if x.scale is not None and x.scale.size == 1 else quantize(s, x, plain=True))
            x = _quantized(s, chain(s, x, 1))
        elif block == "chain":
            x = _quantized(s, chain(s, x, 2))
        elif block == "truncation":
            x = truncate(s, _quantized(s, dense(s, x, c.integer(2, 9)), plain=True))
    return x


def _quantized(s: Sketch, x: Live, *, plain: bool = False) -> Live:
    """Codes again; layout operators may stand in front of the quantizer."""
    if x.kind is not None and s.choose.integer(0, 2):
        return x
    if x.scale is None and s.choose.flag("layout", 8):
        s.feature("layout")
        x = layout(s, x)
    return quantize(s, x, plain=plain)


def _end(s: Sketch, x: Live) -> tuple[str, int]:
    """The output and its type."""
    c = s.choose
    word = c.pick(ENDS)
    s.feature(f"end {word}")
    if word == "quantized":
        if x.kind is not None and c.flag("integer output", 50):
            s.feature("integer output")
            return x.name, tensor_kind(x.kind)
        return s.real(x).name, TensorProto.FLOAT
    if not exact(x):
        x = quantize(s, x, plain=True)
    x = s.real(dense(s, x, c.integer(2, 10)))
    if word == "activation on the host":
        x = elementwise.apply(s, x, c.pick(elementwise.FEATURES))
    elif word in ("Softmax", "LogSoftmax"):
        return s.add(word, x.name, axis=c.pick((1, -1))), TensorProto.FLOAT
    elif word in ("ArgMax", "ArgMin", "TopK"):
        if c.integer(0, 1):
            x = s.real(quantize(s, x, plain=True))
        if word != "TopK":
            return s.add(word, x.name, axis=c.pick((1, -1)), keepdims=c.integer(0, 1)), TensorProto.INT64
        count = s.constant([c.integer(1, x.shape[-1])], np.int64)
        outputs = s.several("TopK", 2, x.name, count, axis=c.pick((1, -1)), largest=c.pick((1, 1, 0)))
        return outputs[1], TensorProto.INT64
    return x.name, TensorProto.FLOAT
