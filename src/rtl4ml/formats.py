"""What an integer code means: bits, sign, scale, zero point; the rounding modes; conversion that rounds once."""

import enum
import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rtl4ml.errors import ConfigurationError

Codes = NDArray[np.int64]
Reals = NDArray[np.float32]


class Rounding(enum.Enum):
    """How a quotient becomes an integer, in hardware terms: `floor((t + c) / 2**S)` with a `c` that depends on `t`."""

    FLOOR = "floor"
    HALF_EVEN = "half_even"
    HALF_AWAY = "half_away"
    HALF_TOWARD = "half_toward"
    AWAY = "away"
    TOWARD = "toward"


def code_limits(bits: int, *, signed: bool, narrow: bool) -> tuple[int, int]:
    """Lowest and highest code of a `bits` wide quantizer; `narrow` gives up the lowest (unsigned: the highest)."""
    if signed:
        return -(1 << (bits - 1)) + narrow, (1 << (bits - 1)) - 1
    return 0, (1 << bits) - 1 - narrow


def width_of(low: int, high: int) -> tuple[int, bool]:
    """Bits and signedness of the narrowest word that holds every integer in [low, high]."""
    signed = low < 0
    bits = max(max(int(high), 0).bit_length(), (-int(low) - 1).bit_length() if signed else 0) + signed
    return max(bits, 1), signed


