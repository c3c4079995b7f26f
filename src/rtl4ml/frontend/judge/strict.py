"""The judge's graph with exact products: integer codes, exact scales, one rounding to float32.

Float32 sums depend on the order of their terms. Here every MatMul, Gemm and Conv of two quantized operands is

    fl32( sum_k (a[i, k] - za) * (b[k, j] - zb)  *  sa * sb * alpha  +  beta * c[i, j] )

with an integer sum, the scales as the file has them, `c` the value of the third input of Gemm or Conv, and one rounding
of the exact result. An operand is quantized if Quant, IntQuant or BipolarQuant (or DequantizeLinear) made it, whatever
only carries codes in between or not (`carriers.py`), if it is a constant that lies on a grid (`grids.py`), or if the
caller gave its grid. Averages are integer sums, rounded once and divided (`reduction.py`, `pooling.py`), and so is what
lies between pixels (`resizing.py`). Products that the file itself has in integers are summed exactly as well
(`integer_product.py`).
"""

import functools
import os
from collections.abc import Container, Iterable, Mapping

import numpy as np
import onnx
from threadpoolctl import ThreadpoolController

from rtl4ml.errors import ConfigurationError
from rtl4ml.frontend.judge.alone import OPERATORS, AloneStep
from rtl4ml.frontend.judge.arrays import Array, FloatArray, IntArray
from rtl4ml.frontend.judge.convolution import CONVOLUTIONS, Convolution
from rtl4ml.frontend.judge.executor import Action, Executor, Progress
from rtl4ml.frontend.judge.grids import Grid, NotIntegerError
from rtl4ml.frontend.judge.integer_product import INTEGER_PRODUCTS, IntegerProduct
from rtl4ml.frontend.judge.operands import Operands
from rtl4ml.frontend.judge.pooling import AveragePooling
from rtl4ml.frontend.judge.product import Product
from rtl4ml.frontend.judge.reduction import REDUCTIONS, Reduction
from rtl4ml.frontend.judge.resizing import LinearResize
from rtl4ml.frontend.judge.steps import Batch, Step


@functools.cache
def _blas() -> ThreadpoolController:
    """NumPy's BLAS, whose threads can be limited."""
    return ThreadpoolController()


class _GridCodes:
    """Codes of a tensor whose grid the caller gave; stands after the step that makes the tensor."""

    def __init__(self, name: str, scale: FloatArray):
        self.name, self._scale = name, scale
        self.reads, self.writes = (name,), (name,)
        self.sources: tuple[str, ...] = ()

    def __call__(self, batch: Batch) -> None:
        values = batch.values[self.name].astype(np.float64)
        codes = np.rint(values / self._scale)
        if not np.array_equal((codes * self._scale).astype(np.float32), batch.values[self.name]):
            raise ConfigurationError(f"values of {self.name!r} must be multiples of the grid given for it, not others")
        batch.codes[self.name] = codes.astype(np.int64)


class _IntegerCodes:
    """Codes of DequantizeLinear: its input. Stands after its step."""

    def __init__(self, step: Step):
        self.name, self._input = step.name, step.reads[0]
        self.reads, self.writes = step.reads, step.writes
        self.sources: tuple[str, ...] = ()

    def __call__(self, batch: Batch) -> None:
        batch.codes[self.name] = batch.values[self._input].astype(np.int64)


