"""Products with random weights, in the file's dialect."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from tests.frontend.qdq_files import LIMITS, dtype
from tests.property.quantizers import MODES, TYPES_OPSET, limits, scale_of
from tests.property.sketch import Live, Sketch

WEIGHTS = ("Quant", "Quant", "Quant", "BipolarQuant", "ternary", "on a grid", "integers")


@dataclass(frozen=True)
class Weights:
    """A constant matrix in the file.

    Parameters:
        name: of its tensor, transposed or not.
        scale: float64, one number or one a column.
        spread: its usual magnitude.
    """

    name: str
    scale: NDArray[np.float64]
    spread: float


@dataclass(frozen=True)
class Storage:
    """How a matrix (n_in, n_out) lies in the file.

    Parameters:
        axis: of the outputs: 0 or 1.
        kernel: channels and taps that n_in stands for, (channels, *taps); None: it is a matrix in the file, too.
        last: the channels lie behind the taps.
    """

    axis: int = 1
    kernel: tuple[int, ...] | None = None
    last: bool = False

    def weights(self, matrix: NDArray) -> NDArray:
        """As in the file."""
        if self.kernel is None:
            return matrix.T if self.axis == 0 else matrix
        kernel = np.moveaxis(matrix.reshape(*self.kernel, -1), -1, self.axis)
        return np.moveaxis(kernel, 1, -1) if self.last else kernel

    def scale(self, scale: NDArray) -> NDArray:
        """One scale, one a column or one for each element, as they broadcast against the weights in the file."""
        if scale.ndim == 0 or (self.kernel is None and self.axis == 1):
            return scale
        if self.kernel is None:
            return scale.reshape(-1, 1) if scale.ndim == 1 else scale.T
        if scale.ndim > 1:
            return self.weights(scale)
        shape = np.ones(1 + len(self.kernel), int)
        shape[self.axis] = -1
        return scale.reshape(shape)


def _matrix(s: Sketch, n_in: int, n_out: int, storage: Storage | None = None) -> NDArray:
    """Normal numbers; now and then dead neurons, or most weights 0. Kernels are small: few of them shall be all 0."""
    c = s.choose
    matrix = c.rng.normal(size=(n_in, n_out))
    kernel = storage is not None and storage.kernel is not None
    if kernel and n_in < 12:
        matrix *= 2
    if (not kernel or n_out > 2) and c.flag("dead neurons", 5 if kernel else 15):
        s.feature("dead neurons")
        matrix[:, c.rng.random(n_out) < 0.4] = 0
        matrix[:, 0] = 0
    if (not kernel or n_in > 8) and c.flag("sparse weights", 10):
        s.feature("sparse weights")
        matrix[c.rng.random(matrix.shape) < 0.8] = 0
    return matrix


def _scales(s: Sketch, scale: float, shape: tuple[int, int], *, across: bool) -> tuple[NDArray, NDArray]:
    """Scales of a matrix for the file, and by column for who adds a bias on the grid.

    Args:
        s: the file.
        scale: of all, about.
        shape: of the matrix.
        across: also one for every element.
    """
    c = s.choose
    kind = c.pick(("one", "one", "weight scale per column", *(("weight scale per element",) if across else ())))
    s.feature(kind if kind != "one" else "weight scale per tensor")
    if kind == "one":
        return np.array(scale, np.float32), np.array(float(np.float32(scale)))
    power = s.choose.integer(0, 1) == 1
    columns = np.float32(scale) * (2.0 ** c.rng.integers(-1, 2, shape[1]) if power else c.rng.uniform(0.5, 2, shape[1]))
    columns = columns.astype(np.float32)
    if kind == "weight scale per column":
        return columns, columns.astype(np.float64)
    # Rows may differ by powers of two: these are shifts of the weights.
    rows = (2.0 ** c.rng.integers(0, 3, (shape[0], 1))).astype(np.float32)
    return (rows * columns).astype(np.float32), np.broadcast_to((rows * columns).min(axis=0), columns.shape).astype(
        float
    )


def constant_weights(s: Sketch, n_in: int, n_out: int, storage: Storage) -> Weights:
    """Random weights of the file's dialect."""
    return (_qonnx_weights if s.dialect == "qonnx" else _qdq_weights)(s, n_in, n_out, storage)


