"""The node of a datapath, its kinds, and what is known of a node from its neighbours alone."""

from collections.abc import Sequence
from typing import Any, NamedTuple

# Plain strings: they hash and compare faster than members of an Enum, and a datapath has tens of thousands of nodes.
INPUT = "input"
CONSTANT = "constant"
ADD = "add"
SUBTRACT = "subtract"
SHIFT_LEFT = "shift_left"
SHIFT_RIGHT = "shift_right"
LOW_BITS = "low_bits"
INVERT = "invert"
MULTIPLY = "multiply"
AT_LEAST = "at_least"
EQUAL = "equal"
SELECT = "select"
TABLE = "table"
CLIP = "clip"
NARROW = "narrow"
TERNARY = "ternary"
WEIGHTED = "weighted"

PAIRED = "paired"
"""Parameter of a clip on a device whose tables have two outputs: two bits share one."""

PROVEN = "proven"
"""Parameter of a sum or difference whose range is tighter than that of its operands gives."""

WIRING = frozenset({CONSTANT, SHIFT_LEFT, SHIFT_RIGHT, LOW_BITS, INVERT, NARROW})
"""Kinds that need no logic of their own: wires, and inverters that what follows takes in."""


class Node(NamedTuple):
    """One operation with its exact range.

    Attributes:
        kind: One of the kinds of this module.
        operands: Indices of the operands, all smaller than the node's own.
        parameter: Name of an input, amount of a shift, bits of ``low_bits``, values of a table, signs (+1 or -1) of
            the second and third operand of a sum of three, the constant and then the weights of the bits behind the
            first operand of a weighted sum, :data:`PROVEN`, :data:`PAIRED`; otherwise ``None``.
        low: Least value.
        high: Greatest value; ``clip`` and ``narrow`` are defined by ``low`` and ``high``.
    """

    kind: str
    operands: tuple[int, ...]
    parameter: Any
    low: int
    high: int

    @property
    def signed(self) -> bool:
        """Whether the value needs a sign bit."""
        return self.low < 0

    @property
    def bits(self) -> int:
        """Width of the value; the constant 0 has one bit."""
        return range_bits(self.low, self.high)


def range_bits(low: int, high: int) -> int:
    """Returns the width that holds every value of ``low .. high``, with a sign bit if ``low`` is negative."""
    if low < 0:
        return max((~low).bit_length(), high.bit_length() if high > 0 else 0) + 1
    return max(high.bit_length(), 1)


def signed_digits(value: int) -> list[tuple[int, int]]:
    """Returns the canonical signed digits of ``value`` as (power, +1 or -1), lowest first; no two are neighbours."""
    digits = []
    power = 0
    while value:
        if value & 1:
            digit = 2 - (value & 3)
            digits.append((power, digit))
            value -= digit
        value >>= 1
        power += 1
    return digits


class Chain(NamedTuple):
    """What an addition or subtraction is made of: ``low`` wired bits, and above them ``bits`` of carry chain.

    Attributes:
        wired: Low bits of the result that are those of an operand.
        bits: Bits that need a carry chain; 0 if the operands do not overlap (a concatenation).
    """

    wired: int
    bits: int


def chain(nodes: Sequence[Node], node: Node) -> Chain:
    """Returns which bits of an addition or subtraction are wires and which need a carry chain.

    The low bits of ``a + b * 2**k`` and of ``a - b * 2**k`` are those of ``a``; ``b * 2**k - a`` has no such bits.
    """
    bits = range_bits(node.low, node.high)
    if node.kind is TERNARY:
        wired = min(_wired_of_three(nodes, node), bits)
        return Chain(wired, bits - wired)
    if node.kind is WEIGHTED:
        return _chain_behind_table(nodes[node.operands[0]], node.parameter, bits)
    first, second = (nodes[operand] for operand in node.operands)
    zeros = trailing_zeros(second)
    lower = first
    if node.kind is ADD and (other := trailing_zeros(first)) > zeros:
        zeros, lower = other, second
    if zeros == 0:
        return Chain(0, bits)
    if node.kind is ADD and lower.low >= 0 and lower.high >> zeros == 0:
        return Chain(zeros, 0)
    return Chain(min(zeros, bits), max(bits - zeros, 0))


def _chain_behind_table(word: Node, numbers: Sequence[int], bits: int) -> Chain:
    """Returns the chain that adds a table to a word; none if one of them is 0 where the other is not."""
    union = 0
    for number in numbers:
        union |= number
    zeros = (union & -union).bit_length() - 1
    if word.low == word.high or (word.low >= 0 and word.high >> zeros == 0):
        return Chain(min(zeros, bits), 0)
    return Chain(min(zeros, bits), max(bits - zeros, 0))


def _wired_of_three(nodes: Sequence[Node], node: Node) -> int:
    """Returns the low bits of a sum of three that are those of one operand, which is not subtracted."""
    signs = (1, *node.parameter)
    zeros = sorted((trailing_zeros(nodes[operand]), sign) for operand, sign in zip(node.operands, signs, strict=True))
    return zeros[1][0] if zeros[0][1] > 0 else zeros[0][0]


def trailing_zeros(node: Node) -> int:
    """Returns how many low bits of the node are known to be zero (0 for the constant 0)."""
    if node.kind is SHIFT_LEFT:
        return int(node.parameter)
    if node.kind is CONSTANT and node.low:
        return (node.low & -node.low).bit_length() - 1
    return 0
