"""What primitives become on a device family: cells that are known exactly, and numbers that lookup tables grow with.

The rules are those of Yosys 0.70: sums that are too short for a carry chain are lookup tables, comparisons with a
constant that fit a table are one, products and memories go by :mod:`multipliers` and :mod:`memories`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from rtl4ml.errors import ConfigurationError
from rtl4ml.planning.estimates.memories import Mapped, Shape, map_memory
from rtl4ml.planning.estimates.multipliers import Multiplier, common_widths
from rtl4ml.planning.estimates.primitives import (
    Add,
    AddTable,
    AddThree,
    Clip,
    Compare,
    Equal,
    Gates,
    Memory,
    Multiply,
    Primitive,
    ProductPair,
    Reduce,
    Register,
    Select,
    Shift,
    Structure,
    Table,
)


@dataclass(frozen=True)
class Family:
    """Cells of a device family.

    Parameters:
        name: as the coefficients are filed under.
        inputs: of a lookup table.
        least_chain: bits from which on a sum is a carry chain.
        carry_bits: of a carry cell.
        chain_in_carry: a carry cell has the lookup tables of its bits inside.
        multiplier: block; None: products are lookup tables.
        memories: cells.
        rom_cost: of a constant bit in logic, as Yosys weighs it against a block memory.
        shifts: lookup tables can be shift registers.
        pair_bits: of operands up to which a block makes two products and their sum; 0: it makes one.
        ternary: one carry chain adds three words.
        inverters: what takes a table in front of a carry chain: "" nothing, "words" inverted words, "subtractions" what
            is subtracted too.
    """

    name: str
    inputs: int
    least_chain: int
    carry_bits: int
    chain_in_carry: bool
    multiplier: Multiplier | None
    memories: tuple[Shape, ...]
    rom_cost: float = 1 / 16
    shifts: bool = False
    pair_bits: int = 0
    ternary: bool = False
    inverters: str = ""


_EBR = (
    Shape(6, 4, (4,), 0, 4, block=False),
    Shape(1, 14, (1, 2, 4, 9, 18), 9, 128),
    Shape(1, 14, (1, 2, 4, 9, 18, 36), 9, 128),
)
_BRAM18 = (
    Shape(1, 14, (1, 2, 4, 9, 18, 36), 9, 129, old_value=True),
    Shape(2, 15, (1, 2, 4, 9, 18, 36, 72), 9, 257, old_value=True),
)
_LUTRAM64 = tuple(
    Shape(8, bits, (width,), 0, 16, scaled=True, block=False)
    for bits, width in ((5, 14), (6, 7), (5, 8), (6, 4), (7, 2), (8, 1))
)
_LUTRAM32 = (
    Shape(4, 5, (6,), 0, 8, scaled=True, block=False),
    Shape(4, 6, (3,), 0, 8, scaled=True, block=False),
    Shape(4, 7, (1,), 0, 8, scaled=True, block=False),
)

_ICE40 = Family(
    "ice40",
    4,
    3,
    1,
    False,
    Multiplier(16, 16, 16, 2, 11, adds=True),
    (Shape(1, 11, (2, 4, 8, 16), 1, 64),),
    pair_bits=8,
    inverters="subtractions",
)

FAMILIES: Mapping[str, Family] = {
    "xcup": Family(
        "xcup",
        6,
        3,
        4,
        False,
        Multiplier(27, 18, 18, 2, 9, signed=True, adds=True),
        (*_LUTRAM64, *_BRAM18),
        1 / 64,
        True,
        ternary=True,
    ),
    "xc7": Family(
        "xc7",
        6,
        3,
        4,
        False,
        Multiplier(25, 18, 18, 2, 9, signed=True, adds=True),
        (*_LUTRAM32, *_BRAM18),
        1 / 64,
        True,
        ternary=True,
    ),
    "ecp5": Family("ecp5", 4, 5, 2, True, Multiplier(18, 18, 18, 2), _EBR, inverters="words"),
    "ice40": _ICE40,
    # The UltraPlus line alone has multipliers, and is much slower.
    "ice40-up5k": replace(_ICE40, name="ice40-up5k"),
    "ice40-hx8k": replace(_ICE40, name="ice40-hx8k", multiplier=None, pair_bits=0),
}


def family_of(target: str) -> Family:
    """Family of a target, such as "ecp5-25f".

    Raises:
        ConfigurationError: nothing is known of it.
    """
    name = target if target in FAMILIES else target.split("-")[0]
    if name not in FAMILIES:
        raise ConfigurationError(f"Target of an estimate must be one of {', '.join(FAMILIES)}, not {target!r}")
    return FAMILIES[name]


@dataclass
class Counts:
    """What a structure comes to on a family.

    Parameters:
        dsp: multiplier blocks, exact.
        bram: block memories, exact.
        carry: carry cells.
        ff: flip-flops before Yosys merges equal ones and drops what nothing reads.
        lut_memory: lookup tables that hold words or shift registers.
        absorbed: bits of sums and registers next to multiplier blocks, which may move into them.
        features: numbers that lookup tables grow with, by name.
    """

    dsp: int
    bram: int
    carry: int
    ff: int
    lut_memory: int
    absorbed: int
    features: dict[str, int]


FEATURES = (
    "chain", "chain_constant", "chains", "three", "short", "compare", "compares", "compare_table", "equal", "reduce",
    "select", "select_constant", "clip", "gates", "leaves", "pieces", "nodes", "memory_select", "memory_logic",
    "product", "control",
)  # fmt: skip
"""Names of the numbers."""


class Counting:
    """Adds primitives up for a family.

    Parameters:
        family: whose rules hold.
    """

    def __init__(self, family: Family) -> None:
        self._family = family
        self._features: Counter[str] = Counter()
        self._cells: Counter[str] = Counter()

    def count(self, structure: Structure) -> Counts:
        """Everything in a structure."""
        for primitive, times in structure.items():
            self._add(primitive, times)
        cells = self._cells
        features = {name: self._features[name] for name in FEATURES}
        return Counts(
            cells["dsp"], cells["bram"], cells["carry"], cells["ff"], cells["lut_memory"], cells["absorbed"], features
        )

    def _add(self, primitive: Primitive, times: int) -> None:
        features, inputs = self._features, self._family.inputs
        match primitive:
            case Add(bits, varying, _):
                self._sum(bits, varying, times)
            case AddThree(bits):
                self._sum_of_three(bits, times)
            case AddTable(bits, width, index):
                self._sum_of_table(bits, width, index, times)
            case Compare(bits, constant):
                if constant and bits <= inputs:
                    features["compare_table"] += times
                else:
                    features["compare"] += bits * times
                    features["compares"] += times
                    self._chain(bits, times)
            case Equal(bits, constant):
                features["equal"] += -(-bits * (1 if constant else 2) // inputs) * times
            case Reduce(bits):
                features["reduce"] += -(-bits // inputs) * times
            case Select(bits, varying):
                features["select" if varying == 2 else "select_constant"] += bits * times
            case Clip(bits, _):
                features["clip"] += bits * times
            case Gates(bits):
                features["gates"] += bits * times
            case Table():
                self._table(primitive, times)
            case Multiply():
                self._product(primitive, times)
            case ProductPair(first, second):
                if self._in_one_block(first) and self._in_one_block(second):
                    self._cells["dsp"] -= times
            case Memory():
                self._memory(primitive, times)
            case Register(bits, control):
                self._cells["ff"] += bits * times
                if control:
                    features["control"] += bits * times
            case Shift(bits, length):
                if self._family.shifts:
                    self._cells["lut_memory"] += bits * -(-length // 32) * times
                else:
                    self._cells["ff"] += bits * length * times

    def _chain(self, bits: int, times: int) -> None:
        self._cells["carry"] += -(-bits // self._family.carry_bits) * times

    def _sum(self, bits: int, varying: int, times: int) -> None:
        if bits < self._family.least_chain:
            self._features["short"] += bits * times
            return
        self._features["chain"] += varying * times
        self._features["chain_constant"] += (bits - varying) * times
        self._features["chains"] += times
        self._chain(bits, times)

    def _sum_of_three(self, bits: int, times: int) -> None:
        if self._family.ternary:
            # Primitives that nothing is merged with: a table a bit.
            self._features["three"] += bits * times
            self._chain(bits, times)
        else:
            self._features["gates"] += 2 * bits * times
            self._sum(bits, bits, times)

    def _sum_of_table(self, bits: int, width: int, index: int, times: int) -> None:
        # Tables of six inputs have five left beside the word's bit; those of four are in front of the chain. A bit by
        # itself is a wire.
        if index > (5 if self._family.inputs == 6 and bits else 1):
            self._features["leaves"] += (width << max(0, index - self._family.inputs)) * times
        if bits:
            self._sum(bits, bits, times)

    def _table(self, table: Table, times: int) -> None:
        if self._family.inputs == 6 and not table.nodes6:
            self._features["leaves"] += table.leaves6 * times
            return
        # Deeper tables are shared between columns in small pieces, however many inputs a lookup table has.
        self._features["pieces" if self._family.inputs == 6 else "leaves"] += table.leaves4 * times
        self._features["nodes"] += table.nodes4 * times

    def _product(self, product: Multiply, times: int) -> None:
        blocks = 0 if self._family.multiplier is None else self._family.multiplier.blocks(product)
        self._cells["dsp"] += blocks * times
        if blocks:
            self._cells["absorbed"] += product.bits * times
            if blocks > 1:
                self._sum(product.bits, product.bits, (blocks - 1) * times)
        else:
            self._features["product"] += product.a_bits * product.b_bits * times

    def _in_one_block(self, product: Multiply) -> bool:
        """Whether a block has room for a product and another one."""
        multiplier, most = self._family.multiplier, self._family.pair_bits
        if multiplier is None or not most or not multiplier.blocks(product):
            return False
        return max(common_widths(product)) <= most

    def _memory(self, memory: Memory, times: int) -> None:
        cells, features = self._cells, self._features
        found = map_memory(memory, self._family.memories, self._family.rom_cost)
        cells["bram"] += found.bram * times
        cells["lut_memory"] += found.lut_memory * times
        features["memory_select"] += (found.banks - 1) * memory.width * times
        if memory.registered and not found.bram:
            cells["ff"] += (memory.width if memory.contents is None else memory.contents.distinct) * times
        if found.emulates:
            self._emulation(memory, times)
        if found.logic and memory.writes:
            cells["ff"] += memory.width * memory.depth * times
            features["memory_logic"] += memory.width * (memory.depth - 1) * times
            features["gates"] += memory.depth * times
        elif found.logic and memory.contents is not None:
            self._table(memory.contents, times)

    def _emulation(self, memory: Memory, times: int) -> None:
        """Words that are written a cycle late, and are read past the memory meanwhile."""
        address = max(1, (memory.depth - 1).bit_length())
        self._cells["ff"] += (address + 2 * memory.width + 2) * times
        self._features["memory_select"] += memory.width * times
        self._features["equal"] += -(-2 * address // self._family.inputs) * times


def resources_of(target: str, memory: Memory) -> Mapped:
    """What becomes of a memory on a target."""
    family = family_of(target)
    return map_memory(memory, family.memories, family.rom_cost)
