"""Loop nests in hardware: counters, and positions that move along with them by adding constants."""

from collections.abc import Sequence

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.utils import ceil_log2
from numpy.typing import NDArray

from rtl4ml.hdl.tables import shape_of_range


def moves(counts: Sequence[int], steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """What one turn of a loop nest adds to the position.

    Args:
        counts: of the levels, outermost first.
        steps: int64 (levels, axes), what a step of a level adds.

    Returns:
        int64 (levels + 1, axes): row 0 when the whole nest starts over, row 1 + l when level l steps on and the levels
        inside it start over.
    """
    spans = (np.asarray(counts, np.int64)[:, np.newaxis] - 1) * steps
    inside = np.concatenate([np.cumsum(spans[::-1], axis=0)[::-1], np.zeros_like(steps[:1], shape=(1, steps.shape[1]))])
    return np.concatenate([-inside[:1], steps - inside[1:]])


def indices(counts: Sequence[int], number: int) -> list[int]:
    """Index of each level at turn `number` of a nest; turns count on through all rounds."""
    result = []
    for count in reversed(counts):
        number, index = divmod(number, count)
        result.append(index)
    return result[::-1]


def count_nest(m: Module, name: str, counts: Sequence[int], advance: Value, at: int = 0) -> list[Value]:
    """Add the counters of a loop nest; return which of its levels the next `advance` moves.

    The counters run one turn ahead, so that what is returned are registers.

    Args:
        m: module that the registers are added to.
        name: prefix of their names.
        counts: of the levels, outermost first.
        advance: the nest moves on at this edge.
        at: turn after a reset.

    Returns:
        One bit each, exactly one of them 1: bit 0 when the nest starts over, bit 1 + l when level l steps on.
    """
    result: list[Value] = [Const(0)] * (len(counts) + 1)
    active = [level for level, count in enumerate(counts) if count > 1]
    if not active:
        return [Const(1), *result[1:]]
    ahead = indices(counts, at + 1)
    inside: Value = Const(1)  # all levels inside this one are at their ends
    for level in reversed(active):
        count = counts[level]
        index = Signal(range(count), init=ahead[level], name=f"{name}_index_{level}")
        at_end = Signal(name=f"{name}_ends_{level}")
        m.d.comb += at_end.eq(inside & (index == count - 1))
        with m.If(advance & inside):
            m.d.sync += index.eq(Mux(index == count - 1, 0, index + 1))
        result[1 + level] = _moving(
            m, f"{name}_moves_{level}", _level_after(counts, at) == level, advance, inside & ~at_end
        )
        inside = at_end
    result[0] = _moving(m, f"{name}_restarts", _level_after(counts, at) is None, advance, inside)
    return result


def _level_after(counts: Sequence[int], number: int) -> int | None:
    """The level that steps on after turn `number`; None when the nest starts over."""
    for level in reversed(range(len(counts))):
        if indices(counts, number)[level] != counts[level] - 1:
            return level
    return None


def _moving(m: Module, name: str, init: bool, advance: Value, following: Value) -> Signal:
    flag = Signal(name=name, init=int(init))
    with m.If(advance):
        m.d.sync += flag.eq(following)
    return flag


def constant_of(steps: Sequence[Value], constants: Sequence[int], bits: int) -> Value:
    """The constant, modulo 2**bits, whose bit of `steps` is 1; one of the bits is."""
    wanted = [int(constant) & ((1 << bits) - 1) for constant in constants]
    reachable = [
        value for step, value in zip(steps, wanted, strict=True) if not (isinstance(step, Const) and not step.value)
    ]
    if all(value == reachable[0] for value in reachable):
        return Const(reachable[0], bits)
    columns: list[Value] = []
    for bit in range(bits):
        setters = [step for step, value in zip(steps, wanted, strict=True) if (value >> bit) & 1]
        columns.append(Cat(*setters).any() if setters else Const(0, 1))
    return Cat(*columns)


class Walker:
    """A position (row, column, chunk) that moves along a loop nest over frames that follow each other.

    Coordinates are kept only as far as they are asked for. Rows are counted in the frame (`value`) and, for places in
    a ring that holds several frames, through all frames (`phase`, `address`).

    Parameters:
        m: module that the registers are added to.
        name: prefix of their names.
        counts: of the levels, outermost first.
        steps: int64 (levels, 3), what a step of a level adds to row, column, chunk.
        start: row, column, chunk of the first turn.
        advance: the position moves on at this edge.
        height: rows of a frame.
        banks: of rows and columns.
        at: turn after a reset.

    Attributes:
        moving: what the next `advance` moves (see :func:`count_nest`).
    """

    def __init__(
        self,
        m: Module,
        name: str,
        counts: Sequence[int],
        steps: NDArray[np.int64],
        start: Sequence[int] | NDArray[np.int64],
        advance: Value,
        height: int,
        banks: tuple[int, int],
        at: int = 0,
    ) -> None:
        self._m, self._name, self._advance = m, name, advance
        self.moving = count_nest(m, name, counts, advance, at)
        self._banks = (*banks, 1)
        steps = steps.reshape(len(counts), 3)
        self._moves = moves(counts, steps)
        spans = (np.asarray(counts, np.int64)[:, np.newaxis] - 1) * steps
        self._low = np.asarray(start) + np.minimum(spans, 0).sum(axis=0)
        self._high = np.asarray(start) + np.maximum(spans, 0).sum(axis=0)
        self._place = np.asarray(start) + (np.asarray(indices(counts, at), np.int64)[:, np.newaxis] * steps).sum(axis=0)
        through = np.zeros_like(self._moves)
        through[0, 0] = height
        self._moves_through = self._moves + through
        frame = at // int(np.prod(counts, dtype=np.int64))
        self._place_through = self._place + np.array([frame * height, 0, 0])
        self._phases: dict[int, tuple[Value, Value]] = {}

    def range(self, axis: int) -> tuple[int, int]:
        """Lowest and highest that the coordinate becomes; 0 rows, 1 columns, 2 chunks."""
        return int(self._low[axis]), int(self._high[axis])

    def value(self, axis: int) -> Value:
        """The coordinate of the frame; 0 rows, 1 columns, 2 chunks."""
        low, high = self.range(axis)
        if low == high:
            return Const(low, shape_of_range(low, low))
        shape = shape_of_range(low, high)
        value = Signal(shape, init=int(self._place[axis]), name=f"{self._name}_{('row', 'column', 'chunk')[axis]}")
        with self._m.If(self._advance):
            self._m.d.sync += value.eq(value + constant_of(self.moving, self._moves[:, axis].tolist(), shape.width))
        return value

    def phase(self, axis: int) -> Value:
        """The bank: the coordinate modulo the number of banks; rows through all frames."""
        return self._phase(axis)[0]

    def _phase(self, axis: int) -> tuple[Value, Value]:
        """The bank, and whether the coordinate's group is one more than the move's constant says."""
        if axis not in self._phases:
            self._phases[axis] = self._build_phase(axis)
        return self._phases[axis]

    def _build_phase(self, axis: int) -> tuple[Value, Value]:
        m, banks = self._m, self._banks[axis]
        init = int(self._place_through[axis]) % banks
        rests = (self._moves_through[:, axis] % banks).tolist()
        bits = ceil_log2(max(2, banks))
        if not any(rests):
            return Const(init, bits), Const(0, 1)
        name = f"{self._name}_{('row', 'column')[axis]}_phase"
        phase = Signal(bits, init=init, name=name)
        beyond = Signal(bits + 1, name=f"{name}_beyond")
        carry = Signal(name=f"{name}_carry")
        m.d.comb += [beyond.eq(phase + constant_of(self.moving, rests, bits)), carry.eq(beyond >= banks)]
        with m.If(self._advance):
            m.d.sync += phase.eq(Mux(carry, beyond - banks, beyond))
        return phase, carry

    def address(self, name: str, bits: int, strides: Sequence[int], offset: int = 0) -> Value:
        """The sum of (row group, column group, chunk) * strides + offset, modulo 2**bits.

        Args:
            name: suffix of the register's name.
            bits: width of the result.
            strides: of a group of rows, a group of columns, a chunk; 0 leaves an axis out.
            offset: added to the sum.
        """
        groups = self._moves_through // self._banks
        constants = (groups * np.asarray(strides)).sum(axis=1)
        init = int((self._place_through // self._banks * np.asarray(strides)).sum()) + offset
        carries = [(self._phase(axis)[1], strides[axis]) for axis in (0, 1) if strides[axis] and self._banks[axis] > 1]
        carries = [(carry, stride) for carry, stride in carries if not isinstance(carry, Const)]
        modulus = 1 << bits
        if not carries and not any(int(constant) % modulus for constant in constants):
            return Const(init % modulus, bits)
        address = Signal(bits, init=init % modulus, name=f"{self._name}_{name}")
        following: Value = address + constant_of(self.moving, constants.tolist(), bits)
        for carry, stride in carries:
            following = following + Mux(carry, Const(stride % modulus, bits), 0)
        with self._m.If(self._advance):
            self._m.d.sync += address.eq(following)
        return address
