"""Running data through the reference and counting what the codes do."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes
from rtl4ml.frontend import border
from rtl4ml.graph import Graph, Tensor
from rtl4ml.operators import Requantize
from rtl4ml.report.clipping import Clipping, clipping, limits_matter, unlimited
from rtl4ml.report.profile import Profile, Side, TensorProfile
from rtl4ml.report.progress import Callback, callback

BINS = 256
"""At most as many bins has a histogram."""


@dataclass(eq=False)
class _Counter:
    """Sums over batches for one tensor."""

    tensor: Tensor
    clips: Clipping | None
    quantized: bool
    low: Codes = field(init=False)
    high: Codes = field(init=False)
    bits_set: Codes = field(init=False)
    sides: dict[str, Codes] = field(init=False, default_factory=dict)
    histogram: Codes = field(init=False)

    def __post_init__(self) -> None:
        form, n = self.tensor.format, self.tensor.channels
        self.low, self.high = np.full(n, np.iinfo(np.int64).max), np.full(n, np.iinfo(np.int64).min)
        self.bits_set = np.zeros(n, np.int64)
        lowest, highest = self.tensor.range
        self.start, self.end = (min(form.low, lowest), max(form.high, highest)) if self.quantized else (lowest, highest)
        self.shift = max(0, (self.end - self.start).bit_length() - (BINS.bit_length() - 1))
        self.histogram = np.zeros(((self.end - self.start) >> self.shift) + 1, np.int64)

    def add(self, codes: Codes, clipped: Mapping[str, Codes | None]) -> None:
        """Count a batch (N, n) and how many values of each channel were clipped to each limit."""
        codes = codes.reshape(-1, self.tensor.channels)
        self.low, self.high = np.minimum(self.low, codes.min(axis=0)), np.maximum(self.high, codes.max(axis=0))
        self.bits_set |= np.bitwise_or.reduce(codes, axis=0)
        self.histogram += np.bincount(((codes - self.start) >> self.shift).reshape(-1), minlength=len(self.histogram))
        if not self.quantized:
            return
        counts: dict[str, Codes | None] = {
            "lower": np.sum(codes == self.tensor.format.low, axis=0, dtype=np.int64),
            "upper": np.sum(codes == self.tensor.format.high, axis=0, dtype=np.int64),
            **{f"{side} clipped": count for side, count in clipped.items()},
        }
        for key, count in counts.items():
            if count is not None:
                self.sides[key] = self.sides.get(key, 0) + count

    def side(self, key: str, code: int) -> Side | None:
        """What was counted at one limit."""
        return Side(code, self.sides[key], self.sides.get(f"{key} clipped")) if self.quantized else None


def profile(graph: Graph, x: ArrayLike, progress: Callback | bool | None = None) -> Profile:
    """Run real values (N, ...) in the file's input layout through the reference and count what the codes do.

    Memory is bounded: the samples go through in batches.

    Args:
        graph: from `rtl4ml.load`.
        x: real values.
        progress: called with samples done and samples in all; True: a bar on stderr.

    Raises:
        ModelError: no samples, another shape, or values that are not finite.
    """
    x = border.samples(graph, x)
    if not len(x):
        raise ModelError("Data of a profile must have at least one sample, not none")
    makers = {o.output: o for o in graph.operators}
    counters: dict[str, _Counter] = {}
    for name, tensor in graph.tensors.items():
        maker = makers.get(name)
        quantized = limits_matter(tensor.format) and (maker is None or isinstance(maker, Requantize))
        counters[name] = _Counter(tensor, clipping(maker) if isinstance(maker, Requantize) else None, quantized)
    wide = unlimited(graph.encode)
    with callback(progress, "profile") as tell:
        for part in border.batches(graph, len(x)):
            values = border.real(graph, x[part])
            assert graph.encode is not None
            codes = graph.encode(values).reshape(len(values), graph.input_tensor.size)
            seen = graph.evaluate(codes, keep=graph.tensors, progress=border.moved(tell, part.start, len(x)))
            for name, counter in counters.items():
                clipped: dict[str, Codes | None] = {}
                channels = counter.tensor.channels
                if name == graph.input and wide is not None and counter.quantized:
                    asked = wide(values).reshape(-1, channels)
                    clipped["lower"] = np.sum(asked < counter.tensor.format.low, axis=0, dtype=np.int64)
                    clipped["upper"] = np.sum(asked > counter.tensor.format.high, axis=0, dtype=np.int64)
                elif counter.clips is not None and counter.quantized:
                    source = seen[makers[name].inputs[0]].reshape(-1, channels)
                    clipped["lower"] = Clipping.count(counter.clips.to_low, source)
                    clipped["upper"] = Clipping.count(counter.clips.to_high, source)
                counter.add(seen[name], clipped)
            tell(part.stop, len(x))
    tensors = {}
    for name, c in counters.items():
        maker = makers.get(name)
        form = c.tensor.format
        sides = c.side("lower", form.low), c.side("upper", form.high)
        made = "input" if maker is None else f"{maker.kind} {maker.name}"
        count = len(x) * (c.tensor.size // c.tensor.channels)
        tensors[name] = TensorProfile(
            c.tensor,
            made,
            count,
            c.low,
            c.high,
            c.bits_set,
            *sides,
            c.start,
            c.end,
            1 << c.shift,
            c.histogram,
        )
    return Profile(graph.name, len(x), tensors)
