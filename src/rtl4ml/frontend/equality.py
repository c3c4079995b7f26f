"""Reference against the file: every code against the strict judge, and how far the unmodified judge is from it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes, Reals, spread
from rtl4ml.frontend.chain import PRODUCT_BIAS
from rtl4ml.frontend.chain_kernels import company_matters
from rtl4ml.frontend.judge import Judge, StrictJudge
from rtl4ml.frontend.judge.alone import OPERATORS as ALONE
from rtl4ml.frontend.judge.integer_product import INTEGER_PRODUCTS
from rtl4ml.graph import Graph, Operator, Tensor
from rtl4ml.operators import Conv, Dense, Gather, Pool, Requantize
from rtl4ml.operators.conv import channel_limits

CHUNK = 1000
"""Samples judged at once, with all their quantized tensors in memory."""

CHUNK_ELEMENTS = 1 << 22
"""Elements of those tensors, if these are fewer samples: some 40 bytes each in five versions, 170 MB."""

WORST = 20

PROBED_OPSET = 20
"""Version of the operators whose kernels are asked whether company matters to them."""


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
        departures: codes in which exact arithmetic (`chains="real"`) is not the float32 of the strict judge, each at an
            accumulator for which the import has announced just that; they are no mismatches.
    """

    name: str
    codes: int
    mismatches: int
    judge_differences: int
    output: bool = False
    departures: int = 0


@dataclass(frozen=True)
class JudgeDifference:
    """One code in which float32 sums gave something else than exact ones."""

    tensor: str
    sample: int
    element: int
    judge: float
    exact: float


@dataclass(frozen=True)
class Departure:
    """A run of accumulators for which exact arithmetic gives another code than float32.

    Parameters:
        tensor: behind the chain.
        channel: of the tensor; None: all.
        first: lowest accumulator of the run.
        last: highest.
        code: in exact arithmetic, which the hardware computes.
        float32: of the executor.
    """

    tensor: str
    channel: int | None
    first: int
    last: int
    code: int
    float32: int


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
        announced: where `chains="real"` leaves float32, on whole domains, whether the samples came there or not.
    """

    samples: int
    tensors: tuple[TensorEquality, ...]
    worst: tuple[JudgeDifference, ...]
    judge_required: bool
    unjudged: tuple[str, ...]
    announced: tuple[Departure, ...] = ()

    @property
    def codes(self) -> int:
        """Codes compared in all."""
        return sum(t.codes for t in self.tensors)

    @property
    def mismatches(self) -> int:
        """Codes in which the reference is not the strict judge: must be 0."""
        return sum(t.mismatches for t in self.tensors)

    @property
    def departures(self) -> int:
        """Codes in which exact arithmetic is not float32, as announced."""
        return sum(t.departures for t in self.tensors)

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


def announced(graph: Graph) -> tuple[Departure, ...]:
    """Where the graph's chains leave float32, because exact arithmetic was asked for."""
    found: list[Departure] = []
    for operator in graph.operators:
        if isinstance(operator, Requantize) and operator.departures is not None:
            d = operator.departures
            columns = (a.tolist() for a in (d.row, d.first, d.last, d.code, d.other))
            for row, first, last, code, other in zip(*columns, strict=True):
                found.append(Departure(operator.output, None if d.shared else row, first, last, code, other))
    return tuple(found)


def judge_must_agree(graph: Graph) -> bool:
    """Whether float32 computes every product of the graph exactly: scales are powers of two, sums stay under 2**24.

    A bias inside a product that is off its grid is rounded at every term, and some kernels give a value other bits in
    company than alone: they oblige nobody.
    """
    if graph.epilogue.bias is not None:
        return False
    for operator in graph.operators:
        if isinstance(operator, Requantize) and (PRODUCT_BIAS in operator.chain or _depends_on_company(operator)):
            return False
        if isinstance(operator, Dense | Conv):
            largest = _largest_sums(operator, graph.tensors[operator.inputs[0]])
            if np.any(np.frexp(operator.scale)[0] != 0.5) or (largest + np.abs(operator.bias)).max() >= 1 << 24:
                return False
    return True


