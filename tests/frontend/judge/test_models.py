"""The shared convolutional networks in both judges."""

import warnings

import numpy as np
import onnx
import onnxruntime
import pytest

from rtl4ml.frontend.input_shape import with_input_shape
from rtl4ml.frontend.judge import Judge, StrictJudge
from tests.frontend.judge_files import executed, same_bits, shared

MODELS = {
    "qonnx2mdc_mnist_cnn.onnx": None,
    "brevitas_cnn_w4a4.onnx": None,
    "espcn_nnresize_w4a4.onnx": (3, 16, 16),
    "radioml_vgg10_w8a8.onnx": None,
    "separable_conv_model_ch_last.onnx": (32, 32, 3),
    "kws_ref_model_qdq.onnx": None,
    "pretrainedResnet_quant_qdq.onnx": None,
}

PRODUCTS = {
    "qonnx2mdc_mnist_cnn.onnx": 3,
    "brevitas_cnn_w4a4.onnx": 5,
    "espcn_nnresize_w4a4.onnx": 4,
    "radioml_vgg10_w8a8.onnx": 10,
    "separable_conv_model_ch_last.onnx": 4,
    "kws_ref_model_qdq.onnx": 10,
    "pretrainedResnet_quant_qdq.onnx": 10,
}


def opened(name):
    onnx_model = onnx.load(shared(name))
    return onnx_model if MODELS[name] is None else with_input_shape(onnx_model, MODELS[name])


def images(judge, count=2):
    """Inputs that are multiples of 1 / 256."""
    rng = np.random.default_rng(11)
    return rng.integers(-128, 256, (count, *judge.input_shape)).astype(np.float32) / 256


@pytest.mark.parametrize("name", MODELS)
def test_the_judge_gives_the_bits_of_qonnx(name):
    onnx_model = opened(name)
    judge = Judge(onnx_model)
    x = images(judge)
    results = judge.run(x[:, 0])
    for i, context in enumerate(executed(onnx_model, x)):
        wrong = [name for name, value in results.items() if not same_bits(value[i], context[name])]
        wrong += [name for name, value in judge.constants.items() if not same_bits(value, context[name])]
        assert not wrong


@pytest.mark.parametrize("name", [name for name in MODELS if "qdq" in name])
def test_the_judge_gives_the_bits_of_onnxruntime_without_fusions(name):
    onnx_model = opened(name)
    judge = Judge(onnx_model)
    x = images(judge)
    results = judge.run(x[:, 0])
    produced = [name for name in results if name in judge.producers]
    del onnx_model.graph.output[:]
    onnx_model.graph.output.extend([onnx.ValueInfoProto(name=name) for name in produced])
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(onnx_model.SerializeToString(), options)
    for i in range(len(x)):
        context = dict(zip(produced, session.run(produced, {judge.input_name: x[i]}), strict=True))
        assert not [name for name in produced if not same_bits(results[name][i], context[name])]


@pytest.mark.parametrize("name", MODELS)
def test_the_strict_judge_sums_every_product(name):
    """Fed with the judge's own codes, the strict judge differs from it by what float32 sums round."""
    onnx_model = opened(name)
    judge, strict = Judge(onnx_model), StrictJudge(onnx_model, input_grid=2.0**-8)
    assert not strict.refused
    assert len(strict.products) == PRODUCTS[name]
    x = images(judge)[:, 0]
    expected, codes = judge.run_codes(x)
    tensors, own = strict.run(x, given=codes)
    for output in strict.products:
        grid, bias = strict.grids[output], strict.producers[output].node.inputs[2:]
        assert own[output].shape == expected[output].shape
        if not bias:
            assert same_bits(tensors[output], (own[output] * grid.scale[0]).astype(np.float32))
        largest = np.abs(expected[output]).max()
        assert np.abs(tensors[output] - expected[output]).max() <= largest * 2.0**-18
    for name_, value in codes.items():
        assert np.abs(own[name_] - value).max() <= 1


@pytest.mark.parametrize("name", ["qonnx2mdc_mnist_cnn.onnx", "separable_conv_model_ch_last.onnx"])
def test_powers_of_two_leave_no_difference(name):
    onnx_model = opened(name)
    judge, strict = Judge(onnx_model), StrictJudge(onnx_model, input_grid=2.0**-8)
    x = images(judge, 4)[:, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected, expected_codes = judge.run_codes(x)
        tensors, codes = strict.run(x)
    for output, value in expected_codes.items():
        assert (codes[output] == value).all()
    for output, value in expected.items():
        assert (tensors[output] == value).all()
