"""Random quantized networks of images and signals, over every operator that convolutional networks are made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from onnx import TensorProto

from tests.property import elementwise
from tests.property import spatial_joins as joins
from tests.property import spatial_moves as moves
from tests.property import spatial_products as products
from tests.property import spatial_windows as windows
from tests.property.choices import Choices, Seeded
from tests.property.joins import exact, operand
from tests.property.networks import Network
from tests.property.products import dense
from tests.property.quantizers import quantize
from tests.property.sketch import Live, Sketch, tensor_kind
from tests.property.spatial_blocks import BLOCKS, block_of, mean, smaller

DIALECTS = ("qonnx", "qdq")
LARGEST = 500
"""Elements of a tensor behind which it is made smaller."""

ENDS = (
    *("flattened", "flattened", "quantized image", "accumulators", "global average", "mean of pixels"),
    *("ArgMax of channels", "ArgMax", "TopK of channels", "TopK", "image on the host"),
)
INPUTS = ("channels first", "channels first", "channels last", "flat", "1-D", "1-D channels last")

_FOCUSED = (
    *("dilation", "scale per channel", "zero point", "scales powers of two", "scales floats", "names with slashes"),
    *("bias off the grid", "no bias", "weight scale per column", "dead neurons", "sparse weights"),
    *("missing strides", "missing dilations", "missing pads", "missing kernel_shape", "missing group", "chains real"),
    *("skip over three or more", "residual with strides", "eight consumers", "constant subgraph", "input format"),
)
_MISSING = ("missing strides", "missing dilations", "missing pads", "missing kernel_shape", "missing group")

FOCUSES: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in _FOCUSED},
    **{name: ("convolution", name) for name in ("dilation", *_MISSING, *windows.AUTO)},
    "missing pads": ("convolution", "unpadded", "missing pads"),
    **{block: (block,) for block in dict.fromkeys(BLOCKS)},
    **{f"qdq {block}": ("qdq", block) for block in ("convolution", "MaxPool", "AveragePool", "residual", "branches")},
    "channels-last operators": ("qonnx", "channels-last operators"),
    "truncated average": ("qonnx", "truncated average", "Trunc version 2"),
    "Trunc version 1": ("qonnx", "truncated average", "Trunc version 1"),
    "truncated average of the whole image": ("qonnx", "truncated average", "truncated average of the whole image"),
    **{f"depthwise multiplier {n}": ("depthwise", f"multiplier {n}") for n in (1, 2, 3)},
    **{name: ("ConvTranspose", name) for name in ("ConvTranspose groups", "output_padding")},
    "MaxPool ceil_mode": ("MaxPool", "MaxPool ceil_mode"),
    **{name: ("AveragePool", name) for name in ("count_include_pad", "AveragePool ceil_mode")},
    **{mode: ("Pad", mode) for mode in ("Pad constant 0", "Pad constant", "Pad reflect", "Pad edge")},
    **{name: ("Pad", "Pad constant 0", name) for name in ("Pad of channels", "Pad cuts")},
    **{f"nearest {name}": ("nearest", name) for name in moves.COORDINATES},
    **{f"nearest_mode {name}": ("nearest", "Resize by fractions", name) for name in moves.NEAREST},
    **{name: ("nearest", name) for name in ("Resize by fractions", "Resize by sizes")},
    # What signals of one dimension have not is asked of images.
    **{f"linear {name}": ("channels first", "linear", name) for name in moves.COORDINATES[:3]},
    **{f"DepthToSpace {mode}": ("channels first", "DepthToSpace", mode) for mode in ("DCR", "CRD")},
    **{name: ("channels first", name) for name in ("linear", "DepthToSpace")},
    "SpaceToDepth": ("channels first", "SpaceToDepth"),
    "integer output": ("qdq", "quantized image", "integer output"),
    "moved as codes": ("qdq", "Transpose", "moved as codes"),
    "zero point": ("qdq", "zero point"),
    **{kind.replace("join", "two tensors"): ("residual", kind) for kind in joins.KINDS},
    **{kind: ("broadcast", kind) for kind in ("broadcast channels", "broadcast pixels", "broadcast of a slice")},
    **{name: ("Slice", name) for name in ("Slice step 2", "Slice backwards", "Slice of channels")},
    **{name: ("Split", name) for name in ("Split and join", "Split of pixels")},
    "MaxPool pads unsigned": ("MaxPool", "MaxPool pads", "MaxPool unsigned"),
    "MaxPool dilation": ("MaxPool", "MaxPool dilation"),
    "channels-last BatchNormalization": ("qonnx", "channels-last operators", "channels-last BatchNormalization"),
    "channels-last MaxPool": ("qonnx", "channels-last operators", "channels-last MaxPool"),
    "Concat of pixels": ("branches", "Concat of pixels"),
    **{name: ("convolution", "chain BatchNormalization", name) for name in ("negative gains", "zero gain")},
    "negative slopes": ("convolution", "chain PRelu", "negative slopes"),
    "residual with strides": ("residual", "residual with strides"),
    "skip over three or more": ("residual", "skip over three or more"),
    "eight consumers": ("fan-out", "eight consumers"),
    "up by ConvTranspose": ("U-shaped", "up by ConvTranspose"),
    **{f"image {name}": ("convolution", f"chain {name}") for name in elementwise.PIECEWISE[:7]},
    **{f"image {name}": ("convolution", f"chain {name}") for name in (*elementwise.CONSTANTS, "BatchNormalization")},
    "input format": ("qonnx", "input format"),
}
"""What a network may be asked for, and the words that lead there."""


def numbered(number: int) -> Network:
    """The network of a number: every focus in turn."""
    words = list(FOCUSES.values())
    return network(Seeded(number, words[number % len(words)]))


def network(choose: Choices) -> Network:
    """A network by decisions."""
    dialect = choose.pick(DIALECTS)
    opset = choose.pick((13, 14, 17, 18, 20, 21, *((11, 12) if dialect == "qonnx" else ())))
    version = 2 if choose.pick(("Trunc version 1", "Trunc version 2")) == "Trunc version 2" else 1
    imports: dict[str, int] = {}
    if dialect == "qonnx":
        # The operators on channels that are last take their meaning from the version of ONNX that their domain names.
        imports = {"qonnx.custom_op.general": version, "onnx.brevitas": version, windows.LAST: 14}
        if version == 1:
            imports["finn.custom_op.general"] = 1
    s, x = _input(choose, dialect, opset, imports)
    s.feature(f"opset {opset}")
    word = choose.pick(("fixed<6,3>", "uint<8>/255", "int<5>")) if choose.flag("input format", 12) else None
    word = word if dialect == "qonnx" else None
    if word is not None:
        s.feature("input format")
        x = replace(x, spread={"fixed<6,3>": 2.0, "int<5>": 8.0}.get(word, 1.0), signed=not word.startswith("u"))
    x = _body(s, quantize(s, x, plain=choose.flag("plain input", 60)))
    end, kind = _end(s, x)
    chains = "real" if choose.flag("chains real", 8) else "float32"
    if chains == "real":
        s.feature("chains real")
    return Network(s.finished(end, kind), frozenset(s.features), word, chains)


def _input(choose: Choices, dialect: str, opset: int, imports: dict[str, int]) -> tuple[Sketch, Live]:
    """The file with its input, brought to channels first."""
    kind = choose.pick(INPUTS)
    channels = choose.integer(1, 6)
    image = (choose.integer(4, 12),) if kind.startswith("1-D") else (choose.integer(3, 10), choose.integer(3, 10))
    shape = (1, channels, *image)
    rank = len(shape)
    batches: tuple[int | str, ...] = (1, 1, "batch")
    batch = choose.pick(batches)
    if kind == "flat":
        given: tuple[int, ...] = (int(np.prod(shape[1:])),)
    else:
        given = (*image, channels) if kind.endswith("channels last") else shape[1:]
    s = Sketch(choose, dialect, [batch, *given], opset=opset, imports=imports)
    s.feature(f"input {kind}", "1-D" if rank == 3 else "2-D", *(["not square"] if len(set(image)) > 1 else []))
    x = Live("x", shape, choose.number(0.5, 4))
    if kind == "flat":
        x = replace(x, name=s.add("Reshape", x.name, s.constant(shape, np.int64)))
    elif kind.endswith("channels last"):
        x = replace(x, name=s.add("Transpose", x.name, perm=[0, rank - 1, *range(1, rank - 1)]))
    return s, x


def _body(s: Sketch, x: Live) -> Live:
    """Blocks, every one from codes to codes."""
    c = s.choose
    wanted = [b for b in dict.fromkeys(BLOCKS) if c.flag(b, 0)]
    blocks = ["keeping", *wanted] if c.integer(0, 1) else [*wanted, "keeping"]
    blocks += [c.pick(BLOCKS) for _ in range(c.integer(0, 2))]
    for block in blocks:
        if x.size > LARGEST:
            x = smaller(s, x)
        if not exact(x):
            x = quantize(s, x, plain=True)
        x = _quantized(s, block_of(s, x, block))
    return x


def _quantized(s: Sketch, x: Live) -> Live:
    """Codes, behind some elementwise operators where there are none yet; chains of real values end here."""
    if x.scale is not None and exact(x):
        return x
    if x.scale is None:
        x = elementwise.chain(s, x, 2)
        if s.choose.flag("Transpose in front of the quantizer", 4):
            s.feature("Transpose in front of the quantizer")
            x = moves.transpose(s, x)
    return quantize(s, x)


def _flattened(s: Sketch, x: Live) -> Live:
    """(1, n): Flatten or Reshape, of values or of bytes."""
    x = moves.movable(s, x) if x.scale is not None else x
    if s.choose.integer(0, 1):
        name = s.add("Flatten", x.name) if s.choose.integer(0, 1) else s.add("Flatten", x.name, axis=1)
    else:
        name = s.add("Reshape", x.name, s.constant(s.choose.pick(((1, -1), (0, -1), (1, x.size))), np.int64))
    return replace(x, name=name, shape=(1, x.size))


def _end(s: Sketch, x: Live) -> tuple[str, int]:
    """The output and its type."""
    c = s.choose
    word = c.pick(ENDS)
    s.feature(f"end {word}")
    if word == "quantized image":
        # onnxruntime hands no integers of 4 bits to Python.
        if x.kind in ("int8", "uint8", "int16", "uint16") and c.flag("integer output", 50):
            s.feature("integer output")
            return x.name, tensor_kind(x.kind)
        return s.real(x).name, TensorProto.FLOAT
    if word in ("accumulators", "image on the host"):
        y = products.convolution(s, x, c.integer(1, 5))
        if word == "image on the host":
            y = elementwise.apply(s, y, c.pick(("Sigmoid", "Relu", "Clip", "Tanh")))
        return y.name, TensorProto.FLOAT
    if word.endswith("of channels"):
        y = s.real(x) if c.integer(0, 1) and x.scale is not None and x.scale.size == 1 else operand(s, x)
        y = s.real(y) if c.integer(0, 1) else products.convolution(s, y, c.integer(2, 5), same=True)
        return _decided(s, y, word.split()[0])
    if word in ("global average", "mean of pixels"):
        pixels = list(range(2, len(x.shape)))
        if word == "global average":
            y = windows.whole(s, x, c.pick(("GlobalAveragePool", "GlobalAveragePool", "GlobalMaxPool")))
            s.feature("global pooling at the end")
        else:
            y = mean(s, s.real(x), pixels, keep=c.integer(0, 1) == 1)
        y = quantize(s, y, plain=True, widest=8)
    else:
        y = operand(s, x)
    y = dense(s, y if len(y.shape) == 2 else _flattened(s, y), c.integer(2, 8))
    if word in ("ArgMax", "TopK"):
        return _decided(s, y, word)
    return y.name, TensorProto.FLOAT


def _decided(s: Sketch, x: Live, kind: str) -> tuple[str, int]:
    """ArgMax or TopK of the channels, for every pixel if there are pixels."""
    c = s.choose
    x = s.real(x)
    axis = 1 if c.integer(0, 1) else 1 - len(x.shape)
    if kind == "ArgMax":
        return s.add("ArgMax", x.name, axis=axis, keepdims=c.integer(0, 1)), TensorProto.INT64
    count = s.constant([c.integer(1, x.shape[1])], np.int64)
    return s.several("TopK", 2, x.name, count, axis=axis, largest=c.pick((1, 1, 0)))[1], TensorProto.INT64
