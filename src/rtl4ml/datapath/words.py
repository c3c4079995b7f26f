"""Words: a directed graph of integer arithmetic in which every node knows its exact range.

Whatever is combinational is built here once. The same graph is evaluated in NumPy (:meth:`Datapath.evaluate`), cut into
pipeline steps (:mod:`rtl4ml.datapath.pipeline`) and written as hardware (:mod:`rtl4ml.datapath.lowering`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtl4ml.datapath.evaluation import evaluate
from rtl4ml.datapath.nodes import (
    ADD,
    AT_LEAST,
    CLIP,
    CONSTANT,
    EQUAL,
    INPUT,
    INVERT,
    LOW_BITS,
    MULTIPLY,
    NARROW,
    PROVEN,
    SELECT,
    SHIFT_LEFT,
    SHIFT_RIGHT,
    SUBTRACT,
    TABLE,
    WEIGHTED,
    Node,
    range_bits,
    signed_digits,
)
from rtl4ml.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Word:
    """A node of a :class:`Datapath` as its user holds it: an integer with ``low <= value <= high``.

    Attributes:
        index: Position of the node in :attr:`Datapath.nodes`.
        low: Least value the node can take.
        high: Greatest value the node can take.
    """

    index: int
    low: int
    high: int

    @property
    def signed(self) -> bool:
        """Whether the word needs a sign bit."""
        return self.low < 0

    @property
    def bits(self) -> int:
        """Width of the word; the constant 0 has one bit."""
        return range_bits(self.low, self.high)


class Datapath:
    """A combinational function on integers, built node by node.

    Equal nodes are built once, constants fold, and operations that change nothing vanish. Factors of two are pulled out
    of sums, so that the shift of an operand says how many low bits need no carry chain.

    Attributes:
        nodes: The nodes; operands stand before the nodes that use them.
        inputs: The input words by name.
        outputs: The output words by name.

    >>> datapath = Datapath()
    >>> x = datapath.input("x", -8, 7)
    >>> y = datapath.output("y", datapath.add(datapath.shift_left(x, 1), datapath.constant(3)))
    >>> y.low, y.high, y.bits
    (-13, 17, 6)
    >>> datapath.evaluate({"x": np.array([-8, 7])})["y"].tolist()
    [-13, 17]
    """

    def __init__(self) -> None:
        """Starts with neither inputs nor outputs."""
        self.nodes: list[Node] = []
        self.inputs: dict[str, Word] = {}
        self.outputs: dict[str, Word] = {}
        self._movable: dict[int, Callable[[int], Word]] = {}
        self._known: dict[tuple[Any, ...], Word] = {}

    def word(self, index: int) -> Word:
        """Returns the word of the node at ``index``."""
        node = self.nodes[index]
        return Word(index, node.low, node.high)

    def _build(self, kind: str, operands: tuple[int, ...], parameter: Any, low: int, high: int) -> Word:
        """Returns the word of such a node, a new one only if there is none yet."""
        if low == high and kind != CONSTANT:
            return self.constant(low)
        # The range is part of the key: for clip and narrow it is the operation itself.
        key = (kind, operands, parameter, low, high)
        word = self._known.get(key)
        if word is None:
            word = self._known[key] = Word(len(self.nodes), low, high)
            self.nodes.append(Node(kind, operands, parameter, low, high))
        return word

    def append(self, node: Node) -> Word:
        """Returns the word of a node as it is, for copies of datapaths; its operands are nodes of this one."""
        if node.kind is INPUT:
            return self.input(node.parameter, node.low, node.high)
        return self._build(*node)

    def input(self, name: str, low: int, high: int) -> Word:
        """Declares an input.

        Raises:
            ConfigurationError: If the name is taken or the range is empty.
        """
        if name in self.inputs:
            raise ConfigurationError(f"input name must be new, not {name!r}")
        if low > high:
            raise ConfigurationError(f"range of input {name!r} must be ascending, not [{low}, {high}]")
        # An input of one value stays an input: it is a port that somebody drives.
        word = Word(len(self.nodes), int(low), int(high))
        self.nodes.append(Node(INPUT, (), name, word.low, word.high))
        self.inputs[name] = word
        return word

    def output(self, name: str, word: Word) -> Word:
        """Declares ``word`` to be the output ``name``.

        Raises:
            ConfigurationError: If the name is taken.
        """
        if name in self.outputs:
            raise ConfigurationError(f"output name must be new, not {name!r}")
        self.outputs[name] = word
        return word

    def constant(self, value: int) -> Word:
        """Returns the word that is always ``value``."""
        value = int(value)
        return self._build(CONSTANT, (), None, value, value)

    def _factor(self, a: Word) -> tuple[int, int]:
        """Returns the node without its known factor of two, and the exponent of that factor."""
        node = self.nodes[a.index]
        if node.kind is SHIFT_LEFT:
            return node.operands[0], node.parameter
        if a.low == a.high and a.low:
            return a.index, (a.low & -a.low).bit_length() - 1
        return a.index, 0

    def _common_shift(self, a: Word, b: Word) -> int:
        """Returns how many low bits are zero in both words (0 unless one of them is a shifted word)."""
        if self.nodes[a.index].kind is not SHIFT_LEFT and self.nodes[b.index].kind is not SHIFT_LEFT:
            return 0
        return min(self._factor(a)[1], self._factor(b)[1])

    def add(self, a: Word, b: Word, within: tuple[int, int] | None = None) -> Word:
        """Returns ``a + b``.

        Args:
            a: First term.
            b: Second term.
            within: Range of the sum, if the caller has proven a tighter one than the ranges of the terms give;
                :meth:`evaluate` checks it.
        """
        if a.low == a.high:
            a, b = b, a
        node = self.nodes[a.index]
        if b.low == b.high:
            value = b.low
            if value == 0:
                return a
            if a.low == a.high:
                return self.constant(a.low + value)
            # While it is built anew, the word may turn up again as one of its own summands.
            if (build := self._movable.pop(a.index, None)) is not None:
                moved = build(value)
                self._movable[a.index] = build
                return moved
            # (x + c) + d is x + (c + d), and (c - x) + d is (c + d) - x: one chain instead of two.
            if node.kind is ADD and (inner := self.nodes[node.operands[1]]).kind is CONSTANT:
                return self.add(self.word(node.operands[0]), self.constant(inner.low + value), within)
            if node.kind is SUBTRACT and (inner := self.nodes[node.operands[0]]).kind is CONSTANT:
                return self.subtract(self.constant(inner.low + value), self.word(node.operands[1]), within)
        else:
            if a.index > b.index:
                a, b = b, a
                node = self.nodes[a.index]
            other = self.nodes[b.index]
            if other.kind is SUBTRACT and self._is_zero(other.operands[0]):
                return self.subtract(a, self.word(other.operands[1]), within)
            if node.kind is SUBTRACT and self._is_zero(node.operands[0]):
                return self.subtract(b, self.word(node.operands[1]), within)
            if a.index == b.index:
                return self.shift_left(a, 1)
        if k := self._common_shift(a, b):
            return self.shift_left(self.add(self.shift_right(a, k), self.shift_right(b, k), _divided(within, k)), k)
        return self._chain(ADD, (a.index, b.index), a.low + b.low, a.high + b.high, within)

    def _chain(self, kind: str, operands: tuple[int, int], low: int, high: int, within: tuple[int, int] | None) -> Word:
        if within is None or (within[0] <= low and within[1] >= high):
            return self._build(kind, operands, None, low, high)
        return self._build(kind, operands, PROVEN, max(low, within[0]), min(high, within[1]))

    def _is_zero(self, index: int) -> bool:
        node = self.nodes[index]
        return node.low == 0 == node.high

    def subtract(self, a: Word, b: Word, within: tuple[int, int] | None = None) -> Word:
        """Returns ``a - b``; ``within`` as for :meth:`add`."""
        if b.low == b.high:
            return self.add(a, self.constant(-b.low), within)
        if a.index == b.index:
            return self.constant(0)
        node = self.nodes[b.index]
        if node.kind is SUBTRACT and self._is_zero(node.operands[0]):
            return self.add(a, self.word(node.operands[1]), within)
        if a.low == a.high:
            # c - (x + d) is (c - d) - x, and c - (d - x) is x + (c - d).
            if node.kind is ADD and (inner := self.nodes[node.operands[1]]).kind is CONSTANT:
                return self.subtract(self.constant(a.low - inner.low), self.word(node.operands[0]), within)
            if node.kind is SUBTRACT and (inner := self.nodes[node.operands[0]]).kind is CONSTANT:
                return self.add(self.word(node.operands[1]), self.constant(a.low - inner.low), within)
            if a.low == 0:
                # The sign moves inwards, where it costs nothing.
                if node.kind is SUBTRACT:
                    first, second = (self.word(operand) for operand in node.operands)
                    return self.subtract(second, first, (-b.high, -b.low))
                if node.kind is SHIFT_LEFT:
                    return self.shift_left(self.subtract(a, self.word(node.operands[0])), node.parameter)
        if k := self._common_shift(a, b):
            return self.shift_left(
                self.subtract(self.shift_right(a, k), self.shift_right(b, k), _divided(within, k)), k
            )
        return self._chain(SUBTRACT, (a.index, b.index), a.low - b.high, a.high - b.low, within)

    def invert(self, a: Word) -> Word:
        """Returns ``-1 - a``: every bit turned around."""
        if a.low == a.high:
            return self.constant(-1 - a.low)
        node = self.nodes[a.index]
        if node.kind is INVERT:
            return self.word(node.operands[0])
        return self._build(INVERT, (a.index,), None, -1 - a.high, -1 - a.low)

    def movable(self, a: Word, build: Callable[[int], Word]) -> Word:
        """Returns ``a``, and remembers how ``a + constant`` is built with the constant among the summands of ``a``.

        Args:
            a: A sum that nothing but an addition of a constant will use: what it is made of is built anew.
            build: Returns ``a`` plus its argument.
        """
        if a.low != a.high:
            self._movable[a.index] = build
        return a

    def negate(self, a: Word) -> Word:
        """Returns ``-a``."""
        return self.subtract(self.constant(0), a)

    def shift_left(self, a: Word, k: int) -> Word:
        """Returns ``a * 2**k``.

        Raises:
            ConfigurationError: If ``k`` is negative.
        """
        if k <= 0:
            return a if k == 0 else self._bad_amount(k)
        if a.low == a.high:
            return self.constant(a.low << k)
        node = self.nodes[a.index]
        if node.kind is SHIFT_LEFT:
            return self.shift_left(self.word(node.operands[0]), k + node.parameter)
        return self._build(SHIFT_LEFT, (a.index,), k, a.low << k, a.high << k)

    def shift_right(self, a: Word, k: int) -> Word:
        """Returns ``floor(a / 2**k)``.

        Raises:
            ConfigurationError: If ``k`` is negative.
        """
        if k <= 0:
            return a if k == 0 else self._bad_amount(k)
        node = self.nodes[a.index]
        if node.kind is SHIFT_LEFT:
            inner, amount = self.word(node.operands[0]), node.parameter
            return self.shift_left(inner, amount - k) if amount > k else self.shift_right(inner, k - amount)
        if node.kind is SHIFT_RIGHT:
            return self.shift_right(self.word(node.operands[0]), k + node.parameter)
        return self._build(SHIFT_RIGHT, (a.index,), k, a.low >> k, a.high >> k)

    def low_bits(self, a: Word, k: int) -> Word:
        """Returns ``a`` modulo ``2**k``, which is never negative.

        Raises:
            ConfigurationError: If ``k`` is negative.
        """
        if k < 0:
            self._bad_amount(k)
        low, high = 0, (1 << k) - 1
        if a.low >> k == a.high >> k:
            if a.low >= 0 and a.high <= high:
                return a
            low, high = a.low & high, a.high & high
        if self._factor(a)[1] >= k:
            return self.constant(0)
        return self._build(LOW_BITS, (a.index,), k, low, high)

    def _bad_amount(self, k: int) -> Word:
        raise ConfigurationError(f"number of bits must be 0 or more, not {k}")

    def multiply(self, a: Word, b: Word) -> Word:
        """Returns ``a * b``; a product with a constant becomes shifts and additions."""
        if a.low == a.high:
            a, b = b, a
        if b.low == b.high:
            if a.low == a.high:
                return self.constant(a.low * b.low)
            digits = signed_digits(b.low)
            terms = [self.shift_left(a, power) for power, sign in digits if sign > 0]
            taken = [self.shift_left(a, power) for power, sign in digits if sign < 0]
            ends = sorted((a.low * b.low, a.high * b.low))
            return self.subtract(self.sum(terms), self.sum(taken), (ends[0], ends[1]))
        if a.index > b.index:
            a, b = b, a
        corners = (a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high)
        low = min(corners)
        if a.index == b.index:
            low = 0 if a.low <= 0 <= a.high else min(a.low**2, a.high**2)
        return self._build(MULTIPLY, (a.index, b.index), None, low, max(corners))

    def at_least(self, a: Word, b: Word) -> Word:
        """Returns the bit ``a >= b``."""
        if a.low >= b.high or a.index == b.index:
            return self.constant(1)
        if a.high < b.low:
            return self.constant(0)
        if b.low == b.high and (k := self._factor(a)[1]):
            a, b = self.shift_right(a, k), self.constant(-(-b.low >> k))
            return self.at_least(a, b)
        if b.low == b.high and (a.low, a.high, b.low) == (0, 1, 1):
            return a
        return self._build(AT_LEAST, (a.index, b.index), None, 0, 1)

    def equal(self, a: Word, b: Word) -> Word:
        """Returns the bit ``a == b``."""
        if a.index == b.index or a.low == a.high == b.low == b.high:
            return self.constant(1)
        if a.high < b.low or b.high < a.low:
            return self.constant(0)
        if a.low == a.high or (b.low != b.high and a.index > b.index):
            a, b = b, a
        return self._build(EQUAL, (a.index, b.index), None, 0, 1)

    def select(self, condition: Word, if_true: Word, if_false: Word) -> Word:
        """Returns ``if_true`` where the bit ``condition`` is 1, else ``if_false``.

        Raises:
            ConfigurationError: If the condition is no bit.
        """
        if condition.low < 0 or condition.high > 1:
            raise ConfigurationError(f"condition must be a bit, not a word of [{condition.low}, {condition.high}]")
        if condition.low == condition.high:
            return if_true if condition.low else if_false
        if if_true.low == if_true.high == if_false.low == if_false.high or if_true.index == if_false.index:
            return if_true
        if if_true.low == if_true.high == 1 and if_false.low == if_false.high == 0:
            return condition
        low, high = min(if_true.low, if_false.low), max(if_true.high, if_false.high)
        return self._build(SELECT, (condition.index, if_true.index, if_false.index), None, low, high)

    def table(self, index: Word, values: Sequence[int] | NDArray[np.int64]) -> Word:
        """Returns ``values[index - index.low]``.

        Raises:
            ConfigurationError: If there is not exactly one value for each index.
        """
        entries = tuple(int(value) for value in values)
        if len(entries) != index.high - index.low + 1:
            raise ConfigurationError(
                f"table must have {index.high - index.low + 1} values, one for each index, not {len(entries)}"
            )
        if len(entries) == 2:
            condition = self.at_least(index, self.constant(index.high))
            return self.select(condition, self.constant(entries[1]), self.constant(entries[0]))
        if all(entry - entries[0] == position for position, entry in enumerate(entries)):
            return self.add(index, self.constant(entries[0] - index.low))
        return self._build(TABLE, (index.index,), entries, min(entries), max(entries))

    def weighted(self, a: Word, bits: Sequence[Word], weights: Sequence[int], constant: int = 0) -> Word:
        """Returns ``a + bits @ weights + constant``, the bits by a lookup table in front of an adder.

        Args:
            a: A word; a constant leaves the table alone.
            bits: Words of 0 or 1, independent of one another and of ``a``.
            weights: As many integers, none of them 0.
            constant: Added in the table.

        Raises:
            ConfigurationError: If there is not one weight for each bit, a weight is 0, or a bit is none.
        """
        if len(weights) != len(bits):
            raise ConfigurationError(f"weights must be {len(bits)}, one for each bit, not {len(weights)}")
        if not all(weights):
            raise ConfigurationError(f"weights must not be 0, not {list(weights)}")
        for bit in bits:
            if (bit.low, bit.high) != (0, 1):
                raise ConfigurationError(f"bits must be words of [0, 1], not of [{bit.low}, {bit.high}]")
        if not bits:
            return self.add(a, self.constant(constant))
        if a.low == a.high and a.low:
            return self.weighted(self.constant(0), bits, weights, constant + a.low)
        numbers = (int(constant), *(int(weight) for weight in weights))
        low, high = (constant + sum(ends(weight, 0) for weight in numbers[1:]) for ends in (min, max))
        return self._build(
            WEIGHTED, (a.index, *(bit.index for bit in bits)), numbers, int(a.low + low), int(a.high + high)
        )

    def clip(self, a: Word, low: int, high: int) -> Word:
        """Returns ``a`` limited to ``low .. high``.

        Raises:
            ConfigurationError: If the range is empty.
        """
        if low > high:
            raise ConfigurationError(f"clip range must be ascending, not [{low}, {high}]")
        if low <= a.low and a.high <= high:
            return a
        return self._build(CLIP, (a.index,), None, min(max(a.low, low), high), max(min(a.high, high), low))

    def sum(self, words: Sequence[Word]) -> Word:
        """Returns the sum of any number of words as a balanced tree, narrow words meeting first."""
        terms = list(words)
        if not terms:
            return self.constant(0)
        while len(terms) > 1:
            terms.sort(key=lambda word: (word.bits, word.index))
            paired = [self.add(terms[i], terms[i + 1]) for i in range(0, len(terms) - 1, 2)]
            terms = paired + terms[2 * len(paired) :]
        return terms[0]

    def narrow(self, a: Word, low: int, high: int) -> Word:
        """Returns ``a``, of which the caller has proven that it stays in ``low .. high``; :meth:`evaluate` checks it.

        Raises:
            ConfigurationError: If no value of ``a`` lies in the range.
        """
        low, high = max(low, a.low), min(high, a.high)
        if low > high:
            raise ConfigurationError(f"narrowed range must hold a value of [{a.low}, {a.high}], not [{low}, {high}]")
        if (low, high) == (a.low, a.high):
            return a
        return self._build(NARROW, (a.index,), None, low, high)

    def evaluate(self, inputs: Mapping[str, NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
        """Computes the outputs for arrays of input values, elementwise.

        Args:
            inputs: One integer array per input; their shapes must broadcast.

        Returns:
            One array per output, all of the inputs' common shape.

        Raises:
            ConfigurationError: If inputs are missing, unknown, not integers or out of range, or a narrowed word leaves
                the range that was promised.
        """
        return evaluate(self.nodes, {name: word.index for name, word in self.outputs.items()}, inputs)


def _divided(within: tuple[int, int] | None, k: int) -> tuple[int, int] | None:
    """Returns the range of a multiple of ``2**k`` divided by it."""
    return None if within is None else (-(-within[0] >> k), within[1] >> k)
