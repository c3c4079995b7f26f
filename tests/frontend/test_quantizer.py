import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from qonnx.custom_op.general.intquant import int_quant

from rtl4ml.errors import ModelError
from rtl4ml.frontend.quantizer import Quantizer
from tests.frontend.build import File, load, proven

RNG = np.random.default_rng(14)
MODES = ["ROUND", "HALF_EVEN", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN"]


def quantized(values, scale, zero_point, bits, signed, narrow, mode, folder):
    """Codes of the graph's input for real values, from a file with one quantizer."""
    file = File([1, values.shape[1]])
    x = file.quant("x", scale, bits, zero_point, signed=signed, narrow=narrow, rounding_mode=mode)
    file.quant(file.add("Mul", x, file.constant(1.0)), scale, bits, zero_point, signed=signed, narrow=narrow)
    graph = load(file, folder)
    assert graph.encode is not None
    return graph, graph.encode(values.astype(np.float32))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("quantizers")


@pytest.mark.parametrize("mode", [*MODES, *(m.lower() for m in MODES)])
@pytest.mark.parametrize(("signed", "narrow"), [(1, 0), (1, 1), (0, 0), (0, 1)])
@pytest.mark.parametrize("bits", [2, 5, 8])
def test_codes_are_qonnx_s(folder, mode, signed, narrow, bits):
    """Every tie of both signs, saturation, and values between."""
    scale = np.float32(0.25)
    zero_point = np.float32(2.0 if not signed else 0.0)
    ties = np.arange(-300, 300) * 0.125
    values = np.concatenate([ties, RNG.normal(size=400) * 20]).astype(np.float32).reshape(-1, 10)
    graph, codes = quantized(values, scale, zero_point, bits, signed, narrow, mode, folder)
    wanted = int_quant(values, scale, zero_point, np.float32(bits), signed, narrow, mode)
    assert np.array_equal(graph.input_tensor.format.real(codes), wanted)
    assert codes.min() >= graph.input_tensor.format.low
    assert codes.max() <= graph.input_tensor.format.high


@given(
    st.floats(2.0**-20, 2.0**10, width=32),
    st.integers(-40, 40),
    st.integers(1, 12),
    st.booleans(),
    st.booleans(),
    st.sampled_from(MODES),
    st.integers(0, 2**32 - 1),
)
def test_any_quantizer(scale, zero_point, bits, signed, narrow, mode, seed):
    assume(signed or not narrow or bits > 1)  # there would be one code
    values = (np.random.default_rng(seed).normal(size=(8, 16)) * scale * 2.0 ** (bits - 1)).astype(np.float32)
    parameters = np.float32(scale), np.float32(zero_point)
    quantizer = Quantizer("q", "Quant", *map(np.asarray, parameters), bits, signed, narrow, mode)
    wanted = int_quant(values, *parameters, np.float32(bits), int(signed), int(narrow), mode)
    codes = quantizer.codes(values)
    assert np.array_equal(((codes - zero_point) * np.float64(scale)).astype(np.float32), wanted)


def test_bipolar_gives_plus_one_to_zero(folder):
    values = np.array([[-0.5, -0.0, 0.0, 1e-30, -1e-30, 3.0]], np.float32)
    file = File([1, 6])
    x = file.bipolar("x", 0.5)
    file.quant(file.add("Mul", x, file.constant(1.0)), 0.5, 2)
    graph = load(file, folder)
    assert graph.encode is not None
    assert graph.encode(values).tolist() == [[-1, 1, 1, 1, -1, 1]]
    assert graph.input_tensor.format.bipolar


@pytest.mark.parametrize("domain", ["", "qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general"])
@pytest.mark.parametrize("op_type", ["Quant", "IntQuant"])
def test_all_domains(folder, domain, op_type):
    file = File([1, 4])
    x = file.quant("x", 0.25, 4, domain=domain, op_type=op_type)
    file.quant(file.add("Mul", x, file.constant(0.7)), 0.25, 3, domain=domain, op_type=op_type)
    assert [o.kind for o in load(file, folder).operators] == ["Requantize"]


@pytest.mark.parametrize("mode", MODES)
def test_modes_behind_a_product(tmp_path, mode):
    """Every mode between layers, power-of-two scales: ties occur."""
    file = File([1, 6])
    x = file.quant("x", 0.25, 4, rounding_mode=mode)
    y = file.add("MatMul", x, file.weights(RNG.normal(size=(6, 5)), 0.25, 4, rounding_mode=mode))
    y = file.quant(y, 0.5, 5, rounding_mode=mode)
    y = file.add("MatMul", y, file.weights(RNG.normal(size=(5, 4)), 0.25, 4))
    file.quant(file.add("Relu", y), 1.0, 3, signed=0, rounding_mode=mode)
    assert proven(file, tmp_path).judge_required


@pytest.mark.parametrize("zero_point", [3.0, -4.0, 9.0])
@pytest.mark.parametrize("mode", ["ROUND", "FLOOR", "HALF_UP"])
def test_zero_points_between_layers(tmp_path, zero_point, mode):
    file = File([1, 6])
    x = file.quant("x", 0.3, 4, 7.0, signed=0)
    y = file.add("MatMul", x, file.weights(RNG.normal(size=(6, 5)), 0.25, 4))
    y = file.quant(y, 0.4, 5, zero_point, signed=0, rounding_mode=mode)
    file.quant(file.add("MatMul", y, file.weights(RNG.normal(size=(5, 4)), 0.25, 4)), 1.0, 4)
    proven(file, tmp_path)


def test_scales_of_every_channel_on_activations(tmp_path):
    file = File([1, 6])
    x = file.quant("x", 0.3, 4)
    y = file.add("MatMul", x, file.weights(RNG.normal(size=(6, 5)), 0.25, 4))
    y = file.quant(y, 0.1 * 2.0 ** np.array([[0, 1, -1, 2, 0]]), 5)
    file.quant(file.add("MatMul", y, file.weights(RNG.normal(size=(5, 4)), 0.25, 4)), 1.0, 4)
    proven(file, tmp_path)


def test_wide_quantizers_whose_limits_are_never_reached(tmp_path):
    file = File([1, 6])
    x = file.quant("x", 0.25, 4)
    y = file.quant(file.add("MatMul", x, file.weights(RNG.normal(size=(6, 5)), 0.25, 4)), 2.0**-6, 32)
    file.quant(file.add("MatMul", y, file.weights(RNG.normal(size=(5, 4)), 0.25, 4)), 1.0, 4)
    proven(file, tmp_path)


def refuse(folder, *arguments, then=True, **attributes):
    file = File([1, 4])
    x = file.quant("x", *arguments, **attributes)
    if then:
        file.quant(file.add("Mul", x, file.constant(0.5)), 0.25, 4)
    with pytest.raises(ModelError) as caught:
        load(file, folder)
    return str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "attributes", "message"),
    [
        ((0.0, 4), {}, "Scale of node 'Quant_0' (Quant) must not be 0"),
        (([0.5, 0.0, 1.0, 1.0], 4), {}, "Scale of node 'Quant_0' (Quant) must not be 0"),
        ((np.nan, 4), {}, "Scale of node 'Quant_0' (Quant) must be finite, not nan"),
        ((-0.5, 4), {}, "Scale of node 'Quant_0' (Quant) must be positive, not -0.5"),
        ((0.5, 4, 0.5), {}, "Zero point of node 'Quant_0' (Quant) must be an integer, not 0.5"),
        ((0.5, 0), {}, "Bit width of node 'Quant_0' (Quant) must be one integer from 1 to 64, not [0.0]"),
        ((0.5, 2.5), {}, "Bit width of node 'Quant_0' (Quant) must be one integer from 1 to 64, not [2.5]"),
        (
            (0.5, [4, 4, 5, 4]),
            {},
            "Bit width of node 'Quant_0' (Quant) must be one integer from 1 to 64, not [4.0, 4.0, 5.0, 4.0]",
        ),
        (
            (0.5, 4),
            {"rounding_mode": "NEAREST"},
            "Rounding mode of node 'Quant_0' (Quant) must be one of ROUND, HALF_EVEN, CEIL, FLOOR, UP, DOWN, HALF_UP, "
            "HALF_DOWN, not 'NEAREST'",
        ),
        (
            (0.5, 26),
            {},
            "Bit width of node 'Quant_0' (Quant) must be at most 24 on activations, unless its limits are never "
            "reached, not "
            "26: float32 cannot hold its codes",
        ),
        (
            ([[0.5, 1.0]], 4),
            {},
            "Scale and zero point of node 'Quant_0' (Quant) must broadcast to shape [1, 4], not have shape [1, 2]",
        ),
    ],
)
def test_quantizers_without_meaning(folder, arguments, attributes, message):
    assert refuse(folder, *arguments, **attributes) == message


