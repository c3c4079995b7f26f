"""How long each kind of node takes: the timing model behind the pipeline cuts."""

from collections.abc import Sequence
from dataclasses import dataclass

from rtl4ml.datapath import nodes as kinds
from rtl4ml.datapath.nodes import Node, chain, range_bits


@dataclass(frozen=True)
class Delays:
    """Delays of a device family in ns, each with the wires to the next node.

    The values of a new instance are those of no device in particular: a mid-range FPGA with four- to six-input tables.

    Attributes:
        register: Clock to output and setup, taken from every period.
        lut: One level of lookup tables.
        chain: Into and out of a carry chain.
        carry: One bit along a carry chain.
        multiply: A multiplier block of up to 18 by 18 bits.
        multiply_wide: A larger one.
    """

    register: float = 0.8
    lut: float = 0.9
    chain: float = 1.3
    carry: float = 0.04
    multiply: float = 3.6
    multiply_wide: float = 5.5

    def of(self, nodes: Sequence[Node], node: Node) -> float:
        """Returns the delay of ``node`` of the datapath ``nodes`` in ns; 0 for wires and inputs."""
        kind = node.kind
        if kind is kinds.ADD or kind is kinds.SUBTRACT:
            bits = chain(nodes, node).bits
            return self.chain + self.carry * bits if bits else 0.0
        if kind in kinds.WIRING or kind is kinds.INPUT:
            return 0.0
        if kind is kinds.SELECT:
            return self.lut
        if kind is kinds.MULTIPLY:
            return self.multiply if max(nodes[operand].bits for operand in node.operands) <= 18 else self.multiply_wide
        if kind is kinds.TABLE:
            # Up to six index bits are one level; then two more bits for each level of multiplexers.
            return self.lut * (1 + max(0, nodes[node.operands[0]].bits - 5) // 2)
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
        return self.chain + self.carry * max(first.bits, second.bits)

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
