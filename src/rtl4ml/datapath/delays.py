"""How long each kind of node takes: the timing model behind the pipeline cuts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

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
        joined: Index bits of a table that the lookup tables of the adder behind it take in.
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
    joined: int = 5
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
        if kind is kinds.WEIGHTED:
            bits, index = chain(nodes, node).bits, len(node.operands) - 1
            alone = self.lut + self.table * max(0, index - self.inputs) if index > (self.joined if bits else 1) else 0.0
            return alone + (self.chain + self.carry * bits if bits else 0.0)
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

    def slower(self, factor: float) -> "Delays":
        """Returns the same family with every delay so many times as long."""
        delays: dict[str, Any] = {
            field.name: value * factor
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), float)
        }
        return replace(self, **delays)

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


MEASURED: Mapping[str, Delays] = {
    # nextpnr's results for 28 small circuits on an LFE5U-25F of speed grade 6 (benchmarks/delays.py), fitted. A
    # comparison leaves the chain through a table of its own. A DP16KD gives its word 5.6 ns behind the edge.
    "ecp5": Delays(
        register=1.15,
        lut=0.48,
        inputs=4,
        joined=1,
        table=0.68,
        chain=1.71,
        carry=0.026,
        compare=4.72,
        multiply=5.6,
        multiply_wide=10.1,
        memory=5.1,
    ),
    # The same for 28 on an HX8K. Products are lookup tables.
    "ice40": Delays(
        register=1.14,
        lut=0.52,
        inputs=4,
        joined=1,
        table=1.47,
        chain=0.74,
        carry=0.117,
        compare=3.06,
        multiply=7.8,
        multiply_wide=16.1,
        memory=1.7,
    ),
    # The same for 24 on a UP5K. Multiplier blocks are assumed: nextpnr takes them for registers.
    "ice40-up5k": Delays(
        register=3.02,
        lut=1.39,
        inputs=4,
        joined=1,
        table=3.83,
        chain=2.26,
        carry=0.28,
        compare=8.88,
        multiply=8.2,
        multiply_wide=18.0,
        memory=3.5,
    ),
}
"""As fitted to placed circuits, each of a few words: mean error 5, 8 and 7 %. Memories: those of the cells."""

MARGIN = 1.15
"""How much slower than in those circuits a network is taken to be, whose wires are longer. Of 27 random networks on
ECP5 that are cut with it, two miss their clock between registers of datapaths by the estimates of
:mod:`rtl4ml.planning.estimates`: they have tables in block memories and inverters, which this model does not know. Two
more do without it, and with 1.2 none fewer, for a tenth more levels of registers. One large adder graph of 3,800 bits
of carry chain, placed, still was 20 % slower than the model."""

FAMILIES: Mapping[str, Delays] = {
    "generic": GENERIC,
    **{name: delays.slower(MARGIN) for name, delays in MEASURED.items()},
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
"""By name of a family or of a part that differs from its family: what registers are placed by."""


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
