"""What products of codes with constant weights share: scales that factor out, biases on the accumulator."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import onnx
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, spread
from rtl4ml.frontend.lowering import Lowering
from rtl4ml.frontend.values import Flow, alike
from rtl4ml.operators import Conv, Dense, WeightLimits


def times_alpha(
    codes: Codes, scale: NDArray[np.float64], alpha: float, node: onnx.NodeProto
) -> tuple[Codes, NDArray[np.float64]]:
    """Gemm's alpha as part of the scale, its sign and a 0 as part of the weights.

    Raises:
        ModelError: the product of the scales with it is no float64.
    """
    if alpha == 0:
        return np.zeros_like(codes), scale
    for exact in np.unique(scale).tolist():
        product = exact * abs(alpha)
        if not np.isfinite(product) or Fraction(exact) * Fraction(abs(alpha)) != Fraction(product):
            raise ModelError(
                f"alpha of node {node.name!r} ({node.op_type}) must have an exact product of 53 bits with the scales, "
                f"not {alpha}: use a power of two, or scales that are"
            )
    return codes if alpha > 0 else -codes, scale * abs(alpha)


def factor_rows(codes: Codes, scale: NDArray[np.float64], node: onnx.NodeProto) -> tuple[Codes, NDArray[np.float64]]:
    """Weights with one scale a column: rows whose scales differ by powers of two are shifted.

    Raises:
        ModelError: the ratios are others.
    """
    if np.all(scale == scale[:1]):
        return codes, scale[0]
    lowest = scale.min(axis=0)
    return codes * power_ratio(scale, lowest, f"Scales of the weights of node {node.name!r} ({node.op_type})"), lowest


def power_ratio(scale: NDArray[np.float64], lowest: NDArray[np.float64], what: str) -> Codes:
    """Integers by which scales exceed the lowest one.

    Raises:
        ModelError: they are no powers of two.
    """
    ratio = scale / lowest
    if np.any(np.frexp(ratio)[0] != 0.5) or ratio.max() > 2.0**24:
        raise ModelError(f"{what} must be equal along the dimension that is summed, or differ by powers of two")
    return ratio.astype(np.int64)


def finish(lowering: Lowering, node: onnx.NodeProto, product: Dense | Conv, order: Codes, bias: NDArray | None) -> None:
    """Append the node; a bias on the accumulator's grid is added there, any other stays with the real value."""
    real_bias = None
    if bias is not None:
        on_grid = integer_multiple(np.asarray(bias, np.float64), product.scale)
        if on_grid is None:
            # Gemm's beta can make it longer than a float32.
            long = np.asarray(bias)
            real_bias = long.astype(np.float32) if np.array_equal(long.astype(np.float32), long) else long
        else:
            product = replace(product, bias=product.bias + on_grid)
    lowering.append(product, order)
    lowering.values[node.output[0]] = Flow(node.output[0], product.output, order, bias=real_bias)


def integer_multiple(bias: NDArray[np.float64], scale: NDArray[np.float64]) -> Codes | None:
    """`bias / scale` where that is exactly an integer of at most 40 bits everywhere, else None."""
    quotient = np.rint(bias / scale)
    if np.any(np.abs(quotient) >= 2.0**40):
        return None
    pairs = zip(*(a.reshape(-1).tolist() for a in np.broadcast_arrays(bias, scale, quotient)), strict=True)
    if any(Fraction(b) != Fraction(s) * int(q) for b, s, q in pairs):
        return None
    return quotient.astype(np.int64)


def fold_bias(lowering: Lowering, flow: Flow) -> Flow:
    """An Add or Sub right behind a product joins the accumulator where float32 cannot tell the difference.

    That is: the scale is a power of two, the constant is on its grid, and all sums stay within 24 bits.
    """
    while flow.steps and flow.bias is None:
        index, step = _product_of(lowering, flow), flow.steps[0]
        if index is None or flow.tensor != flow.source or step.node.op_type not in ("Add", "Sub"):
            break
        if step.node.op_type == "Sub" and step.operand == 1:
            break
        dense = lowering.operators[index]
        assert isinstance(dense, Dense | Conv)
        if lowering.uses[flow.tensor] != 1 or np.any(np.frexp(dense.scale)[0] != 0.5):
            break
        constant = step.parameters[1 - step.operand].astype(np.float64)
        if len(dense.bias) % constant.size:
            break  # another one for each pixel
        constant, scale = alike(spread(constant, len(dense.bias)), dense.scale)
        multiple = integer_multiple(-constant if step.node.op_type == "Sub" else constant, scale)
        if multiple is None:
            break
        folded = replace(dense, output=step.node.output[0], bias=dense.bias + multiple)
        if folded.limits is not None:
            folded = replace(folded, limits=WeightLimits.of(folded.weights, folded.bias))
        before, after = lowering.tensors[dense.output], folded.infer((lowering.tensors[dense.inputs[0]],))
        if max(abs(limit) for tensor in (before, after) for limit in tensor.range) >= 1 << 24:
            break
        lowering.operators[index] = folded
        del lowering.tensors[dense.output], lowering.layouts[dense.output]
        lowering.tensors[folded.output], lowering.layouts[folded.output] = after, step.order
        # Whatever else reads the sum reads it from the new accumulator too.
        for name, value in lowering.values.items():
            if isinstance(value, Flow) and value.source == flow.source and value.steps[:1] == (step,):
                lowering.values[name] = _without_first_step(value, folded.output)
        flow = _without_first_step(flow, folded.output)
    return flow


def _product_of(lowering: Lowering, flow: Flow) -> int | None:
    """Position of the product that makes a flow's source."""
    found = (i for i, o in enumerate(lowering.operators) if isinstance(o, Dense | Conv) and o.output == flow.source)
    return next(found, None)


def _without_first_step(flow: Flow, output: str) -> Flow:
    return replace(flow, tensor=output, source=output, steps=flow.steps[1:])