def _largest_sums(operator: Dense | Conv, tensor: Tensor) -> Codes:
    """Sum of the magnitudes of all terms, for each output."""
    weights = np.abs(operator.weights)
    if isinstance(operator, Dense):
        zero = spread(tensor.format.zero_point, tensor.size)
        largest: Codes = np.maximum(np.abs(tensor.lows - zero), np.abs(tensor.highs - zero)) @ weights
        return largest
    low, high = channel_limits(tensor, operator.channels_in)
    zero = spread(tensor.format.zero_point, operator.channels_in)
    by_group = np.maximum(np.abs(low - zero), np.abs(high - zero)).reshape(operator.groups, -1)
    group = np.arange(operator.channels_out) // (operator.channels_out // operator.groups)
    sums: Codes = (weights.sum(axis=(0, 1)) * by_group[group].T).sum(axis=0)
    return sums


def _depends_on_company(operator: Requantize) -> bool:
    kinds = ALONE.intersection(operator.chain)
    return any(kind == "Pow" or company_matters(kind, (), PROBED_OPSET) for kind in kinds)


def _needed(model: onnx.ModelProto, end: str) -> set[str]:
    """Tensors that the output depends on: files may hold branches that lead nowhere."""
    needed = {end}
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
    return needed


def source_model(graph: Graph) -> onnx.ModelProto:
    """The file that a graph was made of.

    Raises:
        ModelError: the graph came from no file.
    """
    if not graph.model:
        raise ModelError(f"Graph {graph.name!r} must come from an ONNX file to be verified against it")
    return onnx.ModelProto.FromString(graph.model)


