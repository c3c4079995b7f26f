import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import rtl4ml
from rtl4ml.errors import ConfigurationError, ModelError, ToolError
from rtl4ml.formats import Format, InputFormat
from rtl4ml.frontend import border
from rtl4ml.graph import Graph, HostFunction, Operator, Tensor
from rtl4ml.operators import Dense, Requantize
from rtl4ml.report import console, profile_plot
from rtl4ml.report.profile_table import findings, percent, profile_table
from rtl4ml.report.profiling import BINS
from rtl4ml.staircase import Staircase

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
ONE = np.ones(())


def staircase(function, low: int, high: int) -> Staircase:
    """A function of all integers in [low, high] as steps, one row."""
    x = np.arange(low, high + 1)
    y = np.array([function(int(v)) for v in x])
    at = np.flatnonzero(np.diff(y)) + 1
    return Staircase(np.array([low]), np.array([high]), y[:1], (x[at],), (y[at],))


def network(operators: list[Operator], n: int, input_format: str) -> Graph:
    """A chain that takes n integers."""
    parsed = InputFormat.parse(input_format)
    form = parsed.format
    tensor = Tensor("x", (n,), form, np.full(n, form.low), np.full(n, form.high))
    order = np.arange(n)
    output = operators[-1].output if operators else "x"
    empty = HostFunction(b"", (), order, (n,))
    bare = Graph("net", (), {"x": tensor}, "x", "x", empty, empty, (n,), (n,), parsed, parsed.encode)
    whole = bare.with_operators(operators) if operators else bare
    return Graph(**{**whole.__dict__, "output": output, "layouts": {name: order[None] for name in whole.tensors}})


def quantize(function, bits: int, signed: bool, chain: tuple[str, ...], low: int = -128, high: int = 127) -> Graph:
    """One staircase behind an eight-bit input; its codes are clip(function(x))."""
    form = Format(bits, signed, ONE)
    steps = staircase(lambda x: max(form.low, min(form.high, function(x))), low, high)
    return network([Requantize("q", ("x",), "y", steps, form, chain)], 1, "int<8>")


EVERY = np.arange(-128, 128, dtype=np.float32)[:, None]


