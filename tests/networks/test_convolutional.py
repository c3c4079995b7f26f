"""Published convolutional networks and our own: file = reference = Verilog, every beat in the cycle that the plan says.

Four goals of multipliers each, and the efficiency that they come to, are in `benchmarks/`.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import pytest

import rtl4ml
from rtl4ml.frontend.equality import judge_must_agree
from rtl4ml.report.samples import read_samples
from tests.frontend.build import equal

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
MODELS, OWN = SHARED / "models", ROOT / "examples/models"


@dataclass(frozen=True)
class Network:
    """A file, how it is fed, and how it is built.

    Parameters:
        path: of the file.
        intervals: goals of its designs.
        frames: that go through each of them.
        input_format: of the pins, where the file has no quantizer at its input.
        input_shape: a smaller image than the file's.
        exact: float32 computes it exactly, so the unmodified judge must agree everywhere.
    """

    path: Path
    intervals: tuple[int, ...]
    frames: int
    input_format: str | None = None
    input_shape: tuple[int, ...] | None = None
    exact: bool = False


NETWORKS = {
    network.path.stem: network
    for network in (
        Network(OWN / "digits_cnn.onnx", (2048, 9000), 30),
        Network(OWN / "mnist_cnn_int8_qdq.onnx", (20_000,), 10),
        Network(MODELS / "brevitas_cnn_w4a4.onnx", (2048, 20_000), 12),
        Network(MODELS / "qonnx2mdc_mnist_cnn.onnx", (20_000,), 10, "ufixed<8,0>", exact=True),
        Network(MODELS / "separable_conv_model_ch_last.onnx", (4096,), 10, input_shape=(16, 16, 3), exact=True),
        Network(MODELS / "espcn_nnresize_w4a4.onnx", (150_000,), 2, input_shape=(3, 16, 16)),
        Network(MODELS / "radioml_vgg10_w8a8.onnx", (200_000,), 2),
        Network(MODELS / "kws_ref_model_qdq.onnx", (64_000,), 3),
        Network(MODELS / "pretrainedResnet_quant_qdq.onnx", (100_000,), 3),
    )
}
SAMPLES = 100


@functools.cache
def graph_of(name: str) -> rtl4ml.Graph:
    network = NETWORKS[name]
    if not network.path.exists():
        pytest.skip(f"{network.path.name} is not here: the shared models lie beside the project's folder")
    return rtl4ml.load(network.path, network.input_format, input_shape=network.input_shape)


@pytest.mark.parametrize("name", NETWORKS)
def test_reference_equals_strict_judge(name: str) -> None:
    """Every code of every quantizer; where float32 rounds, the unmodified judge is seen to leave the exact sums."""
    graph = graph_of(name)
    result = equal(graph, samples=SAMPLES)
    assert result.samples >= SAMPLES
    assert result.mismatches == 0
    assert result.unjudged == ()
    assert result.passed
    assert judge_must_agree(graph) == NETWORKS[name].exact
    assert (result.judge_differences + result.output_differences == 0) == NETWORKS[name].exact


@pytest.mark.rtl
@pytest.mark.parametrize(
    ("name", "interval"), [(name, n) for name, network in NETWORKS.items() for n in network.intervals]
)
def test_verilog_equals_reference_and_plan(name: str, interval: int) -> None:
    """Codes and cycles of whole frames, with stalls and without; multipliers counted in the Verilog."""
    result = rtl4ml.compile(graph_of(name), interval=interval).verify(samples=NETWORKS[name].frames)
    assert result.equality.mismatches == 0
    assert result.rtl is not None
    assert result.rtl.frames == NETWORKS[name].frames
    assert result.rtl.mismatches == 0
    assert result.rtl.latency == result.plan.latency
    assert result.rtl.interval == result.plan.interval <= interval
    assert result.rtl.on_schedule
    assert result.rtl.framing
    assert result.counted_multipliers == result.plan.multipliers
    assert result.passed


def test_whole_image_of_the_super_resolution() -> None:
    """128 x 128, as the file has it."""
    path = MODELS / "espcn_nnresize_w4a4.onnx"
    if not path.exists():
        pytest.skip(f"{path.name} is not here: the shared models lie beside the project's folder")
    result = equal(rtl4ml.load(path), samples=2)
    assert result.mismatches == 0
    assert result.passed


def test_mnist_accuracy() -> None:
    """Pixels divided by 255 on pins of 8 fraction bits: 255 becomes 255 / 256."""
    graph = graph_of("qonnx2mdc_mnist_cnn")
    x, labels = read_samples(SHARED / "data/mnist_test_10k.npz", graph.input_shape, 255, labels=True)
    assert labels is not None
    result = rtl4ml.compile(graph, interval=20_000).verify(x[:1000], labels[:1000], rtl=False)
    assert result.equality.mismatches == result.equality.judge_differences == 0
    assert result.accuracy == {"reference": 0.94, "onnx": 0.94}


def test_accuracy_of_the_own_networks() -> None:
    """Those of the README, from the reference, and every code is the strict judge's."""
    for name, data, divide, accuracy in (
        ("digits_cnn", "digits_test", None, 0.9816),
        ("mnist_cnn_int8_qdq", "mnist_test", 255, 0.98),
    ):
        graph = graph_of(name)
        x, labels = read_samples(ROOT / f"examples/data/{data}.npz", graph.input_shape, divide, labels=True)
        result = rtl4ml.compile(graph, reuse=10**6).verify(x, labels, rtl=False)
        assert result.equality.mismatches == 0
        assert result.accuracy is not None
        assert round(result.accuracy["reference"], 4) == accuracy
