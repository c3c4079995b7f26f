"""Shift registers for control bits."""

from amaranth.hdl import Module, Signal, Value


def delay(m: Module, name: str, bit: Value, cycles: int) -> Value:
    """Return `bit` of `cycles` edges ago; 0 until then. Reset clears it: these bits are control.

    Args:
        m: module that the registers are added to.
        name: prefix of their names.
        bit: 1 bit.
        cycles: registers in a row, 0 or more.
    """
    for index in range(cycles):
        register = Signal(name=f"{name}_{index + 1}")
        m.d.sync += register.eq(bit)
        bit = register
    return bit
