"""Multiplier blocks of a product, by the rules of Yosys' `mul2dsp`: narrow ones are logic, wide ones are cut."""

from dataclasses import dataclass

from rtl4ml.planning.estimates.primitives import Multiply


@dataclass(frozen=True)
class Multiplier:
    """A family's block.

    Parameters:
        a_bits: width of the wider operand.
        b_bits: of the other.
        part: width of the pieces that a wider operand is cut into.
        least: bits of an operand below which the product is logic.
        least_product: bits of the product, likewise.
        signed: the block knows signed operands only.
        adds: it takes an addition behind the product in.
    """

    a_bits: int
    b_bits: int
    part: int
    least: int = 2
    least_product: int = 0
    signed: bool = False
    adds: bool = False

    def blocks(self, product: Multiply) -> int:
        """How many a product takes; 0: it is made of lookup tables."""
        a, b = common_widths(product)
        return self._blocks(max(a, b), min(a, b), product.bits, product.a_signed or product.b_signed, first=True)

    def _blocks(self, a: int, b: int, bits: int, signed: bool, *, first: bool) -> int:
        """Blocks of `a` by `b` bits; pieces after the first cut are not turned around any more."""
        if first and a < b:
            a, b = b, a
        if a < self.least or b < self.least or bits < self.least_product:
            return 0
        if first and self.signed and not signed:
            return self._blocks(a + 1, b + 1, bits, True, first=True)
        step = self.part - self.signed
        if a > self.a_bits:
            pieces = (a - self.a_bits + step - 1) // step
            rest = a - pieces * step
            one = self._blocks(self.part, b, min(bits, b + self.part), signed, first=False)
            return pieces * one + self._blocks(rest, b, b + rest, signed, first=False)
        if b > self.b_bits:
            step = min(self.b_bits, self.part) - self.signed
            pieces = (b - self.b_bits + step - 1) // step
            rest = b - pieces * step
            one = self._blocks(a, step + self.signed, min(bits, a + step + self.signed), signed, first=False)
            return pieces * one + self._blocks(a, rest, a + rest, signed, first=False)
        return 1


def common_widths(product: Multiply) -> tuple[int, int]:
    """Widths once both operands have a sign or none."""
    signed = product.a_signed or product.b_signed
    a = product.a_bits + (signed and not product.a_signed)
    return a, product.b_bits + (signed and not product.b_signed)