def executor_output(graph: Graph, values: Reals, progress: Callable[[int, int], None] | None = None) -> Reals:
    """What the unmodified judge gives for the file's input (N, ...).

    Raises:
        ModelError: the graph came from no file.
    """
    model = source_model(graph)
    end = model.graph.output[0].name
    return Judge(model).run(values, [end], progress)[end]


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
    given = graph.input_format
    grid = given.format.scale if given is not None and given.divisor is None else None
    chains = {o.output: o for o in graph.operators if isinstance(o, Requantize)}
    departing = {name: path for name in graph.tensors if (path := _departing(graph, name))}
    inside = {name for o in chains.values() for name in o.inside}
    judge, strict = Judge(model), StrictJudge(model, input_grid=grid, grids=graph.grids, alone=inside)
    end = model.graph.output[0].name
    needed = _needed(model, end)
    unjudged = tuple(f"{name}: {reason}" for name, reason in strict.refused.items() if name in needed)
    quantized = [name for name in graph.tensors if name in judge.quantizers]
    first = [graph.input] if graph.input in judge.quantizers else []
    # A quantizer that is the output counts twice: its codes, and the values that come of them.
    counts = {key: [0, 0, 0, 0] for key in [*((name, False) for name in quantized), (end, True)]}
    kept = {*quantized, graph.output}
    kept |= {name for path in departing.values() for name in (path[0].inputs[0], path[0].output)}
    worst: list[JudgeDifference] = []
    chunk = max(1, min(CHUNK, CHUNK_ELEMENTS // max(1, sum(graph.tensors[name].size for name in kept))))
    for start in range(0, len(values), chunk):
        part = values[start : start + chunk]
        judge_values, judge_codes = judge.run_codes(part, [end], quantized)
        ours = graph.evaluate(codes[start : start + chunk], keep=kept)
        in_file = {name: ours[name][:, graph.layouts[name].reshape(-1)] for name in quantized}
        if not departing:  # images may be large
            ours = {graph.output: ours[graph.output]}
        # Exact arithmetic leaves float32 in single codes, which must not count again in all layers behind.
        strict_values, strict_codes = strict.run(part, [end], quantized, given=in_file if departing else None)
        layered_values, layered_codes = strict.run(part, [end], quantized, given=judge_codes)
        rows: list[tuple[tuple[str, bool], NDArray, NDArray, NDArray, NDArray]] = []
        for name in quantized:
            flat = [a.reshape(len(part), -1) for a in (strict_codes[name], judge_codes[name], layered_codes[name])]
            expected = in_file[name]
            if name in departing:
                expected = _in_float32(graph, departing[name], ours)[:, graph.layouts[name].reshape(-1)]
                counts[name, False][3] += int(np.count_nonzero(expected != in_file[name]))
            rows.append(((name, False), expected, flat[0], flat[1], flat[2]))
        outputs = [reals(ours[graph.output]), strict_values[end], judge_values[end], layered_values[end]]
        ends = [np.asarray(a, np.float32).reshape(len(part), -1) for a in outputs]
        rows.append(((end, True), ends[0], ends[1], ends[2], ends[3]))
        for key, mine, exact, judged, layered in rows:
            name, output = key
            differs = _different(judged, layered)
            counts[key][0] += mine.size
            counts[key][1] += int(np.count_nonzero(_different(mine, exact)))
            # The first quantizer has no product in front: both judges run the very same float32 operators there.
            counts[key][2] += 0 if name in first and not output else int(np.count_nonzero(differs))
            worst += _worst(name, start, judged, layered, differs)
        worst = sorted(worst, key=lambda d: -abs(d.judge - d.exact))[:WORST]
        if progress is not None:
            progress(min(start + chunk, len(values)), len(values))
    tensors = tuple(
        TensorEquality(name, n, wrong, other, output=output, departures=left)
        for (name, output), (n, wrong, other, left) in counts.items()
    )
    # onnxruntime's integer kernels saturate on some processors: they oblige nobody either.
    required = judge_must_agree(graph) and not any(node.op_type in INTEGER_PRODUCTS for node in model.graph.node)
    # Nor do weights of thirds, which float32 rounds.
    required = required and not needed.intersection(strict.interpolated)
    return Equality(len(values), tensors, tuple(worst), required, unjudged, announced(graph))


def _worst(
    name: str, start: int, judged: NDArray, layered: NDArray, differs: NDArray[np.bool_]
) -> list[JudgeDifference]:
    """The largest differences of a tensor, WORST at most; `start` is the number of the first sample."""
    rows, columns = np.nonzero(differs)
    pairs = judged[rows, columns].astype(np.float64), layered[rows, columns].astype(np.float64)
    order = np.argsort(-np.abs(pairs[0] - pairs[1]), kind="stable")[:WORST]
    return [
        JudgeDifference(name, start + int(rows[i]), int(columns[i]), float(pairs[0][i]), float(pairs[1][i]))
        for i in order
    ]


def _different(a: NDArray, b: NDArray) -> NDArray[np.bool_]:
    """Where two arrays differ; a value that is no number is equal to another one of its kind."""
    different: NDArray[np.bool_] = (a != b) & ~((a != a) & (b != b))  # only NaN is not itself
    return different


def _departing(graph: Graph, name: str) -> list[Operator]:
    """A staircase that leaves float32 and what only moves or chooses its codes up to a tensor; empty: there is none."""
    makers = {o.output: o for o in graph.operators}
    path: list[Operator] = []
    while isinstance(maker := makers.get(name), Gather | Pool):
        path.insert(0, maker)
        name = maker.inputs[0]
    return [maker, *path] if isinstance(maker, Requantize) and maker.departures is not None else []


def _in_float32(graph: Graph, path: Sequence[Operator], ours: Mapping[str, Codes]) -> Codes:
    """The reference's codes of a tensor with those that the import announced replaced by float32's."""
    first = path[0]
    assert isinstance(first, Requantize)
    assert first.departures is not None
    codes = first.departures.other_codes(ours[first.inputs[0]], ours[first.output])
    for operator in path[1:]:
        codes = operator.evaluate([codes], [graph.tensors[operator.inputs[0]]])
    return codes
