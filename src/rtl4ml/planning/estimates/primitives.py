"""What hardware is made of, as a synthesizer sees it before it knows the device."""

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Add:
    """A sum or difference.

    Attributes:
        bits: of the carry chain.
        varying: bits in which both operands vary; in the others one is constant.
        subtracts: whether a carry goes in.
    """

    bits: int
    varying: int
    subtracts: bool


@dataclass(frozen=True, slots=True)
class AddThree:
    """A sum of three words along one carry chain of so many bits."""

    bits: int


@dataclass(frozen=True, slots=True)
class AddTable:
    """A sum of a word and a table.

    Attributes:
        bits: of the carry chain; 0: the table alone.
        width: bits of the table's values.
        index: bits that the table is read by.
    """

    bits: int
    width: int
    index: int


@dataclass(frozen=True, slots=True)
class Compare:
    """Less, or greater or equal: `bits` of a chain of which only the end is used; perhaps with a constant."""

    bits: int
    constant: bool


@dataclass(frozen=True, slots=True)
class Equal:
    """Equality of so many bits; perhaps with a constant."""

    bits: int
    constant: bool


@dataclass(frozen=True, slots=True)
class Reduce:
    """AND or OR of so many bits."""

    bits: int


@dataclass(frozen=True, slots=True)
class Select:
    """A choice between two words by one bit.

    Attributes:
        bits: of the words.
        varying: words that vary: 1 or 2.
    """

    bits: int
    varying: int


@dataclass(frozen=True, slots=True)
class Clip:
    """Bits that are replaced by constants at one end or at both."""

    bits: int
    ends: int


@dataclass(frozen=True, slots=True)
class Gates:
    """So many gates of two inputs."""

    bits: int


@dataclass(frozen=True, slots=True)
class Table:
    """Functions of one index, as decision diagrams whose leaves are lookup tables.

    Attributes:
        leaves4: distinct functions of four inputs.
        nodes4: distinct choices between two of them.
        leaves6: distinct functions of six inputs.
        nodes6: distinct choices between two of these.
        varying: functions that are no constants.
        distinct: of these, those that differ.
    """

    leaves4: int
    nodes4: int
    leaves6: int
    nodes6: int
    varying: int
    distinct: int


@dataclass(frozen=True, slots=True)
class Multiply:
    """A product of two words.

    Attributes:
        a_bits: of one operand.
        a_signed: whether it has a sign.
        b_bits: of the other.
        b_signed: likewise.
        bits: of the product.
    """

    a_bits: int
    a_signed: bool
    b_bits: int
    b_signed: bool
    bits: int


@dataclass(frozen=True, slots=True)
class ProductPair:
    """Two products, counted by themselves too, whose registers nothing reads but an addition of both."""

    first: Multiply
    second: Multiply


@dataclass(frozen=True, slots=True)
class Memory:
    """Words that are read by an address.

    Attributes:
        depth: words.
        width: bits of a word.
        writes: write ports; 0: its contents are constant.
        registered: reading takes an edge.
        contents: of a memory that is never written: as logic.
    """

    depth: int
    width: int
    writes: int
    registered: bool
    contents: Table | None


@dataclass(frozen=True, slots=True)
class Register:
    """Flip-flops.

    Attributes:
        bits: how many.
        control: they have a reset or an enable, so that no shift register can take their place.
    """

    bits: int
    control: bool


@dataclass(frozen=True, slots=True)
class Shift:
    """Words that pass so many registers in a row and are used behind the last only."""

    bits: int
    length: int


Primitive = (
    Add
    | AddThree
    | AddTable
    | Compare
    | Equal
    | Reduce
    | Select
    | Clip
    | Gates
    | Table
    | Multiply
    | ProductPair
    | Memory
    | Register
    | Shift
)

Structure = Counter[Primitive]
"""How often each primitive occurs."""