def test_constants_wider_than_the_hardware_s(folder):
    file = File([1, 4])
    x = file.quant("x", 0.5, 4)
    file.add("MatMul", x, file.weights(np.ones((4, 2)), 0.5, 33))
    with pytest.raises(ModelError) as caught:
        load(file, folder)
    assert str(caught.value) == "Bit width of node 'Quant_1' (Quant) must be at most 32 on constants, not 33"


def test_a_scale_that_depends_on_the_input(folder):
    file = File([1, 4])
    x = file.quant("x", 0.5, 4)
    y = file.add("Relu", x)
    file.add("Quant", x, y, file.constant(0.0), file.constant(4.0), domain="qonnx.custom_op.general")
    with pytest.raises(ModelError) as caught:
        load(file, folder)
    assert str(caught.value) == (
        f"Input {y!r} of node 'Quant_2' (Quant) must be constant: it depends on the network's input"
    )


def test_two_first_quantizers(folder):
    file = File([1, 4])
    a = file.quant("x", 0.5, 4)
    b = file.quant(file.add("Relu", "x"), 0.5, 4)
    file.add("Add", a, b)
    with pytest.raises(ModelError) as caught:
        load(file, folder)
    assert str(caught.value) == (
        "The model's input must meet one quantizer first, not two ('x' and 't1'): give an input format "
        "(--input-format), "
        "so that both stand in hardware"
    )