def _qonnx_weights(s: Sketch, n_in: int, n_out: int, storage: Storage) -> Weights:
    c = s.choose
    kind = c.pick(WEIGHTS)
    s.feature(f"weights {kind}")
    matrix = _matrix(s, n_in, n_out, storage)
    if kind in ("on a grid", "integers"):
        bits = c.integer(1, 6)
        scale = 1.0 if kind == "integers" else scale_of(s, 1.0 / (1 << bits))
        scale = scale if kind == "integers" else float(2.0 ** np.round(np.log2(scale)))
        codes = np.clip(np.rint(matrix * (1 << bits - 1)), -(1 << bits), (1 << bits) - 1)
        value = codes * scale
        # The import takes the coarsest grid that holds them, which may be a multiple of this one.
        name = s.parameter(storage.weights(value))
        return Weights(name, np.array(np.nan), float(np.abs(value).mean() + scale * 0.1))
    domain = c.pick(("qonnx.custom_op.general", "onnx.brevitas", ""))
    s.feature(f"domain {domain or 'no domain'}")
    if kind == "BipolarQuant":
        scale, columns = _scales(s, c.number(0.25, 2.0), matrix.shape, across=False)
        signs = s.parameter(storage.weights(matrix))
        name = s.add("BipolarQuant", signs, s.parameter(storage.scale(scale)), domain=domain)
        return Weights(name, columns, float(scale.mean()))
    bits, narrow = (2, True) if kind == "ternary" else (c.integer(1, 8), bool(c.integer(0, 1)))
    s.feature("ternary" if kind == "ternary" else f"weights {bits} bits")
    low, high = (-1, 1) if bits == 1 else limits(bits, signed=True, narrow=narrow)
    scale, columns = _scales(s, scale_of(s, 2.0 / max(1, high)), matrix.shape, across=True)
    zero = 0
    if bits > 1 and c.flag("weights with a zero point", 8):
        s.feature("weights with a zero point")
        zero = c.integer(low, high)
    mode = c.pick(("ROUND", *MODES))
    inputs = [storage.weights(matrix), storage.scale(scale), zero, bits]
    name = s.add(
        c.pick(("Quant", "Quant", "IntQuant")),
        *(s.parameter(v) for v in inputs),
        domain=domain,
        signed=1,
        narrow=int(narrow),
        rounding_mode=mode,
    )
    return Weights(name, columns, float(scale.mean() * high * 0.4 + scale.mean() * 0.1))


