"""Operands of sums: where their codes come from, through whatever carries codes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rtl4ml.frontend.judge.arrays import Array, IntArray
from rtl4ml.frontend.judge.carriers import Carrier, carrier
from rtl4ml.frontend.judge.grids import Grid, NotIntegerError, recover
from rtl4ml.frontend.judge.steps import Batch, Step


@dataclass(frozen=True)
class Operand:
    """One side of a product, or what is summed.

    Attributes:
        source: tensor whose codes count.
        codes: of a constant, in its own shape; None: they come with the batch.
        grid: what they mean, in the operand's shape.
    """

    source: str
    codes: IntArray | None
    grid: Grid


class CarriedCodes:
    """Codes behind a node that carries them; stands after its step.

    Args:
        name: the node's output.
        how: the carrier.
        operands: its data inputs.
    """

    def __init__(self, name: str, how: Carrier, operands: Sequence[Operand]):
        self.name = name
        self.reads: tuple[str, ...] = ()
        self.writes = (name,)
        self.sources = tuple(operand.source for operand in operands if operand.codes is None)
        self._how, self._operands = how, operands

    def __call__(self, batch: Batch) -> None:
        """Put the codes into `batch`."""
        codes = [batch.codes[o.source] if o.codes is None else o.codes[np.newaxis] for o in self._operands]
        batch.codes[self.name] = self._how.codes(codes)


class Operands:
    """Finds operands; what must carry codes to them is noted.

    Args:
        producers: steps by the tensors they make.
        constants: the file's constants.
        shapes: of one sample's tensors.
        opset: of the file's standard operators.
        grids: of tensors that have codes of their own: quantizers, and those whose grid the caller gave.
        constant_codes: codes of those that are constant.
        no_grid: quantizers without a grid, and why.

    Attributes:
        carried: actions that carry codes, by the output of the node that each stands behind.
    """

    def __init__(
        self,
        producers: Mapping[str, Step],
        constants: Mapping[str, Array],
        shapes: Mapping[str, tuple[int, ...]],
        opset: int,
        grids: Mapping[str, Grid],
        constant_codes: Mapping[str, IntArray],
        no_grid: Mapping[str, str],
    ):
        self._producers, self._constants, self._shapes, self._opset = producers, constants, shapes, opset
        self._refused = dict(no_grid)
        self._known = {name: Operand(name, constant_codes.get(name), grid) for name, grid in grids.items()}
        self.carried: dict[str, CarriedCodes] = {}

    def add(self, name: str, grid: Grid) -> None:
        """Note that an action puts codes of a tensor into the batch."""
        self._known[name] = Operand(name, None, grid)

    def find(self, name: str, axis: int) -> Operand:
        """The operand of a name.

        Args:
            name: the tensor.
            axis: that a sum runs over; a constant without a quantizer has a scale for each position along the others.

        Raises:
            NotIntegerError: it has no codes.
        """
        known = self._quantized(name)
        if known is not None:
            return known
        return self._recovered(name, self._constant(name), axis)

    def weights(self, name: str, arranged: Callable[[Array], Array]) -> Operand:
        """Constant weights as a matrix whose rows are outputs; `codes` is None where they are not constant.

        Raises:
            NotIntegerError: they have no codes.
        """
        known = self._quantized(name)
        if known is None:
            return self._recovered(name, arranged(self._constant(name)), 1)
        grid = Grid(arranged(known.grid.scale), arranged(known.grid.zero_point))
        return Operand(name, None if known.codes is None else arranged(known.codes), grid)

    def _quantized(self, name: str) -> Operand | None:
        """The operand, if its codes are those of a quantizer; None for a constant that has none."""
        if name in self._known:
            return self._known[name]
        if name in self._refused:
            raise NotIntegerError(self._refused[name])
        try:
            found = self._carried(name)
        except NotIntegerError as reason:
            if name in self._constants:
                return None
            self._refused[name] = str(reason)  # whoever reads it need not try again
            raise
        if found is not None:
            self._known[name] = found
        return found

    def _carried(self, name: str) -> Operand | None:
        step = self._producers.get(name)
        how = None if step is None else carrier(step, name, self._constants, self._shapes, self._opset)
        if how is None:
            return None
        operands = [self.find(source, 1 if len(self._shapes[source]) > 1 else 0) for source in how[1]]
        grid = how[0].grid([operand.grid for operand in operands])
        codes = [operand.codes for operand in operands]
        constant = [code[np.newaxis] for code in codes if code is not None]
        if len(constant) == len(codes):
            return Operand(name, how[0].codes(constant)[0], grid)
        self.carried[name] = CarriedCodes(name, how[0], operands)
        return Operand(name, None, grid)

    def _constant(self, name: str) -> Array:
        if name not in self._constants:
            raise NotIntegerError(f"operand {name!r} has no quantizer")
        return self._constants[name]

    @staticmethod
    def _recovered(name: str, value: Array, axis: int) -> Operand:
        """An operand without a quantizer: a constant that lies on a grid."""
        found = recover(value, axis) if value.dtype == np.float32 and value.ndim else None
        if found is None:
            raise NotIntegerError(f"constant {name!r} does not lie on a grid of 16 bits or fewer")
        return Operand(name, found[1], Grid(found[0], np.zeros(value.shape, np.int64)))
