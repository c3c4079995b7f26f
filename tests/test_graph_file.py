"""Graphs saved and read again compute the same."""

from pathlib import Path

import numpy as np
import pytest

import rtl4ml
from rtl4ml import graph_file
from rtl4ml.errors import ModelError

MODELS = Path(__file__).resolve().parents[1] / "examples/models"


@pytest.mark.parametrize(
    ("name", "input_format"), [("digits_mlp", None), ("jet_tagger", None), ("digits_mlp", "ufixed<6,5>")]
)
def test_round_trip(tmp_path: Path, name: str, input_format: str | None) -> None:
    graph = rtl4ml.load(MODELS / f"{name}.onnx", input_format)
    graph_file.save(graph, tmp_path / "graph.npz")
    again = graph_file.load(tmp_path / "graph.npz")
    x = np.random.default_rng(0).normal(0, 8, (50, *graph.input_shape)).astype(np.float32)
    first, second = (rtl4ml.compile(g, reuse=1000) for g in (graph, again))
    assert np.array_equal(first.predict(x), second.predict(x))
    traces = first.trace(x), second.trace(x)
    assert all(np.array_equal(traces[0][tensor], traces[1][tensor]) for tensor in graph.tensors)
    assert str(graph) == str(again)
    assert second.verify(samples=20, rtl=False).passed


def test_saving_twice_gives_the_same_tree(tmp_path: Path) -> None:
    graph = rtl4ml.load(MODELS / "digits_mlp.onnx")
    graph_file.save(graph, tmp_path / "a.npz")
    graph_file.save(graph_file.load(tmp_path / "a.npz"), tmp_path / "b.npz")
    with np.load(tmp_path / "a.npz") as a, np.load(tmp_path / "b.npz") as b:
        assert a.files == b.files
        assert all(np.array_equal(a[name], b[name]) for name in a.files)


def test_errors(tmp_path: Path) -> None:
    path = tmp_path / "graph.npz"
    with pytest.raises(ModelError, match=r"^Graph file '.*' must be one that rtl4ml saved, not something else: "):
        graph_file.load(path)
    path.write_bytes(b"PK nonsense")
    with pytest.raises(ModelError, match=r"^Graph file '.*' must be one that rtl4ml saved, not something else: "):
        graph_file.load(path)
    np.savez(path, tree=np.frombuffer(b'{"version": 7}', np.uint8))
    with pytest.raises(ModelError, match=r"^Graph file '.*' must be of version 1, not 7$"):
        graph_file.load(path)
    tree = b'{"version": 1, "graph": {"class": "errors:os", "fields": {}}}'
    np.savez(path, tree=np.frombuffer(tree, np.uint8))
    with pytest.raises(ModelError):
        graph_file.load(path)
    with pytest.raises(ModelError, match=r"^Graph file '.*' must be writable, but is not: "):
        graph_file.save(rtl4ml.load(MODELS / "digits_mlp.onnx"), tmp_path / "none" / "graph.npz")
