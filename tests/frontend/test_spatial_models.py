"""The convolutional networks of others, import and equality."""

import time

import numpy as np
import pytest

import rtl4ml
from rtl4ml.frontend.load import with_free_weights
from tests.frontend.build import equal
from tests.frontend.judge_files import shared

MODELS = {
    "qonnx2mdc_mnist_cnn": {"input_format": "ufixed<8,0>"},
    "brevitas_cnn_w4a4": {},
    "espcn_nnresize_w4a4": {"input_shape": [3, 24, 20]},
    "radioml_vgg10_w8a8": {},
    "separable_conv_model_ch_last": {"input_shape": [32, 24, 3]},
    "kws_ref_model_qdq": {},
    "pretrainedResnet_quant_qdq": {},
}
SHAPES = {
    "qonnx2mdc_mnist_cnn": (28, 28, 1),
    "brevitas_cnn_w4a4": (16, 16, 1),
    "espcn_nnresize_w4a4": (24, 20, 3),
    "radioml_vgg10_w8a8": (1024, 2),
    "separable_conv_model_ch_last": (32, 24, 3),
    "kws_ref_model_qdq": (49, 10, 1),
    "pretrainedResnet_quant_qdq": (32, 32, 3),
}


@pytest.mark.parametrize("name", MODELS)
def test_equal_to_the_judges(name):
    path = shared(f"{name}.onnx")
    started = time.perf_counter()
    graph = rtl4ml.load(path, **MODELS[name])
    assert time.perf_counter() - started < 60
    assert graph.input_tensor.shape == SHAPES[name]
    # Without a Gather that only turns: what others see as channels first lies channels last from the start.
    gathers = [operator for operator in graph.operators if operator.kind == "Gather"]
    assert len(gathers) == (name == "espcn_nnresize_w4a4")
    result = equal(graph, samples=4)
    assert result.unjudged == ()
    assert result.mismatches == 0
    assert result.passed


def test_a_whole_image_of_512_pixels():
    graph = rtl4ml.load(shared("separable_conv_model_ch_last.onnx"))
    assert graph.input_tensor.shape == (512, 512, 3)
    assert all(tensor.low.size <= 16 for tensor in graph.tensors.values())


def test_writable_weights():
    graph = with_free_weights(rtl4ml.load(shared("kws_ref_model_qdq.onnx")))
    convolutions = [operator for operator in graph.operators if operator.kind == "Conv"]
    assert [c.limits is None for c in convolutions] == [False] * 9 + [True]  # the last one is an average
    assert np.all(graph.tensors["act_0_qo"].high == 127)
