"""How long each kind of node takes: the timing model behind the pipeline cuts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rtl4ml.datapath import nodes as kinds
from rtl4ml.datapath.nodes import Node, chain, range_bits
from rtl4ml.errors import ConfigurationError


@dataclass(frozen=True)
class Delays:
    """Delays of a device family in ns, each with the wires to the next node.

    The values of a new instance are those of no device in particular: a mid-range FPGA with four- to six-input tables.

    Attributes:
        register: Clock to output and setup, taken from every period.
        lut: One level of lookup tables.
        inputs: Index bits of a lookup table.
        table: Each further index bit of a table of constants.
        chain: Into and out of a carry chain.
        carry: One bit along a carry chain.
        compare: Into a carry chain and out of its end, as one bit: what a comparison of two words costs.
        multiply: A multiplier block of up to 18 by 18 bits.
        multiply_wide: A larger one.
        memory: How much later than a register's the output of a block memory comes.
        ternary: Whether one carry chain adds three words.
    """

    register: float = 0.8
    lut: float = 0.9
    inputs: int = 6
    table: float = 0.45
    chain: float = 1.3
    carry: float = 0.04
    compare: float = 1.3
    multiply: float = 3.6
    multiply_wide: float = 5.5
    memory: float = 1.8
    ternary: bool = False

    def of(self, nodes: Sequence[Node], node: Node) -> float:
        """Returns the delay of ``node`` of the datapath ``nodes`` in ns; 0 for wires and inputs."""
        kind = node.kind
        if kind is kinds.ADD or kind is kinds.SUBTRACT:
            bits = chain(nodes, node).bits
            return self.chain + self.carry * bits if bits else 0.0
        if kind is kinds.TERNARY:
            # Three words are two in one more table, next to the chain's.
            return self.lut + self.chain + self.carry * chain(nodes, node).bits
        if kind in kinds.WIRING or kind is kinds.INPUT:
            return 0.0
        if kind is kinds.SELECT:
            return self.lut
        if kind is kinds.MULTIPLY:
            return self.multiply if max(nodes[operand].bits for operand in node.operands) <= 18 else self.multiply_wide
        if kind is kinds.TABLE:
            return self.lut + self.table * max(0, nodes[node.operands[0]].bits - self.inputs)
        first = nodes[node.operands[0]]
        if kind is kinds.CLIP:
            compare = [self._compare(first, node.high + 1)] if first.high > node.high else []
            if first.low < node.low:
                compare.append(self._compare(first, node.low))
            return max(compare) + self.lut
        second = nodes[node.operands[1]]
        if kind is kinds.EQUAL:
            return self._tree(max(first.bits, second.bits) * (1 if second.kind is kinds.CONSTANT else 2))
        if second.kind is kinds.CONSTANT:
            return self._compare(first, second.low)
        if first.kind is kinds.CONSTANT:
            return self._compare(second, first.low + 1)
        return self.compare + self.carry * max(first.bits, second.bits)

    def _tree(self, inputs: int) -> float:
        """A function such as OR of that many bits in tables of four inputs."""
        levels = 1
        while inputs > 4:
            inputs = -(-inputs // 4)
            levels += 1
        return self.lut * levels

    def _compare(self, node: Node, value: int) -> float:
        """``node >= value`` for a constant: a sign bit, some upper bits, or a carry chain."""
        bits = node.bits
        if value == 0:
            return 0.0
        zeros = (value & -value).bit_length() - 1
        if value >> zeros in (1, -1):
            return self._tree(max(bits - zeros, 1))
        needed = max(bits, range_bits(min(value, 0), value)) - zeros
        return self._tree(needed) if needed <= 8 else self.chain + self.carry * needed


GENERIC = Delays()
"""The family of no device in particular."""


@dataclass(frozen=True)
class Clock:
    """What registers are placed for.

    Attributes:
        mhz: Frequency.
        delays: Timing model of the device.
    """

    mhz: float
    delays: Delays = GENERIC

    @classmethod
    def of(cls, clock: "float | Clock") -> "Clock":
        """A clock as it is; a number of MHz on no device in particular."""
        return clock if isinstance(clock, Clock) else cls(clock)

    @property
    def period_ns(self) -> float:
        """Time from edge to edge."""
        return 1000 / self.mhz


FAMILIES: Mapping[str, Delays] = {
    "generic": GENERIC,
    # nextpnr's results for 23 small circuits on an LFE5U-25F of speed grade 6 (benchmarks/delays.py) are fitted with
    # register 1.21, lut 0.46, table 0.66, chain 1.63, carry 0.026, compare 4.69: mean error 6 %, worst 14 %. These are
    # on the slow side of it, because wires are longer in a network: one of 3,800 bits of carry chain, cut for 70 MHz,
    # reached 64. A comparison leaves the chain through a table of its own. Multipliers and memories: estimates.
    "ecp5": Delays(
        register=1.0,
        lut=0.7,
        inputs=4,
        table=0.65,
        chain=2.1,
        carry=0.022,
        compare=4.5,
        multiply=5.0,
        multiply_wide=7.5,
        memory=5.0,
    ),
    # Delays of cells and wires along 16-bit additions that nextpnr placed on an HX8K and a UP5K. Its results for 12
    # small circuits on the HX8K are fitted with register 1.24, lut 0.48, table 1.43, chain 0.22, carry 0.168,
    # compare 2.42 (mean error 4 %, worst 10 %); these are on the slow side of it, with the wires of larger circuits.
    "ice40": Delays(
        register=0.9,
        lut=1.3,
        inputs=4,
        table=1.4,
        chain=1.4,
        carry=0.15,
        compare=2.3,
        multiply=9.0,
        multiply_wide=14.0,
        memory=1.7,
    ),
    "ice40-up5k": Delays(
        register=2.2,
        lut=3.0,
        inputs=4,
        table=2.8,
        chain=3.1,
        carry=0.35,
        compare=5.5,
        multiply=9.0,
        multiply_wide=20.0,
        memory=3.5,
    ),
    # Cells: Artix-7 by Project X-Ray, as Yosys' cells_sim.v has them (FDRE 0.3, LUT6 0.13 to 0.64, CARRY4 0.23 from CI
    # to CO, RAMB36 2.45); wires about as long as the cells.
    "xc7": Delays(
        register=0.8,
        lut=1.0,
        table=0.5,
        chain=1.5,
        carry=0.05,
        compare=1.8,
        multiply=4.5,
        multiply_wide=7.0,
        memory=2.1,
        ternary=True,
    ),
    # Cells: Vivado's timing reports for a ZU3EG of speed grade -1 (FDRE 0.09, LUT6 up to 0.18); wires a little longer
    # than the cells, as there. Multipliers and memories are in proportion to xc7.
    "xcup": Delays(
        register=0.4,
        lut=0.5,
        table=0.25,
        chain=0.75,
        carry=0.015,
        compare=0.9,
        multiply=2.4,
        multiply_wide=3.6,
        memory=1.1,
        ternary=True,
    ),
}
"""By name of a family or of a part that differs from its family."""


def delays_of(target: str | None) -> Delays:
    """Timing model of a family or of a part, by its name; of no device in particular without one.

    Args:
        target: such as "ecp5" or "ecp5-25f"; a part of which nothing is known by itself is like its family.

    Raises:
        ConfigurationError: an unknown family.
    """
    if target is None:
        return GENERIC
    family = target.split("-")[0]
    if family not in FAMILIES:
        raise ConfigurationError(f"target must be one of {', '.join(FAMILIES)} or a part of it, not {target!r}")
    return FAMILIES.get(target, FAMILIES[family])
