import hashlib

import numpy as np
import pytest

import rtl4ml
from rtl4ml.errors import ConfigurationError, ModelError
from rtl4ml.sweep.model import Model, Reading, graph_of


def test_the_file_as_it_is(path, model):
    assert (model.file, model.name, model.data) == ("tiny.onnx", "tiny", path.read_bytes())
    assert model.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(ModelError, match=r"Model '.*none.onnx' must be a readable file: "):
        Model.of(path.parent / "none.onnx")


def test_the_graph_is_that_of_the_file(path, model):
    x = np.random.default_rng(1).normal(size=(20, 6))
    for input_format in (None, "fixed<10,4>"):
        graph = graph_of(model.digest, Reading(argmax=True), input_format)
        expected = rtl4ml.load(path, input_format, argmax=True)
        assert graph.source == expected.source
        assert (graph.name, graph.input_tensor.format.bits) == ("tiny", expected.input_tensor.format.bits)
        codes = rtl4ml.compile(expected, reuse=4).predict(x, codes=True)
        assert np.array_equal(rtl4ml.compile(graph, reuse=4).predict(x, codes=True), codes)
        assert graph_of(model.digest, Reading(argmax=True), input_format) is graph


def test_a_model_that_never_came():
    with pytest.raises(ConfigurationError, match="Model must be sent to the worker before its points, not missing: ab"):
        graph_of("ab", Reading(), None)
