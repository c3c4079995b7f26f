"""Whole networks at several reuse factors: file = reference = Verilog, every beat in the cycle that the plan says."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import rtl4ml
from rtl4ml.frontend.equality import judge_must_agree
from rtl4ml.report.samples import read_samples

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"


@dataclass(frozen=True)
class Network:
    """A file and how it is fed."""

    path: Path
    reuse: tuple[int, ...]
    input_format: str | None = None

    @property
    def name(self) -> str:
        return self.path.stem


NETWORKS = (
    Network(SHARED / "models/qkeras_jettagging.onnx", (1, 2, 3, 4, 7, 16, 64, 1024), "fixed<16,6>"),
    Network(SHARED / "models/TFC_2W2A.onnx", (4, 13, 4000)),
    Network(SHARED / "models/kwsmlp_w3a3.onnx", (64, 257, 2048)),
    Network(SHARED / "models/brevitas_mlp_w4a4.onnx", (1, 2, 5, 256)),
    Network(SHARED / "models/gamma_neutron_student.onnx", (2, 7, 1024)),
    Network(ROOT / "examples/models/digits_mlp.onnx", (1, 5, 256)),
    Network(ROOT / "examples/models/jet_tagger.onnx", (2, 13, 512)),
)
SAMPLES = 1000


def load(network: Network) -> rtl4ml.Graph:
    if not network.path.exists():
        pytest.skip(f"{network.path.name} is not here: the shared models lie beside the project's folder")
    return rtl4ml.load(network.path, network.input_format)


def cases(**marks: object) -> list:
    return [pytest.param(n, r, id=f"{n.name}-R{r}") for n in NETWORKS for r in n.reuse]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.name)
def test_reference_equals_strict_judge(network: Network) -> None:
    """Every code on 1,000 inputs; the unmodified judge too where float32 is exact."""
    design = rtl4ml.compile(load(network), reuse=4000)
    result = design.verify(samples=SAMPLES, rtl=False).equality
    assert result.samples >= SAMPLES
    assert result.mismatches == 0
    assert not result.unjudged
    if result.judge_required:
        assert result.judge_differences == result.output_differences == 0


def test_float32_is_exact_where_the_scales_are_powers_of_two() -> None:
    """So the unmodified judge must agree on these; on the others its sums round."""
    exact = {n.name for n in NETWORKS if n.path.exists() and judge_must_agree(load(n))}
    known = {"qkeras_jettagging", "TFC_2W2A", "jet_tagger"}
    assert exact == {name for name in known if any(n.name == name and n.path.exists() for n in NETWORKS)}


@pytest.mark.rtl
@pytest.mark.parametrize(("network", "reuse"), cases())
def test_verilog_equals_reference_and_plan(network: Network, reuse: int) -> None:
    """Codes of every beat, cycle of every beat, multipliers counted in the Verilog."""
    result = rtl4ml.compile(load(network), reuse=reuse).verify(samples=SAMPLES)
    assert result.rtl is not None
    assert result.rtl.mismatches == 0
    assert result.rtl.latency == result.plan.latency
    assert result.rtl.interval == result.plan.interval
    assert result.rtl.on_schedule
    assert result.rtl.framing
    assert result.counted_multipliers == result.plan.multipliers
    assert result.passed


@pytest.mark.rtl
@pytest.mark.parametrize("reuse", [1, 8])
def test_free_running(reuse: int) -> None:
    """The pipeline of triggers keeps its latency to the cycle."""
    graph = rtl4ml.load(ROOT / "examples/models/jet_tagger.onnx")
    result = rtl4ml.compile(graph, reuse=reuse, backpressure=False).verify(samples=SAMPLES)
    assert result.passed


@pytest.mark.rtl
def test_hardware_takes_pixels_when_given_an_input_format() -> None:
    """What stands before the first quantizer becomes a staircase in hardware."""
    network = Network(ROOT / "examples/models/digits_mlp.onnx", (), "ufixed<6,5>")
    assert rtl4ml.compile(load(network), reuse=16).verify(samples=SAMPLES, bench=True).passed


def test_mnist_accuracy_is_the_executors() -> None:
    """96.60 % on the 10,000 test digits, and the unmodified judge agrees on every code."""
    network = NETWORKS[1]
    graph = load(network)
    data = SHARED / "data/mnist_test_10k.npz"
    x, labels = read_samples(data, graph.input_shape, 255, labels=True)
    result = rtl4ml.compile(graph, reuse=4000).verify(x, labels, rtl=False)
    assert result.accuracy == {"reference": 0.966, "onnx": 0.966}
    assert result.equality.mismatches == result.equality.judge_differences == 0


def test_real_data_of_the_own_networks() -> None:
    """Accuracies of the README, from the reference; logits equal the strict judge's."""
    for name, data, accuracy in (("digits_mlp", "digits_test", 0.9750), ("jet_tagger", "jets_test", 0.6518)):
        graph = rtl4ml.load(ROOT / f"examples/models/{name}.onnx")
        x, labels = read_samples(ROOT / f"examples/data/{data}.npz", graph.input_shape, None, labels=True)
        result = rtl4ml.compile(graph, reuse=4000).verify(x, labels, rtl=False)
        assert result.accuracy is not None
        assert round(result.accuracy["reference"], 4) == accuracy
        assert result.equality.mismatches == 0


def test_real_pulses() -> None:
    """The published gamma/neutron discriminator on its 1,798 real detector pulses."""
    graph = load(NETWORKS[4])
    pulses = np.load(SHARED / "data/gamma_neutron_pulses.npz")["pulses"].astype(np.float32)
    result = rtl4ml.compile(graph, reuse=4000).verify(pulses, rtl=False)
    assert result.equality.samples == 1798
    assert result.equality.mismatches == 0
