"""Which values a quantizer clips: those to which a quantizer of the same steps without limits would give another code.

Codes at the limits alone do not tell: the highest code is also the right one for the values around it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rtl4ml.formats import Codes, Format, InputFormat
from rtl4ml.frontend.quantizer import LinearQuantizer, Quantizer
from rtl4ml.operators import Requantize

STRAIGHT = frozenset({"bias", "Add", "Sub", "Mul", "Div", "BatchNormalization", "Identity", "Dropout"})
"""Operators whose steps lie equally far apart."""

SCALING = frozenset({"Mul", "Div", "Identity", "Dropout"})
"""Operators that leave 0 where it is."""

EXTRA_BITS = 16
"""What the unlimited quantizer of the input has more."""


@dataclass(frozen=True, eq=False)
class Clipping:
    """Inputs of a staircase that its quantizer clips, for each row; a limit that cannot be judged has None.

    Parameters:
        to_low: int64 (rows,) twice: inputs up to the first and from the second on are clipped to the lowest code.
        to_high: likewise to the highest code.
    """

    to_low: tuple[Codes, Codes] | None
    to_high: tuple[Codes, Codes] | None

    @staticmethod
    def count(bounds: tuple[Codes, Codes] | None, x: NDArray) -> Codes | None:
        """How many of x (N, n) are clipped in each channel, int64 (n,)."""
        if bounds is None:
            return None
        return np.sum((x <= bounds[0]) | (x >= bounds[1]), axis=0, dtype=np.int64)


def clipping(operator: Requantize) -> Clipping:
    """What a staircase clips, as far as its chain lets us tell.

    1. Where the chain is affine, its steps lie equally far apart: from the last one on, the next would be just as far
       (within one code of x, since steps are rounded to integers and ties go to even codes).
    2. A Relu in front of scalings and a quantizer whose lowest code is 0 changes nothing at the other limit.
    3. Where the lowest code means 0, an activation function makes zeros rightly: none of them counts as clipped.
    """
    staircase, form = operator.staircase, operator.format
    words = operator.chain[:-1]
    relu = max((i for i, word in enumerate(words) if word == "Relu"), default=None)
    affine = STRAIGHT.issuperset(words)
    from_zero = bool(np.all(form.zero_point == form.low))
    ends = np.iinfo(np.int64)
    rows = staircase.rows
    nothing = np.full(rows, ends.min), np.full(rows, ends.max)
    unknown = Clipping(nothing if from_zero and not affine else None, None)
    if form.bipolar or not staircase.monotone:
        return unknown
    if not affine and not (
        relu is not None
        and from_zero
        and (STRAIGHT | {"Relu"}).issuperset(words)
        and SCALING.issuperset(words[relu + 1 :])
    ):
        return unknown
    low, high = np.stack(nothing), np.stack(nothing)
    for row, (where, codes) in enumerate(zip(staircase.positions, staircase.codes, strict=True)):
        first, last = int(staircase.first[row]), int(codes[-1]) if len(codes) else int(staircase.first[row])
        if not {first, last} & {form.low, form.high}:
            continue
        # The last of wide steps may be cut short by the limit: the line goes through those before it.
        whole = len(codes) - int(np.any(np.abs(np.diff(codes)) > 1))
        if whole < 2:
            return unknown
        step = (int(where[whole - 1]) - int(where[0])) / abs(int(codes[whole - 1]) - int(codes[0]))
        if first in (form.low, form.high):
            below = math.ceil(int(where[0]) - step * abs(int(codes[0]) - first)) - 1
            (low if first == form.low else high)[0, row] = below
        if last in (form.low, form.high):
            above = math.ceil(int(where[whole - 1]) + step * (abs(last - int(codes[whole - 1])) + 1))
            (low if last == form.low else high)[1, row] = above
    return Clipping(nothing if relu is not None else (low[0], low[1]), (high[0], high[1]))


def unlimited(encode: object) -> Callable[[NDArray], Codes] | None:
    """The input's quantizer with the same steps and wider limits; None where it is of a kind that has none."""
    quantizer = getattr(encode, "__self__", None)
    if isinstance(quantizer, InputFormat):
        return replace(quantizer, bits=quantizer.bits + EXTRA_BITS, signed=True).encode
    if isinstance(quantizer, Quantizer) and not quantizer.bipolar:
        return replace(quantizer, bits=quantizer.bits + EXTRA_BITS, signed=True, narrow=False).codes
    if isinstance(quantizer, LinearQuantizer):
        return replace(quantizer, low=quantizer.low - (1 << EXTRA_BITS), high=quantizer.high + (1 << EXTRA_BITS)).codes
    return None


def limits_matter(form: Format) -> bool:
    """Whether codes at the limits say something: a bipolar quantizer has no others."""
    return not form.bipolar and form.high - form.low > 1
