"""PLLs between a board's clock pin and its logic, as board files give them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rtl4ml.errors import ConfigurationError


@dataclass(frozen=True)
class Ecp5Pll:
    """EHXPLLL, fed back from its output; limits: ECP5 family data sheet, FPGA-DS-02012.

    Parameters:
        reference: what the pin's clock is divided by.
        feedback: what the output clock is divided by before the two are compared.
        output: what the oscillator's clock is divided by.
    """

    family: ClassVar[str] = "ecp5"
    oscillator_limits: ClassVar[tuple[float, float]] = (400.0, 800.0)
    reference: int
    feedback: int
    output: int

    def output_mhz(self, pin_mhz: float) -> float:
        """Clock of the logic."""
        return pin_mhz / self.reference * self.feedback

    def oscillator_mhz(self, pin_mhz: float) -> float:
        """Clock of the oscillator."""
        return self.output_mhz(pin_mhz) * self.output


@dataclass(frozen=True)
class Ice40Pll:
    """SB_PLL40_PAD with simple feedback, its input the clock's pad; limits: iCE40 UltraPlus data sheet, FPGA-DS-02008.

    Parameters:
        reference: what the pin's clock is divided by, 1 to 16 (DIVR + 1).
        feedback: what the oscillator's clock is divided by before the two are compared, 1 to 128 (DIVF + 1).
        output: what the oscillator's clock is divided by, a power of two up to 64 (2**DIVQ).
        filter: range of the loop filter, 1 to 6, as `icepll` gives it for the compared clocks.
    """

    family: ClassVar[str] = "ice40"
    oscillator_limits: ClassVar[tuple[float, float]] = (533.0, 1066.0)
    reference: int
    feedback: int
    output: int
    filter: int

    @property
    def output_log(self) -> int:
        """The output's divider as its port takes it."""
        return self.output.bit_length() - 1

    def output_mhz(self, pin_mhz: float) -> float:
        """Clock of the logic."""
        return self.oscillator_mhz(pin_mhz) / self.output

    def oscillator_mhz(self, pin_mhz: float) -> float:
        """Clock of the oscillator."""
        return pin_mhz / self.reference * self.feedback


Pll = Ecp5Pll | Ice40Pll
KINDS: Mapping[str, type[Pll]] = {"ecp5": Ecp5Pll, "ice40": Ice40Pll}


def read_pll(table: Mapping[str, Any], family: str, pin_mhz: float, out_mhz: float) -> Pll:
    """A PLL from a board's file.

    Args:
        table: its dividers.
        family: of the part.
        pin_mhz: clock that comes in.
        out_mhz: clock that the file says comes out.

    Raises:
        ConfigurationError: the dividers give another clock, or drive the oscillator beyond its limits.
        TypeError: a divider is missing or unknown.
    """
    pll = KINDS[family](**table)
    given = pll.output_mhz(pin_mhz)
    if abs(given - out_mhz) > 1e-3 * out_mhz:
        raise ConfigurationError(f"out_mhz of the board's clock must be {given:g}, as its PLL gives, not {out_mhz:g}")
    low, high = pll.oscillator_limits
    if not low <= pll.oscillator_mhz(pin_mhz) <= high:
        raise ConfigurationError(
            f"Oscillator of the board's PLL must run at {low:g} to {high:g} MHz, not {pll.oscillator_mhz(pin_mhz):g}"
        )
    if isinstance(pll, Ice40Pll) and pll.output != 1 << pll.output_log:
        raise ConfigurationError(f"output of an iCE40's PLL must be a power of two, not {pll.output}")
    return pll