def spread(array: NDArray, n: int) -> NDArray:
    """A periodic array of n entries: element e takes entry `e % array.size`, of which there are a divisor of n.

    >>> spread(np.array([1, 2]), 4).tolist()
    [1, 2, 1, 2]
    """
    flat = np.asarray(array).reshape(-1)
    return flat if flat.size == n else np.tile(flat, n // flat.size)


@dataclass(frozen=True, eq=False)
class Format:
    """Meaning of a tensor's codes: `value = (code - zero_point) * scale`.

    Parameters:
        bits: width of the quantizer in bits (wires may be narrower: their width comes from ranges).
        signed: whether negative codes exist.
        scale: float64, shape () or (k,): of the tensor, or of element e at e % k: per channel where channels come last,
            per element with k elements. Exact: products of two float32 fit.
        zero_point: int64, shape () or (k,) likewise.
        narrow: the lowest signed (highest unsigned) code is not used.
        bipolar: codes are -1 and +1 only.
    """

    bits: int
    signed: bool
    scale: NDArray[np.float64]
    zero_point: Codes = field(default_factory=lambda: np.zeros((), np.int64))
    narrow: bool = False
    bipolar: bool = False

    @property
    def low(self) -> int:
        """The lowest code."""
        return -1 if self.bipolar else code_limits(self.bits, signed=self.signed, narrow=self.narrow)[0]

    @property
    def high(self) -> int:
        """The highest code."""
        return 1 if self.bipolar else code_limits(self.bits, signed=self.signed, narrow=self.narrow)[1]

    def real(self, codes: Codes, bias: Reals | None = None) -> Reals:
        """The float32 next to `(codes - zero_point) * scale + bias`: rounded once. Codes have shape (..., n)."""
        codes = np.asarray(codes, np.int64)
        periods = {array.size for array in (self.scale, self.zero_point) if array.ndim}
        if periods <= {codes.shape[-1]}:
            return round_once(codes - self.zero_point, self.scale, bias)
        n = codes.shape[-1]
        scale = spread(self.scale, n) if self.scale.ndim else self.scale
        zero = spread(self.zero_point, n) if self.zero_point.ndim else self.zero_point
        return round_once(codes - zero, scale, bias)

    def __str__(self) -> str:
        if self.bipolar:
            kind = "bipolar"
        else:
            kind = f"{'int' if self.signed else 'uint'}<{self.bits}>{' narrow' if self.narrow else ''}"
        scale = f"{self.scale:.8g}" if self.scale.ndim == 0 else f"{self.scale.size} scales"
        zero = (
            ""
            if not np.any(self.zero_point)
            else f", zero point {self.zero_point if self.zero_point.ndim else int(self.zero_point)}"
        )
        return f"{kind} x {scale}{zero}"


def _two_sum(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum and its exact error (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _round_odd(value: NDArray[np.float64], error: NDArray[np.float64]) -> NDArray[np.float64]:
    """`value + error` rounded to odd: a later rounding to fewer bits is then correct (Boldo and Melquiond 2008)."""
    even = (value.view(np.int64) & 1) == 0
    adjust = even & (error != 0)
    if not adjust.any():
        return value
    return np.where(adjust, np.nextafter(value, np.where(error > 0, np.inf, -np.inf)), value)


def round_once(integers: Codes, scale: NDArray[np.float64], bias: Reals | None = None) -> Reals:
    """Float32 next to the exact `integers * scale + bias`, ties to even.

    Args:
        integers: magnitudes below 2**53, shape (..., n).
        scale: float64, broadcast against `integers`.
        bias: float32, broadcast, or None.

    Source: Dekker's exact product by splitting, then rounding to odd.
    """
    a = np.asarray(integers, np.float64)
    b = np.broadcast_to(np.asarray(scale, np.float64), a.shape)
    high = np.array(a * b)
    split = np.float64(2**27 + 1)
    with np.errstate(over="ignore", invalid="ignore"):
        ah = (a * split) - ((a * split) - a)
        bh = (b * split) - ((b * split) - b)
        al, bl = a - ah, b - bh
        low = ((ah * bh - high) + ah * bl + al * bh) + al * bl
    if bias is not None:
        # Three exact terms: the two small ones are summed to odd, then the large one is added to odd.
        small, small_error = _two_sum(np.broadcast_to(np.asarray(bias, np.float64), a.shape), low)
        high, middle = _two_sum(high, small)
        tail, tail_error = _two_sum(middle, small_error)
        low = _round_odd(np.array(tail), tail_error)
        high, low = _two_sum(high, low)
        high = np.array(high)
    return _round_odd(high, low).astype(np.float32)


_INPUT_FORMAT = re.compile(
    r"^\s*((?P<bipolar>bipolar)|(?P<kind>fixed|ufixed|int|uint)\s*<\s*(?P<w>\d+)\s*(,\s*(?P<i>-?\d+)\s*)?>)\s*((?P<op>[*/])\s*"
    r"(?P<number>[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?))?\s*$"
)


@dataclass(frozen=True)
class InputFormat:
    """What the hardware's input pins carry when the file's first quantizer shall not stand on the host.

    `value = code * 2**-fraction_bits`, then times `factor` or divided by `divisor` in float32. Bipolar codes are -1
    and +1.
    """

    bits: int
    signed: bool
    fraction_bits: int = 0
    factor: float | None = None
    divisor: float | None = None
    bipolar: bool = False

    @classmethod
    def parse(cls, text: str) -> "InputFormat":
        """Read `fixed<W,I>`, `ufixed<W,I>`, `int<W>`, `uint<W>` or `bipolar`, with an optional `*factor` or `/divisor`.

        Raises:
            ConfigurationError: the text is none of these, or a width is not between 1 and 24 bits.
        """
        match = _INPUT_FORMAT.match(text)
        fixed = match is not None and match["kind"] in ("fixed", "ufixed")
        if match is None or fixed != (match["i"] is not None):
            raise ConfigurationError(
                "Input format must be fixed<W,I>, ufixed<W,I>, int<W>, uint<W> or bipolar, with an optional *factor or "
                f"/divisor, not {text!r}"
            )
        bipolar = match["bipolar"] is not None
        bits = 1 if bipolar else int(match["w"])
        if not 1 <= bits <= 24:
            raise ConfigurationError(f"Input format must have 1 to 24 bits, not {bits}")
        with np.errstate(over="ignore"):
            number = float(np.float32(match["number"])) if match["op"] else None
        if number is not None and not 0 < number < np.inf:
            raise ConfigurationError(
                f"Factor or divisor of the input format must be finite and positive, not {match['number']}"
            )
        return cls(
            bits=bits,
            signed=bipolar or match["kind"] in ("fixed", "int"),
            fraction_bits=bits - int(match["i"]) if fixed else 0,
            factor=number if match["op"] == "*" else None,
            divisor=number if match["op"] == "/" else None,
            bipolar=bipolar,
        )

    @property
    def format(self) -> Format:
        """The codes' format; a divisor is not part of it, since 1 / divisor is no float."""
        scale = 2.0**-self.fraction_bits * (1.0 if self.factor is None else self.factor)
        return Format(self.bits, self.signed, np.array(scale), bipolar=self.bipolar)

    def encode(self, values: NDArray[np.floating]) -> Codes:
        """Codes next to real values, ties to even, saturating (bipolar: +1 from 0 on, else -1); any shape."""
        if self.bipolar:
            return np.where(np.asarray(values) >= 0, 1, -1).astype(np.int64)
        scaled = np.asarray(values, np.float64) * 2.0**self.fraction_bits
        if self.factor is not None:
            scaled = scaled / self.factor
        if self.divisor is not None:
            scaled = scaled * self.divisor
        low, high = code_limits(self.bits, signed=self.signed, narrow=False)
        return np.clip(np.rint(scaled), low, high).astype(np.int64)

    def decode(self, codes: Codes) -> Reals:
        """Real values of codes, as the file then sees them; any shape."""
        values = self.format.real(codes)
        return values if self.divisor is None else values / np.float32(self.divisor)
