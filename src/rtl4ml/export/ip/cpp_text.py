"""Pieces of C++ text: integer types, literals, tables."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rtl4ml.graph import Tensor

TYPES = (
    ("std::int8_t", -(1 << 7), (1 << 7) - 1),
    ("std::uint8_t", 0, (1 << 8) - 1),
    ("std::int16_t", -(1 << 15), (1 << 15) - 1),
    ("std::uint16_t", 0, (1 << 16) - 1),
    ("std::int32_t", -(1 << 31), (1 << 31) - 1),
    ("std::uint32_t", 0, (1 << 32) - 1),
    ("std::int64_t", -(1 << 63), (1 << 63) - 1),
)
LINE = 120


def narrowest(low: int, high: int, *, bits: int = 8) -> str:
    """The smallest integer type of at least `bits` bits that holds both."""
    return next(name for name, least, most in TYPES if least <= low and high <= most and most >> (bits - 2))


def bytes_of(name: str) -> int:
    """Size of an integer type."""
    return int("".join(c for c in name if c.isdigit())) // 8


def literal(value: int) -> str:
    """An integer as C++ writes it."""
    return f"{value}LL" if not -(1 << 31) < value < 1 << 31 else str(value)


def storage(tensor: Tensor, *, wide: bool) -> str:
    """Type of a tensor's elements; `wide`: it is a sum, made in words of 16 bits or more."""
    return narrowest(*tensor.range, bits=16 if wide else 8)


@dataclass
class Tables:
    """Constant arrays, as lines of C++."""

    lines: list[str] = field(default_factory=list)

    def add(self, name: str, values: NDArray | Iterable[int]) -> str:
        """An integer array in its narrowest type, row-major; its name.

        Args:
            name: of the array, an identifier that no other has.
            values: integers, one at least.
        """
        flat = np.asarray(values, np.int64).reshape(-1)
        kind = narrowest(int(flat.min()), int(flat.max()))
        self.declare(f"alignas(64) inline constexpr {kind} {name}[] = {{", [literal(v) for v in flat.tolist()])
        return name

    def floats(self, name: str, values: Iterable[float], kind: str) -> str:
        """An array of float or double, exact; its name."""
        suffix = "f" if kind == "float" else ""
        texts = [f"{float(v)!r}{suffix}" for v in values]
        self.declare(f"inline constexpr {kind} {name}[] = {{", texts)
        return name

    def declare(self, head: str, items: list[str]) -> None:
        """`head`, the items in lines of bounded length, and the closing bracket."""
        lines, line = [head], "   "
        for item in items:
            if len(line) + len(item) + 2 > LINE:
                lines.append(line)
                line = "   "
            line += f" {item},"
        self.lines += [*lines, line, "};"]
