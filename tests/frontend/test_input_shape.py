import numpy as np
import onnx
import pytest
from onnx import helper

from rtl4ml.errors import ConfigurationError, ModelError
from rtl4ml.frontend.input_shape import with_input_shape
from rtl4ml.frontend.judge import Judge
from tests.frontend.judge_files import model, shared


def network(shape, target):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Reshape", ["c", "s"], ["y"], name="flat"),
    ]
    made = model(nodes, shape, {"w": np.ones((2, 1, 3, 3), np.float32), "s": np.array(target)})
    made.graph.output[0].type.CopyFrom(helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, [1, 128]))
    made.graph.value_info.append(helper.make_tensor_value_info("c", onnx.TensorProto.FLOAT, [1, 2, 8, 8]))
    return made


@pytest.mark.parametrize("shape", [(1, 4, 6), (1, 1, 4, 6)])
def test_sizes_are_inferred_anew(shape):
    original = network(["batch", 1, 8, 8], [0, -1])
    changed = with_input_shape(original, shape)
    assert Judge(changed).shapes["y"] == (1, 48)
    assert Judge(original).shapes["y"] == (1, 128)
    for tensor, sizes in ((changed.graph.value_info[0], [1, 2, 4, 6]), (changed.graph.output[0], [1, 48])):
        assert [dim.dim_value for dim in tensor.type.tensor_type.shape.dim] == sizes
    onnx.checker.check_model(changed, full_check=True)


def test_sizes_in_the_file_are_refused():
    with pytest.raises(ModelError, match=r"Every node must take an input of \[1, 1, 4, 6\], but node 'flat' \(Reshape"):
        with_input_shape(network([1, 1, 8, 8], [1, 128]), (1, 4, 6))
    with pytest.raises(ModelError, match=r"'flat' \(Reshape\) must hold an input of \[1, 1, 16, 8\].*\[2, 128\] here"):
        with_input_shape(network([1, 1, 8, 8], [-1, 128]), (1, 16, 8))


def test_a_reshape_that_always_gave_several_rows():
    assert Judge(with_input_shape(network([1, 1, 8, 8], [-1, 2]), (1, 4, 4))).shapes["y"] == (16, 2)


@pytest.mark.parametrize("shape", [(8, 8), (2, 1, 8, 8), (1, 0, 8), (1, 1, 1, 8, 8)])
def test_shapes_of_another_rank(shape):
    with pytest.raises(ModelError, match="must have 3 positive dimensions and a batch of 1, as"):
        with_input_shape(network([1, 1, 8, 8], [0, -1]), shape)


@pytest.mark.parametrize("shape", ["1,8,8", (1, 8.0, 8), 8])
def test_shapes_that_are_none(shape):
    with pytest.raises(ConfigurationError, match=r"^input_shape must be integers, such as \(1, 16\), not "):
        with_input_shape(network([1, 1, 8, 8], [0, -1]), shape)


def test_shared_models():
    small = with_input_shape(onnx.load(shared("separable_conv_model_ch_last.onnx")), (32, 32, 3))
    assert Judge(small).shapes["global_out"] == (1, 32, 32, 16)
    small = with_input_shape(onnx.load(shared("espcn_nnresize_w4a4.onnx")), (3, 16, 16))
    assert Judge(small).shapes["96"] == (1, 3, 32, 32)
    with pytest.raises(ModelError, match=r"Reshape_0' \(Reshape\) must run on its inputs"):
        with_input_shape(onnx.load(shared("qonnx2mdc_mnist_cnn.onnx")), (14, 14, 1))
