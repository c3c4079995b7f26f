"""What data makes of a network's codes: ranges reached, saturation, dead channels, bits never used."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtl4ml.formats import Codes, spread, width_of
from rtl4ml.graph import Tensor


@dataclass(frozen=True, eq=False)
class Side:
    """One limit of a quantizer.

    Parameters:
        code: the limit.
        at: int64 (n,), how often each channel's code was the limit.
        clipped: int64 (n,), how often a quantizer without limits would have gone beyond; None: cannot be told.
    """

    code: int
    at: Codes
    clipped: Codes | None

    @property
    def saturated(self) -> Codes:
        """Clipped where that can be told, else at the limit."""
        return self.at if self.clipped is None else self.clipped


@dataclass(frozen=True, eq=False)
class TensorProfile:
    """One tensor on the data; its elements are the channels.

    Parameters:
        tensor: name, shape, format and reachable range.
        made_by: kind and name of the operator that makes it, or `input`.
        samples: how many were seen.
        low: int64 (n,), lowest code seen in each channel.
        high: int64 (n,), highest.
        bits_set: int64 (n,), every bit that was ever 1 in a channel's codes (two's complement).
        lower: the quantizer's lower limit; None for sums, and for quantizers whose codes are all limits.
        upper: likewise.
        start: first code of the histogram: the lowest of the format, or that a sum can reach.
        end: its last, likewise.
        width: codes of one bin.
        histogram: int64 (bins,), codes of all channels.
    """

    tensor: Tensor
    made_by: str
    samples: int
    low: Codes
    high: Codes
    bits_set: Codes
    lower: Side | None
    upper: Side | None
    start: int
    end: int
    width: int
    histogram: Codes

    @property
    def name(self) -> str:
        """Of the tensor."""
        return self.tensor.name

    @property
    def quantized(self) -> bool:
        """Whether a quantizer made it, or it is the input; sums and the like have no limits of their own."""
        return self.made_by.split()[0] in ("input", "Requantize")

    @property
    def seen(self) -> tuple[int, int]:
        """Lowest and highest code seen."""
        return int(self.low.min()), int(self.high.max())

    @property
    def _limits(self) -> tuple[Codes, Codes]:
        """Lowest and highest code that each channel can reach."""
        return spread(self.tensor.low, self.tensor.channels), spread(self.tensor.high, self.tensor.channels)

    @cached_property
    def used(self) -> NDArray[np.float64]:
        """Share of the reachable range between the lowest and the highest code seen, float64 (n,)."""
        low, high = self._limits
        return _share(self.high - self.low, high - low)

    @property
    def used_in_all(self) -> float:
        """The same of all channels together."""
        low, high = self.tensor.range
        return float(_share(np.array(self.seen[1] - self.seen[0]), np.array(high - low)))

    @cached_property
    def saturation(self) -> NDArray[np.float64] | None:
        """Share of saturated codes in each channel, float64 (n,); None where there are no limits to speak of."""
        if self.lower is None or self.upper is None:
            return None
        return (self.lower.saturated + self.upper.saturated) / self.samples

    def saturated(self) -> tuple[float, float] | None:
        """Share of all codes that is saturated at the lower and at the upper limit."""
        if self.lower is None or self.upper is None:
            return None
        codes = self.samples * self.tensor.channels
        return _part(self.lower.saturated, codes), _part(self.upper.saturated, codes)

    @property
    def clipping_known(self) -> bool:
        """Whether saturated means clipped at both limits, and not merely at a limit."""
        return all(side is not None and side.clipped is not None for side in (self.lower, self.upper))

    @cached_property
    def always_constant(self) -> NDArray[np.bool_]:
        """Channels that have one code whatever the input."""
        return spread(self.tensor.low == self.tensor.high, self.tensor.channels)

    @cached_property
    def constant(self) -> NDArray[np.bool_]:
        """Channels that had one code on this data."""
        return self.low == self.high

    @cached_property
    def top_bits(self) -> Codes:
        """Bits of the format above those that each channel's codes need, sign included, int64 (n,)."""
        if self.tensor.format.bipolar:
            return np.zeros(self.tensor.channels, np.int64)
        needed = [width_of(int(low), int(high))[0] for low, high in zip(self.low, self.high, strict=True)]
        return np.maximum(0, self.tensor.format.bits - np.array(needed, np.int64))

    @cached_property
    def low_bits(self) -> Codes:
        """Low bits that were 0 in every code of a channel, int64 (n,); 0 for a channel of zeros alone."""
        return np.array([_trailing_zeros(int(bits)) for bits in self.bits_set], np.int64)

    @property
    def top_bits_in_all(self) -> int:
        """Bits of the format above those that any code needed."""
        return 0 if self.tensor.format.bipolar else max(0, self.tensor.format.bits - width_of(*self.seen)[0])

    @property
    def low_bits_in_all(self) -> int:
        """Low bits that were 0 in every code."""
        return _trailing_zeros(int(np.bitwise_or.reduce(self.bits_set)))

    def worst(self, values: NDArray, *, lowest: bool = False) -> int:
        """The channel with the largest (or lowest) of (n,) values, among those that are not constant if there are."""
        alive = np.flatnonzero(~self.constant)
        among = alive if len(alive) else np.arange(len(values))
        return int(among[np.argmin(values[among]) if lowest else np.argmax(values[among])])

    def describe(self) -> dict[str, Any]:
        """Plain types, for JSON; lists have one entry a channel."""
        saturated = self.saturated()
        unused = self.top_bits + self.low_bits
        worst = {"used": self.worst(self.used, lowest=True), "bits": self.worst(unused)}
        saturation: dict[str, Any] | None = None
        if self.lower is not None and self.upper is not None and self.saturation is not None and saturated is not None:
            codes = self.samples * self.tensor.channels
            worst["saturation"] = int(np.argmax(self.saturation))
            saturation = {
                "share": sum(saturated),
                "lower": saturated[0],
                "upper": saturated[1],
                "judged_by": "clipped values" if self.clipping_known else "codes at the limits",
                "at_limits": {"lower": _part(self.lower.at, codes), "upper": _part(self.upper.at, codes)},
                "channels": self.saturation.tolist(),
            }
        return {
            "tensor": self.name,
            "made_by": self.made_by,
            "shape": list(self.tensor.shape),
            "format": str(self.tensor.format),
            "bits": self.tensor.format.bits,
            "limits": [self.tensor.format.low, self.tensor.format.high],
            "reachable": list(self.tensor.range),
            "seen": list(self.seen),
            "used": self.used_in_all,
            "saturation": saturation,
            "constant_on_data": np.flatnonzero(self.constant).tolist(),
            "constant_always": np.flatnonzero(self.always_constant).tolist(),
            "top_bits_never_needed": self.top_bits_in_all,
            "low_bits_always_zero": self.low_bits_in_all,
            "worst_channel": worst,
            "channels": {
                "reachable": np.stack(self._limits, axis=1).tolist(),
                "seen": np.stack([self.low, self.high], axis=1).tolist(),
                "top_bits_never_needed": self.top_bits.tolist(),
                "low_bits_always_zero": self.low_bits.tolist(),
            },
            "histogram": {"start": self.start, "width": self.width, "counts": self.histogram.tolist()},
        }


@dataclass(frozen=True, eq=False)
class Profile:
    """All tensors on the data, in the order in which data passes them.

    Parameters:
        network: name of the graph.
        samples: how many were seen.
        tensors: by name.
    """

    network: str
    samples: int
    tensors: Mapping[str, TensorProfile]

    def describe(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return {
            "network": self.network,
            "samples": self.samples,
            "tensors": [tensor.describe() for tensor in self.tensors.values()],
        }

    def __rich__(self) -> Any:
        """The table, where rich prints."""
        from rtl4ml.report.profile_table import profile_table

        return profile_table(self)


def _share(part: NDArray, whole: NDArray) -> NDArray[np.float64]:
    return np.where(whole == 0, 1.0, part / np.maximum(1, whole))


def _part(counts: Codes, of: int) -> float:
    return float(counts.sum() / of)


def _trailing_zeros(bits: int) -> int:
    return (bits & -bits).bit_length() - 1 if bits else 0