def _qdq_weights(s: Sketch, n_in: int, n_out: int, storage: Storage) -> Weights:
    c = s.choose
    kind = c.pick(("int8", "int8", "uint8", *(("int4", "uint4", "int16") if s.opset >= TYPES_OPSET else ())))
    s.feature(f"weights {kind}")
    low, high = LIMITS[kind]
    matrix = _matrix(s, n_in, n_out, storage)
    scale, columns = _scales(s, 2.0 / high, matrix.shape, across=False)
    zero = np.zeros(scale.shape, np.int64)
    if c.flag("weights with a zero point", 25) or low == 0:
        s.feature("weights with a zero point")
        zero = c.rng.integers(low // 2, high // 2 + 1, scale.shape)
    codes = np.clip(np.rint(matrix / scale) + zero, low, high)
    attributes = {"axis": storage.axis} if scale.ndim else {}
    stored = storage.weights(codes)
    parameters = [s.constant(scale), s.constant(zero, dtype(kind))]
    if c.flag("weights through QuantizeLinear", 20):
        s.feature("weights through QuantizeLinear")
        values = s.constant(storage.weights(matrix))
        integers = s.add("QuantizeLinear", values, *parameters, **attributes)
    else:
        integers = s.constant(stored, dtype(kind))
        if kind in ("int8", "uint8") and not np.any(zero) and low < 0 and c.integer(0, 3) == 0:
            parameters = parameters[:1]
    return Weights(
        s.add("DequantizeLinear", integers, *parameters, **attributes), columns, float(scale.mean() * high / 2)
    )


def constant_bias(s: Sketch, x: Live, weights: Weights, n_out: int, spread: float) -> str | None:
    """A constant to be added to the accumulators: on their grid or off it; None now and then."""
    c = s.choose
    scale = None
    if x.scale is not None and x.scale.size == 1 and not np.any(np.isnan(weights.scale)):
        scale = np.float64(x.scale.reshape(())) * weights.scale
    values = c.rng.normal(size=n_out) * spread
    multiples = None if scale is None else np.rint(values / scale) * scale
    exact = multiples is not None and np.array_equal(multiples, multiples.astype(np.float32))
    kind = c.pick((*(("bias on the grid",) if exact else ()), "bias off the grid", "no bias"))
    if kind == "no bias":
        s.feature(kind)
        return None
    if scale is not None and s.dialect == "qdq" and c.flag("bias in int32", 50):
        s.feature("bias in int32")
        scales = np.broadcast_to(scale, (n_out,)).astype(np.float32)
        scales = scales.reshape(-1)[0] if np.all(scales == scales[0]) and c.integer(0, 1) else scales
        attributes = {"axis": 0} if np.ndim(scales) else {}
        codes = s.constant(np.rint(values / scales), np.int32)
        zero = [s.constant(np.zeros(np.shape(scales)), np.int32)] if c.integer(0, 1) else []
        return s.add("DequantizeLinear", codes, s.constant(scales), *zero, **attributes)
    if kind == "bias on the grid":
        values = multiples
    s.feature(kind)
    if s.dialect == "qonnx" and c.flag("bias through Quant", 12):
        s.feature("bias through Quant")
        return s.quant(s.constant(values), spread / 64, 8)
    return s.parameter(values)


def dense(s: Sketch, x: Live, n_out: int) -> Live:
    """A product with random weights, with or without a bias.

    Args:
        s: the file.
        x: quantized.
        n_out: neurons.
    """
    c = s.choose
    if n_out >= 32:
        s.feature("32 neurons or more")
    if s.dialect == "integer" and x.kind in ("int8", "uint8") and x.scale is not None and x.scale.size == 1:
        return _integer_product(s, x, n_out)
    x = s.real(x)
    n_in = x.shape[-1]
    gemm = len(x.shape) == 2 and c.pick(("MatMul", "Gemm")) == "Gemm"
    transposed = gemm and c.flag("transB", 50)
    weights = constant_weights(s, n_in, n_out, Storage(0 if transposed else 1))
    spread = float(x.spread * weights.spread * np.sqrt(n_in))
    shape = (*x.shape[:-1], n_out)
    if not gemm:
        name = s.add("MatMul", x.name, weights.name)
        bias = constant_bias(s, x, weights, n_out, spread)
        if bias is not None:
            name = s.add("Add", *((name, bias) if c.integer(0, 3) else (bias, name)))
        return Live(name, shape, spread)
    attributes: dict[str, float] = {}
    if transposed:
        s.feature("transB")
        attributes["transB"] = 1
    if c.flag("alpha", 20):
        s.feature("alpha")
        attributes["alpha"] = c.pick((0.5, 2.0, -1.0, -0.25, 8.0))
    inputs = [x.name, weights.name]
    bias = constant_bias(s, x, weights, n_out, spread)
    if bias is not None:
        inputs.append(bias)
        if c.flag("beta", 20):
            s.feature("beta")
            attributes["beta"] = c.pick((0.5, -1.0, 0.3, 2.0))
    if c.flag("transA", 8):
        s.feature("transA")
        inputs[0] = s.add("Transpose", inputs[0], perm=[1, 0])
        attributes["transA"] = 1
    name = s.add("Gemm", *inputs, **attributes)
    return Live(name, shape, float(spread * abs(attributes.get("alpha", 1))))


def _integer_product(s: Sketch, x: Live, n_out: int) -> Live:
    """MatMulInteger with what exporters write behind it, QLinearMatMul or QGemm."""
    c, n_in = s.choose, x.shape[-1]
    assert x.kind is not None and x.scale is not None
    kind = c.pick(("MatMulInteger", "QLinearMatMul", *(("QGemm",) if len(x.shape) == 2 else ())))
    b_kind = "int8" if x.kind == "int8" else c.pick(("int8", "uint8"))
    low, high = LIMITS[b_kind]
    columns = c.flag("weight scale per column", 40)
    s.feature("weight scale per column" if columns else "weight scale per tensor", f"weights {b_kind}")
    size = (n_out,) if columns else ()
    scale = (c.rng.uniform(0.5, 2, size) * 2.0 / high).astype(np.float32)
    zero = c.rng.integers(low, high + 1, size) if c.flag("weights with a zero point", 40) else np.zeros(size, np.int64)
    if low == 0 and not np.any(zero):
        zero = np.full(size, 128)
    if np.any(zero):
        s.feature("weights with a zero point")
    codes = np.clip(np.rint(_matrix(s, n_in, n_out) / scale) + zero, low, high)
    transposed = kind == "QGemm" and c.flag("transB", 50)
    b = s.constant(codes.T if transposed else codes, dtype(b_kind))
    b_zero, x_zero = s.constant(zero, dtype(b_kind)), s.constant(x.zero.reshape(()), dtype(x.kind))
    spread = float(max(x.spread, 1e-3) * scale.mean() * high * 0.4 * np.sqrt(n_in))
    shape = (*x.shape[:-1], n_out)
    if kind == "MatMulInteger":
        ends = c.pick(("both zero points", "both zero points", "one zero point", "no zero points"))
        inputs = {"both zero points": [x_zero, b_zero], "one zero point": [x_zero], "no zero points": []}[ends]
        sums = s.add("MatMulInteger", x.name, b, *inputs)
        product = (x.scale * scale).astype(np.float32)
        if columns or c.integer(0, 2):
            y = s.add("Mul", s.add("Cast", sums, to=TensorProto.FLOAT), s.constant(product))
        else:
            y = s.add("DequantizeLinear", sums, s.constant(product))
        if c.integer(0, 1):
            y = s.add("Add", y, s.constant(c.rng.normal(size=n_out) * spread))
        return Live(y, shape, spread)
    inputs = [x.name, s.constant(x.scale.reshape(())), x_zero, b, s.constant(scale), b_zero]
    attributes: dict[str, float] = {}
    if kind == "QGemm":
        if transposed:
            s.feature("transB")
            attributes["transB"] = 1
        if c.flag("alpha", 30):
            s.feature("alpha")
            attributes["alpha"] = c.pick((0.5, 1.7, 0.37))
        bias = s.constant(c.rng.normal(size=n_out) * spread / (x.scale * scale), np.int32) if c.integer(0, 2) else ""
        inputs.append(bias)
        if c.flag("QGemm to float32", 30):
            s.feature("QGemm to float32")
            y = s.add(kind, *(inputs if bias else inputs[:-1]), domain="com.microsoft", **attributes)
            return Live(y, shape, float(spread * attributes.get("alpha", 1)))
    low, high = LIMITS[x.kind]
    y_scale = np.array(scale_of(s, spread * 2.5 / 100 * attributes.get("alpha", 1)), np.float32)
    y_zero = np.array(c.integer(low, high) if c.integer(0, 1) else 0)
    inputs += [s.constant(y_scale), s.constant(y_zero, dtype(x.kind))]
    y = s.add(kind, *inputs, **({"domain": "com.microsoft"} if kind == "QGemm" else {}), **attributes)
    return Live(y, shape, spread, True, y_scale, (low, high), x.kind, y_zero)
