"""What becomes of a memory: block memory, lookup tables or registers, by the rules of Yosys' `memory_libmap`.

The pass takes the cheapest of all ways to build a memory, and what a way costs is written in a file for each family:
`brams.txt` and `lutrams.txt` of Yosys 0.70. The numbers here are those of these files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rtl4ml.planning.estimates.primitives import Memory

_MUX, _EMULATION = 0.5, 2.0
_OLD_VALUE = 6
"""Emulation score of a memory that must give the old value while a word is written but cannot: 3 for the write port,
3 for the read port."""


class Shape(NamedTuple):
    """A kind of memory cell.

    Attributes:
        units: cells of `count` that one is: block memories, or lookup tables.
        address_bits: at a width of one bit.
        widths: bits of a word that a cell can have; each next one takes half the words.
        byte: bits that can be written apart from the others; 0: whole words only.
        cost: of a cell.
        scaled: a cell of which only a part is used costs a part.
        block: a block memory, which is read through a register.
        old_value: whether a read gives the old value while the word is written.
    """

    units: int
    address_bits: int
    widths: tuple[int, ...]
    byte: int
    cost: float
    scaled: bool = False
    block: bool = True
    old_value: bool = False


@dataclass(frozen=True)
class Mapped:
    """What a memory is built of.

    Parameters:
        bram: block memories.
        lut_memory: lookup tables that hold words.
        banks: parts that are chosen between by upper bits of the address.
        emulates: words that are read while they are written go another way.
        logic: neither: registers, or tables of constants.
    """

    bram: int = 0
    lut_memory: int = 0
    banks: int = 1
    emulates: bool = False
    logic: bool = False


def map_memory(memory: Memory, shapes: Sequence[Shape], rom_cost: float) -> Mapped:
    """The cheapest way to build a memory.

    Args:
        memory: what is built.
        shapes: cells of the family.
        rom_cost: of a constant bit in logic; one that is written costs 1.
    """
    bits = memory.depth * memory.width
    best: tuple[int, Mapped] = (int(bits * (1.0 if memory.writes else rom_cost)), Mapped(logic=True))
    for shape in shapes:
        if not (memory.registered if shape.block else memory.writes):
            continue
        emulates = shape.block and memory.writes > 0 and not shape.old_value
        score = 1 + _OLD_VALUE * emulates
        # Yosys compares with whole numbers, cut off.
        found: tuple[int, float, Mapped] | None = None
        for position, width in enumerate(shape.widths):
            byte = 1 if not memory.writes else min(shape.byte or width, width)
            words = 1 << (shape.address_bits - position)
            banks = -(-memory.depth // words)
            cells = -(-banks * -(-memory.width // byte) * byte // width)
            cost = shape.cost * (banks * memory.width / width if shape.scaled else cells)
            cost += _MUX * (banks - 1) * memory.width + _MUX * (banks if banks > 1 and memory.writes else 0)
            cost += _EMULATION * score
            if found is None or cost < found[0]:
                mapped = Mapped(shape.units * cells if shape.block else 0, 0 if shape.block else shape.units * cells)
                found = int(cost), cost, Mapped(mapped.bram, mapped.lut_memory, banks, emulates)
        if found is not None and found[1] < best[0]:
            best = int(found[1]), found[2]
    return best[1]