@pytest.mark.parametrize(
    "function",
    [lambda x: x // 5, lambda x: -(x // 5), lambda x: (x + 40) // 3, lambda x: 2 * x, lambda x: x // 32],
    ids=["rising", "falling", "shifted", "steep", "never"],
)
def test_clipped_values_of_an_affine_chain_are_told_from_codes_at_the_limits(function) -> None:
    item = rtl4ml.profile(quantize(function, 4, True, ("Mul", "Add", "Quant")), EVERY).tensors["y"]
    free = np.array([function(int(x)) for x in EVERY[:, 0]])
    assert item.clipping_known
    assert (item.lower.clipped.sum(), item.upper.clipped.sum()) == ((free < -8).sum(), (free > 7).sum())
    assert (item.lower.at.sum(), item.upper.at.sum()) == ((free <= -8).sum(), (free >= 7).sum())
    assert item.saturated() == ((free < -8).mean(), (free > 7).mean())


def test_zeros_of_a_relu_are_not_saturated() -> None:
    item = rtl4ml.profile(quantize(lambda x: max(0, x) // 4, 4, False, ("Relu", "Quant")), EVERY).tensors["y"]
    assert item.clipping_known
    assert item.saturated() == (0, np.mean(EVERY >= 64))
    assert item.lower.at.sum() == np.sum(EVERY < 4)


def test_other_chains_count_codes_at_the_limits() -> None:
    function = lambda x: round(9 * np.tanh(x / 40))  # noqa: E731
    item = rtl4ml.profile(quantize(function, 4, True, ("Tanh", "Quant")), EVERY).tensors["y"]
    codes = np.array([max(-8, min(7, function(int(x)))) for x in EVERY[:, 0]])
    assert not item.clipping_known
    assert item.saturated() == (np.mean(codes == -8), np.mean(codes == 7))


@pytest.mark.parametrize("word", ["Clip", "Sigmoid", "HardSwish"])
def test_zeros_of_other_activations_are_not_saturated_either(word: str) -> None:
    item = rtl4ml.profile(quantize(lambda x: min(15, max(0, x)), 4, False, (word, "Quant")), EVERY).tensors["y"]
    assert not item.clipping_known
    assert item.saturated() == (0, np.mean(EVERY >= 15))


def test_a_row_of_one_step_is_judged_by_its_codes() -> None:
    item = rtl4ml.profile(quantize(lambda x: 0 if x < 3 else 7, 4, True, ("Mul", "Quant")), EVERY).tensors["y"]
    assert not item.clipping_known
    assert item.saturated() == (0, np.mean(EVERY >= 3))


def test_clipping_of_the_input_counts_what_lies_beyond() -> None:
    graph = network([], 2, "fixed<4,3>")
    item = rtl4ml.profile(graph, [[3.5, 0], [3.7, -4], [3.76, -4.3], [90, 0]]).tensors["x"]
    assert item.upper.at.tolist() == [4, 0] and item.upper.clipped.tolist() == [2, 0]
    assert item.lower.at.tolist() == [0, 2] and item.lower.clipped.tolist() == [0, 1]


def test_ranges_dead_channels_and_bits() -> None:
    weights = np.array([[1, 0, 4], [0, 0, 0]])
    graph = network([Dense("d", ("x",), "acc", weights, np.array([0, 5, 0]), ONE, (3,))], 2, "int<8>")
    result = rtl4ml.profile(graph, [[0, 7], [12, 7], [4, 7]])
    x, acc = result.tensors["x"], result.tensors["acc"]
    assert list(result.tensors) == ["x", "acc"]
    assert x.seen == (0, 12) and x.tensor.range == (-128, 127) and x.used.tolist() == [12 / 255, 0]
    assert x.constant.tolist() == [False, True] and not x.always_constant.any()
    assert x.top_bits.tolist() == [4, 5] and x.low_bits.tolist() == [2, 0]
    assert acc.constant.tolist() == [False, True, False] and acc.always_constant.tolist() == [False, True, False]
    assert acc.low.tolist() == [0, 5, 0] and acc.high.tolist() == [12, 5, 48]
    assert acc.tensor.format.bits == 10 and acc.top_bits_in_all == 4 and acc.low_bits.tolist() == [2, 0, 4]
    assert acc.saturated() is None and not acc.quantized
    assert acc.used[1] == 1 and acc.worst(acc.used, lowest=True) == 0
    assert [f.text for f in findings(acc)] == ["1 of 3 channels constant on this data, 1 of them whatever the input"]


def test_histogram_holds_every_code() -> None:
    weights = np.full((1, 1), 1000)
    graph = network([Dense("d", ("x",), "acc", weights, np.zeros(1, np.int64), ONE, (1,))], 1, "int<8>")
    result = rtl4ml.profile(graph, EVERY)
    for item in result.tensors.values():
        assert item.histogram.sum() == 256 and len(item.histogram) <= BINS
    acc = result.tensors["acc"]
    assert (acc.start, acc.end) == (-128000, 127000)
    bins = (np.arange(-128, 128) * 1000 - acc.start) // acc.width
    assert np.array_equal(acc.histogram, np.bincount(bins, minlength=len(acc.histogram)))


def test_bipolar_codes_have_nothing_but_limits() -> None:
    form = Format(1, True, ONE, bipolar=True)
    steps = staircase(lambda x: 1 if x >= 0 else -1, -128, 127)
    result = rtl4ml.profile(network([Requantize("q", ("x",), "y", steps, form, ("BipolarQuant",))], 1, "int<8>"), EVERY)
    item = result.tensors["y"]
    assert item.saturated() is None and item.top_bits_in_all == 0 and item.quantized
    assert not findings(item)


def test_batches_do_not_change_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = rtl4ml.load(ROOT / "examples/models/digits_mlp.onnx")
    x = np.load(ROOT / "examples/data/digits_test.npz")["x"]
    design = rtl4ml.compile(graph, reuse=4000)
    whole = design.profile(x).describe(), design.predict(x), design.predict(x, codes=True), design.trace(x)
    monkeypatch.setattr(border, "BATCH_ELEMENTS", 1)
    calls: list[tuple[int, int]] = []
    tell = lambda done, total: calls.append((done, total))  # noqa: E731
    for name, before in zip(("profile", "predict", "trace"), (whole[0], whole[1], whole[3]), strict=True):
        calls.clear()
        after = getattr(design, name)(x, progress=tell)
        assert len(calls) >= len(x) // 64 and calls[-1] == (len(x), len(x))
        assert calls == sorted(calls)
        if name == "trace":
            assert list(after) == list(before) and all(np.array_equal(after[k], before[k]) for k in before)
        else:
            assert np.array_equal(after, before) if name == "predict" else after.describe() == before
    assert np.array_equal(design.predict(x, codes=True), whole[2])
    assert design.predict(x[:0]).shape == (0, *graph.output_shape)


@pytest.mark.parametrize("name", ["predict", "trace", "profile"])
def test_true_shows_a_bar_on_stderr(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    seen = []

    def fake(*, stderr: bool = False) -> Console:
        seen.append(stderr)
        return Console(file=out, force_terminal=True, width=100)

    monkeypatch.setattr(console, "console", fake)
    design = rtl4ml.compile(rtl4ml.load(ROOT / "examples/models/digits_mlp.onnx"), reuse=4000)
    getattr(design, name)(np.zeros((300, 64), np.float32), progress=True)
    assert seen == [True]
    assert name in out.getvalue() and "300/300" in out.getvalue()


def test_no_bar_where_nobody_looks(capfd: pytest.CaptureFixture[str]) -> None:
    design = rtl4ml.compile(rtl4ml.load(ROOT / "examples/models/digits_mlp.onnx"), reuse=4000)
    design.predict(np.zeros((300, 64), np.float32), progress=True)
    assert capfd.readouterr() == ("", "")


def test_data_that_has_no_profile() -> None:
    graph = network([], 2, "int<8>")
    with pytest.raises(ModelError, match=r"^Data of a profile must have at least one sample, not none$"):
        rtl4ml.profile(graph, np.zeros((0, 2)))
    with pytest.raises(ModelError, match=r"^Input must have shape \(N, 2\), not \(4, 3\)$"):
        rtl4ml.profile(graph, np.zeros((4, 3)))
    with pytest.raises(ModelError, match=r"^Input must be finite, not NaN or infinite$"):
        rtl4ml.profile(graph, [[0, 1e300]])
    with pytest.raises(ModelError, match=r"^Input must be an array of real numbers, not of <U1$"):
        rtl4ml.profile(graph, [["a", "b"]])


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0 %"), (1, "100 %"), (1e-9, "<0.01 %"), (0.999999, ">99.99 %"), (0.99989, "99.99 %")]
)
def test_percent_never_rounds_to_all_or_nothing(share: float, text: str) -> None:
    assert percent(share) == text


def rendered(result) -> str:
    out = Console(file=io.StringIO(), width=160)
    out.print(profile_table(result))
    return out.file.getvalue()


def test_saturation_of_the_published_student_is_plain() -> None:
    """The gamma/neutron discriminator clips 8,989 of the 8,990 codes of its first layer."""
    path = SHARED / "models/gamma_neutron_student.onnx"
    if not path.exists():
        pytest.skip("the shared models lie beside the project's folder")
    result = rtl4ml.profile(rtl4ml.load(path), np.load(SHARED / "data/gamma_neutron_pulses.npz")["pulses"])
    item = result.tensors["fc1_act_out"]
    assert item.lower.clipped.sum() + item.upper.clipped.sum() == 8989
    finding = findings(item)[0]
    assert finding.severe and finding.short == "99.99 % SATURATED"
    text = rendered(result)
    assert "99.99 % SATURATED" in text
    assert "fc1_act_out: 99.99 % is clipped: 50.18 % to -128, 49.81 % to 127" in text
    assert result.tensors["input_quant_out"].top_bits_in_all == 7
    described = json.loads(json.dumps(result.describe()))["tensors"][2]
    assert described["saturation"]["judged_by"] == "clipped values"
    assert described["saturation"]["share"] == pytest.approx(8989 / 8990)


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_plot(suffix: str, tmp_path: Path) -> None:
    result = rtl4ml.profile(quantize(lambda x: x // 2, 4, True, ("Mul", "Quant")), EVERY)
    paths = [tmp_path / f"{number}{suffix}" for number in range(2)]
    for path in paths:
        profile_plot.plot(result, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert len(paths[0].read_bytes()) > 5000


def test_plots_that_cannot_be_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"^Plot must be a file \.svg, \.png or \.pdf, not 'x\.txt'$"):
        profile_plot.check_target(Path("x.txt"))
    with pytest.raises(ConfigurationError, match=r"^Folder of the plot must exist, not "):
        profile_plot.check_target(tmp_path / "none" / "x.svg")
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(ToolError, match=r"^matplotlib must be installed for plots: pip install 'rtl4ml\[plot\]'$"):
        profile_plot.check_target(tmp_path / "x.svg")
