"""Reference against the file: every code against the strict judge, and how far the unmodified judge is from it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from rtl4ml.formats import Codes, Reals
from rtl4ml.frontend.chain import PRODUCT_BIAS
from rtl4ml.frontend.judge import Judge, StrictJudge
from rtl4ml.graph import Graph
from rtl4ml.operators import Dense, Requantize

CHUNK = 1000
"""Samples judged at once, with all their tensors in memory."""

WORST = 20


@dataclass(frozen=True)
class TensorEquality:
    """One quantizer, or the output.

    Parameters:
        name: of the file's tensor.
        codes: compared with the strict judge; at the output: float32 values, compared bit by bit.
        mismatches: of them, differing.
        judge_differences: those in which the unmodified judge, fed layer by layer with its own codes, differs from
            the strict one.
        output: whether this is the file's output.
    """

    name: str
    codes: int
    mismatches: int
    judge_differences: int
    output: bool = False


@dataclass(frozen=True)
class JudgeDifference:
    """One code in which float32 sums gave something else than exact ones."""

    tensor: str
    sample: int
    element: int
    judge: float
    exact: float


@dataclass(frozen=True)
class Equality:
    """What a comparison of the reference with both judges saw.

    Parameters:
        samples: inputs compared.
        tensors: the quantizers behind the hardware's input, then the output.
        worst: the largest differences between the judges, twenty at most.
        judge_required: whether power-of-two scales and sums under 2**24 oblige the unmodified judge to agree
            everywhere.
        unjudged: products that the strict judge could not compute from integers, and why: must be none.
    """

    samples: int
    tensors: tuple[TensorEquality, ...]
    worst: tuple[JudgeDifference, ...]
    judge_required: bool
    unjudged: tuple[str, ...]

    @property
    def codes(self) -> int:
        """Codes compared in all."""
        return sum(t.codes for t in self.tensors)

    @property
    def mismatches(self) -> int:
        """Codes in which the reference is not the strict judge: must be 0."""
        return sum(t.mismatches for t in self.tensors)

    @property
    def judge_differences(self) -> int:
        """Codes at quantizers in which the unmodified judge is not the strict one."""
        return sum(t.judge_differences for t in self.tensors if not t.output)

    @property
    def output_differences(self) -> int:
        """Output values whose last bits the unmodified judge has otherwise: its sums round at every term."""
        return sum(t.judge_differences for t in self.tensors if t.output)

    @property
    def passed(self) -> bool:
        """No mismatch, and no difference between the judges where there must be none."""
        return (
            self.mismatches == 0
            and not self.unjudged
            and not (self.judge_required and self.judge_differences + self.output_differences)
        )


def judge_must_agree(graph: Graph) -> bool:
    """Whether float32 computes every product of the graph exactly: scales are powers of two, sums stay under 2**24.

    A bias inside a product that is off its grid is rounded at every term, so it obliges nobody.
    """
    if graph.epilogue.bias is not None:
        return False
    for operator in graph.operators:
        if isinstance(operator, Requantize) and PRODUCT_BIAS in operator.chain:
            return False
        if isinstance(operator, Dense):
            tensor = graph.tensors[operator.inputs[0]]
            zero = tensor.format.zero_point
            largest = np.maximum(np.abs(tensor.low - zero), np.abs(tensor.high - zero)) @ np.abs(operator.weights)
            if np.any(np.frexp(operator.scale)[0] != 0.5) or (largest + np.abs(operator.bias)).max() >= 1 << 24:
                return False
    return True


def compare(
    graph: Graph,
    model: onnx.ModelProto,
    values: Reals,
    codes: Codes,
    reals: Callable[[Codes], Reals],
    progress: Callable[[int, int], None] | None = None,
) -> Equality:
    """Run the reference and both judges on the same inputs.

    Args:
        graph: what was made of the file.
        model: the file.
        values: the file's input (N, ...): what the codes stand for.
        codes: the hardware's input (N, n_in).
        reals: output codes (N, n_out) to the file's output values, through the host's epilogue.
        progress: called with (samples done, samples in all).
    """
    grid = (
        graph.input_tensor.format.scale
        if graph.input_format is not None and graph.input_format.divisor is None
        else None
    )
    judge, strict = Judge(model), StrictJudge(model, input_grid=grid)
    end = model.graph.output[0].name
    unjudged = tuple(f"{name}: {reason}" for name, reason in strict.refused.items())
    quantized = [name for name in graph.tensors if name in judge.quantizers]
    first = [graph.input] if graph.input in judge.quantizers else []
    counts = {name: [0, 0, 0] for name in [*quantized, end]}
    worst: list[JudgeDifference] = []
    for start in range(0, len(values), CHUNK):
        part = values[start : start + CHUNK]
        judge_values, judge_codes = judge.run_codes(part, [end], quantized)
        strict_values, strict_codes = strict.run(part, [end], quantized)
        layered_values, layered_codes = strict.run(part, [end], quantized, given=judge_codes)
        ours = graph.evaluate(codes[start : start + CHUNK], keep=[*quantized, graph.output])
        rows: list[tuple[str, NDArray, NDArray, NDArray, NDArray]] = []
        for name in quantized:
            order = graph.layouts[name].reshape(-1)
            flat = [a.reshape(len(part), -1) for a in (strict_codes[name], judge_codes[name], layered_codes[name])]
            rows.append((name, ours[name][:, order], *flat))
        outputs = [reals(ours[graph.output]), strict_values[end], judge_values[end], layered_values[end]]
        mine, exact, judged, layered = (np.asarray(a, np.float32).reshape(len(part), -1) for a in outputs)
        rows.append((end, mine, exact, judged, layered))
        for name, mine, exact, judged, layered in rows:
            differs = judged != layered
            counts[name][0] += mine.size
            counts[name][1] += int(np.count_nonzero(mine != exact))
            # The first quantizer has no product in front: both judges run the very same float32 operators there.
            counts[name][2] += 0 if name in first else int(np.count_nonzero(differs))
            worst += [
                JudgeDifference(name, start + int(s), int(e), float(judged[s, e]), float(layered[s, e]))
                for s, e in np.argwhere(differs)[:WORST]
            ]
        worst = sorted(worst, key=lambda d: -abs(d.judge - d.exact))[:WORST]
        if progress is not None:
            progress(min(start + CHUNK, len(values)), len(values))
    tensors = tuple(TensorEquality(name, n, wrong, other, output=name == end) for name, (n, wrong, other) in counts.items())
    return Equality(len(values), tensors, tuple(worst), judge_must_agree(graph), unjudged)
