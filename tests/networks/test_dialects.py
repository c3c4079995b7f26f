"""Published files of other dialects: QDQ, bipolar, and one whose first product takes (x + 1) / 2."""

from pathlib import Path

import pytest

import rtl4ml
from rtl4ml.report.samples import read_samples
from rtl4ml.simulation import stimuli

SHARED = Path(__file__).resolve().parents[3] / "shared"
FILES = {"ad01_int8_qdq": None, "unsw_nb15-mlp-w2a2": "bipolar", "TFC_1W1A": None}


def load(name: str) -> rtl4ml.Graph:
    path = SHARED / f"models/{name}.onnx"
    if not path.exists():
        pytest.skip(f"{path.name} is not here: the shared models lie beside the project's folder")
    return rtl4ml.load(path, FILES[name])


@pytest.mark.parametrize("name", FILES)
def test_reference_equals_strict_judge(name: str) -> None:
    result = rtl4ml.compile(load(name), reuse=4096).verify(samples=300, rtl=False).equality
    assert result.mismatches == 0
    assert result.unjudged == ()
    assert result.codes >= 300 * 192
    assert result.judge_required == (name == "TFC_1W1A")
    assert result.passed


def test_mnist_accuracy_is_the_executors() -> None:
    """92.96 % on the 10,000 test digits; scales are 1, so the unmodified judge agrees on every code."""
    graph = load("TFC_1W1A")
    x, labels = read_samples(SHARED / "data/mnist_test_10k.npz", graph.input_shape, 255, labels=True)
    result = rtl4ml.compile(graph, reuse=4096).verify(x, labels, rtl=False)
    assert result.accuracy == {"reference": 0.9296, "onnx": 0.9296}
    assert result.equality.mismatches == result.equality.judge_differences == 0


def test_bipolar_inputs_are_drawn() -> None:
    graph = load("unsw_nb15-mlp-w2a2")
    assert set(stimuli.draw(graph, 20).reshape(-1).tolist()) == {-1, 1}


@pytest.mark.rtl
@pytest.mark.parametrize("name", FILES)
def test_verilog_equals_reference_and_plan(name: str) -> None:
    result = rtl4ml.compile(load(name), reuse=4096).verify(samples=100)
    assert result.rtl is not None
    assert result.rtl.mismatches == 0
    assert result.rtl.on_schedule
    assert result.passed