class StrictJudge(Executor):
    """A file, run with exact products.

    Args:
        model: as for `Judge`.
        input_grid: scale (a float32 number, or an array that broadcasts to the input's shape) of which all inputs are
            multiples.
        grids: the same for other tensors that no quantizer makes, by name.
        alone: outputs of elementwise nodes that are computed one value at a time: see `alone.py`.

    Raises:
        ModelError: as for `Judge`.
        ConfigurationError: a grid is given for a tensor that does not depend on the input, or is not positive or
            not of float32.

    Attributes:
        grids: grid of every quantizer's output and of every integer product, by tensor name.
        constant_codes: codes of the constants that a quantizer made, by tensor name.
        products: outputs of the MatMul, Gemm, Conv and ConvTranspose nodes computed from integers.
        refused: outputs of those that are computed in float32 as by `Judge`, and why.
        interpolated: outputs of linear Resize nodes whose weights float32 does not hold: `Judge` may have other bits.
    """

    def __init__(
        self,
        model: onnx.ModelProto | str | os.PathLike[str],
        input_grid: float | Array | None = None,
        grids: Mapping[str, float | Array] | None = None,
        alone: Container[str] = (),
    ):
        super().__init__(model)
        given = dict(grids or {})
        if input_grid is not None:
            given[self.input_name] = input_grid
        self._check_names(given, self._dynamic)
        self.grids: dict[str, Grid] = {}
        self.constant_codes: dict[str, IntArray] = {}
        self.refused: dict[str, str] = {}
        self.interpolated: set[str] = set()
        self._no_grid: dict[str, str] = {}
        for name, scale in given.items():
            if not (np.all(np.asarray(scale) > 0) and np.array_equal(np.asarray(scale, np.float32), scale)):
                raise ConfigurationError(f"the grid of {name!r} must be positive float32 numbers, not {scale}")
            self.grids[name] = self._grid(name, np.asarray(scale), np.zeros((), np.int64))
        self._find_grids()
        self._operands = Operands(
            self.producers, self.constants, self.shapes, self.opset, self.grids, self.constant_codes, self._no_grid
        )
        steps = [action for action in self._actions if isinstance(action, Step)]
        chosen = [(step, self._alone(step, alone) or self._exact(step) or step) for step in steps]
        actions: list[Action] = []
        if self.input_name in given:
            actions.append(_GridCodes(self.input_name, self.grids[self.input_name].scale))
        for step, action in chosen:
            actions.append(action)
            known = [name for name in step.writes if name in given]
            actions += [_GridCodes(name, self.grids[name].scale) for name in known]
            actions += [self._operands.carried[name] for name in step.writes if name in self._operands.carried]
            if not known and step.node.op_type == "DequantizeLinear" and step.name in self.grids:
                actions.append(_IntegerCodes(step))
        self.products = tuple(action.name for action in actions if isinstance(action, Product | Convolution))
        self._actions = actions

    def _grid(self, name: str, scale: Array, zero_point: Array) -> Grid:
        shape = self.shapes[name]
        scale, zero_point = scale.astype(np.float64), zero_point.astype(np.int64)
        return Grid(np.broadcast_to(scale, shape), np.broadcast_to(zero_point, shape))

    def _find_grids(self) -> None:
        """Note the grid, or why there is none, of every quantizer's output; and the codes of constant ones."""
        for name, step in self.producers.items():
            dequantize = step.node.op_type == "DequantizeLinear"
            if name in self.grids or not (step.quantizer is not None or dequantize):
                continue
            parameters = step.reads[1:]
            if not all(parameter in self.constants for parameter in parameters):
                self._no_grid[name] = f"the scale of {name!r} depends on the input"
                continue
            tensors = [self.constants[parameter] for parameter in parameters]
            if step.quantizer is not None:
                scale, zero_point = step.quantizer.format(tensors)
            else:
                scale, zero_point = self._along_axis(step, tensors)
            if not np.array_equal(zero_point, np.rint(zero_point)):
                self._no_grid[name] = f"the zero point of {name!r} is not an integer"
                continue
            self.grids[name] = self._grid(name, scale, zero_point)
            if name in self.constants:
                value = self.constants[step.reads[0]]
                codes = value.astype(np.int64) if step.quantizer is None else step.quantizer.codes([value, *tensors])
                self.constant_codes[name] = np.broadcast_to(codes, self.shapes[name])

    def _along_axis(self, step: Step, tensors: list[Array]) -> tuple[Array, Array]:
        """Scale and zero point of DequantizeLinear, shaped so that they broadcast."""
        scale = tensors[0]
        zero_point = tensors[1].astype(np.int64) if len(tensors) > 1 else np.zeros(scale.shape, np.int64)
        shape = self.shapes[step.name]
        axis = step.node.attribute("axis", 1)
        block = step.node.attribute("block_size", 0)
        if block:
            blocks = np.arange(shape[axis]) // block
            return np.take(scale, blocks, axis), np.take(zero_point, blocks, axis)
        spread = [1] * len(shape)
        if scale.size > 1:
            spread[axis] = scale.size
        return scale.reshape(spread), zero_point.reshape(spread)

    def _alone(self, step: Step, names: Container[str]) -> Action | None:
        """A chain's operator, one value at a time; None for others."""
        lonely = step.name in names and step.node.op_type in OPERATORS and step.dynamic == step.reads[:1]
        return AloneStep(step, self.constants, self.opset) if lonely else None

    def _exact(self, step: Step) -> Action | None:
        """The exact sums of a node that adds integers, or None: for products with the reason in `refused`."""
        kind, shape = step.node.op_type, self.shapes[step.reads[0]] if step.reads else ()
        if kind in INTEGER_PRODUCTS:
            return self._integer_product(step)
        try:
            if kind in ("MatMul", "Gemm"):
                return self._product(step)
            if kind in CONVOLUTIONS:
                convolution = Convolution(step, self._operands, self.constants, self.shapes)
                self.grids[step.name] = convolution.grid
                return convolution
            if kind == "AveragePool":
                return AveragePooling(step, self._operands, self.shapes)
            if kind in REDUCTIONS:
                return Reduction(step, self._operands.find(step.reads[0], -1), self.constants, len(shape))
            if kind in ("Resize", "Upsample") and step.node.attribute("mode", b"nearest") == b"linear":
                return self._resize(step)
        except NotIntegerError as reason:
            if kind in ("MatMul", "Gemm", *CONVOLUTIONS):
                self.refused[step.name] = str(reason)
        return None

    def _resize(self, step: Step) -> LinearResize:
        """The exact sums of a linear Resize; they are codes where nothing divides them."""
        resize = LinearResize(step, self._operands, self.constants, self.shapes, self.opset)
        if resize.grid is not None:
            self.grids[step.name] = resize.grid
            self._operands.add(step.name, resize.grid)
        if not resize.exact:
            self.interpolated.add(step.name)
        return resize

    def _product(self, step: Step) -> Product:
        """The integer product of a MatMul or Gemm node."""
        gemm = step.node.op_type == "Gemm"
        axes = (
            -2 if gemm and step.node.attribute("transA", 0) else -1,
            -1 if gemm and step.node.attribute("transB", 0) else -2,
        )
        for name in step.reads[:2]:
            if len(self.shapes[name]) < 2:
                raise NotIntegerError(f"operand {name!r} has fewer than 2 dimensions")
        left, right = (self._operands.find(name, axis) for name, axis in zip(step.reads, axes, strict=False))
        product = Product(step, left, right, self.constants, self.shapes[step.name])
        self.grids[step.name] = product.grid
        return product

    def _integer_product(self, step: Step) -> IntegerProduct | None:
        """The exact sums of an integer product with constant parameters, or None."""
        if any(n not in self.constants for n in step.reads[1:]) or len(self.shapes[step.reads[0]]) < 2:
            return None
        return IntegerProduct(step, self.constants, self.shapes[step.name])

    def run(
        self,
        x: Array,
        names: Iterable[str] | None = None,
        code_names: Iterable[str] | None = None,
        given: Mapping[str, IntArray] | None = None,
        progress: Progress | None = None,
    ) -> tuple[dict[str, Array], dict[str, IntArray]]:
        """Run the file on samples.

        Args:
            x: `[n, ...]`, as for `Judge.run`.
            names: tensors to return; None returns all that depend on the input.
            code_names: quantizers and products whose codes to return; None returns all.
            given: codes, `[n, ...]` by quantizer output, that what follows the quantizer shall see in place of its
                own: fed with the codes of `Judge.run_codes`, each layer is judged by itself. The codes returned are
                    the quantizer's own.
            progress: called with (samples done, samples in all).

        Returns:
            Tensors as `Judge.run`; and int64 codes `[n, ...]` by name: those of quantizers, and the exact sums of
            products (without Gemm's bias). `grids` says what they mean.

        Raises:
            ConfigurationError: shapes or names do not fit, or a value is not on a grid that was given.
            ModelError: a code is NaN, or a sum can exceed 63 bits.
        """
        given = given or {}
        self._check_names(given, self.quantizers)
        everything = (*self.quantizers, *self.products)
        code_names = everything if code_names is None else list(code_names)
        self._check_names(code_names, everything)
        # Matrices are small: BLAS's own threads cost far more than they give.
        with _blas().limit(limits=1, user_api="blas"):
            return self._run_chunks(x, names, code_names, given, progress, want_codes=True)
